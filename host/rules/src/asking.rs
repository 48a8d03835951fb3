//! One decision in the making: mapping by all components, then validation by all,
//! then ownership, in instances that are fresh for each batch. A row that makes a
//! component fail is taken out, and its batch starts anew without it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use dealsync_core::answers::{Context, RowAnswer, RuleFault};
use dealsync_core::batch::Batch;
use dealsync_core::people::Directory;

use crate::answers::{self, Owner, Pass, Sources, UNWRITTEN};
use crate::bindings::{mapping, ownership, types, validation};
use crate::bisect::{Budget, Culprit, isolate};
use crate::chain::{CellProvenance, Chain, Decided, LogLine, Usage};
use crate::configure::Configured;
use crate::convert::{self, Scratch};
use crate::fault::Failure;
use crate::instance::{Cost, Line, Run};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Map,
    Validate,
    Resolve,
}

enum Answer {
    Mapped(mapping::Mapped),
    Findings(validation::Findings),
    Decisions(ownership::Decisions),
}

/// Calls about one batch that the clock may stop before the search for the rows
/// at fault is given up: enough to halve 200 rows down to one.
const CLOCK_STOPS_MAX: usize = 12;

/// Log lines kept of one decision, all components together.
const LOG_LINES_MAX: usize = 200;

/// One decision in the making.
pub(crate) struct Asking<'a> {
    chain: &'a Chain,
    context: &'a Context,
    is_new: &'a [bool],
    directory: &'a Arc<dyn Directory>,
    draft: Batch,
    provenance: Vec<u16>,
    rows: Vec<RowAnswer>,
    sources: Sources,
    logs: Vec<LogLine>,
    failure_logs: Vec<LogLine>,
    used: Vec<Usage>,
    /// New deals that earlier batches of this decision lead to.
    created: u64,
    scratch: (Scratch, Scratch),
    /// The instance that answered the stage before about this whole batch. Kept only
    /// in a chain of one: a batch that held a place of the sandbox while it waits for
    /// another could wait for ever.
    kept: Option<Run<'a>>,
}

