//! Loads rows from a folder: the JSON files of `sf data tree`, with their plans and
//! `@references`, and CSV files named after their object.
//!
//! A CSV file may have a column `@ref` that names its rows, and any cell of a reference
//! column may then say `@name`. Columns `@state` (`deleted` or `hidden`) put a row into
//! the recycle bin or out of sight after everything is loaded, without cascade: that is
//! how a role comes to point at a contact nobody can read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dealsync_core::ids::SfId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::org::{Edit, Org};

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{file}: {message}")]
    Malformed { file: String, message: String },
    #[error("{file}, row {row}: {message}")]
    Row { file: String, row: usize, message: String },
}

/// Parents before children; files of other objects come after these.
const ORDER: [&str; 6] = ["User", "Account", "Contact", "Lead", "Opportunity", "OpportunityContactRole"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlanStep {
    sobject: String,
    files: Vec<String>,
}

#[derive(Deserialize)]
struct Tree {
    records: Vec<Map<String, Value>>,
}

/// A row as a file has it.
#[derive(Debug, Default)]
struct Raw {
    object: String,
    name: Option<String>,
    state: Option<String>,
    fields: Map<String, Value>,
    file: String,
    line: usize,
}

/// Loads everything in a folder. With a plan the plan's files come first, in its order.
pub fn folder(org: &mut Org, dir: &Path) -> Result<usize, LoadError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Unreadable { path, source }
    };
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable(dir))? {
        let entry = entry.map_err(unreadable(dir))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    let mut files = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".csv") || name.ends_with(".json")) {
        let path = dir.join(name);
        files.push((name.clone(), std::fs::read_to_string(&path).map_err(unreadable(&path))?));
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    texts(org, &files)
}

/// Loads files given as name and text. Returns how many rows came in.
pub fn texts(org: &mut Org, files: &[(&str, &str)]) -> Result<usize, LoadError> {
    let mut rows: Vec<Raw> = Vec::new();
    let mut planned: Vec<&str> = Vec::new();
    for (name, text) in files.iter().filter(|(name, _)| name.ends_with("plan.json")) {
        let steps: Vec<PlanStep> = json(name, text)?;
        for step in steps {
            for file in &step.files {
                let found = files.iter().find(|(own, _)| own == file);
                let (name, text) = found.ok_or_else(|| LoadError::Malformed {
                    file: (*name).to_owned(),
                    message: format!("names {file}, which is not there"),
                })?;
                planned.push(name);
                tree(name, text, &step.sobject, &mut rows)?;
            }
        }
    }
    for (name, text) in files {
        if name.ends_with("plan.json") || planned.contains(name) {
            continue;
        }
        match name.rsplit_once('.') {
            Some((object, "csv")) => table(name, text, object, &mut rows)?,
            Some((_, "json")) => tree(name, text, "", &mut rows)?,
            _ => {}
        }
    }
    if planned.is_empty() {
        let place = |object: &str| {
            ORDER.iter().position(|own| own.eq_ignore_ascii_case(object)).unwrap_or(ORDER.len())
        };
        rows.sort_by_key(|row| place(&row.object));
    }
    insert_all(org, rows)
}

fn json<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, LoadError> {
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| LoadError::Malformed { file: file.to_owned(), message: error.to_string() })
}

fn tree(file: &str, text: &str, object: &str, rows: &mut Vec<Raw>) -> Result<(), LoadError> {
    let tree: Tree = json(file, text)?;
    for (at, record) in tree.records.into_iter().enumerate() {
        tree_record(file, at + 1, record, object, None, rows)?;
    }
    Ok(())
}

