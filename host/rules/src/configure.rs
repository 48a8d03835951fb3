//! Configures the components of a chain for one flow: first with all fields, to
//! learn which they touch, then with those alone, which is what every later call
//! is configured with.

use std::collections::HashMap;
use std::sync::Arc;

use dealsync_core::answers::{Conflict, OnNull, RulesPlan, Write};
use dealsync_core::schema::{FieldIx, Schema};

use crate::bindings::settings;
use crate::chain::Member;
use crate::component::Component;
use crate::convert::{Selection, with_pinned};
use crate::engine::Shared;
use crate::fault::{Failure, cut};
use crate::instance::{Run, Tables};

/// Problems of one component that are reported at most.
const PROBLEMS_MAX: usize = 50;

/// Something wrong with a component or its settings, found before any record is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The component's name in the chain.
    pub member: String,
    /// Where in the settings; empty where the component itself is at fault.
    pub path: String,
    pub message: String,
}

/// The chain cannot be used as it is set up. All problems found are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigureError {
    pub problems: Vec<Problem>,
}

impl std::error::Error for ConfigureError {}

impl std::fmt::Display for ConfigureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the rules cannot be used as they are set up")?;
        for problem in &self.problems {
            let place = if problem.path.is_empty() { "" } else { ", " };
            write!(f, "\n  {}{place}{}: {}", problem.member, problem.path, problem.message)?;
        }
        Ok(())
    }
}

/// A component of the chain, configured.
#[derive(Debug)]
pub(crate) struct Configured {
    /// Position in the chain.
    pub position: usize,
    pub name: String,
    pub version: String,
    pub component: Arc<Component>,
    pub settings_json: String,
    pub is_standard: bool,
    pub tables: Tables,
    /// Source columns it is sent.
    pub reads: Selection,
    may_read: Vec<bool>,
    draft_columns: Vec<Option<u16>>,
}

impl Configured {
    /// The draft's column of a target field it may write.
    pub fn draft_column(&self, field: u16) -> Option<usize> {
        self.draft_columns.get(usize::from(field)).copied().flatten().map(usize::from)
    }

    /// The source's column of a field it declared to read.
    pub fn source_column(&self, field: u16) -> Option<usize> {
        let at = usize::from(field);
        self.may_read.get(at).copied().unwrap_or(false).then_some(at)
    }

    /// Starts an instance and configures it as `schemas` say.
    pub fn start<'a>(
        &'a self,
        shared: &Shared,
        flow: &str,
        (source, target): (&Schema, &Schema),
    ) -> Result<Run<'a>, Failure> {
        let mut run = Run::start(shared, &self.component, self.tables.clone())?;
        let tables: Vec<&str> = self.tables.iter().map(|(name, _)| name.as_str()).collect();
        with_pinned(flow, source, target, &tables, &self.settings_json, |pinned| run.configure(pinned))?
            .map_err(|_| Failure::contract("it refused settings that it had accepted before"))?;
        Ok(run)
    }
}

/// Everything a chain knows once it is configured.
pub(crate) struct Setup {
    pub members: Vec<Configured>,
    pub source: Arc<Schema>,
    pub target: Arc<Schema>,
    pub plan: RulesPlan,
    /// Target fields that some component writes, in order.
    pub draft_fields: Vec<FieldIx>,
}

