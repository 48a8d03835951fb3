//! What goes wrong with a whole command or run, as a person reads it.

use std::fmt;

use dealsync_core::reason::{Code, Reason};
use dealsync_core::value::timestamp_text;

use crate::salesforce;
use crate::store::StoreError;

/// A failure of a command or run: a sentence, hints, and the catalogue's entry
/// where it has one. Internal detail goes to the operator's log, not in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppError {
    pub message: String,
    pub hints: Vec<String>,
    pub code: Option<Code>,
    pub kind: FailureKind,
}

/// What the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A person corrects what they asked for or set.
    User,
    /// The connection waits for a person.
    Paused,
    /// The same again later.
    Later,
    /// Somebody else holds the lane.
    Held,
    /// A fault of this program.
    Bug,
}

impl AppError {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), code: None, kind: FailureKind::User }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub fn kind(mut self, kind: FailureKind) -> Self {
        self.kind = kind;
        self
    }

    /// A failure that the catalogue knows; its fix becomes the first hint.
    pub fn coded(reason: Reason) -> Self {
        use dealsync_core::reason::Retry;
        let kind = match reason.code.entry().retry {
            Retry::Pause => FailureKind::Paused,
            Retry::Auto => FailureKind::Later,
            _ => FailureKind::User,
        };
        Self {
            message: format!("{}: {}", reason.code, reason.message),
            hints: vec![reason.fix],
            code: Some(reason.code),
            kind,
        }
    }

    /// A broken assumption of ours; the details go to the log once, here.
    pub fn bug(error: impl fmt::Display) -> Self {
        tracing::error!(%error, "A fault of dealsync itself: {error}");
        Self::new("dealsync failed in a way it should not; the operator's log says more")
            .kind(FailureKind::Bug)
    }

    /// The entry of the log that this failure leaves, where a person can act on it.
    pub fn reason(&self) -> Option<Reason> {
        let code = self.code?;
        let message = self
            .message
            .strip_prefix(code.name())
            .map_or(&*self.message, |rest| rest.trim_start_matches([':', ' ']));
        Some(Reason {
            code,
            level: code.entry().level,
            message: message.to_owned(),
            fix: self.hints.join(" "),
            detail: None,
            field: None,
        })
    }
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AppError {}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Fenced { .. } => FailureKind::Held,
            StoreError::Full { .. } | StoreError::Busy { .. } => FailureKind::Later,
            StoreError::Conflict { .. } | StoreError::Other { .. } => {
                tracing::error!(error = ?error, "The store refused: {error}");
                FailureKind::Bug
            }
            _ => FailureKind::User,
        };
        let text = error.to_string();
        let (message, hint) = match &error {
            StoreError::NotFound { what, .. } => (&*text, where_to_look(what).to_owned()),
            StoreError::NoSuchTenant { .. } => (&*text, "all of them: dealsync tenant list".to_owned()),
            // The store's other texts end in what to do.
            _ => match text.rsplit_once("; ") {
                Some((message, advice)) => (message, advice.to_owned()),
                None => (&*text, String::new()),
            },
        };
        let failed = Self::new(message).kind(kind);
        if hint.is_empty() { failed } else { failed.hint(hint) }
    }
}

/// The command that lists what something was looked for among.
fn where_to_look(what: &str) -> &'static str {
    match what {
        "user" => "all of them: dealsync user list",
        "lane" => "all of them: dealsync lane list",
        "run" => "all of them: dealsync lane runs",
        "record set aside with the id" => "all of them: dealsync parked list",
        _ => "all of them: dealsync deal list",
    }
}

