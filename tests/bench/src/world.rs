//! The tenant that is measured: the example's settings and the generated users.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use dealsync::tenants::Apply;

pub const TENANT: &str = "acme";
/// The example's settings, so that the benches measure what the demo shows.
pub const SETTINGS: &str = include_str!("../../../examples/tenants/acme/tenant.toml");
/// Where the example logs in; the simulator takes its place.
const LOGIN: &str = "https://acme.my.salesforce.com";
pub const CLIENT_ID: &str = "dealsync";
/// What the simulated org's connected app knows.
pub const CLIENT_SECRET: &str = "demo-secret";
const SECRET_VARIABLE: &str = "ACME_SALESFORCE_SECRET";

/// The settings as `tenant apply` takes them.
pub fn apply(url: &str) -> Result<Apply> {
    ensure!(SETTINGS.contains(LOGIN), "the example's settings do not log in at {LOGIN} any more");
    Ok(Apply {
        toml: SETTINGS.replace(LOGIN, url),
        files: BTreeMap::new(),
        env: BTreeMap::from([(SECRET_VARIABLE.to_owned(), CLIENT_SECRET.to_owned())]),
        actor: "bench".to_owned(),
    })
}

/// One row of the simulator's file of users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserLine {
    pub email: String,
    pub first: String,
    pub last: String,
    pub organisation: String,
    pub group: String,
    pub external_id: String,
}

/// Reads that file. It is the simulator's own and quotes nothing.
pub fn users(path: &Path) -> Result<Vec<UserLine>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    text.lines().skip(1).map(user).collect()
}

fn user(line: &str) -> Result<UserLine> {
    let cells: Vec<&str> = line.split(',').collect();
    let [email, first, last, "partner", "active", organisation, group, "yes", external_id] = cells[..] else {
        anyhow::bail!("{line:?} is no active partner of the simulator's");
    };
    let own = str::to_owned;
    Ok(UserLine {
        email: own(email),
        first: own(first),
        last: own(last),
        organisation: own(organisation),
        group: own(group),
        external_id: own(external_id),
    })
}

/// A 16-byte id that grows with its number, as those of an import do.
pub fn id(kind: u8, number: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(u128::from(kind) << 120 | u128::from(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_simulators_users_are_understood() {
        let line = "partner-0001@example.com,Partner,0001,partner,active,Partner 0001 Ltd,Partners,yes,P0001";
        assert_eq!(user(line).unwrap().organisation, "Partner 0001 Ltd");
        assert!(user("a@b.example,A,B,distributor,active,C,D,yes,E").is_err());
    }

    #[test]
    fn the_example_logs_in_at_the_simulator() {
        let apply = apply("http://127.0.0.1:9").unwrap();
        assert!(apply.toml.contains("login_url = \"http://127.0.0.1:9\""));
    }
}
