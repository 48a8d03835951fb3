//! The log tells what is true, once; what was set aside comes back when it can.

use super::*;

#[tokio::test]
async fn an_open_entry_is_written_once_and_resolves_when_the_record_imports() {
    let bench = bench().await;
    bench.commit(vec![parked(1, vec![no_account()])]).await.unwrap();
    bench.commit(vec![parked(1, vec![no_account()])]).await.unwrap();
    assert_eq!(bench.open_entries().await.len(), 1);
    let mut fixed = bench.creation(1).await;
    fixed.intents.push(Intent::TakeBack);
    bench.commit(vec![fixed]).await.unwrap();
    assert!(bench.open_entries().await.is_empty());
    let all = bench.tenant.log_entries(LogFilter::default()).await.unwrap();
    assert_eq!((all.len(), all[0].state), (1, LogState::Resolved));
    assert!(bench.tenant.asides(AsideFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_two_reasons_the_one_that_is_gone_resolves_and_the_other_stays() {
    let bench = bench().await;
    bench.commit(vec![parked(1, vec![no_account(), unknown_user("a@x.example")])]).await.unwrap();
    bench
        .commit(vec![parked(1, vec![unknown_user("a@x.example"), Reason::new(Code::ContactMissing, &[])])])
        .await
        .unwrap();
    let mut open: Vec<_> = bench.open_entries().await.into_iter().map(|entry| entry.code).collect();
    open.sort();
    assert_eq!(open, [Code::ContactMissing, Code::PartnerUserUnknown]);
    let aside = bench.tenant.aside(opportunity(1)).await.unwrap();
    assert_eq!((aside.code, aside.attempts), (Code::PartnerUserUnknown, 2));
}

#[tokio::test]
async fn the_same_trouble_with_another_value_is_rephrased() {
    let bench = bench().await;
    bench.commit(vec![parked(1, vec![unknown_user("a@x.example")])]).await.unwrap();
    bench.commit(vec![parked(1, vec![unknown_user("b@x.example")])]).await.unwrap();
    let open = bench.open_entries().await;
    assert_eq!((open.len(), open[0].seen_count), (1, 2));
    assert!(open[0].message.contains("b@x.example"));
}

#[tokio::test]
async fn trouble_with_the_connection_is_counted_and_resolved_by_the_next_good_run() {
    let bench = bench().await;
    let down = || Reason::new(Code::SfUnavailable, &[("text", "503")]);
    let earlier = RunId(id(777));
    bench.tenant.log_run(LANE, earlier, down(), 3 * S).await.unwrap();
    bench.tenant.log_run(LANE, earlier, down(), 4 * S).await.unwrap();
    let open = bench.open_entries().await;
    assert_eq!((open.len(), open[0].seen_count, open[0].last_seen), (1, 2, 4 * S));
    let unreadable = Reason::new(Code::RecordUnreadable, &[("text", "no id")]);
    bench.tenant.log_run(LANE, bench.run, unreadable, 5 * S).await.unwrap();
    let end = RunEnd {
        run: bench.run,
        state: RunState::Completed,
        now: 9 * S,
        counts: Counts::default(),
        api_calls: 0,
        cursor: None,
        next_due: None,
        start_over: false,
        spent: None,
        error: None,
    };
    bench.tenant.finish_run(&bench.lease, end).await.unwrap();
    let open: Vec<Code> = bench.open_entries().await.iter().map(|entry| entry.code).collect();
    assert_eq!(open, [Code::RecordUnreadable], "what the run itself found stays");
}

#[tokio::test]
async fn the_log_is_filtered_grouped_counted_and_cleared() {
    let bench = bench().await;
    let plans = (1..=3).map(|n| parked(n, vec![no_account()])).collect();
    bench.commit(plans).await.unwrap();
    let skipped = Reason::new(Code::SyncFlagMissing, &[("import_flag", "I"), ("sync_flag", "S")]);
    let aside = Intent::SetAside(AsideKind::Skipped);
    bench.commit(vec![plan(4, Outcome::Skipped, None, vec![aside], vec![skipped])]).await.unwrap();
    let causes = bench.tenant.grouped_by_cause(Level::Info).await.unwrap();
    let told: Vec<_> = causes.iter().map(|cause| (cause.code, cause.count, cause.names.len())).collect();
    assert_eq!(told, [(Code::AccountMissing, 3, 3), (Code::SyncFlagMissing, 1, 1)]);
    let counts = bench.tenant.counts_by_code().await.unwrap();
    assert_eq!(counts, BTreeMap::from([(Code::AccountMissing, 3), (Code::SyncFlagMissing, 1)]));
    let errors = LogFilter { level: Some(Level::Error), limit: Some(2), ..LogFilter::default() };
    let first = bench.tenant.log_entries(errors.clone()).await.unwrap();
    let rest = LogFilter { before: Some(first[1].id), ..errors };
    let rest = bench.tenant.log_entries(rest).await.unwrap();
    assert_eq!((first.len(), rest.len()), (2, 1), "the second page goes on after the first");
    let of_one = LogFilter { search: Some("renewal 2".into()), ..LogFilter::default() };
    assert_eq!(bench.tenant.log_entries(of_one).await.unwrap()[0].sf_id, Some(opportunity(2)));
    assert_eq!(bench.tenant.acknowledge(Some(vec![first[0].id])).await.unwrap(), 1);
    assert_eq!(bench.tenant.acknowledge(None).await.unwrap(), 3);
    assert!(bench.open_entries().await.is_empty());
}

#[tokio::test]
async fn a_record_is_tried_again_when_the_user_it_waits_for_is_invited() {
    let bench = bench().await;
    let page = PageCommit {
        waits: vec![vec![user_key("Lee@Acme.example")], vec![user_key("other@acme.example")]],
        ..bench.page(vec![parked(1, vec![unknown_user("x")]), parked(2, vec![unknown_user("y")])])
    };
    bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    assert!(bench.tenant.due_asides(org(), 99 * S, 9).await.unwrap().is_empty());
    let imported = bench.tenant.import_users(vec![user(9, "lee@acme.example")], 11 * S).await.unwrap();
    assert_eq!(imported.woken, 1);
    assert_eq!(bench.tenant.due_asides(org(), 11 * S, 9).await.unwrap(), [opportunity(1)]);
    // Looked at and still as it was: it waits on.
    let page = PageCommit {
        now: 12 * S,
        ..bench.page(vec![plan(1, Outcome::Parked, None, vec![], vec![unknown_user("x")])])
    };
    bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    assert!(bench.tenant.due_asides(org(), 99 * S, 9).await.unwrap().is_empty());
    assert_eq!(bench.tenant.aside(opportunity(1)).await.unwrap().attempts, 2);
    assert_eq!(
        bench.tenant.set_user_status("lee@acme.example", UserStatus::Disabled, 13 * S).await.unwrap(),
        1
    );
}

#[tokio::test]
async fn a_passing_cause_is_tried_again_by_itself_later_each_time() {
    let bench = bench().await;
    let busy = Reason { level: Level::Error, ..Reason::new(Code::RowLocked, &[]) };
    bench.commit(vec![parked(1, vec![busy.clone()])]).await.unwrap();
    let due = bench.tenant.aside(opportunity(1)).await.unwrap().due_at.unwrap();
    assert_eq!(due, 70 * S);
    let page =
        PageCommit { now: due, ..bench.page(vec![plan(1, Outcome::Parked, None, vec![], vec![busy])]) };
    bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    assert_eq!(bench.tenant.aside(opportunity(1)).await.unwrap().due_at, Some(due + 120 * S));
}

#[tokio::test]
async fn a_person_may_ask_for_records_to_be_tried() {
    let bench = bench().await;
    bench.commit(vec![parked(1, vec![no_account()]), parked(2, vec![no_account()])]).await.unwrap();
    assert_eq!(bench.tenant.retry(Some(vec![opportunity(1)]), 11 * S).await.unwrap(), 1);
    assert_eq!(bench.tenant.due_asides(org(), 11 * S, 9).await.unwrap(), [opportunity(1)]);
    bench.tenant.clear_due(org(), vec![opportunity(1)], 12 * S).await.unwrap();
    assert!(bench.tenant.due_asides(org(), 12 * S, 9).await.unwrap().is_empty());
    assert_eq!(bench.tenant.retry(None, 13 * S).await.unwrap(), 2);
    let error = bench.tenant.retry(Some(vec![opportunity(8)]), S).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    let filter = AsideFilter {
        code: Some(Code::AccountMissing),
        search: Some("RENEWAL 2".into()),
        ..Default::default()
    };
    assert_eq!(bench.tenant.asides(filter).await.unwrap().len(), 1);
    assert_eq!(bench.tenant.aside_counts().await.unwrap(), [(AsideKind::Parked, Code::AccountMissing, 2)]);
}

#[tokio::test]
async fn what_waits_for_a_salesforce_record_is_known_as_such() {
    let bench = bench().await;
    let page = PageCommit {
        waits: vec![vec!["sf:003000000000001AAA".into()]],
        ..bench.page(vec![parked(1, vec![no_account()])])
    };
    bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    assert!(bench.tenant.waits_on_salesforce(org()).await.unwrap());
    let among = bench.tenant.asides_among(org(), vec![opportunity(2), opportunity(1)]).await.unwrap();
    assert_eq!(among, [opportunity(1)]);
    assert_eq!(bench.tenant.touch_keys(vec!["sf:003000000000001AAA".into()], S).await.unwrap(), 1);
}
