//! Describes, limits, counts, and the small queries for changes.

use super::super::*;
use super::kit::*;

const ACCOUNT: &str = r#"{"name":"Account","fields":[{"name":"Name","label":"Name","type":"string"}]}"#;
const DATE: &str = "Sat, 21 Nov 2026 10:00:00 GMT";

#[tokio::test]
async fn a_describe_is_kept_for_a_day_then_asked_after() {
    let world = World::new();
    world.answer_with(200, &[("last-modified", DATE)], ACCOUNT);
    for _ in 0..3 {
        assert_eq!(world.client.describe("Account").await.expect("a describe").fields.len(), 1);
    }
    assert_eq!(world.calls(), 1);
    world.clock.advance(std::time::Duration::from_secs(24 * 3_600));
    world.answer(304, "");
    assert_eq!(world.client.describe("Account").await.expect("the kept one").fields.len(), 1);
    assert_eq!(world.script().seen[1].headers["if-modified-since"], DATE);
    world.client.describe("Account").await.expect("fresh again");
    assert_eq!(world.calls(), 2);
    world.answer(200, ACCOUNT.replace("Name", "Other"));
    let anew = world.client.describe_anew("Account").await.expect("a describe");
    assert!(anew.field("other").is_some());
    assert!(!world.script().seen[2].headers.contains_key("if-modified-since"));
}

#[tokio::test]
async fn describes_survive_a_restart() {
    let world = World::new();
    world.answer_with(200, &[("last-modified", DATE)], ACCOUNT);
    world.client.describe("Account").await.expect("a describe");
    let stored = world.client.describes().to_json();
    let world = World::new();
    world.client.use_describes(DescribeCache::from_json(&stored));
    world.client.describe("Account").await.expect("the stored one");
    assert_eq!(world.calls(), 0);
    world.answer(304, "");
    world.client.describe_checked("Account").await.expect("the stored one");
    assert_eq!(world.calls(), 1);
}

#[tokio::test]
async fn limits_and_versions_are_read() {
    let world = World::new();
    world.answer(200, r#"[{"label":"Winter '25","url":"/services/data/v62.0","version":"62.0"}]"#);
    let versions = world.client.versions().await.expect("versions");
    assert_eq!(versions[0].version, "62.0");
    assert!(!world.script().seen[0].headers.contains_key("authorization"));
    assert_eq!(world.logins(), 0);
    world.answer(
        200,
        r#"{"DailyApiRequests":{"Max":15000,"Remaining":14976},"Other":{"Max":1,"Remaining":1}}"#,
    );
    let limits = world.client.limits().await.expect("limits");
    assert_eq!(limits, Limits { daily_calls_max: 15_000, daily_calls_left: 14_976 });
}

#[tokio::test]
async fn changed_roles_name_each_opportunity_once_and_the_largest_stamp() {
    let world = World::new();
    let row = |id: u32, stamp: &str| {
        format!(
            r#"{{"attributes":{{}},"OpportunityId":"00600000000000{id}","SystemModstamp":"{stamp}.000+0000"}}"#
        )
    };
    world.answer(
        200,
        format!(
            r#"{{"totalSize":3,"done":false,"nextRecordsUrl":"/services/data/v62.0/query/x","records":[{},{}]}}"#,
            row(1, "2026-05-01T07:25:37"),
            row(2, "2026-05-01T07:25:38")
        ),
    );
    world.answer(200, page(&[&row(1, "2026-05-01T07:25:39")]));
    let changed = world.client.changed_roles(NOON_MICROS - 60_000_000, NOON_MICROS).await.expect("changes");
    assert_eq!(changed.ids.len(), 2);
    assert_eq!(changed.max_stamp, dealsync_core::value::parse_timestamp("2026-05-01T07:25:39Z"));
    let target = &world.script().seen[0].target;
    assert!(
        target.contains("/queryAll?q=SELECT OpportunityId,SystemModstamp FROM OpportunityContactRole WHERE")
    );
}

#[tokio::test]
async fn deleted_records_say_what_they_were_merged_into() {
    let world = World::new();
    world.answer(
        200,
        page(&[r#"{"Id":"001000000000001AAA","MasterRecordId":"001000000000002AAA","SystemModstamp":"2026-05-01T07:25:37.000+0000"}"#]),
    );
    let deleted = world.client.deleted("Account", 0, NOON_MICROS).await.expect("deletions");
    assert_eq!(deleted[0].master.map(|id| id.to_string()).as_deref(), Some("001000000000002AAA"));
    world.client.deleted("Opportunity", 0, NOON_MICROS).await.expect("none");
    let script = world.script();
    assert!(script.seen[0].target.contains(",MasterRecordId FROM Account WHERE IsDeleted = true AND"));
    assert!(!script.seen[1].target.contains("MasterRecordId"), "Opportunities have no such field");
}

#[tokio::test]
async fn many_ids_are_asked_for_in_as_few_calls_as_the_address_allows() {
    let world = World::new();
    let ids: Vec<dealsync_core::ids::SfId> =
        (0..1_000).map(|n| format!("006{n:012}").parse().expect("an id")).collect();
    world.client.converted_leads(&ids).await.expect("none");
    assert_eq!(world.calls(), 2);
    let pages = world.client.by_ids(&query(), &ids).await.expect("pages");
    assert_eq!(pages.len(), 1_000usize.div_ceil(query().ids_per_call()));
    let script = world.script();
    assert!(
        script.seen[2].target.starts_with("/services/data/v62.0/queryAll?q="),
        "deleted rows are wanted too"
    );
    assert!(!script.seen[2].target.contains("Import__c = true"));
}

#[tokio::test]
async fn a_pull_can_be_counted_first() {
    let world = World::new();
    world.answer(200, r#"{"totalSize":50000,"done":true,"records":[]}"#);
    let backfill = query().scoped(Scope::Full { after: None, created_since: Some(0) });
    assert_eq!(world.client.count(&backfill).await, Ok(50_000));
    let target = world.script().seen[0].target.clone();
    assert!(target.ends_with(
        "SELECT count() FROM Opportunity WHERE Import__c = true AND CreatedDate >= 1970-01-01T00:00:00Z"
    ));
}

#[tokio::test]
async fn a_query_that_no_address_has_room_for_is_told_without_a_call() {
    let world = World::new();
    let names: Vec<_> = (0..900).map(|n| format!("Some_Rather_Long_Field_{n}__c")).collect();
    let kind = dealsync_core::schema::FieldKind::Text;
    let wide = names.iter().map(|name| dealsync_core::schema::FieldDef::new(name, name, kind));
    let query = PullQuery::new(&dealsync_core::schema::Schema::new(wide), &pull_fields()).expect("columns");
    let error = world.client.pull_first(&query).await.expect_err("too long");
    assert_eq!(error.disposition(), Disposition::Narrow, "{error}");
    assert_eq!(world.calls(), 0);
}
