//! The update of a linked deal: each field merged three ways, the losing values and
//! the conflicts told.

use serde_json::Value;

use crate::deal::{Values, decode_row, show};
use crate::facts::Facts;
use crate::link::Link;
use crate::merge::{FieldPolicy, Merged, Sides, three_way};
use crate::plan::FieldChange;
use crate::reason::{Code, Level, Reason};

/// The merge of one record, field by field.
pub(crate) struct Merge<'a> {
    facts: &'a Facts<'a>,
    theirs: Values,
    base: Values,
    pub ours: Values,
    theirs_is_newer: bool,
    pub changes: Vec<FieldChange>,
    pub conflicts: Vec<Reason>,
}

impl<'a> Merge<'a> {
    pub fn of(facts: &'a Facts<'a>, link: &Link, theirs: &str) -> Self {
        let deal = facts.stored.deal.as_ref();
        Self {
            facts,
            theirs: decode_row(theirs),
            base: decode_row(&link.base),
            ours: deal.map(|deal| decode_row(&deal.fields)).unwrap_or_default(),
            theirs_is_newer: deal.is_none_or(|deal| facts.source.modstamp > deal.updated_at),
            changes: Vec::new(),
            conflicts: Vec::new(),
        }
    }

    /// The base after the merge, of the fields that are mapped today. Where it says
    /// what `theirs` says it is `theirs` to the letter, so that the next run sees at a
    /// glance that nothing changed.
    pub fn base_text(&mut self, theirs: &str) -> String {
        let Facts { draft, target_schema, .. } = self.facts;
        let mapped = |name: &str| {
            draft.columns().iter().any(|ix| target_schema.field(*ix).is_some_and(|def| def.name == name))
        };
        self.base.retain(|name, _| mapped(name));
        if self.base == self.theirs { theirs.to_owned() } else { to_text(&self.base) }
    }

    pub fn field(&mut self, column: usize, policy: FieldPolicy) {
        let Some(ix) = self.facts.draft.columns().get(column) else { return };
        let Some(def) = self.facts.target_schema.field(*ix) else { return };
        let name = def.name.as_str();
        let sides = Sides {
            base: self.base.get(name),
            ours: self.ours.get(name),
            theirs: self.theirs.get(name),
            theirs_is_newer: self.theirs_is_newer,
        };
        let merged = three_way(sides, policy);
        let theirs = sides.theirs.cloned();
        let ours = sides.ours.cloned();
        match merged {
            Merged::Keep => return,
            Merged::Agree => {}
            Merged::Take | Merged::TakeOver => {
                let lost = (merged == Merged::TakeOver).then(|| ours.clone()).flatten();
                self.changes.push(FieldChange {
                    field: name.to_owned(),
                    old: ours.clone(),
                    new: theirs.clone(),
                    lost,
                });
                put(&mut self.ours, name, theirs.clone());
            }
            Merged::Hold | Merged::Ask => {}
        }
        if matches!(merged, Merged::TakeOver | Merged::Hold | Merged::Ask) {
            self.conflicts.push(conflict(&def.label, merged, theirs.as_ref(), ours.as_ref()));
        }
        if merged != Merged::Ask {
            put(&mut self.base, name, theirs);
        }
    }
}

fn conflict(label: &str, merged: Merged, theirs: Option<&Value>, ours: Option<&Value>) -> Reason {
    let kept = match merged {
        Merged::TakeOver => "Salesforce's",
        Merged::Ask => "both until somebody chooses",
        _ => "the portal's",
    };
    let values = [("field", label), ("theirs", &show(theirs)), ("ours", &show(ours)), ("kept", kept)];
    let mut reason = Reason::new(Code::ConflictBothChanged, &values).field(label);
    if merged != Merged::Ask {
        reason.level = Level::Info;
    }
    reason
}

fn put(values: &mut Values, name: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            values.insert(name.to_owned(), value);
        }
        None => {
            values.shift_remove(name);
        }
    }
}

pub(crate) fn to_text(values: &Values) -> String {
    serde_json::to_string(values).expect("a map of plain values is JSON")
}
