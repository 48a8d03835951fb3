//! What follows from a change: names put together, stages decided, the one primary
//! contact, and the rows that go and come with others.

use crate::org::{Edit, Org};
use crate::rows::Cell;
use crate::when;
use crate::write::Assignment;

/// A stage, whether it is closed and won, its probability and forecast category.
const STAGES: [(&str, bool, bool, f64, &str, &str); 10] = [
    ("Prospecting", false, false, 10.0, "Pipeline", "Pipeline"),
    ("Qualification", false, false, 10.0, "Pipeline", "Pipeline"),
    ("Needs Analysis", false, false, 20.0, "Pipeline", "Pipeline"),
    ("Value Proposition", false, false, 50.0, "Pipeline", "Pipeline"),
    ("Id. Decision Makers", false, false, 60.0, "Pipeline", "Pipeline"),
    ("Perception Analysis", false, false, 70.0, "Pipeline", "Pipeline"),
    ("Proposal/Price Quote", false, false, 75.0, "Pipeline", "Pipeline"),
    ("Negotiation/Review", false, false, 90.0, "Pipeline", "Pipeline"),
    ("Closed Won", true, true, 100.0, "Closed", "Closed"),
    ("Closed Lost", true, false, 0.0, "Omitted", "Omitted"),
];

/// Brings derived fields and related rows in line after a row was written.
pub fn after_write(org: &mut Org, at: usize, row: u32, assigned: &[Assignment], inserted: bool, edit: &Edit) {
    match org.shape(at).name.as_str() {
        "Contact" | "Lead" | "User" => {
            let part = |name| org.named(at, row, name).as_text().map(str::to_owned);
            let name =
                [part("FirstName"), part("LastName")].into_iter().flatten().collect::<Vec<_>>().join(" ");
            org.set_named(at, row, "Name", Cell::text(&name));
        }
        "Opportunity" => {
            let named =
                |name| org.shape(at).col(name).is_some_and(|col| assigned.iter().any(|(own, _)| *own == col));
            let (stage, probability) = (named("StageName"), named("Probability"));
            derive_opportunity(org, at, row, stage, !probability);
            if inserted && let Cell::Id(contact) = *org.named(at, row, "ContactId") {
                let opportunity = org.tables[at].id(row);
                add_primary_role(org, opportunity, contact, edit);
            }
        }
        "OpportunityContactRole" => after_role(org, at, row, edit),
        _ => {}
    }
}

/// Fields of an opportunity that follow from others.
pub fn derive_opportunity(
    org: &mut Org,
    at: usize,
    row: u32,
    stage_written: bool,
    may_set_probability: bool,
) {
    if stage_written {
        let stage = org.named(at, row, "StageName").as_text().map(str::to_owned);
        let known = STAGES.iter().find(|known| stage.as_deref() == Some(known.0));
        let (_, closed, won, probability, category, category_name) =
            *known.unwrap_or(&("", false, false, 10.0, "Pipeline", "Pipeline"));
        org.set_named(at, row, "IsClosed", Cell::Bool(closed));
        org.set_named(at, row, "IsWon", Cell::Bool(won));
        org.set_named(at, row, "ForecastCategory", Cell::text(category));
        org.set_named(at, row, "ForecastCategoryName", Cell::text(category_name));
        if may_set_probability {
            org.set_named(at, row, "Probability", Cell::Num(probability));
        }
        let stamp = org.named(at, row, "SystemModstamp").clone();
        org.set_named(at, row, "LastStageChangeDate", stamp);
    }
    let amount = org.named(at, row, "Amount").as_num();
    let probability = org.named(at, row, "Probability").as_num();
    let expected = match (amount, probability) {
        (Some(amount), Some(probability)) => Cell::Num((amount * probability).round() / 100.0),
        _ => Cell::Null,
    };
    org.set_named(at, row, "ExpectedRevenue", expected);
    if let Cell::Date(days) = *org.named(at, row, "CloseDate") {
        let (year, month, _) = when::civil_from_days(i64::from(days));
        let quarter = (month - 1) / 3 + 1;
        org.set_named(at, row, "FiscalYear", Cell::Num(year as f64));
        org.set_named(at, row, "FiscalQuarter", Cell::Num(quarter as f64));
        org.set_named(at, row, "Fiscal", Cell::text(&format!("{year} {quarter}")));
    }
}

