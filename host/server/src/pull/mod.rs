//! The pull lane: Opportunities become deals, page by page.
//!
//! A run gathers, asks the rules, plans, commits, and goes on to the next page,
//! which is fetched meanwhile. What a page needs is in `page`; what vanished from
//! Salesforce is found in `vanished`; where an incremental run looks is in `changes`.

mod changes;
mod page;
mod vanished;

use std::collections::HashSet;
use std::sync::Arc;

use dealsync_core::ids::{RunId, SfId};
use dealsync_core::link::{LinkState, RemoteObject};
use dealsync_core::plan::is_mass_change;
use dealsync_core::reason::{Code, Reason};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::page::{PageContext, Planned};
use crate::app::{App, AppError, FailureKind, LEASE_TTL};
use crate::ready::Ready;
use crate::run::{Backfill, Counts, Kind, Report, Request, Watch};
use crate::salesforce::{Client, Error, Page, PullQuery, Scope};
use crate::store::{Lease, PageCommit, RunEnd, RunState, TenantStore};

/// How far an incremental run reads back behind its cursor: rows of long
/// transactions appear with a stamp earlier than their commit (sync.md d4).
pub const OVERLAP_MICROS: i64 = 600 * 1_000_000;
/// How far Salesforce's clock may be behind ours without a change being missed until
/// the next full run. Where nothing has changed for longer than this and the overlap,
/// nothing is read twice.
const SKEW_MICROS: i64 = 600 * 1_000_000;
/// After a pause longer than this the recycle bin may have been emptied of what was
/// deleted meanwhile (15 days), so everything is looked at.
const AWAY_MAX: i64 = 14 * DAY_MICROS;

/// How far a source was read. Times are SystemModstamps, microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Opportunities are applied up to here.
    pub opportunities: i64,
    /// Contact roles are looked at up to here.
    pub roles: i64,
    /// Contacts that parked records wait on are looked at up to here.
    pub contacts: i64,
    /// When the run that came here began, by our clock; 0 where that is not known.
    #[serde(default)]
    pub at: i64,
}

impl Cursor {
    /// From which stamp on to read a source that was read up to `stamp`.
    fn since(&self, stamp: i64) -> i64 {
        stamp.max(self.at - SKEW_MICROS) - OVERLAP_MICROS
    }
}

/// Where a full run was cut off: the last row of its last committed page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    pub modstamp: i64,
    pub id: String,
    pub counts: Counts,
    /// What is being brought over, where the run is a backfill.
    pub backfill: Option<Backfill>,
    pub started: i64,
}

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// A half-finished full run older than this starts anew, microseconds.
const RESUME_AGE_MAX: i64 = DAY_MICROS;

/// One run of the pull lane, from claimed lease to report.
#[derive(Debug)]
pub(crate) struct Pull<'a> {
    pub app: &'a App,
    pub store: TenantStore,
    pub lease: Option<Lease>,
    pub request: Request,
    pub run: RunId,
    pub started: i64,
}

/// What has been done so far.
#[derive(Debug, Default)]
struct Progress {
    counts: Counts,
    pages: u64,
    seen: HashSet<SfId>,
    /// Deals the lane has created up to now.
    sequence: u64,
    calls_before: u64,
    cursor: Cursor,
    resumed: bool,
    /// Stamp and id of the last row worked on.
    last: Option<(i64, SfId)>,
    /// When the lease was last renewed, microseconds.
    renewed: i64,
    /// Links that end, held back until it is known that they are not too many.
    leaving: Planned,
}

/// How reading a query ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    All,
    /// Salesforce forgot where we were: ask again, behind the last row.
    PlaceLost,
}

/// Times a full run starts its query again before it gives up until the next run.
const QUERY_RESTARTS_MAX: usize = 20;

