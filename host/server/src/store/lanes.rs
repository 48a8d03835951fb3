//! Lanes, their leases, and their runs.
//!
//! Invariant: of all leases ever given on a lane, only the one with the lane's
//! present fence can commit. Claiming raises the fence.

use dealsync_core::ids::RunId;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::sqlite::values::{blob, maybe_uuid_at, named_at, uuid_at};
use super::{StoreError, TenantStore, Work, log, outbox};
use crate::run::{Counts, Kind, Trigger};

/// One lane, as schedule and status pages see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// `prod/deals/pull/Opportunity`
    pub name: String,
    pub integration: String,
    /// Why the lane is paused, where it is.
    pub paused: Option<String>,
    pub holder: Option<String>,
    pub lease_until: i64,
    pub last_run: Option<RunId>,
    pub next_due: Option<i64>,
    pub cursor: Option<String>,
    /// Where a half-finished full run goes on.
    pub resume: Option<String>,
    /// Deals the lane has created so far.
    pub sequence: u64,
    /// What the connection spent of the day's API calls; JSON of the budget.
    pub spent: Option<String>,
}

/// The right to work on a lane until `until`, or until somebody else claims it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub lane: String,
    pub fence: i64,
    pub until: i64,
    /// Deals the lane had created when it was claimed.
    pub sequence: u64,
}

/// A run that begins.
#[derive(Debug, Clone)]
pub struct RunStart {
    pub id: RunId,
    pub kind: Kind,
    pub trigger: Trigger,
    pub backfill: bool,
    pub now: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    Running,
    Completed,
    /// Ended by an error of the connection, or stopped to ask a person.
    Failed,
    /// The process ended before the run did; the next one goes on.
    Interrupted,
}

impl RunState {
    const ALL: [Self; 4] = [Self::Running, Self::Completed, Self::Failed, Self::Interrupted];

    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    pub run: RunId,
    pub state: RunState,
    pub now: i64,
    /// The run's counts; where they are all zero, those of its last page stand.
    pub counts: Counts,
    /// Zero leaves what the last page said.
    pub api_calls: u64,
    /// The lane's new cursor; `None` leaves it where it is.
    pub cursor: Option<String>,
    /// When the lane is due again; `None` leaves that as it is.
    pub next_due: Option<i64>,
    /// Forget where to resume although the run did not complete.
    pub start_over: bool,
    /// What the connection spent of the day's API calls; `None` leaves that as it is.
    pub spent: Option<String>,
    /// For people, where the run failed.
    pub error: Option<String>,
}

/// A run in the list of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    pub id: RunId,
    pub lane: String,
    pub kind: Kind,
    pub trigger: Trigger,
    pub backfill: bool,
    pub started: i64,
    pub finished: Option<i64>,
    pub state: RunState,
    pub counts: Counts,
    pub cursor_from: Option<String>,
    pub cursor_to: Option<String>,
    pub api_calls: u64,
    pub error: Option<String>,
}

impl TenantStore {
    /// Makes the lane if there is none of the name. A new lane is due at once.
    pub async fn ensure_lane(&self, name: &str, integration: &str, now: i64) -> Result<(), StoreError> {
        let (name, integration) = (name.to_owned(), integration.to_owned());
        self.on(move |_, connection| {
            connection.execute(
                "INSERT INTO lane (name, integration, next_due) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![name, integration, now],
            )?;
            Ok(())
        })
        .await
    }

