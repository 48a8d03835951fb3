//! Fresh ids: UUIDs of version 7, in the order in which they were made.

use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::{Builder, Uuid};

/// Makes ids out of the clock's time, a counter within the millisecond, and chance.
#[derive(Debug)]
pub struct IdSource {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    millis: u64,
    counter: u16,
}

impl IdSource {
    /// With a seed, the same calls give the same ids.
    pub fn new(seed: Option<u64>) -> Self {
        let rng = match seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => rand::make_rng(),
        };
        Self { state: Mutex::new(State { rng, millis: 0, counter: 0 }) }
    }

    /// Returns an id larger than every one before it, even where the clock stands
    /// still or goes back.
    pub fn next(&self, now_micros: i64) -> Uuid {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = u64::try_from(now_micros / 1_000).unwrap_or(0);
        if now > state.millis {
            state.millis = now;
            state.counter = 0;
        } else if state.counter == COUNTER_MAX {
            state.millis += 1;
            state.counter = 0;
        } else {
            state.counter += 1;
        }
        let mut bytes: [u8; 10] = state.rng.random();
        bytes[..2].copy_from_slice(&state.counter.to_be_bytes());
        Builder::from_unix_timestamp_millis(state.millis, &bytes).into_uuid()
    }
}

/// The first twelve of the random bits hold the counter; the version takes the
/// four before them.
const COUNTER_MAX: u16 = 0x0fff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_order_even_where_the_clock_stands_still() {
        let ids = IdSource::new(Some(1));
        let made: Vec<Uuid> =
            (0..10_000).map(|n| ids.next(if n < 5_000 { 9_000_000 } else { 8_000_000 })).collect();
        assert!(made.is_sorted_by(|one, next| one < next));
        assert_eq!(made[0], IdSource::new(Some(1)).next(9_000_000));
        assert_eq!(made[0].get_version_num(), 7);
    }
}
