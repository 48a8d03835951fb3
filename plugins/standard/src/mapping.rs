//! One field of the target from one field of the source, or from a fixed value.
//! Names, values and policies are settled at `configure`; a plain copy then costs
//! a look at the cell's kind and its length.

use std::borrow::Cow;

use dealsync_rules_sdk::{
    CauseId, Cell, Conflict, Edits, FieldDef, FieldKind, OnNull, Policy, Row, Setup, Source, Target, Value,
};

use crate::convert::{Fit, Misfit, convert, entries};
use crate::settings::{self, MappingSettings, Unmapped};
use crate::words::quoted;

/// Mapped when a deal is created and never after, whatever the settings say (S52).
pub const CREATE_ONLY: [&str; 2] = ["contact_first_name", "contact_last_name"];

#[derive(Debug)]
pub struct Mapping {
    pub target: Target,
    pub target_label: String,
    pub feed: Feed,
    pub on_create: bool,
    on_update: bool,
    pub on_null: OnNull,
    cause: CauseId,
}

#[derive(Debug)]
pub enum Feed {
    Fixed(Value),
    From(Box<FromField>),
}

#[derive(Debug)]
pub struct FromField {
    pub source: Source,
    pub label: String,
    kind: FieldKind,
    scale: u8,
    default: Option<Value>,
    /// Sorted by source value.
    values: Vec<(String, Translated)>,
    has_values: bool,
    unmapped: Unmapped,
    choices: Vec<String>,
    /// Characters; `u32::MAX` where there is no limit.
    max_length: u32,
    cut: bool,
}

#[derive(Debug)]
struct Translated {
    text: String,
    value: Value,
}

/// Resolves the settings against the pinned schema; what is wrong is reported to
/// `setup` with its place.
pub fn prepare(settings: &[MappingSettings], setup: &mut Setup<'_>) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = Vec::with_capacity(settings.len());
    for (at, entry) in settings.iter().enumerate() {
        let Some(mapping) = prepare_one(at, entry, setup) else { continue };
        if mappings.iter().any(|earlier| earlier.target == mapping.target) {
            setup.problem(format!("mappings[{at}].to"), format!("`{}` is mapped twice", entry.to));
            continue;
        }
        mappings.push(mapping);
    }
    if !setup.has_problems() {
        for mapping in &mappings {
            declare(mapping, settings, setup);
        }
    }
    mappings
}

fn declare(mapping: &Mapping, settings: &[MappingSettings], setup: &mut Setup<'_>) {
    let name = setup.target_def(mapping.target).map(|field| field.name.as_str());
    let conflict =
        settings.iter().find(|entry| Some(entry.to.as_str()) == name).and_then(|entry| entry.conflict);
    let policy = Policy {
        on_create: mapping.on_create,
        on_update: mapping.on_update,
        conflict: match conflict {
            None | Some(settings::Conflict::Source) => Conflict::Source,
            Some(settings::Conflict::Target) => Conflict::Target,
            Some(settings::Conflict::Newest) => Conflict::Newest,
            Some(settings::Conflict::Ask) => Conflict::Ask,
        },
        on_null: mapping.on_null,
    };
    match &mapping.feed {
        Feed::Fixed(_) => setup.write_with(mapping.target, &[], policy),
        Feed::From(from) => setup.write_with(mapping.target, &[from.source], policy),
    }
}

