//! Runs lanes when they are due, and sends the mails that are: looks at the clock
//! each second, at a tenant's file only when its row in the registry says so. When
//! a lane is due is decided by `dealsync_core::schedule`.

use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dealsync_core::ids::TenantId;
use dealsync_core::schedule::{Due, Past, Rhythm, Turn, due, next_due};
use dealsync_core::value::timestamp_text;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::app::{App, AppError, FailureKind};
use crate::notify;
use crate::run::{Counts, Kind, Request, Trigger, Watch};
use crate::settings::TenantSettings;
use crate::store::{Lane, RunRow, RunState};

/// Tenants worked on at a time; one tenant's lanes run one after the other.
pub const TENANTS_AT_ONCE: usize = 4;
const TICK: Duration = Duration::from_secs(1);
/// Runs looked back at to find the last full one.
const RUNS_BACK: usize = 1_000;
/// How long a tenant's mails may take in one turn.
const MAIL_TIME: Duration = Duration::from_secs(60);
/// A tenant that could not be looked at is looked at again after this, microseconds.
const LOOK_AGAIN: i64 = 60 * 1_000_000;
/// How long a run may take to finish its page when the service stops.
const STOP_TIME: Duration = Duration::from_secs(30);

/// What a tenant wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The lane that is due first, and when.
    pub next: Option<(String, Due)>,
    pub outbox_due: Option<i64>,
    /// `ok`, `errors`, `paused`, `off`.
    pub health: &'static str,
}

/// Looks into a tenant's file: which lane is due next, and when a mail is.
pub async fn look(app: &App, tenant: &TenantId) -> Result<Outlook, AppError> {
    let store = app.store().tenant(tenant).await?;
    let Some(version) = store.settings().await? else { return Ok(Outlook::off()) };
    let settings = TenantSettings::parse(&version.toml)?;
    let outbox_due = if notify::is_set_up(&settings) { store.outbox_counts().await?.next_due } else { None };
    if settings.connection.is_none() || !settings.deal_registration.pull_opportunities {
        return Ok(Outlook { outbox_due, ..Outlook::off() });
    }
    let rhythm = Rhythm {
        full: settings.schedule.full.0,
        incremental: settings.schedule.incremental.map(|every| every.0),
    };
    let runs = store.runs(RUNS_BACK).await?;
    let mut outlook = Outlook { next: None, outbox_due, health: "ok" };
    for lane in store.lanes().await? {
        let past = past(&lane, &runs);
        if past.paused {
            outlook.health = "paused";
        } else if past.failures > 0 && outlook.health == "ok" {
            outlook.health = "errors";
        }
        let Some(mut due) = next_due(tenant, &rhythm, &past) else { continue };
        if let Some(asked) = asked_for(&lane, &runs) {
            due.at = due.at.min(asked);
        }
        if outlook.next.as_ref().is_none_or(|(_, first)| due.at < first.at) {
            outlook.next = Some((lane.name, due));
        }
    }
    Ok(outlook)
}

/// Looks into a tenant's file and notes in the registry when to look again. Called
/// after whatever may have changed that.
pub async fn note(app: &App, tenant: &TenantId) -> Result<Outlook, AppError> {
    let outlook = look(app, tenant).await?;
    let next = outlook.next.as_ref().map(|(_, due)| due.at);
    app.store().set_status(tenant, next, outlook.outbox_due, outlook.health).await?;
    Ok(outlook)
}

impl Outlook {
    fn off() -> Self {
        Self { next: None, outbox_due: None, health: "off" }
    }
}

/// What a lane did so far, out of its runs, the latest first.
fn past(lane: &Lane, runs: &[RunRow]) -> Past {
    let ours = || runs.iter().filter(|run| run.lane == lane.name);
    let good = || ours().filter(|run| run.state == RunState::Completed);
    let full = || good().filter(|run| run.kind == Kind::Full && !run.backfill);
    // What a person starts in between does not move the hour (S36).
    let last_full = full().find(|run| run.trigger == Trigger::Scheduled).or_else(|| full().next());
    let failed: Vec<_> = ours()
        .take_while(|run| run.state != RunState::Completed)
        .filter(|run| run.state == RunState::Failed)
        .collect();
    Past {
        paused: lane.paused.is_some(),
        last_full: last_full.map(|run| run.started),
        last_any: good().next().map(|run| run.started),
        last_failure: failed.first().map(|run| run.finished.unwrap_or(run.started)),
        failures: failed.len() as u32,
    }
}

