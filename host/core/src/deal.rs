//! The fields of a deal registration, and a row of them as text.

use crate::batch::Batch;
use crate::schema::{FieldDef, FieldKind, Schema};
use crate::value::{Cell, Value, date_text, timestamp_text};

pub const CONTACT_FIRST_NAME: &str = "contact_first_name";
pub const CONTACT_LAST_NAME: &str = "contact_last_name";
pub const CONTACT_EMAIL: &str = "contact_email";
pub const ACCOUNT_NAME: &str = "account_name";
pub const NAME: &str = "name";

/// Fields that are written when a deal is created and never after (S52).
pub const CREATE_ONLY: [&str; 2] = [CONTACT_FIRST_NAME, CONTACT_LAST_NAME];

/// The fields every portal has, followed by the tenant's own.
pub fn deal_schema(custom: impl IntoIterator<Item = FieldDef>) -> Schema {
    use FieldKind::*;
    let shipped = [
        FieldDef::new(NAME, "Deal Name", Text).required().max_length(255),
        FieldDef::new("amount", "Amount", Decimal).required().scale(2),
        FieldDef::new("close_date", "Close Date", Date).required(),
        FieldDef::new("stage", "Stage", Choice).required(),
        FieldDef::new(CONTACT_FIRST_NAME, "Contact First Name", Text).required().max_length(80),
        FieldDef::new(CONTACT_LAST_NAME, "Contact Last Name", Text).required().max_length(80),
        FieldDef::new(CONTACT_EMAIL, "Contact Email", Text).max_length(254),
        FieldDef::new("contact_phone", "Contact Phone", Text).max_length(80),
        FieldDef::new("contact_title", "Contact Title", Text).max_length(128),
        FieldDef::new(ACCOUNT_NAME, "Account Name", Text).max_length(255),
        FieldDef::new("account_website", "Account Website", Text).max_length(255),
        FieldDef::new("account_country", "Account Country", Text).max_length(80),
        FieldDef::new("account_industry", "Account Industry", Text).max_length(255),
        FieldDef::new("description", "Description", Text).max_length(32_000),
        FieldDef::new("next_step", "Next Step", Text).max_length(255),
        FieldDef::new("probability", "Probability", Decimal).scale(2),
        FieldDef::new("lead_source", "Lead Source", Choice),
        FieldDef::new("deal_type", "Deal Type", Choice),
        FieldDef::new("deal_owner_type", "Deal Owner Type", Choice)
            .choices(["Partner-owned", "Distributor-owned"]),
        FieldDef::new("region", "Region", Choice),
        FieldDef::new("currency", "Currency", Text).max_length(3),
    ];
    Schema::new(shipped.into_iter().chain(custom))
}

/// Writes one row as a JSON object in the order of the batch's columns; blank and
/// absent cells are left out. The same values give the same text, so two rows are
/// equal exactly when their texts are.
pub fn encode_row(schema: &Schema, batch: &Batch, row: usize, out: &mut String) {
    encode_columns(schema, batch, row, |_| true, out);
}

/// As [`encode_row`], of those columns only that `keep` takes, by their position.
pub fn encode_columns(
    schema: &Schema,
    batch: &Batch,
    row: usize,
    keep: impl Fn(usize) -> bool,
    out: &mut String,
) {
    out.push('{');
    let mut first = true;
    for (at, field) in batch.columns().iter().enumerate() {
        let cell = batch.cell(row, at);
        if cell.is_blank() || !keep(at) {
            continue;
        }
        let Some(def) = schema.field(*field) else { continue };
        if !first {
            out.push(',');
        }
        first = false;
        push_json_text(&def.name, out);
        out.push(':');
        push_cell(cell, out);
    }
    out.push('}');
}

/// One cell as JSON. Decimals are text, so that no reader makes floats of money.
fn push_cell(cell: Cell<'_>, out: &mut String) {
    use std::fmt::Write;
    match cell {
        Cell::Absent | Cell::Null => out.push_str("null"),
        Cell::Boolean(value) => out.push_str(if value { "true" } else { "false" }),
        Cell::Integer(value) => write!(out, "{value}").expect("writing to a string"),
        Cell::Number(value) => write!(out, "{value:?}").expect("writing to a string"),
        Cell::Decimal(value) => write!(out, "\"{value}\"").expect("writing to a string"),
        Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) | Cell::Json(text) => {
            push_json_text(text, out);
        }
        Cell::Date(days) => push_json_text(&date_text(days), out),
        Cell::Timestamp(micros) => push_json_text(&timestamp_text(micros), out),
    }
}

pub fn push_json_text(text: &str, out: &mut String) {
    use std::fmt::Write;
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => write!(out, "\\u{byte:04x}").expect("writing to a string"),
        }
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

/// A deal's or base's values by name, each as the text [`encode_row`] wrote:
/// comparing those is comparing the values.
pub type Values = serde_json::Map<String, serde_json::Value>;

/// Reads what [`encode_row`] wrote. A text that is no JSON object is treated as
/// empty: everything then counts as changed, and nothing is lost.
pub fn decode_row(text: &str) -> Values {
    serde_json::from_str(text).unwrap_or_default()
}

/// A value as [`encode_row`] writes it.
pub fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Number(value) => {
            serde_json::Number::from_f64(*value).map_or(serde_json::Value::Null, Into::into)
        }
        other => other.display().into(),
    }
}

/// A value as people read it in a log line or a mail.
pub fn show(value: Option<&serde_json::Value>) -> String {
    match value {
        None | Some(serde_json::Value::Null) => "(empty)".to_owned(),
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::schema::FieldIx;
    use crate::value::Decimal;

    #[test]
    fn a_row_is_read_back_as_it_was_written() {
        let schema = deal_schema([]);
        let names = ["name", "amount", "close_date", "description"];
        let columns: Arc<[FieldIx]> = names.iter().map(|name| schema.ix(name).unwrap()).collect();
        let mut batch = Batch::absent(columns, Arc::from([0, 2, 0, 0]), 1);
        batch.set(0, 0, Cell::Text("He said \"é\"\n\u{1}"));
        batch.set(0, 1, Cell::Decimal(Decimal::new(-150, 2)));
        batch.set(0, 2, Cell::Date(0));
        let mut text = String::new();
        encode_row(&schema, &batch, 0, &mut text);
        assert_eq!(text, r#"{"name":"He said \"é\"\n\u0001","amount":"-1.50","close_date":"1970-01-01"}"#);
        assert_eq!(decode_row(&text)["name"], "He said \"é\"\n\u{1}");
    }
}
