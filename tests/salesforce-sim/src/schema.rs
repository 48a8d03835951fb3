//! Objects and fields: the shapes recorded from a real org plus the org file's own
//! custom fields. Column numbers never change while an org lives: fields are only
//! added, and hiding one is a mark on it.

use std::collections::HashMap;

use serde::Deserialize;

use crate::orgfile::CustomField;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Id,
    Boolean,
    String,
    Textarea,
    Picklist,
    Multipicklist,
    Combobox,
    Email,
    Phone,
    Url,
    Reference,
    Double,
    Currency,
    Percent,
    Int,
    Date,
    Datetime,
    Address,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Textarea => "textarea",
            Self::Picklist => "picklist",
            Self::Multipicklist => "multipicklist",
            Self::Combobox => "combobox",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Url => "url",
            Self::Reference => "reference",
            Self::Double => "double",
            Self::Currency => "currency",
            Self::Percent => "percent",
            Self::Int => "int",
            Self::Date => "date",
            Self::Datetime => "datetime",
            Self::Address => "address",
        }
    }

    pub fn is_text(self) -> bool {
        matches!(
            self,
            Self::String
                | Self::Textarea
                | Self::Picklist
                | Self::Multipicklist
                | Self::Combobox
                | Self::Email
                | Self::Phone
                | Self::Url
        )
    }

    pub fn is_number(self) -> bool {
        matches!(self, Self::Double | Self::Currency | Self::Percent | Self::Int)
    }

    pub fn is_id(self) -> bool {
        matches!(self, Self::Id | Self::Reference)
    }

    fn soap(self) -> &'static str {
        match self {
            Self::Id | Self::Reference => "tns:ID",
            Self::Boolean => "xsd:boolean",
            Self::Double | Self::Currency | Self::Percent => "xsd:double",
            Self::Int => "xsd:int",
            Self::Date => "xsd:date",
            Self::Datetime => "xsd:dateTime",
            Self::Address => "urn:address",
            _ => "xsd:string",
        }
    }
}

/// One picklist value: value, label, active, default.
#[derive(Debug, Clone, Deserialize)]
pub struct Pick(pub String, pub String, pub bool, pub bool);

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Field {
    pub name: String,
    pub label: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(default)]
    pub length: u32,
    #[serde(default)]
    pub byte_length: u32,
    #[serde(default)]
    pub precision: u32,
    #[serde(default)]
    pub scale: u32,
    #[serde(default)]
    pub digits: u32,
    #[serde(default)]
    pub nillable: bool,
    #[serde(default)]
    pub createable: bool,
    #[serde(default)]
    pub updateable: bool,
    #[serde(default)]
    pub defaulted_on_create: bool,
    #[serde(default)]
    pub calculated: bool,
    #[serde(default)]
    pub unique: bool,
    #[serde(default)]
    pub case_sensitive: bool,
    #[serde(default)]
    pub external_id: bool,
    #[serde(default)]
    pub id_lookup: bool,
    #[serde(default)]
    pub restricted_picklist: bool,
    #[serde(default)]
    pub name_field: bool,
    #[serde(default)]
    pub auto_number: bool,
    #[serde(default)]
    pub cascade_delete: bool,
    #[serde(default)]
    pub restricted_delete: bool,
    #[serde(default)]
    pub name_pointing: bool,
    #[serde(default)]
    pub polymorphic_foreign_key: bool,
    #[serde(default)]
    pub permissionable: bool,
    #[serde(default)]
    pub groupable: bool,
    #[serde(default)]
    pub filterable: bool,
    #[serde(default)]
    pub sortable: bool,
    #[serde(default)]
    pub aggregatable: bool,
    #[serde(default)]
    pub html_formatted: bool,
    #[serde(default)]
    pub default_value: serde_json::Value,
    #[serde(default)]
    pub soap_type: String,
    #[serde(default)]
    pub compound_field_name: Option<String>,
    #[serde(default)]
    pub extra_type_info: Option<String>,
    #[serde(default)]
    pub picklist_values: Vec<Pick>,
    #[serde(default)]
    pub reference_to: Vec<String>,
    #[serde(default)]
    pub relationship_name: Option<String>,
    #[serde(skip)]
    pub custom: bool,
    /// Field-level security hides it from the integration user.
    #[serde(skip)]
    pub hidden: bool,
}

