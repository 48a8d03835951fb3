//! Who owns a new deal: the owner decision table.
//!
//! | module | owner type | partner address | distributor address | result |
//! |---|---|---|---|---|
//! | off | ignored | valid | ignored | the partner owns |
//! | off | ignored | blank or wrong | any | refused for the partner address |
//! | on | blank or Partner-owned | valid | blank, valid or wrong | the partner owns; none, attached, or a warning |
//! | on | blank or Partner-owned | blank or wrong | any | refused for the partner address |
//! | on | Distributor-owned | any | blank or wrong | refused for the distributor address |
//! | on | Distributor-owned | filled but wrong | valid | refused for the partner address |
//! | on | Distributor-owned | valid | valid | the distributor owns, the partner is recorded |
//! | on | Distributor-owned | blank | valid | the distributor owns if the settings let it, else refused |
//! | on | anything else | any | any | refused for the owner type |
//!
//! A valid address matches exactly one user, active, of the right kind, with the
//! permission to register deals. An owner is never guessed.

use std::borrow::Cow;

use dealsync_rules_sdk::{
    CauseId, Decisions, Directory, FieldKind, Keys, Row, Rows, Setup, Source, User, UserKind, UserStatus,
};

use crate::mapping::label;
use crate::settings::Settings;
use crate::words::{quoted, shown};

/// Longest address there is (RFC 5321, 4.5.3.1.3, without its brackets).
const ADDRESS_MAX: usize = 254;

#[derive(Debug)]
pub struct OwnerRules {
    partner: FieldRef,
    distributor: Option<FieldRef>,
    owner_type: Option<FieldRef>,
    module_enabled: bool,
    partner_optional: bool,
}

#[derive(Debug)]
struct FieldRef {
    source: Source,
    label: String,
    cause: CauseId,
}

impl OwnerRules {
    /// `None` where the settings name no partner field: such a flow has no owners.
    pub fn prepare(settings: &Settings, setup: &mut Setup<'_>) -> Option<Self> {
        let module = settings.distributor_module;
        let partner = address_field(settings.partner_email.as_deref()?, "partner_email", setup);
        // What is not used is not read either.
        let distributor = settings.distributor_email.as_deref().filter(|_| module.enabled);
        let distributor = distributor.map(|name| address_field(name, "distributor_email", setup));
        let owner_type = settings.owner_type.as_deref().map(|name| field_ref(name, "owner_type", setup));
        Some(Self {
            partner: partner?,
            distributor: distributor.flatten(),
            owner_type: owner_type.flatten(),
            module_enabled: module.enabled,
            partner_optional: module.partner_optional,
        })
    }

    pub fn resolve(&self, rows: &Rows<'_>, directory: &impl Directory, out: &mut Decisions<'_>) {
        let mut keys = Keys::default();
        let asked: Vec<(Address<'_>, Address<'_>)> = rows
            .iter()
            .map(|row| {
                let partner = address(row, Some(&self.partner), &mut keys);
                (partner, address(row, self.distributor.as_ref(), &mut keys))
            })
            .collect();
        let known = Known::ask(&keys, directory);
        for (row, (partner, distributor)) in rows.iter().zip(asked) {
            let partner = known.judge(partner, UserKind::Partner);
            let distributor = known.judge(distributor, UserKind::Distributor);
            self.decide(row, &partner, &distributor, out.row(row));
        }
    }

    fn decide(&self, row: Row<'_>, partner: &Party<'_>, distributor: &Party<'_>, out: &mut Decisions<'_>) {
        match self.owner_type(row) {
            OwnerType::Distributor if !self.module_enabled => {
                out.warn("DIST_MODULE_OFF", module_off(), "Enable the module, or change the value.");
                self.partner_owns(partner, &Party::Blank, out);
            }
            OwnerType::Unknown(_) if !self.module_enabled => self.partner_owns(partner, &Party::Blank, out),
            OwnerType::Partner => self.partner_owns(partner, distributor, out),
            OwnerType::Distributor => self.distributor_owns(partner, distributor, out),
            OwnerType::Unknown(value) => {
                if let Some(field) = &self.owner_type {
                    out.because(field.cause);
                }
                out.refuse(
                    "OWNER_TYPE_UNKNOWN",
                    format!("{} is not an owner type.", quoted(value)),
                    "Use Partner-owned or Distributor-owned.",
                );
            }
        }
    }

