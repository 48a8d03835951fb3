//! Rows to JSON text, written straight into the answer's buffer.

use std::io::Write as _;

use super::bind::{Output, Plan};
use super::eval;
use crate::org::Org;
use crate::rows::Cell;
use crate::schema::Kind;
use crate::when;

/// Appends one row: its attributes, then the plan's outputs. `version` is the number
/// in the row's url.
pub fn row(org: &Org, plan: &Plan, row: u32, version: u32, out: &mut Vec<u8>) {
    record(org, plan.object, &plan.outputs, row, version, plan.all_rows, out);
}

fn record(
    org: &Org,
    object: usize,
    outputs: &[Output],
    row: u32,
    version: u32,
    all_rows: bool,
    out: &mut Vec<u8>,
) {
    let table = &org.tables[object];
    let id = table.id(row);
    attributes(org, object, id.as_str(), version, out);
    for output in outputs {
        out.extend_from_slice(b",\"");
        match output {
            Output::Field { name, col, kind } => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                cell(*kind, table.cell(row, *col), out);
            }
            Output::Parent { name, col, object, outputs } => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                let parents = &org.tables[*object];
                let parent = table.cell(row, *col).as_id().and_then(|id| {
                    if all_rows {
                        parents.row(id).filter(|row| !parents.hidden(*row))
                    } else {
                        parents.readable(id)
                    }
                });
                match parent {
                    Some(parent) => record(org, *object, outputs, parent, version, all_rows, out),
                    None => out.extend_from_slice(b"null"),
                }
            }
            Output::Child { name, link, plan } => {
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                children(org, plan, *link, id, version, out);
            }
        }
    }
    out.push(b'}');
}

fn children(
    org: &Org,
    plan: &Plan,
    link: usize,
    parent: dealsync_core::ids::SfId,
    version: u32,
    out: &mut Vec<u8>,
) {
    let rows = eval::children(org, plan, link, parent);
    if rows.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    let _ = write!(out, "{{\"totalSize\":{},\"done\":true,\"records\":[", rows.len());
    for (at, child) in rows.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        row(org, plan, child, version, out);
    }
    out.extend_from_slice(b"]}");
}

/// Opens a record: `{"attributes":{…}`.
pub fn attributes(org: &Org, object: usize, id: &str, version: u32, out: &mut Vec<u8>) {
    let name = org.shape(object).name.as_bytes();
    out.extend_from_slice(b"{\"attributes\":{\"type\":\"");
    out.extend_from_slice(name);
    let _ = write!(out, "\",\"url\":\"/services/data/v{version}.0/sobjects/");
    out.extend_from_slice(name);
    out.push(b'/');
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(b"\"}");
}

pub fn cell(kind: Kind, cell: &Cell, out: &mut Vec<u8>) {
    match cell {
        Cell::Null if kind == Kind::Boolean => out.extend_from_slice(b"false"),
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Cell::Num(number) if kind == Kind::Int => {
            let _ = write!(out, "{}", *number as i64);
        }
        // `15000.0`: doubles keep their point.
        Cell::Num(number) => {
            let _ = write!(out, "{number:?}");
        }
        Cell::Text(text) => string(text, out),
        Cell::Id(id) => {
            out.push(b'"');
            out.extend_from_slice(id.as_str().as_bytes());
            out.push(b'"');
        }
        Cell::Date(days) => {
            out.push(b'"');
            when::write_date(out, i64::from(*days));
            out.push(b'"');
        }
        Cell::Stamp(at) => {
            out.push(b'"');
            when::write_stamp(out, *at);
            out.push(b'"');
        }
    }
}

pub fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => {
                out.extend_from_slice(&bytes[plain..at]);
                let _ = write!(out, "\\u{byte:04x}");
                plain = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..at]);
        out.extend_from_slice(escape);
        plain = at + 1;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}
