//! Core's words to the component's and back: packing rows, and fitting a value to
//! the field it is meant for.

use dealsync_core::batch::Batch;
use dealsync_core::schema::{FieldDef, FieldIx, FieldKind, Schema};
use dealsync_core::value::{Cell, CellKind, Decimal};

use crate::bindings::settings::{self, Pinned};
use crate::bindings::types;

/// Some columns of a batch: what one component gets to see.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    fields: Vec<u16>,
    /// Positions among the batch's columns; `None` for all of them, in order.
    positions: Option<Vec<usize>>,
}

impl Selection {
    /// `columns` are those of the batches that will be sent.
    pub fn new(columns: &[FieldIx], wanted: impl Fn(FieldIx) -> bool) -> Self {
        let positions: Vec<usize> = (0..columns.len()).filter(|at| wanted(columns[*at])).collect();
        let fields = positions.iter().map(|at| columns[*at].0).collect();
        Self { fields, positions: (positions.len() < columns.len()).then_some(positions) }
    }
}

/// Room for packing, kept from call to call.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    kinds: Vec<u8>,
    words: Vec<u64>,
    text: String,
}

/// The batch as a component takes it. Whole batches are lent as they lie; other
/// rows or columns are packed into `scratch`. `rows` ascend.
pub(crate) fn lend<'a>(
    batch: &'a Batch,
    selection: &'a Selection,
    rows: &[usize],
    scratch: &'a mut Scratch,
) -> types::Batch<'a> {
    let parts = batch.parts();
    let columns = &selection.fields;
    if selection.positions.is_none() && rows.len() == parts.rows {
        let (kinds, words, text) = (parts.kinds, parts.words, parts.text);
        return types::Batch { rows: parts.rows as u32, columns, kinds, words, text };
    }
    scratch.kinds.clear();
    scratch.words.clear();
    scratch.text.clear();
    let all: Vec<usize>;
    let positions = match &selection.positions {
        Some(positions) => positions,
        None => {
            all = (0..parts.columns.len()).collect();
            &all
        }
    };
    for row in rows {
        for position in positions {
            let at = row * parts.columns.len() + position;
            let (kind, mut word) = (parts.kinds[at], parts.words[at]);
            if CellKind::from_u8(kind).is_some_and(CellKind::is_textual) {
                let (from, length) = ((word >> 32) as usize, (word & 0xffff_ffff) as usize);
                word = (scratch.text.len() as u64) << 32 | length as u64;
                scratch.text.push_str(&parts.text[from..from + length]);
            }
            scratch.kinds.push(kind);
            scratch.words.push(word);
        }
    }
    types::Batch {
        rows: rows.len() as u32,
        columns,
        kinds: &scratch.kinds,
        words: &scratch.words,
        text: &scratch.text,
    }
}

/// Bytes that one row takes when packed.
pub(crate) fn row_bytes(batch: &Batch, row: usize) -> usize {
    let parts = batch.parts();
    let cells = row * parts.columns.len()..(row + 1) * parts.columns.len();
    let text = |(kind, word): (&u8, &u64)| match CellKind::from_u8(*kind).is_some_and(CellKind::is_textual) {
        true => (word & 0xffff_ffff) as usize,
        false => 0,
    };
    let texts: usize = parts.kinds[cells.clone()].iter().zip(&parts.words[cells]).map(text).sum();
    texts + parts.columns.len() * 9
}

/// Hands `configure`'s argument to `call`.
pub(crate) fn with_pinned<R>(
    flow: &str,
    source: &Schema,
    target: &Schema,
    tables: &[&str],
    settings_json: &str,
    call: impl FnOnce(Pinned<'_>) -> R,
) -> R {
    let source_choices = borrowed_choices(source);
    let target_choices = borrowed_choices(target);
    let source = field_defs(source, &source_choices);
    let target = field_defs(target, &target_choices);
    call(Pinned { flow, source: &source, target: &target, tables, settings_json })
}

fn borrowed_choices(schema: &Schema) -> Vec<Vec<&str>> {
    schema.fields().iter().map(|field| field.choices.iter().map(String::as_str).collect()).collect()
}

fn field_defs<'a>(schema: &'a Schema, choices: &'a [Vec<&'a str>]) -> Vec<settings::FieldDef<'a>> {
    schema
        .fields()
        .iter()
        .zip(choices)
        .map(|(field, choices)| settings::FieldDef {
            name: &field.name,
            label: &field.label,
            kind: field_kind(field.kind),
            scale: field.scale,
            required: field.required,
            max_length: field.max_length,
            choices,
        })
        .collect()
}

