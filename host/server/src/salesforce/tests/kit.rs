//! A server that answers as it is told, and a client that talks to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer as _;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use dealsync_core::schema::{FieldDef, FieldKind, Schema};

use super::super::*;
use crate::clock::{Clock as _, ManualClock};

pub(super) const ORG: &str = "00D000000000001EAA";
pub(super) const NOON_MICROS: i64 = 1_795_000_000_000_000;
pub(super) const INSTANCE: &str = "https://acme.my.salesforce.com";

/// What the server saw.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query, decoded.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

/// Tokens are given out freely, numbered; other calls are answered from a list, in
/// order, and with an empty page after its end.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) tokens: VecDeque<Answer>,
    pub(super) answers: VecDeque<Answer>,
    pub(super) seen: Vec<Seen>,
    pub(super) logins: Vec<Seen>,
}

pub(super) struct World {
    pub(super) client: Client,
    pub(super) clock: Arc<ManualClock>,
    pub(super) script: Arc<Mutex<Script>>,
}

pub(super) fn settings(grant: Grant) -> ConnectionSettings {
    ConnectionSettings {
        login_url: "https://login.salesforce.com".to_owned(),
        grant,
        client_id: "consumer-key".to_owned(),
        username: Some("api@acme.example".to_owned()),
        audience: None,
        api_version: "62.0".to_owned(),
        daily_calls_max: None,
        manual_reserve: 0,
    }
}

/// A key made for this process alone.
pub(super) fn key_pem() -> String {
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = key.as_der().expect("a key");
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64"));
        pem.push('\n');
    }
    pem + "-----END PRIVATE KEY-----\n"
}

impl World {
    pub(super) fn new() -> Self {
        let secrets = Secrets { client_secret: Some(Secret::new("s3cret+&")), ..Secrets::default() };
        Self::with(settings(Grant::ClientCredentials), secrets)
    }

    pub(super) fn with(settings: ConnectionSettings, secrets: Secrets) -> Self {
        let budget = Budget::new(settings.daily_calls_max, settings.manual_reserve);
        let script = Arc::new(Mutex::new(Script::default()));
        let router = Router::new().fallback({
            let script = script.clone();
            move |request: Request| serve(script.clone(), request)
        });
        let clock = Arc::new(ManualClock::skipping(NOON_MICROS));
        let transport = Arc::new(InProcess::new(router).answer_bytes_max(1 << 20));
        let client = Client::new(settings, secrets, transport, clock.clone(), Arc::new(budget), 7);
        Self { client: client.expect("usable settings"), clock, script }
    }

    pub(super) fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics here")
    }

    pub(super) fn answer(&self, status: u16, body: impl Into<Vec<u8>>) -> &Self {
        self.answer_with(status, &[], body)
    }

    pub(super) fn answer_with(
        &self,
        status: u16,
        headers: &[(&'static str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> &Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.script().answers.push_back((status, headers, body.into()));
        self
    }

    pub(super) fn refuse(&self, status: u16, code: &str, message: &str) -> &Self {
        let body = serde_json::json!([{ "message": message, "errorCode": code }]);
        self.answer(status, body.to_string())
    }

    pub(super) fn answer_token(&self, status: u16, body: &str) -> &Self {
        self.script().tokens.push_back((status, Vec::new(), body.into()));
        self
    }

    pub(super) fn calls(&self) -> usize {
        self.script().seen.len()
    }

    pub(super) fn logins(&self) -> usize {
        self.script().logins.len()
    }

    pub(super) fn slept_ms(&self) -> i64 {
        (self.clock.now_micros() - NOON_MICROS) / 1_000
    }
}

async fn serve(script: Arc<Mutex<Script>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a small body");
    let seen = Seen {
        method: parts.method.to_string(),
        target: decoded(&parts.uri.to_string()),
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    // Others get a turn, so that calls really overlap.
    tokio::task::yield_now().await;
    let mut script = script.lock().expect("no test panics here");
    let is_token = seen.target == "/services/oauth2/token";
    let (status, headers, body) = if is_token {
        script.logins.push(seen);
        let given = token(script.logins.len(), None);
        script.tokens.pop_front().unwrap_or((200, Vec::new(), given.into()))
    } else {
        script.seen.push(seen);
        script.answers.pop_front().unwrap_or((200, Vec::new(), page(&[]).into()))
    };
    let mut response = Response::builder().status(StatusCode::from_u16(status).expect("a status"));
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).expect("a response")
}

pub(super) fn token(number: usize, refresh_token: Option<&str>) -> String {
    let mut answer = serde_json::json!({
        "access_token": format!("{}!token-{number}", &ORG[..15]),
        "instance_url": INSTANCE,
        "id": format!("https://login.salesforce.com/id/{ORG}/005000000000001AAA"),
        "token_type": "Bearer",
        "issued_at": "1795000000000",
    });
    if let Some(token) = refresh_token {
        answer["refresh_token"] = token.into();
    }
    answer.to_string()
}

/// The last page of a query.
pub(super) fn page(records: &[&str]) -> String {
    format!(r#"{{"totalSize":{},"done":true,"records":[{}]}}"#, records.len(), records.join(","))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                let hex = [*high, *low];
                let hex = std::str::from_utf8(&hex).expect("hex");
                bytes.push(u8::from_str_radix(hex, 16).expect("hex"));
                rest = after;
            }
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}

pub(super) fn pull_fields() -> PullFields {
    PullFields {
        sync_flag: "Sync__c".to_owned(),
        import_flag: "Import__c".to_owned(),
        partner_email: "Partner__c".to_owned(),
        distributor_email: Some("Dist__c".to_owned()),
        owner_type: Some("OwnerType__c".to_owned()),
        currency: true,
    }
}

/// One column of every kind that matters, and a contact's.
pub(super) fn rules() -> Schema {
    Schema::new([
        FieldDef::new("Name", "Name", FieldKind::Text),
        FieldDef::new("Amount", "Amount", FieldKind::Decimal).scale(2),
        FieldDef::new("CloseDate", "Close Date", FieldKind::Date),
        FieldDef::new("Account.Website", "Website", FieldKind::Text),
        FieldDef::new("Owner.Email", "Owner", FieldKind::Text),
        FieldDef::new("TotalQuantity", "Quantity", FieldKind::Integer),
        FieldDef::new("Where__c", "Where", FieldKind::Json),
        FieldDef::new("PrimaryContact.FirstName", "First Name", FieldKind::Text),
        FieldDef::new("PrimaryContact.Birthdate", "Birthdate", FieldKind::Date),
    ])
}

pub(super) fn query() -> PullQuery {
    PullQuery::new(&rules(), &pull_fields()).expect("columns that can be asked for")
}