/// The time a person asked the lane to go on at, unless it has run since.
fn asked_for(lane: &Lane, runs: &[RunRow]) -> Option<i64> {
    let last = runs.iter().find(|run| run.lane == lane.name).map(|run| run.started);
    lane.next_due.filter(|at| last.is_none_or(|last| *at > last))
}

/// Tells the scheduler of tenants that something was done to.
#[derive(Debug, Clone)]
pub struct Bell(mpsc::UnboundedSender<TenantId>);

impl Bell {
    pub fn ring(&self, tenant: TenantId) {
        // Nobody listens any more where the service is stopping.
        let _ = self.0.send(tenant);
    }
}

/// The scheduler before it runs, and the bell to it.
#[derive(Debug)]
pub struct Scheduler {
    app: App,
    rung: mpsc::UnboundedReceiver<TenantId>,
    busy: HashSet<TenantId>,
    turns: JoinSet<TenantId>,
    stop: Arc<Stop>,
}

/// Asks runs to end after the page at hand.
#[derive(Debug, Default)]
struct Stop {
    asked: AtomicBool,
}

impl Scheduler {
    pub fn new(app: App) -> (Self, Bell) {
        let (bell, rung) = mpsc::unbounded_channel();
        let scheduler = Self { app, rung, busy: HashSet::new(), turns: JoinSet::new(), stop: Arc::default() };
        (scheduler, Bell(bell))
    }

    /// Runs until `shutdown`, then lets the pages at hand be finished.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        self.look_at_all().await;
        let mut shutdown = pin!(shutdown);
        loop {
            self.start_due().await;
            let app = self.app.clone();
            tokio::select! {
                () = &mut shutdown => break,
                Some(done) = self.turns.join_next() => self.ended(done),
                Some(tenant) = self.rung.recv() => self.look_again(&tenant).await,
                () = app.clock().sleep(TICK) => {}
            }
        }
        self.finish().await;
    }

    /// What the registry says may be older than what was done without a service.
    async fn look_at_all(&self) {
        let tenants = match self.app.store().tenants().await {
            Ok(tenants) => tenants,
            Err(error) => return tracing::error!(%error, "The registry cannot be read: {error}"),
        };
        for status in tenants {
            self.look_again(&status.tenant).await;
        }
    }

    async fn look_again(&self, tenant: &TenantId) {
        if let Err(error) = note(&self.app, tenant).await {
            tracing::warn!(tenant.id = %tenant, %error, "{tenant} cannot be looked at: {error}");
        }
    }

    /// Starts a turn for each tenant that is due, the longest overdue first, as far
    /// as there are places.
    async fn start_due(&mut self) {
        let places = TENANTS_AT_ONCE - self.turns.len().min(TENANTS_AT_ONCE);
        if places == 0 {
            return;
        }
        let now = self.app.clock().now_micros();
        let mut waiting = match self.app.store().tenants().await {
            Ok(tenants) => tenants,
            Err(error) => return tracing::error!(%error, "The registry cannot be read: {error}"),
        };
        let at = |next: Option<i64>, mail: Option<i64>| [next, mail].into_iter().flatten().min();
        waiting.retain(|status| {
            let due = at(status.next_due, status.outbox_due).is_some_and(|at| at <= now);
            due && !self.busy.contains(&status.tenant)
        });
        waiting.sort_by_key(|status| at(status.next_due, status.outbox_due));
        for status in waiting.into_iter().take(places) {
            let (app, stop, tenant) = (self.app.clone(), self.stop.clone(), status.tenant);
            self.busy.insert(tenant.clone());
            self.turns.spawn(async move {
                turn(&app, &tenant, &stop).await;
                tenant
            });
        }
    }

    fn ended(&mut self, done: Result<TenantId, tokio::task::JoinError>) {
        match done {
            Ok(tenant) => drop(self.busy.remove(&tenant)),
            Err(error) => {
                tracing::error!(%error, "A turn of the scheduler broke off: {error}");
                // Which one it was is not told; those still at work keep their lease.
                self.busy.clear();
            }
        }
    }

    async fn finish(mut self) {
        self.stop.asked.store(true, Ordering::Relaxed);
        let app = self.app.clone();
        let mut time = pin!(app.clock().sleep(STOP_TIME));
        loop {
            tokio::select! {
                done = self.turns.join_next() => {
                    if done.is_none() {
                        return;
                    }
                }
                () = &mut time => {
                    tracing::warn!("Stopped with work at hand; it goes on where it was when started again");
                    return;
                }
            }
        }
    }
}

