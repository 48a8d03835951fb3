//! Claims, fences and runs.

use super::*;

#[tokio::test]
async fn a_lane_is_held_once_until_it_is_released_or_the_lease_runs_out() {
    let bench = bench().await;
    let claim = |now| bench.tenant.claim(LANE, "second", now, 60 * S);
    assert_eq!(claim(2 * S).await.unwrap(), None, "somebody holds it");
    let taken_over = claim(61 * S).await.unwrap().expect("the first lease ran out");
    assert_eq!(claim(62 * S).await.unwrap(), None);
    bench.tenant.release(&bench.lease).await.unwrap();
    assert_eq!(claim(62 * S).await.unwrap(), None, "a stale holder releases nothing");
    bench.tenant.release(&taken_over).await.unwrap();
    assert!(claim(62 * S).await.unwrap().is_some());
    assert_eq!(bench.tenant.claim("no/such/lane", "x", S, S).await.unwrap(), None);
}

#[tokio::test]
async fn a_stale_lease_commits_nothing() {
    let bench = bench().await;
    bench.tenant.claim(LANE, "second", 61 * S, 60 * S).await.unwrap().unwrap();
    let error = bench.commit(vec![bench.creation(1).await]).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "{error}");
    assert_eq!(bench.tenant.deal_count().await.unwrap(), 0);
    assert!(matches!(bench.tenant.renew(&bench.lease, 62 * S, S).await, Err(StoreError::Fenced { .. })));
    let end = ended(bench.run, RunState::Completed);
    assert!(matches!(bench.tenant.finish_run(&bench.lease, end).await, Err(StoreError::Fenced { .. })));
}

#[tokio::test]
async fn a_released_lease_commits_nothing() {
    let bench = bench().await;
    bench.tenant.release(&bench.lease).await.unwrap();
    assert!(matches!(bench.commit(vec![]).await, Err(StoreError::Fenced { .. })));
}

#[tokio::test]
async fn a_paused_lane_is_not_claimed_and_says_why() {
    let bench = bench().await;
    bench.tenant.release(&bench.lease).await.unwrap();
    bench.tenant.pause(LANE, "AUTH_EXPIRED").await.unwrap();
    assert_eq!(bench.tenant.claim(LANE, "x", S, S).await.unwrap(), None);
    assert_eq!(bench.tenant.lane(LANE).await.unwrap().paused.as_deref(), Some("AUTH_EXPIRED"));
    bench.tenant.resume(LANE, 5 * S).await.unwrap();
    assert_eq!(bench.tenant.lane(LANE).await.unwrap().next_due, Some(5 * S));
    assert!(bench.tenant.claim(LANE, "x", S, S).await.unwrap().is_some());
    let error = bench.tenant.pause("deals/pull/Oportunity", "x").await.unwrap_err();
    assert!(error.to_string().ends_with("did you mean \"deals/pull/Opportunity\"?"), "{error}");
}

fn ended(run: RunId, state: RunState) -> RunEnd {
    RunEnd {
        run,
        state,
        now: 20 * S,
        counts: Counts::default(),
        api_calls: 0,
        cursor: Some("{\"at\":5}".to_owned()),
        next_due: Some(99 * S),
        start_over: false,
        spent: None,
        error: None,
    }
}

#[tokio::test]
async fn a_killed_run_is_found_by_the_next_with_where_it_was() {
    let bench = bench().await;
    let page = PageCommit { resume: Some("page 2".into()), ..bench.page(vec![bench.creation(1).await]) };
    bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    let folder = bench.folder;
    drop((bench.tenant, bench.store));
    let store = Store::open(folder.path(), key()).unwrap();
    let tenant = store.tenant(&tenant_id("acme")).await.unwrap();
    assert_eq!(tenant.deal_count().await.unwrap(), 1);
    let lease = tenant.claim(LANE, "next", 61 * S, 60 * S).await.unwrap().unwrap();
    assert_eq!(lease.sequence, 1, "deals made so far");
    let next = RunId(id(901));
    let cut_off = tenant.start_run(&lease, start(next)).await.unwrap().expect("a run that never ended");
    assert_eq!((cut_off.id, cut_off.counts.created), (bench.run, 1));
    assert_eq!(tenant.lane(LANE).await.unwrap().resume.as_deref(), Some("page 2"));
    tenant.finish_run(&lease, ended(next, RunState::Completed)).await.unwrap();
    let lane = tenant.lane(LANE).await.unwrap();
    assert_eq!((lane.resume, lane.cursor.as_deref()), (None, Some("{\"at\":5}")));
    let states: Vec<_> = tenant.runs(9).await.unwrap().into_iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Completed, RunState::Interrupted]);
}

#[tokio::test]
async fn a_failed_run_keeps_the_counts_of_its_pages_and_where_to_go_on() {
    let bench = bench().await;
    let page = PageCommit { resume: Some("page 2".into()), ..bench.page(vec![bench.creation(1).await]) };
    bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    let end = RunEnd { cursor: None, error: Some("cut".into()), ..ended(bench.run, RunState::Failed) };
    bench.tenant.finish_run(&bench.lease, end).await.unwrap();
    let run = bench.tenant.run(bench.run).await.unwrap();
    assert_eq!((run.counts.created, run.api_calls, run.error.as_deref()), (1, 1, Some("cut")));
    assert_eq!(bench.tenant.lane(LANE).await.unwrap().resume.as_deref(), Some("page 2"));
}
