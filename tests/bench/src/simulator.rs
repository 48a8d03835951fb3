//! The simulator in its process, and what it counted.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Partner users that own the Opportunities.
pub const PARTNERS: usize = 50;
const PROGRAM: &str = "dealsync-salesforce-sim";
/// Objects whose pages an import cannot do without.
const PAGED: [&str; 3] = ["Opportunity", "OpportunityContactRole", "Contact"];

/// An org with so many Opportunities. Dropping it ends it.
#[derive(Debug)]
pub struct Simulator {
    process: Child,
    pub url: String,
}

impl Simulator {
    /// Starts one and waits until it listens. Writes the users its rows need to a
    /// CSV file.
    pub fn start(opportunities: usize, users: &Path) -> Result<Self> {
        let mut process = Command::new(program()?)
            .args(["--port", "0", "--generate", &opportunities.to_string()])
            .args(["--partners", &PARTNERS.to_string(), "--users"])
            .arg(users)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("the simulator cannot be started")?;
        let mut first = String::new();
        let output = process.stdout.take().context("the output is piped")?;
        BufReader::new(output).read_line(&mut first)?;
        let url = first.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned);
        let Some(url) = url else {
            let _ = process.kill();
            let _ = process.wait();
            bail!("the simulator did not start; its first line was {first:?}");
        };
        Ok(Self { process, url })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It holds nothing that is worth a gentle end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> Result<PathBuf> {
    let here = std::env::current_exe().context("this program cannot find itself")?;
    let program = here.with_file_name(PROGRAM);
    if !program.is_file() {
        bail!("{} is missing\nhint: `cargo xtask bench` builds it", program.display());
    }
    Ok(program)
}

/// What an org was asked, counted on its own side.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Tally {
    /// Every request, log-ins included.
    pub total: u64,
    #[serde(default)]
    pub pages: BTreeMap<String, u64>,
}

impl Tally {
    /// Reads it.
    pub async fn read(url: &str) -> Result<Self> {
        let answer = reqwest::get(format!("{url}/__sim/requests")).await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }

    /// Requests since an earlier count.
    pub fn since(&self, earlier: &Self) -> u64 {
        self.total - earlier.total
    }

    /// Requests since an earlier count that brought no page of records.
    pub fn over_pages_since(&self, earlier: &Self) -> u64 {
        self.since(earlier) - (self.pages() - earlier.pages())
    }

    fn pages(&self) -> u64 {
        PAGED.iter().filter_map(|object| self.pages.get(*object)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_records_are_not_counted_against_an_import() {
        let tally = |json: &str| serde_json::from_str::<Tally>(json).unwrap();
        let before = tally(r#"{"total": 1, "pages": {}, "counted": 1}"#);
        let after = tally(r#"{"total": 9, "pages": {"Opportunity": 2, "Contact": 2, "Organization": 1}}"#);
        assert_eq!(after.since(&before), 8);
        assert_eq!(after.over_pages_since(&before), 4);
    }
}
