//! The rules of one tenant for one flow, in order, and how they decide about
//! records: mapping by all components, then validation, then ownership.

use std::collections::HashMap;
use std::sync::Arc;

use dealsync_core::answers::{Context, FaultKind, Provenance, RowAnswer, RuleFault, RulesPlan};
use dealsync_core::batch::Batch;
use dealsync_core::people::Directory;
use dealsync_core::schema::{FieldIx, Schema};

use crate::answers::{self, Owner, Pass, Sources, UNWRITTEN};
use crate::bindings::types;
use crate::bisect::{Budget, Culprit, isolate};
use crate::component::Component;
use crate::configure::{self, ConfigureError, Configured};
use crate::convert::{self, Scratch, Selection};
use crate::engine::{Engine, Shared};
use crate::fault::Failure;
use crate::instance::Cost;

/// A component with its settings, as a tenant puts it into a chain.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name in the chain; `standard` for the shipped one.
    pub name: String,
    pub version: String,
    pub component: Arc<Component>,
    pub settings_json: String,
    /// Only the shipped component may use codes of the catalogue.
    pub is_standard: bool,
    /// The look-up tables it is granted, by name.
    pub tables: Vec<(String, HashMap<String, String>)>,
}

/// A line that a component logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub member: String,
    pub level: tracing::Level,
    /// Row of the batch that was decided about.
    pub row: Option<usize>,
    pub message: String,
}

/// What one component used, all its calls together, those that failed included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    pub member: String,
    pub calls: u64,
    pub fuel_used: u64,
    pub fuel_allowed: u64,
    /// The call that came closest to its budget, in percent.
    pub fuel_percent_max: u8,
    pub memory_bytes_max: usize,
    pub log_lines_dropped: u64,
}

/// What the chain says about a batch.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The target fields that rules may write, one row per source row. A cell
    /// that nobody wrote is absent, as are all cells of a row with a fault.
    pub draft: Batch,
    pub rows: Vec<RowAnswer>,
    pub provenance: CellProvenance,
    pub logs: Vec<LogLine>,
    /// One entry per component, in the order of the chain.
    pub used: Vec<Usage>,
}

/// Which rule wrote which cell of the draft.
#[derive(Debug, Clone, Default)]
pub struct CellProvenance {
    columns: usize,
    cells: Vec<u16>,
    list: Vec<Provenance>,
}

impl CellProvenance {
    /// `None` where no rule wrote the cell. `column` is one of the draft's.
    pub fn of(&self, row: usize, column: usize) -> Option<&Provenance> {
        let cell = self.cells.get(row * self.columns + column)?;
        self.list.get(usize::from(*cell))
    }

    /// Every rule that said anything, each once.
    pub fn list(&self) -> &[Provenance] {
        &self.list
    }
}

/// Log lines kept of one decision, all components together.
const LOG_LINES_MAX: usize = 200;

/// Configured rules, ready to be asked from any thread.
pub struct Chain {
    shared: Arc<Shared>,
    flow: String,
    members: Vec<Configured>,
    source: Arc<Schema>,
    target: Arc<Schema>,
    plan: RulesPlan,
    source_columns: Arc<[FieldIx]>,
    source_scales: Arc<[u8]>,
    draft_columns: Arc<[FieldIx]>,
    draft_scales: Arc<[u8]>,
    draft_selection: Selection,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        f.debug_struct("Chain").field("flow", &self.flow).field("members", &members).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Map,
    Validate,
    Resolve,
}

impl Chain {
    /// Configures every component for a flow. `source` and `target` are all the
    /// fields there are; the chain works on those that it turns out to touch.
    pub fn configure(
        engine: &Engine,
        flow: &str,
        source: &Schema,
        target: &Schema,
        members: Vec<Member>,
    ) -> Result<Chain, ConfigureError> {
        let setup = configure::configure(&engine.shared, flow, source, target, members)?;
        let scales = |schema: &Schema, fields: &[FieldIx]| -> Arc<[u8]> {
            fields.iter().map(|field| schema.field(*field).map_or(0, |field| field.scale)).collect()
        };
        let source_columns: Arc<[FieldIx]> = (0..setup.source.len() as u16).map(FieldIx).collect();
        let draft_columns: Arc<[FieldIx]> = setup.draft_fields.into();
        Ok(Chain {
            shared: engine.shared.clone(),
            flow: flow.to_owned(),
            source_scales: scales(&setup.source, &source_columns),
            draft_scales: scales(&setup.target, &draft_columns),
            draft_selection: Selection::new(&draft_columns, |_| true),
            source_columns,
            draft_columns,
            members: setup.members,
            source: setup.source,
            target: setup.target,
            plan: setup.plan,
        })
    }