fn prepare_one(at: usize, entry: &MappingSettings, setup: &mut Setup<'_>) -> Option<Mapping> {
    let path = |key: &str| format!("mappings[{at}].{key}");
    let Some(target) = setup.target_at(&entry.to, &path("to")) else {
        // The other end is checked too, so that one look shows both faults.
        if let Some(from) = &entry.from {
            setup.read_at(from, &path("from"));
        }
        return None;
    };
    let def = setup.target_def(target)?;
    let (feed, read) = match (&entry.from, &entry.value) {
        (Some(from), None) => {
            let source = setup.read_at(from, &path("from"))?;
            (Feed::From(Box::new(prepare_from(at, entry, source, def, setup)?)), Some(source))
        }
        (None, Some(value)) => {
            if entry.default.is_some() || entry.values.is_some() || entry.unmapped.is_some() || entry.cut {
                let message = "a fixed value takes no `default`, `values`, `unmapped` or `cut`";
                setup.problem(path("value"), message);
            }
            (Feed::Fixed(fixed(value, def, &path("value"), setup)?), None)
        }
        (Some(_), Some(_)) => {
            setup.problem(path("value"), "a mapping has either `from` or `value`");
            return None;
        }
        (None, None) => {
            setup.problem(path("from"), "a mapping needs `from`, a source field, or `value`, a fixed value");
            return None;
        }
    };
    let cause = setup.cause(format!("map.{}", entry.to), read.as_slice());
    Some(Mapping {
        target,
        target_label: label(def),
        feed,
        on_create: entry.on_create,
        on_update: entry.on_update && !CREATE_ONLY.contains(&entry.to.as_str()),
        on_null: on_null(entry.on_null, def.required),
        cause,
    })
}

fn prepare_from(
    at: usize,
    entry: &MappingSettings,
    source: Source,
    def: &FieldDef,
    setup: &mut Setup<'_>,
) -> Option<FromField> {
    let path = |key: &str| format!("mappings[{at}].{key}");
    let default = match &entry.default {
        Some(text) => Some(fixed(text, def, &path("default"), setup)?),
        None => None,
    };
    let mut values = Vec::new();
    for (from, to) in entry.values.iter().flat_map(|map| &map.0) {
        let value = fixed(to, def, &format!("mappings[{at}].values.{from}"), setup)?;
        values.push((from.trim().to_owned(), Translated { text: to.clone(), value }));
    }
    values.sort_by(|a, b| a.0.cmp(&b.0));
    if entry.unmapped == Some(Unmapped::Default) && default.is_none() {
        setup.problem(path("unmapped"), "`unmapped` says `default`, and there is no `default`");
    }
    let is_text = matches!(def.kind, FieldKind::Text | FieldKind::Choice);
    if entry.cut && !is_text {
        setup.problem(
            path("cut"),
            format!("only text can be cut; `{}` is {}", entry.to, kind_words(def.kind)),
        );
    }
    let has_values = entry.values.is_some();
    let otherwise = if has_values { Unmapped::Refuse } else { Unmapped::Pass };
    Some(FromField {
        source,
        label: setup.source_def(source).map(label).unwrap_or_default(),
        kind: def.kind,
        scale: def.scale,
        default,
        values,
        has_values,
        unmapped: entry.unmapped.unwrap_or(otherwise),
        choices: def.choices.clone(),
        max_length: if is_text { def.max_length.unwrap_or(u32::MAX) } else { u32::MAX },
        cut: entry.cut,
    })
}

/// A value from the settings, checked against its field as records' values are.
fn fixed(text: &str, def: &FieldDef, path: &str, setup: &mut Setup<'_>) -> Option<Value> {
    if text.trim().is_empty() {
        return Some(Value::Null);
    }
    let value = match convert(Cell::Text(text), def.kind, def.scale) {
        Ok(Fit::Copy) => Value::Text(text.to_owned()),
        Ok(Fit::Made(value)) => value,
        Err(misfit) => {
            let reason = match misfit {
                Misfit::Kind => format!("cannot become {}", kind_words(def.kind)),
                Misfit::Range => format!("does not fit `{}`", def.name),
                Misfit::Date => "is not a valid date".to_owned(),
            };
            setup.problem(path, format!("{} {reason}", quoted(text)));
            return None;
        }
    };
    let unknown = match &value {
        Value::Text(text) => (!is_choice(&def.choices, text)).then_some(text),
        Value::Choices(chosen) => chosen.iter().find(|entry| !is_choice(&def.choices, entry)),
        _ => None,
    };
    if let Some(unknown) = unknown {
        let message = format!("{} is not among the values of `{}`", quoted(unknown), def.name);
        let close = dealsync_rules_sdk::did_you_mean(unknown, def.choices.iter().map(String::as_str));
        let hint = close.map(|close| format!("; did you mean {}?", quoted(close))).unwrap_or_default();
        setup.problem(path, message + &hint);
        return None;
    }
    if let (Value::Text(text), Some(max)) = (&value, def.max_length)
        && text.chars().count() > max as usize
    {
        setup.problem(path, format!("`{}` takes {max} characters", def.name));
        return None;
    }
    Some(value)
}

