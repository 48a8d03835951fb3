//! Versions, limits, single rows, upsert, and what changed or vanished in a window.

use serde_json::{Map, Value, json};

use super::{Call, Caller, Reply};
use crate::errors::ApiError;
use crate::org::Org;
use crate::rows::Cell;
use crate::soql::bind::{Output, Plan};
use crate::soql::render;
use crate::{Shared, ids, when};

/// Ids an updated or deleted window may hold.
const WINDOW_IDS_MAX: usize = 600_000;

pub(crate) fn versions(shared: &Shared) -> Reply {
    let versions = shared.org().file.org.versions;
    let seasons = ["Winter", "Spring", "Summer"];
    let list: Vec<Value> = (versions.first..=versions.last)
        .map(|version| {
            // v64 is Summer '25, and three come a year.
            let since = i64::from(version) - 64 + 2;
            let season = seasons[since.rem_euclid(3) as usize];
            let label = format!("{season} '{:02}", 25 + since.div_euclid(3));
            json!({"label": label, "url": format!("/services/data/v{version}.0"), "version": format!("{version}.0")})
        })
        .collect();
    Reply::json(200, &list.into())
}

pub(crate) fn resources(call: &Call) -> Result<Reply, ApiError> {
    let base = format!("/services/data/v{}.0", call.version().unwrap_or_default());
    let names = ["sobjects", "query", "queryAll", "limits", "composite"];
    let map: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), format!("{base}/{name}").into())).collect();
    Ok(Reply::json(200, &map.into()))
}

pub(crate) fn limits(shared: &Shared) -> Result<Reply, ApiError> {
    let (used, max) = shared.sessions().usage();
    let free = |max: u64| json!({"Max": max, "Remaining": max});
    let body = json!({
        "DailyApiRequests": {"Max": max, "Remaining": max.saturating_sub(used)},
        "DailyBulkApiBatches": free(15_000),
        "DailyBulkV2QueryJobs": free(10_000),
        "DailyBulkV2QueryFileStorageMB": free(976_562),
        "DataStorageMB": free(5),
        "FileStorageMB": free(20),
        "DailyStreamingApiEvents": free(10_000),
        "HourlyAsyncReportRuns": free(1_200),
        "SingleEmail": free(15),
    });
    Ok(Reply::json(200, &body))
}

pub(crate) fn record_count(shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let org = shared.org();
    let wanted = call.param("sObjects").unwrap_or_default();
    let counts: Vec<Value> = org
        .schema
        .objects
        .iter()
        .enumerate()
        .filter(|(_, object)| {
            wanted.is_empty() || wanted.split(',').any(|name| name.eq_ignore_ascii_case(&object.name))
        })
        .map(|(at, object)| {
            let table = &org.tables[at];
            json!({"count": (0..table.len()).filter(|row| table.live(*row)).count(), "name": object.name})
        })
        .collect();
    Ok(Reply::json(200, &json!({"sObjects": counts})))
}

fn body_fields(call: &Call) -> Result<Map<String, Value>, ApiError> {
    call.json()
}

pub(crate) fn location(call: &Call, object: &str, id: &str) -> String {
    format!("/services/data/v{}.0/sobjects/{object}/{id}", call.version().unwrap_or_default())
}

pub(crate) fn create(shared: &Shared, call: &Call, caller: &Caller, object: &str) -> Result<Reply, ApiError> {
    if call.method != "POST" {
        return Err(not_allowed(call));
    }
    let fields = body_fields(call)?;
    let mut org = shared.org_mut();
    let at = org.object(object)?;
    let id = org.insert(at, &fields, &caller.edit)?;
    let body = json!({"id": id.as_str(), "success": true, "errors": []});
    Ok(Reply::json(201, &body).with("location", location(call, &org.shape(at).name, id.as_str())))
}

fn not_allowed(call: &Call) -> ApiError {
    ApiError::bad(
        "METHOD_NOT_ALLOWED",
        format!("HTTP Method '{}' not allowed. Allowed are HEAD,GET,POST", call.method),
    )
    .status(405)
}

pub(crate) fn row(
    shared: &Shared,
    call: &Call,
    caller: &Caller,
    object: &str,
    id: &str,
) -> Result<Reply, ApiError> {
    let at = shared.org().object(object)?;
    let id = {
        let org = shared.org();
        let prefix = &org.shape(at).key_prefix;
        ids::parse(id).filter(|id| id.prefix() == prefix)
    };
    let id = id.ok_or_else(|| {
        ApiError::bad("NOT_FOUND", "Provided external ID field does not exist or is not accessible: Id")
            .status(404)
    })?;
    match call.method.as_str() {
        "GET" | "HEAD" => read(shared, call, at, id),
        "PATCH" => {
            let mut fields = body_fields(call)?;
            fields.remove("attributes");
            let mut org = shared.org_mut();
            guard_unmodified(&org, call, at, id)?;
            org.update(at, id, &fields, &caller.edit)?;
            Ok(Reply::empty(204))
        }
        "DELETE" => {
            let mut org = shared.org_mut();
            if !org.shape(at).flag("deletable") {
                return Err(not_allowed(call));
            }
            org.delete(at, id, &caller.edit)?;
            Ok(Reply::empty(204))
        }
        _ => Err(not_allowed(call)),
    }
}

