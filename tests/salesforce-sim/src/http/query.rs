//! The query resources: first pages, next pages, and the cursors between them.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::sync::Arc;

use serde_json::json;

use super::{Call, Reply};
use crate::Shared;
use crate::errors::ApiError;
use crate::org::Org;
use crate::soql::bind::{self, Output, Plan};
use crate::soql::{eval, parser, render};

/// How long a locator lives, in seconds of the org's clock.
const CURSOR_SECONDS: i64 = 2 * 86_400;

/// Queries that have pages left.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    open: HashMap<String, Cursor>,
    order: VecDeque<String>,
    made: u64,
}

#[derive(Debug, Clone)]
struct Cursor {
    plan: Arc<Plan>,
    rows: Arc<Vec<u32>>,
    page_size: usize,
    opened: i64,
}

impl Cursors {
    fn open(&mut self, cursor: Cursor, keep: usize) -> String {
        self.made += 1;
        let mut locator = *b"0r8xx0000000000000";
        crate::ids::write_base62(&mut locator[5..], self.made.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let locator = String::from_utf8_lossy(&locator).into_owned();
        self.open.insert(locator.clone(), cursor);
        self.order.push_back(locator.clone());
        while self.order.len() > keep.max(1) {
            if let Some(oldest) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
        locator
    }

    fn find(&self, locator: &str, now: i64) -> Option<Cursor> {
        self.open.get(locator).filter(|cursor| now - cursor.opened < CURSOR_SECONDS).cloned()
    }

    pub fn clear(&mut self) {
        self.open.clear();
        self.order.clear();
    }
}

/// `query?q=` and `queryAll?q=`
pub(crate) fn first(shared: &Shared, call: &Call, all_rows: bool) -> Result<Reply, ApiError> {
    let Some(text) = call.param("q") else {
        return Err(ApiError::bad("MALFORMED_QUERY", "A query string has to be specified"));
    };
    shared.tally().query(text);
    let parsed = parser::parse(text)?;
    let org = shared.org();
    let plan = bind::bind(&org, text, &parsed, all_rows)?;
    if call.param("columns").is_some_and(|columns| columns == "true") {
        return Ok(Reply::json(200, &columns(&org, &plan)));
    }
    let rows = eval::rows(&org, &plan);
    if plan.count_only {
        let body = json!({"totalSize": rows.len(), "done": true, "records": []});
        return Ok(Reply::json(200, &body));
    }
    let cursor = Cursor {
        page_size: page_size(&org, call, &plan),
        plan: Arc::new(plan),
        rows: Arc::new(rows),
        opened: org.clock.now(),
    };
    let locator = if cursor.rows.len() > cursor.page_size {
        Some(shared.cursors().open(cursor.clone(), org.file.cursors_max))
    } else {
        None
    };
    Ok(page(shared, &org, call, &cursor, locator.as_deref(), 0))
}

/// `query/0r8…-2000`
pub(crate) fn more(shared: &Shared, call: &Call, locator: &str) -> Result<Reply, ApiError> {
    let gone = || ApiError::bad("INVALID_QUERY_LOCATOR", "invalid query locator");
    let (name, from) = locator.split_once('-').ok_or_else(gone)?;
    let from: usize = from.parse().map_err(|_| gone())?;
    let org = shared.org();
    let cursor = shared.cursors().find(name, org.clock.now()).ok_or_else(gone)?;
    if from > cursor.rows.len() {
        return Err(gone());
    }
    Ok(page(shared, &org, call, &cursor, Some(name), from))
}

/// The server's choice: smaller with a long text field, and a hint may lower it.
fn page_size(org: &Org, call: &Call, plan: &Plan) -> usize {
    let own = if plan.selects_long_text {
        org.file.page_size.min(org.file.long_text_page_size)
    } else {
        org.file.page_size
    };
    let hint = call
        .header("sforce-query-options")
        .and_then(|options| options.split([',', ';']).find_map(|one| one.trim().strip_prefix("batchSize=")))
        .and_then(|size| size.trim().parse::<usize>().ok())
        .filter(|size| (200..=2000).contains(size));
    hint.map_or(own, |hint| own.min(hint))
}

fn page(
    shared: &Shared,
    org: &Org,
    call: &Call,
    cursor: &Cursor,
    locator: Option<&str>,
    from: usize,
) -> Reply {
    let version = call.version().unwrap_or_default();
    let to = cursor.rows.len().min(from + cursor.page_size);
    let done = to == cursor.rows.len();
    let mut body = Vec::with_capacity(256 + (to - from) * 600);
    let _ = write!(body, "{{\"totalSize\":{},\"done\":{done},", cursor.rows.len());
    if let (false, Some(locator)) = (done, locator) {
        let _ = write!(body, "\"nextRecordsUrl\":\"/services/data/v{version}.0/query/{locator}-{to}\",");
    }
    body.extend_from_slice(b"\"records\":[");
    // A fault may serve rows again: the ones before this page, or its own first ones.
    let repeat = call.repeat_rows.min(if from > 0 { from } else { to });
    let again = if from > 0 { from - repeat..from } else { 0..repeat };
    let mut written = 0;
    for at in again.chain(from..to) {
        if written > 0 {
            body.push(b',');
        }
        written += 1;
        render::row(org, &cursor.plan, cursor.rows[at], version, &mut body);
    }
    body.extend_from_slice(b"]}");
    shared.tally().page(&org.shape(cursor.plan.object).name, written);
    Reply::raw(200, body)
}

/// What `columns=true` asks for: the shape of the answer instead of the answer.
fn columns(org: &Org, plan: &Plan) -> serde_json::Value {
    let shape = org.shape(plan.object);
    json!({
        "columnMetadata": describe_outputs(org, plan.object, &plan.outputs),
        "entityName": shape.name,
        "groupBy": false,
        "idSelected": plan.outputs.iter().any(|output| matches!(output, Output::Field { name, .. } if &**name == "Id")),
        "keyPrefix": shape.key_prefix,
    })
}

fn describe_outputs(org: &Org, object: usize, outputs: &[Output]) -> Vec<serde_json::Value> {
    let column = |name: &str, label: &str, kind: &str, foreign: &str, inner: Vec<serde_json::Value>| {
        json!({
            "aggregate": false, "apexType": kind, "booleanType": kind == "boolean", "columnName": name,
            "custom": name.ends_with("__c"), "displayName": label, "foreignKeyName": (!foreign.is_empty()).then_some(foreign),
            "insertable": true, "joinColumns": inner, "numberType": matches!(kind, "double" | "currency" | "percent" | "int"),
            "textType": !matches!(kind, "double" | "currency" | "percent" | "int" | "boolean"), "updatable": true,
        })
    };
    outputs
        .iter()
        .map(|output| match output {
            Output::Field { name, col, kind } => {
                column(name, &org.shape(object).fields[*col].label, kind.name(), "", Vec::new())
            }
            Output::Parent { name, object, outputs, .. } => {
                column(name, name, "reference", name, describe_outputs(org, *object, outputs))
            }
            Output::Child { name, plan, .. } => {
                column(name, name, "reference", "", describe_outputs(org, plan.object, &plan.outputs))
            }
        })
        .collect()
}
