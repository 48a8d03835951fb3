//! `/__sim/`: what a test or a demo does to the org from outside. No session, no
//! counting, plain errors.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, Reply};
use crate::errors::ApiError;
use crate::faults::Fault;
use crate::org::{Edit, Org};
use crate::orgfile::CustomField;
use crate::soql::render;
use crate::{Shared, ids, when};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EditBody {
    object: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    fields: Map<String, Value>,
    /// The user the edit is made as.
    #[serde(default, rename = "as")]
    actor: Option<String>,
    /// `delete`, `undelete`, `purge`, `hide`, `show`; write, when absent.
    #[serde(default)]
    action: Option<String>,
    /// The second the change carries instead of the clock's.
    #[serde(default)]
    stamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockBody {
    /// Stops the clock here.
    #[serde(default)]
    stop_at: Option<String>,
    /// Runs on from here.
    #[serde(default)]
    run_from: Option<String>,
    #[serde(default)]
    advance_seconds: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaBody {
    /// `Object.Field`
    #[serde(default)]
    hide: Option<String>,
    #[serde(default)]
    show: Option<String>,
    #[serde(default)]
    add: Option<CustomField>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsBody {
    #[serde(default)]
    used: Option<u64>,
    #[serde(default)]
    limit: Option<u64>,
}

/// What the control calls are, for `/` and for `--help`.
pub(crate) const HELP: &str = "\
POST   /__sim/edit      {object, id?, fields?, as?, action?, stamp?}
                        writes a row (without id: adds one) and answers {id};
                        action: delete, undelete, purge, hide, show
POST   /__sim/faults    {kind, on?, about?, after?, times?, probability?, seed?, ms?, rows?, late?}, or a list
                        kinds: unauthorized, daily_limit, concurrent_limit, too_many_requests, server_error,
                        unavailable, html, cut_before, cut_after, slow, duplicate_rows, late_row,
                        locator_gone, truncated; on: token, query, query_more, describe, retrieve, ...
DELETE /__sim/faults    forgets all faults
POST   /__sim/clock     {stop_at?, run_from?, advance_seconds?}; GET reads it
POST   /__sim/schema    {hide?: \"Object.Field\", show?, add?: {object, name, type, ...}}
POST   /__sim/limits    {used?, limit?}
POST   /__sim/expire    refuses all access tokens and drops all query locators
GET    /__sim/requests  counts of calls, pages and rows; DELETE sets them to nought
GET    /__sim/dump      every row of every object, or ?object=Name
";

pub(crate) fn page() -> Reply {
    Reply {
        content_type: "text/plain; charset=utf-8",
        ..Reply::raw(200, format!("dealsync-salesforce-sim\n\n{HELP}").into_bytes())
    }
}

pub(crate) fn answer(shared: &Shared, call: &Call) -> Reply {
    let what = call.parts.get(1).map(String::as_str).unwrap_or_default();
    let result = match (call.method.as_str(), what) {
        ("POST", "edit") => edit(shared, call),
        ("POST", "faults") => faults(shared, call),
        ("DELETE", "faults") => {
            shared.faults().clear();
            Ok(json!({}))
        }
        ("GET", "faults") => Ok(json!({"left": shared.faults().left()})),
        ("POST" | "GET", "clock") => clock(shared, call),
        ("POST", "schema") => schema(shared, call),
        ("POST", "limits") => limits(shared, call),
        ("POST", "expire") => {
            shared.sessions().expire_all();
            shared.cursors().clear();
            Ok(json!({}))
        }
        ("GET", "requests") => Ok(serde_json::to_value(&*shared.tally()).expect("counts are JSON")),
        ("DELETE", "requests") => {
            *shared.tally() = crate::Tally::default();
            Ok(json!({}))
        }
        ("GET", "dump") => return dump(&shared.org(), call.param("object")),
        ("GET", "") => return page(),
        _ => Err(ApiError::not_found()),
    };
    match result {
        Ok(body) => Reply::json(200, &body),
        Err(error) => error.into(),
    }
}

fn bad(text: impl Into<String>) -> ApiError {
    ApiError::bad("SIM", text)
}

fn stamp(text: &str) -> Result<i64, ApiError> {
    when::parse_stamp(text).ok_or_else(|| bad(format!("{text:?} is no time such as 2026-11-02T08:00:00Z")))
}

fn edit(shared: &Shared, call: &Call) -> Result<Value, ApiError> {
    let body: EditBody = call.json()?;
    let mut org = shared.org_mut();
    let at = org.object(&body.object).map_err(|_| bad(format!("there is no object {:?}", body.object)))?;
    let actor = match &body.actor {
        Some(name) => {
            let row = org.user_by_name(name).ok_or_else(|| bad(format!("there is no user {name:?}")))?;
            let users = org.object("User")?;
            org.tables[users].id(row)
        }
        None => org.admin,
    };
    let edit = Edit { actor, api: false, stamp: body.stamp.as_deref().map(stamp).transpose()? };
    let id = body.id.as_deref().map(|id| ids::parse(id).ok_or_else(|| bad(format!("{id:?} is no id"))));
    let id = id.transpose()?;
    let (action, id) = match (body.action.as_deref(), id) {
        (None, None) => return Ok(json!({"id": org.insert(at, &body.fields, &edit)?.as_str()})),
        (action, Some(id)) => (action, id),
        (Some(_), None) => return Err(bad("an action needs an id")),
    };
    let row = org.tables[at].row(id).ok_or_else(|| bad(format!("there is no {} {id}", body.object)))?;
    match action {
        None => org.update(at, id, &body.fields, &edit)?,
        Some("delete") => org.delete(at, id, &edit)?,
        Some("undelete") => org.undelete(at, id, &edit)?,
        Some("purge") => {
            if org.tables[at].live(row) {
                org.delete(at, id, &edit)?;
            }
            org.tables[at].purge(row);
        }
        Some("hide") => org.tables[at].set_hidden(row, true),
        Some("show") => org.tables[at].set_hidden(row, false),
        Some(other) => return Err(bad(format!("there is no action {other:?}"))),
    }
    Ok(json!({"id": id.as_str()}))
}

fn faults(shared: &Shared, call: &Call) -> Result<Value, ApiError> {
    let list: Vec<Fault> = match call.json::<Value>()? {
        list @ Value::Array(_) => serde_json::from_value(list),
        one => serde_json::from_value(one).map(|one| vec![one]),
    }
    .map_err(|error| bad(error.to_string()))?;
    for fault in list {
        shared.faults().add(fault);
    }
    Ok(json!({"left": shared.faults().left()}))
}

fn clock(shared: &Shared, call: &Call) -> Result<Value, ApiError> {
    let org = shared.org();
    if call.method == "POST" {
        let body: ClockBody = call.json()?;
        if let Some(text) = &body.stop_at {
            org.clock.stop_at(stamp(text)?);
        }
        if let Some(text) = &body.run_from {
            org.clock.run_from(stamp(text)?);
        }
        org.clock.advance(body.advance_seconds);
    }
    Ok(json!({"now": when::stamp_text(org.clock.now())}))
}

fn schema(shared: &Shared, call: &Call) -> Result<Value, ApiError> {
    let body: SchemaBody = call.json()?;
    let mut org = shared.org_mut();
    for (name, hidden) in [(&body.hide, true), (&body.show, false)] {
        if let Some(name) = name {
            let (object, field) =
                name.split_once('.').ok_or_else(|| bad(format!("{name:?} is not Object.Field")))?;
            org.set_field_hidden(object, field, hidden).map_err(|error| bad(error.to_string()))?;
        }
    }
    if let Some(field) = &body.add {
        org.add_field(field).map_err(|error| bad(error.to_string()))?;
    }
    Ok(json!({}))
}

fn limits(shared: &Shared, call: &Call) -> Result<Value, ApiError> {
    let body: LimitsBody = call.json()?;
    let now = shared.org().clock.now();
    let mut sessions = shared.sessions();
    sessions.set_usage(body.used, body.limit, now);
    let (used, limit) = sessions.usage();
    Ok(json!({"used": used, "limit": limit}))
}

/// Every row with its non-empty fields, deleted and hidden ones marked.
fn dump(org: &Org, only: Option<&str>) -> Reply {
    let mut out = vec![b'{'];
    let mut first = true;
    for (at, object) in org.schema.objects.iter().enumerate() {
        if only.is_some_and(|only| !only.eq_ignore_ascii_case(&object.name)) {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        render::string(&object.name, &mut out);
        out.extend_from_slice(b":[");
        let table = &org.tables[at];
        let mut written = false;
        for row in (0..table.len()).filter(|row| !table.purged(*row)) {
            if std::mem::replace(&mut written, true) {
                out.push(b',');
            }
            out.push(b'{');
            let mut some = false;
            for (col, field) in object.fields.iter().enumerate() {
                let cell = table.cell(row, col);
                if *cell == crate::rows::Cell::Null {
                    continue;
                }
                if std::mem::replace(&mut some, true) {
                    out.push(b',');
                }
                render::string(&field.name, &mut out);
                out.push(b':');
                render::cell(field.kind, cell, &mut out);
            }
            if table.hidden(row) {
                out.extend_from_slice(b",\"hidden\":true");
            }
            out.push(b'}');
        }
        out.push(b']');
    }
    out.push(b'}');
    Reply::raw(200, out)
}