    /// All lanes, by name.
    pub async fn lanes(&self) -> Result<Vec<Lane>, StoreError> {
        self.on(|_, connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, integration, paused, holder, lease_until, last_run, next_due, cursor, resume,
                        sequence, spent
                 FROM lane ORDER BY name",
            )?;
            let lanes = statement.query_map([], lane_at)?.collect::<Result<_, _>>()?;
            Ok(lanes)
        })
        .await
    }

    /// One lane, or which name was probably meant.
    pub async fn lane(&self, name: &str) -> Result<Lane, StoreError> {
        let lanes = self.lanes().await?;
        if let Some(lane) = lanes.iter().find(|lane| lane.name == name) {
            return Ok(lane.clone());
        }
        let near = crate::hints::nearest(name, lanes.iter().map(|lane| lane.name.as_str()));
        let did_you_mean = near.map(str::to_owned);
        Err(StoreError::NotFound { what: "lane", name: name.to_owned(), did_you_mean })
    }

    /// Claims a lane for `ttl` microseconds. `None` where somebody holds it, it is
    /// paused, or there is no such lane.
    pub async fn claim(
        &self,
        lane: &str,
        holder: &str,
        now: i64,
        ttl: i64,
    ) -> Result<Option<Lease>, StoreError> {
        let (lane, holder) = (lane.to_owned(), holder.to_owned());
        self.on(move |_, connection| {
            let until = now.saturating_add(ttl);
            let claimed = connection
                .prepare_cached(
                    "UPDATE lane SET holder = ?2, lease_until = ?4, fence = fence + 1
                     WHERE name = ?1 AND paused IS NULL AND (holder IS NULL OR lease_until <= ?3)
                     RETURNING fence, sequence",
                )?
                .query_row(params![lane, holder, now, until], |row| {
                    Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
                })
                .optional()?;
            Ok(claimed.map(|(fence, sequence)| Lease { lane, fence, until, sequence }))
        })
        .await
    }

    /// Keeps a lease for another `ttl`. [`StoreError::Fenced`] where it has passed on.
    pub async fn renew(&self, lease: &Lease, now: i64, ttl: i64) -> Result<Lease, StoreError> {
        let mut lease = lease.clone();
        lease.until = now.saturating_add(ttl);
        self.on(move |_, connection| {
            let held = connection
                .prepare_cached(
                    "UPDATE lane SET lease_until = ?3 WHERE name = ?1 AND fence = ?2 AND holder IS NOT NULL",
                )?
                .execute(params![lease.lane, lease.fence, lease.until])?;
            if held == 0 { Err(fenced(&lease).into()) } else { Ok(lease) }
        })
        .await
    }

    /// Gives a lease back; nothing where it has passed on already.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.on(move |_, connection| {
            connection
                .prepare_cached(
                    "UPDATE lane SET holder = NULL, lease_until = 0 WHERE name = ?1 AND fence = ?2",
                )?
                .execute(params![lease.lane, lease.fence])?;
            Ok(())
        })
        .await
    }

    /// Pauses a lane and says why. A run in progress ends by itself.
    pub async fn pause(&self, lane: &str, why: &str) -> Result<(), StoreError> {
        self.set_paused(lane, Some(why.to_owned()), None).await
    }

    /// Lets a paused lane go on; it is due at once.
    pub async fn resume(&self, lane: &str, now: i64) -> Result<(), StoreError> {
        self.set_paused(lane, None, Some(now)).await
    }

    async fn set_paused(&self, lane: &str, why: Option<String>, due: Option<i64>) -> Result<(), StoreError> {
        let name = self.lane(lane).await?.name;
        self.on(move |_, connection| {
            connection.execute(
                "UPDATE lane SET paused = ?2, next_due = COALESCE(?3, next_due) WHERE name = ?1",
                params![name, why, due],
            )?;
            Ok(())
        })
        .await
    }

    /// Says when a lane is due next.
    /// Forgets how far a lane has read: its next run looks at everything. For a lane
    /// that reads from another org from now on.
    pub async fn forget_cursor(&self, lane: &str) -> Result<(), StoreError> {
        let lane = lane.to_owned();
        self.on(move |_, connection| {
            connection.execute("UPDATE lane SET cursor = NULL, resume = NULL WHERE name = ?1", [lane])?;
            Ok(())
        })
        .await
    }

    /// Keeps what was spent of the day's API calls outside of a run.
    pub async fn keep_spent(&self, lane: &str, spent: String) -> Result<(), StoreError> {
        let lane = lane.to_owned();
        self.on(move |_, connection| {
            connection.execute("UPDATE lane SET spent = ?2 WHERE name = ?1", params![lane, spent])?;
            Ok(())
        })
        .await
    }

    pub async fn set_next_due(&self, lane: &str, at: i64) -> Result<(), StoreError> {
        let lane = lane.to_owned();
        self.on(move |_, connection| {
            connection.execute("UPDATE lane SET next_due = ?2 WHERE name = ?1", params![lane, at])?;
            Ok(())
        })
        .await
    }

    /// Begins a run. Runs of the lane that never ended are marked as cut off, and
    /// the latest of them is returned: `resume` of the lane says where it was.
    pub async fn start_run(&self, lease: &Lease, start: RunStart) -> Result<Option<RunRow>, StoreError> {
        let lease = lease.clone();
        self.change(move |_, transaction| {
            let cut_off = transaction
                .prepare_cached(&format!(
                    "{SELECT_RUN} WHERE lane = ?1 AND state = 'running' ORDER BY id DESC LIMIT 1"
                ))?
                .query_row([&lease.lane], run_at)
                .optional()?;
            transaction.execute(
                "UPDATE run SET state = 'interrupted', finished = ?2 WHERE lane = ?1 AND state = 'running'",
                params![lease.lane, start.now],
            )?;
            transaction.execute(
                "INSERT INTO run (id, lane, kind, trigger, backfill, started, state, counts, cursor_from)
                 SELECT ?1, name, ?3, ?4, ?5, ?6, 'running', ?7, cursor FROM lane WHERE name = ?2",
                params![
                    blob(start.id.0),
                    lease.lane,
                    start.kind.name(),
                    trigger_name(start.trigger),
                    start.backfill,
                    start.now,
                    counts_text(&Counts::default()),
                ],
            )?;
            let held = transaction.execute(
                "UPDATE lane SET last_run = ?3 WHERE name = ?1 AND fence = ?2 AND holder IS NOT NULL",
                params![lease.lane, lease.fence, blob(start.id.0)],
            )?;
            if held == 0 { Err(fenced(&lease).into()) } else { Ok(cut_off) }
        })
        .await
    }

    /// Ends a run. One that completed forgets where to resume, resolves what the
    /// log holds open about the connection, and sends the digests it collected.
    pub async fn finish_run(&self, lease: &Lease, end: RunEnd) -> Result<(), StoreError> {
        let lease = lease.clone();
        self.change(move |_, transaction| {
            let completed = end.state == RunState::Completed;
            let held = transaction.execute(
                "UPDATE lane SET cursor = COALESCE(?3, cursor), next_due = COALESCE(?4, next_due),
                        resume = CASE WHEN ?5 THEN NULL ELSE resume END, spent = COALESCE(?6, spent)
                 WHERE name = ?1 AND fence = ?2 AND holder IS NOT NULL",
                params![
                    lease.lane,
                    lease.fence,
                    end.cursor,
                    end.next_due,
                    completed || end.start_over,
                    end.spent,
                ],
            )?;
            if held == 0 {
                return Err(fenced(&lease).into());
            }
            transaction.execute(
                "UPDATE run SET state = ?2, finished = ?3, counts = COALESCE(?4, counts),
                        api_calls = MAX(api_calls, ?5), error = ?6,
                        cursor_to = (SELECT cursor FROM lane WHERE name = run.lane)
                 WHERE id = ?1",
                params![
                    blob(end.run.0),
                    end.state.name(),
                    end.now,
                    (end.counts != Counts::default()).then(|| counts_text(&end.counts)),
                    end.api_calls as i64,
                    end.error,
                ],
            )?;
            if completed {
                log::resolve_lane(transaction, &lease.lane, end.run, end.now)?;
                outbox::send_digests(transaction, &lease.lane, end.run, end.now)?;
            }
            Ok(())
        })
        .await
    }

    /// The latest runs, newest first.
    pub async fn runs(&self, limit: usize) -> Result<Vec<RunRow>, StoreError> {
        self.on(move |_, connection| {
            let mut statement =
                connection.prepare_cached(&format!("{SELECT_RUN} ORDER BY id DESC LIMIT ?1"))?;
            let runs = statement.query_map([limit as i64], run_at)?.collect::<Result<_, _>>()?;
            Ok(runs)
        })
        .await
    }

    pub async fn run(&self, id: RunId) -> Result<RunRow, StoreError> {
        self.on(move |_, connection| {
            let run = connection
                .prepare_cached(&format!("{SELECT_RUN} WHERE id = ?1"))?
                .query_row([blob(id.0)], run_at)
                .optional()?;
            let missing = || StoreError::NotFound { what: "run", name: id.to_string(), did_you_mean: None };
            Ok(run.ok_or_else(missing)?)
        })
        .await
    }
}