impl From<salesforce::Error> for AppError {
    fn from(error: salesforce::Error) -> Self {
        use salesforce::Error as E;
        let text = error.refusal().map_or_else(|| chain(&error), ToString::to_string);
        let with = |code: Code, values: &[(&str, &str)]| Self::coded(Reason::new(code, values));
        match &error {
            E::CredentialsRefused(refusal) if refusal.code == "invalid_scope" => {
                with(Code::OauthScope, &[("text", &text)])
            }
            // The session is sound; it was given out without the scope `api`.
            E::SessionRefused(refusal) if refusal.message.contains("not valid for use with the REST API") => {
                with(Code::OauthScope, &[("text", &text)])
            }
            E::CredentialsRefused(_) | E::SettingsUnusable(_) => with(Code::AuthBad, &[("text", &text)]),
            E::SessionRefused(_) | E::SessionExpired(_) | E::RotationNotStored(_) => {
                with(Code::AuthExpired, &[]).hint(text)
            }
            E::AccessRefused(_) => with(Code::ApiDisabled, &[]).hint(text),
            E::OrgChanged { was, now } => crate::app::org_changed(*was, *now),
            E::BudgetSpent { resumes_at_micros, .. } => with(Code::BudgetReached, &[("n", "the allotted")])
                .hint(format!("runs go on after {}", timestamp_text(*resumes_at_micros))),
            E::DailyLimitReached(_) => with(Code::ApiLimit, &[]).hint(text),
            E::Busy(_) => with(Code::ApiConcurrency, &[]),
            E::FieldNotVisible { field, object, .. } => with(
                Code::FieldNotVisible,
                &[
                    ("field", field.as_deref().unwrap_or("a field")),
                    ("object", object.as_deref().unwrap_or("an object")),
                ],
            ),
            E::ObjectNotVisible { object, .. } => {
                with(Code::ObjectNotAvailable, &[("object", object.as_deref().unwrap_or("an object"))])
            }
            E::OrgFull(_) => with(Code::StorageFull, &[]),
            E::Unreachable { source: salesforce::TransportError::PlainHttp { .. }, .. } => {
                with(Code::AuthBad, &[("text", &text)])
                    .hint("plain http is allowed to this machine only; write https://")
            }
            E::AddressRefused { .. } => with(Code::AuthBad, &[("text", &text)])
                .hint("https is needed everywhere but on this machine; see login_url in [connection]"),
            E::BadAnswer { call: "token", .. } => with(Code::SfUnavailable, &[("text", &text)])
                .hint("if this lasts, see whether login_url in [connection] is Salesforce's"),
            E::Unavailable(_) | E::Unreachable { .. } | E::BadAnswer { .. } => {
                with(Code::SfUnavailable, &[("text", &text)])
            }
            E::Misasked(_) => Self::bug(&error),
            _ => with(Code::SfUnavailable, &[("text", &text)]),
        }
    }
}

/// An error with what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salesforce::{Error, Refusal};

    fn refusal(status: u16, code: &str, message: &str) -> Box<Refusal> {
        Box::new(Refusal {
            call: "query",
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            fields: Vec::new(),
            request_id: None,
            retry_after: None,
        })
    }

    #[test]
    fn what_a_person_must_do_about_the_connection_is_told_apart() {
        let of = |error: Error| AppError::from(error).code.map(Code::name);
        let without_scope = "This session is not valid for use with the REST API";
        let session = |message| Error::SessionRefused(refusal(401, "INVALID_SESSION_ID", message));
        assert_eq!(of(session(without_scope)), Some("OAUTH_SCOPE"));
        assert_eq!(of(session("Session expired or invalid")), Some("AUTH_EXPIRED"));
        let token = |code| Error::CredentialsRefused(refusal(400, code, "refused"));
        assert_eq!(of(token("invalid_scope")), Some("OAUTH_SCOPE"));
        assert_eq!(of(token("invalid_grant")), Some("AUTH_BAD"));
        let disabled = refusal(403, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization");
        assert_eq!(of(Error::AccessRefused(disabled)), Some("API_DISABLED"));
        let unknown = refusal(400, "INVALID_TYPE", "sObject type 'Opportunity' is not supported.");
        let hidden = Error::ObjectNotVisible { object: Some("Opportunity".to_owned()), refusal: unknown };
        assert_eq!(of(hidden), Some("OBJECT_NOT_AVAILABLE"));
    }
}
