//! Look-ups: asked once a batch, with each key once.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::User;

/// The tenant's users, pinned for the run. Answers are in the order of the
/// keys; several users may answer to one key. At most 1,000 keys a call.
pub trait Directory {
    /// Addresses are compared trimmed and without regard to case.
    fn by_email(&self, emails: &[String]) -> Vec<Vec<User>>;
    /// Active users of the organisations that own the domain, at most 50.
    fn by_domain(&self, domains: &[String]) -> Vec<Vec<User>>;
    fn by_organisation(&self, names: &[String]) -> Vec<Vec<User>>;
    fn by_external_id(&self, ids: &[String]) -> Vec<Vec<User>>;
    /// Known addresses that look like an unknown one, best first, at most 3 a key.
    fn close_matches(&self, emails: &[String]) -> Vec<Vec<String>>;
}

/// The tenant's own look-up tables; positions come from [`crate::Setup::table`].
pub trait Tables {
    fn get(&self, table: u16, keys: &[String]) -> Vec<Option<String>>;
}

/// Collects the keys of a batch, each once.
///
/// ```
/// # use dealsync_rules_sdk::Keys;
/// let mut keys = Keys::default();
/// assert_eq!([keys.add("a"), keys.add("b"), keys.add("a")], [0, 1, 0]);
/// assert_eq!(keys.list(), ["a", "b"]);
/// ```
#[derive(Debug, Default)]
pub struct Keys {
    places: HashMap<String, u32, BuildHasherDefault<Words>>,
    list: Vec<String>,
}

/// Mixes eight bytes at a time. Nothing is gained by keys that collide: the fuel
/// of a batch bounds what they can cost.
#[derive(Debug, Default)]
struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        for word in words.iter().chain([&last]) {
            self.0 = (self.0 ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            self.0 ^= self.0 >> 29;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Keys {
    /// The place of a key that was added before.
    #[inline]
    pub fn place(&self, key: &str) -> Option<u32> {
        self.places.get(key).copied()
    }

    /// The key's place in the list, and so in the answer.
    pub fn add(&mut self, key: &str) -> u32 {
        if let Some(place) = self.place(key) {
            return place;
        }
        let place = self.list.len() as u32;
        self.list.push(key.to_owned());
        self.places.insert(key.to_owned(), place);
        place
    }

    pub fn list(&self) -> &[String] {
        &self.list
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

#[cfg(target_arch = "wasm32")]
#[derive(Debug)]
pub(crate) struct Host;

#[cfg(target_arch = "wasm32")]
impl Directory for Host {
    fn by_email(&self, emails: &[String]) -> Vec<Vec<User>> {
        crate::bindings::dealsync::rules::directory::by_email(emails)
    }

    fn by_domain(&self, domains: &[String]) -> Vec<Vec<User>> {
        crate::bindings::dealsync::rules::directory::by_domain(domains)
    }

    fn by_organisation(&self, names: &[String]) -> Vec<Vec<User>> {
        crate::bindings::dealsync::rules::directory::by_organisation(names)
    }

    fn by_external_id(&self, ids: &[String]) -> Vec<Vec<User>> {
        crate::bindings::dealsync::rules::directory::by_external_id(ids)
    }

    fn close_matches(&self, emails: &[String]) -> Vec<Vec<String>> {
        crate::bindings::dealsync::rules::directory::close_matches(emails)
    }
}

#[cfg(target_arch = "wasm32")]
impl Tables for Host {
    fn get(&self, table: u16, keys: &[String]) -> Vec<Option<String>> {
        crate::bindings::dealsync::rules::tables::get(table, keys)
    }
}
