//! What a run of a lane is asked to do, and what it says of itself.

use std::collections::BTreeMap;

use dealsync_core::plan::{Outcome, Plan};
use dealsync_core::reason::Reason;
use serde::{Deserialize, Serialize};

use crate::salesforce::Class;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Looks at every flagged record, whatever changed; also sees what vanished.
    Full,
    /// Looks at what changed since the cursor.
    Incremental,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    Scheduled,
    Manual,
}

/// Whom an import writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailPolicy {
    /// The owner of each deal, as it is imported.
    Each,
    /// Each owner once, when the run is done.
    Digest,
    None,
}

/// Bringing over what another portal had created (S2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Only records created on or after this day, days since 1970-01-01.
    pub since: Option<i32>,
    pub mail: MailPolicy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub kind: Kind,
    pub trigger: Trigger,
    /// Work everything out and write nothing.
    pub dry_run: bool,
    pub backfill: Option<Backfill>,
    /// A person has looked at a stopped mass change or a changed org and says go.
    pub confirmed: bool,
}

impl Request {
    pub fn scheduled(kind: Kind) -> Self {
        Self { kind, trigger: Trigger::Scheduled, dry_run: false, backfill: None, confirmed: false }
    }

    pub fn manual(kind: Kind) -> Self {
        Self { trigger: Trigger::Manual, ..Self::scheduled(kind) }
    }

    /// What the run's calls are charged to.
    pub fn class(&self) -> Class {
        match (&self.backfill, self.trigger, self.kind) {
            (Some(_), _, _) => Class::Backfill,
            (_, Trigger::Manual, _) => Class::Manual,
            (_, _, Kind::Full) => Class::Full,
            (_, _, Kind::Incremental) => Class::Incremental,
        }
    }

    pub fn mail(&self) -> MailPolicy {
        self.backfill.as_ref().map_or(MailPolicy::Each, |backfill| backfill.mail)
    }
}

/// Counts of a run.
///
/// Invariant: `selected = created + updated + unchanged + parked + skipped`, and
/// `reasons` holds one entry per parked or skipped record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub selected: u64,
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub parked: u64,
    pub skipped: u64,
    pub reasons: BTreeMap<String, u64>,
}

impl Counts {
    pub fn add(&mut self, plan: &Plan) {
        let counter = match plan.outcome {
            Outcome::Created => &mut self.created,
            Outcome::Updated => &mut self.updated,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Parked => &mut self.parked,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Unselected => return,
        };
        *counter += 1;
        self.selected += 1;
        if matches!(plan.outcome, Outcome::Parked | Outcome::Skipped) {
            let code = plan.primary().expect("a record is set aside for a reason").code;
            *self.reasons.entry(code.name().to_owned()).or_default() += 1;
        }
    }
}

impl Counts {
    /// Counts a row that Salesforce sent without so much as an id.
    pub fn unreadable(&mut self, reason: &Reason) {
        self.selected += 1;
        self.parked += 1;
        *self.reasons.entry(reason.code.name().to_owned()).or_default() += 1;
    }
}

/// What a finished run says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub tenant: String,
    pub lane: String,
    pub run: String,
    pub kind: Kind,
    pub dry_run: bool,
    #[serde(flatten)]
    pub counts: Counts,
    pub pages: u64,
    pub api_calls: u64,
    /// True where the run took up one that had been cut off.
    pub resumed: bool,
    pub duration_ms: u64,
}

/// Watches a run: the command line prints it, a test looks at it.
pub trait Watch: Send + Sync {
    fn page(&self, counts: &Counts, total: u64);
    /// Called for each record of a dry run, and for none of a real one.
    fn planned(&self, _plan: &Plan) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn page(&self, _counts: &Counts, _total: u64) {}
}
