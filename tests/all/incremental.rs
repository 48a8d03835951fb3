//! Incremental runs: what they read, what they look at again, and what they leave
//! to the full run.

use dealsync::app::PULL_LANE;
use dealsync::run::{Kind, Request};
use dealsync::store::{LogFilter, LogState};
use dealsync_core::ids::SfId;
use dealsync_core::people::UserStatus;
use dealsync_core::reason::Code;
use dealsync_salesforce_sim::rows::Cell;
use dealsync_salesforce_sim::{Fault, FaultKind, OrgFile, Sim, demo};
use dealsync_tests::{ACME, BEGINNING, World, hours, minutes, opportunity, partner};
use serde_json::{Value, json};

/// An org whose pages hold no more rows than this.
fn small_pages(rows: u32) -> Sim {
    let file = demo::ORG_TOML.replace("page_size = 2000", &format!("page_size = {rows}"));
    Sim::new(OrgFile::parse(&file).expect("an org file")).expect("its fields")
}

/// So long after the last change that nothing is read twice any more.
async fn when_all_is_quiet(world: &World) {
    world.advance(hours(1));
    world.incremental().await;
    world.advance(hours(1));
}

/// What a column of an Opportunity holds of its primary contact's role.
fn role_of(world: &World, opportunity: SfId, column: &str) -> SfId {
    let soql = format!("SELECT {column} FROM OpportunityContactRole WHERE OpportunityId = '{opportunity}'");
    let rows = world.org().query(&soql).expect("a role");
    rows[0][column].as_str().expect("an id").parse().expect("an id")
}

