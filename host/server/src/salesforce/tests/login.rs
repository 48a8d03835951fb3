//! Tokens: how they are asked for, renewed, and when asking stops.

use std::sync::Mutex;

use super::super::*;
use super::kit::*;
use std::sync::Arc;

#[tokio::test]
async fn client_credentials_are_sent_as_a_form_and_the_session_says_which_org_it_is() {
    let world = World::new();
    let session = world.client.session().await.expect("a login");
    assert_eq!(session.org_id.as_str(), ORG);
    assert_eq!(session.user_id.map(|id| id.to_string()).as_deref(), Some("005000000000001AAA"));
    assert_eq!(session.instance_url, INSTANCE);
    let login = world.script().logins[0].clone();
    assert_eq!(login.body, "grant_type=client_credentials&client_id=consumer-key&client_secret=s3cret%2B%26");
    assert_eq!(login.headers["content-type"], "application/x-www-form-urlencoded");
}

#[tokio::test]
async fn a_jwt_is_signed_and_lives_150_seconds() {
    use base64::Engine as _;

    let secrets = Secrets { private_key_pem: Some(Secret::new(key_pem())), ..Secrets::default() };
    let world = World::with(settings(Grant::JwtBearer), secrets);
    world.client.session().await.expect("a login");
    let body = world.script().logins[0].body.clone();
    let (grant, assertion) = body.split_once("&assertion=").expect("an assertion");
    assert_eq!(grant, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    let parts: Vec<_> = assertion.split('.').collect();
    let decode = |part: &str| -> serde_json::Value {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    assert_eq!(decode(parts[0])["alg"], "RS256");
    assert_eq!(
        decode(parts[1]),
        serde_json::json!({
            "iss": "consumer-key", "sub": "api@acme.example", "aud": "https://login.salesforce.com",
            "exp": NOON_MICROS / 1_000_000 + 150,
        })
    );
    assert!(parts[2].len() > 300, "2,048 bits of signature");
}

#[tokio::test]
async fn a_renewed_refresh_token_is_stored_before_the_session_is_used() {
    let secrets = Secrets { refresh_token: Some(Secret::new("first")), ..Secrets::default() };
    let world = World::with(settings(Grant::RefreshToken), secrets);
    world.answer_token(200, &token(1, Some("second")));
    let stored = Arc::new(Mutex::new(Vec::new()));
    let script = world.script.clone();
    let client = world.client.clone().on_rotated({
        let stored = stored.clone();
        Arc::new(move |secret: Secret| {
            let used = script.lock().expect("whole").seen.len();
            stored.lock().expect("whole").push((secret.reveal().to_owned(), used));
            Box::pin(std::future::ready(Ok(())))
        })
    });
    world.refuse(401, "INVALID_SESSION_ID", "Session expired or invalid");
    client.pull_first(&query()).await.expect("a page");
    assert_eq!(*stored.lock().expect("whole"), [("second".to_owned(), 0)]);
    let second = world.script().logins[1].body.clone();
    assert!(second.ends_with("refresh_token=second"), "the newest token is used: {second}");
}

#[tokio::test]
async fn a_session_whose_refresh_token_could_not_be_stored_is_not_used() {
    let secrets = Secrets { refresh_token: Some(Secret::new("first")), ..Secrets::default() };
    let world = World::with(settings(Grant::RefreshToken), secrets);
    world.answer_token(200, &token(1, Some("second")));
    let failures = Arc::new(Mutex::new(1));
    let client = world.client.clone().on_rotated(Arc::new(move |_| {
        let mut left = failures.lock().expect("whole");
        let outcome = if *left > 0 { Err("disk full".to_owned()) } else { Ok(()) };
        *left -= i32::from(*left > 0);
        Box::pin(std::future::ready(outcome))
    }));
    let error = client.pull_first(&query()).await.expect_err("not stored");
    assert_eq!(error, Error::RotationNotStored("disk full".to_owned()));
    assert_eq!(world.calls(), 0);
    client.login().await.expect("stored now");
    let second = world.script().logins[1].body.clone();
    assert!(second.ends_with("refresh_token=second"), "the new token is not forgotten: {second}");
}

#[tokio::test]
async fn refused_credentials_are_not_tried_again_until_a_person_asks() {
    let world = World::new();
    world.answer_token(400, r#"{"error":"invalid_client","error_description":"invalid client credentials"}"#);
    for _ in 0..3 {
        let error = world.client.pull_first(&query()).await.expect_err("refused");
        assert!(matches!(error, Error::CredentialsRefused(_)), "{error}");
        assert!(error.to_string().contains("invalid_client"), "{error}");
    }
    assert_eq!(world.logins(), 1);
    world.client.login().await.expect("the secret was corrected over there");
    world.client.pull_first(&query()).await.expect("a page");
}

#[tokio::test]
async fn an_expired_session_is_renewed_once_for_all_who_wait_and_each_call_replayed_once() {
    let world = World::new();
    world.client.session().await.expect("a login");
    for _ in 0..8 {
        world.refuse(401, "INVALID_SESSION_ID", "Session expired or invalid");
    }
    let calls: Vec<_> = (0..8)
        .map(|_| {
            let client = world.client.clone();
            tokio::spawn(async move { client.pull_first(&query()).await.map(|page| page.total) })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Ok(0));
    }
    assert_eq!((world.logins(), world.calls()), (2, 16));
    let last = world.script().seen[15].headers["authorization"].clone();
    assert_eq!(last, format!("Bearer {}!token-2", &ORG[..15]));
}

#[tokio::test]
async fn a_session_that_is_refused_again_after_its_renewal_ends_the_call() {
    let world = World::new();
    for _ in 0..2 {
        world.refuse(401, "INVALID_SESSION_ID", "Session expired or invalid");
    }
    let error = world.client.pull_first(&query()).await.expect_err("refused twice");
    assert!(matches!(error, Error::SessionRefused(_)), "{error}");
    assert_eq!((world.logins(), world.calls()), (2, 2));
}

#[tokio::test]
async fn three_refusals_look_like_an_expired_session_and_are_none() {
    for (code, message) in [
        ("INVALID_SESSION_ID", "Connected app is not attached to Agent"),
        ("INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        ("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE"),
    ] {
        let world = World::new();
        world.refuse(401, code, message);
        let error = world.client.pull_first(&query()).await.expect_err("refused");
        assert!(matches!(error, Error::SessionRefused(_)), "{error}");
        assert_eq!((world.logins(), world.calls()), (1, 1), "{message}");
    }
}

#[tokio::test]
async fn every_token_answer_says_anew_where_the_org_is() {
    let world = World::new();
    world.client.session().await.expect("a login");
    world.answer_token(200, &token(2, None).replace("acme.my", "renamed.my"));
    world.refuse(401, "INVALID_SESSION_ID", "Session expired or invalid");
    world.client.pull_first(&query()).await.expect("a page");
    assert_eq!(world.script().seen[1].headers["host"], "renamed.my.salesforce.com");
}

#[tokio::test]
async fn an_instance_over_plain_http_is_refused() {
    let world = World::new();
    world.answer_token(200, &token(1, None).replace("https://acme", "http://acme"));
    let error = world.client.session().await.expect_err("unsafe");
    assert!(matches!(error, Error::AddressRefused { what: "instance_url", .. }), "{error}");
}

#[tokio::test]
async fn a_login_to_another_org_is_refused() {
    let world = World::new();
    let other = "00D000000000002EAA".parse().expect("an id");
    world.client.expect_org(other).await;
    let error = world.client.session().await.expect_err("another org");
    assert_eq!(error, Error::OrgChanged { was: other, now: ORG.parse().expect("an id") });
    assert_eq!(error.disposition(), Disposition::Reconnect);
}

#[tokio::test]
async fn a_login_that_fails_in_passing_is_retried_then_left_alone_for_a_moment() {
    let world = World::new();
    for _ in 0..5 {
        world.answer_token(503, "<html><title>Maintenance</title></html>");
    }
    let error = world.client.session().await.expect_err("down");
    assert!(error.to_string().contains("Maintenance"), "{error}");
    assert_eq!(world.client.session().await.expect_err("still the same answer"), error);
    assert_eq!(world.logins(), 5);
    world.clock.advance(std::time::Duration::from_secs(5));
    world.client.session().await.expect("up again");
}

#[tokio::test]
async fn no_secret_shows_in_errors() {
    let world = World::new();
    world.answer_token(400, r#"{"error":"invalid_client","error_description":"no"}"#);
    let error = world.client.session().await.expect_err("refused");
    for text in [format!("{error}"), format!("{error:?}"), format!("{:?}", world.client)] {
        assert!(!text.contains("s3cret") && !text.contains("token-"), "{text}");
    }
    world.client.login().await.expect("a login");
    assert!(!format!("{:?}", world.client.session().await).contains("token-"));
}
