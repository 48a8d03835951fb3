//! Takes what a component answered, believing none of it. What can be pinned on
//! one row costs that row; what cannot fails the call.

use std::borrow::Cow;
use std::collections::HashMap;

use dealsync_core::answers::{Assignment, Finding, Provenance, Severity};
use dealsync_core::batch::Batch;
use dealsync_core::ids::UserId;
use dealsync_core::schema::{FieldDef, FieldIx, Schema};
use dealsync_core::value::Cell;

use crate::bindings::types::{Cause, Value};
use crate::bindings::{mapping, ownership, validation};
use crate::bisect::Culprit;
use crate::configure::Configured;
use crate::convert;
use crate::fault::{Failure, cut};

/// No rule wrote the cell.
pub const UNWRITTEN: u16 = u16::MAX;

/// What a tenant's own findings are called, whatever code they carry.
pub const TENANT_RULE_REJECTED: &str = "TENANT_RULE_REJECTED";

/// What has been decided so far about the rows of one batch.
pub(crate) struct Pass<'a> {
    pub source: Cow<'a, Batch>,
    pub draft: Batch,
    /// Per cell of the draft, an entry of [`Sources`].
    pub provenance: Vec<u16>,
    pub findings: Vec<Vec<Finding>>,
    pub owners: Vec<Owner>,
}

/// What the chain says so far about the owner of a row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Owner {
    #[default]
    Unsaid,
    Assigned(Assignment),
    Refused,
}

impl<'a> Pass<'a> {
    pub fn new(source: Cow<'a, Batch>, draft: Batch) -> Self {
        let rows = source.rows();
        Self {
            provenance: vec![UNWRITTEN; rows * draft.columns().len()],
            findings: vec![Vec::new(); rows],
            owners: vec![Owner::Unsaid; rows],
            source,
            draft,
        }
    }
}

/// Who wrote what, each once.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub list: Vec<Provenance>,
    known: HashMap<(usize, String, Option<String>), u16>,
}

impl Sources {
    fn add(&mut self, member: &Configured, cause: &Cause) -> u16 {
        let limits = member.component.limits();
        let rule = cut(cause.rule.clone(), limits.name_bytes_max);
        let note = cause.note.clone().map(|note| cut(note, limits.message_bytes_max));
        let key = (member.position, rule, note);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        // With so many different notes the last entry stands for all further ones.
        let next = self.list.len().min(usize::from(UNWRITTEN) - 1);
        if next == self.list.len() {
            self.list.push(Provenance {
                component: member.name.clone(),
                version: member.version.clone(),
                rule: key.1.clone(),
                note: key.2.clone(),
            });
            self.known.insert(key, next as u16);
        }
        next as u16
    }
}

/// One answer while it is taken: its causes, and the rows it got wrong.
struct Taking<'a> {
    member: &'a Configured,
    /// Rows of the pass that the call was about.
    rows: &'a [usize],
    causes: &'a [Cause],
    sources: &'a mut Sources,
    known_causes: Vec<Option<u16>>,
    said: Vec<u16>,
    broken: Vec<Option<String>>,
}

impl<'a> Taking<'a> {
    fn new(
        member: &'a Configured,
        rows: &'a [usize],
        causes: &'a [Cause],
        sources: &'a mut Sources,
        mut about: impl Iterator<Item = u32>,
    ) -> Result<Self, Failure> {
        // Before anything takes effect: what fails the call must leave no trace.
        if let Some(row) = about.find(|row| *row as usize >= rows.len()) {
            return Err(Failure::contract(format!(
                "its answer is about row {row}; it was given {} rows",
                rows.len()
            )));
        }
        let allowed = member.component.limits().causes_max;
        if causes.len() > allowed {
            return Err(Failure::contract(format!(
                "its answer names {} causes; {allowed} are allowed",
                causes.len()
            )));
        }
        Ok(Self {
            member,
            rows,
            causes,
            sources,
            known_causes: vec![None; causes.len()],
            said: vec![0; rows.len()],
            broken: vec![None; rows.len()],
        })
    }

    /// The row of the pass that a row of the answer means.
    fn row(&self, row: u32) -> usize {
        self.rows[row as usize]
    }

    fn cause(&mut self, cause: u16) -> Result<u16, String> {
        let at = usize::from(cause);
        match self.known_causes.get(at).copied() {
            Some(Some(known)) => Ok(known),
            Some(None) => {
                let source = self.sources.add(self.member, &self.causes[at]);
                self.known_causes[at] = Some(source);
                Ok(source)
            }
            None => Err(format!("it gave cause {cause}; its answer lists {}", self.causes.len())),
        }
    }

    fn provenance(&mut self, cause: u16) -> Result<Provenance, String> {
        let source = self.cause(cause)?;
        Ok(self.sources.list[usize::from(source)].clone())
    }

    fn count(&mut self, row: u32) -> Result<(), String> {
        let said = &mut self.said[row as usize];
        *said = said.saturating_add(1);
        let allowed = self.member.component.limits().edits_per_row_max;
        match *said > allowed {
            true => Err(format!("it said more than {allowed} things about one record")),
            false => Ok(()),
        }
    }

