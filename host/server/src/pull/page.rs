//! One page of Opportunities: gather facts, ask the rules, plan, commit.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use dealsync_core::answers::{Context, FaultKind, RuleFault};
use dealsync_core::ids::{AccountId, ContactId, DealId, SfId};
use dealsync_core::link::LinkState;
use dealsync_core::matching::{Shelves, normal_name};
use dealsync_core::people::{Directory, normal_email};
use dealsync_core::plan::{Contacts, Facts, FreshIds, Intent, Plan, Source, Stored, StoredDeal, plan};
use dealsync_rules::Decided;

use crate::app::{App, AppError, FailureKind};
use crate::ready::Ready;
use crate::salesforce::{self, Page};
use crate::store::{SETTINGS_KEY, ShelfKey, TenantStore};

/// A page worked out, not written yet.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub plans: Vec<Plan>,
    /// What each set-aside record waits on, one list per plan.
    pub waits: Vec<Vec<String>>,
    pub created: u64,
    pub fuel_used: u64,
}

impl Planned {
    /// Moves the plans that end a link over to `leaving`.
    pub fn hold_back(&mut self, leaving: &mut Self) {
        let ends = |intent: &Intent| {
            matches!(intent, Intent::SetLinkState(LinkState::OutOfScope | LinkState::RemoteDeleted))
        };
        if !self.plans.iter().any(|plan| plan.intents.iter().any(ends)) {
            return;
        }
        let waits = std::mem::take(&mut self.waits).into_iter().chain(std::iter::repeat_with(Vec::new));
        for (plan, waits) in std::mem::take(&mut self.plans).into_iter().zip(waits) {
            let to = if plan.intents.iter().any(ends) { &mut *leaving } else { &mut *self };
            to.plans.push(plan);
            to.waits.push(waits);
        }
    }
}

/// What stays the same for all pages of a run.
#[derive(Debug, Clone)]
pub(super) struct PageContext {
    pub app: App,
    pub ready: Arc<Ready>,
    pub store: TenantStore,
    pub as_of: i64,
    pub seed: u64,
}

/// Works one page out. Nothing is written; a dry run ends here.
pub(super) async fn work_out(context: &PageContext, page: Page, sequence: u64) -> Result<Planned, AppError> {
    let ids: Vec<SfId> = page.rows.iter().map(|row| row.id).collect();
    let ready = &context.ready;
    let mut stored = context.store.facts(ready.org, &ids).await?;
    note_conversions(context, &page, &mut stored).await?;
    let is_new: Vec<bool> = stored.iter().map(|stored| stored.link.is_none()).collect();
    let asked = ask(context, page, is_new, sequence).await?;
    blame_ourselves(&asked.decided)?;
    let mut sources = Vec::with_capacity(asked.page.rows.len());
    for row in &asked.page.rows {
        sources.push(source(row));
    }
    let mut shelves = shelves(context, &sources, &asked.decided).await?;
    let work = Work { app: &context.app, ready, asked: &asked, sources: &sources };
    let mut plans: Vec<Plan> = Vec::with_capacity(sources.len());
    for (row, stored) in stored.iter().enumerate() {
        plans.push(work.plan(row, stored, &mut shelves));
    }
    again_with_deals(context, &work, &mut stored, &mut plans, &mut shelves).await?;
    let waits = plans.iter().zip(&sources).map(|(plan, source)| waits_on(plan, source)).collect();
    let created =
        plans.iter().filter(|plan| plan.outcome == dealsync_core::plan::Outcome::Created).count() as u64;
    let fuel_used = asked.decided.used.iter().map(|usage| usage.fuel_used).sum();
    Ok(Planned { plans, waits, created, fuel_used })
}

struct Asked {
    page: Page,
    decided: Decided,
}

/// Asks the chain, on a thread that may compute.
async fn ask(context: &PageContext, page: Page, is_new: Vec<bool>, sequence: u64) -> Result<Asked, AppError> {
    let ready = context.ready.clone();
    let call =
        Context { flow: crate::ready::FLOW.to_owned(), as_of: context.as_of, seed: context.seed, sequence };
    let work = move || {
        let directory: Arc<dyn Directory> = ready.directory.clone();
        let decided = ready.chain.decide(&call, &page.batch, &is_new, &directory);
        Asked { page, decided }
    };
    tokio::task::spawn_blocking(work).await.map_err(AppError::bug)
}

/// A full sandbox or a fault of the host is no record's and no rule's doing: the
/// run stops here and is tried again.
fn blame_ourselves(decided: &Decided) -> Result<(), AppError> {
    let ours = |fault: &&RuleFault| matches!(fault.kind, FaultKind::HostBusy | FaultKind::HostBug);
    match decided.rows.iter().filter_map(|row| row.fault.as_ref()).find(ours) {
        None => Ok(()),
        Some(fault) if fault.kind == FaultKind::HostBusy => {
            Err(AppError::new("the sandbox is full at the moment").kind(FailureKind::Later))
        }
        Some(fault) => Err(AppError::bug(&fault.message)),
    }
}

struct Work<'a> {
    app: &'a App,
    ready: &'a Ready,
    asked: &'a Asked,
    sources: &'a [Source],
}

impl Work<'_> {
    fn plan(&self, row: usize, stored: &Stored, shelves: &mut Shelves) -> Plan {
        let facts = Facts {
            source: &self.sources[row],
            stored,
            draft: &self.asked.decided.draft,
            read: &self.asked.page.batch,
            row,
            source_schema: self.ready.chain.source(),
            target_schema: self.ready.chain.target(),
            answer: &self.asked.decided.rows[row],
            policy: &self.ready.policy,
            directory: &*self.ready.directory,
            fresh: FreshIds {
                deal: DealId(self.app.fresh_id()),
                account: AccountId(self.app.fresh_id()),
                contact: ContactId(self.app.fresh_id()),
            },
        };
        plan(&facts, shelves)
    }
}

