//! The integration log: what did not go as it should, why, and what to do.
//!
//! Invariant: an open entry is written once. It is open as long as it is true;
//! the plan of a record that changes anything tells the whole truth about it, so
//! open entries it no longer names resolve themselves.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use aws_lc_rs::digest::{SHA256, digest};
use dealsync_core::ids::{DealId, RunId, SfId};
use dealsync_core::plan::Plan;
use dealsync_core::reason::{Class, Code, Level, Reason};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::sqlite::values::{
    blob, code_at, level_at, level_number, maybe_sf_id_at, maybe_uuid_at, named_at, uuid_at,
};
use super::{StoreError, TenantInner, TenantStore, Work};

/// Entries shown at once.
const ENTRIES_MAX: usize = 10_000;
/// Records named under one cause.
const CAUSE_SAMPLES: usize = 5;

/// An entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub Uuid);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogState {
    Open,
    /// A person has seen it and needs it no longer.
    Acknowledged,
    /// It stopped being true.
    Resolved,
}

impl LogState {
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Resolved];

    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    pub id: LogId,
    pub run: Option<RunId>,
    pub lane: String,
    pub level: Level,
    pub code: Code,
    /// The record it is about; `None` where it is about the connection.
    pub sf_id: Option<SfId>,
    pub name: String,
    pub deal: Option<DealId>,
    pub message: String,
    pub fix: String,
    pub detail: Option<String>,
    pub field: Option<String>,
    pub state: LogState,
    pub first_seen: i64,
    pub last_seen: i64,
    pub seen_count: u64,
}

/// Which entries to list; empty means all.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    pub state: Option<LogState>,
    /// This level and above.
    pub level: Option<Level>,
    pub code: Option<Code>,
    pub sf_id: Option<SfId>,
    pub deal: Option<DealId>,
    pub run: Option<RunId>,
    /// Part of the record's name or of the message.
    pub search: Option<String>,
    pub limit: Option<usize>,
    /// Entries older than this one: the next page.
    pub before: Option<LogId>,
}

/// Open entries of one code and fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CauseRow {
    pub code: Code,
    pub level: Level,
    pub count: u64,
    pub fix: String,
    /// Names of some of the records.
    pub names: Vec<String>,
    pub last_seen: i64,
}

