//! What holds for every record.

use dealsync_rules_sdk::testing::{Record, World, record};
use dealsync_rules_sdk::{Decimal, FieldDef, Value};
use dealsync_rules_standard::Standard;
use proptest::prelude::*;

use crate::owner::{Module, portal, users};
use crate::world::{source_fields, target_fields};

/// Mappings with every option in them.
const MAPPINGS: &str = r#"{"mappings":[
    {"to":"name","from":"Name","cut":true},
    {"to":"amount","from":"Amount","default":"0"},
    {"to":"close_date","from":"CloseDate"},
    {"to":"stage","from":"StageName","values":{"Prospecting":"Open","Closed":"Won"},"unmapped":"default","default":"Lost"},
    {"to":"contact_first_name","from":"PrimaryContact.FirstName"},
    {"to":"description","from":"Description","cut":true,"on_null":"leave"},
    {"to":"region","from":"Regions__c","unmapped":"blank"},
    {"to":"number","from":"Quantity"},
    {"to":"decimal","from":"Rate__c"},
    {"to":"text","from":"Signed__c"}]}"#;

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        "[ -~]{0,30}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["Open", "Prospecting", "Won", "Dreaming"]).prop_map(Value::from),
    ]
}

fn opportunity() -> impl Strategy<Value = Record> {
    let decimal =
        |scale| any::<i64>().prop_map(move |unscaled| Value::Decimal(Decimal::new(unscaled, scale)));
    let regions = prop::collection::vec(prop::sample::select(vec!["EMEA", "APAC", "Mars"]), 0..4)
        .prop_map(|entries| Value::Choices(entries.into_iter().map(str::to_owned).collect()));
    (
        (text(), text(), text(), text()),
        (decimal(2), any::<i32>().prop_map(Value::Date), regions, any::<f64>().prop_map(Value::Number)),
        (
            decimal(4),
            (-4_000_000_000_000_000i64..4_000_000_000_000_000).prop_map(Value::Timestamp),
            any::<bool>(),
        ),
    )
        .prop_map(
            |(
                (name, stage, first, description),
                (amount, close, regions, quantity),
                (rate, signed, linked),
            )| {
                let filled = record([("Name", name), ("StageName", stage), ("Description", description)])
                    .with("PrimaryContact.FirstName", first)
                    .with("Amount", amount)
                    .with("CloseDate", close)
                    .with("Regions__c", regions)
                    .with("Quantity", quantity)
                    .with("Rate__c", rate)
                    .with("Signed__c", signed);
                if linked { filled.linked() } else { filled }
            },
        )
}

/// The target as a source, every field mapped to itself.
fn identity() -> World {
    let mappings: Vec<String> = target_fields()
        .iter()
        .map(|field| {
            format!(r#"{{"to":"{0}","from":"{0}","cut":{1}}}"#, field.name, field.max_length.is_some())
        })
        .collect();
    World::new("opportunity-to-deal")
        .source(target_fields().into_iter().map(|field| FieldDef { required: false, ..field }))
        .target(target_fields())
        .settings(format!(r#"{{"mappings":[{}]}}"#, mappings.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What a mapping made, mapped again, is the same: nothing is cut, rounded
    /// or refused a second time.
    #[test]
    fn mapping_twice_equals_once(opportunity in opportunity()) {
        let world = World::new("opportunity-to-deal")
            .source(source_fields())
            .target(target_fields())
            .settings(MAPPINGS);
        let once = world.run::<Standard>(&[opportunity]).remove(0);
        let mut again = record::<Value>([]);
        for edit in &once.edits {
            again = again.with(&edit.field, edit.value.clone());
        }
        let twice = identity().run::<Standard>(&[again]).remove(0);
        prop_assert!(twice.refusals.is_empty(), "{:?}", twice.refusals);
        for edit in &once.edits {
            // A number that is none is equal to nothing, itself included.
            if !matches!(edit.value, Value::Number(number) if number.is_nan()) {
                prop_assert_eq!(twice.value(&edit.field), Some(&edit.value));
            }
        }
    }

    /// Every new record gets exactly one decision, an assigned owner is one of
    /// the portal's active users, and nothing depends on the rest of the batch.
    #[test]
    fn ownership_is_total_and_each_row_is_alone(
        rows in prop::collection::vec((address(), address(), owner_type()), 1..20),
        module in prop::sample::select(vec![Module::Off, Module::On, Module::Optional]),
    ) {
        let records: Vec<Record> = rows
            .into_iter()
            .map(|(partner, distributor, owner_type)| {
                record([("Partner__c", partner), ("Distributor__c", distributor), ("Owner_Type__c", owner_type)])
            })
            .collect();
        let world = portal(module);
        let together = world.run::<Standard>(&records);
        let users = users();
        for (record, answer) in records.iter().zip(&together) {
            let decision = answer.decision.as_ref();
            prop_assert!(decision.is_some());
            if let Some(assigned) = answer.assignment() {
                let owner = users.iter().find(|user| user.id == assigned.owner);
                prop_assert!(owner.is_some_and(|owner| owner.may_register_deals));
            }
            let alone = world.run::<Standard>(std::slice::from_ref(record)).remove(0);
            prop_assert_eq!(&alone.decision.map(|alone| alone.outcome), &decision.map(|found| found.outcome.clone()));
        }
    }
}

fn address() -> impl Strategy<Value = Value> {
    let known: Vec<String> = users().into_iter().map(|user| user.email).collect();
    prop_oneof![
        4 => prop::sample::select(known).prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<String>().prop_map(Value::from),
        1 => "[a-z]{1,5}@[a-z]{1,5}\\.example".prop_map(Value::from),
    ]
}

fn owner_type() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::from("Partner-owned")),
        Just(Value::from("distributor-owned ")),
        any::<String>().prop_map(Value::from),
    ]
}