fn guard_unmodified(org: &Org, call: &Call, at: usize, id: dealsync_core::ids::SfId) -> Result<(), ApiError> {
    let since = call.header("if-unmodified-since").and_then(when::parse_http_date);
    let stamp = org.tables[at].row(id).map(|row| org.named(at, row, "LastModifiedDate").clone());
    match (since, stamp) {
        (Some(since), Some(Cell::Stamp(stamp))) if stamp > since => Err(ApiError::bad(
            "PRECONDITION_FAILED",
            "The record has been modified since the date given in If-Unmodified-Since",
        )
        .status(412)),
        _ => Ok(()),
    }
}

fn read(shared: &Shared, call: &Call, at: usize, id: dealsync_core::ids::SfId) -> Result<Reply, ApiError> {
    let org = shared.org();
    let table = &org.tables[at];
    let row = org.writable(at, id)?;
    if table.hidden(row) {
        return Err(ApiError::not_found());
    }
    if let (Some(since), Cell::Stamp(stamp)) = (
        call.header("if-modified-since").and_then(when::parse_http_date),
        org.named(at, row, "LastModifiedDate"),
    ) && *stamp <= since
    {
        return Ok(Reply::empty(304));
    }
    let plan = match call.param("fields") {
        Some(names) => plan_of(&org, at, names.split(',').map(str::trim), false)?,
        None => plan_all(&org, at),
    };
    let mut body = Vec::with_capacity(2048);
    render::row(&org, &plan, row, call.version().unwrap_or_default(), &mut body);
    Ok(Reply::raw(200, body))
}

fn plan_all(org: &Org, at: usize) -> Plan {
    let outputs = org
        .shape(at)
        .fields
        .iter()
        .enumerate()
        .filter(|(_, field)| !field.hidden)
        .map(|(col, field)| Output::Field { name: field.name.as_str().into(), col, kind: field.kind });
    plain_plan(at, outputs.collect())
}

fn plain_plan(object: usize, outputs: Vec<Output>) -> Plan {
    Plan {
        object,
        outputs,
        count_only: false,
        filter: None,
        order: Vec::new(),
        limit: None,
        offset: 0,
        all_rows: false,
        selects_long_text: false,
    }
}

/// A plan of named fields; parent paths go through the query binder.
pub(crate) fn plan_of<'a>(
    org: &Org,
    at: usize,
    names: impl Iterator<Item = &'a str>,
    with_id: bool,
) -> Result<Plan, ApiError> {
    let mut names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    if with_id && !names.iter().any(|name| name.eq_ignore_ascii_case("Id")) {
        names.insert(0, "Id");
    }
    let plain = |name: &&str| name.chars().all(|letter| letter.is_alphanumeric() || "_.".contains(letter));
    if let Some(odd) = names.iter().find(|name| !plain(name)) {
        return Err(ApiError::bad(
            "INVALID_FIELD",
            format!("No such column '{odd}' on entity '{}'", org.shape(at).name),
        ));
    }
    let text = format!("SELECT {} FROM {}", names.join(","), org.shape(at).name);
    crate::soql::bind::bind(org, &text, &crate::soql::parser::parse(&text)?, false)
}

/// `sobjects/{Object}/{Field}/{value}`: read, upsert or delete by a key.
pub(crate) fn by_key(
    shared: &Shared,
    call: &Call,
    caller: &Caller,
    object: &str,
    field: &str,
    value: &str,
) -> Result<Reply, ApiError> {
    let at = shared.org().object(object)?;
    if field.eq_ignore_ascii_case("Id") {
        return row(shared, call, caller, object, value);
    }
    let mut org = shared.org_mut();
    let col = key_column(&org, at, field)?;
    let found = org.tables[at].with_key(col, value);
    if found.len() > 1 {
        let name = org.shape(at).name.clone();
        let urls: Vec<Value> =
            found.iter().map(|row| location(call, &name, org.tables[at].id(*row).as_str()).into()).collect();
        return Ok(Reply::json(300, &urls.into()));
    }
    match call.method.as_str() {
        "PATCH" | "PUT" => {
            let fields = body_fields(call)?;
            let only = call.param("updateOnly").is_some_and(|only| only.eq_ignore_ascii_case("true"));
            let (id, created) = upsert(&mut org, at, col, value, fields, caller, only)?;
            let body = json!({"id": id, "success": true, "errors": [], "created": created});
            let old = call.version().is_some_and(|version| version < 46);
            let reply = match (created, old) {
                (true, _) => Reply::json(201, &body),
                (false, true) => Reply::empty(204),
                (false, false) => Reply::json(200, &body),
            };
            Ok(reply.with("location", location(call, &org.shape(at).name, &id)))
        }
        "DELETE" => {
            let row = *found.first().ok_or_else(ApiError::not_found)?;
            let id = org.tables[at].id(row);
            org.delete(at, id, &caller.edit)?;
            Ok(Reply::empty(204))
        }
        _ => {
            let row = *found.first().ok_or_else(ApiError::not_found)?;
            let id = org.tables[at].id(row);
            drop(org);
            read(shared, call, at, id)
        }
    }
}

