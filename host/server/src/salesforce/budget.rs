//! How many calls a connection may spend a day, and for what. Salesforce counts
//! calls per org over 24 hours, for everyone; dealsync keeps to a share of its own
//! and leaves a reserve of it for what people start by hand.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

const DAY_MICROS: i64 = 86_400 * 1_000_000;
/// After this long what the org said about its usage is worth asking again.
const ORG_USAGE_STALE_MICROS: i64 = 15 * 60 * 1_000_000;

/// What a call is made for, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A person waits for it.
    Manual,
    Incremental,
    Full,
    Backfill,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manual => "manual",
            Self::Incremental => "incremental",
            Self::Full => "full",
            Self::Backfill => "backfill",
        })
    }
}

/// What the `Sforce-Limit-Info` header says. Its numbers are not monotone: they
/// come from several servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitInfo {
    pub used: u32,
    pub max: u32,
    /// Used and allowed for this app alone, where the org rations apps.
    pub per_app: Option<(u32, u32)>,
}

impl LimitInfo {
    /// Reads `api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)`.
    pub fn parse(header: &str) -> Option<Self> {
        let mut usage = None;
        let mut per_app = None;
        for part in header.split([';', ',']) {
            let Some((name, value)) = part.trim().split_once('=') else { continue };
            let numbers = value.split('(').next().unwrap_or(value);
            let Some((used, max)) = numbers.trim().split_once('/') else { continue };
            let (Ok(used), Ok(max)) = (used.trim().parse(), max.trim().parse()) else { continue };
            match name.trim() {
                "api-usage" => usage = Some((used, max)),
                "per-app-api-usage" => per_app = Some((used, max)),
                _ => {}
            }
        }
        let (used, max) = usage?;
        Some(Self { used, max, per_app })
    }
}

/// The counts, as they are stored between runs of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Days since 1970-01-01 (UTC) that `spent` counts for.
    pub day: i64,
    /// Calls made on that day, by class: manual, incremental, full, backfill.
    pub spent: [u32; 4],
    /// The org's own count and limit, by everyone.
    pub org_used: Option<u32>,
    pub org_max: Option<u32>,
    pub app_used: Option<u32>,
    pub app_max: Option<u32>,
    /// When the org said so, in microseconds since 1970.
    pub org_seen_micros: i64,
}