fn on_null(asked: Option<settings::OnNull>, required: bool) -> OnNull {
    match asked {
        Some(settings::OnNull::Clear) => OnNull::Clear,
        Some(settings::OnNull::Leave) => OnNull::Leave,
        Some(settings::OnNull::Refuse) => OnNull::Refuse,
        None if required => OnNull::Refuse,
        None => OnNull::Clear,
    }
}

/// The label, or the name where there is none.
pub fn label(def: &FieldDef) -> String {
    if def.label.is_empty() { def.name.clone() } else { def.label.clone() }
}

fn is_choice(choices: &[String], value: &str) -> bool {
    choices.is_empty() || choices.iter().any(|choice| choice == value)
}

impl Mapping {
    #[inline]
    pub fn applies(&self, is_new: bool) -> bool {
        if is_new { self.on_create } else { self.on_update }
    }

    /// Makes one edit or one refusal, or leaves the field alone.
    #[inline]
    pub fn apply(&self, row: Row<'_>, is_new: bool, out: &mut Edits<'_>) {
        let from = match &self.feed {
            Feed::Fixed(value) => {
                out.because(self.cause).set(self.target, value.clone());
                return;
            }
            Feed::From(from) => from,
        };
        let cell = row.cell(from.source);
        if cell.is_blank() {
            self.apply_empty(from, cell, is_new, out);
            return;
        }
        out.because(self.cause);
        match from.make(cell) {
            Ok(Fit::Copy) => out.copy(self.target, from.source),
            Ok(Fit::Made(value)) => out.set(self.target, value),
            Err(refused) => self.refuse(from, cell, refused, out),
        }
    }

    /// A field that could not be read is left alone: that is the host's to say.
    fn apply_empty(&self, from: &FromField, cell: Cell<'_>, is_new: bool, out: &mut Edits<'_>) {
        if cell == Cell::Absent {
            return;
        }
        if let Some(default) = &from.default {
            out.because(self.cause).set(self.target, default.clone());
        } else if is_new || self.on_null != OnNull::Leave {
            out.because(self.cause).clear(self.target);
        }
    }

    #[cold]
    fn refuse(&self, from: &FromField, cell: Cell<'_>, why: Refused<'_>, out: &mut Edits<'_>) {
        let (target, source) = (&self.target_label, &from.label);
        let shown = quoted(&cell.display());
        match why {
            Refused::Unmapped(value) => out.refuse(
                "PICKLIST_UNMAPPED_IN",
                format!("{} in {source} has no match.", quoted(&value)),
                "Map it, or choose a default for unknown values.",
            ),
            Refused::TooLong(length) => out.refuse(
                "STRING_TOO_LONG",
                format!("{target} takes {} characters, {source} has {length}.", from.max_length),
                format!("Shorten {source}, raise the field length, or allow cutting in the mapping."),
            ),
            Refused::Misfit(Misfit::Kind) => out.refuse(
                "TYPE_MISMATCH",
                format!("{shown} in {source} cannot become {} for {target}.", kind_words(from.kind)),
                format!("Correct {source}, or change the mapping."),
            ),
            Refused::Misfit(Misfit::Range) => out.refuse(
                "NUMBER_OUT_OF_RANGE",
                format!("{shown} in {source} does not fit {target}."),
                range_fix(from, target),
            ),
            Refused::Misfit(Misfit::Date) => out.refuse(
                "DATE_INVALID",
                format!("{shown} in {source} is not a valid date."),
                format!("Check the date format and time zone of {source}, or change the mapping."),
            ),
        }
    }
}

fn range_fix(from: &FromField, target: &str) -> String {
    let source = &from.label;
    match (from.kind, from.scale) {
        (FieldKind::Integer, _) | (FieldKind::Decimal, 0) => {
            format!("Enter a whole number in {source}, or widen {target}.")
        }
        (_, 1) => format!("Round {source} to one digit after the point, or widen {target}."),
        (_, digits) => format!("Round {source} to {digits} digits after the point, or widen {target}."),
    }
}