    /// The source fields that any component reads, in the order of the full schema.
    pub fn source(&self) -> &Arc<Schema> {
        &self.source
    }

    /// The target fields that any component writes, and those a new record must have.
    pub fn target(&self) -> &Arc<Schema> {
        &self.target
    }

    /// The plans of all components as one. Positions are those of [`Chain::source`]
    /// and [`Chain::target`].
    pub fn plan(&self) -> &RulesPlan {
        &self.plan
    }

    /// Columns of the batches that [`Chain::decide`] takes: all fields of [`Chain::source`].
    pub fn source_columns(&self) -> Arc<[FieldIx]> {
        self.source_columns.clone()
    }

    /// Digits after the point of those columns' decimals.
    pub fn source_scales(&self) -> Arc<[u8]> {
        self.source_scales.clone()
    }

    /// Columns of the draft that [`Chain::decide`] returns.
    pub fn draft_columns(&self) -> Arc<[FieldIx]> {
        self.draft_columns.clone()
    }

    /// Asks the rules about any number of records. `source` has the columns of
    /// [`Chain::source_columns`]; `is_new` says for each row whether its owner is
    /// to be decided. Calls components and so takes milliseconds: not for a thread
    /// that serves requests.
    ///
    /// A record that makes a component fail gets a fault, and all others are
    /// answered as if it had never been there.
    pub fn decide(
        &self,
        context: &Context,
        source: &Batch,
        is_new: &[bool],
        directory: &Arc<dyn Directory>,
    ) -> Decided {
        assert_eq!(source.columns(), &*self.source_columns, "a batch of the chain's source columns");
        assert_eq!(source.rows(), is_new.len(), "one flag per row");
        let mut asking = Asking::new(self, context, is_new, directory);
        for rows in self.cut(source) {
            asking.batch(source, rows);
        }
        asking.finish()
    }

    /// Cuts rows into calls: each within the rows and the bytes that the strictest
    /// component takes.
    fn cut(&self, source: &Batch) -> Vec<std::ops::Range<usize>> {
        let limits = self.members.iter().map(|member| member.component.limits());
        let rows_max = limits.clone().map(|limits| limits.rows_max).min().unwrap_or(1).max(1);
        let bytes_max = limits.map(|limits| limits.input_bytes_max).min().unwrap_or(0);
        let mut calls = Vec::new();
        let (mut from, mut bytes) = (0, 0);
        for row in 0..source.rows() {
            let row_bytes = convert::row_bytes(source, row);
            if row > from && (row - from == rows_max || bytes + row_bytes > bytes_max) {
                calls.push(from..row);
                (from, bytes) = (row, 0);
            }
            bytes += row_bytes;
        }
        if from < source.rows() {
            calls.push(from..source.rows());
        }
        calls
    }
}

/// One decision in the making.
struct Asking<'a> {
    chain: &'a Chain,
    context: &'a Context,
    is_new: &'a [bool],
    directory: &'a Arc<dyn Directory>,
    draft: Batch,
    provenance: Vec<u16>,
    rows: Vec<RowAnswer>,
    sources: Sources,
    logs: Vec<LogLine>,
    used: Vec<Usage>,
    /// New deals that earlier batches of this decision lead to.
    created: u64,
    scratch: (Scratch, Scratch),
}

impl<'a> Asking<'a> {
    fn new(
        chain: &'a Chain,
        context: &'a Context,
        is_new: &'a [bool],
        directory: &'a Arc<dyn Directory>,
    ) -> Self {
        let usage = |member: &Configured| Usage { member: member.name.clone(), ..Usage::default() };
        Self {
            chain,
            context,
            is_new,
            directory,
            draft: Batch::new(chain.draft_columns.clone(), chain.draft_scales.clone()),
            provenance: Vec::new(),
            rows: Vec::with_capacity(is_new.len()),
            sources: Sources::default(),
            logs: Vec::new(),
            used: chain.members.iter().map(usage).collect(),
            created: 0,
            scratch: Default::default(),
        }
    }

