//! Many rows or many calls in one.

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rest::{self, plan_of};
use super::{Call, Caller, Reply};
use crate::errors::ApiError;
use crate::soql::render;
use crate::{Shared, ids};

const COLLECTION_ROWS_MAX: usize = 200;
const RETRIEVE_IDS_MAX: usize = 2000;
const SUBREQUESTS_MAX: usize = 25;

#[derive(Deserialize)]
struct Collection {
    #[serde(default, rename = "allOrNone")]
    all_or_none: bool,
    records: Vec<Map<String, Value>>,
}

fn too_many(count: usize, max: usize) -> Result<(), ApiError> {
    if count > max {
        return Err(ApiError::bad(
            "EXCEEDED_ID_LIMIT",
            format!("record limit reached. cannot submit more than {max} records in this call"),
        ));
    }
    Ok(())
}

/// `composite/sobjects`: insert, update or delete up to 200 rows.
pub(crate) fn collections(shared: &Shared, call: &Call, caller: &Caller) -> Result<Reply, ApiError> {
    if call.method == "DELETE" {
        let all_or_none = call.param("allOrNone").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        let ids: Vec<&str> =
            call.param("ids").unwrap_or_default().split(',').filter(|id| !id.is_empty()).collect();
        too_many(ids.len(), COLLECTION_ROWS_MAX)?;
        return Ok(each(shared, all_or_none, &ids, |org, id| {
            let id =
                ids::parse(id).ok_or_else(|| ApiError::bad("MALFORMED_ID", format!("malformed id {id}")))?;
            let at = org.schema.by_prefix(id.prefix()).ok_or_else(invalid_reference)?;
            org.delete(at, id, &caller.edit)?;
            Ok(json!({"id": id.as_str(), "success": true, "errors": []}))
        }));
    }
    let body: Collection = call.json()?;
    too_many(body.records.len(), COLLECTION_ROWS_MAX)?;
    let inserting = match call.method.as_str() {
        "POST" => true,
        "PATCH" => false,
        _ => return Err(ApiError::bad("METHOD_NOT_ALLOWED", "HTTP Method not allowed").status(405)),
    };
    Ok(each(shared, body.all_or_none, &body.records, |org, record| {
        let mut fields = record.clone();
        let kind =
            fields.remove("attributes").and_then(|attributes| attributes["type"].as_str().map(str::to_owned));
        let kind = kind.ok_or_else(|| {
            ApiError::bad(
                "JSON_PARSER_ERROR",
                "Nested object for polymorphic foreign key must have an attributes field before any other fields.",
            )
        })?;
        let at = org
            .object(&kind)
            .map_err(|_| ApiError::bad("INVALID_TYPE", format!("sObject type '{kind}' is not supported.")))?;
        let id = if inserting {
            org.insert(at, &fields, &caller.edit)?
        } else {
            let id = take_id(&mut fields)?;
            org.update(at, id, &fields, &caller.edit).map_err(row_missing)?;
            id
        };
        Ok(json!({"id": id.as_str(), "success": true, "errors": []}))
    }))
}

