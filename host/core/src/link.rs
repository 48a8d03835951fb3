//! The tie between one deal and its Salesforce record.

use crate::ids::{DealId, SfId, UserId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemoteObject {
    Lead,
    Opportunity,
}

impl RemoteObject {
    pub fn name(self) -> &'static str {
        match self {
            Self::Lead => "Lead",
            Self::Opportunity => "Opportunity",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Lead, Self::Opportunity].into_iter().find(|object| object.name() == name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkState {
    Linked,
    /// A flag was cleared in Salesforce; only deletes and conversions are listened for.
    OutOfScope,
    RemoteDeleted,
}

impl LinkState {
    pub const ALL: [Self; 3] = [Self::Linked, Self::OutOfScope, Self::RemoteDeleted];

    pub fn name(self) -> &'static str {
        match self {
            Self::Linked => "linked",
            Self::OutOfScope => "out-of-scope",
            Self::RemoteDeleted => "remote-deleted",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A link with the values both sides last agreed on, in each side's own fields,
/// as [`crate::deal::encode_row`] writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub deal: DealId,
    pub object: RemoteObject,
    pub sf_id: SfId,
    pub state: LinkState,
    pub base: String,
    pub base_source: String,
    /// SystemModstamp of the record when it was last applied, microseconds.
    pub modstamp: i64,
    pub owner: UserId,
}

/// A Salesforce id that a person unlinked; no run imports it again (UNLINKED_BY_PERSON).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    pub sf_id: SfId,
    /// Who removed the deal, as shown to people.
    pub by: String,
    pub at: i64,
}