impl Counters {
    /// Calls made on the counted day, for whatever reason.
    pub fn total(&self) -> u32 {
        self.spent.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

/// The budget of one connection, shared by every client of it.
#[derive(Debug)]
pub struct Budget {
    daily_calls_max: Option<u32>,
    manual_reserve: u32,
    counters: Mutex<Counters>,
}

impl Budget {
    /// `daily_calls_max` is our own cap on calls a UTC day, none for no cap of our
    /// own; automatic work stops `manual_reserve` calls before it, and as many
    /// before the org's own limit.
    pub fn new(daily_calls_max: Option<u32>, manual_reserve: u32) -> Self {
        Self::resumed(daily_calls_max, manual_reserve, Counters::default())
    }

    /// A budget that goes on from stored counters.
    pub fn resumed(daily_calls_max: Option<u32>, manual_reserve: u32, counters: Counters) -> Self {
        Self { daily_calls_max, manual_reserve, counters: Mutex::new(counters) }
    }

    /// Says whether a call of this class may be made now; if not, from when on it
    /// is worth trying, in microseconds since 1970.
    pub fn may_spend(&self, class: Class, now_micros: i64) -> Result<(), i64> {
        let mut counters = self.lock();
        turn_day(&mut counters, now_micros);
        let reserve = if class == Class::Manual { 0 } else { self.manual_reserve };
        if let Some(max) = self.daily_calls_max
            && counters.total() >= max.saturating_sub(reserve)
        {
            return Err((counters.day + 1) * DAY_MICROS);
        }
        let stale_at = counters.org_seen_micros.saturating_add(ORG_USAGE_STALE_MICROS);
        let spent_up = |used: Option<u32>, max: Option<u32>| match (used, max) {
            (Some(used), Some(max)) => used >= max.saturating_sub(reserve),
            _ => false,
        };
        let org_spent = spent_up(counters.org_used, counters.org_max);
        let app_spent = spent_up(counters.app_used, counters.app_max);
        // The org's 24 hours roll, so a look now and then is the only way to know.
        if (org_spent || app_spent) && now_micros < stale_at {
            return Err(stale_at);
        }
        Ok(())
    }

    /// Counts one call.
    pub(super) fn spend(&self, class: Class, now_micros: i64) {
        let mut counters = self.lock();
        turn_day(&mut counters, now_micros);
        let count = &mut counters.spent[class as usize];
        *count = count.saturating_add(1);
    }

    /// Notes what the org said about its usage.
    pub fn observe(&self, info: LimitInfo, now_micros: i64) {
        let mut counters = self.lock();
        counters.org_used = Some(info.used);
        counters.org_max = Some(info.max);
        counters.app_used = info.per_app.map(|(used, _)| used);
        counters.app_max = info.per_app.map(|(_, max)| max);
        counters.org_seen_micros = now_micros;
    }

    /// Notes that the org refused a call because its day's calls are used up.
    pub(super) fn observe_exhausted(&self, now_micros: i64) {
        let mut counters = self.lock();
        let max = counters.org_max.unwrap_or(0);
        counters.org_used = Some(max);
        counters.org_max = Some(max);
        counters.org_seen_micros = now_micros;
    }

    /// The counts as they stand, to be shown or stored.
    pub fn counters(&self) -> Counters {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        // Counters are whole after every statement, so a panic elsewhere spoils nothing.
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn turn_day(counters: &mut Counters, now_micros: i64) {
    let today = now_micros.div_euclid(DAY_MICROS);
    if counters.day != today {
        counters.day = today;
        counters.spent = [0; 4];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 20_000 * DAY_MICROS + DAY_MICROS / 2;

    #[test]
    fn automatic_work_stops_before_the_reserve_and_a_person_may_use_it() {
        let budget = Budget::new(Some(10), 3);
        for _ in 0..7 {
            assert_eq!(budget.may_spend(Class::Full, NOON), Ok(()));
            budget.spend(Class::Full, NOON);
        }
        let midnight = 20_001 * DAY_MICROS;
        for class in [Class::Incremental, Class::Full, Class::Backfill] {
            assert_eq!(budget.may_spend(class, NOON), Err(midnight), "{class}");
        }
        for _ in 0..3 {
            assert_eq!(budget.may_spend(Class::Manual, NOON), Ok(()));
            budget.spend(Class::Manual, NOON);
        }
        assert_eq!(budget.may_spend(Class::Manual, NOON), Err(midnight));
        assert_eq!(budget.may_spend(Class::Full, midnight), Ok(()), "a new day is a new budget");
    }

    #[test]
    fn the_orgs_own_usage_counts_until_it_is_stale() {
        let budget = Budget::new(None, 100);
        budget.observe(LimitInfo { used: 4_950, max: 5_000, per_app: None }, NOON);
        assert!(budget.may_spend(Class::Incremental, NOON).is_err());
        assert_eq!(budget.may_spend(Class::Manual, NOON), Ok(()));
        assert_eq!(budget.may_spend(Class::Incremental, NOON + ORG_USAGE_STALE_MICROS), Ok(()));
        budget.observe(LimitInfo { used: 10, max: 5_000, per_app: Some((250, 250)) }, NOON);
        assert!(budget.may_spend(Class::Manual, NOON).is_err(), "the app's own ration is used up");
    }

    #[test]
    fn counters_survive_a_restart() {
        let budget = Budget::new(Some(2), 0);
        budget.may_spend(Class::Full, NOON).expect("fresh");
        budget.spend(Class::Full, NOON);
        budget.spend(Class::Full, NOON);
        let stored = serde_json::to_string(&budget.counters()).expect("counters are JSON");
        let again = Budget::resumed(Some(2), 0, serde_json::from_str(&stored).expect("ours"));
        assert!(again.may_spend(Class::Full, NOON).is_err());
    }

    #[test]
    fn limit_info_is_read_with_and_without_an_app() {
        let plain = LimitInfo { used: 22, max: 15_000, per_app: None };
        assert_eq!(LimitInfo::parse("api-usage=22/15000"), Some(plain));
        let both = LimitInfo { used: 25, max: 5_000, per_app: Some((17, 250)) };
        let header = "api-usage=25/5000; per-app-api-usage=17/250(appName=sample-app)";
        assert_eq!(LimitInfo::parse(header), Some(both));
        assert_eq!(LimitInfo::parse("api-usage=x/y"), None);
        assert_eq!(LimitInfo::parse(""), None);
    }
}
