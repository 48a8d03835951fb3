//! What rules are asked with and what they answer, in core's own words.
//! `dealsync-rules` turns the component's types into these and back.

use crate::ids::UserId;
use crate::schema::FieldIx;

/// Everything that may differ from run to run; the same on a retry and a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// `opportunity-to-deal`, …: the list is in `wit/README.md`.
    pub flow: String,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub as_of: i64,
    pub seed: u64,
    /// Deals the lane had created before this batch.
    pub sequence: u64,
}

/// Who wins where both sides changed a field since they last agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conflict {
    Source,
    Target,
    Newest,
    Ask,
}

/// What an empty source does to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnNull {
    Clear,
    Leave,
    Refuse,
}

/// A target field that rules may write, and how core treats it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub field: FieldIx,
    pub sources: Vec<FieldIx>,
    pub on_create: bool,
    pub on_update: bool,
    pub conflict: Conflict,
    pub on_null: OnNull,
}

/// What a configured chain touches. Policy is built from this and from nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RulesPlan {
    pub reads: Vec<FieldIx>,
    pub writes: Vec<Write>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Error,
}

/// Why something was decided: the rule's own stable name, and who it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Name of the component in the chain, `standard` for the shipped one.
    pub component: String,
    pub version: String,
    pub rule: String,
    pub note: Option<String>,
}

/// Something a rule says about one row. A mapping's or owner rule's refusal is a
/// finding of severity `Error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub field: Option<FieldIx>,
    /// A catalogue code where the component is `standard`, else the author's own.
    pub code: String,
    pub message: String,
    pub fix: String,
    pub by: Provenance,
}

/// Who shall own a new deal, with the partner and distributor recorded on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    pub owner: UserId,
    pub partner: Option<UserId>,
    pub distributor: Option<UserId>,
}

/// How a component failed on a row that is alone with its failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    pub component: String,
    pub version: String,
    pub kind: FaultKind,
    /// The panic's message, or the trap's, bounded; never a record's contents
    /// unless the rule put them there.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    Panicked,
    FuelExhausted,
    WallClockExceeded,
    MemoryExceeded,
    StackExhausted,
    OutputTooLarge,
    ContractBroken,
    Trapped,
    HostBusy,
    HostBug,
}

impl FaultKind {
    pub fn words(self) -> &'static str {
        match self {
            Self::Panicked => "it panicked",
            Self::FuelExhausted => "it used up its computing budget",
            Self::WallClockExceeded => "it ran too long",
            Self::MemoryExceeded => "it wanted more memory than allowed",
            Self::StackExhausted => "it recursed too deeply",
            Self::OutputTooLarge => "its answer was too large",
            Self::ContractBroken => "its answer broke the contract",
            Self::Trapped => "it crashed",
            Self::HostBusy => "the sandbox was full",
            Self::HostBug => "the host failed",
        }
    }
}

/// What the chain said about one row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RowAnswer {
    pub findings: Vec<Finding>,
    /// Present where the row was asked about (new records, or a person re-owns)
    /// and no rule refused.
    pub assignment: Option<Assignment>,
    pub fault: Option<RuleFault>,
}

impl RowAnswer {
    /// True where the record must not be written.
    pub fn refuses(&self) -> bool {
        self.fault.is_some() || self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}
