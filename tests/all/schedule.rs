//! When runs happen, who may run, and what stops a lane.

use std::sync::Arc;

use dealsync::app::{AppError, LEASE_TTL, PULL_LANE};
use dealsync::clock::{Clock, ManualClock};
use dealsync::run::{Counts, Kind, Request, Trigger, Watch};
use dealsync::salesforce::InProcess;
use dealsync::scheduler::{Bell, Scheduler};
use dealsync::store::{RunRow, RunState, TenantStore};
use dealsync_core::ids::TenantId;
use dealsync_core::reason::Code;
use dealsync_salesforce_sim::{OrgFile, Sim, demo};
use dealsync_tests::{ACME, BEGINNING, World, hours, minutes, opportunity};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const MINUTE: i64 = 60 * 1_000_000;

fn org(change: impl Fn(&str) -> String) -> Sim {
    Sim::new(OrgFile::parse(&change(demo::ORG_TOML)).expect("an org file")).expect("its fields")
}

/// A world whose clock waits to be moved.
async fn waiting(toml: &str) -> World {
    World::at(Arc::new(ManualClock::new(BEGINNING)), org(str::to_owned), toml).await
}

/// The service's scheduler at work.
struct Service {
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
    bell: Bell,
}

impl Service {
    async fn start(world: &World) -> Self {
        let (scheduler, bell) = Scheduler::new(world.app().clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(scheduler.run(async move { drop(stopped.await) }));
        let service = Self { stop, done, bell };
        let seen = async || {
            let tenants = world.app().store().tenants().await.expect("the registry");
            tenants.iter().all(|tenant| tenant.next_due.is_some())
        };
        while !seen().await {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        settled(world).await;
        service
    }

    async fn stop(self) {
        self.stop.send(()).expect("it runs");
        self.done.await.expect("it ends well");
    }
}

/// Waits until nothing is due. Moves the clock by a second now and then, as time does.
async fn settled(world: &World) {
    for turn in 1.. {
        let tenants = world.app().store().tenants().await.expect("the registry");
        let now = world.clock.now_micros();
        let due = |at: Option<i64>| at.is_some_and(|at| at <= now);
        if !tenants.iter().any(|tenant| due(tenant.next_due) || due(tenant.outbox_due)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        if turn % 100 == 0 {
            world.advance(std::time::Duration::from_secs(1));
        }
    }
}

/// Lets time pass, from one due turn to the next.
async fn pass(world: &World, span: std::time::Duration) {
    let end = world.clock.now_micros() + span.as_micros() as i64;
    loop {
        let now = world.clock.now_micros();
        let tenants = world.app().store().tenants().await.expect("the registry");
        let due = tenants.iter().flat_map(|tenant| [tenant.next_due, tenant.outbox_due]).flatten().min();
        let next = due.map_or(end, |due| due.min(end)).max(now);
        let seconds = (next - now).div_euclid(1_000_000) + 1;
        world.advance(std::time::Duration::from_secs(seconds as u64));
        settled(world).await;
        if next == end {
            return;
        }
    }
}

/// The runs of a tenant, the oldest first.
async fn runs(store: &TenantStore) -> Vec<RunRow> {
    let mut runs = store.runs(1_000).await.expect("runs");
    runs.reverse();
    runs
}

fn minutes_between(runs: &[RunRow]) -> Vec<i64> {
    runs.windows(2).map(|pair| (pair[1].started - pair[0].started) / MINUTE).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_run_comes_about_every_hour() {
    let world = waiting(ACME).await;
    world.apply(&ACME.replace("\"acme\"", "\"globex\"")).await.expect("a second tenant");
    let service = Service::start(&world).await;
    pass(&world, hours(24)).await;
    let mut spans = Vec::new();
    for name in ["acme", "globex"] {
        let tenant: TenantId = name.parse().expect("a name");
        let runs = runs(&world.app().store().tenant(&tenant).await.expect("a tenant")).await;
        assert!((22..=28).contains(&runs.len()), "{name} ran {} times", runs.len());
        assert!(runs.iter().all(|run| run.kind == Kind::Full && run.trigger == Trigger::Scheduled));
        let between = minutes_between(&runs);
        let (least, most) = (between.iter().min().unwrap(), between.iter().max().unwrap());
        assert!(*least >= 53 && *most <= 67 && most - least <= 2, "{name}: {between:?}");
        spans.push(*least);
    }
    assert!((spans[0] - spans[1]).abs() > 1, "tenants keep apart: {spans:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_does_not_wait_for_the_hour() {
    let world = waiting(ACME).await;
    let service = Service::start(&world).await;
    let store = world.store().await;
    pass(&world, hours(2)).await;
    pass(&world, minutes(20)).await;
    let asked = world.clock.now_micros();
    world.has(opportunity("Globex"));
    assert_eq!(world.full().await.counts.created, 1);
    pass(&world, hours(2)).await;
    let runs = runs(&store).await;
    let by_hand: Vec<&RunRow> = runs.iter().filter(|run| run.trigger == Trigger::Manual).collect();
    assert_eq!((by_hand.len(), by_hand[0].started), (1, asked));
    let scheduled: Vec<RunRow> =
        runs.iter().filter(|run| run.trigger == Trigger::Scheduled).cloned().collect();
    let between = minutes_between(&scheduled);
    let (least, most) = (between.iter().min().unwrap(), between.iter().max().unwrap());
    assert!(most - least <= 2, "the hour stays where it was: {between:?}");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incremental_runs_come_in_between_where_configured() {
    let world = waiting(&format!("{ACME}\n[schedule]\nfull = \"1h\"\nincremental = \"10m\"\n")).await;
    let service = Service::start(&world).await;
    // Without a record there is no cursor yet, and an incremental run would be a full one.
    world.has(opportunity("Globex"));
    pass(&world, hours(4)).await;
    let runs = runs(&world.store().await).await;
    let full = runs.iter().filter(|run| run.kind == Kind::Full).count();
    assert!((4..=6).contains(&full), "{full} of {}", runs.len());
    assert!((18..=24).contains(&(runs.len() - full)), "{} incremental", runs.len() - full);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_lane_waits_longer_each_time_and_recovers_by_itself() {
    let world = waiting(ACME).await;
    let service = Service::start(&world).await;
    world.org().hide_field("Opportunity", "Export_to_Portal_Deal__c").expect("a field");
    pass(&world, hours(4)).await;
    let store = world.store().await;
    let failed: Vec<RunRow> =
        runs(&store).await.into_iter().filter(|run| run.state == RunState::Failed).collect();
    let waits: Vec<std::ops::RangeInclusive<i64>> = [1, 2, 5, 15, 30].map(|wait| wait..=wait + 1).into();
    let waited = minutes_between(&failed);
    assert!(waits.iter().zip(&waited).all(|(wait, waited)| wait.contains(waited)), "{waited:?}");
    let open = world.open_entries().await;
    assert_eq!((open.len(), open[0].code), (1, Code::FieldNotVisible), "said once: {open:?}");
    assert_eq!(open[0].seen_count, failed.len() as u64);
    let health = world.app().store().tenants().await.expect("the registry")[0].health.clone();
    assert_eq!(health, "errors");

    world.org().show_field("Opportunity", "Export_to_Portal_Deal__c").expect("a field");
    pass(&world, hours(1)).await;
    assert_eq!(runs(&store).await.last().unwrap().state, RunState::Completed);
    assert_eq!(world.open_entries().await, []);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_lane_is_not_run() {
    let world = waiting(ACME).await;
    let service = Service::start(&world).await;
    let store = world.store().await;
    let before = runs(&store).await.len();
    store.pause(PULL_LANE, "a holiday").await.expect("a lane");
    pass(&world, hours(5)).await;
    assert_eq!(runs(&store).await.len(), before);
    let error = world.run(Request::manual(Kind::Full)).await.expect_err("paused");
    assert!(error.message.contains("paused (a holiday)"), "{error}");
    assert!(error.hints[0].contains("lane resume"), "{error:?}");
    let confirmed = Request { confirmed: true, ..Request::manual(Kind::Full) };
    world.run(confirmed).await.expect_err("a person paused it, so a person resumes it");

    store.resume(PULL_LANE, world.clock.now_micros()).await.expect("a lane");
    service.bell.ring(world.tenant.clone());
    while runs(&store).await.len() == before {
        world.advance(std::time::Duration::from_secs(1));
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    settled(&world).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_does_not_run_everything_at_once() {
    let mut world = waiting(ACME).await;
    let service = Service::start(&world).await;
    pass(&world, minutes(30)).await;
    let ran = runs(&world.store().await).await.len();
    service.stop().await;
    world.restart();
    let service = Service::start(&world).await;
    assert_eq!(runs(&world.store().await).await.len(), ran, "its hour is not over");
    service.stop().await;

    world.advance(hours(9));
    world.restart();
    let service = Service::start(&world).await;
    pass(&world, minutes(30)).await;
    assert_eq!(runs(&world.store().await).await.len(), ran + 1, "what was missed is not made up for");
    service.stop().await;
}

/// Asks for another run of the lane while one is at it.
struct Impatient<'a>(&'a World, std::sync::Mutex<Option<AppError>>);

impl Watch for Impatient<'_> {
    fn page(&self, _counts: &Counts, _total: u64) {
        let second = tokio::task::block_in_place(|| {
            let run = self.0.run(Request::manual(Kind::Full));
            tokio::runtime::Handle::current().block_on(run)
        });
        *self.1.lock().expect("no panic") = second.err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_runs_once_at_a_time() {
    let world = World::new().await;
    world.has(opportunity("Globex"));
    let impatient = Impatient(&world, std::sync::Mutex::default());
    let request = Request::manual(Kind::Full);
    world.app().run(&world.tenant, PULL_LANE, request, &impatient).await.expect("the first run");
    let error = impatient.1.into_inner().expect("no panic").expect("the second is refused");
    assert!(error.message.contains("running already"), "{error}");
    assert!(error.hints[0].contains("dealsync lane list"), "{error:?}");
    assert_eq!(world.full().await.counts.unchanged, 1);
}

/// Claims the lane for somebody else as soon as a page is done.
struct Usurper(TenantStore, i64);

impl Watch for Usurper {
    fn page(&self, _counts: &Counts, _total: u64) {
        let later = self.1 + LEASE_TTL + 1;
        // On a thread and a runtime of its own: this one is busy with the run.
        std::thread::scope(|scope| {
            let claim = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(self.0.claim(PULL_LANE, "another", later, LEASE_TTL)).expect("a lane");
            });
            claim.join().expect("the lane is claimed");
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_holder_cannot_commit() {
    let world = World::of(org(|file| file.replace("page_size = 2000", "page_size = 200")), ACME).await;
    for nth in 0..205 {
        world.has(opportunity(&format!("Globex {nth}")).without_account());
    }
    let usurper = Usurper(world.store().await, world.clock.now_micros());
    let request = Request::manual(Kind::Full);
    let error = world.app().run(&world.tenant, PULL_LANE, request, &usurper).await.expect_err("fenced");
    assert_eq!(world.asides().await.len(), 200, "nothing of the second page: {error}");
    assert_eq!(world.store().await.lane(PULL_LANE).await.expect("a lane").holder.as_deref(), Some("another"));
    world.advance(hours(1));
    let report = world.full().await;
    assert!(report.resumed);
    assert_eq!(report.counts.parked, 205);
    assert_eq!(world.asides().await.len(), 205);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_of_a_run_are_stored_with_it() {
    let world = World::new().await;
    world.has(opportunity("Globex"));
    world.has(opportunity("Initech").without_account());
    world.has(opportunity("Umbrella").sync_flag(false));
    let report = world.full().await;
    let run = &world.store().await.runs(1).await.expect("runs")[0];
    assert_eq!((run.id.to_string(), run.state), (report.run, RunState::Completed));
    assert_eq!((&run.counts, run.api_calls), (&report.counts, report.api_calls));
    assert_eq!(
        serde_json::to_value(&run.counts).expect("counts"),
        serde_json::json!({
            "selected": 3, "created": 1, "updated": 0, "unchanged": 0, "parked": 1, "skipped": 1,
            "reasons": { "ACCOUNT_MISSING": 1, "SYNC_FLAG_MISSING": 1 },
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_org_behind_the_login_pauses_the_lane_until_a_person_confirms_it() {
    let mut world = World::new().await;
    world.has(opportunity("Globex"));
    world.full().await;
    let before = world.snapshot().await;
    let other = org(|file| file.replace("00DHs00000DEMO1", "00DHs00000OTHER"));
    other.org().stop_clock_at(BEGINNING / 1_000_000);
    opportunity("Initech").insert(&other.org());
    world.restart_with(Arc::new(InProcess::new(other.router())));

    let error = world.run(Request::scheduled(Kind::Full)).await.expect_err("another org");
    assert_eq!(error.code, Some(Code::OrgChanged));
    let lane = world.store().await.lane(PULL_LANE).await.expect("a lane");
    assert_eq!(lane.paused.as_deref(), Some("ORG_CHANGED"));
    assert_eq!(world.open_entries().await.last().expect("an entry").code, Code::OrgChanged);
    let unchanged = world.snapshot().await;
    assert!(unchanged.contains(before.lines().next().expect("a deal")), "nothing was written");
    assert_eq!(world.deals().await, ["Globex"]);
    world.run(Request::manual(Kind::Full)).await.expect_err("paused");

    let confirmed = Request { confirmed: true, ..Request::manual(Kind::Full) };
    let report = world.run(confirmed).await.expect("a person said so");
    assert_eq!(report.counts.created, 1);
    assert_eq!(world.deals().await, ["Globex", "Initech"]);
    assert_eq!(world.open_entries().await, []);
    world.run(Request::scheduled(Kind::Full)).await.expect("from now on it is the org");
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_runs_leave_the_reserve_to_people() {
    let budget = "daily_api_calls = 14\nmanual_reserve = 6\ngrant =";
    let world = World::with(&ACME.replace("grant =", budget)).await;
    world.has(opportunity("Globex"));
    let error = loop {
        world.advance(minutes(5));
        match world.run(Request::scheduled(Kind::Full)).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code, Some(Code::BudgetReached), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains("2026-11-23T00:00:00")), "{error:?}");
    assert_eq!(world.deals().await, ["Globex"]);
    let lane = world.store().await.lane(PULL_LANE).await.expect("a lane");
    assert!(lane.paused.is_none() && lane.cursor.is_some(), "{lane:?}");
    assert_eq!(world.open_entries().await[0].code, Code::BudgetReached);
    world.has(opportunity("Initech"));
    assert_eq!(world.incremental().await.counts.created, 1, "a person may still use the reserve");
    world.advance(hours(24));
    world.run(Request::scheduled(Kind::Full)).await.expect("another day, another budget");
}
