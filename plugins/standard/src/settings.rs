//! The settings of one flow, as the tenant wrote them. Unknown words are refused
//! with the place they stand at.

use dealsync_rules_sdk::{Problem, did_you_mean};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub mappings: Vec<MappingSettings>,
    /// Source field that holds the partner user's address; owners are decided
    /// only where it is given.
    pub partner_email: Option<String>,
    pub distributor_email: Option<String>,
    pub owner_type: Option<String>,
    pub distributor_module: DistributorModule,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistributorModule {
    pub enabled: bool,
    /// A distributor-owned deal may do without a partner (S27).
    pub partner_optional: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingSettings {
    pub to: String,
    /// Either this or `value`.
    pub from: Option<String>,
    pub value: Option<String>,
    /// Stands in for an empty source.
    pub default: Option<String>,
    pub values: Option<ValueMap>,
    pub unmapped: Option<Unmapped>,
    #[serde(default)]
    pub cut: bool,
    #[serde(default = "yes")]
    pub on_create: bool,
    #[serde(default = "yes")]
    pub on_update: bool,
    pub on_null: Option<OnNull>,
    pub conflict: Option<Conflict>,
}

fn yes() -> bool {
    true
}

/// What becomes of a value that `values`, or the target's choices, do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmapped {
    Refuse,
    Pass,
    Default,
    Blank,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnNull {
    Clear,
    Leave,
    Refuse,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    Source,
    Target,
    Newest,
    Ask,
}

/// Source value to target value, in the order of the settings.
#[derive(Debug)]
pub struct ValueMap(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for ValueMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = ValueMap;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of source value to target value")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ValueMap, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(ValueMap(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

pub fn parse(json: &str) -> Result<Settings, Vec<Problem>> {
    match json.trim_start().bytes().next() {
        None => return Ok(Settings::default()),
        Some(b'{') => {}
        // A list would pass for the fields in their order.
        Some(_) => return Err(vec![problem("", "the settings are not a JSON object")]),
    }
    serde_json::from_str(json).map_err(|error| locate(json, &error))
}

const TOP_KEYS: [&str; 5] =
    ["mappings", "partner_email", "distributor_email", "owner_type", "distributor_module"];
const MODULE_KEYS: [&str; 2] = ["enabled", "partner_optional"];
const MAPPING_KEYS: [&str; 11] = [
    "to",
    "from",
    "value",
    "default",
    "values",
    "unmapped",
    "cut",
    "on_create",
    "on_update",
    "on_null",
    "conflict",
];

/// Goes through refused settings once more, slowly, for the place of each fault.
#[cold]
fn locate(json: &str, error: &serde_json::Error) -> Vec<Problem> {
    let Ok(serde_json::Value::Object(top)) = serde_json::from_str(json) else {
        return vec![problem("", format!("the settings are not a JSON object: {error}"))];
    };
    let mut problems = unknown_keys("", &top, &TOP_KEYS);
    if let Some(serde_json::Value::Array(mappings)) = top.get("mappings") {
        for (at, mapping) in mappings.iter().enumerate() {
            problems.extend(locate_in_mapping(&format!("mappings[{at}]"), mapping));
        }
    }
    if let Some(module) = top.get("distributor_module") {
        let path = "distributor_module";
        problems.extend(
            module.as_object().map(|keys| unknown_keys(path, keys, &MODULE_KEYS)).unwrap_or_default(),
        );
        if problems.is_empty()
            && let Err(error) = DistributorModule::deserialize(module)
        {
            problems.push(problem(path, error.to_string()));
        }
    }
    if problems.is_empty() {
        problems.push(problem("", error.to_string()));
    }
    problems
}

fn locate_in_mapping(path: &str, mapping: &serde_json::Value) -> Vec<Problem> {
    let serde_json::Value::Object(keys) = mapping else {
        return vec![problem(path, "a mapping is an object with `to` and `from` or `value`")];
    };
    let problems = unknown_keys(path, keys, &MAPPING_KEYS);
    if !problems.is_empty() {
        return problems;
    }
    match MappingSettings::deserialize(mapping) {
        Ok(_) => Vec::new(),
        Err(error) => {
            // One key alone tells which of them it is, where it is one.
            let culprit = keys.iter().find(|(key, value)| !stands_alone(key, value));
            match culprit {
                Some((key, _)) => vec![problem(&format!("{path}.{key}"), error.to_string())],
                None => vec![problem(path, error.to_string())],
            }
        }
    }
}

fn stands_alone(key: &str, value: &serde_json::Value) -> bool {
    let mut alone = serde_json::Map::new();
    alone.insert("to".to_owned(), serde_json::Value::from(""));
    alone.insert(key.to_owned(), value.clone());
    MappingSettings::deserialize(&serde_json::Value::Object(alone)).is_ok()
}

fn unknown_keys(
    path: &str,
    keys: &serde_json::Map<String, serde_json::Value>,
    known: &[&str],
) -> Vec<Problem> {
    let unknown = keys.keys().filter(|key| !known.contains(&key.as_str()));
    unknown
        .map(|key| {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match did_you_mean(key, known.iter().copied()) {
                Some(close) => problem(&path, format!("unknown setting `{key}`; did you mean `{close}`?")),
                None => problem(&path, format!("unknown setting `{key}`")),
            }
        })
        .collect()
}

fn problem(path: &str, message: impl Into<String>) -> Problem {
    Problem { path: path.to_owned(), message: message.into() }
}
