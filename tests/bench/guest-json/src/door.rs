//! Between a record as JSON text and the cells that the rules see. Texts are read
//! straight into a batch, without a tree of values in between, and written without
//! one: a baseline that wastes nothing but what JSON itself costs.

use std::borrow::Cow;
use std::fmt;

use dealsync_rules_sdk::{
    Batch, Decimal, FieldDef, FieldKind, Value, date_text, parse_date, parse_timestamp, timestamp_text,
};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

/// The rules' own settings and the fields that the texts are about.
#[derive(Debug, Deserialize)]
pub struct DoorSettings {
    pub source: Vec<FieldSettings>,
    pub target: Vec<FieldSettings>,
    /// Settings of the rules, as JSON text.
    pub rules: String,
}

#[derive(Debug, Deserialize)]
pub struct FieldSettings {
    pub name: String,
    pub label: String,
    pub kind: String,
    pub scale: u8,
    pub required: bool,
    pub max_length: Option<u32>,
    pub choices: Vec<String>,
}

impl FieldSettings {
    pub fn into_def(self) -> FieldDef {
        let kind = match self.kind.as_str() {
            "boolean" => FieldKind::Boolean,
            "integer" => FieldKind::Integer,
            "number" => FieldKind::Number,
            "decimal" => FieldKind::Decimal,
            "date" => FieldKind::Date,
            "timestamp" => FieldKind::Timestamp,
            "reference" => FieldKind::Reference,
            "choice" => FieldKind::Choice,
            "choices" => FieldKind::Choices,
            "json" => FieldKind::Json,
            _ => FieldKind::Text,
        };
        let mut def = FieldDef::new(&self.name, kind);
        def.label = self.label;
        def.scale = self.scale;
        def.required = self.required;
        def.max_length = self.max_length;
        def.choices = self.choices;
        def
    }
}

/// Reads texts into a batch with one column per field. A key that is no field is
/// passed over; a field that is no key is absent.
pub fn read<'a>(
    fields: &[FieldDef],
    texts: impl ExactSizeIterator<Item = Option<&'a str>>,
) -> Result<Batch, serde_json::Error> {
    let (rows, columns) = (texts.len(), fields.len());
    let mut batch = Batch {
        rows: rows as u32,
        columns: (0..columns as u16).collect(),
        kinds: vec![0; rows * columns],
        words: vec![0; rows * columns],
        text: String::new(),
    };
    for (row, text) in texts.enumerate() {
        let Some(text) = text else { continue };
        batch.text.reserve(text.len());
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_map(RowVisitor { fields, batch: &mut batch, first: row * columns })?;
    }
    Ok(batch)
}

struct RowVisitor<'f, 'b> {
    fields: &'f [FieldDef],
    batch: &'b mut Batch,
    first: usize,
}

impl<'de> Visitor<'de> for RowVisitor<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Keys mostly come in the order of the fields.
        let mut expected = 0;
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let found =
                (expected..self.fields.len()).chain(0..expected).find(|at| self.fields[*at].name == key);
            let Some(at) = found else {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            };
            expected = at + 1;
            map.next_value_seed(CellSeed {
                field: &self.fields[at],
                batch: &mut *self.batch,
                at: self.first + at,
            })?;
        }
        Ok(())
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

struct CellSeed<'f, 'b> {
    field: &'f FieldDef,
    batch: &'b mut Batch,
    at: usize,
}

impl CellSeed<'_, '_> {
    fn put<E>(self, kind: u8, word: u64) -> Result<(), E> {
        self.batch.kinds[self.at] = kind;
        self.batch.words[self.at] = word;
        Ok(())
    }

