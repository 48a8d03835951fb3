//! The near side: the import's own tables, filled without asking any questions.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use dealsync_core::value::parse_timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use uuid::Uuid;

use super::org::{Contact, Opportunity, Page};
use crate::world::{self, UserLine};

/// The same tables and indexes: whatever an import pays for them is paid here too.
const TABLES: &str = include_str!("../../../../host/server/src/store/migrations/tenant/0001.sql");
/// The same settings as `store/sqlite/open.rs` makes.
const PRAGMAS: &str = "PRAGMA page_size = 8192; PRAGMA journal_mode = wal; PRAGMA synchronous = normal;
PRAGMA foreign_keys = on; PRAGMA temp_store = memory; PRAGMA cache_size = -8192;
PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 16384000;";
const ORG_KEY: i64 = 1;
/// When everything was written: a bare loop has no clock either.
const NOW: i64 = 1_790_000_000_000_000;

/// A database that is being filled.
pub struct Rows {
    pub connection: Connection,
    users: HashMap<String, Uuid>,
    next: u64,
}

/// What an import keeps of an Opportunity as the deal's fields.
#[derive(Serialize)]
struct Fields<'a> {
    name: &'a str,
    amount: Option<f64>,
    close_date: Option<&'a str>,
    stage: Option<&'a str>,
    contact_first_name: Option<&'a str>,
    contact_last_name: &'a str,
    contact_email: Option<&'a str>,
    contact_phone: Option<&'a str>,
    account_name: &'a str,
    description: Option<&'a str>,
    next_step: Option<&'a str>,
    lead_source: Option<&'a str>,
    deal_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    forecast: Option<&'a str>,
    currency: &'a str,
}

impl Rows {
    pub fn open(file: &Path, users: &[UserLine]) -> Result<Self> {
        let connection = Connection::open(file)?;
        connection.execute_batch(PRAGMAS)?;
        connection.execute_batch(TABLES)?;
        connection.execute("INSERT INTO org (key, sf_id) VALUES (?1, '00D000000000000AAA')", [ORG_KEY])?;
        let mut ids = HashMap::new();
        for (number, user) in users.iter().enumerate() {
            let id = world::id(1, number as u64);
            connection.execute(
                "INSERT INTO user (id, email, email_norm, first_name, last_name, kind, status, organisation,
                    group_name, may_register_deals, external_id, created_at)
                 VALUES (?1, ?2, ?2, ?3, ?4, 'partner', 'active', ?5, ?6, 1, ?7, ?8)",
                params![
                    id.as_bytes(),
                    user.email,
                    user.first,
                    user.last,
                    user.organisation,
                    user.group,
                    user.external_id,
                    NOW
                ],
            )?;
            ids.insert(user.email.clone(), id);
        }
        Ok(Self { connection, users: ids, next: 0 })
    }

    /// Stores a page in one transaction.
    pub fn store(&mut self, page: &Page, contacts: &[Contact]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut account = transaction.prepare_cached(
                "INSERT INTO account (id, owner, org, sf_id, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let mut person = transaction.prepare_cached(
                "INSERT INTO contact (id, owner, account, org, sf_id, first_name, last_name, email, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            let mut deal = transaction.prepare_cached(
                "INSERT INTO deal (id, owner, partner, account, contact, status, source, created_at, created_run,
                    sf_created_at, updated_at, fields)
                 VALUES (?1, ?2, ?2, ?3, ?4, 'registered', 'imported', ?5, ?6, ?7, ?8, ?9)",
            )?;
            let mut link = transaction.prepare_cached(
                "INSERT INTO link (org, sf_id, deal, owner, object, state, modstamp, base, base_source)
                 VALUES (?1, ?2, ?3, ?4, 'Opportunity', 'linked', ?5, ?6, ?7)",
            )?;
            let mut outbox = transaction.prepare_cached(
                "INSERT INTO outbox (id, kind, deal, user, created_at, due_at, attempts, state)
                 VALUES (?1, 'deal-imported', ?1, ?2, ?3, ?3, 0, 'pending')",
            )?;
            for (row, contact) in page.records.iter().zip(contacts) {
                self.next += 1;
                let (account_id, contact_id, deal_id) =
                    (world::id(2, self.next), world::id(3, self.next), world::id(4, self.next));
                let email = row.partner_email.as_deref().unwrap_or_default();
                let owner = self.users.get(email).context("every partner is a user")?.as_bytes();
                let account_name = row.account.as_ref().map_or("", |account| account.name.as_str());
                let modstamp = parse_timestamp(&row.system_modstamp).context("a stamp")?;
                let created = parse_timestamp(&row.created_date).context("a stamp")?;
                let (fields, source) = texts(row, contact, account_name)?;
                account.execute(params![
                    account_id.as_bytes(),
                    owner,
                    ORG_KEY,
                    row.account_id,
                    account_name,
                    NOW
                ])?;
                person.execute(params![
                    contact_id.as_bytes(),
                    owner,
                    account_id.as_bytes(),
                    ORG_KEY,
                    contact.id,
                    contact.first_name.as_deref().unwrap_or_default(),
                    contact.last_name,
                    contact.email.as_deref().unwrap_or_default(),
                    NOW
                ])?;
                deal.execute(params![
                    deal_id.as_bytes(),
                    owner,
                    account_id.as_bytes(),
                    contact_id.as_bytes(),
                    NOW,
                    world::id(5, 0).as_bytes(),
                    created,
                    modstamp,
                    fields
                ])?;
                link.execute(params![ORG_KEY, row.id, deal_id.as_bytes(), owner, modstamp, fields, source])?;
                outbox.execute(params![deal_id.as_bytes(), owner, NOW])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// The deal's fields, and what was read, each as text.
fn texts(row: &Opportunity, contact: &Contact, account_name: &str) -> Result<(String, String)> {
    let fields = Fields {
        name: &row.name,
        amount: row.amount,
        close_date: row.close_date.as_deref(),
        stage: row.stage_name.as_deref(),
        contact_first_name: contact.first_name.as_deref(),
        contact_last_name: &contact.last_name,
        contact_email: contact.email.as_deref(),
        contact_phone: contact.phone.as_deref(),
        account_name,
        description: row.description.as_deref(),
        next_step: row.next_step.as_deref(),
        lead_source: row.lead_source.as_deref(),
        deal_type: row.kind.as_deref(),
        region: row.region.as_deref(),
        forecast: row.forecast_category_name.as_deref(),
        currency: "USD",
    };
    let deal = serde_json::to_string(&fields)?;
    Ok((deal.clone(), deal))
}
