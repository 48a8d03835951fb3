//! Carries out the plans of a page: data, links, log, outbox and cursor in one
//! transaction, under the lease that planned them.
//!
//! What to do is in the plans; nothing is decided here. A page whose plans want
//! nothing costs one update of the lane and one of the run.

use dealsync_core::ids::{DealId, RunId, SfId};
use dealsync_core::link::{LinkState, RemoteObject};
use dealsync_core::matching::Match;
use dealsync_core::plan::{DealUpdate, Intent, NewDeal, Outcome, Plan};
use rusqlite::{CachedStatement, Connection, params};

use super::lanes::{Progress, advance};
use super::log::LogWriter;
use super::parked::{Asides, NewAside};
use super::sqlite::values::blob;
use super::{Lease, StoreError, TenantInner, TenantStore, Work, outbox};
use crate::run::{Counts, MailPolicy};

/// Everything a page leaves behind.
#[derive(Debug, Clone)]
pub struct PageCommit {
    /// The Salesforce org the records are of.
    pub org: SfId,
    pub run: RunId,
    /// Microseconds.
    pub now: i64,
    pub plans: Vec<Plan>,
    /// For each plan, what the record waits for if it is set aside, such as
    /// [`super::user_key`]; may be shorter than `plans`.
    pub waits: Vec<Vec<String>>,
    /// The run's counts so far, this page included.
    pub counts: Counts,
    /// The run's API calls so far.
    pub api_calls: u64,
    /// The lane's new cursor; `None` leaves it where it is.
    pub cursor: Option<String>,
    /// Where a full run goes on if it is cut off here; `None` leaves that as it is.
    pub resume: Option<String>,
    pub mail: MailPolicy,
    /// Show the date the record was created in Salesforce, as backfills do (S2).
    pub keep_created: bool,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitResult {
    /// Rows outside of lane and run.
    pub rows: u64,
    pub created: u64,
    pub mails: u64,
    /// Deals the lane has created up to now: the sequence of the next page.
    pub sequence: u64,
}

impl TenantStore {
    /// Carries out a page, or nothing of it. [`StoreError::Fenced`] where the lease
    /// has passed on; [`StoreError::Conflict`] where a link would be made twice:
    /// the plans were made from facts that no longer hold.
    pub async fn commit_page(&self, lease: &Lease, page: PageCommit) -> Result<CommitResult, StoreError> {
        let lease = lease.clone();
        self.change(move |tenant, transaction| {
            let created = page.plans.iter().filter(|plan| plan.outcome == Outcome::Created).count() as u64;
            let progress = Progress {
                run: page.run,
                counts: &page.counts,
                api_calls: page.api_calls,
                cursor: page.cursor.as_deref(),
                resume: page.resume.as_deref(),
                created,
            };
            let sequence = advance(transaction, &lease, &progress)?;
            let mut result = CommitResult { created, sequence, ..CommitResult::default() };
            let before = transaction.total_changes();
            apply(tenant, transaction, &lease, &page, &mut result)?;
            result.rows = transaction.total_changes() - before;
            Ok(result)
        })
        .await
    }
}

fn apply(
    tenant: &TenantInner,
    connection: &Connection,
    lease: &Lease,
    page: &PageCommit,
    result: &mut CommitResult,
) -> Work<()> {
    if page.plans.iter().all(|plan| plan.intents.is_empty()) {
        if let Some(org) = tenant.org(connection, page.org)? {
            Asides::new(connection, org).looked_at(page.plans.iter().map(|plan| plan.sf_id), page.now)?;
        }
        return Ok(());
    }
    let org = tenant.org_or_new(connection, page.org)?;
    let asides = Asides::new(connection, org);
    let unmoved = page.plans.iter().filter(|plan| plan.intents.is_empty()).map(|plan| plan.sf_id);
    asides.looked_at(unmoved, page.now)?;
    let mut writer = Writer {
        connection,
        org,
        page,
        deals: Deals::new(connection)?,
        log: LogWriter { connection, tenant, org, lane: &lease.lane, run: page.run, now: page.now },
        asides,
        lane: &lease.lane,
    };
    for (at, plan) in page.plans.iter().enumerate() {
        if !plan.intents.is_empty() {
            writer.carry_out(plan, page.waits.get(at).map_or(&[], Vec::as_slice))?;
        }
    }
    if page.mail == MailPolicy::Each {
        result.mails = result.created;
    }
    Ok(())
}

struct Writer<'c> {
    connection: &'c Connection,
    org: i64,
    page: &'c PageCommit,
    deals: Deals<'c>,
    log: LogWriter<'c>,
    asides: Asides<'c>,
    lane: &'c str,
}

