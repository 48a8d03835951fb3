//! The client against the simulator, through the whole service: what each answer of
//! Salesforce makes of a run.

use dealsync::app::{AppError, FailureKind};
use dealsync::run::{Kind, Request};
use dealsync_salesforce_sim::{Fault, FaultKind, OrgFile, Sim, demo};
use dealsync_tests::{ACME, World, hours, minutes, opportunity};

async fn refused(world: &World, request: Request) -> AppError {
    world.run(request).await.expect_err("the run is refused")
}

/// A world with one record, whose org goes wrong like this, for ever.
async fn failing(kind: FaultKind, on: &str) -> (World, AppError) {
    let world = World::new().await;
    world.has(opportunity("Globex Renewal"));
    world.sim.fault(Fault::new(kind).on(on).times(0));
    let error = refused(&world, Request::manual(Kind::Full)).await;
    (world, error)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_costs_nothing_but_another_try() {
    for kind in [
        FaultKind::ConcurrentLimit,
        FaultKind::TooManyRequests,
        FaultKind::ServerError,
        FaultKind::Unavailable,
        FaultKind::Html,
        FaultKind::CutBefore,
        FaultKind::CutAfter,
        FaultKind::Truncated,
        FaultKind::Unauthorized,
    ] {
        let world = World::new().await;
        world.has(opportunity("Globex Renewal"));
        world.sim.fault(Fault::new(kind).on("query"));
        let report = world.full().await;
        assert_eq!(report.counts.created, 1, "{kind:?}");
        assert_eq!(world.sim.faults_left(), 0, "{kind:?} was met");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lasting_fault_ends_the_run_with_its_entry_and_the_next_one_goes_on() {
    for (kind, code) in [
        (FaultKind::DailyLimit, "API_LIMIT"),
        (FaultKind::ConcurrentLimit, "API_CONCURRENCY"),
        (FaultKind::ServerError, "SF_UNAVAILABLE"),
        (FaultKind::Unavailable, "SF_UNAVAILABLE"),
        (FaultKind::Html, "SF_UNAVAILABLE"),
    ] {
        let (world, error) = failing(kind, "query").await;
        assert_eq!(error.code.map(|code| code.name()), Some(code), "{kind:?}: {error:?}");
        assert_eq!(error.kind, FailureKind::Later, "{kind:?}: {error:?}");
        assert!(!error.hints.is_empty(), "{kind:?}");
        world.sim.clear_faults();
        world.advance(hours(25));
        assert_eq!(world.full().await.counts.created, 1, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_renewed_once() {
    let world = World::new().await;
    world.has(opportunity("Globex Renewal"));
    world.full().await;
    world.sim.expire_tokens();
    world.sim.reset_tally();
    assert_eq!(world.full().await.counts.unchanged, 1);
    assert_eq!(world.sim.tally().kind("token"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_refresh_token_is_kept_over_a_restart() {
    let toml = ACME
        .replace("grant = \"client-credentials\"", "grant = \"refresh-token\"")
        .replace("client_id = \"dealsync\"", "client_id = \"demo-rotating\"")
        .replace("client_secret = ", "refresh_token = { file = \"token\" }\nclient_secret = ");
    let mut world = World::new().await;
    world.apply_with(&toml, [("token", b"demo-rotating-refresh".to_vec())]).await.expect("settings");
    world.has(opportunity("Globex Renewal"));
    for run in 0..3 {
        let report = world.full().await;
        assert_eq!(report.counts.selected, 1, "run {run}");
        world.sim.expire_tokens();
        world.restart();
        world.advance(minutes(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_org_behind_the_login_writes_nothing_until_a_person_agrees() {
    let world = World::new().await;
    world.has(opportunity("Globex Renewal"));
    world.full().await;
    let before = world.snapshot().await;
    let other = demo::ORG_TOML.replace("00DHs00000DEMO1", "00DHs00000DEMO2");
    let other = Sim::new(OrgFile::parse(&other).expect("an org file")).expect("its fields");
    other.org().stop_clock_at(world.org().now());
    opportunity("Another Deal").insert(&other.org());
    let mut world = world;
    world.sim = other;
    world.restart();
    let error = refused(&world, Request::manual(Kind::Full)).await;
    assert_eq!(error.code.map(|code| code.name()), Some("ORG_CHANGED"), "{error:?}");
    assert!(error.hints.iter().any(|hint| hint.contains("--confirm")), "{error:?}");
    let deals = |text: &str| text.lines().filter(|line| line.starts_with("deal ")).count();
    assert_eq!(deals(&world.snapshot().await), deals(&before));
    let confirmed = Request { confirmed: true, ..Request::manual(Kind::Full) };
    assert_eq!(world.run(confirmed).await.expect("a run").counts.created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daily_budget_stops_scheduled_runs_and_leaves_the_reserve() {
    let toml = ACME.replace("grant = ", "daily_api_calls = 30\nmanual_reserve = 20\ngrant = ");
    let world = World::with(&toml).await;
    world.has(opportunity("Globex Renewal"));
    let mut stopped = None;
    for _ in 0..20 {
        if let Err(error) = world.run(Request::scheduled(Kind::Full)).await {
            stopped = Some(error);
            break;
        }
    }
    let error = stopped.expect("the share of scheduled runs is spent");
    assert_eq!(error.code.map(|code| code.name()), Some("BUDGET_REACHED"), "{error:?}");
    assert_eq!(world.full().await.counts.selected, 1, "a person's run goes on");
    world.advance(hours(24));
    world.run(Request::scheduled(Kind::Full)).await.expect("another day");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_place_was_lost_goes_on_behind_the_last_row() {
    let mut file = OrgFile::parse(demo::ORG_TOML).expect("the demo's org file");
    (file.page_size, file.long_text_page_size) = (2, 2);
    let world = World::of(Sim::new(file).expect("the demo's fields"), ACME).await;
    for at in 0..5 {
        world.has(opportunity(&format!("Deal {at}")));
    }
    world.sim.fault(Fault::new(FaultKind::LocatorGone).on("query_more").after(1));
    let report = world.full().await;
    assert_eq!(report.counts.created, 5);
    assert_eq!(world.sim.tally().rows["Opportunity"], 5, "no row is read twice");
}