fn invalid_reference() -> ApiError {
    ApiError::bad("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
}

/// In a row result, a row that is not there is a bad reference.
fn row_missing(error: ApiError) -> ApiError {
    if error.code == "NOT_FOUND" { invalid_reference() } else { error }
}

fn take_id(fields: &mut Map<String, Value>) -> Result<dealsync_core::ids::SfId, ApiError> {
    let name = fields.keys().find(|name| name.eq_ignore_ascii_case("id")).cloned();
    let value = name.and_then(|name| fields.remove(&name));
    let Some(Value::String(text)) = value else {
        return Err(ApiError::bad("MISSING_ARGUMENT", "Id not specified in an update call"));
    };
    ids::parse(&text)
        .ok_or_else(|| ApiError::bad("MALFORMED_ID", format!("id value of incorrect type: {text}")))
}

/// Applies rows one by one; with `all_or_none` one failure undoes the others.
fn each<T>(
    shared: &Shared,
    all_or_none: bool,
    rows: &[T],
    mut act: impl FnMut(&mut crate::Org, &T) -> Result<Value, ApiError>,
) -> Reply {
    let mut org = shared.org_mut();
    let before = all_or_none.then(|| org.snapshot());
    let mut results: Vec<Value> =
        rows.iter().map(|row| act(&mut org, row).unwrap_or_else(|error| error.row_result())).collect();
    let failed = results.iter().any(|result| result["success"] != true);
    if let (true, Some(before)) = (failed, before) {
        org.restore(before);
        let rolled_back = ApiError::bad(
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was using AllOrNone header",
        );
        for result in &mut results {
            if result["success"] == true {
                *result = rolled_back.row_result();
            }
        }
    }
    Reply::json(200, &results.into())
}

#[derive(Deserialize)]
struct Retrieve {
    ids: Vec<String>,
    fields: Vec<String>,
}

/// `composite/sobjects/{Object}`: rows by id, in the order asked for, null for one that
/// is missing or out of sight.
pub(crate) fn retrieve(shared: &Shared, call: &Call, object: &str) -> Result<Reply, ApiError> {
    let wanted = if call.method == "GET" {
        let list = |name: &str| call.param(name).unwrap_or_default().split(',').map(str::to_owned).collect();
        Retrieve { ids: list("ids"), fields: list("fields") }
    } else {
        call.json::<Retrieve>()?
    };
    too_many(wanted.ids.len(), RETRIEVE_IDS_MAX)?;
    let org = shared.org();
    let at = org.object(object)?;
    let plan = plan_of(&org, at, wanted.fields.iter().map(String::as_str), true)?;
    let mut body = Vec::with_capacity(wanted.ids.len() * 300 + 2);
    let mut served = 0;
    body.push(b'[');
    for (place, id) in wanted.ids.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        let id = ids::parse(id).ok_or_else(|| ApiError::bad("MALFORMED_ID", format!("malformed id {id}")))?;
        match org.tables[at].readable(id) {
            Some(row) => {
                served += 1;
                render::row(&org, &plan, row, call.version().unwrap_or_default(), &mut body);
            }
            None => body.extend_from_slice(b"null"),
        }
    }
    body.push(b']');
    shared.tally().page(&org.shape(at).name, served);
    Ok(Reply::raw(200, body))
}

/// `composite/sobjects/{Object}/{Field}`: upsert up to 200 rows by a key.
pub(crate) fn upsert_all(
    shared: &Shared,
    call: &Call,
    caller: &Caller,
    object: &str,
    field: &str,
) -> Result<Reply, ApiError> {
    let body: Collection = call.json()?;
    too_many(body.records.len(), COLLECTION_ROWS_MAX)?;
    let (at, by_id, col) = {
        let org = shared.org();
        let at = org.object(object)?;
        let by_id = field.eq_ignore_ascii_case("Id");
        (at, by_id, if by_id { 0 } else { rest::key_column(&org, at, field)? })
    };
    Ok(each(shared, body.all_or_none, &body.records, |org, record| {
        let mut fields = record.clone();
        fields.remove("attributes");
        if by_id {
            let given = fields.get("Id").is_some_and(|id| !id.is_null());
            if given {
                let id = take_id(&mut fields)?;
                org.update(at, id, &fields, &caller.edit).map_err(row_missing)?;
                return Ok(json!({"id": id.as_str(), "success": true, "errors": [], "created": false}));
            }
            fields.remove("Id");
            let id = org.insert(at, &fields, &caller.edit)?;
            return Ok(json!({"id": id.as_str(), "success": true, "errors": [], "created": true}));
        }
        let name = fields.keys().find(|name| name.eq_ignore_ascii_case(field)).cloned();
        let key = name.and_then(|name| fields.remove(&name)).filter(|key| !key.is_null());
        let key = key.ok_or_else(|| ApiError::bad("MISSING_ARGUMENT", format!("{field} not specified")))?;
        let key = crate::write::plain_text(&key);
        let (id, created) = rest::upsert(org, at, col, &key, fields, caller, false)?;
        Ok(json!({"id": id, "success": true, "errors": [], "created": created}))
    }))
}

#[derive(Deserialize)]
struct Sequence {
    #[serde(default, rename = "allOrNone")]
    all_or_none: bool,
    #[serde(rename = "compositeRequest")]
    requests: Vec<Subrequest>,
}

#[derive(Deserialize)]
struct Subrequest {
    method: String,
    url: String,
    #[serde(default, rename = "referenceId")]
    reference: String,
    #[serde(default, alias = "richInput")]
    body: Value,
}

