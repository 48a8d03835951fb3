//! What a component answers: edits, findings and decisions, each with the rule
//! that made it. A rule's name crosses to the host once a batch.

use crate::row::{Key, Row, SourceSide, TargetSide};
use crate::run::State;
use crate::setup::CauseId;
use crate::{
    Assignment, Cause, Copies, Decision, DecisionList, Edit, Finding, FindingList, Mapped, Outcome, Refusal,
    Refused, Severity, Value, Warning,
};

/// The name under which unnamed decisions appear in the log.
const UNNAMED_RULE: &str = "rules";
const NOT_YET: u16 = u16::MAX;

/// Names a rule: a [`CauseId`] from `configure`, or a name in place.
pub trait CauseKey {
    #[doc(hidden)]
    fn intern(&self, causes: &mut Causes<'_>) -> u16;
}

impl CauseKey for CauseId {
    #[inline]
    fn intern(&self, causes: &mut Causes<'_>) -> u16 {
        match causes.places.get(usize::from(self.0)) {
            Some(&place) if place != NOT_YET => place,
            _ => causes.place(*self),
        }
    }
}

impl CauseKey for &str {
    fn intern(&self, causes: &mut Causes<'_>) -> u16 {
        match causes.list.iter().position(|cause| cause.rule == *self) {
            Some(place) => place as u16,
            None => causes.push(Cause { rule: (*self).to_owned(), note: None, read: Vec::new() }),
        }
    }
}

/// The causes of one answer, each once.
#[derive(Debug)]
pub struct Causes<'a> {
    state: &'a State,
    /// By [`CauseId`]: its place in `list`, or `NOT_YET`.
    places: Vec<u16>,
    list: Vec<Cause>,
    current: Option<u16>,
}

impl<'a> Causes<'a> {
    fn new(state: &'a State) -> Self {
        Self { state, places: vec![NOT_YET; state.causes.len()], list: Vec::new(), current: None }
    }

    fn push(&mut self, cause: Cause) -> u16 {
        self.list.push(cause);
        (self.list.len() - 1) as u16
    }

    #[cold]
    fn place(&mut self, id: CauseId) -> u16 {
        let Some(def) = self.state.causes.get(usize::from(id.0)) else { return self.unnamed() };
        let place = self.push(Cause { rule: def.rule.clone(), note: None, read: def.read.clone() });
        self.places[usize::from(id.0)] = place;
        place
    }

    #[inline]
    fn current(&mut self) -> u16 {
        match self.current {
            Some(place) => place,
            None => self.unnamed(),
        }
    }

    fn unnamed(&mut self) -> u16 {
        UNNAMED_RULE.intern(self)
    }
}

/// Collects the edits of a batch. [`crate::Rules::map`] finds it set to its row.
#[derive(Debug)]
pub struct Edits<'a> {
    causes: Causes<'a>,
    row: u32,
    rows: usize,
    edits: Vec<Edit>,
    copies: Vec<Copies>,
    /// By target field: its entry in `copies`, or `NOT_YET`.
    copied: Vec<u16>,
    refusals: Vec<Refusal>,
}

impl<'a> Edits<'a> {
    pub(crate) fn new(state: &'a State, rows: usize) -> Self {
        Self {
            causes: Causes::new(state),
            row: 0,
            rows,
            edits: Vec::new(),
            copies: Vec::with_capacity(state.writes.len()),
            copied: vec![NOT_YET; state.target.len()],
            refusals: Vec::new(),
        }
    }

    /// Turns to a row, for [`crate::Rules::map_batch`]; forgets the rule named before.
    #[inline]
    pub fn row(&mut self, row: Row<'_>) -> &mut Self {
        self.row = row.at;
        self.causes.current = None;
        self
    }

    /// Names the rule behind what follows for this row.
    #[inline]
    pub fn because(&mut self, rule: impl CauseKey) -> &mut Self {
        self.causes.current = Some(rule.intern(&mut self.causes));
        self
    }

    /// Writes a field of the draft. The host refuses a second edit of the same
    /// field by the same component.
    #[inline]
    pub fn set(&mut self, target: impl Key<TargetSide>, value: impl Into<Value>) {
        let field = target.resolve(&self.causes.state.target, &self.causes.state.writes);
        let cause = self.causes.current();
        self.edits.push(Edit { row: self.row, field, value: value.into(), cause });
    }

    /// Carries a source field over as it came, without its text passing through
    /// the rule.
    #[inline]
    pub fn copy(&mut self, target: impl Key<TargetSide>, source: impl Key<SourceSide>) {
        let source = source.resolve(&self.causes.state.source, &self.causes.state.reads);
        let field = target.resolve(&self.causes.state.target, &self.causes.state.writes);
        let cause = self.causes.current();
        let known = self.copied.get(usize::from(field)).and_then(|at| self.copies.get_mut(usize::from(*at)));
        match known {
            Some(copies) if copies.source == source && copies.cause == cause => copies.rows.push(self.row),
            Some(_) => self.edits.push(Edit { row: self.row, field, value: Value::Copy(source), cause }),
            None => self.begin_copies(field, source, cause),
        }
    }

    #[cold]
    fn begin_copies(&mut self, field: u16, source: u16, cause: u16) {
        let mut rows = Vec::with_capacity(self.rows);
        rows.push(self.row);
        self.copied[usize::from(field)] = self.copies.len() as u16;
        self.copies.push(Copies { field, source, cause, rows });
    }

