//! The door: one handler takes every request, reads it whole, lets faults strike,
//! routes it and puts the service's headers on the answer.

mod composite;
pub(crate) mod control;
mod describe;
pub(crate) mod io;
mod oauth;
pub(crate) mod query;
mod rest;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::Shared;
use crate::errors::ApiError;
use crate::faults::{Fault, FaultKind, Late};
use crate::org::{Edit, Org};
use crate::sessions::Session;

/// The largest request body read.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Answers below this are not worth compressing.
const GZIP_FROM_BYTES: usize = 1024;

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(move |request: Request| handle(shared.clone(), request))
}

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Call {
    pub method: String,
    /// Percent-decoded pieces of the path, without empty ones.
    pub parts: Vec<String>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// `http://host:port` as the caller spelt it.
    pub base: String,
    /// Rows to repeat, from a fault.
    pub repeat_rows: usize,
}

impl Call {
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The version of `/services/data/v59.0/…`.
    pub fn version(&self) -> Option<u32> {
        let text = self.parts.get(2)?.strip_prefix(['v', 'V'])?;
        text.strip_suffix(".0").unwrap_or(text).parse().ok()
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::bad("JSON_PARSER_ERROR", error.to_string()))
    }
}

/// An answer before its common headers.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub content_type: &'static str,
}

const JSON: &str = "application/json;charset=UTF-8";

impl Reply {
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::raw(status, body.to_string().into_bytes())
    }

    /// A body that is JSON text already.
    pub fn raw(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body, content_type: JSON }
    }

    pub fn empty(status: u16) -> Self {
        Self::raw(status, Vec::new())
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<ApiError> for Reply {
    fn from(error: ApiError) -> Self {
        Self::json(error.status, &error.body())
    }
}

async fn handle(shared: Arc<Shared>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let switch =
        head.extensions.get::<axum::extract::ConnectInfo<io::CutSwitch>>().map(|info| info.0.clone());
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return finish(
            Reply::from(ApiError::bad("REQUEST_TOO_LARGE", "the body is too large").status(413)),
            false,
        );
    };
    let host = head.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let mut call = Call {
        method: method(&head.method, &head.uri),
        parts: head
            .uri
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode(part, false))
            .collect(),
        query: pairs(head.uri.query().unwrap_or_default()),
        base: format!("http://{host}"),
        headers: head.headers,
        body,
        repeat_rows: 0,
    };
    let gzip = call.header("accept-encoding").is_some_and(|encodings| encodings.contains("gzip"));
    if call.parts.first().map(String::as_str) == Some("__sim") {
        return finish(control::answer(&shared, &call), false);
    }
    let kind = kind(&call);
    let path = call.parts.join("/");
    let struck = shared.faults().strike(kind, &path, call.param("q").unwrap_or_default());
    {
        let mut tally = shared.tally();
        tally.total += 1;
        *tally.kinds.entry(kind.to_owned()).or_default() += 1;
        for fault in &struck {
            let name = serde_json::to_value(fault.kind).ok();
            let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_owned();
            *tally.faults.entry(name).or_default() += 1;
        }
    }
    let wait: u64 = struck.iter().filter(|fault| fault.kind == FaultKind::Slow).map(|fault| fault.ms).sum();
    if wait > 0 {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    let cut = |when: FaultKind| struck.iter().any(|fault| fault.kind == when);
    if cut(FaultKind::CutBefore) {
        return cut_off(&shared, switch);
    }
    call.repeat_rows =
        struck.iter().find(|fault| fault.kind == FaultKind::DuplicateRows).map_or(0, |fault| fault.rows);
    let mut reply = match struck.iter().find_map(refusal) {
        Some(refusal) => refusal,
        None => answer(&shared, &call, kind),
    };
    for late in struck.iter().filter_map(|fault| fault.late.as_ref()) {
        commit_late(&mut shared.org_mut(), late);
    }
    if cut(FaultKind::CutAfter) {
        return cut_off(&shared, switch);
    }
    if cut(FaultKind::Truncated) {
        let mut half = reply.body.len() / 2;
        while half > 0 && std::str::from_utf8(&reply.body[..half]).is_err() {
            half -= 1;
        }
        reply.body.truncate(half);
    }
    *shared.tally().statuses.entry(reply.status).or_default() += 1;
    finish(reply, gzip)
}

/// Old clients say PATCH as `POST …?_HttpMethod=PATCH`.
fn method(method: &axum::http::Method, uri: &axum::http::Uri) -> String {
    let other = pairs(uri.query().unwrap_or_default()).into_iter().find(|(name, _)| name == "_HttpMethod");
    match other {
        Some((_, other)) if method == axum::http::Method::POST => other.to_ascii_uppercase(),
        _ => method.as_str().to_owned(),
    }
}

