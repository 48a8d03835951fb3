//! Records set aside, until what they depend on changes.

use std::collections::BTreeMap;

use dealsync_core::ids::{RunId, SfId};
use dealsync_core::plan::AsideKind;
use dealsync_core::reason::{Code, Reason, Retry};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sqlite::values::{aside_kind_at, blob, code_at, reasons_from, reasons_text, sf_id_at, uuid_at};
use super::{StoreError, TenantStore, Work};

/// What a record waits on that new settings may help.
pub const SETTINGS_KEY: &str = "settings";
/// First wait before a record with a passing cause is tried again, microseconds;
/// doubled with each attempt, up to the second.
const RETRY_FIRST: i64 = 60 * 1_000_000;
const RETRY_LONGEST: i64 = 6 * 3_600 * 1_000_000;
/// Records shown or tried again at once.
const ASIDES_MAX: usize = 10_000;

/// A record set aside.
#[derive(Debug, Clone, PartialEq)]
pub struct AsideRow {
    pub sf_id: SfId,
    pub kind: AsideKind,
    pub name: String,
    /// The reason it is counted under.
    pub code: Code,
    pub reasons: Vec<Reason>,
    pub waits_on: Vec<String>,
    pub lane: String,
    pub run: RunId,
    pub first_seen: i64,
    pub last_seen: i64,
    pub attempts: u64,
    /// When it is tried again; `None` where it waits.
    pub due_at: Option<i64>,
}

/// Which records to list; empty means all.
#[derive(Debug, Clone, Default)]
pub struct AsideFilter {
    pub kind: Option<AsideKind>,
    pub code: Option<Code>,
    /// Part of the name, or the id.
    pub search: Option<String>,
    pub limit: Option<usize>,
}

