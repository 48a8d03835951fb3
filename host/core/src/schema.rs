//! Fields by name and by position: what a record of one side can hold.

use std::collections::HashMap;

/// Position of a field in a [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldIx(pub u16);

impl FieldIx {
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    Boolean,
    Integer,
    Number,
    Decimal,
    Text,
    Date,
    Timestamp,
    Reference,
    /// One value of a picklist.
    Choice,
    /// Several values of a picklist.
    Choices,
    Json,
}

impl FieldKind {
    pub const ALL: [FieldKind; 11] = [
        Self::Boolean,
        Self::Integer,
        Self::Number,
        Self::Decimal,
        Self::Text,
        Self::Date,
        Self::Timestamp,
        Self::Reference,
        Self::Choice,
        Self::Choices,
        Self::Json,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Decimal => "decimal",
            Self::Text => "text",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Reference => "reference",
            Self::Choice => "choice",
            Self::Choices => "choices",
            Self::Json => "json",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDef {
    /// `Amount`, `Account.Name`, `PrimaryContact.Email`; for deals `close_date`.
    pub name: String,
    /// What people call it: `Close Date`.
    pub label: String,
    pub kind: FieldKind,
    /// Digits after the point, for `Decimal`.
    pub scale: u8,
    /// A record without a value here cannot be written.
    pub required: bool,
    /// Characters, for text.
    pub max_length: Option<u32>,
    /// Allowed values; empty where anything goes.
    pub choices: Vec<String>,
}

impl FieldDef {
    pub fn new(name: &str, label: &str, kind: FieldKind) -> Self {
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            kind,
            scale: 0,
            required: false,
            max_length: None,
            choices: Vec::new(),
        }
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub fn scale(mut self, scale: u8) -> Self {
        self.scale = scale;
        self
    }

    pub fn max_length(mut self, characters: u32) -> Self {
        self.max_length = Some(characters);
        self
    }

    pub fn choices<'a>(mut self, choices: impl IntoIterator<Item = &'a str>) -> Self {
        self.choices = choices.into_iter().map(str::to_owned).collect();
        self
    }
}

/// The fields of one side, in a fixed order.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    fields: Vec<FieldDef>,
    by_name: HashMap<String, FieldIx>,
}

/// More fields than the largest Salesforce object has with its parents' fields.
pub const SCHEMA_FIELDS_MAX: usize = 5_000;

impl Schema {
    /// Takes the first `SCHEMA_FIELDS_MAX` fields; of two with one name, the first.
    pub fn new(fields: impl IntoIterator<Item = FieldDef>) -> Self {
        let mut schema = Self::default();
        for field in fields {
            if schema.fields.len() == SCHEMA_FIELDS_MAX || schema.by_name.contains_key(&field.name) {
                continue;
            }
            let ix = FieldIx(schema.fields.len() as u16);
            schema.by_name.insert(field.name.clone(), ix);
            schema.fields.push(field);
        }
        schema
    }

    /// Looks a field up by its exact name.
    pub fn ix(&self, name: &str) -> Option<FieldIx> {
        self.by_name.get(name).copied()
    }

    pub fn field(&self, ix: FieldIx) -> Option<&FieldDef> {
        self.fields.get(ix.at())
    }

    pub fn fields(&self) -> &[FieldDef] {
        &self.fields
    }

    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The same schema with only these fields, in this order.
    pub fn narrowed(&self, keep: &[FieldIx]) -> Schema {
        Schema::new(keep.iter().filter_map(|ix| self.field(*ix)).cloned())
    }
}
