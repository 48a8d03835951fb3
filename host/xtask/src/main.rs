//! `cargo xtask`: set-up, demo, tests, benches and the simulator in one command.
//!
//! It needs a Rust toolchain and nothing else, and adds what is missing. What it
//! starts is `dealsync` and its simulator as an operator would; it knows nothing
//! of their insides.

mod cargo;
mod demo;
mod keep;
mod show;
mod steps;

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask COMMAND

  demo [OPTIONS]       Start a Salesforce simulator with a demo org, import its
                       flagged Opportunities, show the deals and the log; then
                       stay up with `dealsync serve` until Ctrl-C
      --once           Stop after the import
      --json           Print the run's counts as one JSON object on the last line
      --data DIR       Keep the data in DIR (else: a folder that is removed again)
      --seed N         Shuffle the org's amounts, dates, partners and defects
      --org DIR        Another org: a folder with org.toml, users.csv and data/
  test                 Format, lints, tests, docs, and licences where cargo-deny is
                       installed: what a change has to pass
  bench [NAME…]        Run the benches, optimised; --list names them
  sim [ARGS…]          Run the simulator by hand; `cargo xtask sim --help` says how
";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    let done = match command.to_str() {
        Some("demo") => demo::run(rest),
        Some("test") => steps::run(&rest),
        Some("bench") => bench(rest),
        Some("sim") => sim(rest),
        Some(keep::COMMAND) => return keep::run(rest),
        Some("" | "help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        _ => unknown(&command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the benches, the simulator and the guests they ask, and runs them.
fn bench(args: Vec<OsString>) -> Result<()> {
    cargo::add_wasm_target()?;
    let mut guests = cargo::cargo();
    guests.args(["build", "--quiet", "--profile", "guest", "--target", cargo::WASM_TARGET, "--lib"]);
    guests.args(["--package", "dealsync-rules-standard", "--package", "dealsync-bench-guest-json"]);
    cargo::run(&mut guests)?;
    let binaries = cargo::build_binaries(&["dealsync-bench", "dealsync-salesforce-sim"], "release")?;
    let bench = binaries.get("dealsync-bench").context("cargo built no dealsync-bench")?;
    cargo::run(Command::new(bench).args(args))
}

fn sim(args: Vec<OsString>) -> Result<()> {
    let mut command = cargo::cargo();
    command.args(["run", "--quiet", "--package", "dealsync-salesforce-sim", "--"]).args(args);
    cargo::run(&mut command)
}

fn unknown(command: &OsString) -> Result<()> {
    bail!("there is no command {command:?}\nhint: `cargo xtask help` lists them")
}
