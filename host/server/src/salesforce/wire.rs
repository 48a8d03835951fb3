//! Salesforce's JSON as it crosses the wire, all but the rows of a pull, which
//! `page.rs` reads. Unknown keys are passed over; what may be missing is optional.

use std::time::Duration;

use dealsync_core::ids::SfId;
use dealsync_core::value::parse_timestamp;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};

use super::error::{Error, Refusal, clipped};
use super::transport::{Response, Url};

#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: String,
    pub(super) instance_url: String,
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) refresh_token: Option<String>,
}

/// A version of the API that the org speaks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// `62.0`
    pub version: String,
    /// `Winter '25`
    #[serde(default)]
    pub label: String,
}

/// The org's calls in 24 hours, by everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub daily_calls_max: u32,
    pub daily_calls_left: u32,
}

#[derive(Deserialize)]
pub(super) struct LimitsAnswer {
    #[serde(rename = "DailyApiRequests")]
    daily: DailyAnswer,
}

#[derive(Deserialize)]
struct DailyAnswer {
    #[serde(rename = "Max")]
    max: i64,
    #[serde(rename = "Remaining")]
    remaining: i64,
}

impl From<LimitsAnswer> for Limits {
    fn from(answer: LimitsAnswer) -> Self {
        let fit = |calls: i64| u32::try_from(calls.max(0)).unwrap_or(u32::MAX);
        Self { daily_calls_max: fit(answer.daily.max), daily_calls_left: fit(answer.daily.remaining) }
    }
}

/// A page of a small query.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryAnswer<T> {
    #[serde(default)]
    pub(super) total_size: u64,
    pub(super) done: bool,
    #[serde(default)]
    pub(super) next_records_url: Option<String>,
    #[serde(default = "Vec::new")]
    pub(super) records: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ChangedRow {
    #[serde(deserialize_with = "an_id")]
    pub(super) id: SfId,
    #[serde(deserialize_with = "a_stamp")]
    pub(super) system_modstamp: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RoleRow {
    #[serde(deserialize_with = "an_id")]
    pub(super) opportunity_id: SfId,
    #[serde(deserialize_with = "a_stamp")]
    pub(super) system_modstamp: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DeletedRow {
    #[serde(deserialize_with = "an_id")]
    pub(super) id: SfId,
    #[serde(default, deserialize_with = "maybe_an_id")]
    pub(super) master_record_id: Option<SfId>,
    #[serde(deserialize_with = "a_stamp")]
    pub(super) system_modstamp: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConvertedRow {
    #[serde(deserialize_with = "an_id")]
    pub(super) id: SfId,
    #[serde(deserialize_with = "an_id")]
    pub(super) converted_opportunity_id: SfId,
}

/// What a retrieve of many records is asked with.
#[derive(Serialize)]
pub(super) struct RetrieveRequest<'a> {
    pub(super) ids: &'a [&'a str],
    pub(super) fields: &'a [&'a str],
}

fn an_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SfId, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

fn maybe_an_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SfId>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

fn a_stamp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_timestamp(&text).ok_or_else(|| serde::de::Error::custom("no date and time"))
}

/// Reads a small answer whole.
pub(super) fn read<T: DeserializeOwned>(call: &'static str, response: &Response) -> Result<T, Error> {
    serde_json::from_slice(&response.body).map_err(|error| {
        bad_answer(call, response, &format!("{} at byte {}", kind_of(&error), error.column()))
    })
}

fn kind_of(error: &serde_json::Error) -> &'static str {
    // The error's own text can quote values of the body.
    match error.classify() {
        serde_json::error::Category::Eof => "the JSON is cut off",
        serde_json::error::Category::Data => "the JSON has another form than expected",
        _ => "no JSON",
    }
}

/// An answer that is not what Salesforce sends.
pub(super) fn bad_answer(call: &'static str, response: &Response, problem: &str) -> Error {
    let text = match html_title(&response.body) {
        Some(title) if title.is_empty() => "a web page instead of JSON".to_owned(),
        Some(title) => format!("a web page instead of JSON, titled \"{title}\""),
        None => problem.to_owned(),
    };
    Error::BadAnswer { call, status: response.status, text, request_id: request_id(response) }
}

/// The title of a web page; empty where it has none; `None` where it is no page.
fn html_title(body: &[u8]) -> Option<String> {
    const LOOK_BYTES: usize = 4_096;
    let start = String::from_utf8_lossy(&body[..body.len().min(LOOK_BYTES)]);
    if !start.trim_start().starts_with('<') {
        return None;
    }
    let lower = start.to_ascii_lowercase();
    let title = lower.find("<title>").and_then(|from| {
        let from = from + "<title>".len();
        let to = from + lower[from..].find('<')?;
        Some(clipped(&start[from..to]))
    });
    Some(title.unwrap_or_default())
}

