//! A tenant's users in memory, for one run: what core and the rules look people
//! up in.

use std::collections::HashMap;

use dealsync_core::ids::UserId;
use dealsync_core::matching::normal_name;
use dealsync_core::people::{BY_DOMAIN_MAX, Directory, User, UserStatus, normal_email};

/// Addresses suggested for one that is not known.
const LIKE_MAX: usize = 3;
/// Edits that still make two addresses alike.
const LIKE_DISTANCE: usize = 2;
/// Addresses compared for one suggestion.
const LIKE_CANDIDATES_MAX: usize = 5_000;

/// All users of a tenant as they were when it was made.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    users: Vec<User>,
    by_id: HashMap<UserId, usize>,
    by_email: HashMap<String, Vec<usize>>,
    /// Everybody, active or not.
    by_domain: HashMap<String, Vec<usize>>,
    by_local_part: HashMap<String, Vec<usize>>,
    by_organisation: HashMap<String, Vec<usize>>,
    by_external_id: HashMap<String, Vec<usize>>,
}

impl MemoryDirectory {
    pub fn new(users: Vec<User>) -> Self {
        let mut directory = Self::default();
        for (at, user) in users.iter().enumerate() {
            let email = normal_email(&user.email);
            if let Some((local, domain)) = email.rsplit_once('@') {
                directory.by_domain.entry(domain.to_owned()).or_default().push(at);
                directory.by_local_part.entry(local.to_owned()).or_default().push(at);
            }
            directory.by_id.insert(user.id, at);
            directory.by_email.entry(email).or_default().push(at);
            directory.by_organisation.entry(normal_name(&user.organisation)).or_default().push(at);
            if let Some(id) = &user.external_id {
                directory.by_external_id.entry(id.clone()).or_default().push(at);
            }
        }
        directory.users = users;
        directory
    }

    /// In the order they were read: by address, then by id.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    fn all(&self, at: Option<&Vec<usize>>) -> Vec<&User> {
        at.map(|at| at.iter().map(|at| &self.users[*at]).collect()).unwrap_or_default()
    }

    /// Addresses that share the domain or the part before it, or whose domain is
    /// nearly the same.
    fn candidates(&self, local: &str, domain: &str) -> impl Iterator<Item = &User> {
        let near_domains = self
            .by_domain
            .keys()
            .filter(move |known| *known != domain && alike(known, domain).is_some())
            .filter_map(|known| self.by_domain.get(known));
        let same = self.by_domain.get(domain).into_iter().chain(self.by_local_part.get(local));
        same.chain(near_domains).flatten().take(LIKE_CANDIDATES_MAX).map(|at| &self.users[*at])
    }
}

impl Directory for MemoryDirectory {
    fn by_id(&self, id: UserId) -> Option<&User> {
        self.by_id.get(&id).map(|at| &self.users[*at])
    }

    fn by_email(&self, email: &str) -> Vec<&User> {
        self.all(self.by_email.get(&normal_email(email)))
    }

    fn by_domain(&self, domain: &str) -> Vec<&User> {
        let domain = domain.trim().trim_start_matches('@').to_lowercase();
        let everybody = self.all(self.by_domain.get(&domain)).into_iter();
        everybody.filter(|user| user.status == UserStatus::Active).take(BY_DOMAIN_MAX).collect()
    }

    fn by_organisation(&self, name: &str) -> Vec<&User> {
        match normal_name(name) {
            name if name.is_empty() => Vec::new(),
            name => self.all(self.by_organisation.get(&name)),
        }
    }

    fn by_external_id(&self, id: &str) -> Vec<&User> {
        self.all(self.by_external_id.get(id))
    }

    fn like_email(&self, email: &str) -> Vec<String> {
        let wanted = normal_email(email);
        let Some((local, domain)) = wanted.rsplit_once('@') else { return Vec::new() };
        let mut found: Vec<(usize, String)> = self
            .candidates(local, domain)
            .filter_map(|user| {
                let known = normal_email(&user.email);
                alike(&known, &wanted).map(|distance| (distance, known))
            })
            .collect();
        found.sort();
        found.dedup();
        found.into_iter().take(LIKE_MAX).map(|(_, email)| email).collect()
    }
}

/// How many edits lie between two texts, where there are few.
fn alike(a: &str, b: &str) -> Option<usize> {
    if a.len().abs_diff(b.len()) > LIKE_DISTANCE {
        return None;
    }
    Some(strsim::damerau_levenshtein(a, b)).filter(|distance| *distance <= LIKE_DISTANCE)
}