/// One turn of a tenant: the lane that is due, then the mails that are.
async fn turn(app: &App, tenant: &TenantId, stop: &Stop) {
    let outlook = match look(app, tenant).await {
        Ok(outlook) => outlook,
        Err(error) => {
            tracing::warn!(tenant.id = %tenant, %error, "{tenant} cannot be looked at: {error}");
            return look_later(app, tenant, "errors").await;
        }
    };
    let mut failed = false;
    if let Some((lane, next)) = &outlook.next
        && let Some(kind) = due(Some(*next), app.clock().now_micros())
    {
        failed = !run_lane(app, tenant, lane, kind, stop).await;
    }
    if !stop.asked.load(Ordering::Relaxed) {
        failed |= !deliver(app, tenant).await;
    }
    match note(app, tenant).await {
        Ok(outlook) if failed => {
            // A failure that left no trace must not be repeated each second.
            let soon = app.clock().now_micros() + LOOK_AGAIN;
            let next = outlook.next.map(|(_, due)| due.at.max(soon));
            let outbox = outlook.outbox_due.map(|at| at.max(soon));
            let _ = app.store().set_status(tenant, next, outbox, outlook.health).await;
        }
        Ok(_) => {}
        Err(_) => look_later(app, tenant, "errors").await,
    }
}

async fn look_later(app: &App, tenant: &TenantId, health: &str) {
    let soon = Some(app.clock().now_micros() + LOOK_AGAIN);
    if let Err(error) = app.store().set_status(tenant, soon, None, health).await {
        tracing::error!(%error, "The registry cannot be written: {error}");
    }
}

/// Runs a lane as scheduled; false where it failed.
async fn run_lane(app: &App, tenant: &TenantId, lane: &str, kind: Turn, stop: &Stop) -> bool {
    let kind = match kind {
        Turn::Full => Kind::Full,
        Turn::Incremental => Kind::Incremental,
    };
    let watch = Stopping { stop, page_done: Notify::new() };
    let run = app.run(tenant, lane, Request::scheduled(kind), &watch);
    let done = tokio::select! {
        done = run => done,
        // The page is committed; what is dropped here has changed nothing yet, and
        // the next run goes on behind it.
        () = watch.page_done.notified() => return true,
    };
    match done {
        Ok(report) => {
            let counts = &report.counts;
            tracing::info!(
                tenant.id = %tenant, lane, kind = kind.name(), created = counts.created,
                updated = counts.updated, parked = counts.parked, api_calls = report.api_calls,
                "Ran {tenant} {lane}: {} created, {} updated, {} parked",
                counts.created, counts.updated, counts.parked
            );
            true
        }
        Err(error) if error.kind == FailureKind::Held => false,
        Err(error) => {
            let again = next_try(app, tenant).await;
            tracing::warn!(tenant.id = %tenant, lane, "{tenant} {lane} failed: {error}; {again}");
            false
        }
    }
}

async fn next_try(app: &App, tenant: &TenantId) -> String {
    match look(app, tenant).await {
        Ok(Outlook { next: Some((_, due)), .. }) => format!("tried again at {}", timestamp_text(due.at)),
        _ => "it waits for a person".to_owned(),
    }
}

async fn deliver(app: &App, tenant: &TenantId) -> bool {
    match notify::deliver_due(app, tenant, MAIL_TIME).await {
        Ok(delivered) => {
            if delivered.sent > 0 {
                tracing::info!(tenant.id = %tenant, sent = delivered.sent, "Sent {} mails of {tenant}", delivered.sent);
            }
            true
        }
        Err(error) => {
            tracing::warn!(tenant.id = %tenant, "Mails of {tenant} wait: {error}");
            false
        }
    }
}

/// Lets a run be left between two pages.
struct Stopping<'a> {
    stop: &'a Stop,
    page_done: Notify,
}

impl Watch for Stopping<'_> {
    fn page(&self, _counts: &Counts, _total: u64) {
        if self.stop.asked.load(Ordering::Relaxed) {
            self.page_done.notify_one();
        }
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
