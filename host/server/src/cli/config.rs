//! `dealsync config …`: where things are, for whoever looks for them.

use std::path::Path;

use clap::Subcommand;
use serde::Serialize;

use super::out::{CliError, Out};
use super::table::print_json;
use super::{Globals, reach};
use crate::{control, scheduler};

#[derive(Debug, Clone, Subcommand)]
pub enum Config {
    /// Shows the version, the data folder, and whether a service owns it.
    Show,
}

#[derive(Serialize)]
struct Shown {
    version: &'static str,
    data: String,
    data_exists: bool,
    tenants: usize,
    key: String,
    socket: String,
    service_running: bool,
    log_filter: Option<String>,
    tenants_at_once: usize,
}

impl Config {
    pub(super) async fn execute(&self, globals: &Globals, out: &dyn Out) -> Result<(), CliError> {
        let data = std::path::absolute(&globals.data).unwrap_or_else(|_| globals.data.clone());
        let shown = Shown {
            version: env!("CARGO_PKG_VERSION"),
            data: data.display().to_string(),
            data_exists: data.is_dir(),
            tenants: tenant_files(&data),
            key: key(globals),
            socket: data.join(control::SOCKET_NAME).display().to_string(),
            service_running: reach(&data).await?.is_some(),
            log_filter: std::env::var("DEALSYNC_LOG").ok(),
            tenants_at_once: scheduler::TENANTS_AT_ONCE,
        };
        if globals.json {
            print_json(out, &shown);
            return Ok(());
        }
        let exists =
            if shown.data_exists { format!("{} tenants", shown.tenants) } else { "not made yet".into() };
        for (label, text) in [
            ("version", shown.version.to_owned()),
            ("data folder", format!("{} ({exists})", shown.data)),
            ("key", shown.key),
            ("service", if shown.service_running { "running" } else { "not running" }.to_owned()),
            ("socket", shown.socket),
            ("log filter", shown.log_filter.unwrap_or_else(|| "from -v; override with DEALSYNC_LOG".into())),
            ("at once", format!("{} tenants", shown.tenants_at_once)),
        ] {
            out.line(&format!("{label:<12}  {text}"));
        }
        Ok(())
    }
}

/// Where the key comes from; never the key.
fn key(globals: &Globals) -> String {
    match &globals.key_file {
        Some(file) => format!("from the file {}", file.display()),
        None if std::env::var_os("DEALSYNC_KEY").is_some() => "from DEALSYNC_KEY".to_owned(),
        None => "in the data folder; name another place with --key-file".to_owned(),
    }
}

fn tenant_files(data: &Path) -> usize {
    let Ok(files) = std::fs::read_dir(data.join("tenants")) else { return 0 };
    files.flatten().filter(|file| file.path().extension().is_some_and(|ending| ending == "db")).count()
}
