//! The org as a test holds it: rows by name and JSON, the clock, the schema.

use dealsync_core::ids::SfId;
use serde_json::{Map, Value};

use crate::errors::ApiError;
use crate::org::{Edit, Org};
use crate::orgfile::CustomField;
use crate::schema::SchemaError;
use crate::soql::{bind, eval, parser, render};
use crate::{Sim, ids};

/// Edits run as the org's administrator, outside permissions: required fields,
/// restricted values and references are not checked, audit fields may be set.
#[derive(Debug, Clone)]
pub struct OrgHandle {
    sim: Sim,
    actor: Option<SfId>,
    stamp: Option<i64>,
}

impl OrgHandle {
    pub(crate) fn new(sim: Sim) -> Self {
        Self { sim, actor: None, stamp: None }
    }

    /// The same, as the user with this name.
    pub fn as_user(mut self, username: &str) -> Self {
        self.actor = self.sim.read(|org| {
            let at = org.schema.find("User")?;
            org.user_by_name(username).map(|row| org.tables[at].id(row))
        });
        self
    }

    /// The same, with every change carrying this second instead of the clock's: how a
    /// transaction that commits late looks.
    pub fn stamped(mut self, at: i64) -> Self {
        self.stamp = Some(at);
        self
    }

    fn edit(&self, org: &Org) -> Edit {
        Edit { actor: self.actor.unwrap_or(org.admin), api: false, stamp: self.stamp }
    }

    fn act<T>(
        &self,
        object: &str,
        act: impl FnOnce(&mut Org, usize, Edit) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        self.sim.change(|org| {
            let edit = self.edit(org);
            let at = org.object(object)?;
            act(org, at, edit)
        })
    }

    /// Adds a row. `fields` is a JSON object.
    pub fn insert(&self, object: &str, fields: Value) -> Result<SfId, ApiError> {
        self.act(object, |org, at, edit| org.insert(at, &map(fields), &edit))
    }

    pub fn update(&self, object: &str, id: SfId, fields: Value) -> Result<(), ApiError> {
        self.act(object, |org, at, edit| org.update(at, id, &map(fields), &edit))
    }

    pub fn delete(&self, object: &str, id: SfId) -> Result<(), ApiError> {
        self.act(object, |org, at, edit| org.delete(at, id, &edit))
    }

    pub fn undelete(&self, object: &str, id: SfId) -> Result<(), ApiError> {
        self.act(object, |org, at, edit| org.undelete(at, id, &edit))
    }

    /// Empties the recycle bin of this row: afterwards only the deleted endpoint knows it.
    pub fn purge(&self, object: &str, id: SfId) -> Result<(), ApiError> {
        self.act(object, |org, at, edit| {
            let row = org.tables[at].row(id).ok_or_else(ApiError::not_found)?;
            if org.tables[at].live(row) {
                org.delete(at, id, &edit)?;
            }
            org.tables[at].purge(row);
            Ok(())
        })
    }

    /// Sharing keeps the row from the integration user, or shows it again. Leaves no stamp.
    pub fn set_hidden(&self, object: &str, id: SfId, hidden: bool) -> Result<(), ApiError> {
        self.act(object, |org, at, _| {
            let row = org.tables[at].row(id).ok_or_else(ApiError::not_found)?;
            org.tables[at].set_hidden(row, hidden);
            Ok(())
        })
    }

    /// Runs a query and returns its records, without paging.
    pub fn query(&self, soql: &str) -> Result<Vec<Value>, ApiError> {
        self.sim.read(|org| {
            let plan = bind::bind(org, soql, &parser::parse(soql)?, false)?;
            let version = org.file.org.versions.last;
            Ok(eval::rows(org, &plan)
                .into_iter()
                .map(|row| {
                    let mut text = Vec::new();
                    render::row(org, &plan, row, version, &mut text);
                    serde_json::from_slice(&text).expect("rendered rows are JSON")
                })
                .collect())
        })
    }

    /// The id of the first row of `object` whose `field` is this text.
    pub fn find(&self, object: &str, field: &str, text: &str) -> Option<SfId> {
        let text = text.replace('\\', "\\\\").replace('\'', "\\'");
        let rows = self.query(&format!("SELECT Id FROM {object} WHERE {field} = '{text}' LIMIT 1")).ok()?;
        ids::parse(rows.first()?["Id"].as_str()?)
    }

    /// Live rows of an object, hidden ones included.
    pub fn count(&self, object: &str) -> usize {
        self.sim.read(|org| {
            org.schema.find(object).map_or(0, |at| {
                let table = &org.tables[at];
                (0..table.len()).filter(|row| table.live(*row)).count()
            })
        })
    }

    pub fn hide_field(&self, object: &str, field: &str) -> Result<(), SchemaError> {
        self.sim.change(|org| org.set_field_hidden(object, field, true))
    }

    pub fn show_field(&self, object: &str, field: &str) -> Result<(), SchemaError> {
        self.sim.change(|org| org.set_field_hidden(object, field, false))
    }

    pub fn add_field(&self, field: &CustomField) -> Result<(), SchemaError> {
        self.sim.change(|org| org.add_field(field))
    }

    pub fn now(&self) -> i64 {
        self.sim.read(|org| org.clock.now())
    }

    /// Stops the clock at this second of the epoch.
    pub fn stop_clock_at(&self, at: i64) {
        self.sim.read(|org| org.clock.stop_at(at));
    }

    pub fn advance_clock(&self, seconds: i64) {
        self.sim.read(|org| org.clock.advance(seconds));
    }
}

fn map(fields: Value) -> Map<String, Value> {
    match fields {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
