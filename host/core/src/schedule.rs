//! When a lane runs next: hourly by default, spread over tenants, later after
//! failures. Pure: the scheduler of the server asks with the time in its hand.

use std::time::Duration;

use crate::ids::TenantId;

/// The share of an interval by which tenants are spread, either way, in percent.
pub const JITTER_PERCENT: i64 = 10;

/// Waits after the first, second, … failed run in a row; the last one repeats.
pub const RETRY_MINUTES: [u64; 6] = [1, 2, 5, 15, 30, 60];

/// What a turn of a lane looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    Full,
    Incremental,
}

/// How often a lane runs, as its tenant set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    pub full: Duration,
    /// Between full runs; `None` where there are none.
    pub incremental: Option<Duration>,
}

/// What a lane did so far. Times are microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past {
    pub paused: bool,
    /// Start of the last full run that ended well.
    pub last_full: Option<i64>,
    /// Start of the last run of either kind that ended well.
    pub last_any: Option<i64>,
    /// End of the last run that failed, and how many failed in a row.
    pub last_failure: Option<i64>,
    pub failures: u32,
}

/// The next turn of a lane and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub at: i64,
    pub turn: Turn,
}

/// Returns when the lane runs next and what it looks at then; `None` while it is
/// paused. A lane that never ran is due at once.
pub fn next_due(tenant: &TenantId, rhythm: &Rhythm, past: &Past) -> Option<Due> {
    if past.paused {
        return None;
    }
    let full = past.last_full.map_or(i64::MIN, |last| after(last, spread(tenant, rhythm.full)));
    let incremental = match (rhythm.incremental, past.last_any) {
        (Some(every), Some(last)) => Some(after(last, spread(tenant, every))),
        _ => None,
    };
    let next = match incremental {
        Some(at) if at < full => Due { at, turn: Turn::Incremental },
        _ => Due { at: full, turn: Turn::Full },
    };
    let not_before = match past.last_failure {
        Some(last) if past.failures > 0 => after(last, retry_after(past.failures)),
        _ => i64::MIN,
    };
    Some(Due { at: next.at.max(not_before), ..next })
}

/// Returns the turn that is to be made now, if any.
pub fn due(next: Option<Due>, now: i64) -> Option<Turn> {
    next.filter(|due| due.at <= now).map(|due| due.turn)
}

/// The wait after this many failed runs in a row; nothing after none.
pub fn retry_after(failures: u32) -> Duration {
    let Some(nth) = (failures as usize).checked_sub(1) else { return Duration::ZERO };
    let minutes = RETRY_MINUTES[nth.min(RETRY_MINUTES.len() - 1)];
    Duration::from_secs(minutes * 60)
}

/// The interval as this tenant keeps it: always the same, up to
/// [`JITTER_PERCENT`] shorter or longer than asked for, so that the tenants of an
/// hourly schedule do not all call at once.
pub fn spread(tenant: &TenantId, every: Duration) -> Duration {
    // Thousandths of the jitter, from -1000 to 1000.
    let place = (hash(tenant.as_str()) % 2_001) as i64 - 1_000;
    let micros = i64::try_from(every.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    let shift = micros / 100 * JITTER_PERCENT / 1_000 * place;
    Duration::from_micros((micros + shift).max(0) as u64)
}

/// FNV-1a, with a last stir so that names that differ in their end differ enough.
/// Stable over versions: a restart does not move anybody's hour.
fn hash(text: &str) -> u64 {
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16
}

fn after(micros: i64, wait: Duration) -> i64 {
    micros.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;
    const HOUR: i64 = 60 * MINUTE;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    fn hourly(incremental_minutes: Option<u64>) -> Rhythm {
        Rhythm {
            full: Duration::from_secs(3_600),
            incremental: incremental_minutes.map(|minutes| Duration::from_secs(minutes * 60)),
        }
    }

    #[test]
    fn a_lane_that_never_ran_is_due_at_once_with_a_full_run() {
        let next = next_due(&tenant("acme"), &hourly(Some(5)), &Past::default());
        assert_eq!(due(next, 0), Some(Turn::Full));
    }

    #[test]
    fn a_full_run_comes_about_once_an_hour_and_each_tenant_keeps_its_own_minute() {
        let past = Past { last_full: Some(0), last_any: Some(0), ..Past::default() };
        let mut minutes = std::collections::BTreeSet::new();
        for nth in 0..200 {
            let at = next_due(&tenant(&format!("tenant-{nth}")), &hourly(None), &past).unwrap().at;
            assert!((54 * MINUTE..=66 * MINUTE).contains(&at), "{at}");
            minutes.insert(at / MINUTE);
        }
        assert_eq!(minutes.len(), 12, "all minutes of the window are used: {minutes:?}");
        let again = next_due(&tenant("tenant-7"), &hourly(None), &past);
        assert_eq!(again, next_due(&tenant("tenant-7"), &hourly(None), &past));
    }

    #[test]
    fn incremental_runs_fill_the_time_between_full_ones() {
        let rhythm = hourly(Some(10));
        let past = Past { last_full: Some(0), last_any: Some(40 * MINUTE), ..Past::default() };
        let next = next_due(&tenant("acme"), &rhythm, &past).unwrap();
        assert_eq!(next.turn, Turn::Incremental);
        assert_eq!(due(Some(next), 40 * MINUTE), None);
        assert_eq!(due(Some(next), 51 * MINUTE), Some(Turn::Incremental));
        let late = Past { last_any: Some(59 * MINUTE), ..past };
        assert_eq!(due(next_due(&tenant("acme"), &rhythm, &late), 2 * HOUR), Some(Turn::Full));
    }

    #[test]
    fn failures_wait_longer_each_time_up_to_an_hour() {
        let minutes: Vec<u64> = (0..9).map(|nth| retry_after(nth).as_secs() / 60).collect();
        assert_eq!(minutes, [0, 1, 2, 5, 15, 30, 60, 60, 60]);
        let past = Past { last_failure: Some(HOUR), failures: 3, ..Past::default() };
        let next = next_due(&tenant("acme"), &hourly(None), &past);
        assert_eq!(due(next, HOUR + 4 * MINUTE), None);
        assert_eq!(due(next, HOUR + 5 * MINUTE), Some(Turn::Full));
    }

    #[test]
    fn a_paused_lane_is_never_due() {
        let past = Past { paused: true, ..Past::default() };
        assert_eq!(due(next_due(&tenant("acme"), &hourly(None), &past), i64::MAX), None);
    }
}
