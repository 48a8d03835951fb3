//! One value of a row, as the kind of its field has it.

use dealsync_core::schema::FieldKind;
use dealsync_core::value::{Cell, Decimal, parse_date, parse_timestamp};

use super::json::Token;

/// The value as the field's kind has it, or `None` where it is of another kind.
pub(super) fn cell<'s, 'a: 's>(
    kind: FieldKind,
    token: Token<'a>,
    scratch: &'s mut String,
) -> Option<Cell<'s>> {
    match token {
        Token::Null => Some(Cell::Null),
        Token::Boolean(value) => (kind == FieldKind::Boolean).then_some(Cell::Boolean(value)),
        Token::Number(text) => number_cell(kind, text),
        Token::Text(text) => {
            let text = text.text(scratch);
            match kind {
                FieldKind::Text | FieldKind::Choice => Some(Cell::Text(text)),
                FieldKind::Reference => Some(Cell::Reference(text)),
                FieldKind::Choices => Some(Cell::Choices(text)),
                FieldKind::Date => parse_date(text).map(Cell::Date),
                FieldKind::Timestamp => parse_timestamp(text).map(Cell::Timestamp),
                FieldKind::Integer | FieldKind::Number | FieldKind::Decimal => number_cell(kind, text.trim()),
                FieldKind::Boolean | FieldKind::Json => None,
            }
        }
        Token::Array | Token::Object => None,
    }
}

fn number_cell<'s>(kind: FieldKind, text: &str) -> Option<Cell<'s>> {
    match kind {
        FieldKind::Decimal => Decimal::parse(text).map(Cell::Decimal),
        FieldKind::Integer => Decimal::parse(text)?.rescale(0).map(|whole| Cell::Integer(whole.unscaled)),
        FieldKind::Number => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Cell::Number),
        _ => None,
    }
}