    fn owner_type<'a>(&self, row: Row<'a>) -> OwnerType<'a> {
        let Some(field) = &self.owner_type else { return OwnerType::Partner };
        match row.text(field.source).map(str::trim) {
            None | Some("") => OwnerType::Partner,
            Some(value) if value.eq_ignore_ascii_case("Partner-owned") => OwnerType::Partner,
            Some(value) if value.eq_ignore_ascii_case("Distributor-owned") => OwnerType::Distributor,
            Some(value) => OwnerType::Unknown(value),
        }
    }

    fn partner_owns(&self, partner: &Party<'_>, distributor: &Party<'_>, out: &mut Decisions<'_>) {
        out.because(self.partner.cause);
        let Party::Valid(owner) = partner else {
            let (code, message, fix) = self.partner_fault(partner);
            out.refuse(code, message, fix);
            return;
        };
        let attached = match distributor {
            Party::Valid(user) => Some(user.id.as_str()),
            Party::Blank => None,
            _ => {
                let (code, message, fix) = self.distributor_fault(distributor);
                out.warn(code, message, fix);
                None
            }
        };
        out.assign(&owner.id, Some(&owner.id), attached);
    }

    fn distributor_owns(&self, partner: &Party<'_>, distributor: &Party<'_>, out: &mut Decisions<'_>) {
        out.because(self.distributor.as_ref().map_or(self.partner.cause, |field| field.cause));
        let Party::Valid(owner) = distributor else {
            let (code, message, fix) = self.distributor_fault(distributor);
            out.refuse(code, message, fix);
            return;
        };
        match partner {
            Party::Valid(partner) => out.assign(&owner.id, Some(&partner.id), Some(&owner.id)),
            Party::Blank if self.partner_optional => out.assign(&owner.id, None, Some(&owner.id)),
            Party::Blank => out.because(self.partner.cause).refuse(
                "PARTNER_REQUIRED_FOR_DIST",
                "Distributor deals need a partner here.",
                format!("Enter the partner email in {}, or relax the setting.", self.partner.label),
            ),
            _ => {
                let (code, message, fix) = self.partner_fault(partner);
                out.because(self.partner.cause).refuse(code, message, fix);
            }
        }
    }

    #[cold]
    fn partner_fault(&self, party: &Party<'_>) -> Fault {
        let label = &self.partner.label;
        if matches!(party, Party::Blank) {
            let message = format!("The field {label} is empty, so no owner is known.");
            return ("PARTNER_EMAIL_BLANK", message, format!("Enter the partner user's email in {label}."));
        }
        let codes = Codes {
            invalid: "PARTNER_EMAIL_INVALID",
            unknown: "PARTNER_USER_UNKNOWN",
            not_active: "PARTNER_USER_NOT_ACTIVE",
            wrong_type: "PARTNER_USER_WRONG_TYPE",
            no_permission: "PARTNER_USER_NO_PERMISSION",
            ambiguous: "PARTNER_USER_AMBIGUOUS",
        };
        let other_type = match (&self.owner_type, self.module_enabled) {
            (Some(field), true) => format!(", or set {} to Distributor-owned", field.label),
            _ => String::new(),
        };
        fault(party, &codes, label, "partner", "Partner", &other_type)
    }

    #[cold]
    fn distributor_fault(&self, party: &Party<'_>) -> Fault {
        let label = self.distributor.as_ref().map_or("", |field| field.label.as_str());
        if matches!(party, Party::Blank) {
            return match &self.distributor {
                Some(_) => (
                    "DIST_EMAIL_BLANK",
                    format!("Distributor-owned, but {label} is empty."),
                    format!("Enter the distributor user's email in {label}."),
                ),
                None => (
                    "DIST_EMAIL_BLANK",
                    "Distributor-owned, but no field is chosen for the distributor's email.".to_owned(),
                    "Choose the distributor email field in the Deal Registration settings.".to_owned(),
                ),
            };
        }
        let codes = Codes {
            invalid: "DIST_EMAIL_INVALID",
            unknown: "DIST_USER_UNKNOWN",
            not_active: "DIST_USER_NOT_ACTIVE",
            wrong_type: "DIST_USER_WRONG_TYPE",
            no_permission: "DIST_USER_NO_PERMISSION",
            ambiguous: "DIST_USER_AMBIGUOUS",
        };
        let other_type = match &self.owner_type {
            Some(field) => format!(", or set {} to Partner-owned", field.label),
            None => String::new(),
        };
        fault(party, &codes, label, "distributor", "Distributor", &other_type)
    }
}

