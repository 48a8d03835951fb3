//! The hidden command `bare`, the baseline of an import: what is left of one when
//! nothing is mapped, judged, matched or resumed. It asks the same questions,
//! parses into typed structs and stores as many rows of the same kind, in a file
//! with the same tables and settings, one transaction a page, statements prepared
//! once. It does one thing after the other.

mod org;
mod rows;

use std::path::Path;

use anyhow::{Result, ensure};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use self::org::Org;
use self::rows::Rows;
use crate::measure::{self, Cost, Stopwatch};
use crate::{option, world};

pub const COMMAND: &str = "bare";

/// What stands beside the ratio.
pub const DESCRIPTION: &str = "bare loop: reqwest (one connection kept alive, gzip as in the import), serde_json into \
typed structs, rusqlite with prepared inserts into the import's own tables and indexes (account, contact, deal, link, \
outbox), WAL, synchronous=NORMAL, one transaction a page; no rules, no look-ups, no overlap";

/// What the process has to say in the end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bare {
    pub cost: Cost,
    /// Of the whole process.
    pub peak_mib: f64,
    pub pages: u64,
    pub rows: RowCounts,
}

/// Rows of the tables that an import fills.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    pub deal: u64,
    pub account: u64,
    pub contact: u64,
    pub link: u64,
    pub outbox: u64,
}

impl RowCounts {
    fn of(connection: &Connection) -> Result<Self> {
        let count = |table: &str| -> Result<u64> {
            let count: i64 =
                connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
            Ok(count as u64)
        };
        Ok(Self {
            deal: count("deal")?,
            account: count("account")?,
            contact: count("contact")?,
            link: count("link")?,
            outbox: count("outbox")?,
        })
    }
}

/// Fails where an import wrote another number of rows than the bare loop: the
/// comparison would not be fair.
pub fn expect_same_rows(file: &Path, bare: &RowCounts) -> Result<()> {
    let import = RowCounts::of(&Connection::open(file)?)?;
    ensure!(import == *bare, "the import stored {import:?}, the bare loop {bare:?}");
    Ok(())
}

/// `bare --data DIR --url URL --users CSV`
pub fn main(args: &[String]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let users = world::users(Path::new(option(args, "--users")?))?;
    let mut rows = Rows::open(&Path::new(option(args, "--data")?).join("bare.db"), &users)?;
    let stopwatch = Stopwatch::start()?;
    let pages = runtime.block_on(pull(option(args, "--url")?, &mut rows))?;
    let cost = stopwatch.stop()?;
    let bare = Bare { cost, peak_mib: measure::peak_mib()?, pages, rows: RowCounts::of(&rows.connection)? };
    println!("{}", serde_json::to_string(&bare)?);
    Ok(())
}

async fn pull(url: &str, rows: &mut Rows) -> Result<u64> {
    let org = Org::log_in(url).await?;
    let mut pages = 0;
    let mut page = Some(org.first().await?);
    while let Some(fetched) = page {
        let contacts = org.contacts(&fetched).await?;
        rows.store(&fetched, &contacts)?;
        pages += 1;
        page = match &fetched.next_records_url {
            Some(next) => Some(org.next(next).await?),
            None => None,
        };
    }
    Ok(pages)
}
