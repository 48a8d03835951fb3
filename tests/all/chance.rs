//! Worlds made by chance: whatever happens in an org and in the portal, the counts
//! add up, a run that follows changes nothing, and incremental runs come to the same
//! as full ones.

use dealsync::store::{AsideFilter, LogFilter, LogState};
use dealsync_core::ids::SfId;
use dealsync_core::people::UserStatus;
use dealsync_tests::{World, distributor, minutes, opportunity, partner};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

const RECORDS: usize = 6;
const KIM: &str = "kim@partner.example";

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    /// Somebody changes a field of an Opportunity.
    Edit(usize, &'static str, Value),
    /// It goes into the recycle bin, or comes out again.
    Delete(usize),
    Undelete(usize),
    /// A person of the portal gets another status.
    Status(UserStatus),
    Run,
}

fn any_edit() -> impl Strategy<Value = (&'static str, Value)> {
    let one_of = |field: &'static str, values: Vec<Value>| {
        proptest::sample::select(values).prop_map(move |value| (field, value))
    };
    prop_oneof![
        one_of("Sync_with_Portal__c", vec![json!(true), json!(false)]),
        one_of("Export_to_Portal_Deal__c", vec![json!(true), json!(false)]),
        one_of("Amount", vec![json!(1), json!(2.5), Value::Null]),
        one_of("NextStep", vec![json!("Call"), json!("Mail"), Value::Null]),
        one_of("Deal_Owner_Type__c", vec![json!("Distributor-owned"), json!("odd"), Value::Null]),
        one_of(
            "Portal_Partner_Email__c",
            vec![json!("dana@partner.example"), json!(KIM), json!("nobody@partner.example"), Value::Null],
        ),
        one_of("Portal_Distributor_Email__c", vec![json!("dion@distributor.example"), Value::Null]),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let status = [UserStatus::Active, UserStatus::Inactive, UserStatus::Disabled];
    prop_oneof![
        8 => (0..RECORDS, any_edit()).prop_map(|(at, (field, value))| Event::Edit(at, field, value)),
        1 => (0..RECORDS).prop_map(Event::Delete),
        1 => (0..RECORDS).prop_map(Event::Undelete),
        1 => proptest::sample::select(status.to_vec()).prop_map(Event::Status),
        3 => Just(Event::Run),
    ]
}

/// A world with some records that import and some that do not.
async fn beginning() -> (World, Vec<SfId>) {
    let world = World::new().await;
    world.users([partner(KIM), distributor("dion@distributor.example")]).await;
    let records = (0..RECORDS).map(|at| {
        let record = opportunity(&format!("Record {at}")).sync_flag(at % 3 != 2);
        world.has(if at % 3 == 1 { record.partner("") } else { record })
    });
    let records = records.collect();
    world.full().await;
    (world, records)
}

fn is(world: &World, id: SfId, condition: &str) -> bool {
    let soql = format!("SELECT Id FROM Opportunity WHERE Id = '{id}'{condition}");
    !world.org().query(&soql).expect("a query").is_empty()
}

fn leaves_no_flag(world: &World, id: SfId, field: &str, value: &Value) -> bool {
    let other = match field {
        "Sync_with_Portal__c" => "Export_to_Portal_Deal__c",
        "Export_to_Portal_Deal__c" => "Sync_with_Portal__c",
        _ => return false,
    };
    *value == Value::Bool(false) && is(world, id, &format!(" AND {other} = false"))
}

async fn happen(world: &World, records: &[SfId], event: &Event, incremental: bool) {
    match event {
        // What loses both flags between two runs is seen by the next full one only.
        Event::Edit(at, field, value)
            if is(world, records[*at], "") && !leaves_no_flag(world, records[*at], field, value) =>
        {
            let fields = Value::Object([((*field).to_owned(), value.clone())].into_iter().collect());
            world.org().update("Opportunity", records[*at], fields).expect("an edit");
        }
        // A full run does not look for what left scope before it was deleted.
        Event::Delete(at)
            if is(
                world,
                records[*at],
                " AND Sync_with_Portal__c = true AND Export_to_Portal_Deal__c = true",
            ) =>
        {
            world.org().delete("Opportunity", records[*at]).expect("deleted");
        }
        Event::Undelete(at) if !is(world, records[*at], "") => {
            world.org().undelete("Opportunity", records[*at]).expect("undeleted");
        }
        Event::Edit(..) | Event::Delete(_) | Event::Undelete(_) => {}
        Event::Status(status) => {
            let now = world.app().clock().now_micros();
            world.store().await.set_user_status(KIM, *status, now).await.expect("a status");
        }
        // The world itself holds that the counts of each run add up.
        Event::Run if incremental => {
            world.incremental().await;
        }
        Event::Run => {
            world.advance(minutes(1));
            world.full().await;
        }
    }
}

/// A run after the last one finds nothing to do, and what is set aside stands in the log.
async fn expect_settled(world: &World) {
    let before = world.snapshot().await;
    let counts = world.full().await.counts;
    assert_eq!((counts.created, counts.updated), (0, 0), "{counts:?}\n{before}");
    assert_eq!(world.snapshot().await, before, "a second run");
    let store = world.store().await;
    let asides = store.asides(AsideFilter::default()).await.expect("asides");
    assert_eq!(asides.len() as u64, counts.parked + counts.skipped - out_of_scope(world).await, "{before}");
    for aside in asides {
        let filter =
            LogFilter { sf_id: Some(aside.sf_id), state: Some(LogState::Open), ..LogFilter::default() };
        let open = store.log_entries(filter).await.expect("log");
        assert!(open.iter().any(|entry| entry.code == aside.code), "{} is explained: {before}", aside.name);
    }
}

/// Linked records whose sync flag alone is off: skipped, and nothing to set aside.
async fn out_of_scope(world: &World) -> u64 {
    let ids = world.rows("SELECT sf_id FROM link WHERE state = 'out-of-scope'");
    let flagged = |id: &String| is(world, id.parse().expect("an id"), " AND Export_to_Portal_Deal__c = true");
    ids.iter().filter(|id| flagged(id)).count() as u64
}

#[test]
fn the_counts_always_add_up_and_both_kinds_of_run_come_to_the_same() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = Config { cases: 6, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    let events = proptest::collection::vec(any_event(), 1..25);
    let held = TestRunner::new(config).run(&events, |mut events| {
        events.push(Event::Run);
        runtime.block_on(async {
            let mut ends = Vec::new();
            for incremental in [true, false] {
                let (world, records) = beginning().await;
                for event in &events {
                    happen(&world, &records, event, incremental).await;
                }
                ends.push(world.snapshot().await);
                expect_settled(&world).await;
            }
            prop_assert_eq!(&ends[0], &ends[1], "incremental, full");
            Ok(())
        })
    });
    if let Err(failed) = held {
        panic!("{failed}");
    }
}
