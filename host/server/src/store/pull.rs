//! What the import asks before it plans a page: links, what was set aside, and
//! which accounts and contacts the owners already have.

use std::collections::{HashMap, HashSet};

use dealsync_core::ids::{AccountId, ContactId, DealId, SfId, UserId};
use dealsync_core::link::{Link, LinkState, RemoteObject, Tombstone};
use dealsync_core::matching::Shelves;
use dealsync_core::plan::{SetAside, Stored, StoredDeal};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::sqlite::values::{aside_kind_at, blob, link_state_at, object_at, reasons_from, sf_id_at, uuid_at};
use super::{StoreError, TenantInner, TenantStore, Work};

/// What one record of a page may need of its owner. Keys are the normalised name
/// and address (`matching::normal_name`, `people::normal_email`); a blank key
/// adopts nothing.
#[derive(Debug, Clone)]
pub struct ShelfKey {
    pub owner: UserId,
    pub account: SfId,
    pub account_key: String,
    pub contact: SfId,
    pub contact_key: String,
}

impl TenantStore {
    /// What is known of each record, in the order asked. `deal` and
    /// `converted_from` are left empty: few records need them.
    pub async fn facts(&self, org: SfId, ids: &[SfId]) -> Result<Vec<Stored>, StoreError> {
        let ids = ids.to_vec();
        self.look_up(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else {
                return Ok(ids.iter().map(|_| Stored::default()).collect());
            };
            let mut facts = Facts::new(connection, org)?;
            ids.iter().map(|id| facts.of(*id)).collect()
        })
        .await
    }

    /// The values of the deals that are to be merged with Salesforce's.
    pub async fn deals_for(&self, ids: &[DealId]) -> Result<HashMap<DealId, StoredDeal>, StoreError> {
        let ids = ids.to_vec();
        self.look_up(move |_, connection| {
            let mut statement =
                connection.prepare_cached("SELECT fields, updated_at FROM deal WHERE id = ?1")?;
            let mut deals = HashMap::with_capacity(ids.len());
            for id in ids {
                let deal = statement
                    .query_row([blob(id.0)], |row| {
                        Ok(StoredDeal { fields: row.get(0)?, updated_at: row.get(1)? })
                    })
                    .optional()?;
                deals.extend(deal.map(|deal| (id, deal)));
            }
            Ok(deals)
        })
        .await
    }

    /// What the owners of a page already have, as far as its records ask.
    pub async fn shelves(&self, org: SfId, keys: Vec<ShelfKey>) -> Result<Shelves, StoreError> {
        self.look_up(move |tenant, connection| shelves(connection, tenant.org(connection, org)?, &keys)).await
    }

    /// Every link of an org, for finding what vanished.
    pub async fn links(&self, org: SfId) -> Result<Vec<(SfId, LinkState, RemoteObject)>, StoreError> {
        self.on(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else { return Ok(Vec::new()) };
            let mut statement =
                connection.prepare_cached("SELECT sf_id, state, object FROM link WHERE org = ?1")?;
            let rows = statement.query_map([org], |row| {
                Ok((sf_id_at(row, 0)?, link_state_at(row, 1)?, object_at(row, 2)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many records of an org are linked and in scope.
    pub async fn linked_count(&self, org: SfId) -> Result<u64, StoreError> {
        self.on(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else { return Ok(0) };
            let count: i64 = connection
                .prepare_cached("SELECT COUNT(*) FROM link WHERE org = ?1 AND state = 'linked'")?
                .query_row([org], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
        .await
    }

    /// Links that are still to a Lead, which may be converted any time.
    pub async fn lead_links(&self, org: SfId) -> Result<Vec<Link>, StoreError> {
        self.on(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(
                "SELECT sf_id, deal, owner, object, state, modstamp, base, base_source
                 FROM link WHERE org = ?1 AND object = 'Lead'",
            )?;
            let links = statement.query_map([org], link_at)?.collect::<Result<_, _>>()?;
            Ok(links)
        })
        .await
    }

    pub async fn has_lead_links(&self, org: SfId) -> Result<bool, StoreError> {
        self.on(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else { return Ok(false) };
            exists(connection, "SELECT EXISTS (SELECT 1 FROM link WHERE org = ?1 AND object = 'Lead')", org)
        })
        .await
    }
}

impl TenantInner {
    /// The short number of an org, where anything was ever stored of it.
    pub(super) fn org(&self, connection: &Connection, org: SfId) -> Work<Option<i64>> {
        let key = connection
            .prepare_cached("SELECT key FROM org WHERE sf_id = ?1")?
            .query_row([org.as_str()], |row| row.get::<_, i64>(0))
            .optional()?;
        Ok(key)
    }

    /// As [`TenantInner::org`], giving the org a number if it has none.
    pub(super) fn org_or_new(&self, connection: &Connection, org: SfId) -> Work<i64> {
        if let Some(key) = self.org(connection, org)? {
            return Ok(key);
        }
        connection.execute("INSERT INTO org (sf_id) VALUES (?1)", [org.as_str()])?;
        Ok(connection.last_insert_rowid())
    }
}

pub(super) fn exists(connection: &Connection, sql: &str, org: i64) -> Work<bool> {
    Ok(connection.prepare_cached(sql)?.query_row([org], |row| row.get(0))?)
}

/// The look-ups of a page. Tables in which nothing is are not asked once per record.
struct Facts<'c> {
    org: i64,
    link: Option<CachedStatement<'c>>,
    tombstone: Option<CachedStatement<'c>>,
    aside: Option<CachedStatement<'c>>,
}

impl<'c> Facts<'c> {
    fn new(connection: &'c Connection, org: i64) -> Work<Self> {
        let if_any = |any: &str, sql: &str| -> Work<Option<CachedStatement<'c>>> {
            Ok(if exists(connection, any, org)? { Some(connection.prepare_cached(sql)?) } else { None })
        };
        Ok(Self {
            org,
            link: if_any(
                "SELECT EXISTS (SELECT 1 FROM link WHERE org = ?1)",
                "SELECT sf_id, deal, owner, object, state, modstamp, base, base_source
                 FROM link WHERE org = ?1 AND sf_id = ?2",
            )?,
            tombstone: if_any(
                "SELECT EXISTS (SELECT 1 FROM tombstone WHERE org = ?1)",
                "SELECT by, at FROM tombstone WHERE org = ?1 AND sf_id = ?2",
            )?,
            aside: if_any(
                "SELECT EXISTS (SELECT 1 FROM set_aside WHERE org = ?1)",
                "SELECT kind, reasons FROM set_aside WHERE org = ?1 AND sf_id = ?2",
            )?,
        })
    }

    fn of(&mut self, id: SfId) -> Work<Stored> {
        let key = params![self.org, id.as_str()];
        let mut stored = Stored::default();
        if let Some(statement) = &mut self.link {
            stored.link = statement.query_row(key, link_at).optional()?;
        }
        if let Some(statement) = &mut self.tombstone {
            stored.tombstone = statement
                .query_row(key, |row| Ok(Tombstone { sf_id: id, by: row.get(0)?, at: row.get(1)? }))
                .optional()?;
        }
        if let Some(statement) = &mut self.aside {
            stored.set_aside = statement
                .query_row(key, |row| {
                    let reasons = reasons_from(row.get_ref(1)?.as_str()?);
                    Ok(SetAside { kind: aside_kind_at(row, 0)?, reasons })
                })
                .optional()?;
        }
        Ok(stored)
    }
}

fn link_at(row: &Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        sf_id: sf_id_at(row, 0)?,
        deal: DealId(uuid_at(row, 1)?),
        owner: UserId(uuid_at(row, 2)?),
        object: object_at(row, 3)?,
        state: link_state_at(row, 4)?,
        modstamp: row.get(5)?,
        base: row.get(6)?,
        base_source: row.get(7)?,
    })
}

fn shelves(connection: &Connection, org: Option<i64>, keys: &[ShelfKey]) -> Work<Shelves> {
    let mut shelves = Shelves::default();
    let accounts = keys.iter().map(|key| (key.owner, key.account, key.account_key.as_str()));
    Shelving {
        connection,
        org,
        by_sf_id: "SELECT id FROM account WHERE owner = ?1 AND sf_id = ?2 AND org = ?3",
        any_unlinked: "SELECT EXISTS (SELECT 1 FROM account WHERE sf_id IS NULL)",
        unlinked: "SELECT id FROM account WHERE owner = ?1 AND name_key = ?2 AND sf_id IS NULL",
    }
    .fill(
        accounts,
        |shelves, owner, sf_id, id| shelves.accounts.put_known(owner, sf_id, AccountId(id)),
        |shelves, owner, key, id| shelves.accounts.put_unlinked(owner, key, AccountId(id)),
        &mut shelves,
    )?;
    let contacts = keys.iter().map(|key| (key.owner, key.contact, key.contact_key.as_str()));
    Shelving {
        connection,
        org,
        by_sf_id: "SELECT id FROM contact WHERE owner = ?1 AND sf_id = ?2 AND org = ?3",
        any_unlinked: "SELECT EXISTS (SELECT 1 FROM contact WHERE sf_id IS NULL)",
        unlinked: "SELECT id FROM contact WHERE owner = ?1 AND email_key = ?2 AND sf_id IS NULL",
    }
    .fill(
        contacts,
        |shelves, owner, sf_id, id| shelves.contacts.put_known(owner, sf_id, ContactId(id)),
        |shelves, owner, key, id| shelves.contacts.put_unlinked(owner, key, ContactId(id)),
        &mut shelves,
    )?;
    Ok(shelves)
}

struct Shelving<'c> {
    connection: &'c Connection,
    org: Option<i64>,
    by_sf_id: &'static str,
    any_unlinked: &'static str,
    unlinked: &'static str,
}

