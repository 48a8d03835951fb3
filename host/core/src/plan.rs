//! From facts to a plan: what is to be done with one Opportunity, and why.
//!
//! The plan is a value. Applying it is the server's work; a dry run prints it.

use serde_json::Value;

use crate::answers::{FaultKind, OnNull, RowAnswer, Severity};
use crate::deal::{self, decode_row, encode_columns, encode_row};
use crate::ids::{AccountId, ContactId, DealId, SfId, UserId};
use crate::link::{Link, LinkState};
use crate::matching::{Match, Shelves, normal_name};
use crate::merge::FieldPolicy;
use crate::owner::{CheckedOwner, check_owner};
use crate::people::{UserStatus, normal_email};
use crate::reason::{Code, Level, Reason};
use crate::schema::{FieldIx, FieldKind, Schema};
use crate::update::{Merge, to_text};
use crate::value::{Cell, date_text};

pub use crate::facts::{AsideKind, Contacts, Facts, FreshIds, Policy, SetAside, Source, Stored, StoredDeal};

/// How a record counts. `selected` of a run is the sum of all but `Unselected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    Created,
    Updated,
    Unchanged,
    Parked,
    Skipped,
    /// No import flag: not ours, though a link may still follow it.
    Unselected,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "create",
            Self::Updated => "update",
            Self::Unchanged => "unchanged",
            Self::Parked => "park",
            Self::Skipped => "skip",
            Self::Unselected => "not selected",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewDeal {
    pub deal: DealId,
    pub owner: CheckedOwner,
    pub account: Match<AccountId>,
    pub account_sf_id: SfId,
    pub account_name: String,
    pub contact: Match<ContactId>,
    pub contact_sf_id: SfId,
    pub contact_first_name: String,
    pub contact_last_name: String,
    pub contact_email: String,
    /// The deal's values.
    pub fields: String,
    /// Those of them that later runs keep in step: the base, in portal fields.
    pub base: String,
    /// The base in Salesforce fields.
    pub base_source: String,
}

/// One field of an update, with the value that lost where both sides had changed it.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    pub field: String,
    pub old: Option<Value>,
    pub new: Option<Value>,
    pub lost: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DealUpdate {
    pub deal: DealId,
    pub changes: Vec<FieldChange>,
    /// The deal's values after the update.
    pub fields: String,
}

/// One thing to do. All intents of a page are applied in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Intent {
    CreateDeal(Box<NewDeal>),
    UpdateDeal(DealUpdate),
    /// The base moves to these values; the link counts as in scope.
    MoveBase {
        base: String,
        base_source: String,
    },
    SetLinkState(LinkState),
    /// A linked Lead of ours became this Opportunity: its deal keeps the link.
    MoveLink {
        deal: DealId,
        from: SfId,
    },
    /// Tell the owner, and whom the settings name, that a deal was imported (S33).
    NotifyImported {
        deal: DealId,
        owner: UserId,
    },
    /// Keep the record aside with the plan's reasons.
    SetAside(AsideKind),
    /// The record is no longer aside; its log entries resolve themselves.
    TakeBack,
    /// Put the plan's reasons into the log without setting the record aside.
    Log,
}

/// What is to be done with one record, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub sf_id: SfId,
    pub name: String,
    pub modstamp: i64,
    pub created: i64,
    pub outcome: Outcome,
    pub deal: Option<DealId>,
    pub intents: Vec<Intent>,
    pub reasons: Vec<Reason>,
}

impl Plan {
    /// The reason a set-aside record is counted under: the first of the highest level.
    pub fn primary(&self) -> Option<&Reason> {
        let highest = self.reasons.iter().map(|reason| reason.level).max()?;
        self.reasons.iter().find(|reason| reason.level == highest)
    }
}

