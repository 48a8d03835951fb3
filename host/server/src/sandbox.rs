//! Trying rules on one record, with what a real run would use: the same sandbox,
//! limits, chain and users. Nothing is written.

use std::sync::Arc;

use dealsync_core::answers::{Context, Severity};
use dealsync_core::batch::Batch;
use dealsync_core::ids::TenantId;
use dealsync_core::people::Directory;
use dealsync_core::schema::{FieldDef, FieldIx, FieldKind, Schema};
use dealsync_core::value::{Cell, Decimal, parse_date, parse_timestamp};
use dealsync_rules::{Chain, Limits, Member};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::{App, AppError};
use crate::connect::Describes;
use crate::ready::{self, FLOW, Fields};
use crate::salesforce::source_schema;
use crate::store::MemoryDirectory;

/// The largest record that can be tried, bytes of JSON.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// What a component is, found without running it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    pub digest: String,
    pub bytes: usize,
    pub kinds: Vec<String>,
    /// All it can ask of the host; the list is a proof, not a promise.
    pub imports: Vec<String>,
}

/// What the rules said about a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Field, value, and the rule that wrote it.
    pub draft: Vec<(String, String, String)>,
    /// Severity, code, message and fix of each finding.
    pub findings: Vec<(String, String, String, String)>,
    pub owner: Option<String>,
    pub fault: Option<String>,
    pub fuel_used: u64,
    pub fuel_allowed: u64,
}

impl App {
    /// Checks a file as `tenant apply` would.
    pub fn check_rule(&self, bytes: &[u8]) -> Result<Checked, AppError> {
        let component = self
            .engine()
            .load(bytes, Limits::compiled())
            .map_err(|refused| AppError::new(format!("refused: {refused}")))?;
        let kinds = component.kinds();
        let named =
            [(kinds.mapping, "mapping"), (kinds.validation, "validation"), (kinds.ownership, "ownership")];
        Ok(Checked {
            digest: component.digest().to_owned(),
            bytes: component.size(),
            kinds: named.into_iter().filter(|(has, _)| *has).map(|(_, name)| name.to_owned()).collect(),
            imports: component.imports().to_vec(),
        })
    }

    /// Runs a component on one record: after `standard` and with the tenant's users
    /// and fields where a tenant is named, by itself otherwise.
    pub async fn try_rule(
        &self,
        tenant: Option<&TenantId>,
        bytes: &[u8],
        settings_json: Option<&str>,
        record: &str,
    ) -> Result<Tried, AppError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(AppError::new("the record is larger than 1 MiB"));
        }
        let record: Value = serde_json::from_str(record)
            .map_err(|error| AppError::new(format!("the record is no JSON: {error}")))?;
        let mut cells = Vec::new();
        flatten("", &record, &mut cells);
        let component = self
            .engine()
            .load(bytes, Limits::compiled())
            .map_err(|refused| AppError::new(format!("refused: {refused}")))?;
        let own = Member {
            name: "tried".into(),
            version: "0".into(),
            component,
            settings_json: settings_json.unwrap_or("{}").to_owned(),
            is_standard: false,
            tables: Vec::new(),
        };
        let (chain, directory) = match tenant {
            None => self.alone(own, &cells)?,
            Some(tenant) => self.with_tenant(tenant, own).await?,
        };
        let batch = batch(&chain, &cells);
        let now = self.clock().now_micros();
        let context = Context { flow: FLOW.into(), as_of: now, seed: 0, sequence: 0 };
        let run = move || {
            let decided = chain.decide(&context, &batch, &[true], &directory);
            tried(&chain, &decided, &*directory)
        };
        tokio::task::spawn_blocking(run).await.map_err(AppError::bug)
    }

    fn alone(
        &self,
        own: Member,
        cells: &[(String, &Value)],
    ) -> Result<(Chain, Arc<dyn Directory>), AppError> {
        let source =
            Schema::new(cells.iter().map(|(name, value)| FieldDef::new(name, name, kind(value)).scale(2)));
        let target = dealsync_core::deal::deal_schema([]);
        let chain = self.configured(&source, &target, vec![own])?;
        Ok((chain, Arc::new(MemoryDirectory::default())))
    }

    async fn with_tenant(
        &self,
        tenant: &TenantId,
        own: Member,
    ) -> Result<(Chain, Arc<dyn Directory>), AppError> {
        let store = self.store().tenant(tenant).await?;
        let settings = self.settings(&store).await?;
        let client = self.client(&store).await?;
        let describes = Describes::read(&client).await?;
        let fields = Fields::find(&settings, &describes)?;
        let source = source_schema(describes.objects());
        let mut members = ready::members(self, &settings, &fields, &source)?;
        members.push(own);
        let chain = self.configured(&source, &settings.deal_schema(), members)?;
        let directory = store.directory().await?;
        Ok((chain, directory))
    }
}