impl Pull<'_> {
    /// Runs the lane to its end. An error stops the run where it is: what was
    /// committed stays, and the next run takes up from there.
    pub async fn run(mut self, watch: &dyn Watch) -> Result<Report, AppError> {
        let ready = Arc::new(Ready::assemble(self.app, &self.store, &self.request).await?);
        let lane = self.store.lane(crate::app::PULL_LANE).await?;
        let resume = self.resume_point(lane.resume.as_deref());
        if let Some(resume) = &resume {
            self.request.backfill = resume.backfill.clone();
        }
        let mut progress = Progress {
            counts: resume.as_ref().map(|resume| resume.counts.clone()).unwrap_or_default(),
            cursor: lane.cursor.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
            sequence: lane.sequence,
            calls_before: calls(&ready),
            resumed: resume.is_some(),
            ..Progress::default()
        };
        let away = progress.cursor.at > 0 && self.started - progress.cursor.at > AWAY_MAX;
        if away && self.request.kind == Kind::Incremental {
            self.tell(Reason::new(Code::ReplicationWindow, &[])).await?;
        }
        // Without a cursor there is nothing to go on from: everything is looked at.
        match self.request.kind {
            Kind::Incremental if progress.cursor.opportunities > 0 && !away => {
                self.incremental(&ready, &mut progress, watch).await?;
            }
            _ => self.full(&ready, resume, &mut progress, watch).await?,
        }
        self.finish(&ready, &progress).await?;
        let lane = crate::app::PULL_LANE.to_owned();
        Ok(Report {
            tenant: ready.tenant.to_string(),
            lane,
            run: self.run.to_string(),
            kind: self.request.kind,
            dry_run: self.request.dry_run,
            counts: progress.counts,
            pages: progress.pages,
            api_calls: calls(&ready).saturating_sub(progress.calls_before),
            resumed: progress.resumed,
            duration_ms: ((self.app.clock().now_micros() - self.started) / 1_000).max(0) as u64,
        })
    }

    async fn full(
        &self,
        ready: &Arc<Ready>,
        resume: Option<Resume>,
        progress: &mut Progress,
        watch: &dyn Watch,
    ) -> Result<(), AppError> {
        let scope = Scope::Full {
            after: resume.as_ref().and_then(|resume| Some((resume.modstamp, resume.id.parse().ok()?))),
            created_since: since_micros(&self.request),
        };
        let query = self.query(ready)?.scoped(scope);
        let first = ready.client.pull_first(&query).await?;
        let links = self.store.links(ready.org).await?;
        if !progress.resumed && !self.request.confirmed && self.request.backfill.is_none() {
            brake_before(&links, first.total)?;
        }
        let since = since_micros(&self.request);
        let behind = |last: Option<(i64, SfId)>| Scope::Full { after: last, created_since: since };
        self.read(ready, &query, first, behind, progress, watch).await?;
        if !progress.resumed && self.request.backfill.is_none() {
            let mut missing = vanished::missing_links(self, &links, progress)?;
            let asides = self.store.aside_ids(ready.org).await?;
            missing.extend(asides.into_iter().filter(|id| !progress.seen.contains(id)));
            if !missing.is_empty() {
                let plans = vanished::plans(self, ready, &missing).await?;
                self.write(ready, plans, progress, None, watch).await?;
            }
        }
        self.let_go(ready, progress).await
    }

    async fn incremental(
        &self,
        ready: &Arc<Ready>,
        progress: &mut Progress,
        watch: &dyn Watch,
    ) -> Result<(), AppError> {
        let noticed = changes::noticed(self, ready, progress).await?;
        let since = progress.cursor.since(progress.cursor.opportunities);
        let query = self.query(ready)?.scoped(Scope::Changed { since, upper: self.upper() });
        let upper = self.upper();
        let first = ready.client.pull_first(&query).await?;
        let behind = |last: Option<(i64, SfId)>| Scope::Changed {
            since: last.map_or(since, |(stamp, _)| stamp),
            upper,
        };
        self.read(ready, &query, first, behind, progress, watch).await?;
        let due = changes::due(self, ready, noticed, progress).await?;
        for ids in due.chunks(changes::BY_ID_CHUNK) {
            for mut page in ready.client.by_ids(&query, ids).await? {
                ready.client.fill_contacts(&mut page).await?;
                self.page(ready, page, progress, watch).await?;
            }
        }
        self.settle_missing(ready, &due, progress, watch).await?;
        self.let_go(ready, progress).await
    }

    /// Records that were due and that Salesforce shows no more are set aside no longer.
    async fn settle_missing(
        &self,
        ready: &Arc<Ready>,
        due: &[SfId],
        progress: &mut Progress,
        watch: &dyn Watch,
    ) -> Result<(), AppError> {
        let missing: Vec<SfId> = due.iter().copied().filter(|id| !progress.seen.contains(id)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let plans = vanished::unseen(self, ready, missing).await?;
        self.write(ready, plans, progress, None, watch).await
    }

    /// A whole query. Where Salesforce forgets how far we were, asks again from the
    /// last row that was worked on.
    async fn read(
        &self,
        ready: &Arc<Ready>,
        query: &PullQuery,
        mut first: Page,
        behind: impl Fn(Option<(i64, SfId)>) -> Scope,
        progress: &mut Progress,
        watch: &dyn Watch,
    ) -> Result<(), AppError> {
        for _ in 0..QUERY_RESTARTS_MAX {
            match self.pages(ready, first, progress, watch).await? {
                Read::All => return Ok(()),
                Read::PlaceLost => {
                    first = ready.client.pull_first(&query.scoped(behind(progress.last))).await?
                }
            }
        }
        Err(AppError::new("Salesforce lost the place of a long query again and again")
            .hint("the next run goes on from the last page that was committed")
            .kind(FailureKind::Later))
    }

    /// All pages of a query, the next one being fetched while this one is worked on.
    async fn pages(
        &self,
        ready: &Arc<Ready>,
        first: Page,
        progress: &mut Progress,
        watch: &dyn Watch,
    ) -> Result<Read, AppError> {
        let (sender, pages) = mpsc::channel(1);
        let fetcher = fetch(ready.client.clone(), first, sender);
        let worker = async {
            // Owned here, so that a worker that fails frees a fetcher that waits.
            let mut pages = pages;
            while let Some(page) = pages.recv().await {
                match page {
                    Ok(page) => self.page(ready, page, progress, watch).await?,
                    Err(Error::LocatorGone(_)) => return Ok(Read::PlaceLost),
                    Err(error) => return Err(AppError::from(error)),
                }
            }
            Ok(Read::All)
        };
        let ((), read) = tokio::join!(fetcher, worker);
        read
    }

    async fn page(
        &self,
        ready: &Arc<Ready>,
        page: Page,
        progress: &mut Progress,
        watch: &dyn Watch,
    ) -> Result<(), AppError> {
        let last = page.rows.last().map(|row| (row.modstamp, row.id));
        let page = unseen(page, &mut progress.seen);
        let total = page.total;
        self.keep_lease(progress).await?;
        self.tell_unreadable(&page, progress).await?;
        let context = PageContext {
            app: self.app.clone(),
            ready: ready.clone(),
            store: self.store.clone(),
            as_of: self.started,
            seed: self.app.seed_of(&self.run),
        };
        let planned = page::work_out(&context, page, progress.sequence).await?;
        let (rows, created, fuel) = (planned.plans.len(), planned.created, planned.fuel_used);
        let parked = progress.counts.parked;
        self.write(ready, planned, progress, last, watch).await?;
        progress.pages += 1;
        let parked = progress.counts.parked - parked;
        tracing::info!(
            tenant.id = %ready.tenant, lane = crate::app::PULL_LANE, rows, created, parked, fuel,
            "Pulled a page for {}: {rows} rows, {created} created, {parked} parked", ready.tenant
        );
        progress.last = last.or(progress.last);
        watch.page(&progress.counts, total);
        Ok(())
    }

    /// Holds on to the lane while a long run is at it.
    async fn keep_lease(&self, progress: &mut Progress) -> Result<(), AppError> {
        let now = self.app.clock().now_micros();
        if let Some(lease) = &self.lease
            && now - progress.renewed.max(self.started) > LEASE_TTL / 3
        {
            self.store.renew(lease, now, LEASE_TTL).await?;
            progress.renewed = now;
        }
        Ok(())
    }

    /// Rows without so much as an id cannot be set aside; they are counted and said.
    async fn tell_unreadable(&self, page: &Page, progress: &mut Progress) -> Result<(), AppError> {
        for text in &page.unreadable {
            let reason = Reason::new(Code::RecordUnreadable, &[("text", text)]);
            progress.counts.unreadable(&reason);
            self.tell(reason).await?;
        }
        Ok(())
    }

    /// Puts into the log what is about the run as a whole.
    async fn tell(&self, reason: Reason) -> Result<(), AppError> {
        if let Some(lease) = &self.lease {
            self.store.log_run(&lease.lane, self.run, reason, self.app.clock().now_micros()).await?;
        }
        Ok(())
    }

    /// Counts the plans and commits them, unless the run is dry. Those that end a
    /// link are held back.
    async fn write(
        &self,
        ready: &Arc<Ready>,
        mut planned: Planned,
        progress: &mut Progress,
        last: Option<(i64, SfId)>,
        watch: &dyn Watch,
    ) -> Result<(), AppError> {
        for plan in &planned.plans {
            if self.request.dry_run {
                watch.planned(plan);
            }
            progress.counts.add(plan);
            progress.cursor.opportunities = progress.cursor.opportunities.max(plan.modstamp);
        }
        if !self.request.confirmed {
            planned.hold_back(&mut progress.leaving);
        }
        self.commit(ready, planned, progress, last).await
    }

    /// Ends the links that were held back, unless they are too many at once.
    async fn let_go(&self, ready: &Arc<Ready>, progress: &mut Progress) -> Result<(), AppError> {
        let leaving = std::mem::take(&mut progress.leaving);
        if leaving.plans.is_empty() {
            return Ok(());
        }
        let links = self.store.linked_count(ready.org).await?;
        mass_change(leaving.plans.len() as u64, links)?;
        self.commit(ready, leaving, progress, None).await
    }

    async fn commit(
        &self,
        ready: &Arc<Ready>,
        planned: Planned,
        progress: &mut Progress,
        last: Option<(i64, SfId)>,
    ) -> Result<(), AppError> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let resume = last.filter(|_| self.request.kind == Kind::Full).map(|(modstamp, id)| Resume {
            modstamp,
            id: id.to_string(),
            counts: progress.counts.clone(),
            backfill: self.request.backfill.clone(),
            started: self.started,
        });
        let commit = PageCommit {
            org: ready.org,
            run: self.run,
            now: self.app.clock().now_micros(),
            plans: planned.plans,
            waits: planned.waits,
            counts: progress.counts.clone(),
            cursor: None,
            resume: resume.as_ref().map(json),
            mail: self.request.mail(),
            keep_created: self.request.backfill.is_some(),
            api_calls: calls(ready).saturating_sub(progress.calls_before),
        };
        let done = self.store.commit_page(lease, commit).await?;
        progress.sequence = done.sequence;
        Ok(())
    }

    async fn finish(&self, ready: &Arc<Ready>, progress: &Progress) -> Result<(), AppError> {
        let Some(lease) = &self.lease else { return Ok(()) };
        let opportunities = progress.cursor.opportunities;
        let cursor = Cursor {
            opportunities,
            roles: progress.cursor.roles.max(opportunities),
            contacts: progress.cursor.contacts.max(opportunities),
            at: self.started,
        };
        let end = RunEnd {
            run: self.run,
            state: RunState::Completed,
            now: self.app.clock().now_micros(),
            counts: progress.counts.clone(),
            api_calls: calls(ready).saturating_sub(progress.calls_before),
            cursor: Some(json(&cursor)),
            next_due: None,
            start_over: false,
            spent: Some(crate::connect::spent(&ready.client)),
            error: None,
        };
        self.store.finish_run(lease, end).await?;
        self.app.keep_describes(&self.store, &ready.settings, &ready.client).await
    }

    fn query(&self, ready: &Ready) -> Result<PullQuery, AppError> {
        PullQuery::new(ready.chain.source(), &ready.fields).map_err(|error| AppError::new(error.to_string()))
    }

    /// A stamp that no record has yet. The cursor comes from the records, so it
    /// does not matter that our clock and Salesforce's differ.
    fn upper(&self) -> i64 {
        self.started + DAY_MICROS
    }

    /// Where a full run was cut off, if that is not too long ago. A backfill that was
    /// cut off is finished as one, whoever runs next: its owners are not mailed and its
    /// dates are kept. A run that a person confirmed starts at the beginning.
    fn resume_point(&self, stored: Option<&str>) -> Option<Resume> {
        if self.request.kind != Kind::Full || self.lease.is_none() {
            return None;
        }
        let resume: Resume = serde_json::from_str(stored?).ok()?;
        let fresh = self.started - resume.started < RESUME_AGE_MAX;
        let same = resume.backfill == self.request.backfill || self.request.backfill.is_none();
        (fresh && same && !self.request.confirmed).then_some(resume)
    }
}