/// The column of a key that upserts may use.
pub(crate) fn key_column(org: &Org, at: usize, field: &str) -> Result<usize, ApiError> {
    let shape = org.shape(at);
    let col = shape.visible(field).filter(|col| {
        let field = &shape.fields[*col];
        (field.external_id || field.id_lookup) && field.kind.is_text()
    });
    col.ok_or_else(|| {
        ApiError::bad(
            "NOT_FOUND",
            format!("Provided external ID field does not exist or is not accessible: {field}"),
        )
        .status(404)
    })
}

/// Updates the one row with this key, or makes it. Several are the caller's 300.
pub(crate) fn upsert(
    org: &mut Org,
    at: usize,
    col: usize,
    value: &str,
    mut fields: Map<String, Value>,
    caller: &Caller,
    update_only: bool,
) -> Result<(String, bool), ApiError> {
    let key = org.shape(at).fields[col].name.clone();
    fields.remove("attributes");
    if fields.keys().any(|name| name.eq_ignore_ascii_case(&key)) {
        return Err(ApiError::bad(
            "INVALID_FIELD",
            format!("The {key} field should not be specified in the sobject data."),
        ));
    }
    match org.tables[at].with_key(col, value).as_slice() {
        [row] => {
            let id = org.tables[at].id(*row);
            org.update(at, id, &fields, &caller.edit)?;
            Ok((id.as_str().to_owned(), false))
        }
        [] if update_only => Err(ApiError::not_found()),
        [] => {
            fields.insert(key, value.into());
            let id = org.insert(at, &fields, &caller.edit)?;
            Ok((id.as_str().to_owned(), true))
        }
        _ => Err(ApiError::bad(
            "DUPLICATE_EXTERNAL_ID",
            format!("{key}: more than one record found for external id field"),
        )),
    }
}

/// The window of a replication call: start and end, whole minutes apart and not lost.
fn window(call: &Call, now: i64, days_kept: i64) -> Result<(i64, i64), ApiError> {
    let bad = |text: &str| ApiError::bad("INVALID_REPLICATION_DATE", text);
    let read = |name: &str| call.param(name).and_then(|text| when::parse_stamp(&text.replace(' ', "+")));
    let (Some(start), Some(end)) = (read("start"), read("end")) else {
        return Err(ApiError::bad("INVALID_DATE_FORMAT", "start and end must be dates with a time zone"));
    };
    if end - start <= 60 {
        return Err(bad("endDate must be at least one minute greater than startDate"));
    }
    if start < now - days_kept * 86_400 {
        return Err(bad("startDate before org replication enabled date"));
    }
    Ok((start, end))
}

pub(crate) fn updated(shared: &Shared, call: &Call, object: &str) -> Result<Reply, ApiError> {
    let org = shared.org();
    let at = org.object(object)?;
    let now = org.clock.now();
    let (start, end) = window(call, now, 30)?;
    let table = &org.tables[at];
    let rows: Vec<Value> = (0..table.len())
        .filter(|row| table.live(*row) && !table.hidden(*row))
        .filter(|row| matches!(org.named(at, *row, "SystemModstamp"), Cell::Stamp(at) if (start..end).contains(at)))
        .map(|row| table.id(row).as_str().into())
        .collect();
    if rows.len() > WINDOW_IDS_MAX {
        return Err(ApiError::bad("EXCEEDED_ID_LIMIT", "too many ids in this window"));
    }
    let covered = covered(end.min(now));
    Ok(Reply::json(200, &json!({"ids": rows, "latestDateCovered": covered})))
}

pub(crate) fn deleted(shared: &Shared, call: &Call, object: &str) -> Result<Reply, ApiError> {
    let org = shared.org();
    let at = org.object(object)?;
    let now = org.clock.now();
    let (start, end) = window(call, now, 15)?;
    let rows: Vec<Value> = org.tables[at]
        .deletions
        .iter()
        .filter(|(_, when)| (start..end).contains(when))
        .map(|(id, when)| json!({"id": id.as_str(), "deletedDate": when::stamp_text(*when)}))
        .collect();
    let body = json!({
        "deletedRecords": rows,
        "earliestDateAvailable": covered(now - 15 * 86_400),
        "latestDateCovered": covered(end.min(now)),
    });
    Ok(Reply::json(200, &body))
}

/// Whole minutes, as the service reports them.
fn covered(at: i64) -> String {
    when::stamp_text(at - at.rem_euclid(60))
}