fn stamp(world: &World, id: SfId) -> Value {
    let soql = format!("SELECT SystemModstamp FROM Opportunity WHERE Id = '{id}'");
    world.org().query(&soql).expect("a row")[0]["SystemModstamp"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_run_reads_only_what_changed() {
    let world = World::new().await;
    let ids = ["Globex", "Initech", "Umbrella"].map(|name| world.has(opportunity(name)));
    world.full().await;
    when_all_is_quiet(&world).await;
    world.org().update("Opportunity", ids[1], json!({ "Amount": 16000 })).expect("an edit");
    world.sim.reset_tally();
    let report = world.incremental().await;
    assert_eq!((report.counts.selected, report.counts.updated), (1, 1), "{report:?}");
    assert_eq!(world.sim.tally().rows["Opportunity"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_one_stamp_are_all_read() {
    let world = World::of(small_pages(200), ACME).await;
    let account = world.org().insert("Account", json!({ "Name": "Globex" })).expect("an account");
    let contact = json!({ "FirstName": "Jo", "LastName": "Doe", "AccountId": account.as_str() });
    let contact = world.org().insert("Contact", contact).expect("a contact");
    let of_one = |nth| opportunity(&format!("Globex {nth}")).account(account).contact(contact);
    let ids: Vec<SfId> = (0..210).map(|nth| world.has(of_one(nth))).collect();
    let report = world.full().await;
    assert_eq!((report.counts.created, report.pages), (210, 2));
    world.advance(hours(1));
    for id in ids {
        world.org().update("Opportunity", id, json!({ "NextStep": "Call" })).expect("an edit");
    }
    let report = world.incremental().await;
    assert_eq!((report.counts.updated, report.pages), (210, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_row_is_not_lost() {
    let world = World::new().await;
    world.has(opportunity("Globex"));
    world.full().await;
    // Its transaction began before the run and commits after it.
    let before = world.org().stamped(BEGINNING / 1_000_000 - 300);
    opportunity("Initech").insert(&before);
    let report = world.incremental().await;
    assert_eq!(report.counts.created, 1, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_twice_counts_once() {
    let world = World::of(small_pages(200), ACME).await;
    for nth in 0..205 {
        world.has(opportunity(&format!("Globex {nth}")).without_account());
    }
    world.sim.fault(Fault::new(FaultKind::DuplicateRows).on("query_more"));
    let report = world.full().await;
    assert_eq!(world.sim.faults_left(), 0);
    assert_eq!(report.counts.selected, 205);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changed_costs_at_most_three_calls() {
    let world = World::new().await;
    for name in ["Globex", "Initech", "Umbrella"] {
        world.has(opportunity(name));
    }
    world.full().await;
    world.sim.reset_tally();
    let soon = world.incremental().await;
    assert!(soon.api_calls <= 3, "{:?}", world.sim.tally());
    assert_eq!(soon.api_calls, world.sim.tally().counted, "every call is counted");

    world.has(opportunity("Hooli").contact_field("FirstName", Value::Null));
    world.incremental().await;
    when_all_is_quiet(&world).await;
    world.full().await;
    world.sim.reset_tally();
    let waiting = world.incremental().await;
    assert_eq!(waiting.api_calls, 3, "Opportunities, roles, and the Contacts one record waits on");
    assert_eq!(world.sim.tally().rows.values().sum::<u64>(), 0, "{:?}", world.sim.tally());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reads_neither_describes_nor_rows_again() {
    let mut world = World::new().await;
    world.has(opportunity("Globex"));
    world.full().await;
    let spent = world.store().await.lane(PULL_LANE).await.expect("the lane").spent;
    world.restart();
    world.sim.reset_tally();
    let report = world.incremental().await;
    assert_eq!(report.counts.created, 0);
    let kinds = world.sim.tally().kinds;
    assert_eq!(kinds.get("describe"), None, "{kinds:?}");
    assert_eq!(kinds.get("token"), Some(&1));
    let now = world.store().await.lane(PULL_LANE).await.expect("the lane").spent;
    assert!(spent.is_some() && now != spent, "the day's calls go on being counted: {now:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_record_is_retried_when_what_it_depends_on_changes() {
    let world = World::new().await;
    world
        .users([
            partner("pending@partner.example").status(UserStatus::Pending),
            partner("plain@partner.example").without_permission(),
        ])
        .await;
    world.has(opportunity("A user activated").partner("pending@partner.example"));
    world.has(opportunity("A user created").partner("new@partner.example"));
    world.has(opportunity("A user permitted").partner("plain@partner.example"));
    let nameless = world.has(opportunity("A contact edited").contact_field("FirstName", Value::Null));
    let none_primary = world.has(opportunity("A role ticked").none_primary());
    let homeless = world.has(opportunity("An account set").without_account());
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.parked), (0, 6), "{report:?}");
    when_all_is_quiet(&world).await;
    world.sim.reset_tally();
    assert_eq!(world.incremental().await.counts.selected, 0, "nothing changed, so nothing is asked again");
    assert_eq!(world.sim.tally().rows.values().sum::<u64>(), 0, "{:?}", world.sim.tally());

    let store = world.store().await;
    let only = async |name: &str| {
        let report = world.incremental().await;
        assert_eq!((report.counts.selected, report.counts.created), (1, 1), "{name}: {report:?}");
        assert!(world.deals().await.contains(&name.to_owned()), "{name}");
        when_all_is_quiet(&world).await;
    };
    let now = BEGINNING + 1;
    store.set_user_status("pending@partner.example", UserStatus::Active, now).await.expect("a user");
    only("A user activated").await;
    world.users([partner("new@partner.example")]).await;
    only("A user created").await;
    world.users([partner("plain@partner.example")]).await;
    only("A user permitted").await;
    let contact = role_of(&world, nameless, "ContactId");
    world.org().update("Contact", contact, json!({ "FirstName": "Jo" })).expect("an edit");
    only("A contact edited").await;
    let role = role_of(&world, none_primary, "Id");
    world.org().update("OpportunityContactRole", role, json!({ "IsPrimary": true })).expect("an edit");
    only("A role ticked").await;
    let account = world.org().insert("Account", json!({ "Name": "Globex" })).expect("an account");
    world.org().update("Opportunity", homeless, json!({ "AccountId": account.as_str() })).expect("an edit");
    only("An account set").await;
    assert_eq!(world.asides().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn saved_settings_let_every_parked_record_be_tried_again() {
    let mapping = "\n[[mapping]]\nto = \"region\"\nfrom = \"Region__c\"\nvalues = { AMER = \"Americas\" }\n";
    let before = format!("{ACME}{mapping}")
        .replace("distributor_email =", "# distributor_email =")
        .replace("enabled = true", "enabled = false");
    let world = World::with(&before).await;
    world.users([dealsync_tests::distributor("dis@distributor.example")]).await;
    world.has(opportunity("Unmapped").set("Region__c", "LATAM"));
    let through = opportunity("Through a distributor").owner_type("Distributor-owned");
    world.has(through.partner("").distributor("dis@distributor.example"));
    world.full().await;
    assert_eq!(
        world.asides().await,
        ["parked Through a distributor: PARTNER_EMAIL_BLANK", "parked Unmapped: PICKLIST_UNMAPPED_IN"]
    );
    when_all_is_quiet(&world).await;
    let more = mapping.replace("AMER =", "LATAM = \"Latin America\", AMER =");
    let after = format!("{ACME}{more}").replace("enabled = true", "enabled = true\npartner_optional = true");
    world.apply(&after).await.expect("settings");
    let report = world.incremental().await;
    assert_eq!((report.counts.created, report.counts.parked), (2, 0), "{report:?}");
    assert_eq!(world.asides().await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_fixed_in_salesforce_imports_on_the_next_run_and_its_entry_resolves() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex").partner(""));
    world.full().await;
    let open = world.open_entries().await;
    assert_eq!((open.len(), open[0].code), (1, Code::PartnerEmailBlank));
    world.advance(hours(1));
    let fixed = json!({ "Portal_Partner_Email__c": "dana@partner.example" });
    world.org().update("Opportunity", id, fixed).expect("an edit");
    assert_eq!(world.incremental().await.counts.created, 1);
    assert_eq!(world.open_entries().await, []);
    let filter = LogFilter { state: Some(LogState::Resolved), ..LogFilter::default() };
    let resolved = world.store().await.log_entries(filter).await.expect("the log");
    assert_eq!(resolved[0].id, open[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_marked_primary_is_seen_although_the_opportunity_did_not_change() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex").none_primary());
    world.full().await;
    when_all_is_quiet(&world).await;
    let before = stamp(&world, id);
    let role = role_of(&world, id, "Id");
    world.org().update("OpportunityContactRole", role, json!({ "IsPrimary": true })).expect("an edit");
    assert_eq!(stamp(&world, id), before);
    assert_eq!(world.incremental().await.counts.created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_formula_change_is_seen_by_the_full_run_only() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex"));
    world.full().await;
    when_all_is_quiet(&world).await;
    // As of a formula: another value, the same stamp.
    world.sim.change(|org| {
        let at = org.object("Opportunity").expect("an object");
        let row = org.tables[at].row(id).expect("a row");
        org.set_named(at, row, "Description", Cell::text("worked out anew"));
    });
    assert_eq!(world.incremental().await.counts.updated, 0);
    assert_eq!(world.full().await.counts.updated, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_away_falls_back_to_a_full_run() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex"));
    world.full().await;
    world.advance(hours(24));
    world.org().purge("Opportunity", id).expect("gone");
    world.advance(hours(20 * 24));
    world.incremental().await;
    assert!(world.snapshot().await.contains("[remote-deleted]"), "{}", world.snapshot().await);
    let filter = LogFilter { code: Some(Code::ReplicationWindow), ..LogFilter::default() };
    assert_eq!(world.store().await.log_entries(filter).await.expect("the log").len(), 1);
    world.sim.reset_tally();
    assert!(world.incremental().await.api_calls <= 2, "the next one is incremental again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_record_is_noted_and_its_deal_stays() {
    for incremental in [true, false] {
        let world = World::new().await;
        let id = world.has(opportunity("Globex"));
        world.full().await;
        world.advance(minutes(5));
        world.org().delete("Opportunity", id).expect("deleted");
        let look = async || if incremental { world.incremental().await } else { world.full().await };
        look().await;
        assert_eq!(world.deals().await, ["Globex"]);
        let codes: Vec<Code> = world.open_entries().await.iter().map(|entry| entry.code).collect();
        assert_eq!(codes, [Code::RecordDeleted]);
        let once = world.snapshot().await;
        look().await;
        assert_eq!(world.snapshot().await, once, "it is said once");

        world.advance(minutes(5));
        world.org().undelete("Opportunity", id).expect("restored");
        world.org().update("Opportunity", id, json!({ "Amount": 1 })).expect("an edit");
        let report = look().await;
        assert_eq!((report.counts.created, report.counts.updated), (0, 1), "{report:?}");
        assert_eq!(world.open_entries().await, []);
    }
}

/// A world with this many linked records.
async fn linked(count: usize) -> (World, Vec<SfId>) {
    let world = World::new().await;
    let account = world.org().insert("Account", json!({ "Name": "Globex" })).expect("an account");
    let contact = json!({ "FirstName": "Jo", "LastName": "Doe", "AccountId": account.as_str() });
    let contact = world.org().insert("Contact", contact).expect("a contact");
    let of_one = |nth| opportunity(&format!("Globex {nth}")).account(account).contact(contact);
    let ids = (0..count).map(|nth| world.has(of_one(nth))).collect();
    assert_eq!(world.full().await.counts.created, count as u64);
    world.advance(hours(1));
    (world, ids)
}

async fn stopped(world: &World, kind: Kind) {
    let error = world.run(Request::manual(kind)).await.expect_err("too many at once");
    assert_eq!(error.code, Some(Code::MassChangeStopped), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains("--confirm")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_vanishing_at_once_stop_the_run_before_anything_is_applied() {
    let (world, ids) = linked(100).await;
    for id in &ids[..20] {
        world.org().delete("Opportunity", *id).expect("deleted");
    }
    let before = world.snapshot().await;
    // Said twice, since a run that was stopped must not count as one half done.
    for kind in [Kind::Full, Kind::Incremental, Kind::Full, Kind::Full] {
        stopped(&world, kind).await;
        let after = world.snapshot().await;
        let said = "log error MASS_CHANGE_STOPPED";
        assert!(after.contains(said), "{after}");
        let rest: Vec<&str> = after.lines().filter(|line| !line.starts_with(said)).collect();
        assert_eq!(rest, before.lines().collect::<Vec<_>>());
    }
    world.run(Request { confirmed: true, ..Request::manual(Kind::Full) }).await.expect("a person said go");
    let deleted = world.open_entries().await;
    assert_eq!(deleted.iter().filter(|entry| entry.code == Code::RecordDeleted).count(), 20);
    assert_eq!(deleted.len(), 20, "what was stopped is settled");
    assert_eq!(world.deals().await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn fewer_than_twenty_vanishing_are_followed() {
    let (world, ids) = linked(100).await;
    for id in &ids[..19] {
        world.org().delete("Opportunity", *id).expect("deleted");
    }
    world.full().await;
    assert_eq!(world.open_entries().await.len(), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_flags_cleared_at_once_stop_the_run_and_keep_their_deals_in_step() {
    let (world, ids) = linked(40).await;
    for id in &ids[..20] {
        world.org().update("Opportunity", *id, json!({ "Sync_with_Portal__c": false })).expect("an edit");
    }
    world.org().update("Opportunity", ids[30], json!({ "Amount": 77 })).expect("an edit");
    for kind in [Kind::Incremental, Kind::Full] {
        stopped(&world, kind).await;
        let snapshot = world.snapshot().await;
        assert_eq!(snapshot.matches("[linked]").count(), 40, "{snapshot}");
        assert!(snapshot.contains("\"77.00\""), "others go on: {snapshot}");
    }
    for id in &ids[..20] {
        world.org().update("Opportunity", *id, json!({ "Sync_with_Portal__c": true })).expect("an edit");
    }
    world.incremental().await;
    assert_eq!(world.open_entries().await, [], "set right again, nothing stands open");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_records_do_not_hide_that_many_vanished() {
    let (world, ids) = linked(40).await;
    for id in &ids[..20] {
        world.org().delete("Opportunity", *id).expect("deleted");
    }
    for nth in 0..30 {
        world.has(opportunity(&format!("New {nth}")).without_account());
    }
    stopped(&world, Kind::Full).await;
    stopped(&world, Kind::Full).await;
    assert_eq!(world.snapshot().await.matches("[linked]").count(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_flagged_is_no_longer_set_aside() {
    let world = World::new().await;
    let unticked = world.has(opportunity("Unticked").without_account());
    let both = world.has(opportunity("Both flags cleared").without_account());
    let deleted = world.has(opportunity("Deleted").without_account());
    let hidden = world.has(opportunity("Hidden").without_account());
    let linked = world.has(opportunity("Linked"));
    world.full().await;
    world.advance(hours(1));
    world.org().update("Opportunity", linked, json!({ "Amount": Value::Null })).expect("an edit");
    world.full().await;
    assert_eq!(world.asides().await.len(), 5);
    world.advance(hours(1));
    let off = json!({ "Export_to_Portal_Deal__c": false });
    let both_off = json!({ "Export_to_Portal_Deal__c": false, "Sync_with_Portal__c": false });
    world.org().update("Opportunity", unticked, off).expect("an edit");
    world.org().update("Opportunity", both, both_off.clone()).expect("an edit");
    world.org().update("Opportunity", linked, both_off).expect("an edit");
    world.org().delete("Opportunity", deleted).expect("deleted");
    world.org().set_hidden("Opportunity", hidden, true).expect("hidden");
    let report = world.full().await;
    assert_eq!(report.counts.selected, 0, "{report:?}");
    assert_eq!(world.asides().await, [""; 0]);
    let open: Vec<Code> = world.open_entries().await.iter().map(|entry| entry.code).collect();
    assert_eq!(open, [Code::OutOfScope], "what is left to say is about the deal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_marks_nothing() {
    let world = World::new().await;
    let nameless = world.has(opportunity("Globex").contact_field("FirstName", Value::Null));
    world.full().await;
    when_all_is_quiet(&world).await;
    let contact = role_of(&world, nameless, "ContactId");
    world.org().update("Contact", contact, json!({ "FirstName": "Jo" })).expect("an edit");
    let store = world.store().await;
    let before = (world.snapshot().await, store.lanes().await.expect("lanes"), store.aside(nameless).await);
    let dry = Request { dry_run: true, ..Request::manual(Kind::Incremental) };
    world.run(dry.clone()).await.expect("a dry run");
    world.run(Request { kind: Kind::Full, ..dry }).await.expect("a dry run");
    let after = (world.snapshot().await, store.lanes().await.expect("lanes"), store.aside(nameless).await);
    assert_eq!(after.0, before.0);
    assert_eq!(after.2.expect("aside"), before.2.expect("aside"));
    let places = |lanes: &[dealsync::store::Lane]| -> Vec<_> {
        lanes.iter().map(|lane| (lane.cursor.clone(), lane.resume.clone(), lane.last_run)).collect()
    };
    assert_eq!(places(&after.1), places(&before.1));
    assert_eq!(world.incremental().await.counts.created, 1);
}