/// Decides what to do with one Opportunity. `shelves` is what the owners of this
/// page already have; it is updated, so records of a page must be planned in order.
pub fn plan(facts: &Facts<'_>, shelves: &mut Shelves) -> Plan {
    let draft = Draft { facts, deal: facts.stored.link.as_ref().map(|link| link.deal) };
    if facts.source.deleted {
        return plan_gone(facts.source, facts.stored);
    }
    if !(facts.source.import_flag && facts.source.sync_flag) {
        return draft.out_of_scope();
    }
    match &facts.stored.link {
        Some(link) => draft.linked(link),
        None => draft.new_record(shelves),
    }
}

/// The plan for a record that is in the recycle bin, or of which Salesforce shows
/// nothing any more: a linked deal stays and its link says so.
pub fn plan_gone(source: &Source, stored: &Stored) -> Plan {
    let mut intents = Vec::new();
    let mut reasons = Vec::new();
    if let Some(link) = &stored.link {
        reasons.push(Reason::new(Code::RecordDeleted, &[]));
        if link.state != LinkState::RemoteDeleted {
            intents.extend([Intent::SetLinkState(LinkState::RemoteDeleted), Intent::Log]);
        }
    }
    if stored.set_aside.is_some() {
        intents.push(Intent::TakeBack);
    }
    Plan {
        sf_id: source.id,
        name: source.name.clone(),
        modstamp: source.modstamp,
        created: source.created,
        outcome: Outcome::Unselected,
        deal: stored.link.as_ref().map(|link| link.deal),
        intents,
        reasons,
    }
}

struct Draft<'a> {
    facts: &'a Facts<'a>,
    deal: Option<DealId>,
}

