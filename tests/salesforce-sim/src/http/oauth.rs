//! Tokens: the three grants a server-to-server client uses, and who am I.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Call, Reply, authenticate, pairs};
use crate::Shared;
use crate::orgfile::App;
use crate::rows::Cell;
use crate::when;

type Refused = (&'static str, &'static str);

pub(crate) fn answer(shared: &Shared, call: &Call, rest: &[&str]) -> Reply {
    match rest {
        ["token"] if call.method == "POST" => token(shared, call).unwrap_or_else(|(error, description)| {
            Reply::json(400, &json!({"error": error, "error_description": description}))
                .with("cache-control", "no-store")
        }),
        ["userinfo"] => userinfo(shared, call),
        ["revoke"] => {
            let form = form(call);
            let token = field(&form, "token").or(call.param("token")).unwrap_or_default();
            shared.sessions().close(token);
            Reply::empty(200)
        }
        _ => Reply::json(
            404,
            &json!([{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]),
        ),
    }
}

fn form(call: &Call) -> Vec<(String, String)> {
    pairs(&String::from_utf8_lossy(&call.body))
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    form.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

fn token(shared: &Shared, call: &Call) -> Result<Reply, Refused> {
    let mut form = form(call);
    // Some clients send everything in the query string.
    form.extend(call.query.iter().cloned());
    let mut refresh = None;
    let (app, username) = match field(&form, "grant_type") {
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => jwt_bearer(shared, call, &form)?,
        Some("client_credentials") => client_credentials(shared, call, &form)?,
        Some("refresh_token") => {
            let (app, username, rotated) = refresh_token(shared, call, &form)?;
            refresh = rotated;
            (app, username)
        }
        Some(_) | None => return Err(("unsupported_grant_type", "grant type not supported")),
    };
    let org = shared.org();
    let row = org.user_by_name(&username).ok_or(("invalid_grant", "user hasn't approved this consumer"))?;
    let users = org.schema.find("User").expect("shipped");
    if !org.named(users, row, "IsActive").is_true() {
        return Err(("inactive_user", "user is inactive"));
    }
    let now = org.clock.now();
    let token = shared.sessions().open(org.id.as_str(), &username, now);
    let id = format!("{}/id/{}/{}", call.base, org.id, org.tables[users].id(row));
    let issued_at = (now * 1000).to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, app.client_secret.as_deref().unwrap_or_default().as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, format!("{id}{issued_at}").as_bytes()));
    let mut answer = json!({
        "access_token": token,
        "signature": signature,
        "scope": "api refresh_token id",
        "instance_url": call.base,
        "id": id,
        "token_type": "Bearer",
        "issued_at": issued_at,
    });
    if let Some(refresh) = refresh {
        answer["refresh_token"] = refresh.into();
    }
    Ok(Reply::json(200, &answer).with("cache-control", "no-store"))
}

fn app(shared: &Shared, client_id: &str) -> Result<App, Refused> {
    let sessions = shared.sessions();
    let app = sessions.apps.iter().find(|app| app.client_id == client_id);
    app.cloned().ok_or(("invalid_client_id", "client identifier invalid"))
}

/// The user an app runs as by itself.
fn run_as(shared: &Shared, app: &App) -> String {
    app.run_as.clone().unwrap_or_else(|| shared.org().file.users()[0].username.clone())
}

/// Client id and secret from the form or from HTTP Basic.
fn client(call: &Call, form: &[(String, String)]) -> Option<(String, String)> {
    if let Some(basic) = call.header("authorization").and_then(|header| header.strip_prefix("Basic ")) {
        let text = String::from_utf8(STANDARD.decode(basic.trim()).ok()?).ok()?;
        let (id, secret) = text.split_once(':')?;
        return Some((super::decode(id, false), super::decode(secret, false)));
    }
    Some((field(form, "client_id")?.to_owned(), field(form, "client_secret").unwrap_or_default().to_owned()))
}

fn client_credentials(
    shared: &Shared,
    call: &Call,
    form: &[(String, String)],
) -> Result<(App, String), Refused> {
    let (id, secret) = client(call, form).ok_or(("invalid_client_id", "client identifier invalid"))?;
    let app = app(shared, &id)?;
    if app.client_secret.as_deref() != Some(secret.as_str()) {
        return Err(("invalid_client", "invalid client credentials"));
    }
    let username = run_as(shared, &app);
    Ok((app, username))
}

fn refresh_token(
    shared: &Shared,
    call: &Call,
    form: &[(String, String)],
) -> Result<(App, String, Option<String>), Refused> {
    let (id, secret) = client(call, form).ok_or(("invalid_client_id", "client identifier invalid"))?;
    let found = app(shared, &id)?;
    if found.client_secret.as_deref().is_some_and(|own| own != secret) {
        return Err(("invalid_client", "invalid client credentials"));
    }
    let given = field(form, "refresh_token").unwrap_or_default();
    let mut sessions = shared.sessions();
    let app = sessions.apps.iter_mut().find(|app| app.client_id == id);
    let app = app.ok_or(("invalid_client_id", "client identifier invalid"))?;
    let known = app.refresh_tokens.iter().position(|own| own == given);
    let known = known.ok_or(("invalid_grant", "expired access/refresh token"))?;
    let rotated = app.rotate_refresh_tokens.then(|| {
        let (stem, count) = match given.rsplit_once('~') {
            Some((stem, count)) => (stem, count.parse::<u64>().unwrap_or(0)),
            None => (given, 0),
        };
        let next = format!("{stem}~{}", count + 1);
        app.refresh_tokens[known] = next.clone();
        next
    });
    drop(sessions);
    let username = run_as(shared, &found);
    Ok((found, username, rotated))
}

