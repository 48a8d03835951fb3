//! What went wrong, named by what the caller does next. Every code of Salesforce
//! that is known has its place, which `placing.rs` knows.
//!
//! Texts hold what Salesforce said, cut to a line; never a body, a token or an address.

use std::fmt;
use std::time::Duration;

use dealsync_core::ids::SfId;

use super::budget::Class;
use super::transport::TransportError;

/// Characters kept of a message of Salesforce.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// What Salesforce answered instead of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which call: `query`, `describe`, `token`.
    pub call: &'static str,
    pub status: u16,
    /// `INVALID_FIELD`; for a token answer `invalid_grant`; empty where none came.
    pub code: String,
    pub message: String,
    pub fields: Vec<String>,
    /// What Salesforce's support asks for.
    pub request_id: Option<String>,
    /// How long Salesforce asked to wait.
    pub retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.call)?;
        if self.code.is_empty() {
            write!(f, "HTTP {}", self.status)?;
        } else {
            write!(f, "{} (HTTP {})", self.code, self.status)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if !self.fields.is_empty() {
            write!(f, " [{}]", self.fields.join(", "))?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

/// Why a call did not bring what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The settings cannot work as they are: a missing secret, an unreadable key.
    #[error("the connection's settings cannot be used: {0}")]
    SettingsUnusable(String),
    /// The credentials are refused for good; asking again only locks accounts.
    #[error("Salesforce refuses the credentials: {0}")]
    CredentialsRefused(Box<Refusal>),
    /// The session is refused for another reason than its age.
    #[error("Salesforce refuses the session: {0}")]
    SessionRefused(Box<Refusal>),
    /// The session is too old. The client renews it and replays once; outside it
    /// this is never seen.
    #[error("the session has expired: {0}")]
    SessionExpired(Box<Refusal>),
    /// The org or the user may not use the API at all.
    #[error("the org gives no access: {0}")]
    AccessRefused(Box<Refusal>),
    /// The login leads to another org than before.
    #[error("the connection leads to org {now}, it was {was} before")]
    OrgChanged { was: SfId, now: SfId },
    /// A renewed refresh token could not be stored, so the session is not used.
    #[error("the renewed refresh token could not be stored: {0}")]
    RotationNotStored(String),
    /// Our own share of the org's daily calls is used up for this class of work.
    #[error("the daily budget of calls is used up for {class} work")]
    BudgetSpent { class: Class, resumes_at_micros: i64 },
    /// The org's calls for 24 hours are used up.
    #[error("the org's daily calls are used up: {0}")]
    DailyLimitReached(Box<Refusal>),
    /// Too many calls at once; a pause helps.
    #[error("Salesforce asks to slow down: {0}")]
    Busy(Box<Refusal>),
    /// Down, under maintenance, or a fault of its own; reading later helps.
    #[error("Salesforce is unavailable: {0}")]
    Unavailable(Box<Refusal>),
    /// No answer at all.
    #[error("{call}: Salesforce cannot be reached")]
    Unreachable { call: &'static str, source: TransportError },
    /// An answer that is not Salesforce's: a proxy's page, or cut short.
    #[error("{call}: the answer (HTTP {status}) cannot be read: {text}")]
    BadAnswer { call: &'static str, status: u16, text: String, request_id: Option<String> },
    /// An address handed out by Salesforce that the token must not be sent to.
    #[error("refusing to follow {what}: {address}")]
    AddressRefused { what: &'static str, address: String },
    /// The query's place is lost; run the query again from the last full page.
    #[error("the query's place is lost: {0}")]
    LocatorGone(Box<Refusal>),
    /// A field is hidden by field-level security, or gone. Describe anew.
    #[error("a field is not visible: {refusal}")]
    FieldNotVisible { field: Option<String>, object: Option<String>, refusal: Box<Refusal> },
    /// An object is hidden or does not exist. Describe anew.
    #[error("an object is not visible: {refusal}")]
    ObjectNotVisible { object: Option<String>, refusal: Box<Refusal> },
    /// Too much at once: a narrower window, fewer ids, fewer columns.
    #[error("too much was asked for at once: {0}")]
    AskForLess(Box<Refusal>),
    /// The window lies outside Salesforce's log; read everything.
    #[error("the log of changes does not reach that far: {0}")]
    ReadEverything(Box<Refusal>),
    /// Deleted, merged, not visible, or no such id.
    #[error("the record is gone: {0}")]
    RecordGone(Box<Refusal>),
    /// A converted Lead takes no updates; its link moves on.
    #[error("the lead is converted: {0}")]
    LeadConverted(Box<Refusal>),
    /// Another transaction holds the row; retry with jitter.
    #[error("the record is busy: {0}")]
    RecordBusy(Box<Refusal>),
    /// An approval or workflow holds the record; hours may pass.
    #[error("the record is locked: {0}")]
    RecordLocked(Box<Refusal>),
    /// The record changed since it was read; plan again.
    #[error("the record changed meanwhile: {0}")]
    RecordChanged(Box<Refusal>),
    /// Another record holds that unique value; find it and update it.
    #[error("such a record exists: {0}")]
    RecordExists(Box<Refusal>),
    /// A duplicate rule of the org objects; the tenant's policy decides.
    #[error("a duplicate rule objects: {0}")]
    DuplicateRule(Box<Refusal>),
    /// This record cannot be written as it is.
    #[error("the record is refused: {0}")]
    RecordRefused(Box<Refusal>),
    /// A trigger, flow or rule of the org failed; it may be a passing fault.
    #[error("the org's own logic refuses: {0}")]
    OrgLogicRefused(Box<Refusal>),
    /// The user lacks a permission.
    #[error("the user may not do this: {0}")]
    NotPermitted(Box<Refusal>),
    /// The owner has left; use the default owner.
    #[error("the owner is inactive: {0}")]
    OwnerInactive(Box<Refusal>),
    /// A victim of another row in the same call; send again without that one.
    #[error("rolled back because of another row: {0}")]
    RolledBack(Box<Refusal>),
    /// The org is full; writing stops.
    #[error("a limit of the org is reached: {0}")]
    OrgFull(Box<Refusal>),
    /// We asked wrongly. A fault of this program.
    #[error("the request was wrong: {0}")]
    Misasked(Box<Refusal>),
}

/// What is done next, without looking at the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Pause the connection until a person changes something.
    Reconnect,
    /// Go on when calls are free again.
    WaitForBudget,
    /// The same request may succeed untouched in a while.
    RetryLater,
    /// The same, in hours.
    RetryInHours,
    /// Run the query again from the cursor of the last full page.
    RestartQuery,
    /// Describe anew, rebuild the field plan, then once more.
    Redescribe,
    /// Ask for less at once.
    Narrow,
    /// Read the object in full.
    ReadEverything,
    /// Find out where the record went, then link or bury it.
    Relink,
    /// Plan this record again from a fresh read.
    Replan,
    /// Once more after a while, then park the record.
    RetryOnceThenPark,
    /// Park the record until something it depends on changes.
    Park,
    /// Send again without the culprit.
    ResendOthers,
    /// Write nothing more for now, and say so.
    StopWriting,
    /// A fault of this program: fail loudly.
    Bug,
}

impl Error {
    pub fn disposition(&self) -> Disposition {
        use Disposition as D;
        match self {
            Self::SettingsUnusable(_)
            | Self::CredentialsRefused(_)
            | Self::SessionRefused(_)
            | Self::AccessRefused(_)
            | Self::OrgChanged { .. }
            | Self::AddressRefused { .. } => D::Reconnect,
            Self::BudgetSpent { .. } | Self::DailyLimitReached(_) => D::WaitForBudget,
            Self::Unreachable { source: TransportError::TooLarge { .. }, .. } => D::Narrow,
            Self::Unreachable { source: TransportError::PlainHttp { .. }, .. } => D::Reconnect,
            Self::SessionExpired(_)
            | Self::RotationNotStored(_)
            | Self::Busy(_)
            | Self::Unavailable(_)
            | Self::Unreachable { .. }
            | Self::BadAnswer { .. }
            | Self::RecordBusy(_) => D::RetryLater,
            Self::RecordLocked(_) => D::RetryInHours,
            Self::LocatorGone(_) => D::RestartQuery,
            Self::FieldNotVisible { .. } | Self::ObjectNotVisible { .. } => D::Redescribe,
            Self::AskForLess(_) => D::Narrow,
            Self::ReadEverything(_) => D::ReadEverything,
            Self::RecordGone(_) | Self::LeadConverted(_) | Self::RecordExists(_) => D::Relink,
            Self::RecordChanged(_) => D::Replan,
            Self::OrgLogicRefused(_) => D::RetryOnceThenPark,
            Self::DuplicateRule(_)
            | Self::RecordRefused(_)
            | Self::NotPermitted(_)
            | Self::OwnerInactive(_) => D::Park,
            Self::RolledBack(_) => D::ResendOthers,
            Self::OrgFull(_) => D::StopWriting,
            Self::Misasked(_) => D::Bug,
        }
    }

    /// What Salesforce said, where it said anything.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::CredentialsRefused(refusal)
            | Self::SessionRefused(refusal)
            | Self::SessionExpired(refusal)
            | Self::AccessRefused(refusal)
            | Self::DailyLimitReached(refusal)
            | Self::Busy(refusal)
            | Self::Unavailable(refusal)
            | Self::LocatorGone(refusal)
            | Self::FieldNotVisible { refusal, .. }
            | Self::ObjectNotVisible { refusal, .. }
            | Self::AskForLess(refusal)
            | Self::ReadEverything(refusal)
            | Self::RecordGone(refusal)
            | Self::LeadConverted(refusal)
            | Self::RecordBusy(refusal)
            | Self::RecordLocked(refusal)
            | Self::RecordChanged(refusal)
            | Self::RecordExists(refusal)
            | Self::DuplicateRule(refusal)
            | Self::RecordRefused(refusal)
            | Self::OrgLogicRefused(refusal)
            | Self::NotPermitted(refusal)
            | Self::OwnerInactive(refusal)
            | Self::RolledBack(refusal)
            | Self::OrgFull(refusal)
            | Self::Misasked(refusal) => Some(refusal),
            Self::SettingsUnusable(_)
            | Self::OrgChanged { .. }
            | Self::RotationNotStored(_)
            | Self::BudgetSpent { .. }
            | Self::Unreachable { .. }
            | Self::BadAnswer { .. }
            | Self::AddressRefused { .. } => None,
        }
    }

    /// How long Salesforce asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.refusal().and_then(|refusal| refusal.retry_after)
    }
}

/// One line of somebody else's text, cut to a bearable length.
pub(super) fn clipped(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if let Some((at, _)) = line.char_indices().nth(MESSAGE_CHARACTERS_MAX) {
            line.truncate(at);
            line.push('…');
            break;
        }
    }
    line
}
