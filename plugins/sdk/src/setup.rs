//! What a component says about itself at `configure`: the fields it reads and
//! writes, resolved from names once, and the names of its rules.

use crate::row::{Source, Target};
use crate::{Conflict, FieldDef, OnNull, Pinned, Plan, Problem, Write};

/// A rule's name, declared once, for use on every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CauseId(pub(crate) u16);

/// How core treats a written field. The default is: on create and on update,
/// the source wins, an empty source empties the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    pub on_create: bool,
    pub on_update: bool,
    pub conflict: Conflict,
    pub on_null: OnNull,
}

impl Default for Policy {
    fn default() -> Self {
        Self { on_create: true, on_update: true, conflict: Conflict::Source, on_null: OnNull::Clear }
    }
}

#[derive(Debug)]
pub(crate) struct CauseDef {
    pub(crate) rule: String,
    pub(crate) read: Vec<u16>,
}

/// Handed to [`crate::Rules::configure`].
#[derive(Debug)]
pub struct Setup<'a> {
    pinned: &'a Pinned,
    pub(crate) plan: Plan,
    pub(crate) causes: Vec<CauseDef>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Setup<'a> {
    pub(crate) fn new(pinned: &'a Pinned) -> Self {
        let plan = Plan { reads: Vec::new(), writes: Vec::new() };
        Self { pinned, plan, causes: Vec::new(), problems: Vec::new() }
    }

    /// `opportunity-to-deal`, …: the list is in `wit/README.md`.
    pub fn flow(&self) -> &'a str {
        &self.pinned.flow
    }

    /// The tenant's settings for this component, as JSON text.
    pub fn settings(&self) -> &'a str {
        &self.pinned.settings_json
    }

    pub fn source_fields(&self) -> &'a [FieldDef] {
        &self.pinned.source
    }

    pub fn target_fields(&self) -> &'a [FieldDef] {
        &self.pinned.target
    }

    /// Position of a look-up table, for [`crate::Tables::get`].
    pub fn table(&self, name: &str) -> Option<u16> {
        self.pinned.tables.iter().position(|table| table == name).map(|at| at as u16)
    }

    /// Declares that a source field is read. An unknown name is a problem at the
    /// path `reads`, and `configure` then fails whatever it answers.
    pub fn read(&mut self, name: &str) -> Source {
        self.read_at(name, "reads").unwrap_or(Source::new(u16::MAX))
    }

    /// As [`Setup::read`], for a name that stands in the settings at `path`.
    pub fn read_at(&mut self, name: &str, path: &str) -> Option<Source> {
        match position(&self.pinned.source, name) {
            Some(ix) => {
                if !self.plan.reads.contains(&ix) {
                    self.plan.reads.push(ix);
                }
                Some(Source::new(ix))
            }
            None => {
                self.problem(path, unknown_field("source", name, &self.pinned.source));
                None
            }
        }
    }

    /// Declares that a target field is written, made from these source fields.
    pub fn write(&mut self, name: &str, sources: &[&str]) -> Target {
        let sources: Vec<Source> = sources.iter().map(|source| self.read(source)).collect();
        match self.target_at(name, "writes") {
            Some(target) => {
                self.write_with(target, &sources, Policy::default());
                target
            }
            None => Target::new(u16::MAX),
        }
    }

    /// Looks up a target field whose name stands in the settings at `path`.
    pub fn target_at(&mut self, name: &str, path: &str) -> Option<Target> {
        let found = position(&self.pinned.target, name).map(Target::new);
        if found.is_none() {
            self.problem(path, unknown_field("target", name, &self.pinned.target));
        }
        found
    }

    /// Declares a write with a policy of its own. A field is declared once; a
    /// second time is a problem.
    pub fn write_with(&mut self, target: Target, sources: &[Source], policy: Policy) {
        if self.plan.writes.iter().any(|write| write.field == target.ix) {
            let name = self.target_def(target).map_or("", |field| &field.name);
            self.problem("writes", format!("{name} is written twice"));
            return;
        }
        self.plan.writes.push(Write {
            field: target.ix,
            sources: sources.iter().map(|source| source.ix).collect(),
            on_create: policy.on_create,
            on_update: policy.on_update,
            conflict: policy.conflict,
            on_null: policy.on_null,
        });
    }

    pub fn source_def(&self, source: Source) -> Option<&'a FieldDef> {
        self.pinned.source.get(usize::from(source.ix))
    }

    pub fn target_def(&self, target: Target) -> Option<&'a FieldDef> {
        self.pinned.target.get(usize::from(target.ix))
    }

    /// Names a rule and the source fields it goes by, for the log's "why".
    pub fn cause(&mut self, rule: impl Into<String>, read: &[Source]) -> CauseId {
        self.causes.push(CauseDef { rule: rule.into(), read: read.iter().map(|source| source.ix).collect() });
        CauseId((self.causes.len() - 1) as u16)
    }

    /// Reports what is wrong with the settings; `configure` then fails.
    pub fn problem(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), message: message.into() });
    }

    /// True once a problem was reported.
    pub fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }
}

fn position(schema: &[FieldDef], name: &str) -> Option<u16> {
    schema.iter().position(|field| field.name == name).and_then(|at| u16::try_from(at).ok())
}

#[cold]
fn unknown_field(side: &str, name: &str, schema: &[FieldDef]) -> String {
    let known = schema.iter().map(|field| field.name.as_str());
    match did_you_mean(name, known) {
        Some(close) => format!("there is no {side} field `{name}`; did you mean `{close}`?"),
        None => format!("there is no {side} field `{name}`"),
    }
}

/// The known name closest to a mistyped one, if one is close enough to be meant.
/// The `__c` that Salesforce appends to custom fields is easily forgotten, and so
/// costs nothing.
pub fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let wanted = name.to_lowercase();
    let furthest = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn distance(wanted: &str, candidate: &str) -> usize {
    let plain = candidate.strip_suffix("__c").unwrap_or(candidate);
    strsim::osa_distance(wanted, candidate).min(strsim::osa_distance(wanted, plain))
}