fn module_off() -> &'static str {
    "Imported for the partner: Owner type is Distributor-owned but the Distributor module is off."
}

fn address_field(name: &str, path: &str, setup: &mut Setup<'_>) -> Option<FieldRef> {
    let field = field_ref(name, path, setup)?;
    let kind = setup.source_def(field.source).map(|def| def.kind);
    if kind != Some(FieldKind::Text) {
        setup.problem(path, format!("`{name}` is neither an Email nor a Text field"));
        return None;
    }
    Some(field)
}

fn field_ref(name: &str, path: &str, setup: &mut Setup<'_>) -> Option<FieldRef> {
    let source = setup.read_at(name, path)?;
    let label = setup.source_def(source).map(label).unwrap_or_default();
    let cause = setup.cause(format!("owner.{path}"), &[source]);
    Some(FieldRef { source, label, cause })
}

enum OwnerType<'a> {
    Partner,
    Distributor,
    Unknown(&'a str),
}

/// An address as it stands in the record.
enum Address<'a> {
    Blank,
    Invalid(&'a str),
    /// With its place among the keys asked.
    Asked(&'a str, u32),
}

fn address<'a>(row: Row<'a>, field: Option<&FieldRef>, keys: &mut Keys) -> Address<'a> {
    let Some(field) = field else { return Address::Blank };
    let Some(text) = row.text(field.source).map(str::trim).filter(|text| !text.is_empty()) else {
        return Address::Blank;
    };
    // Few partners own many records: what another row asked for needs no second look.
    match keys.place(text) {
        Some(place) => Address::Asked(text, place),
        None if is_address(text) => Address::Asked(text, keys.add(&lower_case(text))),
        None => Address::Invalid(text),
    }
}

/// Addresses are compared without regard to case; most come in lower case.
fn lower_case(text: &str) -> Cow<'_, str> {
    let is_lower = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_lowercase()) }
}

/// One address and nothing else: `kim@partner.example`.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_clean = |part: &str| {
        part.chars().all(|c| match c {
            '!'..='~' => !matches!(c, '@' | ',' | ';' | ':' | '<' | '>' | '(' | ')' | '[' | ']' | '\\' | '"'),
            c => !c.is_whitespace() && !c.is_control(),
        })
    };
    let has_labels = domain.contains('.') && domain.split('.').all(|label| !label.is_empty());
    text.len() <= ADDRESS_MAX && !local.is_empty() && has_labels && is_clean(local) && is_clean(domain)
}