/// A record of a tree and the children nested in it.
fn tree_record(
    file: &str,
    line: usize,
    mut record: Map<String, Value>,
    object: &str,
    parent: Option<&str>,
    rows: &mut Vec<Raw>,
) -> Result<(), LoadError> {
    let attributes = record.remove("attributes").unwrap_or_default();
    let object = attributes["type"].as_str().unwrap_or(object).to_owned();
    if object.is_empty() {
        return Err(LoadError::Row {
            file: file.to_owned(),
            row: line,
            message: "has no attributes.type".to_owned(),
        });
    }
    let name =
        attributes["referenceId"].as_str().map_or_else(|| format!("{file}#{}", rows.len()), str::to_owned);
    let text = |key: &str| attributes[key].as_str().map(str::to_owned);
    let mut children = Vec::new();
    let mut fields = Map::new();
    for (key, value) in record {
        match value.get("records").and_then(Value::as_array) {
            Some(nested) => children.extend(nested.iter().filter_map(|one| one.as_object().cloned())),
            None => {
                fields.insert(key, value);
            }
        }
    }
    if let Some(parent) = parent {
        fields.insert("@parent".to_owned(), parent.into());
    }
    let raw =
        Raw { object, name: Some(name.clone()), state: text("state"), fields, file: file.to_owned(), line };
    rows.push(raw);
    for child in children {
        tree_record(file, line, child, "", Some(&name), rows)?;
    }
    Ok(())
}

fn table(file: &str, text: &str, object: &str, rows: &mut Vec<Raw>) -> Result<(), LoadError> {
    let malformed =
        |error: csv::Error| LoadError::Malformed { file: file.to_owned(), message: error.to_string() };
    let mut reader = csv::Reader::from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let headers = reader.headers().map_err(malformed)?.clone();
    for record in reader.records() {
        let record = record.map_err(malformed)?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        let mut raw = Raw { object: object.to_owned(), file: file.to_owned(), line, ..Raw::default() };
        for (header, value) in headers.iter().zip(&record) {
            match header.trim() {
                _ if value.is_empty() => {}
                "@ref" => raw.name = Some(value.trim_start_matches('@').to_owned()),
                "@state" => raw.state = Some(value.to_owned()),
                header => {
                    raw.fields.insert(header.to_owned(), value.into());
                }
            }
        }
        rows.push(raw);
    }
    Ok(())
}

fn insert_all(org: &mut Org, rows: Vec<Raw>) -> Result<usize, LoadError> {
    let edit = Edit { actor: org.admin, api: false, stamp: None };
    let mut known: HashMap<String, (usize, SfId)> = HashMap::new();
    let mut states: Vec<(usize, SfId, String)> = Vec::new();
    let count = rows.len();
    for mut raw in rows {
        let (file, line) = (raw.file.clone(), raw.line);
        let wrong = |message: String| LoadError::Row { file: file.clone(), row: line, message };
        let at = org
            .schema
            .find(&raw.object)
            .ok_or_else(|| wrong(format!("there is no object {:?} in this simulator", raw.object)))?;
        if let Some(Value::String(parent)) = raw.fields.remove("@parent") {
            let (object, id) = known[&parent];
            let relation =
                org.shape(object).child_relationships.iter().find(|own| {
                    own.child.eq_ignore_ascii_case(&raw.object) && own.relationship_name.is_some()
                });
            let field = relation.map(|relation| relation.field.clone());
            let field = field.ok_or_else(|| wrong(format!("{} is no child of its parent", raw.object)))?;
            raw.fields.insert(field, id.as_str().into());
        }
        for (name, value) in &mut raw.fields {
            let Some(reference) = value.as_str().and_then(|text| text.strip_prefix('@')) else { continue };
            let is_reference =
                org.shape(at).col(name).is_some_and(|col| !org.shape(at).fields[col].reference_to.is_empty());
            if is_reference {
                let (_, id) = known
                    .get(reference)
                    .ok_or_else(|| wrong(format!("{name} refers to @{reference}, which is not there")))?;
                *value = id.as_str().into();
            }
        }
        let id = org.insert(at, &raw.fields, &edit).map_err(|error| wrong(error.to_string()))?;
        if let Some(name) = raw.name {
            known.insert(name, (at, id));
        }
        if let Some(state) = raw.state {
            states.push((at, id, state));
        }
    }
    for (at, id, state) in states {
        let Some(row) = org.tables[at].row(id) else { continue };
        match state.as_str() {
            "deleted" => org.tables[at].set_deleted(row, true),
            "hidden" => org.tables[at].set_hidden(row, true),
            other => {
                let message = format!("@state is {other:?}; it may be deleted or hidden");
                return Err(LoadError::Malformed { file: org.shape(at).name.clone(), message });
            }
        }
    }
    Ok(count)
}