impl Draft<'_> {
    fn plan(&self, outcome: Outcome, intents: Vec<Intent>, reasons: Vec<Reason>) -> Plan {
        let source = self.facts.source;
        Plan {
            sf_id: source.id,
            name: source.name.clone(),
            modstamp: source.modstamp,
            created: source.created,
            outcome,
            deal: self.deal,
            intents,
            reasons,
        }
    }

    /// Sets the record aside, unless it already is for the very same reasons:
    /// then there is nothing to write.
    fn aside(&self, kind: AsideKind, reasons: Vec<Reason>) -> Plan {
        let known = self.facts.stored.set_aside.as_ref();
        let same = known.is_some_and(|aside| aside.kind == kind && aside.reasons == reasons);
        let intents = if same { Vec::new() } else { vec![Intent::SetAside(kind)] };
        let outcome = match kind {
            AsideKind::Parked => Outcome::Parked,
            AsideKind::Skipped => Outcome::Skipped,
        };
        self.plan(outcome, intents, reasons)
    }

    fn taken_back(&self, intents: &mut Vec<Intent>) {
        if self.facts.stored.set_aside.is_some() {
            intents.push(Intent::TakeBack);
        }
    }

    /// A flag is off. The sync flag alone decides nothing (S9); a linked record
    /// leaves scope and keeps its deal, and an unlinked one with the import flag
    /// is told about once.
    fn out_of_scope(&self) -> Plan {
        let Facts { source, stored, policy, .. } = self.facts;
        let Some(link) = &stored.link else {
            if source.import_flag {
                let values = [("import_flag", policy.import_flag.as_str()), ("sync_flag", &policy.sync_flag)];
                return self.aside(AsideKind::Skipped, vec![Reason::new(Code::SyncFlagMissing, &values)]);
            }
            let mut intents = Vec::new();
            self.taken_back(&mut intents);
            return self.plan(Outcome::Unselected, intents, Vec::new());
        };
        let flag = if source.sync_flag { &policy.import_flag } else { &policy.sync_flag };
        let reason = Reason::new(Code::OutOfScope, &[("flag", flag)]);
        let outcome = if source.import_flag { Outcome::Skipped } else { Outcome::Unselected };
        let mut intents = Vec::new();
        if link.state != LinkState::OutOfScope {
            intents.push(Intent::SetLinkState(LinkState::OutOfScope));
            intents.push(Intent::Log);
        }
        self.taken_back(&mut intents);
        self.plan(outcome, intents, vec![reason])
    }

    /// Everything that keeps a record from being written, first what core itself
    /// demands, then what the rules said.
    fn refusals(&self, reasons: &mut Vec<Reason>) {
        if let Some(text) = &self.facts.source.unreadable {
            reasons.push(Reason::new(Code::RecordUnreadable, &[("text", text)]));
        }
        // A deal keeps the account and contact it was made with (S52).
        if self.facts.stored.link.is_none() {
            self.account_and_contact(reasons);
        }
        reasons.extend(fault(self.facts.answer));
        for finding in &self.facts.answer.findings {
            reasons.push(finding_reason(finding, self.facts.target_schema));
        }
    }

    /// What only an import needs (S11, S12).
    fn account_and_contact(&self, reasons: &mut Vec<Reason>) {
        let source = self.facts.source;
        if source.account.is_none() {
            reasons.push(Reason::new(Code::AccountMissing, &[]));
        }
        match &source.contacts {
            Contacts::None => reasons.push(Reason::new(Code::ContactMissing, &[])),
            Contacts::NonePrimary { names } => {
                let count = match names.len() {
                    1 => "1 contact is".to_owned(),
                    n => format!("{n} contacts are"),
                };
                let values = [("n", count.as_str()), ("names", &names.join(", "))];
                reasons.push(Reason::new(Code::PrimaryContactMissing, &values));
            }
            Contacts::Unreadable { id } => {
                reasons.push(Reason::new(Code::PrimaryContactUnreadable, &[("id", id.as_str())]));
            }
            Contacts::Readable { .. } => {}
        }
    }

    /// Values that do not fit their field, whatever rule drafted them: text that is
    /// too long, and numbers with more digits than the field holds.
    fn fitting(&self, reasons: &mut Vec<Reason>) {
        let Facts { draft, row, target_schema, .. } = self.facts;
        for (column, ix) in draft.columns().iter().enumerate() {
            let Some(def) = target_schema.field(*ix) else { continue };
            let reason = match draft.cell(*row, column) {
                Cell::Number(value) if def.kind == FieldKind::Decimal => {
                    let values = [("value", &*value.to_string()), ("field", &def.label)];
                    Reason::new(Code::NumberOutOfRange, &values)
                }
                Cell::Text(text) => {
                    let Some(max) = def.max_length.filter(|max| text.len() > *max as usize) else { continue };
                    let count = text.chars().count();
                    if count <= max as usize {
                        continue;
                    }
                    let (max, count) = (max.to_string(), count.to_string());
                    Reason::new(Code::StringTooLong, &[("field", &def.label), ("max", &max), ("n", &count)])
                }
                _ => continue,
            };
            reasons.push(reason.field(&def.name));
        }
    }

    /// Required values, whatever the rules said (S17); of a linked record those that
    /// are kept in step.
    fn required(&self, reasons: &mut Vec<Reason>) {
        if reasons.iter().any(Reason::is_error) {
            return;
        }
        for (ix, field) in self.facts.target_schema.fields().iter().enumerate() {
            let ix = FieldIx(ix as u16);
            if !field.required || !self.facts.draft.field(self.facts.row, ix).is_blank() {
                continue;
            }
            if self.facts.stored.link.is_some() && !self.is_kept_in_step(ix) {
                continue;
            }
            let reason = match field.name.as_str() {
                deal::CONTACT_FIRST_NAME | deal::CONTACT_LAST_NAME => {
                    Reason::new(Code::ContactNameMissing, &[("field", &field.label.to_lowercase())])
                }
                _ => Reason::new(Code::RequiredValueEmpty, &[("field", &field.label)]),
            };
            reasons.push(reason.field(&field.name));
        }
    }

    fn is_kept_in_step(&self, ix: FieldIx) -> bool {
        let Some(column) = self.facts.draft.column(ix) else { return false };
        self.facts.policy.fields.get(column).is_some_and(|field| field.on_update)
    }

    fn new_record(&self, shelves: &mut Shelves) -> Plan {
        let Facts { source, stored, policy, directory, fresh, .. } = self.facts;
        if let Some(link) = &stored.converted_from {
            return self.converted(link);
        }
        if let Some(tombstone) = &stored.tombstone {
            let day = date_text(tombstone.at.div_euclid(86_400_000_000) as i32);
            let reason = Reason::new(Code::UnlinkedByPerson, &[("user", &tombstone.by), ("date", &day)]);
            return self.aside(AsideKind::Parked, vec![reason]);
        }
        let mut reasons = Vec::new();
        self.refusals(&mut reasons);
        if is_blank(&source.partner_email) && is_blank(&source.distributor_email) && !has_error(&reasons) {
            reasons.push(Reason::new(Code::PartnerEmailBlank, &[("label", &policy.partner_email)]));
        }
        self.required(&mut reasons);
        self.fitting(&mut reasons);
        if has_error(&reasons) {
            return self.aside(AsideKind::Parked, reasons);
        }
        let owner = match self.facts.answer.assignment {
            Some(assignment) => check_owner(assignment, policy.distributor_module, *directory),
            None => Err(no_owner()),
        };
        let owner = match owner {
            Ok(owner) => owner,
            Err(reason) => {
                reasons.push(reason);
                return self.aside(AsideKind::Parked, reasons);
            }
        };
        let (Some((account_sf_id, account_name)), Contacts::Readable { id: contact_sf_id }) =
            (&source.account, &source.contacts)
        else {
            unreachable!("refused above");
        };
        let account_key = normal_name(account_name);
        let contact_email = self.text(deal::CONTACT_EMAIL);
        let contact_key = normal_email(&contact_email);
        let account = shelves.accounts.find(owner.id(), *account_sf_id, &account_key, fresh.account);
        let contact = shelves.contacts.find(owner.id(), *contact_sf_id, &contact_key, fresh.contact);
        let (account, contact) = match (account, contact) {
            (Ok(account), Ok(contact)) => (account, contact),
            (account, contact) => {
                for (found, things, value) in [
                    (account.err(), "accounts", account_name.as_str()),
                    (contact.err(), "contacts", &contact_email),
                ] {
                    let Some(several) = found else { continue };
                    let n = several.count.to_string();
                    reasons.push(Reason::new(
                        Code::MatchAmbiguous,
                        &[("n", &n), ("things", things), ("value", value)],
                    ));
                }
                return self.aside(AsideKind::Parked, reasons);
            }
        };
        shelves.accounts.take(owner.id(), *account_sf_id, &account_key, account);
        shelves.contacts.take(owner.id(), *contact_sf_id, &contact_key, contact);
        let new = NewDeal {
            deal: fresh.deal,
            owner,
            account,
            account_sf_id: *account_sf_id,
            account_name: account_name.clone(),
            contact,
            contact_sf_id: *contact_sf_id,
            contact_first_name: self.text(deal::CONTACT_FIRST_NAME),
            contact_last_name: self.text(deal::CONTACT_LAST_NAME),
            contact_email,
            fields: self.encoded(),
            base: self.encoded_base(),
            base_source: self.encoded_source(),
        };
        let notify = Intent::NotifyImported { deal: fresh.deal, owner: owner.id() };
        let mut intents = vec![Intent::CreateDeal(Box::new(new)), notify];
        self.taken_back(&mut intents);
        if !reasons.is_empty() {
            intents.push(Intent::Log);
        }
        let mut plan = self.plan(Outcome::Created, intents, reasons);
        plan.deal = Some(fresh.deal);
        plan
    }

    /// Our own Lead came back as this Opportunity: the link moves, no second deal.
    /// The base is left as it was, so the next run brings over what differs.
    fn converted(&self, link: &Link) -> Plan {
        let values = [("id", self.facts.source.id.as_str())];
        let mut intents = vec![Intent::MoveLink { deal: link.deal, from: link.sf_id }, Intent::Log];
        self.taken_back(&mut intents);
        let mut plan = self.plan(Outcome::Updated, intents, vec![Reason::new(Code::LeadConverted, &values)]);
        plan.deal = Some(link.deal);
        plan
    }

    fn linked(&self, link: &Link) -> Plan {
        let theirs = self.encoded_base();
        let base_source = self.encoded_source();
        let in_scope = link.state == LinkState::Linked;
        let aside = self.facts.stored.set_aside.is_some();
        if theirs == link.base
            && base_source == link.base_source
            && in_scope
            && !aside
            && self.facts.answer.findings.is_empty()
            && self.facts.answer.fault.is_none()
        {
            return self.plan(Outcome::Unchanged, Vec::new(), Vec::new());
        }
        let mut reasons = Vec::new();
        self.refusals(&mut reasons);
        self.required(&mut reasons);
        self.fitting(&mut reasons);
        if has_error(&reasons) {
            return self.aside(AsideKind::Parked, reasons);
        }
        self.merged(link, &theirs, base_source, reasons)
    }

    fn merged(&self, link: &Link, theirs: &str, base_source: String, mut reasons: Vec<Reason>) -> Plan {
        let mut intents = Vec::new();
        if link.state != LinkState::Linked {
            intents.push(Intent::SetLinkState(LinkState::Linked));
        }
        let mut merge = Merge::of(self.facts, link, theirs);
        for (column, policy) in self.facts.policy.fields.iter().enumerate() {
            merge.field(column, *policy);
        }
        let (base, fields) = (merge.base_text(theirs), to_text(&merge.ours));
        let Merge { changes, conflicts, .. } = merge;
        reasons.extend(conflicts);
        self.owner_email_moved(link, &base_source, &mut reasons);
        if base != link.base || base_source != link.base_source {
            intents.push(Intent::MoveBase { base, base_source });
        }
        let outcome = if changes.is_empty() { Outcome::Unchanged } else { Outcome::Updated };
        if !changes.is_empty() {
            intents.push(Intent::UpdateDeal(DealUpdate { deal: link.deal, changes, fields }));
            self.owner_now(link, &mut reasons);
        }
        self.taken_back(&mut intents);
        if !reasons.is_empty() {
            intents.push(Intent::Log);
        }
        self.plan(outcome, intents, reasons)
    }

    /// Another address on a linked record never re-owns the deal; it is said once,
    /// since the base moves along with it.
    fn owner_email_moved(&self, link: &Link, base_source: &str, reasons: &mut Vec<Reason>) {
        if base_source == link.base_source {
            return;
        }
        let field = &self.facts.policy.partner_email_field;
        let before =
            decode_row(&link.base_source).get(field).and_then(|value| value.as_str().map(normal_email));
        let now = self.facts.source.partner_email.as_deref().map(normal_email).unwrap_or_default();
        let Some(owner) = self.facts.directory.by_id(link.owner) else { return };
        if before.is_none_or(|before| before == now) || now.is_empty() || normal_email(&owner.email) == now {
            return;
        }
        let values =
            [("field", self.facts.policy.partner_email.as_str()), ("email", &now), ("owner", &owner.email)];
        reasons.push(Reason::new(Code::OwnerEmailChanged, &values));
    }

    /// The owner is never changed silently: what does not fit any more is said.
    fn owner_now(&self, link: &Link, reasons: &mut Vec<Reason>) {
        let Some(owner) = self.facts.directory.by_id(link.owner) else { return };
        if owner.status != UserStatus::Active {
            let values = [("owner", owner.email.as_str()), ("status", owner.status.name())];
            reasons.push(Reason::new(Code::OwnerNowInactive, &values));
        }
    }

    fn text(&self, field: &str) -> String {
        let Some(ix) = self.facts.target_schema.ix(field) else { return String::new() };
        self.facts.draft.field(self.facts.row, ix).as_text().unwrap_or_default().trim().to_owned()
    }

    fn encoded(&self) -> String {
        let mut text = String::with_capacity(384);
        encode_row(self.facts.target_schema, self.facts.draft, self.facts.row, &mut text);
        text
    }

    /// The draft without create-only fields: rules need not draft those again, so
    /// they have no part in what both sides agree on.
    fn encoded_base(&self) -> String {
        let Facts { target_schema, draft, row, policy, .. } = self.facts;
        let kept = |column: usize| policy.fields.get(column).is_some_and(|field| field.on_update);
        let mut text = String::with_capacity(384);
        encode_columns(target_schema, draft, *row, kept, &mut text);
        text
    }

    fn encoded_source(&self) -> String {
        let mut text = String::with_capacity(384);
        encode_row(self.facts.source_schema, self.facts.read, self.facts.row, &mut text);
        text
    }
}

