//! Deals as people see them: the list, one deal with all about it, and what a
//! person may do to one.

use dealsync_core::deal::{Values, decode_row};
use dealsync_core::ids::{AccountId, ContactId, DealId, RunId, SfId, UserId};
use dealsync_core::link::{LinkState, RemoteObject};
use dealsync_core::plan::FieldChange;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params, params_from_iter};
use serde_json::json;
use uuid::Uuid;

use super::sqlite::values::{
    blob, link_state_at, maybe_sf_id_at, maybe_uuid_at, named_at, object_at, uuid_at,
};
use super::{StoreError, TenantStore, Work, log};

/// Deals on one page of the list.
const DEALS_MAX: usize = 1_000;
const CHANGES_MAX: i64 = 1_000;

/// Somebody, or something, by id and as shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub id: Uuid,
    pub name: String,
    /// Address of a person.
    pub email: String,
}

/// A deal in the list.
#[derive(Debug, Clone, PartialEq)]
pub struct DealRow {
    pub id: DealId,
    /// Values by field name, as `deal::encode_row` wrote them.
    pub fields: Values,
    pub owner: Named,
    pub partner: Option<Named>,
    pub distributor: Option<Named>,
    pub account: Option<Named>,
    pub contact: Option<Named>,
    pub status: String,
    /// `imported`, or `portal`.
    pub source: String,
    /// The date people sort by.
    pub created_at: i64,
    pub created_run: Option<RunId>,
    pub sf_created_at: Option<i64>,
    pub updated_at: i64,
    pub sf_id: Option<SfId>,
    pub object: Option<RemoteObject>,
    pub link_state: Option<LinkState>,
}

/// One deal, with its link and history.
#[derive(Debug, Clone, PartialEq)]
pub struct DealView {
    pub row: DealRow,
    /// What both sides last agreed on, in the portal's fields.
    pub base: Option<Values>,
    /// The same, in Salesforce's.
    pub base_source: Option<Values>,
    pub account_sf_id: Option<SfId>,
    pub contact_sf_id: Option<SfId>,
    /// Newest first.
    pub changes: Vec<DealChange>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DealChange {
    pub at: i64,
    pub run: Option<RunId>,
    /// The person, where it was one.
    pub actor: Option<String>,
    /// `[{"field", "old", "new", "lost"}, …]`
    pub changes: serde_json::Value,
}

/// Which deals to list; empty means all.
#[derive(Debug, Clone, Default)]
pub struct DealFilter {
    /// Owner, partner or distributor.
    pub user: Option<UserId>,
    pub owner: Option<UserId>,
    pub status: Option<String>,
    pub source: Option<String>,
    pub run: Option<RunId>,
    pub sf_id: Option<SfId>,
    /// Part of the deal's name or the account's.
    pub search: Option<String>,
}

/// Order by created date (S56).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DealOrder {
    #[default]
    NewestFirst,
    OldestFirst,
}

/// Where a page of the list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DealCursor {
    pub created_at: i64,
    pub id: DealId,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DealPage {
    pub deals: Vec<DealRow>,
    /// Where the next page goes on; `None` at the end.
    pub next: Option<DealCursor>,
}

/// Ids for the account and contact a new owner may need.
#[derive(Debug, Clone, Copy)]
pub struct FreshOwner {
    pub account: AccountId,
    pub contact: ContactId,
}

impl TenantStore {
    /// A page of the list of deals, at most `limit` after `after`.
    pub async fn deals(
        &self,
        filter: DealFilter,
        order: DealOrder,
        limit: usize,
        after: Option<DealCursor>,
    ) -> Result<DealPage, StoreError> {
        let limit = limit.clamp(1, DEALS_MAX);
        self.on(move |_, connection| {
            let (direction, beyond) = match order {
                DealOrder::NewestFirst => ("DESC", "<"),
                DealOrder::OldestFirst => ("ASC", ">"),
            };
            // One more than asked tells whether there is a next page.
            let sql = format!(
                "{SELECT_DEAL}
                 WHERE (?1 IS NULL OR d.owner = ?1 OR d.partner = ?1 OR d.distributor = ?1)
                   AND (?2 IS NULL OR d.owner = ?2) AND (?3 IS NULL OR d.status = ?3)
                   AND (?4 IS NULL OR d.source = ?4) AND (?5 IS NULL OR d.created_run = ?5)
                   AND (?6 IS NULL OR l.sf_id = ?6)
                   AND (?7 IS NULL OR instr(lower(COALESCE(d.fields ->> '$.name', '') || ' ' || COALESCE(a.name, '')),
                        lower(?7)) > 0)
                   AND (?8 IS NULL OR (d.created_at, d.id) {beyond} (?8, ?9))
                 ORDER BY d.created_at {direction}, d.id {direction} LIMIT ?10"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(
                params![
                    filter.user.map(|user| blob(user.0)),
                    filter.owner.map(|user| blob(user.0)),
                    filter.status,
                    filter.source,
                    filter.run.map(|run| blob(run.0)),
                    filter.sf_id.as_ref().map(SfId::as_str),
                    filter.search,
                    after.map(|after| after.created_at),
                    after.map(|after| blob(after.id.0)),
                    limit as i64 + 1,
                ],
                deal_at,
            )?;
            let mut deals: Vec<DealRow> = rows.collect::<Result<_, _>>()?;
            let more = deals.len() > limit;
            deals.truncate(limit);
            let last = deals.last().filter(|_| more);
            let next = last.map(|deal| DealCursor { created_at: deal.created_at, id: deal.id });
            Ok(DealPage { deals, next })
        })
        .await
    }