impl Field {
    pub fn required(&self) -> bool {
        !self.nillable && !self.defaulted_on_create && self.createable
    }

    /// A text area beyond 255 characters: such fields cannot be filtered or sorted by,
    /// and shrink the pages of queries that select them.
    pub fn long_text(&self) -> bool {
        self.kind == Kind::Textarea && self.length > 255
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChildRelationship {
    #[serde(rename = "childSObject")]
    pub child: String,
    pub field: String,
    pub relationship_name: Option<String>,
    pub cascade_delete: bool,
    pub restricted_delete: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Object {
    pub name: String,
    pub label: String,
    pub label_plural: String,
    pub key_prefix: String,
    pub flags: Vec<String>,
    pub child_relationships: Vec<ChildRelationship>,
    pub fields: Vec<Field>,
    #[serde(skip)]
    by_name: HashMap<String, usize>,
}

impl Object {
    pub fn flag(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }

    /// The column of a field spelt exactly so, hidden or not.
    pub fn col(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied().or_else(|| self.by_name.get(&name.to_ascii_lowercase()).copied())
    }

    /// The column of a field the integration user can see, in any spelling.
    pub fn visible(&self, name: &str) -> Option<usize> {
        self.col(name).filter(|col| !self.fields[*col].hidden)
    }

    /// The reference column behind a relationship name such as `Account` or `Owner`.
    pub fn relationship(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| {
            !field.hidden
                && field.relationship_name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
        })
    }

    fn add(&mut self, field: Field) {
        let col = self.fields.len();
        self.by_name.insert(field.name.clone(), col);
        self.by_name.insert(field.name.to_ascii_lowercase(), col);
        self.fields.push(field);
    }
}

#[derive(Debug, Clone)]
pub struct Schema {
    pub objects: Vec<Object>,
    by_name: HashMap<String, usize>,
}

const SHIPPED: [&str; 7] = [
    include_str!("../data/Account.json"),
    include_str!("../data/Contact.json"),
    include_str!("../data/Lead.json"),
    include_str!("../data/Opportunity.json"),
    include_str!("../data/OpportunityContactRole.json"),
    include_str!("../data/User.json"),
    include_str!("../data/Organization.json"),
];

/// Why an org file's field cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("field {field}: there is no object {object:?}; the simulator has {known}")]
    UnknownObject { object: String, field: String, known: String },
    #[error("{object} already has a field {field}")]
    Twice { object: String, field: String },
    #[error("{object}.{field} is hidden, but there is no such field")]
    NothingToHide { object: String, field: String },
    #[error("{object}.{field} has type {kind:?}, which is none of {KINDS}")]
    UnknownKind { object: String, field: String, kind: String },
    #[error("{object}.{field}: names of custom fields end in __c")]
    NotCustom { object: String, field: String },
}

const KINDS: &str = "checkbox, text, textarea, longtextarea, picklist, multipicklist, email, phone, url, lookup, \
                     number, currency, percent, int, date, datetime";

impl Schema {
    /// The objects as shipped, without custom fields.
    pub fn shipped() -> Self {
        let mut schema = Self { objects: Vec::new(), by_name: HashMap::new() };
        for text in SHIPPED {
            let mut object: Object =
                serde_json::from_str(text).expect("shipped schema files are well formed");
            for field in std::mem::take(&mut object.fields) {
                object.add(field);
            }
            schema.by_name.insert(object.name.to_ascii_lowercase(), schema.objects.len());
            schema.objects.push(object);
        }
        schema
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    pub fn by_prefix(&self, prefix: &str) -> Option<usize> {
        self.objects.iter().position(|object| object.key_prefix == prefix)
    }

    pub fn add(&mut self, custom: &CustomField) -> Result<(usize, usize), SchemaError> {
        let CustomField { object, name, .. } = custom;
        let Some(at) = self.find(object) else {
            let known = self.objects.iter().map(|object| object.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(SchemaError::UnknownObject { object: object.clone(), field: name.clone(), known });
        };
        if self.objects[at].col(name).is_some() {
            return Err(SchemaError::Twice { object: object.clone(), field: name.clone() });
        }
        if !name.ends_with("__c") {
            return Err(SchemaError::NotCustom { object: object.clone(), field: name.clone() });
        }
        let field = custom_field(custom)?;
        if let Some(parent) = field.reference_to.first().and_then(|parent| self.find(parent)) {
            let child = ChildRelationship {
                child: self.objects[at].name.clone(),
                field: field.name.clone(),
                relationship_name: custom.child_relationship.clone(),
                cascade_delete: false,
                restricted_delete: false,
            };
            self.objects[parent].child_relationships.push(child);
        }
        self.objects[at].add(field);
        Ok((at, self.objects[at].fields.len() - 1))
    }

    /// Hides or shows a field.
    pub fn set_hidden(&mut self, object: &str, field: &str, hidden: bool) -> Result<(), SchemaError> {
        let missing = || SchemaError::NothingToHide { object: object.to_owned(), field: field.to_owned() };
        let at = self.find(object).ok_or_else(missing)?;
        let col = self.objects[at].col(field).ok_or_else(missing)?;
        self.objects[at].fields[col].hidden = hidden;
        Ok(())
    }
}

fn custom_field(custom: &CustomField) -> Result<Field, SchemaError> {
    let (kind, length) = match custom.kind.as_str() {
        "checkbox" | "boolean" => (Kind::Boolean, 0),
        "text" | "string" => (Kind::String, 255),
        "textarea" => (Kind::Textarea, 255),
        "longtextarea" => (Kind::Textarea, 32_768),
        "picklist" => (Kind::Picklist, 255),
        "multipicklist" => (Kind::Multipicklist, 4099),
        "email" => (Kind::Email, 80),
        "phone" => (Kind::Phone, 40),
        "url" => (Kind::Url, 255),
        "lookup" | "reference" => (Kind::Reference, 18),
        "number" | "double" => (Kind::Double, 0),
        "currency" => (Kind::Currency, 0),
        "percent" => (Kind::Percent, 0),
        "int" => (Kind::Int, 0),
        "date" => (Kind::Date, 0),
        "datetime" => (Kind::Datetime, 0),
        other => {
            return Err(SchemaError::UnknownKind {
                object: custom.object.clone(),
                field: custom.name.clone(),
                kind: other.to_owned(),
            });
        }
    };
    let length = custom.length.unwrap_or(length);
    let long = kind == Kind::Textarea && length > 255;
    let default = custom.values.iter().position(|value| Some(value) == custom.default.as_ref());
    let checkbox = kind == Kind::Boolean;
    Ok(Field {
        name: custom.name.clone(),
        label: custom.label.clone().unwrap_or_else(|| custom.name.trim_end_matches("__c").replace('_', " ")),
        kind,
        length,
        byte_length: length * if kind == Kind::Reference { 1 } else { 3 },
        precision: if kind.is_number() { custom.precision.unwrap_or(18) } else { 0 },
        scale: custom.scale.unwrap_or(if kind.is_number() && kind != Kind::Int { 2 } else { 0 }),
        digits: 0,
        nillable: !checkbox && !custom.required,
        createable: !custom.calculated,
        updateable: !custom.calculated,
        defaulted_on_create: checkbox || default.is_some(),
        calculated: custom.calculated,
        unique: custom.unique,
        case_sensitive: custom.case_sensitive,
        external_id: custom.external_id,
        id_lookup: custom.external_id,
        restricted_picklist: custom.restricted,
        name_field: false,
        auto_number: false,
        cascade_delete: false,
        restricted_delete: false,
        name_pointing: false,
        polymorphic_foreign_key: false,
        permissionable: true,
        groupable: !long,
        filterable: !long,
        sortable: !long,
        aggregatable: !long,
        html_formatted: false,
        default_value: if checkbox {
            (custom.default.as_deref() == Some("true")).into()
        } else {
            serde_json::Value::Null
        },
        soap_type: kind.soap().to_owned(),
        compound_field_name: None,
        extra_type_info: None,
        picklist_values: custom
            .values
            .iter()
            .enumerate()
            .map(|(at, value)| Pick(value.clone(), value.clone(), true, Some(at) == default))
            .collect(),
        reference_to: custom.reference_to.iter().cloned().collect(),
        relationship_name: custom.reference_to.as_ref().map(|_| custom.name.replace("__c", "__r")),
        custom: true,
        hidden: false,
    })
}
