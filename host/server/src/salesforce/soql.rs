//! Text of queries. Whatever comes from outside passes through one of these
//! functions on its way into a query or an address.

use std::fmt::Write as _;

use dealsync_core::ids::SfId;
use dealsync_core::value::timestamp_text;

/// Longest request address Salesforce takes, in bytes.
pub(super) const URI_BYTES_MAX: usize = 16_384;
/// Room left for the host's name, the path and the request line around the query.
pub(super) const URI_BYTES_RESERVED: usize = 512;
/// Longest API name taken, with its parents.
const NAME_BYTES_MAX: usize = 255;

/// True where `name` is an API name, or several joined by dots. Such a name can
/// stand in a query as it is.
pub(super) fn is_api_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(|part| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
}

/// A text literal: `'O\'Neil'`.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "reading asks by id and stamp only; writing looks up by key")
)]
pub(super) fn text_literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for letter in text.chars() {
        match letter {
            '\'' => literal.push_str("\\'"),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

/// A date-time literal, in whole seconds: `2026-01-01T00:00:00Z`. A fraction is
/// dropped, which moves a lower bound down; stamps have whole seconds anyway.
pub(super) fn stamp_literal(micros: i64) -> String {
    timestamp_text(micros.div_euclid(1_000_000) * 1_000_000)
}

/// `('006…','006…')`
pub(super) fn id_list(ids: &[SfId]) -> String {
    let mut list = String::with_capacity(ids.len() * 21 + 2);
    list.push('(');
    for (at, id) in ids.iter().enumerate() {
        if at > 0 {
            list.push(',');
        }
        // Ids are letters and digits by construction.
        let _ = write!(list, "'{id}'");
    }
    list.push(')');
    list
}

/// How many ids fit into one address beside a query text of this form.
pub(super) fn ids_per_call(soql_without_ids: &str) -> usize {
    // Each id is 18 characters, two quotes and a comma, all three percent-encoded.
    const ENCODED_ID_BYTES: usize = 18 + 9;
    let room = URI_BYTES_MAX.saturating_sub(URI_BYTES_RESERVED + encoded_len(soql_without_ids));
    (room / ENCODED_ID_BYTES).clamp(1, 500)
}

/// Percent-encodes everything but the unreserved characters.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + text.len() / 2);
    for byte in text.bytes() {
        if is_unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

pub(super) fn encoded_len(text: &str) -> usize {
    text.bytes().map(|byte| if is_unreserved(byte) { 1 } else { 3 }).sum()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_cannot_leave_its_literal() {
        assert_eq!(text_literal(r"O'Neil \ Co"), r"'O\'Neil \\ Co'");
        assert_eq!(text_literal("x' OR Name != '"), r"'x\' OR Name != \''");
    }

    #[test]
    fn only_api_names_are_names() {
        for name in ["Name", "Account.Name", "Portal_Partner_Email__c", "Account.Owner.Email"] {
            assert!(is_api_name(name), "{name}");
        }
        for name in ["", "Name, Id", "Name FROM User", "Account..Name", ".Name", "1st", "Näme", "a'b", "__c"]
        {
            assert!(!is_api_name(name), "{name}");
        }
        assert!(!is_api_name(&"a".repeat(300)));
    }

    #[test]
    fn stamps_are_whole_seconds_in_utc() {
        assert_eq!(stamp_literal(1_700_000_000_999_999), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn as_many_ids_as_fit_the_address_are_asked_for_at_once() {
        let id: SfId = "006D000000IRFma".parse().expect("an id");
        let base = "SELECT Id FROM Lead WHERE ConvertedOpportunityId IN ";
        let soql = format!("{base}{}", id_list(&vec![id; ids_per_call(base)]));
        assert!(encode(&soql).len() <= URI_BYTES_MAX - URI_BYTES_RESERVED + 6, "two brackets more");
        assert_eq!(encode(&soql).len(), encoded_len(&soql));
        assert!(ids_per_call(base) > 400);
    }
}