enum Refused<'a> {
    Unmapped(Cow<'a, str>),
    TooLong(usize),
    Misfit(Misfit),
}

impl FromField {
    #[inline]
    fn make<'a>(&self, cell: Cell<'a>) -> Result<Fit, Refused<'a>> {
        if self.has_values || !self.choices.is_empty() {
            return self.translate(cell);
        }
        let fit = convert(cell, self.kind, self.scale).map_err(Refused::Misfit)?;
        self.fit_length(cell, fit)
    }

    /// Bounds text to what the field takes.
    #[inline]
    fn fit_length<'a>(&self, cell: Cell<'a>, fit: Fit) -> Result<Fit, Refused<'a>> {
        let text = match (&fit, cell) {
            (Fit::Copy, Cell::Text(text)) => text,
            (Fit::Made(Value::Text(text)), _) => text,
            _ => return Ok(fit),
        };
        // A text has at most as many characters as bytes.
        if text.len() <= self.max_length as usize {
            return Ok(fit);
        }
        match text.char_indices().nth(self.max_length as usize) {
            None => Ok(fit),
            Some((at, _)) if self.cut => Ok(Fit::Made(Value::Text(text[..at].to_owned()))),
            Some(_) => Err(Refused::TooLong(text.chars().count())),
        }
    }

    fn translate<'a>(&self, cell: Cell<'a>) -> Result<Fit, Refused<'a>> {
        if self.kind == FieldKind::Choices {
            return self.translate_entries(cell);
        }
        let text = match cell.as_text() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(cell.display()),
        };
        if let Some(translated) = self.translated(&text) {
            return Ok(Fit::Made(translated.value.clone()));
        }
        if !self.has_values && is_choice(&self.choices, &text) || self.unmapped == Unmapped::Pass {
            let fit = convert(cell, self.kind, self.scale).map_err(Refused::Misfit)?;
            // What the target does not offer cannot pass.
            return if is_choice(&self.choices, &text) {
                self.fit_length(cell, fit)
            } else {
                Err(Refused::Unmapped(text))
            };
        }
        self.unknown(text)
    }

    fn translate_entries<'a>(&self, cell: Cell<'a>) -> Result<Fit, Refused<'a>> {
        let text = match cell {
            Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) => text,
            _ => return Err(Refused::Misfit(Misfit::Kind)),
        };
        let mut made = Vec::new();
        for entry in entries(text) {
            if let Some(translated) = self.translated(entry) {
                made.extend(entries(&translated.text).map(str::to_owned));
            } else if is_choice(&self.choices, entry) && (!self.has_values || self.unmapped == Unmapped::Pass)
            {
                made.push(entry.to_owned());
            } else if self.unmapped == Unmapped::Blank {
                continue;
            } else {
                return self.unknown(Cow::Borrowed(entry));
            }
        }
        Ok(Fit::Made(if made.is_empty() { Value::Null } else { Value::Choices(made) }))
    }

    fn translated(&self, text: &str) -> Option<&Translated> {
        let wanted = text.trim();
        let at = self.values.binary_search_by(|(from, _)| from.as_str().cmp(wanted)).ok()?;
        Some(&self.values[at].1)
    }

    fn unknown<'a>(&self, value: Cow<'a, str>) -> Result<Fit, Refused<'a>> {
        match (self.unmapped, &self.default) {
            (Unmapped::Default, Some(default)) => Ok(Fit::Made(default.clone())),
            (Unmapped::Blank, _) => Ok(Fit::Made(Value::Null)),
            _ => Err(Refused::Unmapped(value)),
        }
    }
}

fn kind_words(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Boolean => "a yes or no",
        FieldKind::Integer => "a whole number",
        FieldKind::Number | FieldKind::Decimal => "a number",
        FieldKind::Text => "text",
        FieldKind::Date => "a date",
        FieldKind::Timestamp => "a date and time",
        FieldKind::Reference => "a reference",
        FieldKind::Choice => "a picklist value",
        FieldKind::Choices => "picklist values",
        FieldKind::Json => "a compound value",
    }
}
