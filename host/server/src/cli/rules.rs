//! `dealsync rules …`: looking at a component, and trying it on one record.

use std::path::PathBuf;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::out::CliError;
use super::table::{one_line, print_json, wrap};
use super::{Context, TenantArg, read_file};
use crate::sandbox::{Checked, RECORD_BYTES_MAX, Tried};

/// The largest component read, bytes; the sandbox may take less.
const COMPONENT_BYTES_MAX: usize = 32 << 20;

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum Rules {
    /// Checks a component as applying it would: what it is, and all it can ask for.
    Check {
        file: PathBuf,
        #[arg(skip)]
        #[serde(default)]
        component: Option<Vec<u8>>,
    },
    /// Tries a component on one record, after the standard rules; writes nothing.
    Try {
        file: PathBuf,
        /// An Opportunity as Salesforce's REST API returns it.
        record: PathBuf,
        /// Use this tenant's fields, users and settings.
        #[command(flatten)]
        tenant: TenantArg,
        /// The component's settings, as JSON.
        #[arg(long, value_name = "JSON")]
        settings: Option<String>,
        #[arg(skip)]
        #[serde(default)]
        component: Option<Vec<u8>>,
        #[arg(skip)]
        #[serde(default)]
        record_json: Option<String>,
    },
}

impl Rules {
    pub fn load(&mut self) -> Result<(), CliError> {
        match self {
            Self::Check { file, component } => *component = Some(read_file(file, COMPONENT_BYTES_MAX)?),
            Self::Try { file, record, component, record_json, .. } => {
                *component = Some(read_file(file, COMPONENT_BYTES_MAX)?);
                let bytes = read_file(record, RECORD_BYTES_MAX)?;
                let text = String::from_utf8(bytes)
                    .map_err(|_| CliError::user(format!("{} is not UTF-8 text", record.display())))?;
                *record_json = Some(text);
            }
        }
        Ok(())
    }

    pub async fn execute(&self, cx: &Context<'_>) -> Result<(), CliError> {
        match self {
            Self::Check { component, .. } => {
                let bytes = component.as_deref().unwrap_or_default();
                // Compiling takes a moment, and others are served meanwhile.
                let checked = tokio::task::block_in_place(|| cx.app.check_rule(bytes))?;
                print_checked(cx, &checked);
                Ok(())
            }
            Self::Try { tenant, settings, component, record_json, .. } => {
                let bytes = component.as_deref().unwrap_or_default();
                let record = record_json.as_deref().unwrap_or_default();
                let tenant = match tenant.name() {
                    Some(name) => Some(cx.tenant_id(Some(name)).await?),
                    None => None,
                };
                let tried = cx.app.try_rule(tenant.as_ref(), bytes, settings.as_deref(), record).await?;
                print_tried(cx, &tried);
                Ok(())
            }
        }
    }
}

fn print_checked(cx: &Context<'_>, checked: &Checked) {
    if cx.json {
        return print_json(cx.out, checked);
    }
    cx.out.line(&format!("good: {} bytes, sha256:{}", checked.bytes, checked.digest));
    cx.out.line(&format!("  does:    {}", checked.kinds.join(", ")));
    cx.out.line(&format!("  may ask: {}", checked.imports.join(", ")));
}

fn print_tried(cx: &Context<'_>, tried: &Tried) {
    if cx.json {
        return print_json(cx.out, tried);
    }
    for line in tried_lines(tried) {
        cx.out.line(&line);
    }
}

fn tried_lines(tried: &Tried) -> Vec<String> {
    let mut lines = Vec::new();
    for (field, value, rule) in &tried.draft {
        lines.push(one_line(&format!("  {field:<20}  {value}  [{rule}]")));
    }
    for (severity, code, message, fix) in &tried.findings {
        lines.push(one_line(&format!("  {severity}: {code}")));
        lines.extend(wrap(message, 4));
        lines.extend(wrap(&format!("Fix: {fix}"), 4));
    }
    if let Some(owner) = &tried.owner {
        lines.push(one_line(&format!("  owner: {owner}")));
    }
    if let Some(fault) = &tried.fault {
        lines.push(one_line(&format!("  failed: {fault}")));
    }
    lines.push(format!("  fuel: {} of {}", tried.fuel_used, tried.fuel_allowed));
    lines
}
