//! Time as the service sees it: everything that asks for the time or waits does
//! so through a [`Clock`], so that a test moves time instead of waiting for it.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// The time, and a way to wait for a later one.
pub trait Clock: Send + Sync + Debug {
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now_micros(&self) -> i64;

    /// Returns when this much time has passed on this clock.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "this is the Clock that everything else asks")]
        let now = SystemTime::now();
        match now.duration_since(UNIX_EPOCH) {
            Ok(since) => micros(since),
            Err(before) => -micros(before.duration()),
        }
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock {
    now: watch::Sender<i64>,
    /// Whether a sleep moves the clock itself.
    skips: bool,
}

impl ManualClock {
    /// A clock at `now_micros` whose sleepers wait for [`ManualClock::advance`].
    pub fn new(now_micros: i64) -> Self {
        Self { now: watch::Sender::new(now_micros), skips: false }
    }

    /// A clock on which a sleep takes no real time: it moves the clock by its
    /// length and returns.
    pub fn skipping(now_micros: i64) -> Self {
        Self { now: watch::Sender::new(now_micros), skips: true }
    }

    /// Moves the time on and wakes the sleepers whose time has come.
    pub fn advance(&self, duration: Duration) {
        self.now.send_modify(|now| *now = now.saturating_add(micros(duration)));
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        *self.now.borrow()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if self.skips {
            self.advance(duration);
            return Box::pin(std::future::ready(()));
        }
        let mut seen = self.now.subscribe();
        let until = self.now_micros().saturating_add(micros(duration));
        Box::pin(async move {
            // The sender lives as long as this borrow, so waiting cannot fail.
            let _ = seen.wait_for(|now| *now >= until).await;
        })
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_sleeper_on_a_manual_clock_wakes_when_its_time_has_come() {
        let clock = Arc::new(ManualClock::new(0));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(2)).await }
        });
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(3));
        sleeper.await.expect("the sleeper ends well");
        assert_eq!(clock.now_micros(), 4_000_000);
    }

    #[tokio::test]
    async fn a_skipping_clock_moves_by_what_is_slept() {
        let clock = ManualClock::skipping(5);
        clock.sleep(Duration::from_micros(7)).await;
        assert_eq!(clock.now_micros(), 12);
    }
}
