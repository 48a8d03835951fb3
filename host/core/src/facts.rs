//! Everything `plan` may look at for one record.

use crate::answers::RowAnswer;
use crate::batch::Batch;
use crate::ids::{AccountId, ContactId, DealId, SfId};
use crate::link::{Link, Tombstone};
use crate::merge::FieldPolicy;
use crate::people::Directory;
use crate::reason::Reason;
use crate::schema::Schema;

/// Contacts of an Opportunity, as far as the import needs them (S12, S13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contacts {
    None,
    /// Roles exist, none is primary; the names, for the fix.
    NonePrimary {
        names: Vec<String>,
    },
    /// The primary contact cannot be read: deleted, or hidden from us.
    Unreadable {
        id: SfId,
    },
    Readable {
        id: SfId,
    },
}

/// What core itself looks at in a Salesforce record, whatever the rules read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub id: SfId,
    pub name: String,
    /// SystemModstamp, microseconds.
    pub modstamp: i64,
    /// CreatedDate, microseconds.
    pub created: i64,
    pub deleted: bool,
    pub sync_flag: bool,
    pub import_flag: bool,
    pub account: Option<(SfId, String)>,
    pub contacts: Contacts,
    pub partner_email: Option<String>,
    pub distributor_email: Option<String>,
    /// The amount's currency, where the org has several.
    pub currency: Option<String>,
    /// Why the row could not be read, where Salesforce's answer made no sense.
    pub unreadable: Option<String>,
}

/// What the store knows about a Salesforce record.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    pub link: Option<Link>,
    /// Read only where the record differs from the base.
    pub deal: Option<StoredDeal>,
    pub tombstone: Option<Tombstone>,
    /// The record is set aside with these codes.
    pub set_aside: Option<SetAside>,
    /// A linked Lead of ours was converted into this Opportunity (sync.md d5 15).
    pub converted_from: Option<Link>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeal {
    pub fields: String,
    pub updated_at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    pub kind: AsideKind,
    pub reasons: Vec<Reason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsideKind {
    Parked,
    Skipped,
}

impl AsideKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Skipped => "skipped",
        }
    }
}

/// What is fixed for a whole run of a lane.
#[derive(Debug, Clone)]
pub struct Policy {
    /// One entry per column of the draft, in the draft's order.
    pub fields: Vec<FieldPolicy>,
    /// Labels for messages.
    pub import_flag: String,
    pub sync_flag: String,
    pub partner_email: String,
    /// The field itself, as the rules read it.
    pub partner_email_field: String,
    pub distributor_module: bool,
}

/// Ids for what one record may create, made by the caller.
#[derive(Debug, Clone, Copy)]
pub struct FreshIds {
    pub deal: DealId,
    pub account: AccountId,
    pub contact: ContactId,
}

/// Everything `plan` may look at for one record.
#[derive(Debug)]
pub struct Facts<'a> {
    pub source: &'a Source,
    pub stored: &'a Stored,
    /// The chain's draft, and the row of this record in it.
    pub draft: &'a Batch,
    /// What the rules read, in the same row.
    pub read: &'a Batch,
    pub row: usize,
    pub source_schema: &'a Schema,
    pub target_schema: &'a Schema,
    pub answer: &'a RowAnswer,
    pub policy: &'a Policy,
    pub directory: &'a dyn Directory,
    pub fresh: FreshIds,
}
