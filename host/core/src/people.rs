//! Users of the portal, as rules and the owner check see them.

use std::fmt;

use crate::ids::UserId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserKind {
    Internal,
    Partner,
    Distributor,
}

impl UserKind {
    pub const ALL: [Self; 3] = [Self::Internal, Self::Partner, Self::Distributor];

    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Partner => "partner",
            Self::Distributor => "distributor",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name.trim()))
    }
}

impl fmt::Display for UserKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Only `Active` may own an imported deal (S15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserStatus {
    Active,
    /// Invited, not activated yet.
    Pending,
    /// The organisation is not active.
    Inactive,
    /// Switched off by an administrator.
    Disabled,
}

impl UserStatus {
    pub const ALL: [Self; 4] = [Self::Active, Self::Pending, Self::Inactive, Self::Disabled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Inactive => "inactive",
            Self::Disabled => "disabled",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(name.trim()))
    }
}

impl fmt::Display for UserStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub kind: UserKind,
    pub status: UserStatus,
    pub organisation: String,
    pub group: String,
    /// Permission to the Deal Registration module.
    pub may_register_deals: bool,
    pub external_id: Option<String>,
}

impl User {
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name).trim().to_owned()
    }
}

/// Addresses are compared trimmed and without regard to case.
pub fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The tenant's users and organisations, pinned for one run. Answers are in the
/// order of the keys; several users may answer to one key.
pub trait Directory: Send + Sync + fmt::Debug {
    fn by_id(&self, id: UserId) -> Option<&User>;
    fn by_email(&self, email: &str) -> Vec<&User>;
    /// Active users whose own address is of the domain, at most [`BY_DOMAIN_MAX`].
    fn by_domain(&self, domain: &str) -> Vec<&User>;
    fn by_organisation(&self, name: &str) -> Vec<&User>;
    fn by_external_id(&self, id: &str) -> Vec<&User>;
    /// Addresses close to one that was not found, best first, for "close matches".
    fn like_email(&self, email: &str) -> Vec<String>;
}

pub const BY_DOMAIN_MAX: usize = 50;
