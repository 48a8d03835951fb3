//! What the scheduler makes of a lane's runs, and its life from start to stop.

use dealsync_core::ids::RunId;

use super::*;
use crate::app::{AppOptions, PULL_LANE};
use crate::run::Trigger;
use crate::tenants::Apply;

fn lane(next_due: Option<i64>) -> Lane {
    Lane {
        name: PULL_LANE.to_owned(),
        integration: "deals".to_owned(),
        paused: None,
        holder: None,
        lease_until: 0,
        last_run: None,
        next_due,
        cursor: None,
        resume: None,
        sequence: 0,
        spent: None,
    }
}

fn run(started: i64, kind: Kind, state: RunState) -> RunRow {
    RunRow {
        id: RunId(uuid::Uuid::from_u128(started as u128)),
        lane: PULL_LANE.to_owned(),
        kind,
        trigger: Trigger::Scheduled,
        backfill: false,
        started,
        finished: Some(started + 1),
        state,
        counts: Counts::default(),
        cursor_from: None,
        cursor_to: None,
        api_calls: 0,
        error: None,
    }
}

#[test]
fn failures_count_since_the_last_run_that_ended_well() {
    use RunState::{Completed, Failed, Interrupted};
    let runs = [
        run(60, Kind::Full, Failed),
        run(50, Kind::Full, Interrupted),
        run(40, Kind::Incremental, Failed),
        run(30, Kind::Incremental, Completed),
        run(20, Kind::Full, Failed),
        run(10, Kind::Full, Completed),
    ];
    let want =
        Past { paused: false, last_full: Some(10), last_any: Some(30), last_failure: Some(61), failures: 2 };
    assert_eq!(past(&lane(None), &runs), want);
}

#[test]
fn a_backfill_of_some_records_is_no_full_run() {
    let mut backfill = run(10, Kind::Full, RunState::Completed);
    backfill.backfill = true;
    assert_eq!(past(&lane(None), &[backfill]).last_full, None);
}

#[test]
fn a_lane_that_was_resumed_is_due_at_once_and_only_once() {
    let runs = [run(10, Kind::Full, RunState::Failed)];
    assert_eq!(asked_for(&lane(Some(20)), &runs), Some(20));
    let runs = [run(30, Kind::Full, RunState::Failed), run(10, Kind::Full, RunState::Failed)];
    assert_eq!(asked_for(&lane(Some(20)), &runs), None);
}

async fn app(toml: &str) -> (App, TenantId, tempfile::TempDir) {
    let data = tempfile::tempdir().unwrap();
    let app = App::open(AppOptions::new(data.path())).unwrap();
    let apply = Apply { toml: toml.to_owned(), actor: "test".into(), ..Apply::default() };
    app.apply(apply).await.unwrap();
    (app, "acme".parse().unwrap(), data)
}

#[tokio::test]
async fn a_tenant_without_a_connection_is_never_due() {
    let (app, tenant, _data) = app("[tenant]\nid = \"acme\"\n").await;
    let outlook = note(&app, &tenant).await.unwrap();
    assert_eq!(outlook, Outlook::off());
    let status = &app.store().tenants().await.unwrap()[0];
    assert_eq!((status.next_due, status.health.as_str()), (None, "off"));
}

/// Nobody answers at the login host: the run fails, is written down, and the lane
/// waits for its next try instead of running every second.
#[tokio::test]
async fn a_due_lane_is_run_and_one_that_fails_waits() {
    let toml = "[tenant]\nid = \"acme\"\n[connection]\nlogin_url = \"http://127.0.0.1:1\"\n\
                grant = \"jwt-bearer\"\nclient_id = \"x\"\nusername = \"u@acme.example\"\n\
                private_key = { file = \"key\" }\n[deal_registration]\npull_opportunities = true\n\
                import_flag = \"Import__c\"\npartner_email = \"Partner__c\"\n";
    let data = tempfile::tempdir().unwrap();
    let app = App::open(AppOptions::new(data.path())).unwrap();
    let files = [("key".to_owned(), b"no key at all".to_vec())].into();
    app.apply(Apply { toml: toml.to_owned(), files, actor: "test".into(), ..Apply::default() })
        .await
        .unwrap();
    let tenant: TenantId = "acme".parse().unwrap();
    let before = app.clock().now_micros();
    turn(&app, &tenant, &Stop::default()).await;
    let store = app.store().tenant(&tenant).await.unwrap();
    assert_eq!(store.runs(10).await.unwrap().len(), 1);
    assert_eq!(store.runs(10).await.unwrap()[0].state, RunState::Failed);
    let status = &app.store().tenants().await.unwrap()[0];
    assert!(status.next_due.is_none_or(|at| at > before + LOOK_AGAIN / 2), "{status:?}");
}

#[tokio::test]
async fn the_service_stops_when_it_is_told_to() {
    let (app, tenant, _data) = app("[tenant]\nid = \"acme\"\n").await;
    let (scheduler, bell) = Scheduler::new(app);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(scheduler.run(async {
        let _ = stopped.await;
    }));
    bell.ring(tenant);
    stop.send(()).unwrap();
    running.await.unwrap();
}
