//! `cargo xtask test`: everything a change has to pass, step by step.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cargo;

#[derive(Debug)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(&'static str),
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// Runs every step, also after one that failed, so that one run tells everything.
pub fn run(args: &[OsString]) -> Result<()> {
    if !args.is_empty() {
        bail!("`cargo xtask test` takes no arguments\nhint: `cargo test NAME` runs single tests");
    }
    cargo::add_wasm_target()?;
    let mut steps = Vec::new();
    take(&mut steps, "format", || call(&["fmt", "--all", "--check"]));
    take(&mut steps, "lints", || {
        call(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
    });
    take(&mut steps, "tests", || call(&["test", "--workspace", "--locked", "--no-fail-fast"]));
    take(&mut steps, "docs", || {
        let mut command = cargo::cargo();
        command.args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings");
        outcome(&mut command)
    });
    take(&mut steps, "licences", licences);
    take(&mut steps, "advisories", advisories);
    summary(&steps)
}

fn take(steps: &mut Vec<Step>, name: &'static str, step: impl FnOnce() -> Outcome) {
    eprintln!("\n== {name}");
    let started = now();
    let outcome = step();
    steps.push(Step { name, outcome, took: started.elapsed() });
}

fn call(args: &[&str]) -> Outcome {
    outcome(cargo::cargo().args(args))
}

fn outcome(command: &mut Command) -> Outcome {
    match cargo::run(command) {
        Ok(()) => Outcome::Passed,
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

fn licences() -> Outcome {
    if !has_deny() {
        return Outcome::Skipped("cargo-deny is not installed");
    }
    call(&["deny", "--workspace", "check", "bans", "licenses", "sources"])
}

fn advisories() -> Outcome {
    if !has_deny() {
        return Outcome::Skipped("cargo-deny is not installed");
    }
    if !cargo::succeeds(cargo::cargo().args(["deny", "fetch", "db"])) {
        return Outcome::Skipped("the advisory database cannot be fetched");
    }
    call(&["deny", "--workspace", "check", "--disable-fetch", "advisories"])
}

fn has_deny() -> bool {
    cargo::succeeds(cargo::cargo().args(["deny", "--version"]))
}

/// Prints one line per step. Fails where a step did.
fn summary(steps: &[Step]) -> Result<()> {
    eprintln!();
    for Step { name, outcome, took } in steps {
        let seconds = took.as_secs_f32();
        match outcome {
            Outcome::Passed => eprintln!("{name:<12} passed   {seconds:>7.1} s"),
            Outcome::Failed(what) => eprintln!("{name:<12} FAILED   {seconds:>7.1} s  {what}"),
            Outcome::Skipped(why) => eprintln!("{name:<12} skipped             {why}"),
        }
    }
    let failed = steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).count();
    match failed {
        0 => Ok(()),
        1 => bail!("one step failed"),
        n => bail!("{n} steps failed"),
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a step took is this program's own business")]
fn now() -> Instant {
    Instant::now()
}
