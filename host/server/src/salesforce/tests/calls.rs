//! Retries, pauses, budget and addresses.

use super::super::client::{Call, Replay};
use super::super::*;
use super::kit::*;

#[tokio::test]
async fn calls_carry_our_name_and_the_session() {
    let world = World::new();
    world.client.pull_first(&query()).await.expect("a page");
    let seen = world.script().seen[0].clone();
    assert_eq!(seen.headers["sforce-call-options"], "client=dealsync");
    assert_eq!(seen.headers["authorization"], format!("Bearer {}!token-1", &ORG[..15]));
    assert!(
        seen.target.starts_with("/services/data/v62.0/query?q=SELECT Id,SystemModstamp,"),
        "{}",
        seen.target
    );
}

#[tokio::test]
async fn reads_are_repeated_five_times_with_growing_pauses() {
    for status in [429, 500, 502, 503, 504] {
        let world = World::new();
        for _ in 0..9 {
            world.refuse(status, "SERVER_UNAVAILABLE", "later");
        }
        let error = world.client.pull_first(&query()).await.expect_err("down");
        assert_eq!(error.disposition(), Disposition::RetryLater, "{error}");
        assert_eq!(world.calls(), 5, "{status}");
        assert!((0..=7_500).contains(&world.slept_ms()), "0.5 + 1 + 2 + 4 s at most: {}", world.slept_ms());
        assert!(world.slept_ms() > 500, "the seed's pauses are not all tiny: {}", world.slept_ms());
    }
}

#[tokio::test]
async fn a_passing_fault_is_not_seen_by_the_caller() {
    let world = World::new();
    world.answer(502, "<html><title>Bad Gateway</title></html>");
    world.answer(200, "{\"totalSize\":1,\"done\":true,\"rec");
    world.answer(200, "<!doctype html><title>Sign in to Wi-Fi</title>");
    world.refuse(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred");
    world.client.pull_first(&query()).await.expect("the fifth answer");
    assert_eq!(world.calls(), 5);
}

#[tokio::test]
async fn an_answer_that_stays_unreadable_says_what_it_is() {
    for (body, text) in [
        ("<html><head><title>Sign in to Wi-Fi</title>", "titled \"Sign in to Wi-Fi\""),
        ("{\"totalSize\":1,\"done\":true,\"rec", "a string is cut off at byte"),
        ("", "the text ends early"),
        ("[]", "no page of a query"),
        ("{\"done\":true}", "the page has no records"),
        ("{\"done\":false,\"records\":[]}", "does not say where the next one is"),
    ] {
        let world = World::new();
        for _ in 0..5 {
            world.answer_with(200, &[("x-sfdc-request-id", "req-7")], body);
        }
        let error = world.client.pull_first(&query()).await.expect_err("unreadable");
        assert!(matches!(&error, Error::BadAnswer { request_id: Some(id), .. } if id == "req-7"), "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(world.calls(), 5);
    }
}

#[tokio::test]
async fn an_edge_that_says_the_org_moved_is_asked_three_times() {
    let world = World::new();
    for _ in 0..5 {
        world.answer(420, "");
    }
    world.client.pull_first(&query()).await.expect_err("moved");
    assert_eq!(world.calls(), 3);
}

#[tokio::test]
async fn retry_after_is_honoured_and_a_long_one_handed_to_the_caller() {
    let world = World::new();
    world.answer_with(503, &[("retry-after", "30")], "");
    world.client.pull_first(&query()).await.expect("a page");
    assert_eq!(world.slept_ms(), 30_000);
    world.answer_with(503, &[("retry-after", "3600")], "");
    let error = world.client.pull_first(&query()).await.expect_err("an hour is too long to sleep");
    assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(3600)));
    assert_eq!(world.calls(), 3);
}

#[tokio::test]
async fn a_refusal_that_retrying_does_not_cure_is_told_at_once() {
    for (status, code) in
        [(400, "MALFORMED_QUERY"), (400, "INVALID_FIELD"), (400, "QUERY_TIMEOUT"), (404, "NOT_FOUND")]
    {
        let world = World::new();
        world.refuse(status, code, "no");
        world.client.pull_first(&query()).await.expect_err("refused");
        assert_eq!(world.calls(), 1, "{code}");
        assert_eq!(world.slept_ms(), 0);
    }
}

