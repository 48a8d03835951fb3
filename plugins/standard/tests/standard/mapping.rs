//! Every option of a mapping, and every reason a value is refused.

use dealsync_rules_sdk::testing::Record;
use dealsync_rules_sdk::{Conflict, Decimal, OnNull, Value};
use dealsync_rules_standard::Standard;

use crate::world::{REQUIRED, run_one, run_with, whole, world};

fn plan_of(mappings: &str) -> dealsync_rules_sdk::Plan {
    world(&format!(r#"{{"mappings":[{mappings}]}}"#)).configure::<Standard>().expect("settings are right")
}

#[test]
fn a_plain_mapping_is_a_copy() {
    let answer = run_one("", whole());
    assert_eq!(answer.edits.len(), 6);
    assert!(answer.edits.iter().all(|edit| matches!(edit.raw, Value::Copy(_))), "{:?}", answer.edits);
    assert_eq!(answer.value("name"), Some(&Value::from("Renewal")));
    assert_eq!(answer.edit("amount").map(|edit| edit.rule.as_str()), Some("map.amount"));
    assert_eq!(answer.codes(), [""; 0]);
}

#[test]
fn a_fixed_value_is_written_whatever_came() {
    let answer = run_one(r#"{"to":"text","value":"Portal"}"#, whole());
    assert_eq!(answer.value("text"), Some(&Value::from("Portal")));
    let typed = run_one(r#"{"to":"decimal","value":"1.5"}"#, whole());
    assert_eq!(typed.value("decimal"), Some(&Value::Decimal(Decimal::new(15, 1))));
}

#[test]
fn a_default_stands_in_for_an_empty_source_only() {
    let mapping = r#"{"to":"text","from":"Description","default":"none"}"#;
    assert_eq!(
        run_one(mapping, whole().with("Description", "some")).value("text"),
        Some(&Value::from("some"))
    );
    for empty in [Value::Null, Value::from("  ")] {
        assert_eq!(
            run_one(mapping, whole().with("Description", empty)).value("text"),
            Some(&Value::from("none"))
        );
    }
    assert_eq!(run_one(mapping, whole()).value("text"), None, "a field that was not read is left alone");
}

#[test]
fn an_empty_source_clears_leaves_or_refuses() {
    let empty = || whole().with("Description", Value::Null);
    let mapping = |on_null: &str| format!(r#"{{"to":"text","from":"Description","on_null":"{on_null}"}}"#);
    assert_eq!(run_one(&mapping("clear"), empty().linked()).value("text"), Some(&Value::Null));
    assert_eq!(run_one(&mapping("leave"), empty().linked()).value("text"), None);
    assert_eq!(run_one(&mapping("leave"), empty()).value("text"), Some(&Value::Null));
    let refused = run_one(&mapping("refuse"), empty());
    assert_eq!(refused.codes(), ["REQUIRED_VALUE_EMPTY"]);
    assert_eq!(refused.findings[0].message, "text is required; Description is empty.");
    let on_null: Vec<OnNull> = plan_of(&format!(r#"{REQUIRED},{{"to":"text","from":"Description"}}"#))
        .writes
        .iter()
        .map(|write| write.on_null)
        .collect();
    assert_eq!(
        on_null[5..],
        [OnNull::Refuse, OnNull::Clear],
        "by default, required fields refuse and others clear"
    );
}

#[test]
fn a_mapping_runs_on_create_on_update_or_both() {
    let records = [whole().with("Description", "x"), whole().with("Description", "x").linked()];
    let written = |options: &str| -> Vec<bool> {
        let mapping = format!(r#"{{"to":"text","from":"Description"{options}}}"#);
        run_with(&mapping, &records).iter().map(|answer| answer.value("text").is_some()).collect()
    };
    assert_eq!(written(""), [true, true]);
    assert_eq!(written(r#","on_update":false"#), [true, false]);
    assert_eq!(written(r#","on_create":false"#), [false, true]);
}

#[test]
fn contact_names_are_create_only_even_if_settings_disagree() {
    let plan = plan_of(r#"{"to":"contact_first_name","from":"PrimaryContact.FirstName","on_update":true}"#);
    assert!(plan.writes[0].on_create && !plan.writes[0].on_update);
    let answer = run_one("", whole().linked());
    assert_eq!(answer.value("contact_first_name"), None);
    assert_eq!(answer.value("contact_last_name"), None);
    assert_eq!(answer.codes(), [""; 0], "and are not asked for again");
}

#[test]
fn the_plan_names_what_is_read_and_how_conflicts_end() {
    let plan =
        plan_of(r#"{"to":"text","from":"Description","conflict":"newest"},{"to":"region","value":"EMEA"}"#);
    assert_eq!(plan.reads.len(), 1, "only mapped columns are fetched");
    assert_eq!(plan.writes[0].sources, plan.reads);
    assert_eq!(plan.writes[0].conflict, Conflict::Newest);
    assert_eq!((plan.writes[1].conflict, plan.writes[1].sources.len()), (Conflict::Source, 0));
}

#[test]
fn values_are_translated_and_the_unknown_follow_the_policy() {
    let stage = |policy: &str, came: &str| {
        let mappings = REQUIRED.replace(
            r#"{"to":"stage","from":"StageName"}"#,
            &format!(r#"{{"to":"stage","from":"StageName","values":{{"Prospecting":"Open"}},"default":"Lost"{policy}}}"#),
        );
        let world = world(&format!(r#"{{"mappings":[{mappings}]}}"#));
        let answer = world.run::<Standard>(&[whole().with("StageName", came)]).remove(0);
        let value = answer.value("stage").map(|value| format!("{value:?}")).unwrap_or_default();
        (value, answer.codes().join(" "))
    };
    let text = |value: &str| (format!("{:?}", Value::from(value)), String::new());
    assert_eq!(stage("", "Prospecting"), text("Open"));
    assert_eq!(stage("", " Prospecting "), text("Open"));
    assert_eq!(stage("", "Won"), (String::new(), "PICKLIST_UNMAPPED_IN".to_owned()));
    assert_eq!(stage(r#","unmapped":"pass""#, "Won"), text("Won"));
    assert_eq!(
        stage(r#","unmapped":"pass""#, "Dreaming"),
        (String::new(), "PICKLIST_UNMAPPED_IN".to_owned()),
        "what the target does not offer cannot pass"
    );
    assert_eq!(stage(r#","unmapped":"default""#, "Dreaming"), text("Lost"));
    assert_eq!(
        stage(r#","unmapped":"blank""#, "Dreaming"),
        (format!("{:?}", Value::Null), "REQUIRED_VALUE_EMPTY".to_owned())
    );
}

#[test]
fn without_a_value_map_the_targets_own_choices_decide() {
    assert_eq!(run_one("", whole().with("StageName", "Won")).value("stage"), Some(&Value::from("Won")));
    let refused = run_one("", whole().with("StageName", "Dreaming"));
    assert_eq!(refused.codes(), ["PICKLIST_UNMAPPED_IN"], "one fault, one reason");
    assert_eq!(refused.refusals[0].message, "\"Dreaming\" in Stage has no match.");
    assert_eq!(refused.refusals[0].fix, "Map it, or choose a default for unknown values.");
}

#[test]
fn several_choices_are_translated_one_by_one() {
    let regions = |options: &str, came: &[&str]| {
        let came = came.iter().map(|choice| (*choice).to_owned()).collect();
        let mapping = format!(r#"{{"to":"region","from":"Regions__c"{options}}}"#);
        let answer = run_one(&mapping, whole().with("Regions__c", Value::Choices(came)));
        (answer.value("region").cloned(), answer.codes().join(" "))
    };
    let chosen =
        |entries: &[&str]| Some(Value::Choices(entries.iter().map(|entry| (*entry).to_owned()).collect()));
    assert_eq!(regions("", &["EMEA", "APAC"]), (chosen(&["EMEA", "APAC"]), String::new()));
    assert_eq!(regions("", &["EMEA", "Mars"]), (None, "PICKLIST_UNMAPPED_IN".to_owned()));
    let values = r#","values":{"Europe":"EMEA"},"unmapped":"pass""#;
    assert_eq!(regions(values, &["Europe", "APAC"]), (chosen(&["EMEA", "APAC"]), String::new()));
    let blank = r#","unmapped":"blank""#;
    assert_eq!(regions(blank, &["Mars", "AMER"]), (chosen(&["AMER"]), String::new()));
    assert_eq!(regions(blank, &["Mars"]), (Some(Value::Null), String::new()));
}

#[test]
fn text_is_cut_only_if_asked_for_and_on_a_character() {
    let cut = |options: &str, came: &str| {
        let mapping = format!(r#"{{"to":"description","from":"Description"{options}}}"#);
        let answer = run_one(&mapping, whole().with("Description", came));
        (answer.value("description").cloned(), answer.codes().join(" "))
    };
    assert_eq!(cut("", "ten chars!"), (Some(Value::from("ten chars!")), String::new()));
    assert_eq!(
        cut("", "éééééééééé"),
        (Some(Value::from("éééééééééé")), String::new()),
        "characters, not bytes"
    );
    assert_eq!(cut("", "eleven char"), (None, "STRING_TOO_LONG".to_owned()));
    let yes = r#","cut":true"#;
    assert_eq!(cut(yes, "eleven char"), (Some(Value::from("eleven cha")), String::new()));
    assert_eq!(
        cut(yes, "日本語日本語日本語日本語"),
        (Some(Value::from("日本語日本語日本語日")), String::new())
    );
    let said =
        run_one(r#"{"to":"description","from":"Description"}"#, whole().with("Description", "eleven char"));
    assert_eq!(said.refusals[0].message, "Description takes 10 characters, Description has 11.");
}

#[test]
fn kinds_are_converted_where_nothing_is_lost() {
    let text = |value: &str| Value::from(value);
    let decimal = |unscaled, scale| Value::Decimal(Decimal::new(unscaled, scale));
    let cases = [
        ("text", "Amount", decimal(1_500, 2), Ok(text("15.00"))),
        ("text", "Strategic__c", Value::Boolean(true), Ok(text("true"))),
        ("text", "CloseDate", Value::Date(20_779), Ok(text("2026-11-22"))),
        ("text", "Signed__c", Value::Timestamp(0), Ok(text("1970-01-01T00:00:00Z"))),
        ("text", "OwnerId", Value::Reference("005A".into()), Ok(text("005A"))),
        ("text", "Regions__c", Value::Choices(vec!["A".into(), "B".into()]), Ok(text("A;B"))),
        ("text", "Address__c", Value::Json("{}".into()), Err("TYPE_MISMATCH")),
        ("reference", "Name", text("005A"), Ok(Value::Reference("005A".into()))),
        ("integer", "Name", text(" 42 "), Ok(Value::Integer(42))),
        ("integer", "Amount", decimal(4_200, 2), Ok(Value::Integer(42))),
        ("integer", "Amount", decimal(4_250, 2), Err("NUMBER_OUT_OF_RANGE")),
        ("integer", "Quantity", Value::Number(3.0), Ok(Value::Integer(3))),
        ("integer", "Quantity", Value::Number(f64::NAN), Err("NUMBER_OUT_OF_RANGE")),
        ("number", "Amount", decimal(150, 2), Ok(Value::Number(1.5))),
        ("number", "Name", text("1e3"), Ok(Value::Number(1_000.0))),
        ("number", "Name", text("inf"), Err("TYPE_MISMATCH")),
        ("decimal", "Name", text("2.5"), Ok(decimal(25, 1))),
        ("decimal", "Name", text("2.55"), Err("NUMBER_OUT_OF_RANGE")),
        ("decimal", "Name", text("99999999999999999999"), Err("NUMBER_OUT_OF_RANGE")),
        ("decimal", "Name", text("about 2"), Err("TYPE_MISMATCH")),
        ("decimal", "Rate__c", decimal(25_000, 4), Ok(decimal(25, 1))),
        ("decimal", "Rate__c", decimal(25_001, 4), Err("NUMBER_OUT_OF_RANGE")),
        ("decimal", "Count__c", Value::Integer(7), Ok(decimal(70, 1))),
        ("decimal", "Quantity", Value::Number(0.3), Ok(decimal(3, 1))),
        ("boolean", "Name", text("TRUE"), Ok(Value::Boolean(true))),
        ("boolean", "Name", text("no"), Ok(Value::Boolean(false))),
        ("boolean", "Count__c", Value::Integer(2), Err("TYPE_MISMATCH")),
        ("date", "Name", text("2026-11-22"), Ok(Value::Date(20_779))),
        ("date", "Name", text("2026-02-30"), Err("DATE_INVALID")),
        ("date", "Signed__c", Value::Timestamp(0), Err("TYPE_MISMATCH")),
        ("timestamp", "Name", text("1970-01-01T00:00:01Z"), Ok(Value::Timestamp(1_000_000))),
        ("timestamp", "Name", text("yesterday"), Err("DATE_INVALID")),
        ("timestamp", "CloseDate", Value::Date(0), Err("TYPE_MISMATCH")),
        ("json", "Name", text("{}"), Err("TYPE_MISMATCH")),
        ("json", "Address__c", Value::Json("{}".into()), Ok(Value::Json("{}".into()))),
    ];
    for (to, from, came, want) in cases {
        let settings = format!(r#"{{"mappings":[{{"to":"{to}","from":"{from}"}}]}}"#);
        let answer = world(&settings).run::<Standard>(&[whole().with(from, came.clone()).linked()]).remove(0);
        match want {
            Ok(value) => assert_eq!(answer.value(to), Some(&value), "{from} {came:?} to {to}"),
            Err(code) => assert_eq!(answer.codes(), [code], "{from} {came:?} to {to}"),
        }
    }
}

#[test]
fn each_required_value_is_missed_by_name() {
    for (field, message) in [
        ("Name", "Deal Name is required; Opportunity Name is empty."),
        ("Amount", "Amount is required; Amount is empty."),
        ("CloseDate", "Close Date is required; Close Date is empty."),
        ("StageName", "Stage is required; Stage is empty."),
    ] {
        for record in [whole().with(field, Value::Null), whole().with(field, Value::Null).linked()] {
            let answer = run_one("", record);
            assert_eq!(answer.codes(), ["REQUIRED_VALUE_EMPTY"]);
            assert_eq!(answer.findings[0].message, message);
        }
    }
}

#[test]
fn a_required_field_that_nothing_feeds_is_named() {
    let bare: Record = whole();
    let answer = world(r#"{"mappings":[{"to":"name","from":"Name"}]}"#)
        .run::<Standard>(&[bare.clone(), bare.linked()]);
    assert_eq!(answer[0].codes(), ["REQUIRED_MAPPING_MISSING"; 5]);
    assert_eq!(answer[0].findings[0].message, "No mapping feeds Amount.");
    assert_eq!(answer[0].findings[0].fix, "Add the mapping on the Deal to Opportunity tab.");
    assert_eq!(answer[1].codes(), [""; 0], "a deal that exists has its values");
}

#[test]
fn what_another_component_drafted_counts() {
    let drafted = whole().drafted("stage", "Open");
    let mappings = REQUIRED.replace(r#"{"to":"stage","from":"StageName"},"#, "");
    let answer = world(&format!(r#"{{"mappings":[{mappings}]}}"#)).run::<Standard>(&[drafted]).remove(0);
    assert_eq!(answer.codes(), [""; 0]);
}

#[test]
fn a_contact_without_a_name_is_said_once_and_no_contact_not_at_all() {
    let nameless = run_one("", whole().with("PrimaryContact.FirstName", Value::Null));
    assert_eq!(nameless.codes(), ["CONTACT_NAME_MISSING"]);
    assert_eq!(nameless.findings[0].message, "Primary Contact has no first name.");
    let last = run_one("", whole().with("PrimaryContact.LastName", " "));
    assert_eq!(last.findings[0].message, "Primary Contact has no last name.");
    let none = run_one("", whole().without("PrimaryContact.FirstName").without("PrimaryContact.LastName"));
    assert_eq!(none.codes(), [""; 0]);
    assert_eq!(none.value("contact_first_name"), None);
}

#[test]
fn long_values_are_shown_in_part() {
    let answer = run_one("", whole().with("StageName", "ü".repeat(300).as_str()));
    assert_eq!(answer.refusals[0].message, format!("\"{}…\" in Stage has no match.", "ü".repeat(80)));
}
