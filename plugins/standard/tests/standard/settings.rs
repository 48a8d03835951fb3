//! Settings that are wrong, and where they say so.

use dealsync_rules_standard::Standard;

use crate::world::world;

fn problems(settings: &str) -> Vec<String> {
    match world(settings).configure::<Standard>() {
        Ok(_) => Vec::new(),
        Err(problems) => {
            problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
        }
    }
}

#[test]
fn each_fault_is_named_with_its_place() {
    for (settings, want) in [
        ("[]", ": the settings are not a JSON object"),
        ("{", ": the settings are not a JSON object: EOF while parsing an object at line 1 column 1"),
        (r#"{"mapings":[]}"#, "mapings: unknown setting `mapings`; did you mean `mappings`?"),
        (
            r#"{"mappings":[{"to":"text","form":"Name"}]}"#,
            "mappings[0].form: unknown setting `form`; did you mean `from`?",
        ),
        (
            r#"{"mappings":[{"to":"text","from":"Name","on_null":"drop"}]}"#,
            "mappings[0].on_null: unknown variant `drop`, expected one of `clear`, `leave`, `refuse`",
        ),
        (r#"{"mappings":[{"from":"Name"}]}"#, "mappings[0]: missing field `to`"),
        (
            r#"{"distributor_module":{"enabeld":true}}"#,
            "distributor_module.enabeld: unknown setting `enabeld`; did you mean `enabled`?",
        ),
        (
            r#"{"mappings":[{"to":"text","from":"Nmae"}]}"#,
            "mappings[0].from: there is no source field `Nmae`; did you mean `Name`?",
        ),
        (
            r#"{"mappings":[{"to":"text","from":"Descriptoin"}]}"#,
            "mappings[0].from: there is no source field `Descriptoin`; did you mean `Description`?",
        ),
        (
            r#"{"mappings":[{"to":"stages","from":"Name"}]}"#,
            "mappings[0].to: there is no target field `stages`; did you mean `stage`?",
        ),
        (
            r#"{"mappings":[{"to":"text","from":"Name"},{"to":"text","value":"x"}]}"#,
            "mappings[1].to: `text` is mapped twice",
        ),
        (
            r#"{"mappings":[{"to":"text"}]}"#,
            "mappings[0].from: a mapping needs `from`, a source field, or `value`, a fixed value",
        ),
        (
            r#"{"mappings":[{"to":"text","from":"Name","value":"x"}]}"#,
            "mappings[0].value: a mapping has either `from` or `value`",
        ),
        (
            r#"{"mappings":[{"to":"text","value":"x","cut":true}]}"#,
            "mappings[0].value: a fixed value takes no `default`, `values`, `unmapped` or `cut`",
        ),
        (
            r#"{"mappings":[{"to":"amount","from":"Amount","default":"nought"}]}"#,
            "mappings[0].default: \"nought\" cannot become a number",
        ),
        (
            r#"{"mappings":[{"to":"stage","from":"StageName","values":{"Closed":"Wom"}}]}"#,
            "mappings[0].values.Closed: \"Wom\" is not among the values of `stage`; did you mean \"Won\"?",
        ),
        (
            r#"{"mappings":[{"to":"stage","from":"StageName","unmapped":"default"}]}"#,
            "mappings[0].unmapped: `unmapped` says `default`, and there is no `default`",
        ),
        (
            r#"{"mappings":[{"to":"amount","from":"Amount","cut":true}]}"#,
            "mappings[0].cut: only text can be cut; `amount` is a number",
        ),
        (
            r#"{"mappings":[{"to":"description","value":"eleven char"}]}"#,
            "mappings[0].value: `description` takes 10 characters",
        ),
        (r#"{"partner_email":"Amount"}"#, "partner_email: `Amount` is neither an Email nor a Text field"),
        (
            r#"{"partner_email":"Partner"}"#,
            "partner_email: there is no source field `Partner`; did you mean `Partner__c`?",
        ),
    ] {
        assert_eq!(problems(settings), [want], "{settings}");
    }
}

#[test]
fn all_faults_are_named_at_once() {
    let settings = r#"{"mappings":[{"to":"nowhere","from":"nothing"},{"to":"text","from":"void"}]}"#;
    assert_eq!(problems(settings).len(), 3);
}

#[test]
fn empty_settings_are_settings() {
    for settings in ["", "{}", r#"{"mappings":[]}"#] {
        assert_eq!(problems(settings), [""; 0]);
    }
}

#[test]
fn fields_of_a_module_that_is_off_are_not_read() {
    let settings = |enabled: bool| {
        format!(
            r#"{{"partner_email":"Partner__c","distributor_email":"Distributor__c",
                "distributor_module":{{"enabled":{enabled}}}}}"#
        )
    };
    let reads = |enabled| world(&settings(enabled)).configure::<Standard>().map(|plan| plan.reads.len());
    assert_eq!((reads(false), reads(true)), (Ok(1), Ok(2)));
}
