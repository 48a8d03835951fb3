//! The demo org: a channel business whose opportunities come from partners and
//! distributors, some of them not yet fit to import.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::load::{self, LoadError};
use crate::org::{Edit, Org};
use crate::rows::Cell;
use crate::when;

pub const ORG_TOML: &str = include_str!("../orgs/demo/org.toml");

/// The portal's side: users the rows need, with the columns of a user import.
pub const USERS_CSV: &str = include_str!("../orgs/demo/users.csv");

/// The rows, as files of the loader.
pub const FILES: [(&str, &str); 4] = [
    ("Account.csv", include_str!("../orgs/demo/data/Account.csv")),
    ("Contact.csv", include_str!("../orgs/demo/data/Contact.csv")),
    ("Opportunity.csv", include_str!("../orgs/demo/data/Opportunity.csv")),
    ("OpportunityContactRole.csv", include_str!("../orgs/demo/data/OpportunityContactRole.csv")),
];

/// What can be done from outside while it runs.
pub const CONTROL_HELP: &str = crate::http::control::HELP;

/// Loads the demo's rows; another seed than 0 shuffles them.
pub fn fill(org: &mut Org, seed: u64) -> Result<(), LoadError> {
    load::texts(org, &FILES)?;
    shuffle(org, seed);
    Ok(())
}

/// A change the shuffle made to a named opportunity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub opportunity: String,
    pub what: String,
}

/// Gives flagged opportunities other amounts, dates and partners, mends some of those
/// with a defect and breaks some without. The same seed over the same rows makes the
/// same org; seed 0 changes nothing. Returns what it mended and broke.
pub fn shuffle(org: &mut Org, seed: u64) -> Vec<Change> {
    if seed == 0 {
        return Vec::new();
    }
    let mut dice = Dice(seed);
    let at = org.schema.find("Opportunity").expect("shipped");
    let flagged: Vec<u32> = (0..org.tables[at].len())
        .filter(|row| org.tables[at].live(*row) && org.named(at, *row, IMPORT_FLAG).is_true())
        .collect();
    let partners = common_partners(org, at, &flagged);
    if partners.is_empty() {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for row in flagged {
        let mut fields = Map::new();
        if let Some(amount) = org.named(at, row, "Amount").as_num() {
            let amount = amount * (0.5 + dice.share() * 1.5);
            fields.insert("Amount".to_owned(), ((amount * 100.0).round() / 100.0).into());
        }
        if let Cell::Date(days) = *org.named(at, row, "CloseDate") {
            let days = days - 30 + dice.below(120) as i32;
            fields.insert("CloseDate".to_owned(), when::date_text(days).into());
        }
        let partner = org.named(at, row, PARTNER).as_text().unwrap_or_default().to_owned();
        let usual = partners.contains(&partner);
        if usual {
            fields.insert(PARTNER.to_owned(), partners[dice.below(partners.len())].as_str().into());
        }
        let what = if usual { break_it(org, at, row, &mut fields, &mut dice) } else { None };
        let what = what.or_else(|| mend_it(org, at, row, &mut fields, &mut dice, &partners));
        let stamp = match org.named(at, row, "SystemModstamp") {
            Cell::Stamp(stamp) => Some(*stamp),
            _ => None,
        };
        let edit = Edit { actor: org.admin, api: false, stamp };
        let id = org.tables[at].id(row);
        org.update(at, id, &fields, &edit).expect("values of their field's type");
        if let Some(what) = what {
            let opportunity = org.named(at, row, "Name").as_text().unwrap_or_default().to_owned();
            changes.push(Change { opportunity, what: what.to_owned() });
        }
    }
    changes
}

const IMPORT_FLAG: &str = "Export_to_Portal_Deal__c";
const SYNC_FLAG: &str = "Sync_with_Portal__c";
const PARTNER: &str = "Portal_Partner_Email__c";
const OWNER_TYPE: &str = "Deal_Owner_Type__c";

/// Addresses that own several opportunities: those of partners nothing is wrong with.
fn common_partners(org: &Org, at: usize, rows: &[u32]) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        if let Some(partner) = org.named(at, *row, PARTNER).as_text() {
            *counts.entry(partner).or_default() += 1;
        }
    }
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(partner, _)| partner.to_owned()).collect()
}

/// Gives one in nine a defect.
fn break_it(
    org: &mut Org,
    at: usize,
    row: u32,
    fields: &mut Map<String, Value>,
    dice: &mut Dice,
) -> Option<&'static str> {
    if dice.below(9) > 0 || !org.named(at, row, SYNC_FLAG).is_true() {
        return None;
    }
    let (field, value, what) = match dice.below(7) {
        0 => ("Amount", Value::Null, "Amount emptied"),
        1 => (PARTNER, Value::Null, "partner address emptied"),
        2 => (PARTNER, "someone@nowhere.example".into(), "partner address of nobody"),
        3 => (PARTNER, "not an address".into(), "partner address is none"),
        4 => (SYNC_FLAG, false.into(), "sync flag off"),
        5 => (OWNER_TYPE, "House account".into(), "owner type unknown"),
        _ => ("AccountId", Value::Null, "account taken away"),
    };
    fields.insert(field.to_owned(), value);
    Some(what)
}

/// Mends two in five of the defects that are easily seen.
fn mend_it(
    org: &Org,
    at: usize,
    row: u32,
    fields: &mut Map<String, Value>,
    dice: &mut Dice,
    partners: &[String],
) -> Option<&'static str> {
    if dice.below(5) > 1 {
        return None;
    }
    let partner = org.named(at, row, PARTNER).as_text().unwrap_or_default();
    if !partners.iter().any(|own| own.eq_ignore_ascii_case(partner)) {
        fields.insert(PARTNER.to_owned(), partners[dice.below(partners.len())].as_str().into());
        return Some("partner address replaced");
    }
    if *org.named(at, row, "Amount") == Cell::Null {
        fields.insert("Amount".to_owned(), 12_345.67.into());
        return Some("Amount filled");
    }
    if !org.named(at, row, SYNC_FLAG).is_true() {
        fields.insert(SYNC_FLAG.to_owned(), true.into());
        return Some("sync flag on");
    }
    None
}

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Portal users for a generated org.
pub fn generated_users(partners: usize) -> String {
    let mut csv =
        "email,first,last,type,status,organisation,group,deal_registration,external_id\n".to_owned();
    for number in 1..=partners.max(1) {
        let email = crate::generate::partner_email(number);
        csv.push_str(&format!(
            "{email},Partner,{number:04},partner,active,Partner {number:04} Ltd,Partners,yes,P{number:04}\n"
        ));
    }
    csv
}