fn is_blank(text: &Option<String>) -> bool {
    text.as_deref().is_none_or(|text| text.trim().is_empty())
}

fn has_error(reasons: &[Reason]) -> bool {
    reasons.iter().any(Reason::is_error)
}

fn no_owner() -> Reason {
    Reason::new(Code::TenantRuleRejected, &[("rule", "owner"), ("text", "no rule decided who owns the deal")])
}

fn fault(answer: &RowAnswer) -> Option<Reason> {
    let fault = answer.fault.as_ref()?;
    let text = match fault.kind {
        FaultKind::Panicked => fault.message.clone(),
        kind if fault.message.is_empty() => kind.words().to_owned(),
        kind => format!("{} ({})", kind.words(), fault.message),
    };
    let values = [("rule", fault.component.as_str()), ("version", &fault.version), ("text", &text)];
    Some(Reason::new(Code::TenantRuleCrashed, &values))
}

/// A rule's finding as an entry of the catalogue. Codes outside it cannot get
/// here but from a rule; they are shown as what the tenant's rule said.
fn finding_reason(finding: &crate::answers::Finding, target: &Schema) -> Reason {
    let code = Code::from_name(&finding.code).unwrap_or(Code::TenantRuleRejected);
    let by = &finding.by;
    Reason {
        code,
        level: match finding.severity {
            Severity::Info => Level::Info,
            // What the catalogue holds for information is no warning.
            Severity::Warning => code.entry().level.min(Level::Warning),
            Severity::Error => Level::Error,
        },
        message: finding.message.clone(),
        fix: finding.fix.clone(),
        detail: Some(format!("{} {} · {}", by.component, by.version, by.rule)),
        field: finding.field.and_then(|ix| target.field(ix)).map(|def| def.name.clone()),
    }
}

