//! `dealsync tenant …`: settings in and out, the doctor, deletion.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use dealsync_core::ids::TenantId;
use dealsync_core::value::timestamp_text;
use serde::{Deserialize, Serialize};

use super::out::CliError;
use super::table::{left, list, minute, print_json, right, whole};
use super::{Context, actor, read_file, sentence_list};
use crate::settings::SETTINGS_BYTES_MAX;
use crate::tenants::Apply;

/// The largest file a settings file may name: a component or a key, bytes.
const NAMED_FILE_BYTES_MAX: usize = 32 << 20;

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum Tenant {
    /// Creates a tenant, or changes one, from its settings file.
    ///
    /// Replaces the settings as a whole and keeps every deal, link and secret. A
    /// mistake anywhere in the file changes nothing. Files and environment variables
    /// named in it are read here and now; secrets are kept sealed.
    Apply {
        /// The settings; `examples/tenants/acme/tenant.toml` is one to copy.
        file: PathBuf,
        #[arg(skip)]
        #[serde(default)]
        read: Option<Apply>,
    },
    /// Lists the tenants.
    List,
    /// Prints a tenant's settings as they were applied, without its secrets.
    Export { id: String },
    /// Holds a tenant's settings against its Salesforce org: login, permissions,
    /// every field, flag and picklist.
    Check { id: String },
    /// Deletes a tenant with all its deals and logs. Salesforce is left alone.
    Delete {
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

impl Tenant {
    /// Reads the files the command names, where the person is.
    pub fn load(&mut self) -> Result<(), CliError> {
        if let Self::Apply { file, read } = self {
            *read = Some(read_settings(file)?);
        }
        Ok(())
    }

    pub async fn execute(&self, cx: &Context<'_>) -> Result<(), CliError> {
        match self {
            Self::Apply { read, .. } => apply(cx, read.clone().unwrap_or_default()).await,
            Self::List => show_all(cx).await,
            Self::Export { id } => export(cx, id).await,
            Self::Check { id } => check(cx, id).await,
            Self::Delete { id, .. } => delete(cx, id).await,
        }
    }
}

/// Reads a settings file and everything it names; relative names start at the
/// folder it lies in.
fn read_settings(file: &Path) -> Result<Apply, CliError> {
    let bytes = read_file(file, SETTINGS_BYTES_MAX)?;
    let toml = String::from_utf8(bytes).map_err(|_| {
        CliError::user(format!("{} is not UTF-8 text", file.display())).hint("save it as UTF-8")
    })?;
    let (files, variables) = Apply::needs(&toml).map_err(|error| {
        let mut error = CliError::from(error);
        error.message = format!("{}: {}", file.display(), error.message);
        match error.hints.is_empty() {
            true => error.hint("every key stands in the example, examples/tenants/acme/tenant.toml"),
            false => error,
        }
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut apply = Apply { toml, actor: actor(), ..Apply::default() };
    for name in files {
        let bytes = read_file(&folder.join(&name), NAMED_FILE_BYTES_MAX).map_err(|error| {
            error.hint(format!("{} names it; names in it start at the folder it lies in", file.display()))
        })?;
        apply.files.insert(name, bytes);
    }
    let (env, missing): (BTreeMap<_, _>, Vec<_>) = read_variables(variables);
    if !missing.is_empty() {
        return Err(CliError::user(format!("not set: {}", sentence_list(&missing)))
            .hint("the settings name these environment variables; set them and apply again"));
    }
    apply.env = env;
    Ok(apply)
}

fn read_variables(names: Vec<String>) -> (BTreeMap<String, String>, Vec<String>) {
    let mut set = BTreeMap::new();
    let mut missing = Vec::new();
    for name in names {
        match std::env::var(&name) {
            Ok(value) => drop(set.insert(name, value)),
            Err(_) => missing.push(name),
        }
    }
    (set, missing)
}

async fn apply(cx: &Context<'_>, apply: Apply) -> Result<(), CliError> {
    let applied = cx.app.apply(apply).await?;
    if let Ok(tenant) = applied.tenant.parse() {
        cx.touch(tenant);
    }
    if cx.json {
        print_json(cx.out, &applied);
        return Ok(());
    }
    let tenant = &applied.tenant;
    let what = if applied.created { "created" } else { "changed" };
    cx.out.line(&format!("tenant {tenant} {what}, settings version {}", applied.version));
    for warning in &applied.warnings {
        cx.out.note(&format!("warning: {warning}"));
    }
    cx.out.note(&format!("hint: see what Salesforce makes of them with: dealsync tenant check {tenant}"));
    Ok(())
}

#[derive(Serialize)]
struct TenantItem {
    id: String,
    name: Option<String>,
    health: String,
    settings_version: Option<i64>,
    created: String,
    next_run: Option<String>,
}

async fn show_all(cx: &Context<'_>) -> Result<(), CliError> {
    let mut items = Vec::new();
    for status in cx.app.store().tenants().await? {
        // A tenant whose file cannot be opened is listed like the others.
        let opened = async { cx.app.store().tenant(&status.tenant).await?.settings().await };
        let (settings, health) = match opened.await {
            Ok(settings) => (settings, status.health),
            Err(error) => (None, error.to_string()),
        };
        let name = settings.as_ref().and_then(|version| {
            let settings = crate::settings::TenantSettings::parse(&version.toml).ok()?;
            settings.tenant.name
        });
        items.push(TenantItem {
            id: status.tenant.to_string(),
            name,
            health,
            settings_version: settings.map(|version| version.version),
            created: timestamp_text(status.created_at),
            next_run: status.next_due.map(timestamp_text),
        });
    }
    let columns = [whole("TENANT"), left("NAME"), left("HEALTH"), right("SETTINGS"), whole("NEXT RUN")];
    let empty = "no tenants yet; make one with: dealsync tenant apply FILE.toml";
    list(cx.out, cx.json, &items, &columns, empty, |item| {
        vec![
            item.id.clone(),
            item.name.clone().unwrap_or_default(),
            item.health.clone(),
            item.settings_version.map(|version| format!("v{version}")).unwrap_or_default(),
            minute(item.next_run.as_deref().and_then(dealsync_core::value::parse_timestamp)),
        ]
    });
    Ok(())
}

#[derive(Serialize)]
struct Exported {
    tenant: String,
    version: i64,
    applied: String,
    by: String,
    toml: String,
}

async fn export(cx: &Context<'_>, id: &str) -> Result<(), CliError> {
    let store = cx.tenant(Some(id)).await?;
    let Some(version) = store.settings().await? else {
        return Err(CliError::user(format!("the tenant {id} has no settings yet")));
    };
    if !cx.json {
        cx.out.line(version.toml.trim_end());
        return Ok(());
    }
    print_json(
        cx.out,
        &Exported {
            tenant: id.to_owned(),
            version: version.version,
            applied: timestamp_text(version.at),
            by: version.actor,
            toml: version.toml,
        },
    );
    Ok(())
}

async fn check(cx: &Context<'_>, id: &str) -> Result<(), CliError> {
    let tenant = cx.tenant_id(Some(id)).await?;
    let checks = cx.app.doctor(&tenant).await?;
    let bad = checks.iter().filter(|check| !check.ok).count();
    if cx.json {
        print_json(cx.out, &checks);
    } else {
        for check in &checks {
            let mark = if check.ok { "ok  " } else { "FAIL" };
            cx.out.line(&format!("{mark}  {}: {}", check.name, check.message));
            if let Some(fix) = check.fix.as_ref().filter(|_| !check.ok) {
                cx.out.line(&format!("      fix: {fix}"));
            }
        }
    }
    match bad {
        0 => Ok(()),
        bad => Err(CliError::run(format!("{bad} of {} checks failed", checks.len()))
            .hint("mend what is named above, then check again")),
    }
}

async fn delete(cx: &Context<'_>, id: &str) -> Result<(), CliError> {
    let tenant: TenantId = cx.tenant_id(Some(id)).await?;
    cx.app.delete_tenant(&tenant).await?;
    cx.out.line(&format!("tenant {tenant} deleted"));
    Ok(())
}
