//! A tenant's own rules in a whole world: what they add, and what they cannot break.

use dealsync::run::{Kind, Request};
use dealsync::store::{AsideFilter, LogFilter, LogState};
use dealsync_tests::{ACME, World, guest, opportunity};
use expect_test::expect;

fn with_mischief(configure: &str) -> String {
    let settings = format!("settings = {{ configure = {configure:?} }}");
    format!("{ACME}\n[[rules]]\nname = \"mischief\"\ncomponent = \"mischief.wasm\"\n{settings}\n")
}

/// A world whose rules misbehave on request; see the guest for the words.
async fn mischief() -> World {
    let world = World::new().await;
    let files = [("mischief.wasm", guest("mischief"))];
    world.apply_with(&with_mischief("nothing"), files).await.expect("settings");
    world
}

/// Open log entries as `CODE name: message`, sorted.
async fn open_log(world: &World) -> Vec<String> {
    let open = LogFilter { state: Some(LogState::Open), ..LogFilter::default() };
    let entries = world.store().await.log_entries(open).await.expect("the log");
    let mut lines: Vec<String> =
        entries.iter().map(|entry| format!("{} {}: {}", entry.code, entry.name, entry.message)).collect();
    lines.sort();
    lines
}

/// The beginning of a line, without what depends on the compiler.
fn gist(line: &str) -> String {
    let ends = [" (wasm trap", " at plugins/", " (it asked"];
    let end = ends.iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
    line[..end].chars().take(160).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trapping_record_costs_one_record() {
    let world = mischief().await;
    let account =
        world.org().insert("Account", serde_json::json!({ "Name": "Many Inc" })).expect("an account");
    for at in 0..199 {
        world.has(opportunity(&format!("Deal {at:03}")).account(account));
        if at == 99 {
            world.has(opportunity("panic").account(account));
        }
    }
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.parked), (199, 1), "{report:?}");
    let log = open_log(&world).await;
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].starts_with("TENANT_RULE_CRASHED panic: "), "{log:?}");
    let parked = world.store().await.asides(AsideFilter::default()).await.expect("asides");
    let detail = parked[0].reasons[0].detail.clone().unwrap_or_default();
    let said = format!("{} {detail}", log[0]);
    assert!(said.contains("asked to panic"), "the panic's own message: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_bad_rows_are_found_by_bisection() {
    let world = mischief().await;
    // The first, two neighbours, and the last.
    for at in 0..32 {
        let name = if [0, 13, 14, 31].contains(&at) { "panic".to_owned() } else { format!("Deal {at:02}") };
        world.has(opportunity(&name));
    }
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.parked), (28, 4), "{report:?}");
    assert_eq!(report.counts.reasons["TENANT_RULE_CRASHED"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_crashes_on_every_record_parks_them_all_and_ends() {
    let world = mischief().await;
    for _ in 0..40 {
        world.has(opportunity("panic"));
    }
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.parked), (0, 40), "{report:?}");
    assert_eq!(report.counts.reasons["TENANT_RULE_CRASHED"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_mischief_costs_its_own_record_and_says_what_was_done() {
    let world = mischief().await;
    for name in [
        "loop forever",
        "recurse",
        "hog memory",
        "panic",
        "return 100 MB",
        "answer for row 9999",
        "write undeclared field",
        "edit twice",
        "bad cause index",
        "log storm",
        "wrong kind",
        "copy undeclared field",
        "long message",
        "catalogue code",
        "look up a million",
        "Globex Renewal",
    ] {
        world.has(opportunity(name));
    }
    world.full().await;
    expect![[r#"
        TENANT_RULE_CRASHED answer for row 9999: Rule "mischief" v0.1.0 failed: its answer broke the contract (its answer is about row 9999; it was given 1 rows).
        TENANT_RULE_CRASHED bad cause index: Rule "mischief" v0.1.0 failed: its answer broke the contract (it gave cause 77; its answer lists 1).
        TENANT_RULE_CRASHED copy undeclared field: Rule "mischief" v0.1.0 failed: its answer broke the contract (it copied source field 1 into name, which its plan does
        TENANT_RULE_CRASHED edit twice: Rule "mischief" v0.1.0 failed: its answer broke the contract (it wrote name twice).
        TENANT_RULE_CRASHED hog memory: Rule "mischief" v0.1.0 failed: it used up its computing budget
        TENANT_RULE_CRASHED log storm: Rule "mischief" v0.1.0 failed: it used up its computing budget
        TENANT_RULE_CRASHED look up a million: Rule "mischief" v0.1.0 failed: it used up its computing budget
        TENANT_RULE_CRASHED loop forever: Rule "mischief" v0.1.0 failed: it used up its computing budget
        TENANT_RULE_CRASHED panic: Rule "mischief" v0.1.0 failed: asked to panic
        TENANT_RULE_CRASHED recurse: Rule "mischief" v0.1.0 failed: it recursed too deeply
        TENANT_RULE_CRASHED return 100 MB: Rule "mischief" v0.1.0 failed: it wanted more memory than allowed
        TENANT_RULE_CRASHED write undeclared field: Rule "mischief" v0.1.0 failed: its answer broke the contract (it wrote amount, which its plan does not declare).
        TENANT_RULE_CRASHED wrong kind: Rule "mischief" v0.1.0 failed: its answer broke the contract (it wrote a boolean into name, which holds text).
        TENANT_RULE_REJECTED catalogue code: Rule "mischief" v0.1.0: A forged reason. [ACCOUNT_MISSING]
        TENANT_RULE_REJECTED catalogue code: Rule "mischief" v0.1.0: This record asks for mischief. [SAW_MISCHIEF]
        TENANT_RULE_REJECTED long message: Rule "mischief" v0.1.0: This record asks for mischief. [SAW_MISCHIEF]
        TENANT_RULE_REJECTED long message: Rule "mischief" v0.1.0: very very very very very very very very very very very very very very very very very very very very v"#]].assert_eq(&open_log(&world).await.iter().map(|line| gist(line)).collect::<Vec<_>>().join("\n"));
    let deals = world.snapshot().await;
    let made: Vec<&str> = deals
        .lines()
        .filter_map(|line| line.split_once(" account ")?.1.split_once(" contact"))
        .map(|(name, _)| name)
        .collect();
    expect!["Globex Renewal Inc"].assert_eq(&made.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_breaks_while_it_is_configured_pulls_nothing() {
    let world = World::new().await;
    world.has(opportunity("Globex Renewal"));
    let mut said = String::new();
    for configure in [
        "panic",
        "loop forever",
        "recurse",
        "hog memory",
        "refuse",
        "read nothing there",
        "write nothing there",
    ] {
        let files = [("mischief.wasm", guest("mischief"))];
        world.apply_with(&with_mischief(configure), files).await.expect("settings");
        world.sim.reset_tally();
        let failed = world.run(Request::manual(Kind::Full)).await.expect_err(configure);
        assert_eq!(world.sim.tally().kind("query"), 0, "{configure}: nothing is pulled");
        assert_eq!(failed.message, "the rules do not accept their settings");
        said.push_str(&format!("{configure}\n  {}\n", gist(&failed.hints.join(" "))));
    }
    expect![[r#"
        panic
          mischief: it cannot be configured: it panicked (asked to panic
        loop forever
          mischief: it cannot be configured: it used up its computing budget
        recurse
          mischief: it cannot be configured: it recursed too deeply
        hog memory
          mischief: it cannot be configured: it wanted more memory than allowed
        refuse
          mischief, configure: this component refuses every setting
        read nothing there
          mischief: its plan reads source field 65535, which does not exist
        write nothing there
          mischief: its plan writes target field 65535, which does not exist
    "#]]
    .assert_eq(&said);
    // The settings before went on to hold in the meantime; right ones hold again.
    world.apply(ACME).await.expect("settings");
    assert_eq!(world.full().await.counts.created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_rule_changes_one_field_and_refuses_in_its_own_words() {
    let world = World::new().await;
    let fields = "object = \"Opportunity\"\nname = \"Contract_End__c\"\ntype = \"date\"\n";
    let field = dealsync_salesforce_sim::OrgFile::parse(&format!("[[fields]]\n{fields}")).expect("a field");
    world.org().add_field(&field.fields[0]).expect("a field");
    let toml = format!(
        "{ACME}\n[[mapping]]\nto = \"region\"\nfrom = \"Region__c\"\nunmapped = \"pass\"\n
         [[rules]]\nname = \"acme\"\ncomponent = \"acme.wasm\"\n"
    );
    world.apply_with(&toml, [("acme.wasm", guest("acme"))]).await.expect("settings");
    world.has(opportunity("Globex Renewal").set("Region__c", "EMEA - North"));
    world.has(opportunity("Initech Renewal").set("Renewal__c", true).set("Contract_End__c", "2026-01-31"));
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.parked), (1, 1), "{report:?}");
    assert_eq!(report.counts.reasons["TENANT_RULE_REJECTED"], 1);
    let snapshot = world.snapshot().await;
    assert!(snapshot.contains("\"region\":\"EMEA - NORTH\""), "{snapshot}");
    let log = open_log(&world).await.join("\n");
    assert!(log.contains("The contract to renew has ended."), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_columns_are_never_asked_for() {
    let world = World::new().await;
    world.has(opportunity("Globex Renewal").set("Probability", 40).set("Region__c", "AMER"));
    world.full().await;
    let asked = world.sim.tally().queries;
    let of_opportunities = asked.iter().find(|query| query.contains("FROM Opportunity")).expect("a query");
    for unread in ["Region__c", "Renewal__c", "Probability", "Partner_Discount__c"] {
        assert!(!of_opportunities.contains(unread), "{unread} in {of_opportunities}");
    }
    // A mapping of it is what brings it in.
    let toml = format!("{ACME}\n[[mapping]]\nto = \"region\"\nfrom = \"Region__c\"\nunmapped = \"pass\"\n");
    world.apply(&toml).await.expect("settings");
    world.sim.reset_tally();
    world.full().await;
    let asked = world.sim.tally().queries;
    let of_opportunities = asked.iter().find(|query| query.contains("FROM Opportunity")).expect("a query");
    assert!(of_opportunities.contains("Region__c"), "{of_opportunities}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_tried_on_one_record_and_costs_the_same_each_time() {
    let world = World::new().await;
    let record = r#"{"Region__c": "emea", "Renewal__c": true, "Contract_End__c": "2026-01-31"}"#;
    let (first, second) = (
        world.app().try_rule(None, &guest("acme"), None, record).await,
        world.app().try_rule(None, &guest("acme"), None, record).await,
    );
    let (first, second) = (first.expect("a trial"), second.expect("a trial"));
    assert!(first.fuel_used > 0 && first.fuel_used < first.fuel_allowed, "{first:?}");
    assert_eq!(first, second);
    let checked = world.app().check_rule(&guest("acme")).expect("a component");
    assert!(checked.imports.iter().all(|import| import.starts_with("dealsync:rules/")), "{checked:?}");
}
