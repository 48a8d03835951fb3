//! The mappings every tenant starts with (S49, S50).

use super::Mapping;

/// Opportunity to deal. Those after the required ones are dropped by themselves
/// where the org does not show the field.
pub fn shipped_mappings() -> Vec<Mapping> {
    vec![
        Mapping::field("name", "Name"),
        Mapping::field("amount", "Amount"),
        Mapping::field("close_date", "CloseDate"),
        Mapping::field("stage", "StageName"),
        Mapping::field("contact_first_name", "PrimaryContact.FirstName").create_only(),
        Mapping::field("contact_last_name", "PrimaryContact.LastName").create_only(),
        Mapping::field("contact_email", "PrimaryContact.Email").create_only(),
        Mapping::field("contact_phone", "PrimaryContact.Phone").create_only(),
        Mapping::field("account_name", "Account.Name"),
        Mapping::field("description", "Description"),
        Mapping::field("next_step", "NextStep"),
        Mapping::field("lead_source", "LeadSource"),
        Mapping::field("deal_type", "Type"),
    ]
}
