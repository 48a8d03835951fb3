//! The org's own clock: it starts where the org file says, runs with real time or
//! stands still, and moves when a test says so. Whole seconds, as in the service.

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub struct Clock(Mutex<Mode>);

#[derive(Debug, Clone, Copy)]
enum Mode {
    Running { ahead_seconds: i64 },
    Stopped { at: i64 },
}

fn real_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

impl Clock {
    /// Starts at `start` (seconds of the epoch), or now, and runs.
    pub fn new(start: Option<i64>) -> Self {
        Self(Mutex::new(Mode::Running { ahead_seconds: start.map_or(0, |start| start - real_now()) }))
    }

    pub fn now(&self) -> i64 {
        match *self.lock() {
            Mode::Running { ahead_seconds } => real_now() + ahead_seconds,
            Mode::Stopped { at } => at,
        }
    }

    /// Stands still at this second until told otherwise.
    pub fn stop_at(&self, at: i64) {
        *self.lock() = Mode::Stopped { at };
    }

    /// Runs on from this second.
    pub fn run_from(&self, at: i64) {
        *self.lock() = Mode::Running { ahead_seconds: at - real_now() };
    }

    pub fn advance(&self, seconds: i64) {
        match &mut *self.lock() {
            Mode::Running { ahead_seconds } => *ahead_seconds += seconds,
            Mode::Stopped { at } => *at += seconds,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Mode> {
        self.0.lock().expect("nobody panics while holding the clock")
    }
}