    /// Empties a field of the draft.
    #[inline]
    pub fn clear(&mut self, target: impl Key<TargetSide>) {
        self.set(target, Value::Null);
    }

    /// Refuses the record: it is set aside with this reason. `code` is the
    /// author's own, `fix` tells a person what to do.
    pub fn refuse(&mut self, code: &str, message: impl Into<String>, fix: impl Into<String>) {
        let cause = self.causes.current();
        let (message, fix) = (message.into(), fix.into());
        self.refusals.push(Refusal { row: self.row, code: code.to_owned(), message, fix, cause });
    }

    pub(crate) fn finish(self) -> Mapped {
        Mapped { edits: self.edits, copies: self.copies, refusals: self.refusals, causes: self.causes.list }
    }
}

/// Turns copies said for many records into an edit each, for whoever looks at single
/// records.
pub fn spread(mapped: &mut Mapped) {
    for copies in std::mem::take(&mut mapped.copies) {
        let Copies { field, source, cause, rows } = copies;
        let edit = |row| Edit { row, field, value: Value::Copy(source), cause };
        mapped.edits.extend(rows.into_iter().map(edit));
    }
    mapped.edits.sort_by_key(|edit| edit.row);
}

/// Collects what [`crate::Rules::validate`] finds.
#[derive(Debug)]
pub struct Findings<'a> {
    causes: Causes<'a>,
    row: u32,
    field: Option<u16>,
    items: Vec<Finding>,
}

impl<'a> Findings<'a> {
    pub(crate) fn new(state: &'a State) -> Self {
        Self { causes: Causes::new(state), row: 0, field: None, items: Vec::new() }
    }

    /// Turns to a row, for [`crate::Rules::validate_batch`].
    #[inline]
    pub fn row(&mut self, row: Row<'_>) -> &mut Self {
        self.row = row.at;
        self.field = None;
        self.causes.current = None;
        self
    }

    /// Names the rule behind what follows for this row.
    pub fn because(&mut self, rule: impl CauseKey) -> &mut Self {
        self.causes.current = Some(rule.intern(&mut self.causes));
        self
    }

    /// Names the field of the draft that the next finding is about.
    pub fn about(&mut self, target: impl Key<TargetSide>) -> &mut Self {
        self.field = Some(target.resolve(&self.causes.state.target, &self.causes.state.drafted));
        self
    }

    /// The record is not written.
    pub fn error(&mut self, code: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Severity::Error, code, message.into(), fix.into());
    }

    /// The record is written, and a person should look.
    pub fn warn(&mut self, code: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Severity::Warning, code, message.into(), fix.into());
    }

    pub fn info(&mut self, code: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Severity::Info, code, message.into(), fix.into());
    }

    fn push(&mut self, severity: Severity, code: &str, message: String, fix: String) {
        let cause = self.causes.current();
        let (row, field) = (self.row, self.field.take());
        self.items.push(Finding { row, field, severity, code: code.to_owned(), message, fix, cause });
    }

    pub(crate) fn finish(self) -> FindingList {
        FindingList { items: self.items, causes: self.causes.list }
    }
}

/// Collects who shall own which record. A row without a decision keeps what an
/// earlier component of the chain decided.
#[derive(Debug)]
pub struct Decisions<'a> {
    causes: Causes<'a>,
    row: u32,
    warnings: Vec<Warning>,
    items: Vec<Decision>,
}

impl<'a> Decisions<'a> {
    pub(crate) fn new(state: &'a State, rows: usize) -> Self {
        let items = Vec::with_capacity(rows);
        Self { causes: Causes::new(state), row: 0, warnings: Vec::new(), items }
    }

    /// Turns to a row.
    pub fn row(&mut self, row: Row<'_>) -> &mut Self {
        self.row = row.at;
        self.warnings.clear();
        self.causes.current = None;
        self
    }

    /// Names the rule behind what follows for this row.
    pub fn because(&mut self, rule: impl CauseKey) -> &mut Self {
        self.causes.current = Some(rule.intern(&mut self.causes));
        self
    }

    /// Goes along with the decision that follows for this row.
    pub fn warn(&mut self, code: &str, message: impl Into<String>, fix: impl Into<String>) -> &mut Self {
        self.warnings.push(Warning { code: code.to_owned(), message: message.into(), fix: fix.into() });
        self
    }

    /// Gives the record to `owner`; all three are user ids of the directory.
    pub fn assign(&mut self, owner: &str, partner: Option<&str>, distributor: Option<&str>) {
        self.push(Outcome::Assign(Assignment {
            owner: owner.to_owned(),
            partner: partner.map(str::to_owned),
            distributor: distributor.map(str::to_owned),
        }));
    }

    /// Nobody can own the record; it is set aside with this reason.
    pub fn refuse(&mut self, code: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Outcome::Refuse(Refused {
            code: code.to_owned(),
            message: message.into(),
            fix: fix.into(),
        }));
    }

    fn push(&mut self, outcome: Outcome) {
        let cause = self.causes.current();
        let warnings = std::mem::take(&mut self.warnings);
        self.items.push(Decision { row: self.row, outcome, warnings, cause });
    }

    pub(crate) fn finish(self) -> DecisionList {
        DecisionList { items: self.items, causes: self.causes.list }
    }
}
