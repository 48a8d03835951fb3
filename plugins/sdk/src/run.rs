//! Runs an author's rules: keeps what `configure` made, unpacks batches, packs
//! answers. The same path natively and in the component.

#[cfg(target_arch = "wasm32")]
use std::cell::OnceCell;

use crate::look_up::{Directory, Tables};
use crate::out::{Decisions, Edits, Findings};
use crate::row::{Rows, View};
use crate::rules::Rules;
use crate::setup::{CauseDef, Setup};
use crate::{Context, DecisionList, FieldDef, FindingList, Mapped, Pinned, Plan, Problem, Work};

/// What was pinned and declared at `configure`.
#[derive(Debug)]
pub struct State {
    pub(crate) source: Vec<FieldDef>,
    pub(crate) target: Vec<FieldDef>,
    pub(crate) reads: Vec<u16>,
    pub(crate) writes: Vec<u16>,
    /// Every target field, since a later component reads what others drafted.
    pub(crate) drafted: Vec<u16>,
    pub(crate) causes: Vec<CauseDef>,
}

/// Rules after `configure`.
#[derive(Debug)]
pub(crate) struct Configured<R> {
    rules: R,
    pub(crate) state: State,
}

impl<R: Rules> Configured<R> {
    pub(crate) fn new(pinned: Pinned) -> Result<(Self, Plan), Vec<Problem>> {
        let mut setup = Setup::new(&pinned);
        let made = R::configure(&mut setup);
        let Setup { plan, causes, mut problems, .. } = setup;
        let rules = match made {
            Ok(rules) if problems.is_empty() => rules,
            Ok(_) => return Err(problems),
            Err(more) => {
                problems.extend(more);
                return Err(problems);
            }
        };
        let state = State {
            reads: plan.reads.clone(),
            writes: plan.writes.iter().map(|write| write.field).collect(),
            drafted: (0..pinned.target.len() as u16).collect(),
            source: pinned.source,
            target: pinned.target,
            causes,
        };
        Ok((Self { rules, state }, plan))
    }

    fn rows<'a>(&'a self, work: &'a Work) -> Rows<'a> {
        let source = View::new(&work.source, &self.state.source, &self.state.reads);
        let draft = View::new(&work.draft, &self.state.target, &self.state.drafted);
        Rows::new(source, draft, &work.is_new)
    }

    pub(crate) fn map(&self, ctx: &Context, work: &Work, tables: &impl Tables) -> Mapped {
        let rows = self.rows(work);
        let mut out = Edits::new(&self.state, rows.len());
        self.rules.map_batch(ctx, &rows, tables, &mut out);
        out.finish()
    }

    pub(crate) fn validate(&self, ctx: &Context, work: &Work, tables: &impl Tables) -> FindingList {
        let rows = self.rows(work);
        let mut out = Findings::new(&self.state);
        self.rules.validate_batch(ctx, &rows, tables, &mut out);
        out.finish()
    }

    pub(crate) fn resolve(
        &self,
        ctx: &Context,
        work: &Work,
        directory: &impl Directory,
        tables: &impl Tables,
    ) -> DecisionList {
        let rows = self.rows(work);
        let mut out = Decisions::new(&self.state, rows.len());
        self.rules.resolve_batch(ctx, &rows, directory, tables, &mut out);
        out.finish()
    }
}

/// Where a component keeps its rules between `configure` and the next call.
#[cfg(target_arch = "wasm32")]
#[derive(Debug)]
pub struct Slot<R> {
    configured: OnceCell<Configured<R>>,
}

#[cfg(target_arch = "wasm32")]
impl<R> Slot<R> {
    pub const fn new() -> Self {
        Self { configured: OnceCell::new() }
    }
}

#[cfg(target_arch = "wasm32")]
impl<R> Default for Slot<R> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(target_arch = "wasm32")]
impl<R: Rules> Slot<R> {
    pub fn configure(&self, pinned: Pinned) -> Result<Plan, Vec<Problem>> {
        let (configured, plan) = Configured::new(pinned)?;
        assert!(self.configured.set(configured).is_ok(), "configure is called once an instance");
        Ok(plan)
    }

    pub fn map(&self, ctx: &Context, work: &Work) -> Mapped {
        self.get().map(ctx, work, &crate::look_up::Host)
    }

    pub fn validate(&self, ctx: &Context, work: &Work) -> FindingList {
        self.get().validate(ctx, work, &crate::look_up::Host)
    }

    pub fn resolve(&self, ctx: &Context, work: &Work) -> DecisionList {
        self.get().resolve(ctx, work, &crate::look_up::Host, &crate::look_up::Host)
    }

    fn get(&self) -> &Configured<R> {
        match self.configured.get() {
            Some(configured) => configured,
            None => panic!("configure is called before anything else"),
        }
    }
}

/// Tells the host what a panic said and where, before the trap that follows.
#[cfg(target_arch = "wasm32")]
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("a panic without a message");
        let (file, line, column) =
            info.location().map_or(("", 0, 0), |place| (place.file(), place.line(), place.column()));
        crate::bindings::dealsync::rules::host::fault(message, file, line, column);
    }));
}

/// Natively a panic fails the test as it is.
#[cfg(not(target_arch = "wasm32"))]
pub fn report_panics() {}

#[cfg(target_arch = "wasm32")]
pub(crate) fn log(message: &str) {
    use crate::bindings::dealsync::rules::host;
    host::log(host::Level::Info, None, message);
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn log(message: &str) {
    eprintln!("{message}");
}