impl Writer<'_> {
    fn carry_out(&mut self, plan: &Plan, waits: &[String]) -> Work<()> {
        // A new record without reasons has nothing open in the log, unless it
        // was set aside; so most first imports never ask it.
        let mut tell = !plan.reasons.is_empty();
        for intent in &plan.intents {
            match intent {
                Intent::CreateDeal(new) => self.create(plan, new)?,
                Intent::UpdateDeal(update) => {
                    tell = true;
                    self.update(plan, update)?;
                }
                Intent::MoveBase { base, base_source } => {
                    tell = true;
                    self.move_base(plan, base, base_source)?;
                }
                Intent::SetLinkState(state) => {
                    tell = true;
                    self.set_link_state(plan, *state)?;
                }
                Intent::MoveLink { deal, from } => self.move_link(plan, *deal, *from)?,
                Intent::NotifyImported { deal, owner } => match self.page.mail {
                    MailPolicy::Each => outbox::tell_owner(self.connection, *deal, *owner, self.page.now)?,
                    MailPolicy::Digest => outbox::collect(self.connection, self.lane, *deal, *owner)?,
                    MailPolicy::None => {}
                },
                Intent::SetAside(kind) => {
                    tell = true;
                    let aside = NewAside {
                        sf_id: plan.sf_id,
                        kind: *kind,
                        name: &plan.name,
                        reasons: &plan.reasons,
                        primary: plan.primary().map(|reason| reason.code),
                        waits,
                        lane: self.lane,
                        run: self.page.run,
                        now: self.page.now,
                    };
                    self.asides.put(&aside)?;
                }
                Intent::TakeBack => {
                    tell = true;
                    self.asides.take_back(plan.sf_id)?;
                }
                Intent::Log => tell = true,
            }
        }
        if tell { self.log.tell(plan) } else { Ok(()) }
    }

    fn create(&mut self, plan: &Plan, new: &NewDeal) -> Work<()> {
        let now = self.page.now;
        let owner = blob(new.owner.id().0);
        let account = blob(new.account.id().0);
        let contact = blob(new.contact.id().0);
        match new.account {
            Match::Known(_) => {}
            Match::Adopt(_) => {
                let adopted = self
                    .connection
                    .prepare_cached(
                        "UPDATE account SET org = ?3, sf_id = ?4, name_key = NULL
                         WHERE id = ?1 AND owner = ?2 AND sf_id IS NULL",
                    )?
                    .execute(params![account, owner, self.org, new.account_sf_id.as_str()])?;
                one(adopted, "account")?;
            }
            Match::Create(_) => {
                self.deals.account.execute(params![
                    account,
                    owner,
                    self.org,
                    new.account_sf_id.as_str(),
                    new.account_name,
                    now,
                ])?;
            }
        }
        match new.contact {
            Match::Known(_) => {}
            Match::Adopt(_) => {
                let adopted = self
                    .connection
                    .prepare_cached(
                        "UPDATE contact SET org = ?3, sf_id = ?4, email_key = NULL
                         WHERE id = ?1 AND owner = ?2 AND sf_id IS NULL",
                    )?
                    .execute(params![contact, owner, self.org, new.contact_sf_id.as_str()])?;
                one(adopted, "contact")?;
            }
            Match::Create(_) => {
                self.deals.contact.execute(params![
                    contact,
                    owner,
                    account,
                    self.org,
                    new.contact_sf_id.as_str(),
                    new.contact_first_name,
                    new.contact_last_name,
                    new.contact_email,
                    now,
                ])?;
            }
        }
        let deal = blob(new.deal.0);
        let shown = if self.page.keep_created { plan.created } else { now };
        self.deals.deal.execute(params![
            deal,
            owner,
            new.owner.partner().map(|user| blob(user.0)),
            new.owner.distributor().map(|user| blob(user.0)),
            account,
            contact,
            shown,
            blob(self.page.run.0),
            plan.created,
            plan.modstamp,
            new.fields,
        ])?;
        self.deals.link.execute(params![
            self.org,
            plan.sf_id.as_str(),
            deal,
            owner,
            RemoteObject::Opportunity.name(),
            LinkState::Linked.name(),
            plan.modstamp,
            new.base,
            new.base_source,
        ])?;
        Ok(())
    }

    fn update(&mut self, plan: &Plan, update: &DealUpdate) -> Work<()> {
        let updated = self
            .connection
            .prepare_cached("UPDATE deal SET fields = ?2, updated_at = MAX(updated_at, ?3) WHERE id = ?1")?
            .execute(params![blob(update.deal.0), update.fields, plan.modstamp])?;
        one(updated, "deal")?;
        self.connection
            .prepare_cached("INSERT INTO deal_change (deal, at, run, changes) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                blob(update.deal.0),
                self.page.now,
                blob(self.page.run.0),
                super::deals::changes_text(&update.changes),
            ])?;
        Ok(())
    }

    fn move_base(&mut self, plan: &Plan, base: &str, base_source: &str) -> Work<()> {
        let moved = self
            .connection
            .prepare_cached(
                "UPDATE link SET base = ?3, base_source = ?4, modstamp = ?5, state = 'linked'
                 WHERE org = ?1 AND sf_id = ?2",
            )?
            .execute(params![self.org, plan.sf_id.as_str(), base, base_source, plan.modstamp])?;
        one(moved, "link")
    }

    fn set_link_state(&mut self, plan: &Plan, state: LinkState) -> Work<()> {
        let set = self
            .connection
            .prepare_cached("UPDATE link SET state = ?3 WHERE org = ?1 AND sf_id = ?2")?
            .execute(params![self.org, plan.sf_id.as_str(), state.name()])?;
        one(set, "link")
    }

    fn move_link(&mut self, plan: &Plan, deal: DealId, from: SfId) -> Work<()> {
        let moved = self
            .connection
            .prepare_cached(
                "UPDATE link SET sf_id = ?3, object = 'Opportunity', state = 'linked', modstamp = ?5
                 WHERE org = ?1 AND sf_id = ?2 AND deal = ?4",
            )?
            .execute(params![self.org, from.as_str(), plan.sf_id.as_str(), blob(deal.0), plan.modstamp])?;
        one(moved, "link")
    }
}