fn field_kind(kind: FieldKind) -> settings::FieldKind {
    match kind {
        FieldKind::Boolean => settings::FieldKind::Boolean,
        FieldKind::Integer => settings::FieldKind::Integer,
        FieldKind::Number => settings::FieldKind::Number,
        FieldKind::Decimal => settings::FieldKind::Decimal,
        FieldKind::Text => settings::FieldKind::Text,
        FieldKind::Date => settings::FieldKind::Date,
        FieldKind::Timestamp => settings::FieldKind::Timestamp,
        FieldKind::Reference => settings::FieldKind::Reference,
        FieldKind::Choice => settings::FieldKind::Choice,
        FieldKind::Choices => settings::FieldKind::Choices,
        FieldKind::Json => settings::FieldKind::Json,
    }
}

/// A value that a rule wrote out, as a cell. `joined` holds choices put together.
/// `None` for a copy, which has no value of its own.
pub(crate) fn cell<'a>(value: &'a types::Value, joined: &'a mut String) -> Option<Cell<'a>> {
    Some(match value {
        types::Value::Null => Cell::Null,
        types::Value::Boolean(value) => Cell::Boolean(*value),
        types::Value::Integer(value) => Cell::Integer(*value),
        types::Value::Number(value) => Cell::Number(*value),
        types::Value::Decimal(value) => Cell::Decimal(Decimal::new(value.unscaled, value.scale)),
        types::Value::Text(text) => Cell::Text(text),
        types::Value::Date(days) => Cell::Date(*days),
        types::Value::Timestamp(micros) => Cell::Timestamp(*micros),
        types::Value::Reference(text) => Cell::Reference(text),
        types::Value::Choices(entries) => {
            *joined = entries.join(";");
            Cell::Choices(joined)
        }
        types::Value::Json(text) => Cell::Json(text),
        types::Value::Copy(_) => return None,
    })
}

/// The cell as a value of this field, or `None` where the field cannot hold it.
/// Nothing is lost on the way: numbers change form only where they keep their
/// value. Length, choices and ranges are for core to judge.
pub(crate) fn fit<'a>(cell: Cell<'a>, field: &FieldDef) -> Option<Cell<'a>> {
    use FieldKind as Field;
    Some(match (field.kind, cell) {
        (_, Cell::Null) => Cell::Null,
        (_, Cell::Absent) => return None,
        (Field::Text | Field::Choice, Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text)) => {
            Cell::Text(text)
        }
        (Field::Reference, Cell::Text(text) | Cell::Reference(text)) => Cell::Reference(text),
        (Field::Choices, Cell::Text(text) | Cell::Choices(text)) => Cell::Choices(text),
        (Field::Json, Cell::Json(text)) => Cell::Json(text),
        (Field::Boolean, Cell::Boolean(value)) => Cell::Boolean(value),
        (Field::Date, Cell::Date(days)) => Cell::Date(days),
        (Field::Timestamp, Cell::Timestamp(micros)) => Cell::Timestamp(micros),
        (Field::Integer, Cell::Integer(value)) => Cell::Integer(value),
        (Field::Integer, Cell::Decimal(value)) => Cell::Integer(sane(value)?.rescale(0)?.unscaled),
        (Field::Integer, Cell::Number(value)) => Cell::Integer(decimal(value)?.rescale(0)?.unscaled),
        // More digits than the field has: `Batch::set` keeps those as a number, for
        // validation to see.
        (Field::Decimal, Cell::Integer(value)) => Cell::Decimal(Decimal::new(value, 0)),
        (Field::Decimal, Cell::Decimal(value)) => Cell::Decimal(sane(value)?),
        (Field::Decimal, Cell::Number(value)) if value.is_finite() => {
            decimal(value).map_or(Cell::Number(value), Cell::Decimal)
        }
        (Field::Number, Cell::Number(value)) if value.is_finite() => Cell::Number(value),
        (Field::Number, Cell::Integer(value)) => Cell::Number(value as f64),
        (Field::Number, Cell::Decimal(value)) => {
            Cell::Number(sane(value)?.unscaled as f64 / 10f64.powi(i32::from(value.scale)))
        }
        _ => return None,
    })
}

