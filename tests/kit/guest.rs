//! Rules in the sandbox: the workspace's own guests, built once per test run.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

const TARGET: &str = "wasm32-unknown-unknown";

/// One build at a time; cargo looks at each package once and finds it fresh after that.
static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The component of `plugins/NAME`, as a tenant would hand it in: `acme`,
/// `mischief` or `standard`.
pub fn guest(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = root.join("target/guests");
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !built.iter().any(|known| known == name) {
        build(&root, &target, name);
        built.push(name.to_owned());
    }
    drop(built);
    let file: PathBuf = target.join(TARGET).join("guest").join(format!("dealsync_rules_{name}.wasm"));
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The guests have a target folder of their own, since the outer build may hold the
/// lock of the common one.
fn build(root: &Path, target: &Path, name: &str) {
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
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
    let done = status.is_ok_and(|status| status.success());
    assert!(done, "plugins/{name} builds; is the target there? rustup target add {TARGET}");
}
