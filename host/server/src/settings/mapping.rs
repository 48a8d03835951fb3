//! One row of the field mappings, as a person writes it and as `standard` reads it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SettingsError;

/// Where a deal field's value comes from, and in which directions it flows.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The deal field.
    pub to: String,
    /// The Salesforce field: `Amount`, `Account.Name`, `PrimaryContact.Email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A fixed value instead of a field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Used where the source is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Picklist values, Salesforce's to the portal's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmapped: Option<Unmapped>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_null: Option<OnNull>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_create: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_update: Option<bool>,
    /// Cut text that is too long instead of refusing it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Drops the shipped mapping of this deal field.
    #[serde(default, skip_serializing)]
    pub remove: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmapped {
    Refuse,
    Pass,
    Default,
    Blank,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNull {
    Clear,
    Leave,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    Source,
    Target,
    Newest,
    Ask,
}

impl Mapping {
    pub fn field(to: &str, from: &str) -> Self {
        Self {
            to: to.into(),
            from: Some(from.into()),
            value: None,
            default: None,
            values: BTreeMap::new(),
            unmapped: None,
            on_null: None,
            conflict: None,
            on_create: None,
            on_update: None,
            cut: false,
            remove: false,
        }
    }

    pub fn fixed(to: &str, value: &str) -> Self {
        Self { from: None, value: Some(value.into()), ..Self::field(to, "") }
    }

    pub fn create_only(mut self) -> Self {
        self.on_update = Some(false);
        self
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let to = &self.to;
        if self.remove {
            return Ok(());
        }
        if self.from.is_some() == self.value.is_some() {
            return Err(SettingsError::new(format!("the mapping of {to:?} needs either from or value")));
        }
        if self.unmapped == Some(Unmapped::Default) && self.default.is_none() {
            return Err(SettingsError::new(format!(
                "the mapping of {to:?} says unmapped = \"default\" without a default"
            )));
        }
        Ok(())
    }
}