/// The kind of a call, as faults and counts name it.
fn kind(call: &Call) -> &'static str {
    let parts: Vec<String> = call.parts.iter().map(|part| part.to_ascii_lowercase()).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let read = call.method == "GET" || call.method == "HEAD";
    match parts.as_slice() {
        ["services", "oauth2", "token"] => "token",
        ["services", "oauth2", ..] | ["id", ..] => "identity",
        ["services", "data"] => "versions",
        ["services", "data", _] => "resources",
        ["services", "data", _, "limits", ..] => "limits",
        ["services", "data", _, "query" | "queryall"] => "query",
        ["services", "data", _, "query" | "queryall", _] => "query_more",
        ["services", "data", _, "sobjects"] => "describe_global",
        ["services", "data", _, "sobjects", _, "describe"] => "describe",
        ["services", "data", _, "sobjects", _, "updated"] => "updated",
        ["services", "data", _, "sobjects", _, "deleted"] => "deleted",
        ["services", "data", _, "sobjects", _] => {
            if read {
                "basic_info"
            } else {
                "insert"
            }
        }
        ["services", "data", _, "sobjects", _, _] => match call.method.as_str() {
            "PATCH" => "update",
            "DELETE" => "delete",
            "POST" => "insert",
            _ => "row",
        },
        ["services", "data", _, "sobjects", _, _, _] => {
            if read {
                "row"
            } else {
                "upsert"
            }
        }
        ["services", "data", _, "composite", "sobjects"] => "collections",
        ["services", "data", _, "composite", "sobjects", _] => "retrieve",
        ["services", "data", _, "composite", "sobjects", _, _] => "collections_upsert",
        ["services", "data", _, "composite", ..] => "composite",
        _ => "other",
    }
}

/// The answer a fault gives instead of the real one.
fn refusal(fault: &Fault) -> Option<Reply> {
    let error = |status, code, message: &str| Reply::from(ApiError::bad(code, message).status(status));
    Some(match fault.kind {
        FaultKind::Unauthorized => error(401, "INVALID_SESSION_ID", "Session expired or invalid"),
        FaultKind::DailyLimit => error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        FaultKind::ConcurrentLimit => error(
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ),
        FaultKind::TooManyRequests => {
            Reply { content_type: "text/plain", ..Reply::raw(429, b"Too Many Requests".to_vec()) }
        }
        FaultKind::ServerError => error(
            500,
            "UNKNOWN_EXCEPTION",
            "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-12345 (123456789)",
        ),
        FaultKind::Unavailable => error(503, "SERVER_UNAVAILABLE", "Server temporarily unavailable"),
        FaultKind::Html => Reply {
            content_type: "text/html; charset=UTF-8",
            ..Reply::raw(503, MAINTENANCE.as_bytes().to_vec())
        },
        FaultKind::LocatorGone => error(400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
        _ => return None,
    })
}

const MAINTENANCE: &str = "<!DOCTYPE html>\n<html><head><title>Scheduled Maintenance</title></head>\
                           <body><h1>We are down for maintenance.</h1></body></html>\n";

fn commit_late(org: &mut Org, late: &Late) {
    let stamp = org.clock.now() - late.seconds_back;
    let edit = Edit { actor: org.admin, api: false, stamp: Some(stamp) };
    let Ok(at) = org.object(&late.object) else { return };
    // A late row that cannot be written is a mistake in the test, which will miss the row.
    let _ = match late.id.as_deref().and_then(crate::ids::parse) {
        Some(id) => org.update(at, id, &late.fields, &edit),
        None => org.insert(at, &late.fields, &edit).map(|_| ()),
    };
}

fn cut_off(shared: &Shared, switch: Option<io::CutSwitch>) -> Response<Body> {
    *shared.tally().statuses.entry(0).or_default() += 1;
    if let Some(switch) = switch {
        switch.cut();
    }
    finish(Reply { content_type: "text/plain", ..Reply::raw(502, Vec::new()) }.with("x-sim-cut", "1"), false)
}

/// Routes a call that no fault refused.
fn answer(shared: &Shared, call: &Call, kind: &str) -> Reply {
    let parts: Vec<&str> = call.parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["services", "oauth2", rest @ ..] => oauth::answer(shared, call, rest),
        ["id", org, user] => oauth::identity(shared, call, org, user),
        ["services", "data"] => rest::versions(shared),
        ["services", "data", _, ..] => data(shared, call, kind),
        [] => control::page(),
        _ => ApiError::not_found().into(),
    }
}

/// Everything below a version: needs a session, and counts.
fn data(shared: &Shared, call: &Call, kind: &str) -> Reply {
    let session = match authenticate(shared, call) {
        Ok(session) => session,
        Err(refused) => return refused,
    };
    let (now, versions) = {
        let org = shared.org();
        (org.clock.now(), org.file.org.versions)
    };
    if call.version().is_none_or(|version| !(versions.first..=versions.last).contains(&version)) {
        return ApiError::not_found().into();
    }
    shared.tally().counted += 1;
    if !shared.sessions().count_call(now) {
        return Reply::from(
            ApiError::bad("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").status(403),
        );
    }
    let caller = Caller::of(shared, &session);
    let reply = route(shared, call, &caller, kind).unwrap_or_else(Reply::from);
    let (used, limit) = shared.sessions().usage();
    reply.with("sforce-limit-info", format!("api-usage={used}/{limit}"))
}

/// The user a call runs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub edit: Edit,
}

