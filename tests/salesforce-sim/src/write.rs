//! From JSON to cells: each value is checked against its field the way the service
//! does it, with the service's codes.

use dealsync_core::ids::SfId;
use serde_json::{Map, Value};

use crate::errors::ApiError;
use crate::org::{Edit, Org};
use crate::rows::Cell;
use crate::schema::{Field, Kind, Object};
use crate::{ids, when};

/// A column and what goes there.
pub type Assignment = (usize, Cell);

/// Reads the fields of an insert (`row` is `None`) or update.
pub fn read_fields(
    org: &Org,
    at: usize,
    fields: &Map<String, Value>,
    edit: &Edit,
    row: Option<u32>,
) -> Result<Vec<Assignment>, ApiError> {
    let shape = org.shape(at);
    if edit.api && !shape.flag(if row.is_none() { "createable" } else { "updateable" }) {
        return Err(ApiError::bad(
            "INSUFFICIENT_ACCESS_OR_READONLY",
            format!("entity type {} cannot be written", shape.name),
        ));
    }
    let mut assigned = Vec::with_capacity(fields.len());
    for (name, value) in fields {
        if name == "attributes" || (!edit.api && name.eq_ignore_ascii_case("Id")) {
            continue;
        }
        if let (Value::Object(parent), Some(col)) = (value, shape.relationship(name)) {
            assigned.push((col, parent_by_key(org, &shape.fields[col], parent)?));
            continue;
        }
        assigned.push(read_field(org, shape, name, value, edit, row.is_none())?);
    }
    if row.is_none() && edit.api {
        check_required(shape, &assigned)?;
    }
    check_unique(org, at, &assigned, row)?;
    Ok(assigned)
}

fn read_field(
    org: &Org,
    shape: &Object,
    name: &str,
    value: &Value,
    edit: &Edit,
    inserting: bool,
) -> Result<Assignment, ApiError> {
    let col = if edit.api { shape.visible(name) } else { shape.col(name) };
    let col = col.ok_or_else(|| {
        ApiError::bad("INVALID_FIELD", format!("No such column '{name}' on sobject of type {}", shape.name))
    })?;
    let field = &shape.fields[col];
    let writable = if inserting { field.createable } else { field.updateable };
    if edit.api && !writable {
        return Err(ApiError::on(
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            format!(
                "Unable to create/update fields: {}. Please check the security settings of this field and verify \
                 that it is read/write for your profile or permission set.",
                field.name
            ),
            &field.name,
        ));
    }
    let cell = read_cell(field, value)?;
    if edit.api {
        check_cell(org, field, &cell)?;
    }
    Ok((col, cell))
}

/// `"Account": {"Ext__c": "123"}` instead of `AccountId`.
fn parent_by_key(org: &Org, field: &Field, parent: &Map<String, Value>) -> Result<Cell, ApiError> {
    let bad = |text: String| ApiError::on("INVALID_FIELD", text, &field.name);
    let Some((name, value)) = parent.iter().find(|(name, _)| *name != "attributes") else {
        return Ok(Cell::Null);
    };
    let at = field.reference_to.iter().find_map(|object| org.schema.find(object));
    let at = at.ok_or_else(|| bad(format!("{} cannot be set by a key", field.name)))?;
    let col = org.shape(at).visible(name).filter(|col| {
        let key = &org.shape(at).fields[*col];
        key.external_id || key.id_lookup
    });
    let col = col.ok_or_else(|| bad(format!("{name} is no external id of {}", org.shape(at).name)))?;
    let text = plain_text(value);
    match org.tables[at].with_key(col, &text).as_slice() {
        [row] => Ok(Cell::Id(org.tables[at].id(*row))),
        _ => Err(bad(format!(
            "Foreign key external ID: {text} not found for field {name} in entity {}",
            org.shape(at).name
        ))),
    }
}

pub fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The cell of a value, by the field's type alone.
pub fn read_cell(field: &Field, value: &Value) -> Result<Cell, ApiError> {
    let name = &field.name;
    let wrong = || {
        ApiError::on(
            "JSON_PARSER_ERROR",
            format!("Cannot deserialize instance of {} from {value} for field {name}", field.kind.name()),
            name,
        )
    };
    if value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty()) {
        return Ok(Cell::Null);
    }
    let cell = match field.kind {
        Kind::Boolean => match value {
            Value::Bool(value) => Cell::Bool(*value),
            Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Cell::Bool(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Cell::Bool(false),
            _ => return Err(wrong()),
        },
        Kind::Id | Kind::Reference => {
            let text = value.as_str().ok_or_else(wrong)?;
            let id = ids::parse(text);
            Cell::Id(id.ok_or_else(|| {
                ApiError::on(
                    "MALFORMED_ID",
                    format!("{}: id value of incorrect type: {text}", field.label),
                    name,
                )
            })?)
        }
        Kind::Double | Kind::Currency | Kind::Percent | Kind::Int => {
            number(field, value).ok_or_else(wrong)??
        }
        Kind::Date => {
            let text = value.as_str().ok_or_else(wrong)?;
            let days = when::parse_date(text)
                .or_else(|| when::parse_stamp(text).map(|at| at.div_euclid(86_400) as i32));
            Cell::Date(days.ok_or_else(wrong)?)
        }
        Kind::Datetime => {
            let text = value.as_str().ok_or_else(wrong)?;
            let at = when::parse_stamp(text)
                .or_else(|| when::parse_date(text).map(|days| i64::from(days) * 86_400));
            Cell::Stamp(at.ok_or_else(wrong)?)
        }
        Kind::Address => return Err(wrong()),
        _ => match value {
            Value::String(text) => Cell::text(text.trim()),
            Value::Number(_) | Value::Bool(_) => Cell::text(&value.to_string()),
            _ => return Err(wrong()),
        },
    };
    Ok(cell)
}