/// `composite`: up to 25 calls in sequence, later ones using answers of earlier ones.
pub(crate) fn sequence(shared: &Shared, call: &Call, caller: &Caller) -> Result<Reply, ApiError> {
    let body: Sequence = call.json()?;
    too_many(body.requests.len(), SUBREQUESTS_MAX)?;
    let before = body.all_or_none.then(|| shared.org().snapshot());
    let mut known: Map<String, Value> = Map::new();
    let mut answers: Vec<Value> = Vec::new();
    for request in &body.requests {
        let url = substitute(&request.url, &known);
        let inner = substitute_all(&request.body, &known);
        let reply = subcall(shared, call, caller, &request.method, &url, &inner);
        let value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        known.insert(request.reference.clone(), value.clone());
        let headers: Map<String, Value> = reply
            .headers
            .iter()
            .filter(|(name, _)| *name == "location")
            .map(|(_, value)| ("Location".to_owned(), value.as_str().into()))
            .collect();
        answers.push(json!({
            "body": value, "httpHeaders": headers, "httpStatusCode": reply.status, "referenceId": request.reference,
        }));
    }
    let failed =
        answers.iter().any(|answer| answer["httpStatusCode"].as_u64().is_some_and(|status| status >= 400));
    if let (true, Some(before)) = (failed, before) {
        shared.org_mut().restore(before);
        for answer in &mut answers {
            if answer["httpStatusCode"].as_u64().is_some_and(|status| status < 400) {
                answer["httpStatusCode"] = 400.into();
                answer["body"] = json!([{
                    "errorCode": "PROCESSING_HALTED",
                    "message": "The transaction was rolled back since another operation in the same transaction failed."
                }]);
            }
        }
    }
    Ok(Reply::json(200, &json!({"compositeResponse": answers})))
}

#[derive(Deserialize)]
struct Batch {
    #[serde(rename = "batchRequests")]
    requests: Vec<Subrequest>,
}

/// `composite/batch`: up to 25 calls that know nothing of each other.
pub(crate) fn batch(shared: &Shared, call: &Call, caller: &Caller) -> Result<Reply, ApiError> {
    let body: Batch = call.json()?;
    too_many(body.requests.len(), SUBREQUESTS_MAX)?;
    let results: Vec<Value> = body
        .requests
        .iter()
        .map(|request| {
            let url = format!("/services/data/{}", request.url.trim_start_matches('/'));
            let reply = subcall(shared, call, caller, &request.method, &url, &request.body);
            let result: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
            json!({"statusCode": reply.status, "result": result})
        })
        .collect();
    let has_errors =
        results.iter().any(|result| result["statusCode"].as_u64().is_some_and(|status| status >= 400));
    Ok(Reply::json(200, &json!({"hasErrors": has_errors, "results": results})))
}

fn subcall(shared: &Shared, outer: &Call, caller: &Caller, method: &str, url: &str, body: &Value) -> Reply {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let call = Call {
        method: method.to_ascii_uppercase(),
        parts: path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| super::decode(part, false))
            .collect(),
        query: super::pairs(query),
        headers: axum::http::HeaderMap::new(),
        body: if body.is_null() { Bytes::new() } else { body.to_string().into() },
        base: outer.base.clone(),
        repeat_rows: 0,
    };
    if call.parts.len() < 3 || call.parts[0] != "services" || call.parts[1] != "data" {
        return ApiError::not_found().into();
    }
    super::route(shared, &call, caller, "subrequest").unwrap_or_else(Reply::from)
}

/// Replaces `@{reference.path.to[0].value}`.
fn substitute(text: &str, known: &Map<String, Value>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("@{") {
        out.push_str(before);
        let Some((expression, tail)) = after.split_once('}') else {
            out.push_str("@{");
            rest = after;
            continue;
        };
        let pointer = format!("/{}", expression.replace(['.', '['], "/").replace(']', ""));
        let root = Value::Object(known.clone());
        match root.pointer(&pointer) {
            Some(value) => out.push_str(&crate::write::plain_text(value)),
            None => out.push_str(&format!("@{{{expression}}}")),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn substitute_all(value: &Value, known: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => substitute(text, known).into(),
        Value::Array(items) => items.iter().map(|item| substitute_all(item, known)).collect(),
        Value::Object(map) => Value::Object(
            map.iter().map(|(name, item)| (name.clone(), substitute_all(item, known))).collect(),
        ),
        other => other.clone(),
    }
}
