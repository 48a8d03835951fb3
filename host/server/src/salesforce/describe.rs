//! What an object of the org looks like: its fields, their types and flags, as far
//! as the user of the connection may see them. Field-level security removes a field
//! from here, so everything that names a field is checked against it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dealsync_core::schema::{FieldDef, FieldKind, Schema};
use dealsync_core::value::DECIMAL_SCALE_MAX;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::client::{Call, Client};
use super::error::Error;
use super::query::PRIMARY_CONTACT;
use super::soql::is_api_name;
use super::wire;

/// How long a describe is taken without asking whether it changed.
const FRESH_MICROS: i64 = 3_600 * 1_000_000;
/// Objects whose describes are kept.
const KEPT_MAX: usize = 64;

/// The parts of a describe that dealsync uses, in Salesforce's own names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectDescribe {
    pub name: String,
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub queryable: bool,
    #[serde(default)]
    pub createable: bool,
    #[serde(default)]
    pub updateable: bool,
    pub fields: Vec<FieldDescribe>,
}

impl ObjectDescribe {
    /// The field of this API name, whatever its case.
    pub fn field(&self, name: &str) -> Option<&FieldDescribe> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDescribe {
    pub name: String,
    #[serde(default)]
    pub label: String,
    /// `string`, `picklist`, `currency`, `reference`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Characters, for text.
    #[serde(default)]
    pub length: u32,
    #[serde(default)]
    pub precision: u32,
    #[serde(default)]
    pub scale: u32,
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
    pub external_id: bool,
    #[serde(default)]
    pub restricted_picklist: bool,
    #[serde(default)]
    pub picklist_values: Vec<PicklistValue>,
    #[serde(default)]
    pub reference_to: Vec<String>,
    #[serde(default)]
    pub relationship_name: Option<String>,
}

impl FieldDescribe {
    /// A record cannot be created without a value here.
    pub fn required_on_create(&self) -> bool {
        !self.nillable && !self.defaulted_on_create && self.createable
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicklistValue {
    #[serde(default)]
    pub active: bool,
    #[serde(default)]
    pub label: Option<String>,
    pub value: String,
}

/// The objects whose fields a rule can read.
#[derive(Debug, Clone, Copy)]
pub struct SourceObjects<'a> {
    pub opportunity: &'a ObjectDescribe,
    pub account: Option<&'a ObjectDescribe>,
    pub owner: Option<&'a ObjectDescribe>,
    pub contact: Option<&'a ObjectDescribe>,
}

/// Returns every field a rule can read: `Amount`, `Account.Name`, `Owner.Email`,
/// `PrimaryContact.FirstName`.
pub fn source_schema(objects: SourceObjects<'_>) -> Schema {
    let own = objects.opportunity.fields.iter().filter_map(|field| field_def(field, ""));
    let others = [("Account", objects.account), ("Owner", objects.owner), (PRIMARY_CONTACT, objects.contact)];
    let others = others
        .into_iter()
        .filter_map(|(prefix, object)| Some((prefix, object?)))
        .flat_map(|(prefix, object)| object.fields.iter().filter_map(move |field| field_def(field, prefix)));
    Schema::new(own.chain(others))
}

/// Returns one field as rules know it, or `None` where its type cannot be read in bulk.
pub fn field_def(field: &FieldDescribe, prefix: &str) -> Option<FieldDef> {
    let kind = match field.kind.as_str() {
        "boolean" => FieldKind::Boolean,
        "int" | "long" => FieldKind::Integer,
        // More digits than 64 bits hold are rare enough to be read as floats.
        "double" | "currency" | "percent" if field.precision <= 18 => FieldKind::Decimal,
        "double" | "currency" | "percent" => FieldKind::Number,
        "id" | "reference" => FieldKind::Reference,
        "date" => FieldKind::Date,
        "datetime" => FieldKind::Timestamp,
        "picklist" => FieldKind::Choice,
        "multipicklist" => FieldKind::Choices,
        "address" | "location" | "complexvalue" => FieldKind::Json,
        "base64" => return None,
        _ => FieldKind::Text,
    };
    let dotted = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    let active = field.picklist_values.iter().filter(|entry| entry.active);
    let mut def = FieldDef::new(&dotted(&field.name), &field.label, kind);
    def.required = field.required_on_create();
    def.max_length = (kind == FieldKind::Text && field.length > 0).then_some(field.length);
    if kind == FieldKind::Decimal {
        def.scale = field.scale.min(DECIMAL_SCALE_MAX.into()) as u8;
    }
    if matches!(kind, FieldKind::Choice | FieldKind::Choices) {
        def.choices = active.map(|entry| entry.value.clone()).collect();
    }
    Some(def)
}

/// Describes kept between runs of the process, so that a restart asks only whether
/// they changed. Serialises to JSON; a cache that cannot be read is an empty one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DescribeCache {
    pub(super) objects: BTreeMap<String, Cached>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cached {
    #[serde(serialize_with = "shared", deserialize_with = "unshared")]
    pub(super) describe: Arc<ObjectDescribe>,
    /// As Salesforce wrote it, to be sent back.
    pub(super) last_modified: Option<String>,
    /// When Salesforce last said that this holds.
    pub(super) checked_micros: i64,
}

fn shared<S: Serializer>(describe: &Arc<ObjectDescribe>, serializer: S) -> Result<S::Ok, S::Error> {
    describe.as_ref().serialize(serializer)
}

fn unshared<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<ObjectDescribe>, D::Error> {
    ObjectDescribe::deserialize(deserializer).map(Arc::new)
}

impl DescribeCache {
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

impl Client {
    /// Returns an object's describe: the kept one within an hour of the last check,
    /// otherwise after asking whether it changed.
    pub async fn describe(&self, object: &str) -> Result<Arc<ObjectDescribe>, Error> {
        match self.kept_describe(object) {
            Some(kept) if self.now_micros() < kept.checked_micros.saturating_add(FRESH_MICROS) => {
                Ok(kept.describe)
            }
            kept => self.ask_describe(object, kept).await,
        }
    }