/// A scale beyond what any field has would make rescaling run long.
fn sane(value: Decimal) -> Option<Decimal> {
    (value.scale <= dealsync_core::value::DECIMAL_SCALE_MAX).then_some(value)
}

fn decimal(value: f64) -> Option<Decimal> {
    value.is_finite().then(|| Decimal::parse(&value.to_string())).flatten()
}

/// What the field holds, for a message about something that does not fit.
pub(crate) fn kind_words(cell: Cell<'_>) -> &'static str {
    match cell {
        Cell::Absent => "nothing",
        Cell::Null => "null",
        Cell::Boolean(_) => "a boolean",
        Cell::Integer(_) => "an integer",
        Cell::Number(_) => "a number",
        Cell::Decimal(_) => "a decimal",
        Cell::Text(_) => "text",
        Cell::Date(_) => "a date",
        Cell::Timestamp(_) => "a timestamp",
        Cell::Reference(_) => "a reference",
        Cell::Choices(_) => "choices",
        Cell::Json(_) => "JSON",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn field(kind: FieldKind) -> FieldDef {
        FieldDef::new("f", "F", kind).scale(2)
    }

    #[test]
    fn numbers_fit_where_they_keep_their_value() {
        let decimal = field(FieldKind::Decimal);
        assert_eq!(fit(Cell::Integer(15), &decimal), Some(Cell::Decimal(Decimal::new(15, 0))));
        assert_eq!(fit(Cell::Number(23.5), &decimal), Some(Cell::Decimal(Decimal::new(235, 1))));
        assert_eq!(fit(Cell::Number(23.005), &decimal), Some(Cell::Decimal(Decimal::new(23_005, 3))));
        assert_eq!(fit(Cell::Number(f64::NAN), &decimal), None);
        assert_eq!(fit(Cell::Number(f64::NAN), &field(FieldKind::Number)), None);
        let integer = field(FieldKind::Integer);
        assert_eq!(fit(Cell::Decimal(Decimal::new(300, 2)), &integer), Some(Cell::Integer(3)));
        assert_eq!(fit(Cell::Decimal(Decimal::new(1, 255)), &integer), None);
    }

    #[test]
    fn text_fits_text_and_nothing_else() {
        assert_eq!(fit(Cell::Reference("a"), &field(FieldKind::Text)), Some(Cell::Text("a")));
        assert_eq!(fit(Cell::Text("a"), &field(FieldKind::Choices)), Some(Cell::Choices("a")));
        assert_eq!(fit(Cell::Text("12"), &field(FieldKind::Integer)), None);
        assert_eq!(fit(Cell::Text("true"), &field(FieldKind::Boolean)), None);
    }

    #[test]
    fn a_component_is_sent_the_text_of_its_own_columns_only() {
        let columns: Arc<[FieldIx]> = Arc::from([FieldIx(0), FieldIx(1)]);
        let mut batch = Batch::absent(columns.clone(), Arc::from([0, 0]), 2);
        for (row, column, text) in [(0, 0, "secret"), (0, 1, "open"), (1, 0, "hidden"), (1, 1, "plain")] {
            batch.set(row, column, Cell::Text(text));
        }
        let selection = Selection::new(&columns, |field| field == FieldIx(1));
        let mut scratch = Scratch::default();
        let lent = lend(&batch, &selection, &[0, 1], &mut scratch);
        assert_eq!((lent.text, lent.columns, lent.kinds), ("openplain", &[1u16][..], &[6u8, 6][..]));
        assert_eq!(lent.words, [4, 4 << 32 | 5]);
    }
}
