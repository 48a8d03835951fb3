//! The owner check that no rule can override (S15, S16, S18, S28).

use crate::answers::Assignment;
use crate::ids::UserId;
use crate::people::{Directory, User, UserKind, UserStatus};
use crate::reason::{Code, Reason};

/// Proof that the owner exists in this tenant, is active, of the right type and
/// permitted. Only [`check_owner`] makes one, so a deal without such an owner
/// cannot be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedOwner {
    assignment: Assignment,
}

impl CheckedOwner {
    pub fn id(&self) -> UserId {
        self.assignment.owner
    }

    pub fn partner(&self) -> Option<UserId> {
        self.assignment.partner
    }

    pub fn distributor(&self) -> Option<UserId> {
        self.assignment.distributor
    }
}

/// Checks what the rules decided against the tenant's users. Refuses an owner who
/// is unknown, not active, not allowed to register deals, or of a type that may
/// not own deals here; and a partner or distributor on the deal who is none.
pub fn check_owner(
    assignment: Assignment,
    distributor_module: bool,
    directory: &dyn Directory,
) -> Result<CheckedOwner, Reason> {
    let owner = known(assignment.owner, directory)?;
    match owner.kind {
        UserKind::Partner => may_own(owner, "partner")?,
        UserKind::Distributor if distributor_module => may_own(owner, "distributor")?,
        UserKind::Distributor | UserKind::Internal => {
            return Err(Reason::new(
                Code::PartnerUserWrongType,
                &[("email", &owner.email), ("type", owner.kind.name())],
            ));
        }
    }
    for (user, kind) in
        [(assignment.partner, UserKind::Partner), (assignment.distributor, UserKind::Distributor)]
    {
        let Some(id) = user else { continue };
        let user = known(id, directory)?;
        if user.kind != kind {
            let code = match kind {
                UserKind::Distributor => Code::DistUserWrongType,
                _ => Code::PartnerUserWrongType,
            };
            return Err(Reason::new(code, &[("email", &user.email), ("type", user.kind.name())]));
        }
    }
    Ok(CheckedOwner { assignment })
}

/// A rule that names somebody who is no user of this tenant lies, or was fed
/// another tenant's data: its own tenant reads so, and nothing is written.
fn known(id: UserId, directory: &dyn Directory) -> Result<&User, Reason> {
    directory.by_id(id).ok_or_else(|| {
        Reason::new(
            Code::TenantRuleCrashed,
            &[
                ("rule", "owner"),
                ("version", "?"),
                ("text", &format!("it named {id}, who is no user of this tenant")),
            ],
        )
    })
}

fn may_own(user: &User, role: &str) -> Result<(), Reason> {
    let partner = role == "partner";
    if user.status != UserStatus::Active {
        let code = if partner { Code::PartnerUserNotActive } else { Code::DistUserNotActive };
        return Err(Reason::new(code, &[("email", &user.email), ("status", user.status.name())]));
    }
    if !user.may_register_deals {
        let code = if partner { Code::PartnerUserNoPermission } else { Code::DistUserNoPermission };
        return Err(Reason::new(code, &[("email", &user.email), ("group", &user.group)]));
    }
    Ok(())
}
