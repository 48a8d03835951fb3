//! From one kind of value to another, where nothing is lost.

use dealsync_rules_sdk::{Cell, Decimal, FieldKind, Value, parse_date, parse_timestamp};

/// Whole numbers up to here are exact in a float.
const EXACT_FLOAT_MAX: i64 = 1 << 53;

/// A value that fits its target.
#[derive(Debug, PartialEq)]
pub enum Fit {
    /// As it came.
    Copy,
    Made(Value),
}

/// Why a value does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// TYPE_MISMATCH
    Kind,
    /// NUMBER_OUT_OF_RANGE
    Range,
    /// DATE_INVALID
    Date,
}

/// Converts a filled cell to `kind`; decimals to `scale` digits after the point.
#[inline]
pub fn convert(cell: Cell<'_>, kind: FieldKind, scale: u8) -> Result<Fit, Misfit> {
    match (cell, kind) {
        (Cell::Text(_), FieldKind::Text | FieldKind::Choice)
        | (Cell::Reference(_), FieldKind::Reference)
        | (Cell::Boolean(_), FieldKind::Boolean)
        | (Cell::Integer(_), FieldKind::Integer)
        | (Cell::Number(_), FieldKind::Number)
        | (Cell::Date(_), FieldKind::Date)
        | (Cell::Timestamp(_), FieldKind::Timestamp)
        | (Cell::Choices(_), FieldKind::Choices)
        | (Cell::Json(_), FieldKind::Json) => Ok(Fit::Copy),
        (Cell::Decimal(value), FieldKind::Decimal) if value.scale == scale => Ok(Fit::Copy),
        _ => make(cell, kind, scale).map(Fit::Made),
    }
}

fn make(cell: Cell<'_>, kind: FieldKind, scale: u8) -> Result<Value, Misfit> {
    match kind {
        FieldKind::Text | FieldKind::Choice => match cell {
            Cell::Json(_) => Err(Misfit::Kind),
            _ => Ok(Value::Text(cell.display())),
        },
        FieldKind::Reference => textual(cell).map(|text| Value::Reference(text.to_owned())),
        FieldKind::Choices => {
            textual(cell).map(|text| Value::Choices(entries(text).map(str::to_owned).collect()))
        }
        FieldKind::Boolean => boolean(cell).map(Value::Boolean).ok_or(Misfit::Kind),
        FieldKind::Integer => {
            decimal(cell)?.rescale(0).map(|whole| Value::Integer(whole.unscaled)).ok_or(Misfit::Range)
        }
        FieldKind::Number => number(cell).map(Value::Number),
        FieldKind::Decimal => decimal(cell)?.rescale(scale).map(Value::Decimal).ok_or(Misfit::Range),
        FieldKind::Date => match cell {
            Cell::Text(text) => parse_date(text.trim()).map(Value::Date).ok_or(Misfit::Date),
            _ => Err(Misfit::Kind),
        },
        FieldKind::Timestamp => match cell {
            Cell::Text(text) => parse_timestamp(text.trim()).map(Value::Timestamp).ok_or(Misfit::Date),
            _ => Err(Misfit::Kind),
        },
        FieldKind::Json => Err(Misfit::Kind),
    }
}

/// The entries of several choices, without blanks around them.
pub fn entries(choices: &str) -> impl Iterator<Item = &str> {
    choices.split(';').map(str::trim).filter(|entry| !entry.is_empty())
}

fn textual(cell: Cell<'_>) -> Result<&str, Misfit> {
    match cell {
        Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) => Ok(text),
        _ => Err(Misfit::Kind),
    }
}

fn boolean(cell: Cell<'_>) -> Option<bool> {
    match cell {
        Cell::Boolean(value) => Some(value),
        Cell::Integer(0) => Some(false),
        Cell::Integer(1) => Some(true),
        Cell::Text(text) => match text.trim() {
            "1" => Some(true),
            "0" => Some(false),
            word if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("yes") => Some(true),
            word if word.eq_ignore_ascii_case("false") || word.eq_ignore_ascii_case("no") => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn decimal(cell: Cell<'_>) -> Result<Decimal, Misfit> {
    match cell {
        Cell::Decimal(value) => Ok(value),
        Cell::Integer(value) => Ok(Decimal::new(value, 0)),
        // The shortest text that reads back as the same float is what a person
        // entered.
        Cell::Number(value) => Decimal::parse(&value.to_string()).ok_or(Misfit::Range),
        Cell::Text(text) => {
            let text = text.trim();
            Decimal::parse(text).ok_or(if looks_numeric(text) { Misfit::Range } else { Misfit::Kind })
        }
        _ => Err(Misfit::Kind),
    }
}

/// True for a number with more digits than 64 bits hold.
fn looks_numeric(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn number(cell: Cell<'_>) -> Result<f64, Misfit> {
    match cell {
        Cell::Number(value) => Ok(value),
        Cell::Integer(value) if value.abs_diff(0) <= EXACT_FLOAT_MAX as u64 => Ok(value as f64),
        Cell::Decimal(value) if value.unscaled.abs_diff(0) <= EXACT_FLOAT_MAX as u64 => {
            Ok(value.unscaled as f64 / 10f64.powi(i32::from(value.scale)))
        }
        Cell::Integer(_) | Cell::Decimal(_) => Err(Misfit::Range),
        Cell::Text(text) => {
            text.trim().parse().ok().filter(|value: &f64| value.is_finite()).ok_or(Misfit::Kind)
        }
        _ => Err(Misfit::Kind),
    }
}
