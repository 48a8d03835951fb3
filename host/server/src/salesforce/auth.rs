//! Who we are to Salesforce: settings, secrets, the requests for a token and what
//! comes back. When a session is renewed is `client.rs`'s decision.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use dealsync_core::ids::SfId;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use super::error::Error;
use super::soql::encode;
use super::transport::{Url, is_safe_address};
use super::wire;

/// How long an assertion is good for. Salesforce takes up to a few minutes.
const ASSERTION_SECONDS: i64 = 150;

/// How a tenant's org is reached. Nothing in here is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// `https://login.salesforce.com`, `https://test.salesforce.com` or the org's
    /// My Domain; client credentials work on My Domain only. Plain http for this
    /// machine alone.
    pub login_url: String,
    pub grant: Grant,
    /// The consumer key of the External Client App.
    pub client_id: String,
    /// Whom a JWT speaks for.
    pub username: Option<String>,
    /// The `aud` of a JWT where it is not the login address.
    pub audience: Option<String>,
    /// `62.0`
    pub api_version: String,
    /// Our own cap on calls a UTC day.
    pub daily_calls_max: Option<u32>,
    /// Calls of it that only people may start.
    pub manual_reserve: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    JwtBearer,
    ClientCredentials,
    RefreshToken,
}

/// A secret text. It never prints, and is overwritten when dropped, as well as
/// safe code can.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; for the one place that sends or stores it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

/// What proves who we are; each grant needs one or two of them.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    pub client_secret: Option<Secret>,
    /// RSA, PKCS#8 or PKCS#1, in PEM.
    pub private_key_pem: Option<Secret>,
    pub refresh_token: Option<Secret>,
}

/// Stores a renewed refresh token; the session is used only once it returned well,
/// since the token before it is dead from then on.
pub type OnRotated =
    Arc<dyn Fn(Secret) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A login that worked.
#[derive(Debug, Clone)]
pub struct Session {
    pub org_id: SfId,
    /// Absent where the answer did not say.
    pub user_id: Option<SfId>,
    /// The base of every later call, without a slash at its end.
    pub instance_url: String,
    pub(super) token: Secret,
}

/// The form to send to the token endpoint. `refresh_token` is the newest one.
pub(super) fn token_form(
    settings: &ConnectionSettings,
    secrets: &Secrets,
    refresh_token: Option<&Secret>,
    now_micros: i64,
) -> Result<Vec<u8>, Error> {
    let needed = |secret: Option<&Secret>, name: &str| match secret {
        Some(secret) if !secret.reveal().is_empty() => Ok(secret.clone()),
        _ => Err(Error::SettingsUnusable(format!("{name} is missing"))),
    };
    let mut form = String::new();
    let mut add = |name: &str, value: &str| {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        form.push_str(&encode(value));
    };
    match settings.grant {
        Grant::JwtBearer => {
            let key = needed(secrets.private_key_pem.as_ref(), "the private key")?;
            add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            add("assertion", &assertion(settings, &key, now_micros)?);
        }
        Grant::ClientCredentials => {
            let secret = needed(secrets.client_secret.as_ref(), "the client secret")?;
            add("grant_type", "client_credentials");
            add("client_id", &settings.client_id);
            add("client_secret", secret.reveal());
        }
        Grant::RefreshToken => {
            let token = needed(refresh_token, "the refresh token")?;
            add("grant_type", "refresh_token");
            add("client_id", &settings.client_id);
            // A public client has no secret.
            if let Some(secret) = &secrets.client_secret {
                add("client_secret", secret.reveal());
            }
            add("refresh_token", token.reveal());
        }
    }
    Ok(form.into_bytes())
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
}

fn assertion(settings: &ConnectionSettings, key: &Secret, now_micros: i64) -> Result<String, Error> {
    let Some(username) = settings.username.as_deref().filter(|name| !name.is_empty()) else {
        return Err(Error::SettingsUnusable("the username is missing".to_owned()));
    };
    let key = EncodingKey::from_rsa_pem(key.reveal().as_bytes())
        .map_err(|_| Error::SettingsUnusable("the private key is no RSA key in PEM".to_owned()))?;
    let claims = Claims {
        iss: &settings.client_id,
        sub: username,
        aud: settings.audience.as_deref().unwrap_or(settings.login_url.trim_end_matches('/')),
        exp: now_micros.div_euclid(1_000_000) + ASSERTION_SECONDS,
    };
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key)
        .map_err(|_| Error::SettingsUnusable("the private key cannot sign".to_owned()))
}

/// Turns a token answer into a session, and hands out a renewed refresh token.
pub(super) fn session(answer: wire::TokenAnswer) -> Result<(Session, Option<Secret>), Error> {
    let instance_url = base_address("instance_url", &answer.instance_url)?;
    let mut ids = answer.id.rsplit('/').map(str::parse::<SfId>);
    let user_id = ids.next().and_then(Result::ok);
    let org_id = ids.next().and_then(Result::ok);
    // A token begins with the org's id, up to an exclamation mark.
    let from_token = || answer.access_token.split_once('!')?.0.parse::<SfId>().ok();
    let Some(org_id) = org_id.or_else(from_token) else {
        return Err(Error::BadAnswer {
            call: "token",
            status: 200,
            text: "the answer does not say which org it is for".to_owned(),
            request_id: None,
        });
    };
    let rotated = answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::new);
    let session = Session { org_id, user_id, instance_url, token: Secret::new(answer.access_token) };
    Ok((session, rotated))
}

/// A checked address without path, query or slash at its end.
pub(super) fn base_address(what: &'static str, address: &str) -> Result<String, Error> {
    let refused = || Error::AddressRefused { what, address: super::error::clipped(address) };
    let url = Url::parse(address).map_err(|_| refused())?;
    let plain = url.username().is_empty() && url.password().is_none();
    if !plain || !is_safe_address(&url) {
        return Err(refused());
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let secrets = Secrets { client_secret: Some(Secret::new("hunter2")), ..Secrets::default() };
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn only_safe_instance_addresses_are_taken() {
        let kept = base_address("instance_url", "https://acme.my.salesforce.com/").expect("https");
        assert_eq!(kept, "https://acme.my.salesforce.com");
        assert_eq!(
            base_address("instance_url", "http://127.0.0.1:81").expect("loopback"),
            "http://127.0.0.1:81"
        );
        for address in
            ["http://acme.example", "https://user:pw@acme.example", "javascript:alert(1)", "acme.example", ""]
        {
            assert!(base_address("instance_url", address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_missing_secret_is_said_by_name() {
        let settings = ConnectionSettings {
            login_url: "https://login.salesforce.com".to_owned(),
            grant: Grant::JwtBearer,
            client_id: "key".to_owned(),
            username: Some("api@acme.example".to_owned()),
            audience: None,
            api_version: "62.0".to_owned(),
            daily_calls_max: None,
            manual_reserve: 0,
        };
        let error = token_form(&settings, &Secrets::default(), None, 0).expect_err("no key");
        assert!(error.to_string().contains("the private key is missing"), "{error}");
        let secrets =
            Secrets { private_key_pem: Some(Secret::new("-----BEGIN nonsense")), ..Secrets::default() };
        let error = token_form(&settings, &secrets, None, 0).expect_err("no key");
        assert!(error.to_string().contains("no RSA key"), "{error}");
        assert!(!error.to_string().contains("nonsense"));
    }
}