pub(crate) fn configure(
    shared: &Shared,
    flow: &str,
    source: &Schema,
    target: &Schema,
    members: Vec<Member>,
) -> Result<Setup, ConfigureError> {
    let mut problems = Vec::new();
    let members: Vec<(Member, Tables)> = members
        .into_iter()
        .map(|mut member| {
            let tables: Tables = std::mem::take(&mut member.tables).into();
            (member, tables)
        })
        .collect();
    if members.is_empty() {
        problems.push(Problem {
            member: "the chain".to_owned(),
            path: String::new(),
            message: "it holds no component; the shipped one is named `standard`".to_owned(),
        });
    }

    let full: Vec<RulesPlan> = ask_all(shared, flow, (source, target), &members, &mut problems);
    if !problems.is_empty() {
        return Err(ConfigureError { problems });
    }

    let narrow = Narrowing::new(source, target, &full);
    let (source, target) = (Arc::new(narrow.source), Arc::new(narrow.target));
    let narrowed: Vec<RulesPlan> = ask_all(shared, flow, (&source, &target), &members, &mut problems);
    for ((member, _), (full, narrowed)) in members.iter().zip(full.iter().zip(&narrowed)) {
        if translated(full, &narrow.source_at, &narrow.target_at) != *narrowed {
            problems.push(Problem {
                member: member.name.clone(),
                path: String::new(),
                message: "its plan changes when fields it does not touch are left out; \
                          a plan may depend on the settings and the fields it names only"
                    .to_owned(),
            });
        }
    }
    if !problems.is_empty() {
        return Err(ConfigureError { problems });
    }

    let plan = merged(&narrowed);
    let draft_fields: Vec<FieldIx> = plan.writes.iter().map(|write| write.field).collect();
    let source_fields: Vec<FieldIx> = (0..source.len() as u16).map(FieldIx).collect();
    let members = members
        .into_iter()
        .zip(&narrowed)
        .enumerate()
        .map(|(position, ((member, tables), plan))| {
            let mut may_read = vec![false; source.len()];
            plan.reads.iter().for_each(|field| may_read[field.at()] = true);
            let mut draft_columns = vec![None; target.len()];
            for write in &plan.writes {
                draft_columns[write.field.at()] =
                    draft_fields.iter().position(|field| *field == write.field).map(|column| column as u16);
            }
            Configured {
                position,
                name: member.name,
                version: member.version,
                component: member.component,
                settings_json: member.settings_json,
                is_standard: member.is_standard,
                tables,
                reads: Selection::new(&source_fields, |field| may_read[field.at()]),
                may_read,
                draft_columns,
            }
        })
        .collect();
    Ok(Setup { members, source, target, plan, draft_fields })
}

fn ask_all(
    shared: &Shared,
    flow: &str,
    schemas: (&Schema, &Schema),
    members: &[(Member, Tables)],
    problems: &mut Vec<Problem>,
) -> Vec<RulesPlan> {
    let mut plans = Vec::with_capacity(members.len());
    for (member, tables) in members {
        match ask(shared, flow, schemas, member, tables) {
            Ok(plan) => plans.push(plan),
            Err(found) => {
                plans.push(RulesPlan::default());
                problems.extend(found.into_iter().take(PROBLEMS_MAX));
            }
        }
    }
    plans
}

/// One component's plan, checked and in order.
fn ask(
    shared: &Shared,
    flow: &str,
    (source, target): (&Schema, &Schema),
    member: &Member,
    tables: &Tables,
) -> Result<RulesPlan, Vec<Problem>> {
    let limits = member.component.limits();
    let own = |message: String| vec![Problem { member: member.name.clone(), path: String::new(), message }];
    let failed = |failure: Failure| {
        own(format!("it cannot be configured: {} ({})", failure.kind.words(), failure.message))
    };
    let mut run = Run::start(shared, &member.component, tables.clone()).map_err(failed)?;
    let names: Vec<&str> = tables.iter().map(|(name, _)| name.as_str()).collect();
    let answer =
        with_pinned(flow, source, target, &names, &member.settings_json, |pinned| run.configure(pinned));
    let plan = match answer.map_err(failed)? {
        Ok(plan) => plan,
        Err(found) if found.is_empty() => {
            return Err(own("it refused its settings without a reason".to_owned()));
        }
        Err(found) => {
            let problem = |found: settings::Problem| Problem {
                member: member.name.clone(),
                path: cut(found.path, limits.message_bytes_max),
                message: cut(found.message, limits.message_bytes_max),
            };
            return Err(found.into_iter().map(problem).collect());
        }
    };
    checked(plan, source, target).map_err(own)
}

