//! The demo org: a channel business whose opportunities come from partners and
//! distributors, some of them not yet fit to import.

use crate::Org;
use crate::load::{self, LoadError};

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

/// Shuffles.
pub fn shuffle(_org: &mut Org, _seed: u64) {}

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
