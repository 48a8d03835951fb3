//! A tenant's settings: what is refused, what is found, what counts when, and what
//! the doctor says of them.

use dealsync::doctor::Check;
use dealsync::run::{Kind, Request};
use dealsync::tenants::Apply;
use dealsync_core::people::UserStatus;
use dealsync_core::reason::Code;
use dealsync_salesforce_sim::Sim;
use dealsync_salesforce_sim::orgfile::CustomField;
use dealsync_tests::{ACME, World, hours, opportunity, partner};
use serde_json::{Value, json};

/// What settings other than these would do: a line of [`ACME`] changed.
fn with(line: &str, instead: &str) -> String {
    assert!(ACME.contains(line), "{line}");
    ACME.replace(line, instead)
}

fn without(line: &str) -> String {
    with(&format!("{line}\n"), "")
}

fn field(kind: &str, name: &str, label: &str) -> CustomField {
    let described = json!({ "object": "Opportunity", "name": name, "label": label, "type": kind });
    serde_json::from_value(described).expect("a field")
}

/// The one deal there is.
async fn the_deal(world: &World) -> serde_json::Map<String, Value> {
    let store = world.store().await;
    let page = store.deals(Default::default(), Default::default(), 10, None).await.expect("deals");
    assert_eq!(page.deals.len(), 1);
    page.deals[0].fields.clone()
}

/// What a refused `tenant apply` says, hints included; it must leave the settings alone.
async fn refused(world: &World, toml: &str) -> String {
    let before = world.store().await.settings().await.expect("settings");
    let error = world.apply(toml).await.expect_err("refused");
    assert_eq!(world.store().await.settings().await.expect("settings"), before);
    assert_eq!(world.app().store().tenants().await.expect("the registry").len(), 1);
    format!("{error} | {}", error.hints.join(" | "))
}

/// What a run says that cannot begin, hints included; it must not read a row.
async fn stopped(world: &World) -> String {
    let error = world.run(Request::manual(Kind::Full)).await.expect_err("stopped");
    assert!(world.sim.tally().rows.is_empty(), "{:?}", world.sim.tally());
    format!("{error} | {}", error.hints.join(" | "))
}