/// The plan in core's words: fields exist, none is written twice, lists ascend,
/// and what a write comes from counts as read.
fn checked(plan: settings::Plan, source: &Schema, target: &Schema) -> Result<RulesPlan, String> {
    let read = |field: &u16| match source.field(FieldIx(*field)) {
        Some(_) => Ok(FieldIx(*field)),
        None => Err(format!("its plan reads source field {field}, which does not exist")),
    };
    let mut reads = plan.reads.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut writes = Vec::with_capacity(plan.writes.len());
    for write in &plan.writes {
        if target.field(FieldIx(write.field)).is_none() {
            return Err(format!("its plan writes target field {}, which does not exist", write.field));
        }
        let mut sources = write.sources.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        sources.sort();
        sources.dedup();
        reads.extend(&sources);
        writes.push(Write {
            field: FieldIx(write.field),
            sources,
            on_create: write.on_create,
            on_update: write.on_update,
            conflict: match write.conflict {
                settings::Conflict::Source => Conflict::Source,
                settings::Conflict::Target => Conflict::Target,
                settings::Conflict::Newest => Conflict::Newest,
                settings::Conflict::Ask => Conflict::Ask,
            },
            on_null: match write.on_null {
                settings::OnNull::Clear => OnNull::Clear,
                settings::OnNull::Leave => OnNull::Leave,
                settings::OnNull::Refuse => OnNull::Refuse,
            },
        });
    }
    reads.sort();
    reads.dedup();
    writes.sort_by_key(|write| write.field);
    if let Some(pair) = writes.windows(2).find(|pair| pair[0].field == pair[1].field) {
        let name = target.field(pair[0].field).map_or("a field", |field| field.name.as_str());
        return Err(format!("its plan names {name} twice among its writes"));
    }
    Ok(RulesPlan { reads, writes })
}

/// The fields that anybody touches, and where each has gone.
struct Narrowing {
    source: Schema,
    target: Schema,
    source_at: HashMap<FieldIx, FieldIx>,
    target_at: HashMap<FieldIx, FieldIx>,
}

impl Narrowing {
    /// Keeps what is read, what is written, and what a new record must have.
    fn new(source: &Schema, target: &Schema, plans: &[RulesPlan]) -> Self {
        let mut reads: Vec<FieldIx> = plans.iter().flat_map(|plan| plan.reads.iter().copied()).collect();
        let mut writes: Vec<FieldIx> =
            plans.iter().flat_map(|plan| plan.writes.iter().map(|write| write.field)).collect();
        let required = target.fields().iter().enumerate().filter(|(_, field)| field.required);
        writes.extend(required.map(|(at, _)| FieldIx(at as u16)));
        for fields in [&mut reads, &mut writes] {
            fields.sort();
            fields.dedup();
        }
        let places = |fields: &[FieldIx]| {
            fields.iter().enumerate().map(|(at, field)| (*field, FieldIx(at as u16))).collect()
        };
        Self {
            source: source.narrowed(&reads),
            target: target.narrowed(&writes),
            source_at: places(&reads),
            target_at: places(&writes),
        }
    }
}

/// A plan with each field at its new place. Narrowing keeps the order, so that
/// the lists still ascend.
fn translated(
    plan: &RulesPlan,
    source_at: &HashMap<FieldIx, FieldIx>,
    target_at: &HashMap<FieldIx, FieldIx>,
) -> RulesPlan {
    let to = |map: &HashMap<FieldIx, FieldIx>, field: &FieldIx| map.get(field).copied().unwrap_or(*field);
    RulesPlan {
        reads: plan.reads.iter().map(|field| to(source_at, field)).collect(),
        writes: plan
            .writes
            .iter()
            .map(|write| Write {
                field: to(target_at, &write.field),
                sources: write.sources.iter().map(|field| to(source_at, field)).collect(),
                ..write.clone()
            })
            .collect(),
    }
}

/// One plan for the chain. Where several components write a field, the last
/// one's policy holds, and what any of them reads for it is among its sources.
fn merged(plans: &[RulesPlan]) -> RulesPlan {
    let mut merged = RulesPlan::default();
    for plan in plans {
        merged.reads.extend(&plan.reads);
        for write in &plan.writes {
            match merged.writes.iter_mut().find(|known| known.field == write.field) {
                Some(known) => {
                    let mut sources = std::mem::take(&mut known.sources);
                    sources.extend(&write.sources);
                    sources.sort();
                    sources.dedup();
                    *known = Write { sources, ..write.clone() };
                }
                None => merged.writes.push(write.clone()),
            }
        }
    }
    merged.reads.sort();
    merged.reads.dedup();
    merged.writes.sort_by_key(|write| write.field);
    merged
}