    /// As [`Client::describe`], after asking whether it changed.
    pub async fn describe_checked(&self, object: &str) -> Result<Arc<ObjectDescribe>, Error> {
        self.ask_describe(object, self.kept_describe(object)).await
    }

    /// As [`Client::describe`], read in full: after a field turned out hidden, since
    /// a change of permissions need not change the describe's date.
    pub async fn describe_anew(&self, object: &str) -> Result<Arc<ObjectDescribe>, Error> {
        self.ask_describe(object, None).await
    }

    async fn ask_describe(&self, object: &str, kept: Option<Cached>) -> Result<Arc<ObjectDescribe>, Error> {
        if !is_api_name(object) {
            return Err(Error::SettingsUnusable(format!("{object:?} is no object's API name")));
        }
        let mut call = Call::read("describe", self.data_path(&format!("sobjects/{object}/describe")));
        call.unless_changed_since = kept.as_ref().and_then(|kept| kept.last_modified.clone());
        let (describe, last_modified) = self
            .execute(&call, |response| match &kept {
                Some(kept) if response.status == 304 => {
                    Ok((kept.describe.clone(), kept.last_modified.clone()))
                }
                _ => {
                    let describe: ObjectDescribe = wire::read("describe", response)?;
                    Ok((Arc::new(describe), response.header("last-modified").map(str::to_owned)))
                }
            })
            .await?;
        let checked_micros = self.now_micros();
        let cached = Cached { describe: describe.clone(), last_modified, checked_micros };
        let mut cache = self.kept_describes();
        if cache.objects.len() < KEPT_MAX || cache.objects.contains_key(object) {
            cache.objects.insert(object.to_owned(), cached);
        }
        Ok(describe)
    }

    fn kept_describe(&self, object: &str) -> Option<Cached> {
        let cache = self.kept_describes();
        cache.objects.get(object).cloned()
    }

    /// The describes as they are kept now, to be stored.
    pub fn describes(&self) -> DescribeCache {
        self.kept_describes().clone()
    }

    /// Goes on from stored describes. Each is asked after once it is an hour old.
    pub fn use_describes(&self, cache: DescribeCache) {
        *self.kept_describes() = cache;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(json: &str) -> ObjectDescribe {
        serde_json::from_str(json).expect("a describe")
    }

    #[test]
    fn fields_of_parents_and_of_the_primary_contact_are_named_by_their_path() {
        let opportunity = described(
            r#"{"name":"Opportunity","somethingNew":1,"fields":[
                {"name":"Name","label":"Name","type":"string","length":120,"createable":true},
                {"name":"Amount","label":"Amount","type":"currency","precision":18,"scale":2,"nillable":true},
                {"name":"Doc","label":"Doc","type":"base64"},
                {"name":"StageName","label":"Stage","type":"picklist","picklistValues":[
                    {"active":true,"label":"Won","value":"Closed Won"},{"active":false,"label":"Old","value":"Old"}]}]}"#,
        );
        let contact = described(
            r#"{"name":"Contact","fields":[{"name":"Email","label":"Email","type":"email","length":80}]}"#,
        );
        let schema = source_schema(SourceObjects {
            opportunity: &opportunity,
            account: None,
            owner: None,
            contact: Some(&contact),
        });
        let names: Vec<_> = schema.fields().iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["Name", "Amount", "StageName", "PrimaryContact.Email"]);
        assert!(schema.fields()[0].required);
        assert_eq!(schema.fields()[1].scale, 2);
        assert_eq!(schema.fields()[2].choices, ["Closed Won"]);
        assert_eq!(schema.fields()[3].max_length, Some(80));
    }

    #[test]
    fn a_spoilt_cache_is_an_empty_one() {
        assert!(DescribeCache::from_json("{\"objects\":7").is_empty());
    }
}
