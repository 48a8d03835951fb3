//! Records as a rule reads them: by field name, or by a handle taken at
//! `configure`, which costs two loads a cell.

use std::fmt;
use std::marker::PhantomData;

use crate::cell::Cell;
use crate::{Batch, Decimal, FieldDef};

/// Marks what came in.
#[derive(Debug, Clone, Copy)]
pub enum SourceSide {}
/// Marks what is being made.
#[derive(Debug, Clone, Copy)]
pub enum TargetSide {}

/// A field of one side, resolved at `configure`.
pub struct Field<S> {
    pub(crate) ix: u16,
    side: PhantomData<S>,
}

/// A field of the record that came in.
pub type Source = Field<SourceSide>;
/// A field of the record being made.
pub type Target = Field<TargetSide>;

impl<S> Field<S> {
    pub(crate) fn new(ix: u16) -> Self {
        Self { ix, side: PhantomData }
    }

    /// Position in the schema pinned at `configure`.
    pub fn ix(self) -> u16 {
        self.ix
    }
}

impl<S> Clone for Field<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Field<S> {}

impl<S> PartialEq for Field<S> {
    fn eq(&self, other: &Self) -> bool {
        self.ix == other.ix
    }
}

impl<S> fmt::Debug for Field<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Field({})", self.ix)
    }
}

/// Names a field: its name, or a handle from [`crate::Setup`].
pub trait Key<S>: Copy {
    /// Position in the schema, looked for among `known` first.
    ///
    /// # Panics
    /// Where a name is not among `known`: a rule that reads a field it never
    /// declared is wrong for every record, and says so in its first test.
    fn resolve(self, schema: &[FieldDef], known: &[u16]) -> u16;
}

impl<S> Key<S> for Field<S> {
    #[inline]
    fn resolve(self, _: &[FieldDef], _: &[u16]) -> u16 {
        self.ix
    }
}

impl<S> Key<S> for &str {
    fn resolve(self, schema: &[FieldDef], known: &[u16]) -> u16 {
        let is_named = |ix: &&u16| schema.get(usize::from(**ix)).is_some_and(|field| field.name == self);
        match known.iter().find(is_named) {
            Some(ix) => *ix,
            None => panic!("the field `{self}` was not declared in configure"),
        }
    }
}

/// Where each field of a schema sits in the batch of this call.
#[derive(Debug)]
pub(crate) struct View<'a> {
    batch: &'a Batch,
    schema: &'a [FieldDef],
    known: &'a [u16],
    /// By field: the column, or `NO_COLUMN`.
    columns: Vec<u16>,
}

const NO_COLUMN: u16 = u16::MAX;

impl<'a> View<'a> {
    pub(crate) fn new(batch: &'a Batch, schema: &'a [FieldDef], known: &'a [u16]) -> Self {
        let mut columns = vec![NO_COLUMN; schema.len()];
        for (column, field) in batch.columns.iter().enumerate() {
            if let Some(entry) = columns.get_mut(usize::from(*field)) {
                *entry = column as u16;
            }
        }
        Self { batch, schema, known, columns }
    }

    #[inline]
    fn cell(&self, row: u32, field: u16) -> Cell<'a> {
        let column = self.columns.get(usize::from(field)).copied().unwrap_or(NO_COLUMN);
        if column == NO_COLUMN {
            return Cell::Absent;
        }
        let at = row as usize * self.batch.columns.len() + usize::from(column);
        let (Some(kind), Some(word)) = (self.batch.kinds.get(at), self.batch.words.get(at)) else {
            return Cell::Absent;
        };
        let word = *word;
        match kind {
            1 => Cell::Null,
            2 => Cell::Boolean(word != 0),
            3 => Cell::Integer(word as i64),
            4 => Cell::Number(f64::from_bits(word)),
            5 => Cell::Decimal(Decimal::new(word as i64, self.schema[usize::from(field)].scale)),
            6 => Cell::Text(self.text(word)),
            7 => Cell::Date(word as i64 as i32),
            8 => Cell::Timestamp(word as i64),
            9 => Cell::Reference(self.text(word)),
            10 => Cell::Choices(self.text(word)),
            11 => Cell::Json(self.text(word)),
            _ => Cell::Absent,
        }
    }

    #[inline]
    fn text(&self, word: u64) -> &'a str {
        let offset = (word >> 32) as usize;
        self.batch.text.get(offset..offset + (word & 0xffff_ffff) as usize).unwrap_or_default()
    }
}