/// The policy of each draft column. Contact names are create-only, whatever the
/// rules ask for (S52).
pub fn field_policies(
    columns: &[FieldIx],
    target: &Schema,
    writes: &[crate::answers::Write],
) -> Vec<FieldPolicy> {
    columns
        .iter()
        .map(|ix| {
            let write = writes.iter().find(|write| write.field == *ix);
            let name = target.field(*ix).map_or("", |def| def.name.as_str());
            FieldPolicy {
                on_create: write.is_some_and(|write| write.on_create),
                on_update: write.is_some_and(|write| write.on_update) && !deal::CREATE_ONLY.contains(&name),
                conflict: write.map_or(crate::answers::Conflict::Source, |write| write.conflict),
                on_null: write.map_or(OnNull::Leave, |write| write.on_null),
            }
        })
        .collect()
}

/// Share of a tenant's links, in percent, that may vanish or leave scope in one
/// run, and the number below which nobody is asked (sync.md d5 18).
pub const MASS_CHANGE_PERCENT: u64 = 5;
pub const MASS_CHANGE_RECORDS_MIN: u64 = 20;

/// True where a run must stop before it applies anything.
pub fn is_mass_change(vanishing: u64, links: u64) -> bool {
    vanishing >= MASS_CHANGE_RECORDS_MIN && vanishing * 100 > links * MASS_CHANGE_PERCENT
}