    /// Decides about one batch. Rows that make a component fail are taken out and
    /// the rest is asked anew from the start, so that nothing of them remains.
    fn batch(&mut self, source: &Batch, rows: std::ops::Range<usize>) {
        let first = rows.start;
        let mut faults: HashMap<usize, RuleFault> = HashMap::new();
        let mut alive: Vec<usize> = rows.clone().collect();
        let mut budget = self.budget(alive.len());
        while !alive.is_empty() {
            let draft =
                Batch::absent(self.chain.draft_columns.clone(), self.chain.draft_scales.clone(), alive.len());
            let mut pass = Pass::new(source.select(alive.iter().copied()), draft);
            let logged = self.logs.len();
            match self.all_stages(&mut pass, &alive, &mut budget) {
                Ok(()) => {
                    self.keep(pass, &alive, rows, faults);
                    return;
                }
                Err((member, culprits)) => {
                    self.logs.truncate(logged);
                    for (slot, failure) in &culprits {
                        faults.insert(alive[*slot], fault(member, failure));
                    }
                    alive.retain(|row| !faults.contains_key(row));
                }
            }
        }
        debug_assert_eq!(self.rows.len(), first);
        let nothing = Batch::absent(self.chain.draft_columns.clone(), self.chain.draft_scales.clone(), 0);
        self.keep(Pass::new(source.select([]), nothing), &[], rows, faults);
    }

    /// Enough to find every bad row once, a few restarts, and no more.
    fn budget(&self, rows: usize) -> Budget {
        let members = self.chain.members.len();
        let limits = self.chain.members.iter().map(|member| member.component.limits());
        let fuel = limits.map(|limits| limits.fuel(rows).saturating_mul(limits.isolation_batches_max));
        Budget { runs_left: 2 * rows + 30 * members, fuel_left: fuel.max().unwrap_or(0) }
    }

    fn all_stages(
        &mut self,
        pass: &mut Pass,
        alive: &[usize],
        budget: &mut Budget,
    ) -> Result<(), (&'a Configured, Vec<Culprit>)> {
        for stage in [Stage::Map, Stage::Validate, Stage::Resolve] {
            let rows: Vec<usize> = match stage {
                Stage::Map | Stage::Validate => (0..alive.len()).collect(),
                Stage::Resolve => (0..alive.len()).filter(|slot| self.is_new[alive[*slot]]).collect(),
            };
            for member in &self.chain.members {
                let kinds = member.component.kinds();
                let has = match stage {
                    Stage::Map => kinds.mapping,
                    Stage::Validate => kinds.validation,
                    Stage::Resolve => kinds.ownership,
                };
                if !has {
                    continue;
                }
                let culprits = isolate(&rows, budget, &mut |rows, budget| {
                    self.ask(member, stage, pass, alive, rows, budget)
                });
                if !culprits.is_empty() {
                    return Err((member, culprits));
                }
            }
        }
        Ok(())
    }

    /// One call in one fresh instance.
    fn ask(
        &mut self,
        member: &'a Configured,
        stage: Stage,
        pass: &mut Pass,
        alive: &[usize],
        rows: &[usize],
        budget: &mut Budget,
    ) -> Result<Vec<Culprit>, Failure> {
        let chain = self.chain;
        budget.charge(0);
        let mut run = member.start(
            &chain.shared,
            &chain.flow,
            (&chain.source, &chain.target),
            self.directory.clone(),
        )?;
        let is_new: Vec<bool> = rows.iter().map(|slot| self.is_new[alive[*slot]]).collect();
        let (source_scratch, draft_scratch) = &mut self.scratch;
        let work = types::Work {
            source: convert::lend(&pass.source, &member.reads, rows, source_scratch),
            draft: convert::lend(&pass.draft, &chain.draft_selection, rows, draft_scratch),
            is_new: &is_new,
        };
        let context = types::Context {
            flow: &chain.flow,
            as_of: self.context.as_of,
            seed: self.context.seed,
            sequence: self.context.sequence.saturating_add(self.created),
        };
        enum Answer {
            Mapped(crate::bindings::mapping::Mapped),
            Findings(crate::bindings::validation::Findings),
            Decisions(crate::bindings::ownership::Decisions),
        }
        let answer = match stage {
            Stage::Map => run.map(context, work).map(Answer::Mapped),
            Stage::Validate => run.validate(context, work).map(Answer::Findings),
            Stage::Resolve => run.resolve(context, work).map(Answer::Decisions),
        };
        let cost = run.cost(rows.len());
        budget.fuel_left = budget.fuel_left.saturating_sub(cost.fuel);
        let (lines, dropped) = run.take_lines();
        drop(run);
        self.note(member, cost, lines, dropped, |row| {
            rows.get(row as usize).and_then(|slot| alive.get(*slot)).copied()
        });
        let target = &chain.target;
        match answer? {
            Answer::Mapped(answer) => {
                answers::take_mapped(pass, member, target, rows, answer, &mut self.sources)
            }
            Answer::Findings(answer) => {
                answers::take_findings(pass, member, target, rows, answer, &mut self.sources)
            }
            Answer::Decisions(answer) => {
                answers::take_decisions(pass, member, rows, answer, &mut self.sources)
            }
        }
    }