/// What a page changes in its lane and run: one update of each. Refuses a lease
/// that has passed on.
pub(super) struct Progress<'a> {
    pub run: RunId,
    pub counts: &'a Counts,
    pub api_calls: u64,
    pub cursor: Option<&'a str>,
    pub resume: Option<&'a str>,
    pub created: u64,
}

/// Moves lane and run on; returns the deals the lane has created by now.
pub(super) fn advance(transaction: &Transaction<'_>, lease: &Lease, page: &Progress<'_>) -> Work<u64> {
    let sequence = transaction
        .prepare_cached(
            "UPDATE lane SET cursor = COALESCE(?3, cursor), resume = COALESCE(?4, resume), sequence = sequence + ?5
             WHERE name = ?1 AND fence = ?2 AND holder IS NOT NULL
             RETURNING sequence",
        )?
        .query_row(params![lease.lane, lease.fence, page.cursor, page.resume, page.created as i64], |row| {
            row.get::<_, i64>(0)
        })
        .optional()?;
    let Some(sequence) = sequence else { return Err(fenced(lease).into()) };
    transaction
        .prepare_cached("UPDATE run SET counts = ?2, api_calls = ?3 WHERE id = ?1")?
        .execute(params![blob(page.run.0), counts_text(page.counts), page.api_calls as i64])?;
    Ok(sequence.unsigned_abs())
}