/// Stops before anything is applied where far fewer records answer than are
/// linked: a permission was lost, or a flag cleared by mistake.
fn brake_before(links: &[(SfId, LinkState, RemoteObject)], answering: u64) -> Result<(), AppError> {
    let linked = links.iter().filter(|link| is_followed(link)).count() as u64;
    mass_change(linked.saturating_sub(answering), linked)
}

/// True for links whose record a full run is to find.
fn is_followed((_, state, object): &(SfId, LinkState, RemoteObject)) -> bool {
    *state == LinkState::Linked && *object == RemoteObject::Opportunity
}

/// The error of a run that is stopped by the mass-change brake.
pub(crate) fn mass_change(vanishing: u64, links: u64) -> Result<(), AppError> {
    if !is_mass_change(vanishing, links) {
        return Ok(());
    }
    let values = [("n", &*vanishing.to_string()), ("m", &*links.to_string())];
    Err(AppError::coded(Reason::new(Code::MassChangeStopped, &values))
        .hint("if that is meant, run again with --confirm"))
}

/// Fetches page after page with their contacts, at most one ahead of the worker.
async fn fetch(client: Client, first: Page, sender: mpsc::Sender<Result<Page, Error>>) {
    let mut page = Ok(first);
    loop {
        let next = match &mut page {
            Ok(fetched) => fetched.next.take(),
            Err(_) => None,
        };
        let filled = match page {
            Ok(mut fetched) => client.fill_contacts(&mut fetched).await.map(|()| fetched),
            Err(error) => Err(error),
        };
        let failed = filled.is_err();
        // Where nobody receives any more, the run has failed and fetching ends with it.
        if sender.send(filled).await.is_err() || failed {
            return;
        }
        let Some(next) = next else { return };
        page = client.pull_next(&next).await;
    }
}

/// Calls charged to the connection so far today.
fn calls(ready: &Ready) -> u64 {
    u64::from(ready.client.budget().counters().total())
}

fn since_micros(request: &Request) -> Option<i64> {
    request.backfill.as_ref()?.since.map(|day| i64::from(day) * DAY_MICROS)
}

/// Drops rows that this run has planned already: an overlapping or repeated page
/// brings them twice.
fn unseen(mut page: Page, seen: &mut HashSet<SfId>) -> Page {
    let keep: Vec<bool> = page.rows.iter().map(|row| seen.insert(row.id)).collect();
    if keep.contains(&false) {
        page.retain(&keep);
    }
    page
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types are JSON")
}
