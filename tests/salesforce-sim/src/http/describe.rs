//! Describes: global, basic and whole, with the tags and dates caching needs.

use serde_json::{Value, json};

use super::{Call, Reply};
use crate::Shared;
use crate::errors::ApiError;
use crate::org::Org;
use crate::schema::{Field, Kind, Object};
use crate::when;

const OBJECT_FLAGS: [&str; 13] = [
    "activateable",
    "createable",
    "deletable",
    "layoutable",
    "mergeable",
    "mruEnabled",
    "queryable",
    "replicateable",
    "retrieveable",
    "searchable",
    "triggerable",
    "undeletable",
    "updateable",
];

fn summary(object: &Object, version: u32) -> Value {
    let base = format!("/services/data/v{version}.0/sobjects/{}", object.name);
    let mut entry = json!({
        "name": object.name,
        "label": object.label,
        "labelPlural": object.label_plural,
        "keyPrefix": object.key_prefix,
        "custom": object.name.ends_with("__c"),
        "customSetting": false,
        "deprecatedAndHidden": false,
        "feedEnabled": false,
        "hasSubtypes": false,
        "isSubtype": false,
        "isInterface": false,
        "urls": {
            "sobject": base,
            "describe": format!("{base}/describe"),
            "rowTemplate": format!("{base}/{{ID}}"),
        },
    });
    for flag in OBJECT_FLAGS {
        entry[flag] = object.flag(flag).into();
    }
    entry
}

pub(crate) fn global(shared: &Shared, call: &Call) -> Result<Reply, ApiError> {
    let org = shared.org();
    if let Some(unchanged) = unchanged(&org, call) {
        return Ok(unchanged);
    }
    let version = call.version().unwrap_or_default();
    let objects: Vec<Value> = org.schema.objects.iter().map(|object| summary(object, version)).collect();
    let body = json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects});
    Ok(dated(&org, Reply::json(200, &body)))
}

pub(crate) fn basic(shared: &Shared, call: &Call, object: &str) -> Result<Reply, ApiError> {
    let org = shared.org();
    let at = org.object(object)?;
    let body = json!({"objectDescribe": summary(org.shape(at), call.version().unwrap_or_default()), "recentItems": []});
    Ok(Reply::json(200, &body))
}

pub(crate) fn one(shared: &Shared, call: &Call, object: &str) -> Result<Reply, ApiError> {
    let org = shared.org();
    let at = org.object(object)?;
    if let Some(unchanged) = unchanged(&org, call) {
        return Ok(unchanged);
    }
    let shape = org.shape(at);
    let mut body = summary(shape, call.version().unwrap_or_default());
    body["actionOverrides"] = json!([]);
    body["namedLayoutInfos"] = json!([]);
    body["listviewable"] = Value::Null;
    body["lookupLayoutable"] = Value::Null;
    body["networkScopeFieldName"] = Value::Null;
    body["compactLayoutable"] = true.into();
    body["searchLayoutable"] = shape.flag("searchable").into();
    body["sobjectDescribeOption"] = "FULL".into();
    body["supportedScopes"] = json!([{"label": format!("All {}", shape.label_plural), "name": "everything"}]);
    body["recordTypeInfos"] = json!([{
        "active": true, "available": true, "defaultRecordTypeMapping": true, "developerName": "Master",
        "master": true, "name": "Master", "recordTypeId": "012000000000000AAA",
        "urls": {"layout": format!("/services/data/v{}.0/sobjects/{}/describe/layouts/012000000000000AAA",
                                   call.version().unwrap_or_default(), shape.name)},
    }]);
    body["childRelationships"] = shape
        .child_relationships
        .iter()
        .map(|relation| {
            json!({
                "cascadeDelete": relation.cascade_delete,
                "childSObject": relation.child,
                "deprecatedAndHidden": false,
                "field": relation.field,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": relation.relationship_name,
                "restrictedDelete": relation.restricted_delete,
            })
        })
        .collect();
    body["fields"] = shape.fields.iter().filter(|field| !field.hidden).map(describe_field).collect();
    Ok(dated(&org, Reply::json(200, &body)))
}

fn describe_field(field: &Field) -> Value {
    let picks: Vec<Value> = field
        .picklist_values
        .iter()
        .map(|pick| {
            json!({"active": pick.2, "defaultValue": pick.3, "label": pick.1, "validFor": null, "value": pick.0})
        })
        .collect();
    json!({
        "aggregatable": field.aggregatable,
        "aiPredictionField": false,
        "autoNumber": field.auto_number,
        "byteLength": field.byte_length,
        "calculated": field.calculated,
        "calculatedFormula": null,
        "cascadeDelete": field.cascade_delete,
        "caseSensitive": field.case_sensitive,
        "compoundFieldName": field.compound_field_name,
        "controllerName": null,
        "createable": field.createable,
        "custom": field.custom,
        "defaultValue": field.default_value,
        "defaultValueFormula": null,
        "defaultedOnCreate": field.defaulted_on_create,
        "dependentPicklist": false,
        "deprecatedAndHidden": false,
        "digits": field.digits,
        "displayLocationInDecimal": false,
        "encrypted": false,
        "externalId": field.external_id,
        "extraTypeInfo": field.extra_type_info,
        "filterable": field.filterable,
        "filteredLookupInfo": null,
        "formulaTreatNullNumberAsZero": false,
        "groupable": field.groupable,
        "highScaleNumber": false,
        "htmlFormatted": field.html_formatted,
        "idLookup": field.id_lookup,
        "inlineHelpText": null,
        "label": field.label,
        "length": field.length,
        "mask": null,
        "maskType": null,
        "name": field.name,
        "nameField": field.name_field,
        "namePointing": field.name_pointing,
        "nillable": field.nillable,
        "permissionable": field.permissionable,
        "picklistValues": picks,
        "polymorphicForeignKey": field.polymorphic_foreign_key,
        "precision": field.precision,
        "queryByDistance": false,
        "referenceTargetField": null,
        "referenceTo": field.reference_to,
        "relationshipName": field.relationship_name,
        "relationshipOrder": null,
        "restrictedDelete": field.restricted_delete,
        "restrictedPicklist": field.restricted_picklist && matches!(field.kind, Kind::Picklist | Kind::Multipicklist),
        "scale": field.scale,
        "searchPrefilterable": false,
        "soapType": field.soap_type,
        "sortable": field.sortable,
        "type": field.kind.name(),
        "unique": field.unique,
        "updateable": field.updateable,
        "writeRequiresMasterRead": false,
    })
}

fn tag(org: &Org) -> String {
    format!("\"{:08x}\"", org.schema_version)
}

fn dated(org: &Org, reply: Reply) -> Reply {
    reply.with("etag", tag(org)).with("last-modified", when::http_date(org.schema_changed))
}

/// 304 when the caller has what there is.
fn unchanged(org: &Org, call: &Call) -> Option<Reply> {
    let same_tag = call.header("if-none-match").is_some_and(|own| own.replace("--gzip", "") == tag(org));
    let since = call.header("if-modified-since").and_then(when::parse_http_date);
    let same = same_tag || since.is_some_and(|since| org.schema_changed <= since);
    same.then(|| dated(org, Reply::empty(304)))
}