    fn note(
        &mut self,
        member: &Configured,
        cost: Cost,
        lines: Vec<crate::instance::Line>,
        dropped: u32,
        row_of: impl Fn(u32) -> Option<usize>,
    ) {
        let used = &mut self.used[member.position];
        used.calls += 1;
        used.fuel_used = used.fuel_used.saturating_add(cost.fuel);
        used.fuel_allowed = used.fuel_allowed.saturating_add(cost.fuel_allowed);
        let percent =
            cost.fuel.saturating_mul(100).checked_div(cost.fuel_allowed).unwrap_or(0).min(100) as u8;
        used.fuel_percent_max = used.fuel_percent_max.max(percent);
        used.memory_bytes_max = used.memory_bytes_max.max(cost.memory_bytes);
        used.log_lines_dropped += u64::from(dropped);
        for line in lines {
            if self.logs.len() == LOG_LINES_MAX {
                used.log_lines_dropped += 1;
                continue;
            }
            let row = line.row.and_then(&row_of);
            self.logs.push(LogLine {
                member: member.name.clone(),
                level: line.level,
                row,
                message: line.message,
            });
        }
    }

    /// Takes over what was decided about a batch.
    fn keep(
        &mut self,
        pass: Pass,
        alive: &[usize],
        rows: std::ops::Range<usize>,
        mut faults: HashMap<usize, RuleFault>,
    ) {
        let width = self.chain.draft_columns.len();
        let mut answered = pass.findings.into_iter().zip(pass.owners);
        let mut slot = 0;
        if alive.len() == rows.len() {
            self.draft.append(&pass.draft);
            self.provenance.extend_from_slice(&pass.provenance);
        }
        for row in rows.clone() {
            let is_alive = alive.get(slot) == Some(&row);
            if alive.len() < rows.len() {
                if is_alive {
                    self.draft.append(&pass.draft.select([slot]));
                    self.provenance.extend_from_slice(&pass.provenance[slot * width..(slot + 1) * width]);
                } else {
                    self.draft.push_row();
                    self.provenance.extend(std::iter::repeat_n(UNWRITTEN, width));
                }
            }
            let mut answer = RowAnswer { fault: faults.remove(&row), ..RowAnswer::default() };
            if is_alive {
                slot += 1;
                if let Some((findings, owner)) = answered.next() {
                    answer.findings = findings;
                    if let Owner::Assigned(assignment) = owner {
                        answer.assignment = Some(assignment);
                    }
                }
            }
            self.created += u64::from(self.is_new[row] && answer.assignment.is_some() && !answer.refuses());
            self.rows.push(answer);
        }
    }

    fn finish(self) -> Decided {
        Decided {
            draft: self.draft,
            rows: self.rows,
            provenance: CellProvenance {
                columns: self.chain.draft_columns.len(),
                cells: self.provenance,
                list: self.sources.list,
            },
            logs: self.logs,
            used: self.used,
        }
    }
}

fn fault(member: &Configured, failure: &Failure) -> RuleFault {
    let kind: FaultKind = failure.kind;
    RuleFault {
        component: member.name.clone(),
        version: member.version.clone(),
        kind,
        message: failure.message.clone(),
    }
}