impl<'a> Asking<'a> {
    pub fn new(
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
            failure_logs: Vec::new(),
            used: chain.members.iter().map(usage).collect(),
            created: 0,
            scratch: Default::default(),
            kept: None,
        }
    }

    /// Decides about one batch. Rows that make a component fail are taken out and
    /// the rest is asked anew from the start, so that nothing of them remains.
    pub fn batch(&mut self, source: &Batch, rows: Range<usize>) {
        let first = rows.start;
        let mut faults: HashMap<usize, RuleFault> = HashMap::new();
        let mut alive: Vec<usize> = rows.clone().collect();
        let mut budget = self.budget(alive.len());
        while !alive.is_empty() {
            let draft =
                Batch::absent(self.chain.draft_columns.clone(), self.chain.draft_scales.clone(), alive.len());
            let part = match alive.len() == source.rows() {
                true => Cow::Borrowed(source),
                false => Cow::Owned(source.select(alive.iter().copied())),
            };
            let mut pass = Pass::new(part, draft);
            let logged = self.logs.len();
            let outcome = self.all_stages(&mut pass, &alive, &mut budget);
            self.kept = None;
            match outcome {
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
        self.keep(Pass::new(Cow::Owned(source.select([])), nothing), &[], rows, faults);
    }

    /// Enough to find every bad row once, a few restarts, and no more.
    fn budget(&self, rows: usize) -> Budget {
        let members = self.chain.members.len();
        let limits = self.chain.members.iter().map(|member| member.component.limits());
        let fuel = limits.map(|limits| limits.fuel(rows).saturating_mul(limits.isolation_batches_max));
        Budget {
            runs_left: 2 * rows + 30 * members,
            fuel_left: fuel.max().unwrap_or(0),
            stops_left: CLOCK_STOPS_MAX,
        }
    }

    fn all_stages(
        &mut self,
        pass: &mut Pass<'_>,
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
                let all = rows.len();
                let culprits = isolate(&rows, budget, &mut |rows, budget| {
                    // A part of the batch is asked about in an instance of its own.
                    if rows.len() < all {
                        self.kept = None;
                    }
                    let answered = self.ask(member, stage, pass, alive, rows, budget);
                    if rows.len() < all || self.chain.members.len() > 1 {
                        self.kept = None;
                    }
                    answered
                });
                if !culprits.is_empty() {
                    return Err((member, culprits));
                }
            }
        }
        Ok(())
    }

    /// One call, in the kept instance or a fresh one.
    fn ask(
        &mut self,
        member: &'a Configured,
        stage: Stage,
        pass: &mut Pass<'_>,
        alive: &[usize],
        rows: &[usize],
        budget: &mut Budget,
    ) -> Result<Vec<Culprit>, Failure> {
        let chain = self.chain;
        budget.charge_run();
        let (mut run, configured) = match self.kept.take() {
            Some(run) => (run, 0),
            None => {
                let mut run = member.start(&chain.shared, &chain.flow, (&chain.source, &chain.target))?;
                let configured = run.configure_fuel();
                run.open_directory(self.directory.clone());
                (run, configured)
            }
        };
        budget.charge_fuel(configured);
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
        let answer = match stage {
            Stage::Map => run.map(context, work).map(Answer::Mapped),
            Stage::Validate => run.validate(context, work).map(Answer::Findings),
            Stage::Resolve => run.resolve(context, work).map(Answer::Decisions),
        };
        let cost = run.cost(rows.len());
        budget.charge_fuel(cost.fuel);
        let (lines, dropped) = run.take_lines();
        // After an error nothing of an instance is used again.
        self.kept = answer.is_ok().then_some(run);
        let used = &mut self.used[member.position];
        used.add(cost, configured, dropped);
        // Of calls that fail only the ones about a single row are worth reading.
        if answer.is_ok() || rows.len() == 1 {
            let of_failure = answer.is_err();
            let logs = if of_failure { &mut self.failure_logs } else { &mut self.logs };
            let row_of = |row: u32| rows.get(row as usize).and_then(|slot| alive.get(*slot)).copied();
            keep_lines(logs, used, lines, row_of);
        }
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

    /// Takes over what was decided about a batch.
    fn keep(
        &mut self,
        pass: Pass<'_>,
        alive: &[usize],
        rows: Range<usize>,
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

    pub fn finish(mut self) -> Decided {
        self.logs.append(&mut self.failure_logs);
        self.logs.truncate(LOG_LINES_MAX);
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
    RuleFault {
        component: member.name.clone(),
        version: member.version.clone(),
        kind: failure.kind,
        message: failure.message.clone(),
    }
}

fn keep_lines(
    logs: &mut Vec<LogLine>,
    used: &mut Usage,
    lines: Vec<Line>,
    row_of: impl Fn(u32) -> Option<usize>,
) {
    for line in lines {
        if logs.len() == LOG_LINES_MAX {
            used.log_lines_dropped += 1;
            continue;
        }
        let row = line.row.and_then(&row_of);
        logs.push(LogLine { member: used.member.clone(), level: line.level, row, message: line.message });
    }
}

impl Usage {
    fn add(&mut self, cost: Cost, configure_fuel: u64, log_lines_dropped: u32) {
        self.calls += 1;
        self.fuel_used = self.fuel_used.saturating_add(cost.fuel);
        self.fuel_allowed = self.fuel_allowed.saturating_add(cost.fuel_allowed);
        self.configure_fuel = self.configure_fuel.saturating_add(configure_fuel);
        let percent = cost.fuel.saturating_mul(100).checked_div(cost.fuel_allowed).unwrap_or(0);
        self.fuel_percent_max = self.fuel_percent_max.max(percent.min(100) as u8);
        self.memory_bytes_max = self.memory_bytes_max.max(cost.memory_bytes);
        self.log_lines_dropped += u64::from(log_lines_dropped);
    }
}