fn add_primary_role(
    org: &mut Org,
    opportunity: dealsync_core::ids::SfId,
    contact: dealsync_core::ids::SfId,
    edit: &Edit,
) {
    let roles = org.schema.find("OpportunityContactRole").expect("shipped");
    let fields = serde_json::json!({
        "OpportunityId": opportunity.as_str(), "ContactId": contact.as_str(), "IsPrimary": true
    });
    let fields = fields.as_object().expect("an object, just above");
    org.insert(roles, fields, &Edit { api: false, ..*edit }).expect("ids of rows that exist");
}

/// At most one role of an opportunity is primary: the last one made so.
fn after_role(org: &mut Org, at: usize, row: u32, edit: &Edit) {
    let Cell::Id(opportunity) = *org.named(at, row, "OpportunityId") else { return };
    let col = org.shape(at).col("OpportunityId").expect("shipped");
    if org.named(at, row, "IsPrimary").is_true() {
        let others: Vec<u32> = org.tables[at].pointing_to(col, opportunity).to_vec();
        for other in others {
            if other != row && org.named(at, other, "IsPrimary").is_true() {
                org.touch(at, other, edit);
                org.set_named(at, other, "IsPrimary", Cell::Bool(false));
            }
        }
    }
    show_primary_contact(org, opportunity);
}

/// Opportunity.ContactId reads as the primary role's contact. The change leaves no
/// stamp on the opportunity.
fn show_primary_contact(org: &mut Org, opportunity: dealsync_core::ids::SfId) {
    let roles = org.schema.find("OpportunityContactRole").expect("shipped");
    let col = org.shape(roles).col("OpportunityId").expect("shipped");
    let primary = org.tables[roles]
        .pointing_to(col, opportunity)
        .iter()
        .copied()
        .find(|role| org.tables[roles].live(*role) && org.named(roles, *role, "IsPrimary").is_true());
    let contact = primary.map_or(Cell::Null, |role| org.named(roles, role, "ContactId").clone());
    let at = org.schema.find("Opportunity").expect("shipped");
    if let Some(row) = org.tables[at].row(opportunity) {
        org.set_named(at, row, "ContactId", contact);
    }
}

/// Deletes a row, and by cascade the rows that hang on it.
pub fn delete(org: &mut Org, at: usize, row: u32, edit: &Edit) {
    let id = org.tables[at].id(row);
    let now = edit.stamp.unwrap_or_else(|| org.clock.now());
    org.touch(at, row, edit);
    org.tables[at].set_deleted(row, true);
    org.tables[at].deletions.push((id, now));
    for (child, children) in cascading(org, at, row) {
        for row in children {
            if org.tables[child].live(row) {
                delete(org, child, row, edit);
            }
        }
    }
    if org.shape(at).name == "OpportunityContactRole"
        && let Cell::Id(opportunity) = *org.named(at, row, "OpportunityId")
    {
        let opportunities = org.schema.find("Opportunity").expect("shipped");
        // A role deleted on its own is gone at once; with its opportunity it waits in the bin.
        if org.tables[opportunities].row(opportunity).is_some_and(|row| org.tables[opportunities].live(row)) {
            org.tables[at].purge(row);
        }
        show_primary_contact(org, opportunity);
    }
}

pub fn undelete(org: &mut Org, at: usize, row: u32, edit: &Edit) {
    let id = org.tables[at].id(row);
    org.touch(at, row, edit);
    org.tables[at].set_deleted(row, false);
    org.tables[at].deletions.retain(|(deleted, _)| *deleted != id);
    for (child, children) in cascading(org, at, row) {
        for row in children {
            if org.tables[child].deleted(row) && !org.tables[child].purged(row) {
                undelete(org, child, row, edit);
            }
        }
    }
    if org.shape(at).name == "Opportunity" {
        show_primary_contact(org, id);
    }
}

/// Child rows that share this row's fate, per object.
fn cascading(org: &Org, at: usize, row: u32) -> Vec<(usize, Vec<u32>)> {
    let id = org.tables[at].id(row);
    org.shape(at)
        .child_relationships
        .iter()
        .filter(|relation| relation.cascade_delete)
        .filter_map(|relation| {
            let child = org.schema.find(&relation.child)?;
            let col = org.shape(child).col(&relation.field)?;
            Some((child, org.tables[child].pointing_to(col, id).to_vec()))
        })
        .collect()
}