fn number(field: &Field, value: &Value) -> Option<Result<Cell, ApiError>> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse::<f64>().ok().filter(|number| number.is_finite())?,
        _ => return None,
    };
    let tenths = 10f64.powi(field.scale as i32);
    let rounded = (number * tenths).round() / tenths;
    let whole = field.precision.saturating_sub(field.scale);
    if field.precision > 0 && rounded.abs() >= 10f64.powi(whole as i32) {
        let text = format!("{}: value outside of valid range on numeric field: {number}", field.label);
        return Some(Err(ApiError::on("NUMBER_OUTSIDE_VALID_RANGE", text, &field.name)));
    }
    Some(Ok(Cell::Num(rounded)))
}

/// What the service checks beyond the type.
fn check_cell(org: &Org, field: &Field, cell: &Cell) -> Result<(), ApiError> {
    let name = &field.name;
    match cell {
        Cell::Null if !field.nillable && !field.defaulted_on_create && field.kind != Kind::Boolean => {
            Err(required(std::slice::from_ref(name)))
        }
        Cell::Text(text) => {
            if field.length > 0 && text.chars().count() > field.length as usize {
                let length = field.length;
                let text = text.chars().take(80).collect::<String>();
                return Err(ApiError::on(
                    "STRING_TOO_LONG",
                    format!("{}: data value too large: {text} (max length={length})", field.label),
                    name,
                ));
            }
            if field.kind == Kind::Email && !looks_like_email(text) {
                return Err(ApiError::on(
                    "INVALID_EMAIL_ADDRESS",
                    format!("{}: invalid email address: {text}", field.label),
                    name,
                ));
            }
            if field.restricted_picklist {
                let known = |part: &str| field.picklist_values.iter().any(|pick| pick.2 && pick.0 == part);
                let parts: Vec<&str> = match field.kind {
                    Kind::Multipicklist => text.split(';').map(str::trim).collect(),
                    _ => vec![text],
                };
                if let Some(part) = parts.into_iter().find(|part| !known(part)) {
                    return Err(ApiError::on(
                        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                        format!("{}: bad value for restricted picklist field: {part}", field.label),
                        name,
                    ));
                }
            }
            Ok(())
        }
        Cell::Id(id) if !field.reference_to.is_empty() => check_reference(org, field, *id),
        _ => Ok(()),
    }
}

fn check_reference(org: &Org, field: &Field, id: SfId) -> Result<(), ApiError> {
    let name = &field.name;
    let mut objects = field.reference_to.iter().filter_map(|object| org.schema.find(object));
    let Some(at) = objects.find(|at| org.shape(*at).key_prefix == id.prefix()) else {
        return Err(ApiError::on(
            "FIELD_INTEGRITY_EXCEPTION",
            format!("{}: id value of incorrect type: {id}", field.label),
            name,
        ));
    };
    match org.tables[at].row(id) {
        Some(row) if org.tables[at].deleted(row) => {
            Err(ApiError::on("ENTITY_IS_DELETED", "entity is deleted", name))
        }
        Some(row) if !org.tables[at].hidden(row) => Ok(()),
        _ => Err(ApiError::on("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", name)),
    }
}

fn looks_like_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && domain.contains('.')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !text.contains(|letter: char| letter.is_whitespace() || ",;<>()".contains(letter))
        && !domain.contains('@')
}

fn required(names: &[String]) -> ApiError {
    ApiError {
        fields: names.to_vec(),
        ..ApiError::bad(
            "REQUIRED_FIELD_MISSING",
            format!("Required fields are missing: [{}]", names.join(", ")),
        )
    }
}

fn check_required(shape: &Object, assigned: &[Assignment]) -> Result<(), ApiError> {
    let missing: Vec<String> = shape
        .fields
        .iter()
        .enumerate()
        .filter(|(col, field)| {
            field.required() && !assigned.iter().any(|(own, cell)| own == col && *cell != Cell::Null)
        })
        .map(|(_, field)| field.name.clone())
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(required(&missing)) }
}

fn check_unique(org: &Org, at: usize, assigned: &[Assignment], row: Option<u32>) -> Result<(), ApiError> {
    for (col, cell) in assigned {
        let field = &org.shape(at).fields[*col];
        let (true, Cell::Text(text)) = (field.unique, cell) else { continue };
        let other = org.tables[at].with_key(*col, text).into_iter().find(|other| {
            Some(*other) != row
                && (!field.case_sensitive || org.tables[at].cell(*other, *col).as_text() == Some(text))
        });
        if let Some(other) = other {
            return Err(ApiError::bad(
                "DUPLICATE_VALUE",
                format!(
                    "duplicate value found: {} duplicates value on record with id: {}",
                    field.name,
                    &org.tables[at].id(other).as_str()[..15]
                ),
            ));
        }
    }
    Ok(())
}