/// What is known of an address in its role.
enum Party<'a> {
    Blank,
    Invalid(&'a str),
    Unknown(&'a str, &'a [String]),
    Ambiguous(&'a str, usize),
    NotActive(&'a str, &'a User),
    WrongType(&'a str, &'a User),
    NoPermission(&'a str, &'a User),
    Valid(&'a User),
}

/// The directory's answers, in the order of the keys.
struct Known {
    users: Vec<Vec<User>>,
    /// By key; empty where users were found.
    close: Vec<Vec<String>>,
}

impl Known {
    /// Asks once for all addresses, and once more for what looks like the unknown.
    fn ask(keys: &Keys, directory: &impl Directory) -> Self {
        let users = if keys.is_empty() { Vec::new() } else { directory.by_email(keys.list()) };
        let found = |place: usize| users.get(place).is_some_and(|users| !users.is_empty());
        let unknown: Vec<usize> = (0..keys.list().len()).filter(|place| !found(*place)).collect();
        let mut close = vec![Vec::new(); keys.list().len()];
        if !unknown.is_empty() {
            let emails: Vec<String> = unknown.iter().map(|place| keys.list()[*place].clone()).collect();
            for (place, matches) in unknown.into_iter().zip(directory.close_matches(&emails)) {
                close[place] = matches;
            }
        }
        Self { users, close }
    }

    fn judge<'a>(&'a self, address: Address<'a>, wanted: UserKind) -> Party<'a> {
        let (text, place) = match address {
            Address::Blank => return Party::Blank,
            Address::Invalid(text) => return Party::Invalid(text),
            Address::Asked(text, place) => (text, place as usize),
        };
        let users = self.users.get(place).map_or(&[][..], Vec::as_slice);
        let mut usable = users.iter().filter(|user| user.status != UserStatus::Disabled);
        let user = match (usable.next(), usable.count()) {
            (Some(user), 0) => user,
            (Some(_), more) => return Party::Ambiguous(text, more + 1),
            (None, _) => match users {
                [] => return Party::Unknown(text, self.close.get(place).map_or(&[][..], Vec::as_slice)),
                [user] => user,
                several => return Party::Ambiguous(text, several.len()),
            },
        };
        if user.status != UserStatus::Active {
            Party::NotActive(text, user)
        } else if user.kind != wanted {
            Party::WrongType(text, user)
        } else if !user.may_register_deals {
            Party::NoPermission(text, user)
        } else {
            Party::Valid(user)
        }
    }
}

/// Code, message, fix.
type Fault = (&'static str, String, String);

struct Codes {
    invalid: &'static str,
    unknown: &'static str,
    not_active: &'static str,
    wrong_type: &'static str,
    no_permission: &'static str,
    ambiguous: &'static str,
}

/// Puts a filled but wrong address into words.
fn fault(party: &Party<'_>, codes: &Codes, label: &str, word: &str, title: &str, other_type: &str) -> Fault {
    match party {
        Party::Unknown(email, close) => (
            codes.unknown,
            format!("No portal user has {}.", shown(email)),
            match close {
                [] => "Invite the user or correct the address.".to_owned(),
                close => {
                    format!("Invite the user or correct the address. Close matches: {}.", close.join(", "))
                }
            },
        ),
        Party::NotActive(email, user) => {
            let (status, fix) = match user.status {
                UserStatus::Pending => ("pending", "Re-send the invitation.".to_owned()),
                UserStatus::Inactive => ("inactive", format!("Reactivate {}.", organisation(user))),
                UserStatus::Disabled => ("disabled", "Enable the user.".to_owned()),
                UserStatus::Active => ("active", String::new()),
            };
            (codes.not_active, format!("{} exists but is {status}.", shown(email)), fix)
        }
        Party::WrongType(email, user) => {
            let kind = match user.kind {
                UserKind::Internal => "an internal",
                UserKind::Partner => "a partner",
                UserKind::Distributor => "a distributor",
            };
            // Only a user of the other side could own the deal the other way round.
            let other_type = if user.kind == UserKind::Internal { "" } else { other_type };
            (
                codes.wrong_type,
                format!("{} is {kind} user; a {title} user is needed.", shown(email)),
                format!("Use a {word} user{other_type}."),
            )
        }
        Party::NoPermission(email, user) => (
            codes.no_permission,
            match user.group.as_str() {
                "" => format!("{} may not own deals: no group gives Deal Registration.", shown(email)),
                group => format!(
                    "{} may not own deals: group {} lacks Deal Registration.",
                    shown(email),
                    shown(group)
                ),
            },
            "Give the group the permission or move the user.".to_owned(),
        ),
        Party::Ambiguous(email, count) => (
            codes.ambiguous,
            format!("{count} users have {}.", shown(email)),
            "Merge or disable the extra users.".to_owned(),
        ),
        Party::Invalid(text) => invalid(codes.invalid, text, label),
        // Never asked for: blanks have words of their own, and valid is no fault.
        Party::Blank | Party::Valid(_) => invalid(codes.invalid, "", label),
    }
}

fn invalid(code: &'static str, text: &str, label: &str) -> Fault {
    (
        code,
        format!("{} is not an email address.", quoted(text)),
        format!("Correct {label}; one address only."),
    )
}

fn organisation(user: &User) -> &str {
    if user.organisation_name.is_empty() { &user.organisation } else { &user.organisation_name }
}
