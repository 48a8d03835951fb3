//! What went wrong, named by what the caller does next. Every code of Salesforce
//! that is known has its place here; an unknown one is placed by its HTTP status.
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

    /// Places a refusal of the token endpoint.
    pub(super) fn from_token_refusal(refusal: Refusal) -> Self {
        let said = refusal.message.to_ascii_lowercase();
        let refusal = Box::new(refusal);
        match refusal.code.as_str() {
            // One word for two things: a dead credential, and too many logins an hour.
            "invalid_grant" if said.contains("rate exceeded") => Self::Busy(refusal),
            "rate_limit_exceeded" => Self::Busy(refusal),
            "unknown_error" | "server_error" | "temporarily_unavailable" => Self::Unavailable(refusal),
            _ if refusal.status == 429 => Self::Busy(refusal),
            _ if refusal.status >= 500 || refusal.status == 420 => Self::Unavailable(refusal),
            _ => Self::CredentialsRefused(refusal),
        }
    }

    /// Places a refusal of any other resource.
    pub(super) fn from_refusal(refusal: Refusal) -> Self {
        let refusal = Box::new(refusal);
        match refusal.code.as_str() {
            "INVALID_SESSION_ID" if is_expiry(&refusal.message) => Self::SessionExpired(refusal),
            "INVALID_SESSION_ID" | "INVALID_AUTH_HEADER" => Self::SessionRefused(refusal),
            "REQUEST_LIMIT_EXCEEDED" if is_concurrency(&refusal.message) => Self::Busy(refusal),
            "REQUEST_LIMIT_EXCEEDED" => Self::DailyLimitReached(refusal),
            "LIMIT_EXCEEDED" | "EXCEEDED_QUOTA" | "STORAGE_LIMIT_EXCEEDED" => Self::OrgFull(refusal),
            "SERVER_UNAVAILABLE"
            | "API_CURRENTLY_DISABLED"
            | "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"
            | "UNKNOWN_EXCEPTION"
            | "REQUEST_RUNNING_TOO_LONG"
            | "TXN_SECURITY_METERING_ERROR" => Self::Unavailable(refusal),
            "UNABLE_TO_LOCK_ROW" => Self::RecordBusy(refusal),
            "ENTITY_IS_LOCKED" | "RECORD_IN_USE_BY_WORKFLOW" => Self::RecordLocked(refusal),
            "QUERY_TIMEOUT" | "OPERATION_TOO_LARGE" | "QUERY_TOO_COMPLICATED" | "EXCEEDED_ID_LIMIT" => {
                Self::AskForLess(refusal)
            }
            code if code.starts_with("INVALID_QUERY_LOCATOR") || LOCATOR_CODES.contains(&code) => {
                Self::LocatorGone(refusal)
            }
            "DUPLICATE_VALUE" => Self::RecordExists(refusal),
            "DUPLICATES_DETECTED" => Self::DuplicateRule(refusal),
            "ENTITY_IS_DELETED" | "NOT_FOUND" | "INVALID_CROSS_REFERENCE_KEY" => Self::RecordGone(refusal),
            "CANNOT_UPDATE_CONVERTED_LEAD" => Self::LeadConverted(refusal),
            "FIELD_INTEGRITY_EXCEPTION"
            | "FIELD_FILTER_VALIDATION_EXCEPTION"
            | "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
            | "CANNOT_EXECUTE_FLOW_TRIGGER" => Self::OrgLogicRefused(refusal),
            "INVALID_FIELD" | "INVALID_FIELD_FOR_INSERT_UPDATE" => field_not_visible(refusal),
            "INVALID_TYPE" => {
                Self::ObjectNotVisible { object: quoted_after(&refusal.message, "sObject type"), refusal }
            }
            "INSUFFICIENT_ACCESS"
            | "INSUFFICIENT_ACCESS_OR_READONLY"
            | "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY"
            | "TRANSFER_REQUIRES_READ" => Self::NotPermitted(refusal),
            "INACTIVE_OWNER_OR_USER" | "CANNOT_DELETE_OWNER" => Self::OwnerInactive(refusal),
            "ALL_OR_NONE_OPERATION_ROLLED_BACK" | "PROCESSING_HALTED" => Self::RolledBack(refusal),
            "INVALID_REPLICATION_DATE" => Self::ReadEverything(refusal),
            "API_DISABLED_FOR_ORG"
            | "API_REST_DISABLED"
            | "FORBIDDEN"
            | "LOGIN_MUST_USE_SECURITY_TOKEN"
            | "INVALID_LOGIN"
            | "LICENSE_LIMIT_EXCEEDED" => Self::AccessRefused(refusal),
            "METHOD_NOT_ALLOWED" | "INVALID_CONTENT_TYPE" | "MALFORMED_QUERY" | "MALFORMED_SEARCH" => {
                Self::Misasked(refusal)
            }
            "REQUIRED_FIELD_MISSING"
            | "STRING_TOO_LONG"
            | "NUMBER_OUTSIDE_VALID_RANGE"
            | "INVALID_EMAIL_ADDRESS"
            | "MALFORMED_ID"
            | "JSON_PARSER_ERROR"
            | "INVALID_TYPE_ON_FIELD_IN_RECORD"
            | "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
            | "FIELD_CUSTOM_VALIDATION_EXCEPTION"
            | "UNAVAILABLE_RECORDTYPE_EXCEPTION"
            | "INVALID_PERSON_ACCOUNT_OPERATION"
            | "INVALID_CURRENCY_ISO"
            | "INVALID_STATUS" => Self::RecordRefused(refusal),
            _ => Self::from_status(refusal),
        }
    }

    /// Places a refusal whose code says nothing to us.
    fn from_status(refusal: Box<Refusal>) -> Self {
        match refusal.status {
            401 => Self::SessionRefused(refusal),
            403 => Self::NotPermitted(refusal),
            404 | 410 => Self::RecordGone(refusal),
            405 | 409 | 415 => Self::Misasked(refusal),
            412 => Self::RecordChanged(refusal),
            414 | 431 => Self::AskForLess(refusal),
            429 => Self::Busy(refusal),
            420 | 500.. => Self::Unavailable(refusal),
            _ => Self::RecordRefused(refusal),
        }
    }
}