    fn decimal<E: Error>(self, value: Option<Decimal>) -> Result<(), E> {
        let fits = value.and_then(|value| value.rescale(self.field.scale));
        let fits = fits.ok_or_else(|| E::custom("a number that does not fit its field"))?;
        self.put(5, fits.unscaled as u64)
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.put(1, 0)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.put(2, u64::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.field.kind {
            FieldKind::Decimal => self.decimal(Some(Decimal::new(value, 0))),
            FieldKind::Number => self.put(4, (value as f64).to_bits()),
            _ => self.put(3, value as u64),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::custom("a number beyond 64 bits")),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            FieldKind::Decimal => self.decimal(Decimal::parse(&value.to_string())),
            _ => self.put(4, value.to_bits()),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let kind = match self.field.kind {
            FieldKind::Date => {
                let days = parse_date(text).ok_or_else(|| E::custom("no date"))?;
                return self.put(7, i64::from(days) as u64);
            }
            FieldKind::Timestamp => {
                let micros = parse_timestamp(text).ok_or_else(|| E::custom("no time"))?;
                return self.put(8, micros as u64);
            }
            FieldKind::Decimal => return self.decimal(Decimal::parse(text)),
            FieldKind::Reference => 9,
            FieldKind::Choices => 10,
            FieldKind::Json => 11,
            _ => 6,
        };
        let word = (self.batch.text.len() as u64) << 32 | text.len() as u64;
        self.batch.text.push_str(text);
        self.put(kind, word)
    }
}

/// Writes `"name":value` into an object that is being written.
pub fn write_field(
    name: &str,
    value: &Value,
    source: &Batch,
    row: usize,
    scales: &[FieldDef],
    out: &mut Vec<u8>,
) {
    out.push(if out.is_empty() { b'{' } else { b',' });
    write_text(name, out);
    out.push(b':');
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(value) => write_number(value, out),
        Value::Integer(value) => write_number(value, out),
        Value::Number(value) => write_number(value, out),
        Value::Decimal(value) => write_text(&value.to_string(), out),
        Value::Text(text) | Value::Reference(text) | Value::Json(text) => write_text(text, out),
        Value::Date(days) => write_text(&date_text(*days), out),
        Value::Timestamp(micros) => write_text(&timestamp_text(*micros), out),
        Value::Choices(entries) => write_text(&entries.join(";"), out),
        Value::Copy(field) => write_cell(source, row, usize::from(*field), scales, out),
    }
}

fn write_cell(batch: &Batch, row: usize, column: usize, scales: &[FieldDef], out: &mut Vec<u8>) {
    let at = row * batch.columns.len() + column;
    let word = batch.words[at];
    match batch.kinds[at] {
        2 => write_number(word != 0, out),
        3 => write_number(word as i64, out),
        4 => write_number(f64::from_bits(word), out),
        5 => write_text(&Decimal::new(word as i64, scales[column].scale).to_string(), out),
        7 => write_text(&date_text(word as i64 as i32), out),
        8 => write_text(&timestamp_text(word as i64), out),
        6 | 9 | 10 | 11 => {
            let offset = (word >> 32) as usize;
            let text = batch.text.get(offset..offset + (word & 0xffff_ffff) as usize);
            write_text(text.unwrap_or_default(), out);
        }
        _ => out.extend_from_slice(b"null"),
    }
}

/// The object as text, `{}` where nothing was written.
pub fn finish(mut object: Vec<u8>) -> String {
    if object.is_empty() {
        object.push(b'{');
    }
    object.push(b'}');
    // Only texts and what serde_json writes were put in.
    String::from_utf8(object).unwrap_or_default()
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing into memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

fn write_number(value: impl serde::Serialize, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, &value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_goes_through_the_door_and_back() {
        let mut amount = FieldDef::new("Amount", FieldKind::Decimal);
        amount.scale = 2;
        let fields = [
            FieldDef::new("Name", FieldKind::Text),
            amount,
            FieldDef::new("CloseDate", FieldKind::Date),
            FieldDef::new("Type", FieldKind::Choice),
        ];
        let text =
            r#"{"Other":[1],"Name":"He said \"é\"","Amount":12.5,"CloseDate":"2026-11-22","Type":null}"#;
        let batch = read(&fields, [Some(text), None].into_iter()).expect("JSON");
        assert_eq!(batch.kinds, [6, 5, 7, 1, 0, 0, 0, 0]);
        assert_eq!(batch.words[1], 1250);
        let mut out = Vec::new();
        for column in 0..4 {
            write_field(&fields[column].name, &Value::Copy(column as u16), &batch, 0, &fields, &mut out);
        }
        assert_eq!(
            finish(out),
            r#"{"Name":"He said \"é\"","Amount":"12.50","CloseDate":"2026-11-22","Type":null}"#
        );
        assert_eq!(finish(Vec::new()), "{}");
    }
}