    fn note(&mut self, row: u32, outcome: Result<(), String>) {
        if let Err(message) = outcome {
            self.broken[row as usize].get_or_insert(message);
        }
    }

    fn finish(self) -> Vec<Culprit> {
        let broken = self.rows.iter().zip(self.broken);
        broken.filter_map(|(row, message)| Some((*row, Failure::contract(message?)))).collect()
    }

    /// Catalogue codes are for `standard` alone; others speak under a code of
    /// their own kind, with theirs behind the text.
    fn finding(
        &mut self,
        severity: Severity,
        field: Option<FieldIx>,
        words: (String, String, String),
        cause: u16,
    ) -> Result<Finding, String> {
        let by = self.provenance(cause)?;
        let limits = self.member.component.limits();
        let (code, message, fix) = words;
        let code = cut(code, limits.name_bytes_max);
        let message = cut(message, limits.message_bytes_max);
        let fix = cut(fix, limits.message_bytes_max);
        Ok(match self.member.is_standard {
            true => Finding { severity, field, code, message, fix, by },
            false => Finding {
                severity,
                field,
                code: TENANT_RULE_REJECTED.to_owned(),
                message: format!(
                    "Rule \"{}\" v{}: {message} [{code}]",
                    self.member.name, self.member.version
                ),
                fix,
                by,
            },
        })
    }
}

/// Writes the edits into the draft and the refusals among the findings. Names
/// the rows whose part of the answer is unusable; the pass is then worthless.
pub(crate) fn take_mapped(
    pass: &mut Pass<'_>,
    member: &Configured,
    target: &Schema,
    rows: &[usize],
    answer: mapping::Mapped,
    sources: &mut Sources,
) -> Result<Vec<Culprit>, Failure> {
    let about = answer.edits.iter().map(|edit| edit.row);
    let about = about.chain(answer.refusals.iter().map(|refusal| refusal.row));
    let about = about.chain(answer.copies.iter().flat_map(|copies| copies.rows.iter().copied()));
    let mut taking = Taking::new(member, rows, &answer.causes, sources, about)?;
    let width = pass.draft.columns().len();
    let mut written = vec![false; rows.len() * width];
    let mut joined = String::new();
    for copies in &answer.copies {
        take_copies(pass, target, &mut taking, &mut written, copies);
    }
    for edit in &answer.edits {
        let row = taking.row(edit.row);
        let outcome = (|| {
            taking.count(edit.row)?;
            let column = member.draft_column(edit.field).ok_or_else(|| {
                format!("it wrote {}, which its plan does not declare", field_name(target, edit.field))
            })?;
            let at = edit.row as usize * width + column;
            if std::mem::replace(&mut written[at], true) {
                return Err(format!("it wrote {} twice", field_name(target, edit.field)));
            }
            let source = taking.cause(edit.cause)?;
            if write(pass, member, target, (row, column), edit, &mut joined)? {
                pass.provenance[row * width + column] = source;
            }
            Ok(())
        })();
        taking.note(edit.row, outcome);
    }
    for refusal in answer.refusals {
        let row = taking.row(refusal.row);
        let words = (refusal.code, refusal.message, refusal.fix);
        let outcome = taking.count(refusal.row).and_then(|()| {
            let finding = taking.finding(Severity::Error, None, words, refusal.cause)?;
            pass.findings[row].push(finding);
            Ok(())
        });
        taking.note(refusal.row, outcome);
    }
    Ok(taking.finish())
}

/// Writes one field of many records, from one field of theirs.
fn take_copies(
    pass: &mut Pass<'_>,
    target: &Schema,
    taking: &mut Taking<'_>,
    written: &mut [bool],
    copies: &mapping::Copies,
) {
    let member = taking.member;
    let width = pass.draft.columns().len();
    let known = (|| {
        let field = target.field(FieldIx(copies.field)).ok_or("it wrote a field that does not exist")?;
        let column = member.draft_column(copies.field).ok_or_else(|| {
            format!("it wrote {}, which its plan does not declare", field_name(target, copies.field))
        })?;
        let from = member.source_column(copies.source).ok_or_else(|| {
            let source = copies.source;
            format!("it copied source field {source} into {}, which its plan does not read", field.name)
        })?;
        Ok::<_, String>((field, column, from, taking.cause(copies.cause)?))
    })();
    for said in &copies.rows {
        let row = taking.row(*said);
        let outcome = known.as_ref().map_err(Clone::clone).and_then(|(field, column, from, source)| {
            taking.count(*said)?;
            if std::mem::replace(&mut written[*said as usize * width + column], true) {
                return Err(format!("it wrote {} twice", field.name));
            }
            let cell = pass.source.cell(row, *from);
            if cell != Cell::Absent {
                pass.draft.set(row, *column, fitting(cell, member, field)?);
                pass.provenance[row * width + column] = *source;
            }
            Ok(())
        });
        taking.note(*said, outcome);
    }
}