fn fenced(lease: &Lease) -> StoreError {
    StoreError::Fenced { lane: lease.lane.clone() }
}

fn counts_text(counts: &Counts) -> String {
    serde_json::to_string(counts).expect("counts are numbers")
}

const TRIGGERS: [Trigger; 2] = [Trigger::Scheduled, Trigger::Manual];

fn trigger_name(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Scheduled => "scheduled",
        Trigger::Manual => "manual",
    }
}

const SELECT_RUN: &str = "SELECT id, lane, kind, trigger, backfill, started, finished, state, counts,
    cursor_from, cursor_to, api_calls, error FROM run";

fn run_at(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: RunId(uuid_at(row, 0)?),
        lane: row.get(1)?,
        kind: named_at(row, 2, |name| {
            [Kind::Full, Kind::Incremental].into_iter().find(|kind| kind.name() == name)
        })?,
        trigger: named_at(row, 3, |name| {
            TRIGGERS.into_iter().find(|trigger| trigger_name(*trigger) == name)
        })?,
        backfill: row.get(4)?,
        started: row.get(5)?,
        finished: row.get(6)?,
        state: named_at(row, 7, RunState::from_name)?,
        counts: named_at(row, 8, |text| serde_json::from_str(text).ok())?,
        cursor_from: row.get(9)?,
        cursor_to: row.get(10)?,
        api_calls: row.get::<_, i64>(11)?.unsigned_abs(),
        error: row.get(12)?,
    })
}

fn lane_at(row: &Row<'_>) -> rusqlite::Result<Lane> {
    Ok(Lane {
        name: row.get(0)?,
        integration: row.get(1)?,
        paused: row.get(2)?,
        holder: row.get(3)?,
        lease_until: row.get(4)?,
        last_run: maybe_uuid_at(row, 5)?.map(RunId),
        next_due: row.get(6)?,
        cursor: row.get(7)?,
        resume: row.get(8)?,
        sequence: row.get::<_, i64>(9)?.unsigned_abs(),
        spent: row.get(10)?,
    })
}