pub(super) fn request_id(response: &Response) -> Option<String> {
    response.header("x-sfdc-request-id").map(clipped)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RefusalBody {
    // `statusCode` stands in the results of single rows.
    #[serde(default, alias = "statusCode")]
    error_code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    fields: Option<Vec<String>>,
    // Only the token endpoint speaks these two.
    #[serde(default)]
    error: String,
    #[serde(default, rename = "error_description")]
    error_description: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RefusalForms {
    Many(Vec<RefusalBody>),
    /// An upsert whose key fits several records: their addresses. Before the next
    /// form, which a list of texts would fit as well.
    Several(Vec<String>),
    One(RefusalBody),
}

/// Reads what stands in an answer that is no success. Refuses where it is not
/// Salesforce that speaks.
pub(super) fn refusal(call: &'static str, response: &Response, now_micros: i64) -> Result<Refusal, Error> {
    let mut refusal = Refusal {
        call,
        status: response.status,
        code: String::new(),
        message: String::new(),
        fields: Vec::new(),
        request_id: request_id(response),
        retry_after: response.header("retry-after").and_then(|text| retry_after(text, now_micros)),
    };
    if let (301..400, Some(target)) = (response.status, response.header("location")) {
        let host = Url::parse(target).ok().and_then(|url| url.host_str().map(clipped));
        refusal.message = format!("redirected to {}", host.as_deref().unwrap_or("another address"));
        return Ok(refusal);
    }
    if response.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(refusal);
    }
    let body = match serde_json::from_slice(&response.body) {
        Ok(RefusalForms::Many(bodies)) => bodies.into_iter().next(),
        Ok(RefusalForms::One(body)) => Some(body),
        Ok(RefusalForms::Several(records)) => {
            refusal.message = format!("{} records have that key", records.len());
            None
        }
        Err(_) => match serde_json::from_slice::<IgnoredAny>(&response.body) {
            // JSON of a form we do not know; its status still says something.
            Ok(_) => None,
            Err(error) => return Err(bad_answer(call, response, kind_of(&error))),
        },
    };
    if let Some(body) = body {
        let token_words = body.error_code.is_empty();
        refusal.code = clipped(if token_words { &body.error } else { &body.error_code });
        refusal.message = clipped(if token_words { &body.error_description } else { &body.message });
        refusal.fields = body.fields.unwrap_or_default();
    }
    Ok(refusal)
}

/// Seconds, or a date.
fn retry_after(text: &str, now_micros: i64) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp().as_microsecond();
    Some(Duration::from_micros(until.saturating_sub(now_micros).max(0) as u64))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response { status, headers: HeaderMap::new(), body: body.into() }
    }

    #[test]
    fn refusals_come_in_many_forms() {
        for (body, code, message) in [
            (r#"[{"message":"gone","errorCode":"NOT_FOUND","fields":[]}]"#, "NOT_FOUND", "gone"),
            (
                r#"{"message":"INVALID_HEADER_TYPE","errorCode":"INVALID_AUTH_HEADER"}"#,
                "INVALID_AUTH_HEADER",
                "INVALID_HEADER_TYPE",
            ),
            (r#"{"error":"invalid_grant","error_description":"expired"}"#, "invalid_grant", "expired"),
            (r#"["/services/data/v62.0/sobjects/Account/1"]"#, "", "1 records have that key"),
            ("[]", "", ""),
            ("{}", "", ""),
            ("", "", ""),
        ] {
            let refusal = refusal("query", &response(400, body), 0).expect("a refusal");
            assert_eq!((refusal.code.as_str(), refusal.message.as_str()), (code, message), "{body}");
        }
    }

    #[test]
    fn a_proxys_page_is_an_error_with_its_title() {
        let page = "<!DOCTYPE html><html><head><TITLE>Down for\n Maintenance</TITLE></head></html>";
        let error = refusal("query", &response(503, page), 0).expect_err("no JSON");
        assert!(error.to_string().contains("titled \"Down for Maintenance\""), "{error}");
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("7", 0), Some(Duration::from_secs(7)));
        let now = parse_timestamp("2026-11-22T02:14:00Z").expect("a stamp");
        assert_eq!(retry_after("Sun, 22 Nov 2026 02:14:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sun, 22 Nov 2026 02:13:30 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
