//! Names of things, each its own type.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A tenant's short name: lower-case letters, digits and hyphens, at most 40.
/// It names a database file, so nothing else is let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no tenant name: use 1 to 40 lower-case letters, digits and hyphens, a letter first")]
pub struct NotATenantId(pub String);

impl TenantId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantId {
    type Err = NotATenantId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=40).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if fits { Ok(Self(text.to_owned())) } else { Err(NotATenantId(text.to_owned())) }
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Salesforce id, held as its 18 characters. 15-character ids are case-sensitive
/// and carry no checksum; both forms name the same record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SfId([u8; 18]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no Salesforce id: it has 15 or 18 letters and digits")]
pub struct NotASfId(pub String);

impl SfId {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("ids are ASCII by construction")
    }

    /// The three characters that tell the object: `006` is an Opportunity.
    pub fn prefix(&self) -> &str {
        &self.as_str()[..3]
    }
}

/// The three checksum characters of a 15-character id: one per five characters,
/// saying which of them are upper case, lowest bit first.
fn checksum(id: &[u8]) -> [u8; 3] {
    let mut sum = [0u8; 3];
    for (group, letter) in id.chunks(5).zip(&mut sum) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0usize, |bits, (at, byte)| bits | usize::from(byte.is_ascii_uppercase()) << at);
        *letter = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[bits];
    }
    sum
}

impl FromStr for SfId {
    type Err = NotASfId;

    /// Takes 15 characters or 18. The checksum of 18 is not verified: hand-made ids
    /// occur in real orgs, and Salesforce itself is what says whether a record exists.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.as_bytes();
        if !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(NotASfId(text.to_owned()));
        }
        let mut id = [0u8; 18];
        match bytes.len() {
            15 => {
                id[..15].copy_from_slice(bytes);
                id[15..].copy_from_slice(&checksum(bytes));
            }
            18 => id.copy_from_slice(bytes),
            _ => return Err(NotASfId(text.to_owned())),
        }
        Ok(Self(id))
    }
}

impl fmt::Display for SfId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SfId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SfId({})", self.as_str())
    }
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

uuid_id! {
    /// A deal registration.
    DealId,
    /// An account as one owner sees it.
    AccountId,
    /// A contact as one owner sees it.
    ContactId,
    /// A user of the portal.
    UserId,
    /// One turn of a lane.
    RunId,
    /// A message or intent waiting in the outbox.
    OutboxId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_ids_name_the_same_record() {
        let short: SfId = "001D000000IRFma".parse().unwrap();
        assert_eq!(short.as_str(), "001D000000IRFmaIAH");
        assert_eq!(short, "001D000000IRFmaIAH".parse().unwrap());
        assert!("001D000000IRF".parse::<SfId>().is_err());
        assert!("001D000000IRFm'".parse::<SfId>().is_err());
    }

    #[test]
    fn tenant_names_cannot_leave_their_folder() {
        for name in ["", "../x", "Acme", "a b", "1a", &"a".repeat(41)] {
            assert!(name.parse::<TenantId>().is_err(), "{name}");
        }
        assert!("acme-2".parse::<TenantId>().is_ok());
    }
}