/// A record's fields by path, as a query names them: `Account.Name`.
fn flatten<'a>(prefix: &str, value: &'a Value, cells: &mut Vec<(String, &'a Value)>) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Object(_) if name != "attributes" => flatten(&path, value, cells),
            Value::Object(_) | Value::Array(_) => {}
            value => cells.push((path, value)),
        }
    }
}

fn kind(value: &Value) -> FieldKind {
    match value {
        Value::Bool(_) => FieldKind::Boolean,
        Value::Number(_) => FieldKind::Decimal,
        Value::String(text) if parse_date(text).is_some() => FieldKind::Date,
        _ => FieldKind::Text,
    }
}

fn batch(chain: &Chain, cells: &[(String, &Value)]) -> Batch {
    let columns: Arc<[FieldIx]> = (0..chain.source().len() as u16).map(FieldIx).collect();
    let scales: Arc<[u8]> = chain.source().fields().iter().map(|field| field.scale).collect();
    let mut batch = Batch::new(columns, scales);
    batch.push_row();
    for (name, value) in cells {
        let Some(ix) = chain.source().ix(name) else { continue };
        let kind = chain.source().fields()[ix.at()].kind;
        let text;
        let cell = match value {
            Value::Null => Cell::Null,
            Value::Bool(value) => Cell::Boolean(*value),
            Value::Number(number) => {
                text = number.to_string();
                Decimal::parse(&text).map_or(Cell::Null, Cell::Decimal)
            }
            Value::String(text) => typed(kind, text),
            Value::Array(_) | Value::Object(_) => continue,
        };
        batch.set(0, ix.at(), cell);
    }
    batch
}

fn typed(kind: FieldKind, text: &str) -> Cell<'_> {
    match kind {
        FieldKind::Date => parse_date(text).map_or(Cell::Text(text), Cell::Date),
        FieldKind::Timestamp => parse_timestamp(text).map_or(Cell::Text(text), Cell::Timestamp),
        FieldKind::Reference => Cell::Reference(text),
        FieldKind::Choices => Cell::Choices(text),
        _ => Cell::Text(text),
    }
}

fn tried(chain: &Chain, decided: &dealsync_rules::Decided, directory: &dyn Directory) -> Tried {
    let mut draft = Vec::new();
    for (column, ix) in decided.draft.columns().iter().enumerate() {
        let Some(value) = decided.draft.cell(0, column).to_value() else { continue };
        let field = chain.target().field(*ix).map_or("?", |field| &field.name);
        let rule = decided.provenance.of(0, column).map(|by| format!("{} · {}", by.component, by.rule));
        draft.push((field.to_owned(), value.display(), rule.unwrap_or_default()));
    }
    let answer = &decided.rows[0];
    let severity = |severity| match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    Tried {
        draft,
        findings: answer
            .findings
            .iter()
            .map(|finding| {
                let severity = severity(finding.severity).to_owned();
                (severity, finding.code.clone(), finding.message.clone(), finding.fix.clone())
            })
            .collect(),
        owner: answer.assignment.map(|assignment| match directory.by_id(assignment.owner) {
            Some(user) => user.email.clone(),
            None => assignment.owner.to_string(),
        }),
        fault: answer.fault.as_ref().map(|fault| format!("{}: {}", fault.kind.words(), fault.message)),
        fuel_used: decided.used.iter().map(|used| used.fuel_used).sum(),
        fuel_allowed: decided.used.iter().map(|used| used.fuel_allowed).sum(),
    }
}