impl TenantStore {
    /// Records set aside, the latest first.
    pub async fn asides(&self, filter: AsideFilter) -> Result<Vec<AsideRow>, StoreError> {
        self.on(move |_, connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{SELECT_ASIDE}
                 WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR primary_code = ?2)
                   AND (?3 IS NULL OR instr(lower(name), lower(?3)) > 0 OR sf_id = ?3 OR substr(sf_id, 1, 15) = ?3)
                 ORDER BY last_seen DESC, sf_id LIMIT ?4"
            ))?;
            let rows = statement.query_map(
                params![
                    filter.kind.map(AsideKind::name),
                    filter.code.map(Code::name),
                    filter.search,
                    filter.limit.unwrap_or(ASIDES_MAX).min(ASIDES_MAX) as i64,
                ],
                aside_at,
            )?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    pub async fn aside(&self, sf_id: SfId) -> Result<AsideRow, StoreError> {
        self.on(move |_, connection| {
            let row = connection
                .prepare_cached(&format!("{SELECT_ASIDE} WHERE sf_id = ?1"))?
                .query_row([sf_id.as_str()], aside_at)
                .optional()?;
            Ok(row.ok_or_else(|| not_aside(sf_id))?)
        })
        .await
    }

    /// How many records are set aside, by kind and by the code they count under.
    pub async fn aside_counts(&self) -> Result<Vec<(AsideKind, Code, u64)>, StoreError> {
        self.on(|_, connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, primary_code, COUNT(*) FROM set_aside GROUP BY 1, 2 ORDER BY 3 DESC, 2",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((aside_kind_at(row, 0)?, code_at(row, 1)?, row.get::<_, i64>(2)?.unsigned_abs()))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Marks records to be tried again by the next run: those named, or with `None`
    /// all that are parked. Returns how many. Refuses an id that is not set aside.
    /// A record whose deal a person had removed is imported again where it is named.
    pub async fn retry(&self, ids: Option<Vec<SfId>>, now: i64) -> Result<u64, StoreError> {
        self.change(move |_, transaction| {
            let Some(ids) = ids else {
                return Ok(transaction
                    .execute("UPDATE set_aside SET due_at = ?1 WHERE kind = 'parked'", [now])?
                    as u64);
            };
            let mut statement =
                transaction.prepare_cached("UPDATE set_aside SET due_at = ?2 WHERE sf_id = ?1")?;
            let mut marked = 0;
            for id in ids {
                let buried = transaction.execute("DELETE FROM tombstone WHERE sf_id = ?1", [id.as_str()])?;
                // No run may have come by since the deal was removed.
                match statement.execute(params![id.as_str(), now])?.max(buried) {
                    0 => return Err(not_aside(id).into()),
                    several => marked += several as u64,
                }
            }
            Ok(marked)
        })
        .await
    }

    /// Marks what waits for any of these to be tried again. Returns how many.
    pub async fn touch_keys(&self, keys: Vec<String>, now: i64) -> Result<u64, StoreError> {
        self.change(move |_, transaction| touch(transaction, &keys, now)).await
    }

    /// Records of an org that are to be tried now, at most `limit`. Each is due
    /// until a page was committed that looked at it, or [`TenantStore::clear_due`].
    pub async fn due_asides(&self, org: SfId, now: i64, limit: usize) -> Result<Vec<SfId>, StoreError> {
        self.on(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(
                "SELECT sf_id FROM set_aside WHERE due_at <= ?2 AND org = ?1 ORDER BY due_at LIMIT ?3",
            )?;
            let rows = statement.query_map(params![org, now, limit as i64], |row| sf_id_at(row, 0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Takes the mark from records that were asked for and did not come.
    pub async fn clear_due(&self, org: SfId, ids: Vec<SfId>, now: i64) -> Result<(), StoreError> {
        self.change(move |tenant, transaction| {
            let Some(org) = tenant.org(transaction, org)? else { return Ok(()) };
            Asides::new(transaction, org).looked_at(ids.into_iter(), now)
        })
        .await
    }
}

fn not_aside(id: SfId) -> StoreError {
    StoreError::NotFound { what: "record set aside with the id", name: id.to_string(), did_you_mean: None }
}

/// As [`TenantStore::touch_keys`], inside a transaction.
pub(super) fn touch(connection: &Connection, keys: &[String], now: i64) -> Work<u64> {
    let mut statement = connection.prepare_cached(
        "UPDATE set_aside SET due_at = ?2
         WHERE (org, sf_id) IN (SELECT org, sf_id FROM aside_wait WHERE wait_key = ?1)",
    )?;
    let mut marked = 0;
    for key in keys {
        marked += statement.execute(params![key, now])? as u64;
    }
    Ok(marked)
}

/// A record to be set aside.
pub(super) struct NewAside<'a> {
    pub sf_id: SfId,
    pub kind: AsideKind,
    pub name: &'a str,
    pub reasons: &'a [Reason],
    pub primary: Option<Code>,
    pub waits: &'a [String],
    pub lane: &'a str,
    pub run: RunId,
    pub now: i64,
}

/// Writes what is set aside in one org.
pub(super) struct Asides<'c> {
    connection: &'c Connection,
    org: i64,
}

impl<'c> Asides<'c> {
    pub fn new(connection: &'c Connection, org: i64) -> Self {
        Self { connection, org }
    }

    /// Sets a record aside, or replaces why it is.
    pub fn put(&self, aside: &NewAside<'_>) -> Work<()> {
        let known = self
            .connection
            .prepare_cached("SELECT attempts, waits_on FROM set_aside WHERE org = ?1 AND sf_id = ?2")?
            .query_row(params![self.org, aside.sf_id.as_str()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .optional()?;
        let attempts = known.as_ref().map_or(1, |(attempts, _)| attempts + 1);
        if let Some((_, waits)) = &known {
            self.forget_waits(aside.sf_id, waits)?;
        }
        let Some(code) = aside.primary else {
            let text = format!("{} cannot be set aside without a reason", aside.sf_id);
            return Err(StoreError::Invalid(text).into());
        };
        let passing =
            aside.reasons.iter().any(|reason| reason.is_error() && reason.code.entry().retry == Retry::Auto);
        self.connection
            .prepare_cached(
                "INSERT INTO set_aside (org, sf_id, kind, name, primary_code, reasons, waits_on, lane, run,
                    first_seen, last_seen, attempts, due_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?12)
                 ON CONFLICT DO UPDATE SET kind = excluded.kind, name = excluded.name,
                    primary_code = excluded.primary_code, reasons = excluded.reasons,
                    waits_on = excluded.waits_on, lane = excluded.lane, run = excluded.run,
                    last_seen = excluded.last_seen, attempts = excluded.attempts, due_at = excluded.due_at",
            )?
            .execute(params![
                self.org,
                aside.sf_id.as_str(),
                aside.kind.name(),
                aside.name,
                code.name(),
                reasons_text(aside.reasons),
                serde_json::to_string(aside.waits).expect("texts become JSON"),
                aside.lane,
                blob(aside.run.0),
                aside.now,
                attempts,
                passing.then(|| aside.now + retry_wait(attempts)),
            ])?;
        let mut wait = self.connection.prepare_cached(
            "INSERT INTO aside_wait (wait_key, org, sf_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?;
        for key in aside.waits {
            wait.execute(params![key, self.org, aside.sf_id.as_str()])?;
        }
        Ok(())
    }

    pub fn take_back(&self, sf_id: SfId) -> Work<()> {
        let waits = self
            .connection
            .prepare_cached("DELETE FROM set_aside WHERE org = ?1 AND sf_id = ?2 RETURNING waits_on")?
            .query_row(params![self.org, sf_id.as_str()], |row| row.get::<_, String>(0))
            .optional()?;
        match waits {
            Some(waits) => self.forget_waits(sf_id, &waits),
            None => Ok(()),
        }
    }

    /// Notes that records were looked at and stay as they were. Writes only where
    /// one of them was marked to be tried.
    pub fn looked_at(&self, ids: impl Iterator<Item = SfId>, now: i64) -> Work<()> {
        let due: BTreeMap<SfId, i64> = self
            .connection
            .prepare_cached("SELECT sf_id, attempts FROM set_aside WHERE due_at <= ?2 AND org = ?1")?
            .query_map(params![self.org, now], |row| Ok((sf_id_at(row, 0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        if due.is_empty() {
            return Ok(());
        }
        let mut clear = self.connection.prepare_cached(
            "UPDATE set_aside SET due_at = ?4, attempts = ?3 WHERE org = ?1 AND sf_id = ?2 RETURNING reasons",
        )?;
        let mut again = self
            .connection
            .prepare_cached("UPDATE set_aside SET due_at = ?3 WHERE org = ?1 AND sf_id = ?2")?;
        for id in ids {
            let Some(attempts) = due.get(&id).map(|attempts| attempts + 1) else { continue };
            let reasons: String =
                clear.query_row(params![self.org, id.as_str(), attempts, None::<i64>], |row| row.get(0))?;
            let passing = reasons_from(&reasons)
                .iter()
                .any(|reason| reason.is_error() && reason.code.entry().retry == Retry::Auto);
            if passing {
                again.execute(params![self.org, id.as_str(), now + retry_wait(attempts)])?;
            }
        }
        Ok(())
    }

    fn forget_waits(&self, sf_id: SfId, waits: &str) -> Work<()> {
        let keys: Vec<String> = serde_json::from_str(waits).unwrap_or_default();
        let mut statement = self
            .connection
            .prepare_cached("DELETE FROM aside_wait WHERE wait_key = ?1 AND org = ?2 AND sf_id = ?3")?;
        for key in keys {
            statement.execute(params![key, self.org, sf_id.as_str()])?;
        }
        Ok(())
    }
}

fn retry_wait(attempts: i64) -> i64 {
    let doublings = attempts.clamp(1, 20) - 1;
    (RETRY_FIRST << doublings).min(RETRY_LONGEST)
}

const SELECT_ASIDE: &str = "SELECT sf_id, kind, name, primary_code, reasons, waits_on, lane, run,
    first_seen, last_seen, attempts, due_at FROM set_aside";

fn aside_at(row: &Row<'_>) -> rusqlite::Result<AsideRow> {
    Ok(AsideRow {
        sf_id: sf_id_at(row, 0)?,
        kind: aside_kind_at(row, 1)?,
        name: row.get(2)?,
        code: code_at(row, 3)?,
        reasons: reasons_from(row.get_ref(4)?.as_str()?),
        waits_on: serde_json::from_str(row.get_ref(5)?.as_str()?).unwrap_or_default(),
        lane: row.get(6)?,
        run: RunId(uuid_at(row, 7)?),
        first_seen: row.get(8)?,
        last_seen: row.get(9)?,
        attempts: row.get::<_, i64>(10)?.unsigned_abs(),
        due_at: row.get(11)?,
    })
}
