//! Builds `plugins/standard` for the sandbox and embeds it.
//!
//! The guest has a target folder of its own, since the outer build holds the
//! lock of the common one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const TARGET: &str = "wasm32-unknown-unknown";

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../..");
    for input in ["plugins/standard", "plugins/sdk", "wit", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
    let wasm = build_guest(&root, &out.join("guest"), "standard");
    fs::copy(&wasm, out.join("standard.wasm")).expect("the built guest can be copied");
}

fn build_guest(root: &Path, target: &Path, name: &str) -> PathBuf {
    let status = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "--profile", "guest", "--target", TARGET, "--lib"])
        .args(["--package", &format!("dealsync-rules-{name}")])
        .arg("--target-dir")
        .arg(target)
        // What the outer build was told is not meant for the guest.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .status();
    if !status.is_ok_and(|status| status.success()) {
        eprintln!("The standard rules could not be built for {TARGET}.");
        eprintln!("If the target is missing, run: rustup target add {TARGET}");
        std::process::exit(1);
    }
    target.join(TARGET).join("guest").join(format!("dealsync_rules_{name}.wasm"))
}