#[tokio::test(flavor = "multi_thread")]
async fn any_checkbox_can_be_a_flag() {
    let toml = with("Export_to_Portal_Deal__c", "Bring_over__c").replace("Sync_with_Portal__c", "Renewal__c");
    let world = World::with(&toml).await;
    world.org().add_field(&field("checkbox", "Bring_over__c", "Bring over")).expect("a field");
    world.has(opportunity("Globex").set("Renewal__c", true).set("Bring_over__c", true));
    world.has(opportunity("Initech").set("Renewal__c", false).set("Bring_over__c", true));
    world.has(opportunity("Umbrella"));
    let report = world.full().await;
    assert_eq!((report.counts.selected, report.counts.created, report.counts.skipped), (2, 1, 1));
    assert_eq!(world.deals().await, ["Globex"]);
    let said = &world.open_entries().await[0].message;
    assert_eq!(said, "Ignored: Bring over is ticked, but Renewal is not.");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_pulled_until_the_import_is_switched_on() {
    let world = World::with(&with("pull_opportunities = true", "pull_opportunities = false")).await;
    world.has(opportunity("Globex"));
    let error = world.run(Request::manual(Kind::Full)).await.expect_err("it is off");
    assert_eq!(error.message, "the import is switched off");
    assert!(error.hints[0].contains("pull_opportunities = true"), "{error:?}");
    let outlook = dealsync::scheduler::look(world.app(), &world.tenant).await.expect("an outlook");
    assert_eq!((outlook.next, outlook.health), (None, "off"));
    assert_eq!(world.sim.tally().total, 0, "nobody was asked anything");

    world.apply(ACME).await.expect("settings");
    assert_eq!(world.full().await.counts.created, 1);
    world.apply(&with("pull_opportunities = true", "pull_opportunities = false")).await.expect("settings");
    world.run(Request::manual(Kind::Full)).await.expect_err("off again");
    assert_eq!(world.deals().await, ["Globex"], "what was imported stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn distributor_settings_are_refused_without_the_module() {
    let world = World::new().await;
    let said = refused(&world, &with("enabled = true", "enabled = false")).await;
    assert!(said.contains("distributor_email is set, but the Distributor module is off"), "{said}");
    assert!(said.contains("enabled = true in [distributor_module]"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn import_without_connection_or_flag_is_refused() {
    let world = World::new().await;
    let start = ACME.find("[connection]").expect("a table");
    let end = ACME.find("[deal_registration]").expect("a table");
    let unconnected = format!("{}{}", &ACME[..start], &ACME[end..]);
    for (toml, message, hint) in [
        (unconnected, "there is no [connection]", "needs the Salesforce connection"),
        (without("import_flag = \"Export_to_Portal_Deal__c\""), "FLAG_FIELD_UNSET", "set import_flag"),
        (
            without("partner_email = \"Portal_Partner_Email__c\""),
            "partner_email names no field",
            "set partner_email",
        ),
        (without("client_secret = { env = \"SECRET\" }"), "lacks client_secret", ""),
        (with("{ env = \"SECRET\" }", "{ env = \"ELSEWHERE\" }"), "ELSEWHERE is not set", ""),
    ] {
        let said = refused(&world, &toml.replace("\"acme\"", "\"other\"")).await;
        assert!(said.contains(message) && said.contains(hint), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sync_flag_is_found_where_it_is_not_named() {
    let unnamed = without("sync_flag = \"Sync_with_Portal__c\"");
    let world = World::with(&unnamed).await;
    world.has(opportunity("Globex"));
    world.has(opportunity("Initech").sync_flag(false));
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.skipped), (1, 1));

    let world = World::with(&unnamed).await;
    world.org().add_field(&field("checkbox", "Sync_with_Books__c", "Sync with Books")).expect("a field");
    let said = stopped(&world).await;
    assert!(
        said.contains("both Sync_with_Portal__c and Sync_with_Books__c look like the sync flag"),
        "{said}"
    );
    assert!(said.contains("name the right one as sync_flag"), "{said}");

    let world = World::with(&unnamed).await;
    world.org().hide_field("Opportunity", "Sync_with_Portal__c").expect("a field");
    let said = stopped(&world).await;
    assert!(said.contains("no checkbox of the Opportunity is called \"Sync with …\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_must_be_a_checkbox_the_org_has() {
    let world = World::with(&with("Export_to_Portal_Deal__c", "Portal_Partner_Email__c")).await;
    let said = stopped(&world).await;
    assert!(said.contains("Portal_Partner_Email__c is of type string, and a checkbox is needed"), "{said}");

    let world = World::with(&with("Export_to_Portal_Deal__c", "Export_to_Portal_Deel__c")).await;
    let said = stopped(&world).await;
    assert!(said.contains("FIELD_NOT_VISIBLE: Export_to_Portal_Deel__c on Opportunity"), "{said}");
    assert!(said.contains("did you mean `Export_to_Portal_Deal__c`?"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_field_must_be_email_or_text() {
    for (name, kind) in [("Amount", "currency"), ("Renewal__c", "boolean"), ("Region__c", "picklist")] {
        for setting in ["Portal_Partner_Email__c", "Portal_Distributor_Email__c"] {
            let world = World::with(&with(setting, name)).await;
            let said = stopped(&world).await;
            let expected = format!("{name} is of type {kind}, and an Email or Text field is needed");
            assert!(said.contains(&expected), "{said}");
        }
    }
    // The org's own distributor field is of type Email, its partner field is Text.
    let world =
        World::with(&with("partner_email = \"Portal_Partner", "partner_email = \"Portal_Distributor")).await;
    world.has(opportunity("Globex").distributor("dana@partner.example"));
    assert_eq!(world.full().await.counts.created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_counts_once_it_is_applied() {
    let world = World::new().await;
    let file = world.folder.path().join("tenant.toml");
    let apply =
        async || world.apply(&std::fs::read_to_string(&file).expect("a file")).await.expect("settings");
    std::fs::write(&file, format!("{ACME}\n[[mapping]]\nto = \"next_step\"\nvalue = \"Call\"\n"))
        .expect("a file");
    apply().await;
    world.has(opportunity("Globex"));
    world.full().await;
    assert_eq!(the_deal(&world).await["next_step"], "Call");
    std::fs::write(&file, format!("{ACME}\n[[mapping]]\nto = \"next_step\"\nvalue = \"Write\"\n"))
        .expect("a file");
    world.full().await;
    assert_eq!(the_deal(&world).await["next_step"], "Call", "nobody has applied it");
    apply().await;
    assert_eq!(world.full().await.counts.updated, 1);
    assert_eq!(the_deal(&world).await["next_step"], "Write");
}

#[tokio::test(flavor = "multi_thread")]
async fn mappings_of_the_import_are_their_own_table() {
    let world = World::with(&format!("{ACME}\n[[mapping]]\nto = \"region\"\nfrom = \"Region__c\"\n")).await;
    world.has(opportunity("Globex").set("Region__c", "APAC"));
    world.full().await;
    let deal = the_deal(&world).await;
    assert_eq!(
        (&deal["region"], &deal["stage"]),
        (&json!("APAC"), &json!("Prospecting")),
        "next to the shipped"
    );

    let said =
        refused(&world, &format!("{ACME}\n[[mapping]]\nto = \"regoin\"\nfrom = \"Region__c\"\n")).await;
    assert!(said.contains("did you mean \"region\"?"), "{said}");
    let twice = "[[mapping]]\nto = \"region\"\nfrom = \"Region__c\"\n".repeat(2);
    let said = refused(&world, &format!("{ACME}\n{twice}")).await;
    assert!(said.contains("two mappings write \"region\""), "{said}");
    let said = refused(&world, &with("[mail]", "[[mapings]]\nto = \"region\"\n\n[mail]")).await;
    assert!(said.contains("unknown field `mapings`") && said.contains("did you mean `mapping`?"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_only_a_connection_imports_with_the_shipped_mappings() {
    let bare = r#"
        [tenant]
        id = "acme"
        [connection]
        login_url = "http://127.0.0.1"
        grant = "client-credentials"
        client_id = "dealsync"
        client_secret = { env = "SECRET" }
    "#;
    let world = World::with(bare).await;
    world.has(opportunity("Globex").set("NextStep", "Call").set("LeadSource", "Web"));
    assert_eq!(
        world.run(Request::manual(Kind::Full)).await.expect_err("off").message,
        "the import is switched off"
    );
    let on = r#"
        [deal_registration]
        pull_opportunities = true
        import_flag = "Export_to_Portal_Deal__c"
        partner_email = "Portal_Partner_Email__c"
    "#;
    world.apply(&format!("{bare}{on}")).await.expect("settings");
    assert_eq!(world.full().await.counts.created, 1);
    expect_test::expect![[r#"
        {
          "name": "Globex",
          "amount": "15000.00",
          "close_date": "2026-12-31",
          "stage": "Prospecting",
          "contact_first_name": "Jo",
          "contact_last_name": "Doe",
          "contact_email": "jo@globex.example",
          "account_name": "Globex Inc",
          "description": "Globex: \"as agreed\"",
          "next_step": "Call",
          "lead_source": "Web",
          "currency": "USD"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&the_deal(&world).await).expect("plain values"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_field_without_mapping_is_told_at_once() {
    let world = World::new().await;
    world.has(opportunity("Globex"));
    for (name, label) in [
        ("name", "Deal Name"),
        ("amount", "Amount"),
        ("close_date", "Close Date"),
        ("stage", "Stage"),
        ("contact_first_name", "Contact First Name"),
        ("contact_last_name", "Contact Last Name"),
    ] {
        let dropped = format!("{ACME}\n[[mapping]]\nto = \"{name}\"\nremove = true\n");
        let said = refused(&world, &dropped).await;
        assert!(said.starts_with(&format!("REQUIRED_MAPPING_MISSING: no mapping feeds {label}")), "{said}");
    }
    let own = format!("{ACME}\n[[deal_field]]\nname = \"tier\"\nlabel = \"Tier\"\nrequired = true\n");
    let said = refused(&world, &own).await;
    assert!(said.contains("no mapping feeds Tier"), "{said}");
    let never = format!("{ACME}\n[[mapping]]\nto = \"stage\"\nfrom = \"StageName\"\non_create = false\n");
    assert!(refused(&world, &never).await.contains("no mapping feeds Stage"));
    // No others are needed.
    let rest = ["contact_email", "contact_phone", "account_name", "description", "next_step", "lead_source"];
    let rest: String = rest.map(|name| format!("[[mapping]]\nto = \"{name}\"\nremove = true\n")).concat();
    world.apply(&format!("{ACME}\n{rest}")).await.expect("settings");
    assert_eq!(world.sim.tally().total, 0, "nothing was pulled meanwhile");
    assert_eq!(world.full().await.counts.created, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_can_be_copied() {
    let world = World::of(Sim::demo(0).expect("the demo"), ACME).await;
    let apply = Apply {
        toml: include_str!("../../examples/tenants/acme/tenant.toml")
            .replace("https://acme.my.salesforce.com", "http://127.0.0.1"),
        env: [("ACME_SALESFORCE_SECRET".to_owned(), "demo-secret".to_owned())].into(),
        actor: "test".into(),
        ..Apply::default()
    };
    let applied = world.app().apply(apply).await.expect("settings");
    assert_eq!(applied.warnings, [""; 0]);
    let checks = world.app().doctor(&world.tenant).await.expect("the doctor");
    // The example leaves one region out on purpose.
    assert_eq!(bad(&checks), ["mapping of region: no portal value for: LATAM"]);
    assert!(world.full().await.counts.selected >= 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn export_prints_what_apply_takes_and_settings_keep_their_history() {
    let world = World::new().await;
    let store = world.store().await;
    let exported = store.settings().await.expect("settings").expect("some");
    assert_eq!((exported.version, exported.toml.as_str()), (1, ACME));
    assert!(!exported.toml.contains("demo-secret"));
    world.apply(&exported.toml).await.expect("settings");
    assert_eq!(
        store.settings().await.expect("settings").expect("some").version,
        1,
        "the same is nothing new"
    );
    world.advance(hours(1));
    let changed = with("Acme Corporation", "Acme Ltd");
    world.apply(&changed).await.expect("settings");
    let history = store.settings_history().await.expect("a history");
    let tomls: Vec<&str> = history.iter().map(|version| version.toml.as_str()).collect();
    assert_eq!(tomls, [changed.as_str(), ACME]);
    assert!(history[0].at > history[1].at);
    assert!(history.iter().all(|version| version.actor == "test"));
}

/// All bytes of a folder, file by file.
fn bytes_of(folder: &std::path::Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            bytes_of(&path, all);
        } else {
            all.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_sealed_at_rest() {
    let refresh = with("grant = \"client-credentials\"", "grant = \"refresh-token\"")
        .replace("client_id = \"dealsync\"", "client_id = \"demo-rotating\"")
        .replace("client_secret =", "refresh_token = { env = \"TOKEN\" }\nclient_secret =");
    let world = World::new().await;
    let apply = Apply {
        toml: refresh,
        env: [("SECRET", "demo-secret"), ("TOKEN", "demo-rotating-refresh")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        actor: "test".into(),
        ..Apply::default()
    };
    world.app().apply(apply).await.expect("settings");
    world.has(opportunity("Globex"));
    assert_eq!(world.full().await.counts.created, 1);
    let rotated = world.store().await.secret("refresh_token").await.expect("a secret").expect("some");
    assert_ne!(rotated, "demo-rotating-refresh", "the org gave a new one");
    let mut files = Vec::new();
    bytes_of(world.folder.path(), &mut files);
    assert!(files.len() > 3);
    for secret in ["demo-secret", "demo-rotating-refresh", &rotated] {
        for (name, bytes) in &files {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{name} holds a secret");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_opens_no_secret_and_says_so() {
    let mut world = World::new().await;
    world.full().await;
    let key = world.folder.path().join("host.key");
    let kept = std::fs::read(&key).expect("a key");
    std::fs::remove_file(&key).expect("removed");
    world.restart();
    let error = world.run(Request::manual(Kind::Full)).await.expect_err("another key");
    assert!(error.message.contains("was sealed with another key"), "{error}");
    std::fs::write(&key, kept).expect("a key");
    world.restart();
    world.full().await;
}

fn bad(checks: &[Check]) -> Vec<String> {
    let bad = checks.iter().filter(|check| !check.ok);
    bad.map(|check| {
        assert!(check.fix.as_deref().is_some_and(|fix| !fix.is_empty()), "{check:?}");
        format!("{}: {}", check.name, check.message)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_names_each_missing_permission_with_its_fix() {
    let mappings = r#"
        [[mapping]]
        to = "probability"
        from = "Partner_Discount__c"
        [[mapping]]
        to = "region"
        from = "Region__c"
        values = { AMER = "Americas", APAC = "Asia Pacific" }
        [[mapping]]
        to = "next_step"
        from = "NextStepp"
    "#;
    let world = World::with(&format!("{ACME}{mappings}")).await;
    world.org().hide_field("Opportunity", "Partner_Discount__c").expect("a field");
    let checks = world.app().doctor(&world.tenant).await.expect("the doctor");
    let said = bad(&checks);
    for expected in [
        "mapping of probability: Partner_Discount__c on Opportunity is not visible to the integration user.",
        "mapping of region: no portal value for: EMEA - North, EMEA - South, LATAM",
        "mapping of next_step: NextStepp on Opportunity is not visible to the integration user.; did you mean \"NextStep\"?",
    ] {
        assert!(said.iter().any(|line| line == expected), "{said:#?}");
    }
    assert!(checks.iter().any(|check| check.ok && check.name == "login"));

    world.apply(&with("Sync_with_Portal__c", "StageName")).await.expect("settings");
    let said = bad(&world.app().doctor(&world.tenant).await.expect("the doctor"));
    assert_eq!(said, ["deal registration: StageName is of type picklist, and a checkbox is needed"]);

    world.apply(&with("client_id = \"dealsync\"", "client_id = \"nobody\"")).await.expect("settings");
    let said = bad(&world.app().doctor(&world.tenant).await.expect("the doctor"));
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("login: AUTH_BAD: Salesforce refused the login"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_field_of_a_shipped_mapping_falls_away() {
    let world = World::new().await;
    let id = world.has(opportunity("Globex").set("NextStep", "Call"));
    world.full().await;
    world.org().hide_field("Opportunity", "NextStep").expect("a field");
    world.org().update("Opportunity", id, json!({ "Amount": 16000 })).expect("an edit");
    let report = world.full().await;
    assert_eq!((report.counts.updated, report.counts.parked), (1, 0), "{report:?}");
    let deal = the_deal(&world).await;
    assert_eq!((&deal["amount"], &deal["next_step"]), (&json!("16000.00"), &json!("Call")));
    assert_eq!(world.open_entries().await, []);
    assert_eq!(world.full().await.counts.unchanged, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_field_of_ones_own_mapping_is_named() {
    let world = World::with(&format!("{ACME}\n[[mapping]]\nto = \"region\"\nfrom = \"Region__c\"\n")).await;
    world.has(opportunity("Globex"));
    world.full().await;
    world.org().hide_field("Opportunity", "Region__c").expect("a field");
    let error = world.run(Request::manual(Kind::Full)).await.expect_err("hidden");
    assert_eq!(error.code, Some(Code::FieldNotVisible), "{error:?}");
    assert!(error.message.contains("Region__c on Opportunity is not visible"), "{error}");
    assert!(error.hints.iter().any(|hint| hint.contains("the mapping of region")), "{error:?}");
    let open = world.open_entries().await;
    assert_eq!((open.len(), open[0].code), (1, Code::FieldNotVisible));
    world.org().show_field("Opportunity", "Region__c").expect("a field");
    world.full().await;
    assert_eq!(world.open_entries().await, [], "said as long as it is true");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_deals_stay_when_settings_are_applied_again() {
    let world = World::new().await;
    world.users([partner("eve@partner.example").status(UserStatus::Disabled)]).await;
    world.has(opportunity("Globex"));
    world.full().await;
    let before = world.snapshot().await;
    world.apply(&with("Acme Corporation", "Acme Ltd")).await.expect("settings");
    assert_eq!(world.full().await.counts.unchanged, 1);
    assert_eq!(world.snapshot().await, before);
}
