//! One value as a rule reads it, borrowed from the batch.

use crate::{Decimal, Value};

/// What a record holds in one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// The field was not there to be read; not the same as empty.
    Absent,
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Decimal(Decimal),
    /// Text, and one value of a picklist.
    Text(&'a str),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    Reference(&'a str),
    /// Entries joined by `;`.
    Choices(&'a str),
    /// A compound field, as JSON text.
    Json(&'a str),
}

impl<'a> Cell<'a> {
    /// True where there is nothing: absent, null, or text of blanks alone.
    #[inline]
    pub fn is_blank(self) -> bool {
        match self {
            Cell::Absent | Cell::Null => true,
            Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) => is_blank(text),
            _ => false,
        }
    }

    /// The text of a textual cell.
    #[inline]
    pub fn as_text(self) -> Option<&'a str> {
        match self {
            Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) | Cell::Json(text) => Some(text),
            _ => None,
        }
    }

    /// The value as a person reads it; empty where there is none.
    pub fn display(self) -> String {
        match self {
            Cell::Absent | Cell::Null => String::new(),
            Cell::Boolean(value) => value.to_string(),
            Cell::Integer(value) => value.to_string(),
            Cell::Number(value) => value.to_string(),
            Cell::Decimal(value) => value.to_string(),
            Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) | Cell::Json(text) => {
                text.to_owned()
            }
            Cell::Date(days) => crate::date_text(days),
            Cell::Timestamp(micros) => crate::timestamp_text(micros),
        }
    }

    /// The value, owned; `None` where the cell is absent.
    pub fn to_value(self) -> Option<Value> {
        Some(match self {
            Cell::Absent => return None,
            Cell::Null => Value::Null,
            Cell::Boolean(value) => Value::Boolean(value),
            Cell::Integer(value) => Value::Integer(value),
            Cell::Number(value) => Value::Number(value),
            Cell::Decimal(value) => Value::Decimal(value),
            Cell::Text(text) => Value::Text(text.to_owned()),
            Cell::Date(days) => Value::Date(days),
            Cell::Timestamp(micros) => Value::Timestamp(micros),
            Cell::Reference(text) => Value::Reference(text.to_owned()),
            Cell::Choices(text) => Value::Choices(text.split(';').map(str::to_owned).collect()),
            Cell::Json(text) => Value::Json(text.to_owned()),
        })
    }
}

#[inline]
fn is_blank(text: &str) -> bool {
    // Nearly every text starts with something that is neither blank nor beyond ASCII.
    match text.as_bytes().first() {
        None => true,
        Some(b'!'..=b'~') => false,
        Some(_) => text.trim().is_empty(),
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Number(value)
    }
}

impl From<Decimal> for Value {
    fn from(value: Decimal) -> Self {
        Value::Decimal(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}
