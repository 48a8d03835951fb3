//! The one trait an author implements.

use crate::look_up::{Directory, Tables};
use crate::out::{Decisions, Edits, Findings};
use crate::row::{Row, Rows};
use crate::setup::Setup;
use crate::{Context, Problem};

/// A tenant's rules for one flow. Every method but `configure` has a default
/// that says nothing; the `_batch` forms are for rules that look things up, so
/// that a table or the directory is asked once a batch.
///
/// An instance lives for one batch: `configure` first, then any of the others.
/// Whatever is kept in `self` is gone afterwards.
pub trait Rules: Sized + 'static {
    /// Reads the settings, declares the fields read and written, and resolves
    /// names to handles. Fails where `setup` holds a problem, whatever it answers.
    fn configure(setup: &mut Setup<'_>) -> Result<Self, Vec<Problem>>;

    /// Edits the draft of one record.
    fn map(&self, ctx: &Context, row: Row<'_>, out: &mut Edits<'_>) {
        let _ = (ctx, row, out);
    }

    fn map_batch(&self, ctx: &Context, rows: &Rows<'_>, tables: &impl Tables, out: &mut Edits<'_>) {
        let _ = tables;
        for row in rows.iter() {
            self.map(ctx, row, out.row(row));
        }
    }

    /// Says what is wrong with one record, source or draft.
    fn validate(&self, ctx: &Context, row: Row<'_>, out: &mut Findings<'_>) {
        let _ = (ctx, row, out);
    }

    fn validate_batch(&self, ctx: &Context, rows: &Rows<'_>, tables: &impl Tables, out: &mut Findings<'_>) {
        let _ = tables;
        for row in rows.iter() {
            self.validate(ctx, row, out.row(row));
        }
    }

    /// Decides who owns each record. Asked for records not linked yet, or when a
    /// person asks to re-own.
    fn resolve_batch(
        &self,
        ctx: &Context,
        rows: &Rows<'_>,
        directory: &impl Directory,
        tables: &impl Tables,
        out: &mut Decisions<'_>,
    ) {
        let _ = (ctx, rows, directory, tables, out);
    }
}
