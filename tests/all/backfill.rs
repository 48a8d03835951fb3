//! Bringing over what another portal had created: estimated first, with its own
//! dates, resumable, and quiet.

use dealsync::app::PULL_LANE;
use dealsync::notify;
use dealsync::run::{Backfill, Kind, MailPolicy, Request, Unwatched};
use dealsync::store::{DealFilter, DealOrder};
use dealsync_core::value::{parse_date, timestamp_text};
use dealsync_salesforce_sim::{Fault, FaultKind, OrgFile, Sim, demo};
use dealsync_tests::{ACME, World, hours, opportunity, partner};

fn backfill(since: Option<&str>, mail: MailPolicy) -> Request {
    let since = since.map(|day| parse_date(day).expect("a day"));
    Request { backfill: Some(Backfill { since, mail }), ..Request::manual(Kind::Full) }
}

/// Five records of five years, of two partners, over three pages.
async fn world() -> World {
    let mut file = OrgFile::parse(demo::ORG_TOML).expect("the demo's org file");
    (file.page_size, file.long_text_page_size) = (2, 2);
    let world = World::of(Sim::new(file).expect("the demo's fields"), ACME).await;
    world.users([partner("kim@partner.example")]).await;
    for year in 2021..2026 {
        let owner = if year % 2 == 0 { "kim@partner.example" } else { "dana@partner.example" };
        let created = format!("{year}-03-01T10:00:00.000+0000");
        world.has(opportunity(&format!("Deal of {year}")).partner(owner).set("CreatedDate", created));
    }
    world
}

/// Name and day of each deal, the oldest first.
async fn days(world: &World) -> Vec<(String, String)> {
    let store = world.store().await;
    let page = store.deals(DealFilter::default(), DealOrder::OldestFirst, 100, None).await.expect("deals");
    let row = |deal: &dealsync::store::DealRow| {
        let name = deal.fields["name"].as_str().unwrap_or_default().to_owned();
        (name, timestamp_text(deal.created_at)[..10].to_owned())
    };
    page.deals.iter().map(row).collect()
}

async fn deliver(world: &World) -> Vec<String> {
    notify::deliver_due(world.app(), &world.tenant, hours(1)).await.expect("a delivery");
    let Ok(mails) = std::fs::read_dir(world.folder.path().join("mail")) else { return Vec::new() };
    let mut subjects = Vec::new();
    for mail in mails {
        let text = std::fs::read_to_string(mail.expect("a file").path()).expect("a mail");
        let line =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        subjects.push(format!("{} ({})", line("Subject: "), line("To: ")));
    }
    subjects.sort();
    subjects
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_keeps_the_created_date_of_each_record() {
    let world = world().await;
    let report = world.run(backfill(None, MailPolicy::None)).await.expect("a run");
    assert_eq!(report.counts.created, 5);
    let expected: Vec<_> =
        (2021..2026).map(|year| (format!("Deal of {year}"), format!("{year}-03-01"))).collect();
    assert_eq!(days(&world).await, expected);
    assert_eq!(deliver(&world).await, [""; 0], "nobody is told of old deals");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_import_is_dated_by_its_day() {
    let world = world().await;
    world.full().await;
    assert!(days(&world).await.iter().all(|(_, day)| day == "2026-11-22"), "{:?}", days(&world).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_what_it_will_cost_first() {
    let world = world().await;
    let whole = world.app().estimate(&world.tenant, None).await.expect("an estimate");
    assert_eq!((whole.records, whole.pages), (5, 1));
    assert!(whole.api_calls > 0);
    let late = world.app().estimate(&world.tenant, parse_date("2024-01-01")).await.expect("an estimate");
    assert_eq!(late.records, 2);
    assert_eq!(world.sim.tally().rows.get("Opportunity").copied().unwrap_or(0), 0, "nothing is read yet");
    assert!(days(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn since_limits_it() {
    let world = world().await;
    let report = world.run(backfill(Some("2024-03-01"), MailPolicy::None)).await.expect("a run");
    assert_eq!(report.counts.selected, 2);
    let names: Vec<String> = days(&world).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["Deal of 2024", "Deal of 2025"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_resumes_where_it_was_cut() {
    let mut world = world().await;
    // The third page never comes, so that the first two are all that is committed.
    world.sim.fault(Fault { ms: 600_000, ..Fault::new(FaultKind::Slow).on("query_more").after(1) });
    let (app, tenant) = (world.app().clone(), world.tenant.clone());
    let request = backfill(None, MailPolicy::Digest);
    let again = request.clone();
    let run = tokio::spawn(async move { app.run(&tenant, PULL_LANE, request, &Unwatched).await.map(drop) });
    while days(&world).await.len() < 4 {
        assert!(!run.is_finished(), "the third page is not there yet");
        tokio::task::yield_now().await;
    }
    run.abort();
    run.await.expect_err("it was cut");
    world.sim.clear_faults();
    world.restart();

    world.sim.reset_tally();
    let report = world.run(again).await.expect("a run");
    assert!(report.resumed);
    assert_eq!(report.counts.created, 5, "counts go on where they were");
    assert_eq!(world.sim.tally().rows["Opportunity"] as usize, 1, "what was done is not read again");
    assert_eq!(days(&world).await.len(), 5);
    assert_eq!(deliver(&world).await.len(), 2, "a digest each, of the whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_owner_gets_one_digest_where_it_is_asked_for() {
    let world = world().await;
    world.run(backfill(None, MailPolicy::Digest)).await.expect("a run");
    assert_eq!(
        deliver(&world).await,
        [
            "2 deals were imported from Salesforce (\"Dana Vance\" <kim@partner.example>)",
            "3 deals were imported from Salesforce (\"Dana Vance\" <dana@partner.example>)",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_run_after_it_changes_nothing() {
    let world = world().await;
    world.run(backfill(None, MailPolicy::Digest)).await.expect("a run");
    let mails = deliver(&world).await;
    let before = world.snapshot().await;
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.updated, report.counts.unchanged), (0, 0, 5));
    assert_eq!(world.snapshot().await, before);
    assert_eq!(deliver(&world).await, mails);
}