fn jwt_bearer(shared: &Shared, call: &Call, form: &[(String, String)]) -> Result<(App, String), Refused> {
    let assertion = field(form, "assertion").unwrap_or_default();
    let claims = claims(assertion).ok_or(("invalid_grant", "invalid assertion"))?;
    let text = |name: &str| claims[name].as_str().map(str::to_owned);
    let issuer = text("iss").ok_or(("invalid_client_id", "client identifier invalid"))?;
    let app = app(shared, &issuer)?;
    if let Some(pem) = &app.public_key
        && !signed_by(assertion, pem)
    {
        return Err(("invalid_grant", "invalid assertion"));
    }
    // Strings and numbers occur, and milliseconds, which lie far ahead.
    let expires = claims["exp"].as_f64().or_else(|| claims["exp"].as_str()?.trim().parse().ok());
    let expires = expires.ok_or(("invalid_grant", "expired authorization code"))?;
    // Assertions carry their maker's time, which is not the org's.
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    let own = shared.org().clock.now() as f64;
    if expires <= now.min(own) {
        return Err(("invalid_grant", "expired authorization code"));
    }
    let audience = claims["aud"].as_str().or_else(|| claims["aud"].get(0)?.as_str()).unwrap_or_default();
    if !audience_fits(&app, audience, &call.base) {
        return Err(("invalid_grant", "Audience validation failed"));
    }
    let subject = text("sub").or_else(|| text("prn")).unwrap_or_default();
    if shared.org().user_by_name(&subject).is_none() {
        return Err(("invalid_grant", "user hasn't approved this consumer"));
    }
    Ok((app, subject))
}

fn audience_fits(app: &App, audience: &str, base: &str) -> bool {
    let audience = audience.trim_end_matches('/');
    if !app.audiences.is_empty() {
        return app.audiences.iter().any(|own| own.trim_end_matches('/') == audience);
    }
    let host = audience.split("://").nth(1).unwrap_or(audience);
    matches!(host, "login.salesforce.com" | "test.salesforce.com")
        || host.ends_with(".my.salesforce.com")
        || audience == base
        || audience.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'))
}

/// The claims of an RS256 assertion, signature not looked at.
fn claims(assertion: &str) -> Option<Value> {
    let mut parts = assertion.split('.');
    let (header, body) = (parts.next()?, parts.next()?);
    parts.next()?;
    let part = |text: &str| -> Option<Value> {
        let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    (part(header)?["alg"] == "RS256").then(|| part(body)).flatten()
}

fn signed_by(assertion: &str, pem: &str) -> bool {
    let Ok(key) = jsonwebtoken::DecodingKey::from_rsa_pem(pem.as_bytes()) else { return false };
    let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    jsonwebtoken::decode::<Value>(assertion, &key, &rules).is_ok()
}

fn userinfo(shared: &Shared, call: &Call) -> Reply {
    let session = match authenticate(shared, call) {
        Ok(session) => session,
        Err(_) => return Reply { content_type: "text/html", ..Reply::raw(403, b"Bad_OAuth_Token".to_vec()) },
    };
    let org = shared.org();
    let users = org.schema.find("User").expect("shipped");
    let Some(row) = org.user_by_name(&session.username) else { return Reply::empty(404) };
    let id = org.tables[users].id(row);
    Reply::json(200, &person(&org, call, users, row, id.as_str()))
}

/// The identity URL of a token answer.
pub(crate) fn identity(shared: &Shared, call: &Call, org_id: &str, user: &str) -> Reply {
    if authenticate(shared, call).is_err() {
        return Reply { content_type: "text/html", ..Reply::raw(403, b"Bad_OAuth_Token".to_vec()) };
    }
    let org = shared.org();
    let users = org.schema.find("User").expect("shipped");
    let row = crate::ids::parse(user).and_then(|id| org.tables[users].row(id));
    match row {
        Some(row) if crate::ids::parse(org_id) == Some(org.id) => {
            Reply::json(200, &person(&org, call, users, row, user))
        }
        _ => Reply { content_type: "text/html", ..Reply::raw(404, b"Bad_Id".to_vec()) },
    }
}

fn person(org: &crate::org::Org, call: &Call, users: usize, row: u32, id: &str) -> Value {
    let text = |name: &str| org.named(users, row, name).as_text().map(str::to_owned);
    let modified = match org.named(users, row, "LastModifiedDate") {
        Cell::Stamp(at) => when::stamp_text(*at),
        _ => String::new(),
    };
    let url = |path: &str| format!("{}{path}", call.base);
    json!({
        "id": format!("{}/id/{}/{id}", call.base, org.id),
        "sub": format!("{}/id/{}/{id}", call.base, org.id),
        "asserted_user": true,
        "user_id": id,
        "organization_id": org.id.as_str(),
        "username": text("Username"),
        "preferred_username": text("Username"),
        "nick_name": text("Alias"),
        "nickname": text("Alias"),
        "display_name": text("Name"),
        "name": text("Name"),
        "email": text("Email"),
        "email_verified": true,
        "given_name": text("FirstName"),
        "first_name": text("FirstName"),
        "family_name": text("LastName"),
        "last_name": text("LastName"),
        "zoneinfo": "GMT",
        "timezone": "GMT",
        "active": org.named(users, row, "IsActive").is_true(),
        "is_app_installed": true,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_US",
        "utcOffset": 0,
        "last_modified_date": modified.clone(),
        "updated_at": modified,
        "urls": {
            "rest": url("/services/data/v{version}/"),
            "sobjects": url("/services/data/v{version}/sobjects/"),
            "query": url("/services/data/v{version}/query/"),
            "profile": url(&format!("/{id}")),
            "custom_domain": call.base,
        },
    })
}
