//! Ids, states and reasons as columns, and back.

use std::str::FromStr;

use dealsync_core::ids::SfId;
use dealsync_core::link::{LinkState, RemoteObject};
use dealsync_core::people::{UserKind, UserStatus};
use dealsync_core::plan::AsideKind;
use dealsync_core::reason::{Code, Level, Reason};
use rusqlite::Row;
use rusqlite::types::Type;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A UUID as a column.
pub fn blob(id: Uuid) -> [u8; 16] {
    *id.as_bytes()
}

pub fn uuid_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes)
}

pub fn maybe_uuid_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(Uuid::from_bytes))
}

/// Reads a column whose text names something of core. Text that names nothing
/// means the file was changed by another hand.
pub fn named_at<T>(row: &Row<'_>, column: usize, read: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    read(text).ok_or_else(|| {
        let message = format!("{text:?} is no value this version knows");
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, message.into())
    })
}

pub fn sf_id_at(row: &Row<'_>, column: usize) -> rusqlite::Result<SfId> {
    named_at(row, column, |text| SfId::from_str(text).ok())
}

pub fn maybe_sf_id_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<SfId>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => sf_id_at(row, column).map(Some),
    }
}

pub fn code_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Code> {
    named_at(row, column, Code::from_name)
}

pub fn link_state_at(row: &Row<'_>, column: usize) -> rusqlite::Result<LinkState> {
    named_at(row, column, LinkState::from_name)
}

pub fn object_at(row: &Row<'_>, column: usize) -> rusqlite::Result<RemoteObject> {
    named_at(row, column, RemoteObject::from_name)
}

pub fn kind_at(row: &Row<'_>, column: usize) -> rusqlite::Result<UserKind> {
    named_at(row, column, UserKind::from_name)
}

pub fn status_at(row: &Row<'_>, column: usize) -> rusqlite::Result<UserStatus> {
    named_at(row, column, UserStatus::from_name)
}

pub fn aside_kind_at(row: &Row<'_>, column: usize) -> rusqlite::Result<AsideKind> {
    named_at(row, column, |text| {
        [AsideKind::Parked, AsideKind::Skipped].into_iter().find(|kind| kind.name() == text)
    })
}

/// Levels are numbers in the file, so that "at least a warning" is a comparison.
pub fn level_number(level: Level) -> i64 {
    match level {
        Level::Info => 0,
        Level::Warning => 1,
        Level::Error => 2,
    }
}

pub fn level_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Level> {
    Ok(match row.get::<_, i64>(column)? {
        0 => Level::Info,
        1 => Level::Warning,
        _ => Level::Error,
    })
}

#[derive(Serialize, Deserialize)]
struct ReasonText {
    code: String,
    level: String,
    message: String,
    fix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// Reasons as the text of a column.
pub fn reasons_text(reasons: &[Reason]) -> String {
    let rows: Vec<_> = reasons
        .iter()
        .map(|reason| ReasonText {
            code: reason.code.name().to_owned(),
            level: reason.level.name().to_owned(),
            message: reason.message.clone(),
            fix: reason.fix.clone(),
            detail: reason.detail.clone(),
            field: reason.field.clone(),
        })
        .collect();
    serde_json::to_string(&rows).expect("plain text becomes JSON")
}

/// Reads what [`reasons_text`] wrote. A reason of a code that is gone is left out:
/// the record then differs from what is planned, and is written anew.
pub fn reasons_from(text: &str) -> Vec<Reason> {
    let rows: Vec<ReasonText> = serde_json::from_str(text).unwrap_or_default();
    rows.into_iter()
        .filter_map(|row| {
            let level = [Level::Info, Level::Warning, Level::Error]
                .into_iter()
                .find(|level| level.name() == row.level)?;
            Some(Reason {
                code: Code::from_name(&row.code)?,
                level,
                message: row.message,
                fix: row.fix,
                detail: row.detail,
                field: row.field,
            })
        })
        .collect()
}
