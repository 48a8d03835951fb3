//! One org: its schema, its rows and what happens when a row changes. Whoever calls
//! holds the lock; nothing here knows about HTTP.

use dealsync_core::ids::SfId;
use serde_json::{Map, Value};

use crate::clock::Clock;
use crate::errors::ApiError;
use crate::orgfile::{CustomField, OrgFile};
use crate::rows::{Cell, Table};
use crate::schema::{Object, Schema, SchemaError};
use crate::write::{self, Assignment};
use crate::{ids, lifecycle, when};

#[derive(Debug)]
pub struct Org {
    pub schema: Schema,
    pub tables: Vec<Table>,
    pub clock: Clock,
    pub file: OrgFile,
    pub id: SfId,
    /// The user that background work and unnamed edits run as.
    pub admin: SfId,
    /// When the schema last changed, for `last-modified` of describes.
    pub schema_changed: i64,
    /// Counts schema changes, for `etag`.
    pub schema_version: u64,
}

/// Data that was made for other fields than the org file has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the org file has no field {object}.{field}, which these data need")]
pub struct SchemaMismatch {
    pub object: String,
    pub field: String,
}

/// Who changes a row and how strictly it is checked.
#[derive(Debug, Clone, Copy)]
pub struct Edit {
    pub actor: SfId,
    /// Through the API: create and update permissions, required fields, references and
    /// restricted values are checked, and hidden fields cannot be named. Without it only
    /// types are.
    pub api: bool,
    /// The second the change carries; the clock's, when absent. An earlier one is how a
    /// long transaction looks from outside.
    pub stamp: Option<i64>,
}

impl Org {
    pub fn new(file: OrgFile) -> Result<Self, SchemaError> {
        let mut schema = Schema::shipped();
        for field in &file.fields {
            schema.add(field)?;
        }
        for name in &file.hidden_fields {
            let (object, field) = name.split_once('.').unwrap_or((name, ""));
            schema.set_hidden(object, field, true)?;
        }
        let clock = Clock::new(file.clock.as_deref().and_then(when::parse_stamp));
        let tables = schema.objects.iter().map(Table::new).collect();
        let schema_changed = clock.now() - 86_400;
        let id = ids::parse(&file.org.id).expect("checked when the org file was read");
        let admin = ids::make("005", 1_000_001);
        let mut org = Self { schema, tables, clock, file, id, admin, schema_changed, schema_version: 1 };
        org.seed_people();
        Ok(org)
    }

    /// The organisation's own row and its users.
    fn seed_people(&mut self) {
        let section = self.file.org.clone();
        let created = self.clock.now() - 400 * 86_400;
        let edit = Edit { actor: self.admin, api: false, stamp: Some(created) };
        let at = self.schema.find("Organization").expect("shipped");
        let fields = object_map([
            ("Id", self.id.as_str().into()),
            ("Name", section.name.into()),
            ("OrganizationType", section.edition.into()),
            ("InstanceName", section.instance.into()),
            ("IsSandbox", section.sandbox.into()),
            ("FiscalYearStartMonth", 1.into()),
            ("LanguageLocaleKey", "en_US".into()),
            ("TimeZoneSidKey", "GMT".into()),
        ]);
        self.insert(at, &fields, &edit).expect("the organisation's row is ours");
        let at = self.schema.find("User").expect("shipped");
        for user in self.file.users() {
            let email = user.email.unwrap_or_else(|| user.username.clone());
            let fields = object_map([
                ("Username", user.username.into()),
                ("Email", email.into()),
                ("FirstName", user.first.into()),
                ("LastName", user.last.into()),
                ("IsActive", user.active.into()),
                ("UserType", "Standard".into()),
            ]);
            self.insert(at, &fields, &edit).expect("users of the org file are text");
        }
    }

    /// The number of an object, or the service's answer for one it does not have.
    pub fn object(&self, name: &str) -> Result<usize, ApiError> {
        self.schema.find(name).ok_or_else(ApiError::not_found)
    }

    pub fn shape(&self, at: usize) -> &Object {
        &self.schema.objects[at]
    }

    pub fn user_by_name(&self, username: &str) -> Option<u32> {
        let at = self.schema.find("User").expect("shipped");
        let col = self.shape(at).col("Username").expect("shipped");
        self.tables[at].with_key(col, username).first().copied()
    }

    /// Adds a row and returns its id.
    pub fn insert(&mut self, at: usize, fields: &Map<String, Value>, edit: &Edit) -> Result<SfId, ApiError> {
        let assigned = write::read_fields(self, at, fields, edit, None)?;
        let id = match fields.get("Id").and_then(Value::as_str).filter(|_| !edit.api).and_then(ids::parse) {
            Some(id) if self.tables[at].row(id).is_some() => {
                return Err(ApiError::bad("DUPLICATE_VALUE", format!("there is a row {id} already")));
            }
            Some(id) => id,
            None => self.tables[at].next_id(),
        };
        let row = self.tables[at].push(id);
        self.assign_defaults(at, row, &assigned, edit);
        self.assign(at, row, &assigned);
        lifecycle::after_write(self, at, row, &assigned, true, edit);
        Ok(id)
    }