/// A linked record that differs from its base is merged with the deal; the deal
/// is read for those records only.
async fn again_with_deals(
    context: &PageContext,
    work: &Work<'_>,
    stored: &mut [Stored],
    plans: &mut [Plan],
    shelves: &mut Shelves,
) -> Result<(), AppError> {
    // A conflict that a person has to settle moves nothing, and is told all the same.
    let moves =
        |intent: &Intent| matches!(intent, Intent::UpdateDeal(_) | Intent::MoveBase { .. } | Intent::Log);
    let differs = |row: &usize| stored[*row].link.is_some() && plans[*row].intents.iter().any(moves);
    let differing: Vec<usize> = (0..plans.len()).filter(differs).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let deals: Vec<DealId> = differing.iter().filter_map(|row| plans[*row].deal).collect();
    let mut deals: HashMap<DealId, StoredDeal> = context.store.deals_for(&deals).await?;
    for row in differing {
        stored[row].deal = plans[row].deal.and_then(|deal| deals.remove(&deal));
        plans[row] = work.plan(row, &stored[row], shelves);
    }
    Ok(())
}

/// Finds new Opportunities that are our own Leads, converted (sync.md d5 15). Asks
/// Salesforce only where the tenant has linked Leads at all.
async fn note_conversions(context: &PageContext, page: &Page, stored: &mut [Stored]) -> Result<(), AppError> {
    let new: Vec<SfId> = page
        .rows
        .iter()
        .zip(stored.iter())
        .filter(|(row, stored)| stored.link.is_none() && row.import_flag && !row.deleted)
        .map(|(row, _)| row.id)
        .collect();
    if new.is_empty() || !context.store.has_lead_links(context.ready.org).await? {
        return Ok(());
    }
    let converted = context.ready.client.converted_leads(&new).await?;
    let leads: Vec<SfId> = converted.iter().map(|(lead, _)| *lead).collect();
    let known = context.store.facts(context.ready.org, &leads).await?;
    for ((_, opportunity), lead) in converted.iter().zip(known) {
        if let (Some(link), Some(row)) = (lead.link, page.rows.iter().position(|row| row.id == *opportunity))
        {
            stored[row].converted_from = Some(link);
        }
    }
    Ok(())
}

/// What the owners of this page's new records already have.
async fn shelves(context: &PageContext, sources: &[Source], decided: &Decided) -> Result<Shelves, AppError> {
    let email = context.ready.chain.target().ix(dealsync_core::deal::CONTACT_EMAIL);
    let mut keys = Vec::new();
    for (row, source) in sources.iter().enumerate() {
        let answer = &decided.rows[row];
        let (Some(assignment), Some((account, name)), Contacts::Readable { id: contact }) =
            (answer.assignment, &source.account, &source.contacts)
        else {
            continue;
        };
        let address = email.and_then(|ix| decided.draft.field(row, ix).as_text()).unwrap_or_default();
        keys.push(ShelfKey {
            owner: assignment.owner,
            account: *account,
            account_key: normal_name(name),
            contact: *contact,
            contact_key: normal_email(address),
        });
    }
    if keys.is_empty() {
        return Ok(Shelves::default());
    }
    Ok(context.store.shelves(context.ready.org, keys).await?)
}

fn source(row: &salesforce::OpportunityRow) -> Source {
    let contacts = match &row.contacts {
        salesforce::Contacts::None => Contacts::None,
        salesforce::Contacts::NonePrimary { names } => Contacts::NonePrimary { names: names.clone() },
        salesforce::Contacts::Primary { id, state: salesforce::ContactState::Readable } => {
            Contacts::Readable { id: *id }
        }
        salesforce::Contacts::Primary { id, .. } => Contacts::Unreadable { id: *id },
    };
    Source {
        id: row.id,
        name: row.name.clone(),
        modstamp: row.modstamp,
        created: row.created,
        deleted: row.deleted,
        sync_flag: row.sync_flag,
        import_flag: row.import_flag,
        account: row.account.as_ref().map(|account| (account.id, account.name.clone())),
        contacts,
        partner_email: row.partner_email.clone(),
        distributor_email: row.distributor_email.clone(),
        currency: row.currency.clone(),
        unreadable: row.bad.clone(),
    }
}

/// Keys of what a set-aside record depends on besides itself. A change of any of
/// them makes the record due: `user:<address>`, `sf:<id>`, and for each record the
/// settings, since any cause may be mended there.
fn waits_on(plan: &Plan, source: &Source) -> Vec<String> {
    if !matches!(plan.outcome, dealsync_core::plan::Outcome::Parked) {
        return Vec::new();
    }
    let mut keys = BTreeSet::from([SETTINGS_KEY.to_owned()]);
    for address in [&source.partner_email, &source.distributor_email].into_iter().flatten() {
        let address = normal_email(address);
        if !address.is_empty() && address.len() <= 254 {
            keys.insert(format!("user:{address}"));
        }
    }
    match &source.contacts {
        Contacts::Unreadable { id } | Contacts::Readable { id } => {
            keys.insert(format!("sf:{id}"));
        }
        Contacts::None | Contacts::NonePrimary { .. } => {}
    }
    keys.into_iter().collect()
}
