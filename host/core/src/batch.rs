//! Many records in flat lists: the form in which records cross into a component,
//! are compared with what both sides last agreed on, and are written down.
//!
//! The layout is that of `batch` in `wit/rules.wit`: one kind byte and one word
//! per cell, row by row, and one text that the textual cells point into.

use std::sync::Arc;

use crate::schema::FieldIx;
use crate::value::{Cell, CellKind, Decimal, Value};

/// A batch closes at this many rows…
pub const BATCH_ROWS_MAX: usize = 200;
/// …or at this many bytes of packed input, whichever comes first.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Rows of one schema, or of some columns of it.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    columns: Arc<[FieldIx]>,
    /// Scale of each column's decimals, in the order of `columns`.
    scales: Arc<[u8]>,
    rows: usize,
    // Invariant: both have rows * columns entries, and every textual word lies
    // inside `text` on character boundaries.
    kinds: Vec<u8>,
    words: Vec<u64>,
    text: String,
}

/// A batch as plain lists, for the one place that crosses into a component.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    pub rows: usize,
    pub columns: &'a [FieldIx],
    pub kinds: &'a [u8],
    pub words: &'a [u64],
    pub text: &'a str,
}

impl Batch {
    /// An empty batch. `scales` gives the digits after the point for decimals,
    /// one per column.
    pub fn new(columns: Arc<[FieldIx]>, scales: Arc<[u8]>) -> Self {
        assert_eq!(columns.len(), scales.len(), "one scale per column");
        Self { columns, scales, ..Self::default() }
    }

    /// A batch of `rows` rows whose cells are all absent, to be filled by [`Batch::set`].
    pub fn absent(columns: Arc<[FieldIx]>, scales: Arc<[u8]>, rows: usize) -> Self {
        let mut batch = Self::new(columns, scales);
        batch.rows = rows;
        batch.kinds = vec![CellKind::Absent as u8; rows * batch.columns.len()];
        batch.words = vec![0; rows * batch.columns.len()];
        batch
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn columns(&self) -> &[FieldIx] {
        &self.columns
    }

    /// Position of a field among the columns.
    pub fn column(&self, field: FieldIx) -> Option<usize> {
        self.columns.iter().position(|column| *column == field)
    }

    pub fn scale(&self, column: usize) -> u8 {
        self.scales[column]
    }

    /// Bytes the batch takes when packed.
    pub fn packed_bytes(&self) -> usize {
        self.kinds.len() * 9 + self.text.len()
    }

    pub fn parts(&self) -> Parts<'_> {
        Parts {
            rows: self.rows,
            columns: &self.columns,
            kinds: &self.kinds,
            words: &self.words,
            text: &self.text,
        }
    }

    /// Adds a row of absent cells and returns its position.
    pub fn push_row(&mut self) -> usize {
        self.rows += 1;
        self.kinds.resize(self.rows * self.columns.len(), CellKind::Absent as u8);
        self.words.resize(self.rows * self.columns.len(), 0);
        self.rows - 1
    }

    /// Takes the last row away again.
    pub fn pop_row(&mut self) {
        self.rows = self.rows.saturating_sub(1);
        self.kinds.truncate(self.rows * self.columns.len());
        self.words.truncate(self.rows * self.columns.len());
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.kinds.clear();
        self.words.clear();
        self.text.clear();
    }

    /// Writes one cell. A decimal that does not fit the column's scale is kept
    /// as a number, so that a rule sees it and can say so.
    pub fn set(&mut self, row: usize, column: usize, cell: Cell<'_>) {
        assert!(row < self.rows && column < self.columns.len(), "cell lies inside the batch");
        let (kind, word) = match cell {
            Cell::Absent => (CellKind::Absent, 0),
            Cell::Null => (CellKind::Null, 0),
            Cell::Boolean(value) => (CellKind::Boolean, u64::from(value)),
            Cell::Integer(value) => (CellKind::Integer, value as u64),
            Cell::Number(value) => (CellKind::Number, value.to_bits()),
            Cell::Decimal(value) => match value.rescale(self.scales[column]) {
                Some(fits) => (CellKind::Decimal, fits.unscaled as u64),
                None => {
                    let number = value.unscaled as f64 / 10f64.powi(i32::from(value.scale));
                    (CellKind::Number, number.to_bits())
                }
            },
            Cell::Date(days) => (CellKind::Date, i64::from(days) as u64),
            Cell::Timestamp(micros) => (CellKind::Timestamp, micros as u64),
            Cell::Text(text) => (CellKind::Text, self.push_text(text)),
            Cell::Reference(text) => (CellKind::Reference, self.push_text(text)),
            Cell::Choices(text) => (CellKind::Choices, self.push_text(text)),
            Cell::Json(text) => (CellKind::Json, self.push_text(text)),
        };
        let at = row * self.columns.len() + column;
        self.kinds[at] = kind as u8;
        self.words[at] = word;
    }

    /// As [`Batch::set`], from an owned value.
    pub fn set_value(&mut self, row: usize, column: usize, value: &Value) {
        let joined;
        let cell = match value {
            Value::Null => Cell::Null,
            Value::Boolean(value) => Cell::Boolean(*value),
            Value::Integer(value) => Cell::Integer(*value),
            Value::Number(value) => Cell::Number(*value),
            Value::Decimal(value) => Cell::Decimal(*value),
            Value::Text(text) => Cell::Text(text),
            Value::Date(days) => Cell::Date(*days),
            Value::Timestamp(micros) => Cell::Timestamp(*micros),
            Value::Reference(text) => Cell::Reference(text),
            Value::Choices(entries) => {
                joined = entries.join(";");
                Cell::Choices(&joined)
            }
            Value::Json(text) => Cell::Json(text),
        };
        self.set(row, column, cell);
    }