#[tokio::test]
async fn a_create_is_never_repeated_blindly() {
    let world = World::new();
    let mut create = Call::read_by_post("create", world.client.data_path("sobjects/Lead"), b"{}".to_vec());
    create.replay = Replay::OnlyUnsent;
    for (status, body) in [(500, ""), (503, ""), (502, "<html>"), (504, "")] {
        world.answer(status, body);
        let calls = world.calls();
        world.client.execute(&create, |_| Ok(())).await.expect_err("unknown outcome");
        assert_eq!(world.calls(), calls + 1, "{status}");
    }
}

#[tokio::test]
async fn concurrent_calls_are_slowed_down_and_the_daily_limit_stops_the_connection() {
    let world = World::new();
    world.refuse(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.");
    world.client.pull_first(&query()).await.expect("a moment later");
    assert_eq!(world.calls(), 2);
    world.refuse(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
    let error = world.client.pull_first(&query()).await.expect_err("used up");
    assert!(matches!(error, Error::DailyLimitReached(_)), "{error}");
    let error = world.client.pull_first(&query()).await.expect_err("not even asked");
    assert!(matches!(error, Error::BudgetSpent { class: Class::Incremental, .. }), "{error}");
    assert_eq!(world.calls(), 3);
}

#[tokio::test]
async fn automatic_work_leaves_the_reserve_to_people() {
    let secrets = Secrets { client_secret: Some(Secret::new("x")), ..Secrets::default() };
    let settings = ConnectionSettings {
        daily_calls_max: Some(3),
        manual_reserve: 1,
        ..settings(Grant::ClientCredentials)
    };
    let world = World::with(settings, secrets);
    let full = world.client.classed(Class::Full);
    for _ in 0..2 {
        full.pull_first(&query()).await.expect("within the budget");
    }
    let error = full.pull_first(&query()).await.expect_err("the reserve is kept");
    let Error::BudgetSpent { class: Class::Full, resumes_at_micros } = error else { panic!("{error}") };
    assert_eq!(resumes_at_micros % 86_400_000_000, 0, "midnight");
    world.client.classed(Class::Manual).pull_first(&query()).await.expect("a person may");
    assert_eq!(world.client.budget().counters().spent, [1, 0, 2, 0]);
}

#[tokio::test]
async fn what_the_org_says_of_its_usage_is_noted() {
    let world = World::new();
    let header = "api-usage=25/5000; per-app-api-usage=17/250(appName=dealsync)";
    world.answer_with(200, &[("sforce-limit-info", header)], page(&[]));
    world.client.pull_first(&query()).await.expect("a page");
    let counters = world.client.budget().counters();
    assert_eq!((counters.org_used, counters.org_max), (Some(25), Some(5_000)));
    assert_eq!((counters.app_used, counters.app_max), (Some(17), Some(250)));
}

#[tokio::test]
async fn pages_are_followed_on_the_same_host_only() {
    let next = |to: &str| format!(r#"{{"totalSize":9,"done":false,"nextRecordsUrl":"{to}","records":[]}}"#);
    for (to, path) in [
        ("/services/data/v62.0/query/0r8xx-2000", "/services/data/v62.0/query/0r8xx-2000"),
        ("https://acme.my.salesforce.com/services/data/v62.0/query/a", "/services/data/v62.0/query/a"),
    ] {
        let world = World::new();
        world.answer(200, next(to));
        let first = world.client.pull_first(&query()).await.expect("a page");
        assert_eq!(first.total, 9);
        let last = world.client.pull_next(&first.next.expect("another page")).await.expect("a page");
        assert!(last.next.is_none());
        assert_eq!(world.script().seen[1].target, path);
    }
    for to in [
        "https://evil.example/query/a",
        "//evil.example/query/a",
        "http://acme.my.salesforce.com/a",
        "https://acme.my.salesforce.com.evil.example/a",
        "query/a",
    ] {
        let world = World::new();
        world.answer(200, next(to));
        let first = world.client.pull_first(&query()).await.expect("a page");
        let error = world.client.pull_next(&first.next.expect("another page")).await.expect_err("unsafe");
        assert!(matches!(error, Error::AddressRefused { .. }), "{error}");
        assert_eq!(world.calls(), 1, "{to}");
    }
}

#[tokio::test]
async fn a_lost_place_in_a_query_and_a_hidden_field_are_told_apart() {
    let world = World::new();
    world.refuse(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
    let error = world.client.pull_first(&query()).await.expect_err("lost");
    assert!(matches!(error, Error::LocatorGone(_)), "{error}");
    world.refuse(400, "INVALID_FIELD", "No such column 'Dist__c' on entity 'Opportunity'. If you are");
    let error = world.client.pull_first(&query()).await.expect_err("hidden");
    let Error::FieldNotVisible { field, object, .. } = error else { panic!("{error}") };
    assert_eq!((field.as_deref(), object.as_deref()), (Some("Dist__c"), Some("Opportunity")));
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let world = World::new();
    world.answer_with(302, &[("location", "https://renamed.my.salesforce.com/x?y")], "<html>");
    let error = world.client.pull_first(&query()).await.expect_err("elsewhere");
    assert!(matches!(error, Error::CredentialsRefused(_)), "{error}");
    assert!(error.to_string().contains("redirected to renamed.my.salesforce.com"), "{error}");
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn an_answer_larger_than_the_limit_is_refused_and_not_asked_for_again() {
    let world = World::new();
    world.answer(200, vec![b' '; 2 << 20]);
    let error = world.client.pull_first(&query()).await.expect_err("too large");
    assert_eq!(error.disposition(), Disposition::Narrow, "{error}");
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_any_call() {
    for (login_url, version) in [
        ("http://login.salesforce.com", "62.0"),
        ("not a url", "62.0"),
        ("https://login.salesforce.com", "62"),
        ("https://login.salesforce.com", "62.0/../x"),
    ] {
        let settings = ConnectionSettings {
            login_url: login_url.to_owned(),
            api_version: version.to_owned(),
            ..settings(Grant::ClientCredentials)
        };
        let transport = std::sync::Arc::new(InProcess::new(axum::Router::new()));
        let clock = std::sync::Arc::new(crate::clock::SystemClock);
        let budget = std::sync::Arc::new(Budget::new(None, 0));
        let client = Client::new(settings, Secrets::default(), transport, clock, budget, 1);
        assert!(client.is_err(), "{login_url} {version}");
    }
}

/// A network that fails every call but the login.
#[derive(Debug)]
struct Broken {
    error: TransportError,
    calls: std::sync::atomic::AtomicUsize,
}

impl Transport for Broken {
    fn send(&self, request: Request) -> super::super::transport::Exchange<'_> {
        if request.url.path() == "/services/oauth2/token" {
            let body = token(1, None).into_bytes();
            let headers = axum::http::HeaderMap::new();
            return Box::pin(std::future::ready(Ok(Response { status: 200, headers, body })));
        }
        self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Box::pin(std::future::ready(Err(self.error.clone())))
    }
}

#[tokio::test]
async fn a_broken_connection_repeats_reads_but_a_create_only_if_nothing_was_sent() {
    for (error, reads, creates) in [
        (TransportError::NotConnected("refused".to_owned()), 5, 5),
        (TransportError::Broken("reset".to_owned()), 5, 1),
        (TransportError::TimedOut, 5, 1),
    ] {
        for (replay, want) in [(Replay::Harmless, reads), (Replay::OnlyUnsent, creates)] {
            let broken = std::sync::Arc::new(Broken {
                error: error.clone(),
                calls: std::sync::atomic::AtomicUsize::new(0),
            });
            let secrets = Secrets { client_secret: Some(Secret::new("x")), ..Secrets::default() };
            let clock = std::sync::Arc::new(crate::clock::ManualClock::skipping(NOON_MICROS));
            let budget = std::sync::Arc::new(Budget::new(None, 0));
            let client =
                Client::new(settings(Grant::ClientCredentials), secrets, broken.clone(), clock, budget, 1)
                    .expect("usable settings");
            let mut call = Call::read_by_post("create", client.data_path("sobjects/Lead"), Vec::new());
            call.replay = replay;
            let failed = client.execute(&call, |_| Ok(())).await.expect_err("no network");
            assert_eq!(failed.disposition(), Disposition::RetryLater);
            let calls = broken.calls.load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(calls, want, "{error}, {replay:?}");
        }
    }
}
