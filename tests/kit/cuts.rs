//! Breaks a world at one exact step: the n-th exchange with the org, or the n-th
//! look at the clock, which lies between any two steps of the service.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dealsync::clock::{Clock, ManualClock};
use dealsync::salesforce::{Exchange, InProcess, Request, Transport, TransportError};
use tokio::sync::Notify;

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The process ends before the request leaves.
    ProcessBeforeCall,
    /// The process ends when the far side has done what was asked.
    ProcessAfterCall,
    /// The process ends where it asks for the time.
    ProcessAtClock,
    /// The connection cannot be made.
    ConnectionBeforeCall,
    /// The connection breaks when the far side has done what was asked.
    ConnectionAfterCall,
}

/// Counts steps and breaks one of them; clones of the `Arc` watch the same world.
#[derive(Debug)]
pub struct Cuts {
    inner: InProcess,
    clock: Arc<ManualClock>,
    calls: AtomicUsize,
    looks: AtomicUsize,
    /// How often the watched future was polled, and when the clock was last looked at.
    polls: AtomicUsize,
    looked: AtomicUsize,
    planned: Mutex<Option<Planned>>,
    cut: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    cut: Cut,
    at: usize,
    /// Steps from `at` on that break; the process ends only once.
    times: usize,
    done: bool,
}

impl Cuts {
    pub fn new(router: axum::Router, clock: Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self {
            inner: InProcess::new(router),
            clock,
            calls: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
            polls: AtomicUsize::new(1),
            looked: AtomicUsize::new(0),
            planned: Mutex::new(None),
            cut: Notify::new(),
        })
    }

    /// Breaks `times` steps from number `at` on, counted from now and from nought.
    pub fn plan(&self, cut: Cut, at: usize, times: usize) {
        self.calls.store(0, Ordering::SeqCst);
        self.looks.store(0, Ordering::SeqCst);
        *self.planned() = Some(Planned { cut, at, times, done: false });
    }

    /// The same future, its polls counted: nothing lasting happens within one, so that
    /// looks at the clock within one are one step.
    pub async fn watched<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| {
            self.polls.fetch_add(1, Ordering::SeqCst);
            work.as_mut().poll(cx)
        })
        .await
    }

    /// Nothing breaks any more. True where something did.
    pub fn heal(&self) -> bool {
        self.planned().take().is_some_and(|planned| planned.done)
    }

    /// True where something broke since it was planned.
    pub fn is_cut(&self) -> bool {
        self.planned().is_some_and(|planned| planned.done)
    }

    /// Returns when a call has been reached at which the process ends.
    pub async fn reached(&self) {
        self.cut.notified().await;
    }

    fn planned(&self) -> std::sync::MutexGuard<'_, Option<Planned>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What breaks at this step.
    fn strike(&self, step: usize, is_call: bool) -> Option<Cut> {
        let mut planned = self.planned();
        let planned = planned.as_mut()?;
        let meant = is_call != (planned.cut == Cut::ProcessAtClock);
        if !meant || !(planned.at..planned.at + planned.times).contains(&step) {
            return None;
        }
        planned.done = true;
        Some(planned.cut)
    }

    async fn exchange(&self, request: Request) -> Result<dealsync::salesforce::Response, TransportError> {
        let step = self.calls.fetch_add(1, Ordering::SeqCst);
        match self.strike(step, true) {
            Some(Cut::ProcessBeforeCall) => self.end().await,
            Some(Cut::ProcessAfterCall) => {
                let _lost = self.inner.send(request).await;
                self.end().await
            }
            Some(Cut::ConnectionBeforeCall) => Err(TransportError::NotConnected("cut".to_owned())),
            Some(Cut::ConnectionAfterCall) => {
                let _lost = self.inner.send(request).await;
                Err(TransportError::Broken("cut".to_owned()))
            }
            Some(Cut::ProcessAtClock) | None => self.inner.send(request).await,
        }
    }

    /// Whoever waits for this has ended: the test drops them.
    async fn end(&self) -> ! {
        self.cut.notify_one();
        std::future::pending::<()>().await;
        unreachable!("nobody goes on after the end")
    }
}

impl Transport for Cuts {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.exchange(request))
    }
}

impl Clock for Cuts {
    fn now_micros(&self) -> i64 {
        let poll = self.polls.load(Ordering::SeqCst);
        if self.looked.swap(poll, Ordering::SeqCst) == poll {
            return self.clock.now_micros();
        }
        let step = self.looks.fetch_add(1, Ordering::SeqCst);
        if self.strike(step, false).is_some() {
            // Unwinds like a panic, and says nothing about it.
            std::panic::resume_unwind(Box::new("the process ends here"));
        }
        self.clock.now_micros()
    }

    fn sleep(
        &self,
        duration: std::time::Duration,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.clock.sleep(duration)
    }
}
