//! Which refusal of Salesforce is which [`Error`]: a table of its codes. An unknown
//! code is placed by its HTTP status.

use super::error::{Error, Refusal};

impl Error {
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
            // Following would carry the token elsewhere: the address in the settings is old.
            301..=399 => Self::CredentialsRefused(refusal),
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

#[cfg(test)]
mod tests {
    use super::super::error::{Disposition, clipped};
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
            (302, D::Reconnect),
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
        assert_eq!(text.chars().count(), 501);
    }
}
