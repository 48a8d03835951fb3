//! The rules of one tenant for one flow, in order: how they are set up, what they
//! touch, and what they answer. The asking itself is `asking.rs`.

use std::collections::HashMap;
use std::sync::Arc;

use dealsync_core::answers::{Context, Provenance, RowAnswer, RulesPlan};
use dealsync_core::batch::Batch;
use dealsync_core::people::Directory;
use dealsync_core::schema::{FieldIx, Schema};

use crate::asking::Asking;
use crate::component::Component;
use crate::configure::{self, ConfigureError, Configured};
use crate::convert::{self, Selection};
use crate::engine::{Engine, Shared};

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
    /// Fuel that starting and configuring took, beside `fuel_used`.
    pub configure_fuel: u64,
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
    /// At most 200 lines, those of failed calls last.
    pub logs: Vec<LogLine>,
    /// One entry per component, in the order of the chain.
    pub used: Vec<Usage>,
}

/// Which rule wrote which cell of the draft.
#[derive(Debug, Clone, Default)]
pub struct CellProvenance {
    pub(crate) columns: usize,
    /// Per cell of the draft, a position in `list`.
    pub(crate) cells: Vec<u16>,
    pub(crate) list: Vec<Provenance>,
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

/// Configured rules, ready to be asked from any thread.
pub struct Chain {
    pub(crate) shared: Arc<Shared>,
    pub(crate) flow: String,
    pub(crate) members: Vec<Configured>,
    pub(crate) source: Arc<Schema>,
    pub(crate) target: Arc<Schema>,
    plan: RulesPlan,
    source_columns: Arc<[FieldIx]>,
    source_scales: Arc<[u8]>,
    pub(crate) draft_columns: Arc<[FieldIx]>,
    pub(crate) draft_scales: Arc<[u8]>,
    pub(crate) draft_selection: Selection,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let members: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        f.debug_struct("Chain").field("flow", &self.flow).field("members", &members).finish_non_exhaustive()
    }
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