/// Extended codes of a lost query.
const LOCATOR_CODES: [&str; 3] =
    ["QUERY_LOCATOR_EXPIRED", "LOCATOR_LOCATION_EXCEEDS_SIZE", "QUERY_LOCATOR_NOT_FOUND"];

/// Two answers look like an expired session and are not; renewing would loop.
fn is_expiry(message: &str) -> bool {
    !message.contains("not attached to Agent") && !message.contains("not valid for use with the REST API")
}

fn is_concurrency(message: &str) -> bool {
    let said = message.to_ascii_lowercase();
    said.contains("concurrent")
}

fn field_not_visible(refusal: Box<Refusal>) -> Error {
    let message = &refusal.message;
    let field = quoted_after(message, "No such column")
        .or_else(|| quoted_after(message, "No such relation"))
        .or_else(|| quoted_after(message, "understand relationship"))
        .or_else(|| refusal.fields.first().cloned());
    let object = quoted_after(message, "on entity").or_else(|| quoted_after(message, "on sobject of type"));
    Error::FieldNotVisible { field, object, refusal }
}

/// The word in single quotes that follows `marker`.
fn quoted_after(message: &str, marker: &str) -> Option<String> {
    let rest = &message[message.find(marker)? + marker.len()..];
    let rest = &rest[rest.find('\'')? + 1..];
    Some(rest[..rest.find('\'')?].to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str, message: &str) -> Refusal {
        Refusal {
            call: "query",
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            fields: Vec::new(),
            request_id: None,
            retry_after: None,
        }
    }

    #[test]
    fn every_known_code_says_what_to_do_next() {
        use Disposition as D;
        for (codes, next) in [
            (
                "INVALID_AUTH_HEADER API_DISABLED_FOR_ORG API_REST_DISABLED FORBIDDEN LOGIN_MUST_USE_SECURITY_TOKEN INVALID_LOGIN LICENSE_LIMIT_EXCEEDED",
                D::Reconnect,
            ),
            ("REQUEST_LIMIT_EXCEEDED", D::WaitForBudget),
            ("LIMIT_EXCEEDED EXCEEDED_QUOTA STORAGE_LIMIT_EXCEEDED", D::StopWriting),
            (
                "SERVER_UNAVAILABLE API_CURRENTLY_DISABLED INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE UNKNOWN_EXCEPTION REQUEST_RUNNING_TOO_LONG TXN_SECURITY_METERING_ERROR UNABLE_TO_LOCK_ROW",
                D::RetryLater,
            ),
            ("ENTITY_IS_LOCKED RECORD_IN_USE_BY_WORKFLOW", D::RetryInHours),
            ("QUERY_TIMEOUT OPERATION_TOO_LARGE QUERY_TOO_COMPLICATED EXCEEDED_ID_LIMIT", D::Narrow),
            (
                "INVALID_QUERY_LOCATOR INVALID_QUERY_LOCATOR_FORMAT QUERY_LOCATOR_EXPIRED LOCATOR_LOCATION_EXCEEDS_SIZE",
                D::RestartQuery,
            ),
            (
                "DUPLICATE_VALUE ENTITY_IS_DELETED NOT_FOUND INVALID_CROSS_REFERENCE_KEY CANNOT_UPDATE_CONVERTED_LEAD",
                D::Relink,
            ),
            (
                "DUPLICATES_DETECTED REQUIRED_FIELD_MISSING STRING_TOO_LONG NUMBER_OUTSIDE_VALID_RANGE INVALID_EMAIL_ADDRESS MALFORMED_ID JSON_PARSER_ERROR INVALID_TYPE_ON_FIELD_IN_RECORD INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST FIELD_CUSTOM_VALIDATION_EXCEPTION INSUFFICIENT_ACCESS INSUFFICIENT_ACCESS_OR_READONLY INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY TRANSFER_REQUIRES_READ INACTIVE_OWNER_OR_USER CANNOT_DELETE_OWNER UNAVAILABLE_RECORDTYPE_EXCEPTION INVALID_PERSON_ACCOUNT_OPERATION INVALID_CURRENCY_ISO INVALID_STATUS",
                D::Park,
            ),
            (
                "FIELD_INTEGRITY_EXCEPTION FIELD_FILTER_VALIDATION_EXCEPTION CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY CANNOT_EXECUTE_FLOW_TRIGGER",
                D::RetryOnceThenPark,
            ),
            ("INVALID_FIELD INVALID_FIELD_FOR_INSERT_UPDATE INVALID_TYPE", D::Redescribe),
            ("ALL_OR_NONE_OPERATION_ROLLED_BACK PROCESSING_HALTED", D::ResendOthers),
            ("INVALID_REPLICATION_DATE", D::ReadEverything),
            ("METHOD_NOT_ALLOWED INVALID_CONTENT_TYPE MALFORMED_QUERY MALFORMED_SEARCH", D::Bug),
        ] {
            for code in codes.split(' ') {
                assert_eq!(Error::from_refusal(refusal(400, code, "")).disposition(), next, "{code}");
            }
        }
    }

    #[test]
    fn an_unknown_code_is_placed_by_its_status() {
        use Disposition as D;
        for (status, next) in [
            (400, D::Park),
            (401, D::Reconnect),
            (403, D::Park),
            (404, D::Relink),
            (412, D::Replan),
            (414, D::Narrow),
            (420, D::RetryLater),
            (429, D::RetryLater),
            (503, D::RetryLater),
        ] {
            let error = Error::from_refusal(refusal(status, "SOMETHING_NEW", ""));
            assert_eq!(error.disposition(), next, "{status}");
        }
    }

    #[test]
    fn a_hidden_field_is_named_with_its_object() {
        let message = "\nSELECT Foo__c FROM Opportunity\n ^\nERROR at Row:1:Column:8\nNo such column 'Foo__c' \
            on entity 'Opportunity'. If you are attempting to use a custom field, be sure to append the '__c'";
        let error = Error::from_refusal(refusal(400, "INVALID_FIELD", message));
        let Error::FieldNotVisible { field, object, .. } = error else { panic!("{error}") };
        assert_eq!((field.as_deref(), object.as_deref()), (Some("Foo__c"), Some("Opportunity")));
    }

    #[test]
    fn the_daily_limit_and_the_concurrent_limit_are_told_apart() {
        let daily = refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
        assert!(matches!(Error::from_refusal(daily), Error::DailyLimitReached(_)));
        let busy = refusal(
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        );
        assert!(matches!(Error::from_refusal(busy), Error::Busy(_)));
    }

    #[test]
    fn token_refusals_are_final_unless_they_say_otherwise() {
        for (code, message, next) in [
            ("invalid_grant", "expired access/refresh token", Disposition::Reconnect),
            ("invalid_client", "invalid client credentials", Disposition::Reconnect),
            ("invalid_client_id", "client identifier invalid", Disposition::Reconnect),
            ("inactive_user", "user is inactive", Disposition::Reconnect),
            ("inactive_org", "", Disposition::Reconnect),
            ("unsupported_grant_type", "", Disposition::Reconnect),
            ("invalid_grant", "login rate exceeded", Disposition::RetryLater),
            ("rate_limit_exceeded", "", Disposition::RetryLater),
            ("unknown_error", "retry your request", Disposition::RetryLater),
        ] {
            assert_eq!(Error::from_token_refusal(refusal(400, code, message)).disposition(), next, "{code}");
        }
    }

    #[test]
    fn a_long_message_is_cut_to_one_line() {
        let text = clipped(&format!("first\n   second {}", "é".repeat(900)));
        assert!(text.starts_with("first second é"));
        assert_eq!(text.chars().count(), MESSAGE_CHARACTERS_MAX + 1);
    }
}
