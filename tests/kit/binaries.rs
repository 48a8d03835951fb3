//! The real programs, built once per test run with the packages the demo names, so
//! that nothing is built a second time for other features.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// As `cargo xtask demo` names them.
const PACKAGES: [&str; 4] = ["dealsync", "dealsync-salesforce-sim", "dealsync-rules-sdk", "dealsync-tests"];

/// Where the built programs are.
#[derive(Debug)]
pub struct Binaries {
    pub dealsync: PathBuf,
    pub simulator: PathBuf,
    /// What `cargo xtask` runs.
    pub xtask: PathBuf,
}

/// The programs of this workspace, as they are now.
pub fn binaries() -> &'static Binaries {
    static BUILT: OnceLock<Binaries> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = build(&PACKAGES);
        let xtask = build(&["dealsync-xtask"]);
        let at = |of: &HashMap<String, PathBuf>, name: &str| {
            of.get(name).unwrap_or_else(|| panic!("cargo built no {name}")).clone()
        };
        Binaries {
            dealsync: at(&built, "dealsync"),
            simulator: at(&built, "dealsync-salesforce-sim"),
            xtask: at(&xtask, "dealsync-xtask"),
        }
    })
}

/// The workspace's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests lie in the workspace").to_path_buf()
}

/// Builds packages' programs and returns where they are. The outer cargo holds no
/// lock while tests run.
fn build(packages: &[&str]) -> HashMap<String, PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["build", "--bins", "--message-format=json-render-diagnostics"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    // Build scripts that look at what cargo says of this package would run again.
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if ours.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    let output = cargo.stderr(Stdio::inherit()).output().expect("cargo can be started");
    assert!(output.status.success(), "{packages:?} are built");
    let messages = output.stdout.split(|byte| *byte == b'\n');
    let messages = messages.filter_map(|message| serde_json::from_slice::<Value>(message).ok());
    messages
        .filter_map(|message| {
            let name = message["target"]["name"].as_str()?.to_owned();
            Some((name, message["executable"].as_str()?.into()))
        })
        .collect()
}