impl TenantStore {
    /// Entries of the log, newest first.
    pub async fn log_entries(&self, filter: LogFilter) -> Result<Vec<LogEntry>, StoreError> {
        self.on(move |_, connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{SELECT_ENTRY}
                 WHERE (?1 IS NULL OR state = ?1) AND level >= ?2 AND (?3 IS NULL OR code = ?3)
                   AND (?4 IS NULL OR sf_id = ?4) AND (?5 IS NULL OR deal = ?5) AND (?6 IS NULL OR run = ?6)
                   AND (?7 IS NULL OR instr(lower(name || ' ' || message), lower(?7)) > 0)
                   AND (?8 IS NULL OR id < ?8)
                 ORDER BY id DESC LIMIT ?9"
            ))?;
            let rows = statement.query_map(
                params![
                    filter.state.map(LogState::name),
                    filter.level.map_or(0, level_number),
                    filter.code.map(Code::name),
                    filter.sf_id.as_ref().map(SfId::as_str),
                    filter.deal.map(|deal| blob(deal.0)),
                    filter.run.map(|run| blob(run.0)),
                    filter.search,
                    filter.before.map(|id| blob(id.0)),
                    filter.limit.unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX) as i64,
                ],
                entry_at,
            )?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Open entries of a level and above, one row per code and fix, most frequent
    /// first.
    pub async fn grouped_by_cause(&self, level: Level) -> Result<Vec<CauseRow>, StoreError> {
        let filter = LogFilter { state: Some(LogState::Open), level: Some(level), ..LogFilter::default() };
        let mut causes: BTreeMap<(Code, String), CauseRow> = BTreeMap::new();
        for entry in self.log_entries(filter).await? {
            let cause = causes.entry((entry.code, entry.fix.clone())).or_insert_with(|| CauseRow {
                code: entry.code,
                level: entry.level,
                count: 0,
                fix: entry.fix,
                names: Vec::new(),
                last_seen: entry.last_seen,
            });
            cause.count += 1;
            cause.level = cause.level.max(entry.level);
            cause.last_seen = cause.last_seen.max(entry.last_seen);
            if cause.names.len() < CAUSE_SAMPLES && !entry.name.is_empty() {
                cause.names.push(entry.name);
            }
        }
        let mut causes: Vec<_> = causes.into_values().collect();
        causes.sort_by_key(|cause| std::cmp::Reverse(cause.count));
        Ok(causes)
    }

    /// Open entries by code.
    pub async fn counts_by_code(&self) -> Result<BTreeMap<Code, u64>, StoreError> {
        self.on(|_, connection| {
            let mut statement = connection
                .prepare_cached("SELECT code, COUNT(*) FROM log_entry WHERE state = 'open' GROUP BY code")?;
            let rows = statement
                .query_map([], |row| Ok((code_at(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Clears open entries: those named, or with `None` all. Returns how many.
    pub async fn acknowledge(&self, ids: Option<Vec<LogId>>) -> Result<u64, StoreError> {
        self.change(move |_, transaction| {
            let Some(ids) = ids else {
                return Ok(transaction
                    .execute("UPDATE log_entry SET state = 'acknowledged' WHERE state = 'open'", [])?
                    as u64);
            };
            let mut statement = transaction.prepare_cached(
                "UPDATE log_entry SET state = 'acknowledged' WHERE id = ?1 AND state = 'open'",
            )?;
            let mut cleared = 0;
            for id in ids {
                cleared += statement.execute([blob(id.0)])? as u64;
            }
            Ok(cleared)
        })
        .await
    }

    /// Logs what is wrong with a lane's connection rather than with a record. Said
    /// again, it is counted, not written again; a run that completes resolves it.
    /// Causes of the connection are told apart by their code alone, since their words
    /// name a request or an hour; others, such as mails, by their words.
    pub async fn log_run(&self, lane: &str, run: RunId, reason: Reason, now: i64) -> Result<(), StoreError> {
        let lane = lane.to_owned();
        self.change(move |tenant, transaction| {
            let by_words = matches!(reason.code.entry().class, Class::Data | Class::Ours);
            let seen = transaction.execute(
                "UPDATE log_entry
                 SET last_seen = ?4, seen_count = seen_count + 1, run = ?5, message = ?3, fix = ?6, level = ?7
                 WHERE org IS NULL AND sf_id IS NULL AND state = 'open' AND lane = ?1 AND code = ?2
                   AND (message = ?3 OR NOT ?8)",
                params![
                    lane,
                    reason.code.name(),
                    reason.message,
                    now,
                    blob(run.0),
                    reason.fix,
                    level_number(reason.level),
                    by_words,
                ],
            )?;
            if seen > 0 {
                return Ok(());
            }
            let about = About { org: None, sf_id: None, name: "", deal: None };
            insert(transaction, tenant, &about, &lane, run, &reason, now)
        })
        .await
    }
}

/// Resolves what the log holds open about a lane as a whole.
/// What the completed run itself had to say stays open until the next one.
pub(super) fn resolve_lane(connection: &Connection, lane: &str, run: RunId, now: i64) -> Work<()> {
    connection
        .prepare_cached(
            "UPDATE log_entry SET state = 'resolved', last_seen = ?2
             WHERE org IS NULL AND sf_id IS NULL AND state = 'open' AND lane = ?1 AND run IS NOT ?3",
        )?
        .execute(params![lane, now, blob(run.0)])?;
    Ok(())
}

/// Resolves what the log holds open about a record.
pub(super) fn resolve_record(connection: &Connection, org: i64, sf_id: &str, now: i64) -> Work<()> {
    connection
        .prepare_cached(
            "UPDATE log_entry SET state = 'resolved', last_seen = ?3
             WHERE org = ?1 AND sf_id = ?2 AND state = 'open'",
        )?
        .execute(params![org, sf_id, now])?;
    Ok(())
}

/// Writes the entries of a page.
pub(super) struct LogWriter<'c> {
    pub connection: &'c Connection,
    pub tenant: &'c TenantInner,
    pub org: i64,
    pub lane: &'c str,
    pub run: RunId,
    pub now: i64,
}

struct OpenEntry {
    id: [u8; 16],
    code: String,
    field: Option<String>,
    message: String,
}

impl LogWriter<'_> {
    /// Brings the open entries of a record in line with what its plan says.
    pub fn tell(&self, plan: &Plan) -> Work<()> {
        let mut open = self.open_entries(plan.sf_id)?;
        for reason in &plan.reasons {
            let same = |entry: &OpenEntry| {
                entry.code == reason.code.name() && entry.field.as_deref() == reason.field.as_deref()
            };
            let known = open
                .iter()
                .position(|entry| same(entry) && entry.message == reason.message)
                .or_else(|| open.iter().position(same));
            match known {
                Some(at) => {
                    let entry = open.swap_remove(at);
                    if entry.message != reason.message {
                        self.rephrase(&entry, plan, reason)?;
                    }
                }
                None => {
                    let about = About {
                        org: Some(self.org),
                        sf_id: Some(plan.sf_id),
                        name: &plan.name,
                        deal: plan.deal,
                    };
                    insert(self.connection, self.tenant, &about, self.lane, self.run, reason, self.now)?;
                }
            }
        }
        let mut resolve = self
            .connection
            .prepare_cached("UPDATE log_entry SET state = 'resolved', last_seen = ?2 WHERE id = ?1")?;
        for entry in open {
            resolve.execute(params![entry.id, self.now])?;
        }
        Ok(())
    }

    fn open_entries(&self, sf_id: SfId) -> Work<Vec<OpenEntry>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, code, field, message FROM log_entry WHERE org = ?1 AND sf_id = ?2 AND state = 'open'",
        )?;
        let rows = statement.query_map(params![self.org, sf_id.as_str()], |row| {
            Ok(OpenEntry { id: row.get(0)?, code: row.get(1)?, field: row.get(2)?, message: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The same trouble with another value: the entry stays and says the new one.
    fn rephrase(&self, entry: &OpenEntry, plan: &Plan, reason: &Reason) -> Work<()> {
        self.connection
            .prepare_cached(
                "UPDATE log_entry SET message = ?2, fix = ?3, detail = ?4, level = ?5, name = ?6, run = ?7,
                        last_seen = ?8, seen_count = seen_count + 1
                 WHERE id = ?1",
            )?
            .execute(params![
                entry.id,
                reason.message,
                reason.fix,
                reason.detail,
                level_number(reason.level),
                plan.name,
                blob(self.run.0),
                self.now,
            ])?;
        Ok(())
    }
}

struct About<'a> {
    org: Option<i64>,
    sf_id: Option<SfId>,
    name: &'a str,
    deal: Option<DealId>,
}

fn insert(
    connection: &Connection,
    tenant: &TenantInner,
    about: &About<'_>,
    lane: &str,
    run: RunId,
    reason: &Reason,
    now: i64,
) -> Work<()> {
    connection
        .prepare_cached(
            "INSERT INTO log_entry (id, run, lane, level, code, org, sf_id, name, deal, message, fix, detail, field,
                state, first_seen, last_seen, seen_count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 'open', ?14, ?14, 1)",
        )?
        .execute(params![
            blob(tenant.log_id(run, now).0),
            blob(run.0),
            lane,
            level_number(reason.level),
            reason.code.name(),
            about.org,
            about.sf_id.as_ref().map(SfId::as_str),
            about.name,
            about.deal.map(|deal| blob(deal.0)),
            reason.message,
            reason.fix,
            reason.detail,
            reason.field,
            now,
        ])?;
    Ok(())
}

impl TenantInner {
    /// An id that follows from the run and the entry's place in it, so that a
    /// replay of the run makes the same; ordered by time, then by place.
    fn log_id(&self, run: RunId, now: i64) -> LogId {
        let count = self.log_ids.fetch_add(1, Ordering::Relaxed);
        let seed = [run.0.as_bytes().as_slice(), &now.to_be_bytes(), &count.to_be_bytes()].concat();
        let mut tail = [0; 10];
        tail.copy_from_slice(&digest(&SHA256, &seed).as_ref()[..10]);
        // 32 bits of the place keep the order inside of a millisecond.
        tail[..4].copy_from_slice(&(count as u32 & 0x0fff_ffff).to_be_bytes());
        let millis = u64::try_from(now.div_euclid(1_000)).unwrap_or(0);
        LogId(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }
}

const SELECT_ENTRY: &str =
    "SELECT id, run, lane, level, code, sf_id, name, deal, message, fix, detail, field,
    state, first_seen, last_seen, seen_count FROM log_entry";

fn entry_at(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    Ok(LogEntry {
        id: LogId(uuid_at(row, 0)?),
        run: maybe_uuid_at(row, 1)?.map(RunId),
        lane: row.get(2)?,
        level: level_at(row, 3)?,
        code: code_at(row, 4)?,
        sf_id: maybe_sf_id_at(row, 5)?,
        name: row.get(6)?,
        deal: maybe_uuid_at(row, 7)?.map(DealId),
        message: row.get(8)?,
        fix: row.get(9)?,
        detail: row.get(10)?,
        field: row.get(11)?,
        state: named_at(row, 12, LogState::from_name)?,
        first_seen: row.get(13)?,
        last_seen: row.get(14)?,
        seen_count: row.get::<_, i64>(15)?.unsigned_abs(),
    })
}
