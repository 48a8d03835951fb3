//! What well-behaved rules say reaches core as they said it.

use dealsync_core::value::{Cell, Decimal};

use crate::kit::*;

#[test]
fn the_shipped_rules_draft_validate_and_name_an_owner() {
    let chain = chain(vec![member("standard", standard(), STANDARD_SETTINGS)]);
    let decided = decide(&chain, &records(&chain, 3));
    assert_eq!(drafted(&chain, &decided, 2, "name"), Cell::Text("Deal 2"));
    assert_eq!(drafted(&chain, &decided, 2, "amount"), Cell::Decimal(Decimal::new(250, 2)));
    assert_eq!(drafted(&chain, &decided, 2, "close_date"), Cell::Date(20_002));
    let column = decided.draft.column(chain.target().ix("name").unwrap()).unwrap();
    assert_eq!(decided.provenance.of(2, column).unwrap().component, "standard");
    for row in &decided.rows {
        assert_eq!(row.findings, []);
        assert_eq!(row.assignment.unwrap().owner.to_string(), KIM);
    }
}

#[test]
fn only_fields_that_somebody_touches_travel() {
    let chain = chain(vec![member("standard", standard(), STANDARD_SETTINGS)]);
    let names = |schema: &dealsync_core::schema::Schema| -> Vec<String> {
        schema.fields().iter().map(|field| field.name.clone()).collect()
    };
    assert_eq!(names(chain.source()), ["Name", "Amount", "CloseDate", "Description", "PartnerEmail__c"]);
    assert_eq!(names(chain.target()), ["name", "amount", "close_date", "description"]);
    assert_eq!(chain.plan().writes.len(), 4);
}
