//! Rows in columns: a cell is three words, a column that nobody filled costs nothing.

use std::collections::HashMap;
use std::sync::Arc;

use dealsync_core::ids::SfId;

use crate::schema::Object;

#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Num(f64),
    Text(Arc<str>),
    Id(SfId),
    /// Days since 1970-01-01.
    Date(i32),
    /// Seconds since 1970-01-01.
    Stamp(i64),
}

impl Cell {
    pub fn text(text: &str) -> Self {
        if text.is_empty() { Self::Null } else { Self::Text(text.into()) }
    }

    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_id(&self) -> Option<SfId> {
        match self {
            Self::Id(id) => Some(*id),
            _ => None,
        }
    }

    pub fn as_num(&self) -> Option<f64> {
        match self {
            Self::Num(number) => Some(*number),
            _ => None,
        }
    }

    /// A checkbox that was never set is false.
    pub fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }
}

/// In the recycle bin.
const DELETED: u8 = 1;
/// Sharing keeps it from the integration user.
const HIDDEN: u8 = 2;
/// Gone for good.
const PURGED: u8 = 4;

const NULL: Cell = Cell::Null;

/// The rows of one object.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Vec<Cell>>,
    states: Vec<u8>,
    ids: HashMap<SfId, u32>,
    /// Rows by what a reference column points to.
    references: HashMap<usize, HashMap<SfId, Vec<u32>>>,
    /// Rows by the lower-case text of an external id or unique column.
    keys: HashMap<usize, HashMap<Box<str>, Vec<u32>>>,
    /// Deletions in order, for the deleted endpoint.
    pub deletions: Vec<(SfId, i64)>,
    id_col: usize,
    is_deleted_col: Option<usize>,
    next_number: u64,
    prefix: String,
}

impl Table {
    pub fn new(object: &Object) -> Self {
        let mut table = Self {
            columns: Vec::new(),
            states: Vec::new(),
            ids: HashMap::new(),
            references: HashMap::new(),
            keys: HashMap::new(),
            deletions: Vec::new(),
            id_col: object.col("Id").expect("every object has Id"),
            is_deleted_col: object.col("IsDeleted"),
            next_number: 1_000_000,
            prefix: object.key_prefix.clone(),
        };
        for col in 0..object.fields.len() {
            table.add_column(object, col);
        }
        table
    }

    /// Makes room for the field with this column number, and its index if it needs one.
    pub fn add_column(&mut self, object: &Object, col: usize) {
        let field = &object.fields[col];
        self.columns.push(Vec::new());
        let audit = matches!(field.name.as_str(), "CreatedById" | "LastModifiedById" | "OwnerId");
        if !field.reference_to.is_empty() && !audit {
            self.references.insert(col, HashMap::new());
        }
        if (field.external_id || field.unique || field.id_lookup) && field.kind.is_text() {
            self.keys.insert(col, HashMap::new());
        }
    }

    /// Rows ever made, gone ones included: the bound of row numbers.
    pub fn len(&self) -> u32 {
        self.states.len() as u32
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    pub fn reserve(&mut self, rows: usize) {
        self.states.reserve(rows);
        self.ids.reserve(rows);
    }

    pub fn next_id(&mut self) -> SfId {
        loop {
            self.next_number += 1;
            let id = crate::ids::make(&self.prefix, self.next_number);
            if !self.ids.contains_key(&id) {
                return id;
            }
        }
    }

    /// A new row that has nothing but its id.
    pub fn push(&mut self, id: SfId) -> u32 {
        let row = self.len();
        self.states.push(0);
        self.ids.insert(id, row);
        self.set(row, self.id_col, Cell::Id(id));
        row
    }

    pub fn cell(&self, row: u32, col: usize) -> &Cell {
        self.columns[col].get(row as usize).unwrap_or(&NULL)
    }

    pub fn set(&mut self, row: u32, col: usize, cell: Cell) {
        let column = &mut self.columns[col];
        if column.len() <= row as usize {
            if cell == Cell::Null {
                return;
            }
            column.resize(row as usize + 1, Cell::Null);
        }
        let old = std::mem::replace(&mut column[row as usize], cell);
        let new = &column[row as usize];
        if let Some(index) = self.references.get_mut(&col) {
            if let Cell::Id(id) = old
                && let Some(rows) = index.get_mut(&id)
            {
                rows.retain(|other| *other != row);
            }
            if let Cell::Id(id) = new {
                index.entry(*id).or_default().push(row);
            }
        } else if let Some(index) = self.keys.get_mut(&col) {
            if let Cell::Text(text) = old
                && let Some(rows) = index.get_mut(text.to_lowercase().as_str())
            {
                rows.retain(|other| *other != row);
            }
            if let Cell::Text(text) = new {
                index.entry(text.to_lowercase().into_boxed_str()).or_default().push(row);
            }
        }
    }

    pub fn id(&self, row: u32) -> SfId {
        self.cell(row, self.id_col).as_id().expect("every row has an id")
    }

    pub fn row(&self, id: SfId) -> Option<u32> {
        self.ids.get(&id).copied().filter(|row| !self.purged(*row))
    }

    /// The row of this id, unless it is deleted or kept from the integration user.
    pub fn readable(&self, id: SfId) -> Option<u32> {
        self.row(id).filter(|row| self.live(*row) && !self.hidden(*row))
    }

    pub fn live(&self, row: u32) -> bool {
        self.states[row as usize] & (DELETED | PURGED) == 0
    }

    pub fn deleted(&self, row: u32) -> bool {
        self.states[row as usize] & DELETED != 0
    }

    pub fn hidden(&self, row: u32) -> bool {
        self.states[row as usize] & HIDDEN != 0
    }

    pub fn purged(&self, row: u32) -> bool {
        self.states[row as usize] & PURGED != 0
    }

    pub fn set_deleted(&mut self, row: u32, deleted: bool) {
        self.mark(row, DELETED, deleted);
        if let Some(col) = self.is_deleted_col {
            self.set(row, col, if deleted { Cell::Bool(true) } else { Cell::Null });
        }
    }

    pub fn set_hidden(&mut self, row: u32, hidden: bool) {
        self.mark(row, HIDDEN, hidden);
    }

    pub fn purge(&mut self, row: u32) {
        self.mark(row, PURGED, true);
    }

    fn mark(&mut self, row: u32, bit: u8, on: bool) {
        let state = &mut self.states[row as usize];
        *state = if on { *state | bit } else { *state & !bit };
    }

    /// Whether the column has an index over what it points to.
    pub fn indexed(&self, col: usize) -> bool {
        self.references.contains_key(&col)
    }

    /// Rows whose reference column points to `id`, in the order they came to.
    pub fn pointing_to(&self, col: usize, id: SfId) -> &[u32] {
        self.references.get(&col).and_then(|index| index.get(&id)).map_or(&[], Vec::as_slice)
    }

    /// Live rows that hold this text in a key column, by any case.
    pub fn with_key(&self, col: usize, text: &str) -> Vec<u32> {
        let rows = self.keys.get(&col).and_then(|index| index.get(text.to_lowercase().as_str()));
        rows.into_iter().flatten().copied().filter(|row| self.live(*row)).collect()
    }
}
