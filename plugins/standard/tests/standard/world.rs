//! A deal registration's fields and an Opportunity's, few enough to read.

use dealsync_rules_sdk::testing::{Answer, Record, World, record};
use dealsync_rules_sdk::{Decimal, FieldDef, FieldKind, Value};
use dealsync_rules_standard::Standard;

pub fn source_fields() -> Vec<FieldDef> {
    use FieldKind::*;
    vec![
        FieldDef::new("Name", Text).label("Opportunity Name"),
        FieldDef::new("Amount", Decimal).scale(2),
        FieldDef::new("CloseDate", Date).label("Close Date"),
        FieldDef::new("StageName", Choice).label("Stage"),
        FieldDef::new("PrimaryContact.FirstName", Text).label("First Name"),
        FieldDef::new("PrimaryContact.LastName", Text).label("Last Name"),
        FieldDef::new("Description", Text),
        FieldDef::new("Quantity", Number),
        FieldDef::new("Count__c", Integer),
        FieldDef::new("Rate__c", Decimal).scale(4),
        FieldDef::new("Regions__c", Choices).label("Regions"),
        FieldDef::new("Strategic__c", Boolean).label("Strategic"),
        FieldDef::new("Signed__c", Timestamp).label("Signed"),
        FieldDef::new("OwnerId", Reference),
        FieldDef::new("Address__c", Json).label("Address"),
        FieldDef::new("Partner__c", Text).label("Portal Partner Email"),
        FieldDef::new("Distributor__c", Text).label("Portal Distributor Email"),
        FieldDef::new("Owner_Type__c", Choice).label("Deal Owner Type"),
    ]
}

pub fn target_fields() -> Vec<FieldDef> {
    use FieldKind::*;
    vec![
        FieldDef::new("name", Text).label("Deal Name").required().max_length(20),
        FieldDef::new("amount", Decimal).label("Amount").required().scale(2),
        FieldDef::new("close_date", Date).label("Close Date").required(),
        FieldDef::new("stage", Choice).label("Stage").required().choices(&["Open", "Won", "Lost"]),
        FieldDef::new("contact_first_name", Text).label("Contact First Name").required().max_length(80),
        FieldDef::new("contact_last_name", Text).label("Contact Last Name").required().max_length(80),
        FieldDef::new("description", Text).label("Description").max_length(10),
        FieldDef::new("region", Choices).label("Region").choices(&["EMEA", "APAC", "AMER"]),
        FieldDef::new("text", Text),
        FieldDef::new("integer", Integer),
        FieldDef::new("number", Number),
        FieldDef::new("decimal", Decimal).label("Rate").scale(1),
        FieldDef::new("boolean", Boolean),
        FieldDef::new("date", Date),
        FieldDef::new("timestamp", Timestamp),
        FieldDef::new("reference", Reference),
        FieldDef::new("json", Json),
    ]
}

pub fn world(settings: &str) -> World {
    World::new("opportunity-to-deal").source(source_fields()).target(target_fields()).settings(settings)
}

/// The required fields, all mapped.
pub const REQUIRED: &str = r#"
    {"to":"name","from":"Name"},
    {"to":"amount","from":"Amount"},
    {"to":"close_date","from":"CloseDate"},
    {"to":"stage","from":"StageName"},
    {"to":"contact_first_name","from":"PrimaryContact.FirstName"},
    {"to":"contact_last_name","from":"PrimaryContact.LastName"}"#;

/// An Opportunity that lacks nothing.
pub fn whole() -> Record {
    record([("Name", "Renewal"), ("StageName", "Open")])
        .with("Amount", Value::Decimal(Decimal::new(1_500_000, 2)))
        .with("CloseDate", Value::Date(20_800))
        .with("PrimaryContact.FirstName", "Ada")
        .with("PrimaryContact.LastName", "Lovelace")
}

/// Runs the required mappings and one more.
pub fn run_with(mapping: &str, records: &[Record]) -> Vec<Answer> {
    let comma = if mapping.is_empty() { "" } else { "," };
    world(&format!(r#"{{"mappings":[{REQUIRED}{comma}{mapping}]}}"#)).run::<Standard>(records)
}

/// Runs one record through the required mappings and one more.
pub fn run_one(mapping: &str, record: Record) -> Answer {
    run_with(mapping, &[record]).remove(0)
}