impl Caller {
    fn of(shared: &Shared, session: &Session) -> Self {
        let org = shared.org();
        let at = org.schema.find("User").expect("shipped");
        let actor = org.user_by_name(&session.username).map_or(org.admin, |row| org.tables[at].id(row));
        Self { edit: Edit { actor, api: true, stamp: None } }
    }
}

/// One resource; composite calls come back here for each of their parts.
pub(crate) fn route(shared: &Shared, call: &Call, caller: &Caller, kind: &str) -> Result<Reply, ApiError> {
    let lower: Vec<String> = call.parts.iter().skip(3).map(|part| part.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let exact: Vec<&str> = call.parts.iter().skip(3).map(String::as_str).collect();
    match (lower.as_slice(), exact.as_slice()) {
        ([], _) => rest::resources(call),
        (["limits"], _) => rest::limits(shared),
        (["limits", "recordcount"], _) => rest::record_count(shared, call),
        ([query @ ("query" | "queryall")], _) => query::first(shared, call, *query == "queryall"),
        (["query" | "queryall", _], [_, locator]) => query::more(shared, call, locator),
        (["sobjects"], _) => describe::global(shared, call),
        (["sobjects", _, "describe"], [_, object, _]) => describe::one(shared, call, object),
        (["sobjects", _, "updated"], [_, object, _]) => rest::updated(shared, call, object),
        (["sobjects", _, "deleted"], [_, object, _]) => rest::deleted(shared, call, object),
        (["sobjects", _], [_, object]) if call.method == "GET" => describe::basic(shared, call, object),
        (["sobjects", _], [_, object]) => rest::create(shared, call, caller, object),
        (["sobjects", _, "id"], [_, object, _]) if call.method == "POST" => {
            rest::create(shared, call, caller, object)
        }
        (["sobjects", _, _], [_, object, id]) => rest::row(shared, call, caller, object, id),
        (["sobjects", _, _, _], [_, object, field, value]) => {
            rest::by_key(shared, call, caller, object, field, value)
        }
        (["composite", "sobjects"], _) => composite::collections(shared, call, caller),
        (["composite", "sobjects", _], [_, _, object]) => composite::retrieve(shared, call, object),
        (["composite", "sobjects", _, _], [_, _, object, field]) => {
            composite::upsert_all(shared, call, caller, object, field)
        }
        (["composite"], _) if kind == "composite" => composite::sequence(shared, call, caller),
        (["composite", "batch"], _) if kind == "composite" => composite::batch(shared, call, caller),
        _ => Err(ApiError::not_found()),
    }
}

fn authenticate(shared: &Shared, call: &Call) -> Result<Session, Reply> {
    let refuse = |code: &'static str, message: &str| {
        let mut body = serde_json::json!([{"message": message, "errorCode": code}]);
        if code == "INVALID_AUTH_HEADER" {
            body = body[0].take();
        }
        Reply::json(401, &body).with("www-authenticate", "Token")
    };
    let Some(header) = call.header("authorization") else {
        return Err(refuse("INVALID_SESSION_ID", "Session expired or invalid"));
    };
    let token = match header.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("Bearer") || scheme.eq_ignore_ascii_case("OAuth") =>
        {
            token.trim()
        }
        _ => return Err(refuse("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")),
    };
    let now = shared.org().clock.now();
    let session = shared.sessions().check(token, now);
    session.ok_or_else(|| refuse("INVALID_SESSION_ID", "Session expired or invalid"))
}

/// Puts the headers on that every answer of the service has.
fn finish(reply: Reply, gzip: bool) -> Response<Body> {
    let mut response =
        Response::builder().status(StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK));
    let headers = response.headers_mut().expect("a status alone cannot be wrong");
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("cache-control", "no-cache,must-revalidate,max-age=0,no-store,private");
    put("vary", "Accept-Encoding");
    put("x-robots-tag", "none");
    put("x-sfdc-request-id", &request_id());
    if !reply.body.is_empty() {
        put("content-type", reply.content_type);
    }
    for (name, value) in &reply.headers {
        put(name, value);
    }
    let body = if gzip && reply.body.len() >= GZIP_FROM_BYTES {
        put("content-encoding", "gzip");
        compress(&reply.body)
    } else {
        reply.body
    };
    response.body(Body::from(body)).expect("headers were checked one by one")
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("writing to memory")
}

fn request_id() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!(
        "{:032x}",
        u128::from(NEXT.fetch_add(1, Ordering::Relaxed))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    )
}

/// The pairs of a query string or form.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        })
        .collect()
}

/// Percent-decodes; in forms and query strings a plus is a space.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = |byte: u8| (byte as char).to_digit(16);
        match bytes[at] {
            b'%' => {
                match (bytes.get(at + 1).and_then(|b| hex(*b)), bytes.get(at + 2).and_then(|b| hex(*b))) {
                    (Some(high), Some(low)) => {
                        out.push((high * 16 + low) as u8);
                        at += 2;
                    }
                    _ => out.push(b'%'),
                }
            }
            b'+' if plus => out.push(b' '),
            other => out.push(other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