    pub async fn deal_count(&self) -> Result<u64, StoreError> {
        self.on(|_, connection| {
            let count: i64 = connection.query_row("SELECT COUNT(*) FROM deal", [], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
        .await
    }

    /// The deal of an id, or of the Salesforce record it is linked to.
    pub async fn deal(&self, id: DealId) -> Result<DealView, StoreError> {
        self.on(move |_, connection| view(connection, id)).await
    }

    /// The deal a Salesforce record is linked to.
    pub async fn deal_of(&self, sf_id: SfId) -> Result<DealView, StoreError> {
        self.on(move |_, connection| {
            let id = connection
                .query_row("SELECT deal FROM link WHERE sf_id = ?1", [sf_id.as_str()], |row| uuid_at(row, 0))
                .optional()?;
            let missing = || StoreError::NotFound {
                what: "deal linked to the record",
                name: sf_id.to_string(),
                did_you_mean: None,
            };
            view(connection, DealId(id.ok_or_else(missing)?))
        })
        .await
    }

    /// Gives a deal to another user, with the account and contact as that user
    /// has them, or copies of them. The caller has checked that the user may own it.
    pub async fn reown(
        &self,
        deal: DealId,
        owner: UserId,
        fresh: FreshOwner,
        actor: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let actor = actor.to_owned();
        self.change(move |_, transaction| reown(transaction, deal, owner, fresh, &actor, now)).await
    }

    /// Deletes a deal. Its Salesforce record is not imported again until a person
    /// says so; it is left alone itself.
    pub async fn remove_deal(&self, deal: DealId, actor: &str, now: i64) -> Result<(), StoreError> {
        let actor = actor.to_owned();
        self.change(move |_, transaction| {
            bury_link(transaction, deal, &actor, now)?;
            for sql in [
                "DELETE FROM deal_change WHERE deal = ?1",
                "DELETE FROM digest WHERE deal = ?1",
                "DELETE FROM outbox WHERE deal = ?1 AND state = 'pending'",
            ] {
                transaction.execute(sql, [blob(deal.0)])?;
            }
            match transaction.execute("DELETE FROM deal WHERE id = ?1", [blob(deal.0)])? {
                0 => Err(no_deal(deal).into()),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Takes the link from a deal and keeps the deal. As with a removed deal, the
    /// record is not imported again. False where there was no link.
    pub async fn unlink(&self, deal: DealId, actor: &str, now: i64) -> Result<bool, StoreError> {
        let actor = actor.to_owned();
        self.change(move |_, transaction| {
            let unlinked = bury_link(transaction, deal, &actor, now)?;
            if unlinked {
                let change = json!([{ "field": "link", "new": null }]).to_string();
                note(transaction, deal, now, &actor, &change)?;
            }
            Ok(unlinked)
        })
        .await
    }

    /// Lets a record that a person had removed be imported again. False where
    /// nobody had.
    pub async fn allow_again(&self, sf_id: SfId, now: i64) -> Result<bool, StoreError> {
        self.change(move |_, transaction| {
            let gone = transaction.execute("DELETE FROM tombstone WHERE sf_id = ?1", [sf_id.as_str()])? > 0;
            transaction
                .execute("UPDATE set_aside SET due_at = ?2 WHERE sf_id = ?1", params![sf_id.as_str(), now])?;
            Ok(gone)
        })
        .await
    }
}

/// The changes of an update, as the history keeps them.
pub(super) fn changes_text(changes: &[FieldChange]) -> String {
    let changes: Vec<_> = changes
        .iter()
        .map(|change| {
            let mut entry = json!({ "field": change.field, "old": change.old, "new": change.new });
            if let Some(lost) = &change.lost {
                entry["lost"] = lost.clone();
            }
            entry
        })
        .collect();
    serde_json::Value::from(changes).to_string()
}

fn view(connection: &Connection, id: DealId) -> Work<DealView> {
    let row = connection
        .prepare_cached(&format!("{SELECT_DEAL} WHERE d.id = ?1"))?
        .query_row([blob(id.0)], deal_at)
        .optional()?
        .ok_or_else(|| no_deal(id))?;
    let bases = connection
        .prepare_cached("SELECT base, base_source FROM link WHERE deal = ?1")?
        .query_row([blob(id.0)], |row| {
            Ok((decode_row(row.get_ref(0)?.as_str()?), decode_row(row.get_ref(1)?.as_str()?)))
        })
        .optional()?;
    let (account_sf_id, contact_sf_id) = connection
        .prepare_cached(
            "SELECT a.sf_id, c.sf_id FROM deal d LEFT JOIN account a ON a.id = d.account
             LEFT JOIN contact c ON c.id = d.contact WHERE d.id = ?1",
        )?
        .query_row([blob(id.0)], |row| Ok((maybe_sf_id_at(row, 0)?, maybe_sf_id_at(row, 1)?)))?;
    let changes = connection
        .prepare_cached(
            "SELECT at, run, actor, changes FROM deal_change WHERE deal = ?1 ORDER BY at DESC, key DESC LIMIT ?2",
        )?
        .query_map(params![blob(id.0), CHANGES_MAX], |row| {
            Ok(DealChange {
                at: row.get(0)?,
                run: maybe_uuid_at(row, 1)?.map(RunId),
                actor: row.get(2)?,
                changes: named_at(row, 3, |text| serde_json::from_str(text).ok())?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let (base, base_source) = bases.unzip();
    Ok(DealView { row, base, base_source, account_sf_id, contact_sf_id, changes })
}

fn no_deal(id: DealId) -> StoreError {
    StoreError::NotFound { what: "deal", name: id.to_string(), did_you_mean: None }
}

fn reown(
    transaction: &Transaction<'_>,
    deal: DealId,
    owner: UserId,
    fresh: FreshOwner,
    actor: &str,
    now: i64,
) -> Work<()> {
    let (old, account, contact) = transaction
        .query_row("SELECT owner, account, contact FROM deal WHERE id = ?1", [blob(deal.0)], |row| {
            Ok((uuid_at(row, 0)?, maybe_uuid_at(row, 1)?, maybe_uuid_at(row, 2)?))
        })
        .optional()?
        .ok_or_else(|| no_deal(deal))?;
    if old == owner.0 {
        return Ok(());
    }
    let kind: Option<String> = transaction
        .query_row("SELECT kind FROM user WHERE id = ?1", [blob(owner.0)], |row| row.get(0))
        .optional()?;
    let Some(kind) = kind else {
        return Err(StoreError::NotFound { what: "user", name: owner.to_string(), did_you_mean: None }.into());
    };
    let account = match account {
        Some(account) => Some(handed_on(transaction, &ACCOUNTS, account, owner, fresh.account.0, &[])?),
        None => None,
    };
    let contact = match contact {
        Some(contact) => {
            Some(handed_on(transaction, &CONTACTS, contact, owner, fresh.contact.0, &[account])?)
        }
        None => None,
    };
    transaction.execute(
        "UPDATE deal SET owner = ?2, account = ?3, contact = ?4,
                partner = CASE WHEN ?5 = 'partner' THEN ?2 ELSE partner END,
                distributor = CASE WHEN ?5 = 'distributor' THEN ?2 ELSE distributor END
         WHERE id = ?1",
        params![blob(deal.0), blob(owner.0), account.map(blob), contact.map(blob), kind],
    )?;
    transaction
        .execute("UPDATE link SET owner = ?2 WHERE deal = ?1", params![blob(deal.0), blob(owner.0)])?;
    let change = json!([{ "field": "owner", "old": old.to_string(), "new": owner.to_string() }]).to_string();
    note(transaction, deal, now, actor, &change)
}

/// How a table of things owned is looked up and copied.
struct Owned {
    known: &'static str,
    copy: &'static str,
}

const ACCOUNTS: Owned = Owned {
    known: "SELECT mine.id FROM account mine, account theirs
            WHERE theirs.id = ?1 AND mine.owner = ?2 AND mine.sf_id = theirs.sf_id AND mine.org = theirs.org",
    copy: "INSERT INTO account (id, owner, org, sf_id, name, name_key, created_at)
           SELECT ?3, ?2, org, sf_id, name, name_key, created_at FROM account WHERE id = ?1",
};

const CONTACTS: Owned = Owned {
    known: "SELECT mine.id FROM contact mine, contact theirs
            WHERE theirs.id = ?1 AND mine.owner = ?2 AND mine.sf_id = theirs.sf_id AND mine.org = theirs.org",
    copy: "INSERT INTO contact (id, owner, account, org, sf_id, first_name, last_name, email, email_key, created_at)
           SELECT ?3, ?2, ?4, org, sf_id, first_name, last_name, email, email_key, created_at
           FROM contact WHERE id = ?1",
};

/// The new owner's own record of the same Salesforce id, or a copy of the old
/// owner's: nothing is shared across owners.
fn handed_on(
    transaction: &Transaction<'_>,
    owned: &Owned,
    id: Uuid,
    owner: UserId,
    fresh: Uuid,
    more: &[Option<Uuid>],
) -> Work<Uuid> {
    let known = transaction
        .query_row(owned.known, params![blob(id), blob(owner.0)], |row| uuid_at(row, 0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    let ids = [Some(id), Some(owner.0), Some(fresh)].into_iter().chain(more.iter().copied());
    transaction.execute(owned.copy, params_from_iter(ids.map(|id| id.map(blob))))?;
    Ok(fresh)
}

/// Turns a deal's link into a tombstone, and resolves what the log says of it.
fn bury_link(transaction: &Transaction<'_>, deal: DealId, actor: &str, now: i64) -> Work<bool> {
    let link = transaction
        .query_row("DELETE FROM link WHERE deal = ?1 RETURNING org, sf_id", [blob(deal.0)], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
        })
        .optional()?;
    let Some((org, sf_id)) = link else { return Ok(false) };
    transaction.execute(
        "INSERT OR REPLACE INTO tombstone (org, sf_id, by, at, deal) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![org, sf_id, actor, now, blob(deal.0)],
    )?;
    log::resolve_record(transaction, org, &sf_id, now)?;
    Ok(true)
}

fn note(transaction: &Transaction<'_>, deal: DealId, now: i64, actor: &str, changes: &str) -> Work<()> {
    transaction.execute(
        "INSERT INTO deal_change (deal, at, actor, changes) VALUES (?1, ?2, ?3, ?4)",
        params![blob(deal.0), now, actor, changes],
    )?;
    Ok(())
}

const SELECT_DEAL: &str =
    "SELECT d.id, d.fields, d.status, d.source, d.created_at, d.created_run, d.sf_created_at,
    d.updated_at, l.sf_id, l.object, l.state,
    o.id, trim(o.first_name || ' ' || o.last_name), o.email,
    p.id, trim(p.first_name || ' ' || p.last_name), p.email,
    i.id, trim(i.first_name || ' ' || i.last_name), i.email,
    a.id, a.name, '',
    c.id, trim(c.first_name || ' ' || c.last_name), c.email
    FROM deal d
    JOIN user o ON o.id = d.owner
    LEFT JOIN user p ON p.id = d.partner
    LEFT JOIN user i ON i.id = d.distributor
    LEFT JOIN account a ON a.id = d.account
    LEFT JOIN contact c ON c.id = d.contact
    LEFT JOIN link l ON l.deal = d.id";

fn deal_at(row: &Row<'_>) -> rusqlite::Result<DealRow> {
    let linked = maybe_sf_id_at(row, 8)?;
    let named = |at: usize| -> rusqlite::Result<Option<Named>> {
        match maybe_uuid_at(row, at)? {
            Some(id) => Ok(Some(Named { id, name: row.get(at + 1)?, email: row.get(at + 2)? })),
            None => Ok(None),
        }
    };
    Ok(DealRow {
        id: DealId(uuid_at(row, 0)?),
        fields: decode_row(row.get_ref(1)?.as_str()?),
        status: row.get(2)?,
        source: row.get(3)?,
        created_at: row.get(4)?,
        created_run: maybe_uuid_at(row, 5)?.map(RunId),
        sf_created_at: row.get(6)?,
        updated_at: row.get(7)?,
        sf_id: linked,
        object: linked.map(|_| object_at(row, 9)).transpose()?,
        link_state: linked.map(|_| link_state_at(row, 10)).transpose()?,
        owner: Named { id: uuid_at(row, 11)?, name: row.get(12)?, email: row.get(13)? },
        partner: named(14)?,
        distributor: named(17)?,
        account: named(20)?,
        contact: named(23)?,
    })
}
