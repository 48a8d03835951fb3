//! Opportunities as a test describes them: importable as they come, each method
//! breaking or changing one thing.

use dealsync_core::ids::SfId;
use dealsync_salesforce_sim::OrgHandle;
use serde_json::{Map, Value, json};

/// An Opportunity to be put into the org, with account and contact of its own.
#[derive(Debug, Clone)]
pub struct Opportunity {
    fields: Map<String, Value>,
    account: Option<Map<String, Value>>,
    account_id: Option<SfId>,
    contacts: Vec<(Map<String, Value>, bool)>,
    contact_id: Option<SfId>,
}

/// One that imports: both flags, an account, a primary contact, and the address of
/// [`crate::partner`].
pub fn opportunity(name: &str) -> Opportunity {
    let fields = json!({
        "Name": name,
        "Amount": 15000,
        "CloseDate": "2026-12-31",
        "StageName": "Prospecting",
        "Description": format!("{name}: \"as agreed\""),
        "Sync_with_Portal__c": true,
        "Export_to_Portal_Deal__c": true,
        "Portal_Partner_Email__c": "dana@partner.example",
    });
    let contact = json!({
        "FirstName": "Jo",
        "LastName": "Doe",
        "Email": format!("jo@{}.example", name.to_lowercase().replace(' ', "-")),
    });
    Opportunity {
        fields: object(fields),
        account: Some(object(json!({ "Name": format!("{name} Inc") }))),
        account_id: None,
        contacts: vec![(object(contact), true)],
        contact_id: None,
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => unreachable!("written as an object"),
    }
}

impl Opportunity {
    pub fn set(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    pub fn sync_flag(self, on: bool) -> Self {
        self.set("Sync_with_Portal__c", on)
    }

    pub fn import_flag(self, on: bool) -> Self {
        self.set("Export_to_Portal_Deal__c", on)
    }

    pub fn partner(self, email: &str) -> Self {
        self.set("Portal_Partner_Email__c", email)
    }

    pub fn distributor(self, email: &str) -> Self {
        self.set("Portal_Distributor_Email__c", email)
    }

    pub fn owner_type(self, owner_type: &str) -> Self {
        self.set("Deal_Owner_Type__c", owner_type)
    }

    pub fn without_account(mut self) -> Self {
        self.account = None;
        self
    }

    pub fn account_named(mut self, name: &str) -> Self {
        self.account = Some(object(json!({ "Name": name })));
        self
    }

    /// Uses an account that is in the org already.
    pub fn account(mut self, id: SfId) -> Self {
        self.account_id = Some(id);
        self
    }

    /// Uses a contact that is in the org already, as the primary one.
    pub fn contact(mut self, id: SfId) -> Self {
        self.contact_id = Some(id);
        self.contacts.clear();
        self
    }

    pub fn without_contacts(mut self) -> Self {
        self.contacts.clear();
        self
    }

    /// Changes a field of the primary contact.
    pub fn contact_field(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.contacts[0].0.insert(field.to_owned(), value.into());
        self
    }

    /// Adds a contact that is not the primary one.
    pub fn other_contact(mut self, first: &str, last: &str) -> Self {
        self.contacts.push((object(json!({ "FirstName": first, "LastName": last })), false));
        self
    }

    /// No contact is the primary one any more.
    pub fn none_primary(mut self) -> Self {
        self.contacts.iter_mut().for_each(|(_, primary)| *primary = false);
        self
    }

    /// Puts it into the org and returns its id.
    pub fn insert(self, org: &OrgHandle) -> SfId {
        let mut fields = self.fields;
        let account = self.account_id.or_else(|| {
            let account = self.account?;
            Some(org.insert("Account", Value::Object(account)).expect("an account"))
        });
        if let Some(account) = account {
            fields.insert("AccountId".into(), account.as_str().into());
        }
        let id = org.insert("Opportunity", Value::Object(fields)).expect("an opportunity");
        for (mut contact, primary) in self.contacts {
            if let Some(account) = account {
                contact.insert("AccountId".into(), account.as_str().into());
            }
            let contact = org.insert("Contact", Value::Object(contact)).expect("a contact");
            attach(org, id, contact, primary);
        }
        if let Some(contact) = self.contact_id {
            attach(org, id, contact, true);
        }
        id
    }
}

fn attach(org: &OrgHandle, opportunity: SfId, contact: SfId, primary: bool) {
    let role = json!({
        "OpportunityId": opportunity.as_str(),
        "ContactId": contact.as_str(),
        "IsPrimary": primary,
    });
    org.insert("OpportunityContactRole", role).expect("a contact role");
}