    pub fn update(
        &mut self,
        at: usize,
        id: SfId,
        fields: &Map<String, Value>,
        edit: &Edit,
    ) -> Result<(), ApiError> {
        let row = self.writable(at, id)?;
        let assigned = write::read_fields(self, at, fields, edit, Some(row))?;
        self.touch(at, row, edit);
        self.assign(at, row, &assigned);
        lifecycle::after_write(self, at, row, &assigned, false, edit);
        Ok(())
    }

    /// Moves a row to the recycle bin, and what hangs on it.
    pub fn delete(&mut self, at: usize, id: SfId, edit: &Edit) -> Result<(), ApiError> {
        let row = self.writable(at, id)?;
        lifecycle::delete(self, at, row, edit);
        Ok(())
    }

    /// Brings a row back from the recycle bin, and what went there with it.
    pub fn undelete(&mut self, at: usize, id: SfId, edit: &Edit) -> Result<(), ApiError> {
        let row = self.tables[at].row(id).filter(|row| self.tables[at].deleted(*row));
        let row = row.ok_or_else(|| ApiError::bad("UNDELETE_FAILED", "Entity is not in the recycle bin"))?;
        lifecycle::undelete(self, at, row, edit);
        Ok(())
    }

    /// A row that may be changed: there, not deleted, not hidden.
    pub fn writable(&self, at: usize, id: SfId) -> Result<u32, ApiError> {
        let table = &self.tables[at];
        match table.row(id) {
            Some(row) if table.deleted(row) => {
                Err(ApiError::bad("ENTITY_IS_DELETED", "entity is deleted").status(404))
            }
            Some(row) => Ok(row),
            None => Err(ApiError::not_found()),
        }
    }

    fn assign_defaults(&mut self, at: usize, row: u32, assigned: &[Assignment], edit: &Edit) {
        let stamp = edit.stamp.unwrap_or_else(|| self.clock.now());
        let shape = &self.schema.objects[at];
        let table = &mut self.tables[at];
        for (col, field) in shape.fields.iter().enumerate() {
            let cell = match field.name.as_str() {
                "CreatedDate" | "LastModifiedDate" | "SystemModstamp" => Cell::Stamp(stamp),
                "CreatedById" | "LastModifiedById" | "OwnerId" => Cell::Id(edit.actor),
                _ if assigned.iter().any(|(own, _)| *own == col) => continue,
                _ => match (&field.default_value, field.picklist_values.iter().find(|pick| pick.3)) {
                    (Value::Bool(true), _) => Cell::Bool(true),
                    (Value::String(text), _) => Cell::text(text),
                    (_, Some(pick)) if field.defaulted_on_create || field.custom => Cell::text(&pick.0),
                    _ => continue,
                },
            };
            table.set(row, col, cell);
        }
    }

    fn assign(&mut self, at: usize, row: u32, assigned: &[Assignment]) {
        for (col, cell) in assigned {
            self.tables[at].set(row, *col, cell.clone());
        }
    }

    /// Marks a row as changed now, by this actor.
    pub fn touch(&mut self, at: usize, row: u32, edit: &Edit) {
        let stamp = edit.stamp.unwrap_or_else(|| self.clock.now());
        self.set_named(at, row, "LastModifiedDate", Cell::Stamp(stamp));
        self.set_named(at, row, "SystemModstamp", Cell::Stamp(stamp));
        self.set_named(at, row, "LastModifiedById", Cell::Id(edit.actor));
    }

    /// Sets a field if the object has it.
    pub fn set_named(&mut self, at: usize, row: u32, name: &str, cell: Cell) {
        if let Some(col) = self.schema.objects[at].col(name) {
            self.tables[at].set(row, col, cell);
        }
    }

    pub fn named(&self, at: usize, row: u32, name: &str) -> &Cell {
        match self.schema.objects[at].col(name) {
            Some(col) => self.tables[at].cell(row, col),
            None => &Cell::Null,
        }
    }

    /// All rows as they are, to return to when a call undoes itself.
    pub fn snapshot(&self) -> Vec<Table> {
        self.tables.clone()
    }

    pub fn restore(&mut self, tables: Vec<Table>) {
        self.tables = tables;
    }

    pub fn add_field(&mut self, field: &CustomField) -> Result<(), SchemaError> {
        let (at, col) = self.schema.add(field)?;
        self.tables[at].add_column(&self.schema.objects[at], col);
        self.schema_moved();
        Ok(())
    }

    pub fn set_field_hidden(&mut self, object: &str, field: &str, hidden: bool) -> Result<(), SchemaError> {
        self.schema.set_hidden(object, field, hidden)?;
        self.schema_moved();
        Ok(())
    }

    fn schema_moved(&mut self) {
        self.schema_version += 1;
        // A second later at least, or `If-Modified-Since` could not see it.
        self.schema_changed = self.clock.now().max(self.schema_changed + 1);
    }
}

fn object_map<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