    fn push_text(&mut self, text: &str) -> u64 {
        let offset = self.text.len() as u64;
        self.text.push_str(text);
        offset << 32 | text.len() as u64
    }

    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        assert!(row < self.rows && column < self.columns.len(), "cell lies inside the batch");
        let at = row * self.columns.len() + column;
        let word = self.words[at];
        let kind = CellKind::from_u8(self.kinds[at]).expect("kinds are written by set alone");
        match kind {
            CellKind::Absent => Cell::Absent,
            CellKind::Null => Cell::Null,
            CellKind::Boolean => Cell::Boolean(word != 0),
            CellKind::Integer => Cell::Integer(word as i64),
            CellKind::Number => Cell::Number(f64::from_bits(word)),
            CellKind::Decimal => Cell::Decimal(Decimal::new(word as i64, self.scales[column])),
            CellKind::Date => Cell::Date(word as i64 as i32),
            CellKind::Timestamp => Cell::Timestamp(word as i64),
            CellKind::Text => Cell::Text(self.text_at(word)),
            CellKind::Reference => Cell::Reference(self.text_at(word)),
            CellKind::Choices => Cell::Choices(self.text_at(word)),
            CellKind::Json => Cell::Json(self.text_at(word)),
        }
    }

    fn text_at(&self, word: u64) -> &str {
        let offset = (word >> 32) as usize;
        &self.text[offset..offset + (word & 0xffff_ffff) as usize]
    }

    /// The cell of a field, absent where the batch has no such column.
    pub fn field(&self, row: usize, field: FieldIx) -> Cell<'_> {
        match self.column(field) {
            Some(column) => self.cell(row, column),
            None => Cell::Absent,
        }
    }

    /// Copies rows `from..to` into a batch of their own, for a rules call that
    /// takes fewer rows than a page has.
    pub fn slice(&self, from: usize, to: usize) -> Batch {
        self.select(from..to.min(self.rows))
    }

    /// Copies these rows, in this order, into a batch of their own.
    pub fn select(&self, rows: impl IntoIterator<Item = usize>) -> Batch {
        let mut part = Batch::new(self.columns.clone(), self.scales.clone());
        let width = self.columns.len();
        for row in rows {
            assert!(row < self.rows, "row lies inside the batch");
            let cells = row * width..(row + 1) * width;
            part.kinds.extend_from_slice(&self.kinds[cells.clone()]);
            for (kind, word) in self.kinds[cells.clone()].iter().zip(&self.words[cells]) {
                let textual = CellKind::from_u8(*kind).is_some_and(CellKind::is_textual);
                let word = if textual { part.push_text(self.text_at(*word)) } else { *word };
                part.words.push(word);
            }
            part.rows += 1;
        }
        part
    }

    /// Adds all rows of another batch with the same columns and scales.
    pub fn append(&mut self, other: &Batch) {
        assert_eq!(self.columns, other.columns, "batches of the same columns");
        assert_eq!(self.scales, other.scales, "batches of the same scales");
        let moved = (self.text.len() as u64) << 32;
        self.text.push_str(&other.text);
        self.kinds.extend_from_slice(&other.kinds);
        self.words.extend(other.kinds.iter().zip(&other.words).map(|(kind, word)| {
            let textual = CellKind::from_u8(*kind).is_some_and(CellKind::is_textual);
            if textual { word + moved } else { *word }
        }));
        self.rows += other.rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_as_they_went_in() {
        let columns: Arc<[FieldIx]> = (0..4).map(FieldIx).collect();
        let mut batch = Batch::new(columns, Arc::from([0, 2, 0, 0]));
        let row = batch.push_row();
        batch.set(row, 0, Cell::Text("Renewal – é"));
        batch.set(row, 1, Cell::Decimal(Decimal::new(15, 0)));
        batch.set(row, 2, Cell::Date(-3));
        assert_eq!(batch.cell(0, 0), Cell::Text("Renewal – é"));
        assert_eq!(batch.cell(0, 1), Cell::Decimal(Decimal::new(1500, 2)));
        assert_eq!(batch.cell(0, 2), Cell::Date(-3));
        assert_eq!(batch.cell(0, 3), Cell::Absent);
        assert_eq!(batch.slice(0, 1).cell(0, 0), Cell::Text("Renewal – é"));
        let copy = batch.clone();
        batch.append(&copy);
        assert_eq!(batch.cell(1, 0), Cell::Text("Renewal – é"));
        assert_eq!(batch.select([1]).cell(0, 1), Cell::Decimal(Decimal::new(1500, 2)));
    }

    #[test]
    fn a_decimal_with_more_digits_than_its_column_stays_visible() {
        let mut batch = Batch::absent(Arc::from([FieldIx(0)]), Arc::from([2]), 1);
        batch.set(0, 0, Cell::Decimal(Decimal::new(23_005, 3)));
        assert_eq!(batch.cell(0, 0), Cell::Number(23.005));
    }
}
