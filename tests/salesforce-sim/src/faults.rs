//! Faults on request: which call they hit, how often, and what happens then.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// 401 INVALID_SESSION_ID
    Unauthorized,
    /// 403 REQUEST_LIMIT_EXCEEDED, the rolling day's
    DailyLimit,
    /// 403 REQUEST_LIMIT_EXCEEDED, too many at once
    ConcurrentLimit,
    /// 429 without a body the client could use
    TooManyRequests,
    /// 500 UNKNOWN_EXCEPTION
    ServerError,
    /// 503 SERVER_UNAVAILABLE
    Unavailable,
    /// 503 with an HTML page, as an edge does under maintenance
    Html,
    /// The connection dies; nothing happened
    CutBefore,
    /// The connection dies; what was asked has happened
    CutAfter,
    /// The answer waits `ms`
    Slow,
    /// A page repeats rows that were served before
    DuplicateRows,
    /// Right after the answer a row appears with an earlier stamp: see `late`
    LateRow,
    /// 400 INVALID_QUERY_LOCATOR
    LocatorGone,
    /// The body stops in the middle of its JSON
    Truncated,
}

/// A fault and the calls it hits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub kind: FaultKind,
    /// The kind of call, as counted by the tally: `query`, `query_more`, `token` …; any
    /// REST call when absent.
    #[serde(default)]
    pub on: Option<String>,
    /// Only calls whose path or query text holds this.
    #[serde(default)]
    pub about: Option<String>,
    /// Matching calls to let pass first.
    #[serde(default)]
    pub after: u32,
    /// How often it fires; 0 is for ever.
    #[serde(default = "once")]
    pub times: u32,
    /// The share of matching calls that are hit, by `seed`; all, when absent.
    #[serde(default)]
    pub probability: Option<f64>,
    #[serde(default)]
    pub seed: u64,
    /// For `slow`.
    #[serde(default)]
    pub ms: u64,
    /// For `duplicate_rows`.
    #[serde(default = "three")]
    pub rows: usize,
    /// For `late_row`.
    #[serde(default)]
    pub late: Option<Late>,
}

/// A change that commits late.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Late {
    pub object: String,
    /// The row to change; a new one, when absent.
    #[serde(default)]
    pub id: Option<String>,
    pub fields: Map<String, Value>,
    /// How far before the clock its stamps lie.
    pub seconds_back: i64,
}

fn once() -> u32 {
    1
}

fn three() -> usize {
    3
}

impl Fault {
    /// Fires once, on the next REST call.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            on: None,
            about: None,
            after: 0,
            times: 1,
            probability: None,
            seed: 0,
            ms: 0,
            rows: 3,
            late: None,
        }
    }

    /// Only on calls of this kind.
    pub fn on(mut self, kind: &str) -> Self {
        self.on = Some(kind.to_owned());
        self
    }

    pub fn about(mut self, text: &str) -> Self {
        self.about = Some(text.to_owned());
        self
    }

    pub fn after(mut self, calls: u32) -> Self {
        self.after = calls;
        self
    }

    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Armed>);

#[derive(Debug)]
struct Armed {
    fault: Fault,
    seen: u32,
    fired: u32,
    chance: u64,
}

impl Faults {
    pub fn add(&mut self, fault: Fault) {
        let chance = fault.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
        self.0.push(Armed { fault, seen: 0, fired: 0, chance });
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    pub fn left(&self) -> usize {
        self.0.iter().filter(|armed| armed.fault.times == 0 || armed.fired < armed.fault.times).count()
    }

    /// The faults this call runs into. Each of the matching ones counts the call.
    pub fn strike(&mut self, kind: &str, path: &str, query: &str) -> Vec<Fault> {
        let mut struck = Vec::new();
        for armed in &mut self.0 {
            let fault = &armed.fault;
            let meant = match &fault.on {
                Some(on) => on == kind,
                None => !matches!(kind, "token" | "versions" | "identity"),
            };
            let about = fault.about.as_ref().is_none_or(|text| path.contains(text) || query.contains(text));
            if !meant || !about || (fault.times > 0 && armed.fired >= fault.times) {
                continue;
            }
            armed.seen += 1;
            if armed.seen <= fault.after {
                continue;
            }
            if let Some(probability) = fault.probability {
                armed.chance = armed
                    .chance
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let share = (armed.chance >> 11) as f64 / (1u64 << 53) as f64;
                if share >= probability {
                    continue;
                }
            }
            armed.fired += 1;
            struck.push(fault.clone());
        }
        struck
    }
}