/// Writes one cell. False where there was nothing to copy.
fn write(
    pass: &mut Pass<'_>,
    member: &Configured,
    target: &Schema,
    (row, column): (usize, usize),
    edit: &mapping::Edit,
    joined: &mut String,
) -> Result<bool, String> {
    let field = target.field(FieldIx(edit.field)).ok_or("it wrote a field that does not exist")?;
    let cell = match &edit.value {
        Value::Copy(from) => {
            let column = member.source_column(*from).ok_or_else(|| {
                format!("it copied source field {from} into {}, which its plan does not read", field.name)
            })?;
            match pass.source.cell(row, column) {
                Cell::Absent => return Ok(false),
                cell => cell,
            }
        }
        value => convert::cell(value, joined).ok_or("it wrote no value")?,
    };
    pass.draft.set(row, column, fitting(cell, member, field)?);
    Ok(true)
}

/// The cell as the field holds it, if it may.
fn fitting<'c>(cell: Cell<'c>, member: &Configured, field: &FieldDef) -> Result<Cell<'c>, String> {
    let length_max = member.component.limits().value_bytes_max;
    if let Some(length) = cell.as_text().map(str::len).filter(|length| *length > length_max) {
        return Err(format!("it wrote {length} bytes into {}; {length_max} are allowed", field.name));
    }
    convert::fit(cell, field).ok_or_else(|| {
        format!(
            "it wrote {} into {}, which holds {}",
            convert::kind_words(cell),
            field.name,
            field.kind.name()
        )
    })
}

fn field_name(target: &Schema, field: u16) -> String {
    match target.field(FieldIx(field)) {
        Some(field) => field.name.clone(),
        None => format!("target field {field}, which does not exist"),
    }
}

pub(crate) fn take_findings(
    pass: &mut Pass<'_>,
    member: &Configured,
    target: &Schema,
    rows: &[usize],
    answer: validation::Findings,
    sources: &mut Sources,
) -> Result<Vec<Culprit>, Failure> {
    let about = answer.items.iter().map(|item| item.row);
    let mut taking = Taking::new(member, rows, &answer.causes, sources, about)?;
    for item in answer.items {
        let row = taking.row(item.row);
        let severity = match item.severity {
            validation::Severity::Info => Severity::Info,
            validation::Severity::Warning => Severity::Warning,
            validation::Severity::Error => Severity::Error,
        };
        let words = (item.code, item.message, item.fix);
        let outcome = taking.count(item.row).and_then(|()| {
            let field = item.field.map(FieldIx);
            if let Some(field) = field.filter(|field| target.field(*field).is_none()) {
                return Err(format!(
                    "it found something about target field {}, which does not exist",
                    field.0
                ));
            }
            let finding = taking.finding(severity, field, words, item.cause)?;
            pass.findings[row].push(finding);
            Ok(())
        });
        taking.note(item.row, outcome);
    }
    Ok(taking.finish())
}

pub(crate) fn take_decisions(
    pass: &mut Pass<'_>,
    member: &Configured,
    rows: &[usize],
    answer: ownership::Decisions,
    sources: &mut Sources,
) -> Result<Vec<Culprit>, Failure> {
    let about = answer.items.iter().map(|item| item.row);
    let mut taking = Taking::new(member, rows, &answer.causes, sources, about)?;
    let mut decided = vec![false; rows.len()];
    for item in answer.items {
        let row = taking.row(item.row);
        let outcome = (|| {
            taking.count(item.row)?;
            if std::mem::replace(&mut decided[item.row as usize], true) {
                return Err("it decided twice about one record".to_owned());
            }
            for warning in item.warnings {
                taking.count(item.row)?;
                let words = (warning.code, warning.message, warning.fix);
                pass.findings[row].push(taking.finding(Severity::Warning, None, words, item.cause)?);
            }
            match item.outcome {
                ownership::Outcome::Assign(assignment) => {
                    taking.cause(item.cause)?;
                    let assignment = self::assignment(&assignment)?;
                    // A refusal stands, whoever comes after.
                    if !matches!(pass.owners[row], Owner::Refused) {
                        pass.owners[row] = Owner::Assigned(assignment);
                    }
                }
                ownership::Outcome::Refuse(refused) => {
                    let words = (refused.code, refused.message, refused.fix);
                    pass.findings[row].push(taking.finding(Severity::Error, None, words, item.cause)?);
                    pass.owners[row] = Owner::Refused;
                }
            }
            Ok(())
        })();
        taking.note(item.row, outcome);
    }
    Ok(taking.finish())
}

fn assignment(said: &ownership::Assignment) -> Result<Assignment, String> {
    let id = |text: &String| {
        text.parse::<UserId>()
            .map_err(|_| format!("it named a user {:?}, which is no id", cut(text.clone(), 60)))
    };
    Ok(Assignment {
        owner: id(&said.owner)?,
        partner: said.partner.as_ref().map(id).transpose()?,
        distributor: said.distributor.as_ref().map(id).transpose()?,
    })
}
