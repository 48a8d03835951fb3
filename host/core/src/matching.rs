//! Finding the account and contact of a deal's owner, or deciding to make them
//! (S30, S31). Nothing is matched across owners.

use std::collections::HashMap;
use std::hash::Hash;

use crate::ids::{AccountId, ContactId, SfId, UserId};

/// Names are compared without regard to case and spacing.
pub fn normal_name(name: &str) -> String {
    name.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<Id> {
    /// Known by its Salesforce id.
    Known(Id),
    /// Exactly one record of the owner, not linked elsewhere, has the same name
    /// (account) or address (contact): it takes the Salesforce id.
    Adopt(Id),
    Create(Id),
}

impl<Id: Copy> Match<Id> {
    pub fn id(&self) -> Id {
        match self {
            Self::Known(id) | Self::Adopt(id) | Self::Create(id) => *id,
        }
    }
}

/// Several records match; a person has to choose (MATCH_AMBIGUOUS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ambiguous {
    pub count: usize,
}

/// What an owner already has, as far as this page asks. Kept up to date while a
/// page is planned, so that two records of a page share the account they need.
#[derive(Debug, Clone)]
pub struct Shelf<Id> {
    by_sf_id: HashMap<(UserId, SfId), Id>,
    /// Not linked to a Salesforce record, by normalised name or address.
    unlinked: HashMap<(UserId, String), Vec<Id>>,
}

impl<Id> Default for Shelf<Id> {
    fn default() -> Self {
        Self { by_sf_id: HashMap::new(), unlinked: HashMap::new() }
    }
}

impl<Id: Copy + Eq + Hash> Shelf<Id> {
    pub fn put_known(&mut self, owner: UserId, sf_id: SfId, id: Id) {
        self.by_sf_id.insert((owner, sf_id), id);
    }

    pub fn put_unlinked(&mut self, owner: UserId, key: String, id: Id) {
        self.unlinked.entry((owner, key)).or_default().push(id);
    }

    /// Decides for one record. `key` is the normalised name or address; a blank
    /// one adopts nothing. `fresh` is the id to use if one must be made.
    pub fn find(&self, owner: UserId, sf_id: SfId, key: &str, fresh: Id) -> Result<Match<Id>, Ambiguous> {
        if let Some(id) = self.by_sf_id.get(&(owner, sf_id)) {
            return Ok(Match::Known(*id));
        }
        if key.is_empty() || self.unlinked.is_empty() {
            return Ok(Match::Create(fresh));
        }
        match self.unlinked.get(&(owner, key.to_owned())).map(Vec::as_slice) {
            None | Some([]) => Ok(Match::Create(fresh)),
            Some([one]) => Ok(Match::Adopt(*one)),
            Some(several) => Err(Ambiguous { count: several.len() }),
        }
    }

    /// Notes a decision, so that the next record of the page finds it.
    pub fn take(&mut self, owner: UserId, sf_id: SfId, key: &str, found: Match<Id>) {
        if let Match::Adopt(id) = found
            && let Some(ids) = self.unlinked.get_mut(&(owner, key.to_owned()))
        {
            ids.retain(|unlinked| *unlinked != id);
        }
        self.by_sf_id.insert((owner, sf_id), found.id());
    }
}

/// Accounts and contacts together.
#[derive(Debug, Clone, Default)]
pub struct Shelves {
    pub accounts: Shelf<AccountId>,
    pub contacts: Shelf<ContactId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    #[test]
    fn an_account_is_found_by_id_then_adopted_by_name_then_made() {
        let (owner, other) = (UserId(id(1)), UserId(id(2)));
        let sf_id: SfId = "001000000000001".parse().unwrap();
        let mut shelf = Shelf::default();
        let fresh = AccountId(id(9));
        assert_eq!(shelf.find(owner, sf_id, "globex", fresh), Ok(Match::Create(fresh)));
        shelf.put_unlinked(owner, "globex".into(), AccountId(id(3)));
        assert_eq!(shelf.find(owner, sf_id, "globex", fresh), Ok(Match::Adopt(AccountId(id(3)))));
        assert_eq!(
            shelf.find(other, sf_id, "globex", fresh),
            Ok(Match::Create(fresh)),
            "never across owners"
        );
        shelf.put_unlinked(owner, "globex".into(), AccountId(id(4)));
        assert_eq!(shelf.find(owner, sf_id, "globex", fresh), Err(Ambiguous { count: 2 }));
        shelf.put_known(owner, sf_id, AccountId(id(5)));
        assert_eq!(shelf.find(owner, sf_id, "globex", fresh), Ok(Match::Known(AccountId(id(5)))));
    }

    #[test]
    fn two_records_of_a_page_share_one_account() {
        let owner = UserId(id(1));
        let sf_id: SfId = "001000000000001".parse().unwrap();
        let mut shelf = Shelf::default();
        let first = shelf.find(owner, sf_id, "", AccountId(id(7))).unwrap();
        shelf.take(owner, sf_id, "", first);
        assert_eq!(shelf.find(owner, sf_id, "", AccountId(id(8))), Ok(Match::Known(AccountId(id(7)))));
    }
}
