//! Calling cargo and rustup the way a person in the project's root would.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What the rules are compiled for.
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Returns the project's root.
pub fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = here.ancestors().find(|folder| folder.join("wit").is_dir());
    root.map(Path::to_path_buf).unwrap_or(here)
}

/// Returns a cargo that starts in the root and is told nothing about this package:
/// build scripts that look at those variables would run again otherwise.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if ours.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command with its output shown. Fails with the command line where it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{} cannot be started", line(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Returns true where the command can be started and succeeds; shows nothing.
pub fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// A command as a person would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Adds the target the rules are compiled for, where it is missing.
pub fn add_wasm_target() -> Result<()> {
    if has_wasm_target() {
        return Ok(());
    }
    eprintln!("Adding the {WASM_TARGET} target, which the rules are compiled for.");
    run(Command::new("rustup").current_dir(root()).args(["target", "add", WASM_TARGET]))
        .with_context(|| format!("install the {WASM_TARGET} target of your Rust toolchain and try again"))
}

/// The compiler itself is asked, so that toolchains without rustup work too.
fn has_wasm_target() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(root()).args(["--print", "target-libdir", "--target", WASM_TARGET]);
    let Ok(output) = rustc.stderr(Stdio::null()).output() else { return false };
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    output.status.success() && folder.is_dir()
}

/// Builds packages' binaries in one call and returns where each of them is.
pub fn build_binaries(packages: &[&str], profile: &str) -> Result<HashMap<String, PathBuf>> {
    let mut command = cargo();
    command.args(["build", "--bins", "--profile", profile, "--message-format=json-render-diagnostics"]);
    for package in packages {
        command.args(["--package", package]);
    }
    let output = command.stderr(Stdio::inherit()).output().context("cargo cannot be started")?;
    if !output.status.success() {
        bail!("{} failed", line(&command));
    }
    let mut binaries = HashMap::new();
    for message in output.stdout.split(|byte| *byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<serde_json::Value>(message) else { continue };
        if let (Some(name), Some(path)) = (message["target"]["name"].as_str(), message["executable"].as_str())
        {
            binaries.insert(name.to_owned(), PathBuf::from(path));
        }
    }
    Ok(binaries)
}
