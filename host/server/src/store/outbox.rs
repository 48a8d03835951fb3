//! Mail waiting to be sent: written with what it tells of, delivered after.
//!
//! Invariant: one mail of a kind per id, and the message id follows from both, so
//! a repeat is recognised by whoever receives it.

use aws_lc_rs::digest::{SHA256, digest};
use dealsync_core::ids::{DealId, OutboxId, RunId, TenantId, UserId};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::sqlite::values::{blob, maybe_uuid_at, named_at, uuid_at};
use super::{StoreError, TenantStore, Work};

/// Kind of the mail that tells an owner of an imported deal (S33).
pub const DEAL_IMPORTED: &str = "deal-imported";
/// Kind of the one mail per owner after a backfill. Its payload is
/// `{"count": 12, "deals": ["…", …]}`.
pub const IMPORT_DIGEST: &str = "import-digest";
/// Deals named in a digest; the rest are only counted.
const DIGEST_DEALS_MAX: i64 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxState {
    Pending,
    Sent,
    /// Given up.
    Failed,
}

impl OutboxState {
    const ALL: [Self; 3] = [Self::Pending, Self::Sent, Self::Failed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    pub id: OutboxId,
    pub kind: String,
    pub deal: Option<DealId>,
    pub user: Option<UserId>,
    /// JSON, where the kind has any.
    pub payload: Option<String>,
    pub created_at: i64,
    pub due_at: i64,
    pub attempts: u64,
    pub state: OutboxState,
    pub last_error: Option<String>,
    /// `<deal-imported.019…@…>`: the same on every attempt.
    pub message_id: String,
}

/// A mail that is not about one imported deal.
#[derive(Debug, Clone)]
pub struct NewMail {
    pub id: OutboxId,
    pub kind: String,
    pub user: Option<UserId>,
    pub payload: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    pub pending: u64,
    pub sent: u64,
    pub failed: u64,
    /// When the earliest pending mail is due.
    pub next_due: Option<i64>,
}

impl TenantStore {
    /// Mails that are due, the oldest first.
    pub async fn outbox_due(&self, now: i64, limit: usize) -> Result<Vec<OutboxItem>, StoreError> {
        self.on(move |tenant, connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{SELECT_ITEM} WHERE state = 'pending' AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2"
            ))?;
            let rows = statement.query_map(params![now, limit as i64], |row| item_at(row, &tenant.id))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Puts a mail into the outbox; nothing where its id is there already.
    pub async fn outbox_put(&self, mail: NewMail, now: i64) -> Result<(), StoreError> {
        self.on(move |_, connection| {
            put(connection, mail.id.0, &mail.kind, None, mail.user, mail.payload.as_deref(), now)
        })
        .await
    }

    pub async fn outbox_sent(&self, item: &OutboxItem, now: i64) -> Result<(), StoreError> {
        let (id, kind) = (blob(item.id.0), item.kind.clone());
        self.on(move |_, connection| {
            connection
                .prepare_cached(
                    "UPDATE outbox SET state = 'sent', sent_at = ?3, attempts = attempts + 1, last_error = NULL
                     WHERE id = ?1 AND kind = ?2",
                )?
                .execute(params![id, kind, now])?;
            Ok(())
        })
        .await
    }

    /// Notes a failed attempt. The mail is tried again at `next_due`, or given up
    /// where that is `None`.
    pub async fn outbox_failed(
        &self,
        item: &OutboxItem,
        error: &str,
        next_due: Option<i64>,
    ) -> Result<(), StoreError> {
        let (id, kind, error) = (blob(item.id.0), item.kind.clone(), error.to_owned());
        self.on(move |_, connection| {
            let state = if next_due.is_some() { OutboxState::Pending } else { OutboxState::Failed };
            connection
                .prepare_cached(
                    "UPDATE outbox SET state = ?3, due_at = COALESCE(?4, due_at), attempts = attempts + 1,
                            last_error = ?5
                     WHERE id = ?1 AND kind = ?2",
                )?
                .execute(params![id, kind, state.name(), next_due, error])?;
            Ok(())
        })
        .await
    }