/// A row that a plan relies on is there: otherwise its facts no longer hold, and
/// the page has to be planned again.
fn one(changed: usize, what: &str) -> Work<()> {
    if changed == 1 {
        return Ok(());
    }
    let source = rusqlite::Error::StatementChangedRows(changed);
    Err(StoreError::Conflict { what: what.to_owned(), source }.into())
}

/// The statements of a first import, prepared once a page.
struct Deals<'c> {
    account: CachedStatement<'c>,
    contact: CachedStatement<'c>,
    deal: CachedStatement<'c>,
    link: CachedStatement<'c>,
}

impl<'c> Deals<'c> {
    fn new(connection: &'c Connection) -> Work<Self> {
        Ok(Self {
            account: connection.prepare_cached(
                "INSERT INTO account (id, owner, org, sf_id, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            contact: connection.prepare_cached(
                "INSERT INTO contact (id, owner, account, org, sf_id, first_name, last_name, email, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            deal: connection.prepare_cached(
                "INSERT INTO deal (id, owner, partner, distributor, account, contact, status, source, created_at,
                    created_run, sf_created_at, updated_at, fields)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'registered', 'imported', ?7, ?8, ?9, ?10, ?11)",
            )?,
            link: connection.prepare_cached(
                "INSERT INTO link (org, sf_id, deal, owner, object, state, modstamp, base, base_source)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
        })
    }
}