impl Shelving<'_> {
    fn fill<'k>(
        &self,
        wanted: impl Iterator<Item = (UserId, SfId, &'k str)>,
        put_known: impl Fn(&mut Shelves, UserId, SfId, uuid::Uuid),
        put_unlinked: impl Fn(&mut Shelves, UserId, String, uuid::Uuid),
        shelves: &mut Shelves,
    ) -> Work<()> {
        let mut by_sf_id = self.connection.prepare_cached(self.by_sf_id)?;
        let any_unlinked: bool =
            self.connection.prepare_cached(self.any_unlinked)?.query_row([], |row| row.get(0))?;
        let mut unlinked = self.connection.prepare_cached(self.unlinked)?;
        let mut asked_ids = HashSet::new();
        let mut asked_keys = HashSet::new();
        for (owner, sf_id, key) in wanted {
            if let Some(org) = self.org
                && asked_ids.insert((owner, sf_id))
            {
                let id = by_sf_id
                    .query_row(params![blob(owner.0), sf_id.as_str(), org], |row| uuid_at(row, 0))
                    .optional()?;
                if let Some(id) = id {
                    put_known(shelves, owner, sf_id, id);
                }
            }
            if any_unlinked && !key.is_empty() && asked_keys.insert((owner, key)) {
                let ids = unlinked.query_map(params![blob(owner.0), key], |row| uuid_at(row, 0))?;
                for id in ids {
                    put_unlinked(shelves, owner, key.to_owned(), id?);
                }
            }
        }
        Ok(())
    }
}