    pub async fn outbox_counts(&self) -> Result<OutboxCounts, StoreError> {
        self.on(|_, connection| {
            let mut counts = OutboxCounts::default();
            let mut statement =
                connection.prepare_cached("SELECT state, COUNT(*) FROM outbox GROUP BY state")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let count = row.get::<_, i64>(1)?.unsigned_abs();
                match state_at(row, 0)? {
                    OutboxState::Pending => counts.pending = count,
                    OutboxState::Sent => counts.sent = count,
                    OutboxState::Failed => counts.failed = count,
                }
            }
            counts.next_due = connection
                .prepare_cached("SELECT MIN(due_at) FROM outbox WHERE state = 'pending'")?
                .query_row([], |row| row.get(0))?;
            Ok(counts)
        })
        .await
    }
}

/// Tells an owner of a deal, once: the mail's id is the deal's.
pub(super) fn tell_owner(connection: &Connection, deal: DealId, owner: UserId, now: i64) -> Work<()> {
    put(connection, deal.0, DEAL_IMPORTED, Some(deal), Some(owner), None, now)
}

/// Keeps a deal for the digest that the end of the run sends.
pub(super) fn collect(connection: &Connection, lane: &str, deal: DealId, owner: UserId) -> Work<()> {
    connection
        .prepare_cached("INSERT INTO digest (lane, user, deal) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![lane, blob(owner.0), blob(deal.0)])?;
    Ok(())
}

/// Turns what a lane collected into one mail per owner.
pub(super) fn send_digests(connection: &Connection, lane: &str, run: RunId, now: i64) -> Work<()> {
    let users: Vec<(Uuid, i64)> = connection
        .prepare_cached("SELECT user, COUNT(*) FROM digest WHERE lane = ?1 GROUP BY user")?
        .query_map([lane], |row| Ok((uuid_at(row, 0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (user, count) in &users {
        let deals: Vec<String> = connection
            .prepare_cached("SELECT deal FROM digest WHERE lane = ?1 AND user = ?2 ORDER BY deal LIMIT ?3")?
            .query_map(params![lane, blob(*user), DIGEST_DEALS_MAX], |row| Ok(uuid_at(row, 0)?.to_string()))?
            .collect::<Result<_, _>>()?;
        let payload = serde_json::json!({ "count": count, "deals": deals }).to_string();
        let id = of_both(run.0, *user);
        put(connection, id, IMPORT_DIGEST, None, Some(UserId(*user)), Some(&payload), now)?;
    }
    if !users.is_empty() {
        connection.execute("DELETE FROM digest WHERE lane = ?1", [lane])?;
    }
    Ok(())
}

fn of_both(run: Uuid, user: Uuid) -> Uuid {
    let hash = digest(&SHA256, &[run.as_bytes().as_slice(), user.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn put(
    connection: &Connection,
    id: Uuid,
    kind: &str,
    deal: Option<DealId>,
    user: Option<UserId>,
    payload: Option<&str>,
    now: i64,
) -> Work<()> {
    connection
        .prepare_cached(
            "INSERT INTO outbox (id, kind, deal, user, payload, created_at, due_at, attempts, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0, 'pending') ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            blob(id),
            kind,
            deal.map(|deal| blob(deal.0)),
            user.map(|user| blob(user.0)),
            payload,
            now,
        ])?;
    Ok(())
}

const SELECT_ITEM: &str =
    "SELECT id, kind, deal, user, payload, created_at, due_at, attempts, state, last_error FROM outbox";

fn state_at(row: &Row<'_>, column: usize) -> rusqlite::Result<OutboxState> {
    named_at(row, column, |name| OutboxState::ALL.into_iter().find(|state| state.name() == name))
}

fn item_at(row: &Row<'_>, tenant: &TenantId) -> rusqlite::Result<OutboxItem> {
    let id = uuid_at(row, 0)?;
    let kind: String = row.get(1)?;
    Ok(OutboxItem {
        id: OutboxId(id),
        deal: maybe_uuid_at(row, 2)?.map(DealId),
        user: maybe_uuid_at(row, 3)?.map(UserId),
        payload: row.get(4)?,
        created_at: row.get(5)?,
        due_at: row.get(6)?,
        attempts: row.get::<_, i64>(7)?.unsigned_abs(),
        state: state_at(row, 8)?,
        last_error: row.get(9)?,
        message_id: format!("<{kind}.{id}.{tenant}@dealsync>"),
        kind,
    })
}