/// The records of one call.
#[derive(Debug)]
pub struct Rows<'a> {
    source: View<'a>,
    draft: View<'a>,
    is_new: &'a [bool],
    count: u32,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(source: View<'a>, draft: View<'a>, is_new: &'a [bool]) -> Self {
        let count = source.batch.rows;
        Self { source, draft, is_new, count }
    }

    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.count).map(|at| Row { rows: self, at })
    }
}

/// One record: what came in, and with [`Row::draft`] what it is becoming.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    rows: &'a Rows<'a>,
    pub(crate) at: u32,
}

impl<'a> Row<'a> {
    /// Position in the batch of this call; means nothing beyond it.
    pub fn at(self) -> u32 {
        self.at
    }

    /// True where the record is not linked yet, so a create is at stake.
    #[inline]
    pub fn is_new(self) -> bool {
        self.rows.is_new.get(self.at as usize).copied().unwrap_or(false)
    }

    pub fn source(self) -> Side<'a, SourceSide> {
        Side { view: &self.rows.source, at: self.at, side: PhantomData }
    }

    /// The target as drafted by the components before this one.
    pub fn draft(self) -> Draft<'a> {
        Side { view: &self.rows.draft, at: self.at, side: PhantomData }
    }

    #[inline]
    pub fn cell(self, key: impl Key<SourceSide>) -> Cell<'a> {
        self.source().cell(key)
    }

    pub fn text(self, key: impl Key<SourceSide>) -> Option<&'a str> {
        self.source().text(key)
    }

    pub fn boolean(self, key: impl Key<SourceSide>) -> Option<bool> {
        self.source().boolean(key)
    }

    pub fn integer(self, key: impl Key<SourceSide>) -> Option<i64> {
        self.source().integer(key)
    }

    pub fn number(self, key: impl Key<SourceSide>) -> Option<f64> {
        self.source().number(key)
    }

    pub fn decimal(self, key: impl Key<SourceSide>) -> Option<Decimal> {
        self.source().decimal(key)
    }

    pub fn date(self, key: impl Key<SourceSide>) -> Option<i32> {
        self.source().date(key)
    }

    pub fn timestamp(self, key: impl Key<SourceSide>) -> Option<i64> {
        self.source().timestamp(key)
    }
}

/// One side of a record. The typed getters answer `None` where the field is
/// absent, empty or of another kind.
#[derive(Debug)]
pub struct Side<'a, S> {
    view: &'a View<'a>,
    at: u32,
    side: PhantomData<S>,
}

/// The record being made.
pub type Draft<'a> = Side<'a, TargetSide>;

impl<S> Clone for Side<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Side<'_, S> {}

impl<'a, S> Side<'a, S> {
    #[inline]
    pub fn cell(self, key: impl Key<S>) -> Cell<'a> {
        self.view.cell(self.at, key.resolve(self.view.schema, self.view.known))
    }

    /// Text, a picklist value, a reference, or several choices joined by `;`.
    pub fn text(self, key: impl Key<S>) -> Option<&'a str> {
        self.cell(key).as_text()
    }

    pub fn boolean(self, key: impl Key<S>) -> Option<bool> {
        if let Cell::Boolean(value) = self.cell(key) { Some(value) } else { None }
    }

    pub fn integer(self, key: impl Key<S>) -> Option<i64> {
        if let Cell::Integer(value) = self.cell(key) { Some(value) } else { None }
    }

    pub fn number(self, key: impl Key<S>) -> Option<f64> {
        if let Cell::Number(value) = self.cell(key) { Some(value) } else { None }
    }

    pub fn decimal(self, key: impl Key<S>) -> Option<Decimal> {
        if let Cell::Decimal(value) = self.cell(key) { Some(value) } else { None }
    }

    /// Days since 1970-01-01.
    pub fn date(self, key: impl Key<S>) -> Option<i32> {
        if let Cell::Date(days) = self.cell(key) { Some(days) } else { None }
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn timestamp(self, key: impl Key<S>) -> Option<i64> {
        if let Cell::Timestamp(micros) = self.cell(key) { Some(micros) } else { None }
    }
}
