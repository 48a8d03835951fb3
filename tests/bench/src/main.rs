//! `dealsync-bench`: the figures that are followed over time, one line each:
//! `NAME VALUE UNIT limit=…`. Lines that start with `#` say what a figure was
//! measured against and how. `cargo xtask bench` builds what this needs.
//!
//! What is measured runs in a process of its own (`engine`, `bare`), so that
//! processor time and memory are nobody else's; the simulator is a third process.

mod bare;
mod engine;
mod figures;
mod imports;
mod measure;
mod rules;
mod simulator;
mod unchanged;
mod world;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::figures::{FIGURES, Wanted};
use crate::imports::Size;

const HELP: &str = "\
dealsync-bench [NAME…] [OPTIONS]

  --list      Name the figures
  --pairs N   Imports and bare loops, in turn, behind import_50k_vs_bare_loop (3)
  --quick     Everything with a twenty-fifth of the records, to see that it runs:
              the figures mean nothing
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some(engine::COMMAND) => engine::main(&args[1..]),
        Some(bare::COMMAND) => bare::main(&args[1..]),
        _ => bench(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &[String]) -> Result<()> {
    let mut names = Vec::new();
    let mut size = Size::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => {
                print!("{HELP}");
                return Ok(());
            }
            "--list" => {
                FIGURES.iter().for_each(|figure| println!("{:<34} {}", figure.name, figure.what));
                return Ok(());
            }
            "--quick" => size.quick = true,
            "--pairs" => {
                let number = args.next().context("--pairs needs a number")?;
                size.pairs = number.parse().with_context(|| format!("{number:?} is no number of pairs"))?;
                if size.pairs == 0 {
                    bail!("--pairs is 1 or more");
                }
            }
            option if option.starts_with('-') => bail!("{option:?} is no option\nhint: --help lists them"),
            name => names.push(name.to_owned()),
        }
    }
    let wanted = Wanted::new(&names)?;
    measure::describe_machine();
    rules::measure(&wanted)?;
    if size.quick {
        println!("# --quick: no figure below means anything");
    }
    imports::measure(&wanted, &size)?;
    wanted.tell_missed();
    Ok(())
}

/// The value that follows an option of the hidden commands.
fn option<'a>(args: &'a [String], name: &str) -> Result<&'a str> {
    let at = args.iter().position(|arg| arg == name);
    let value = at.and_then(|at| args.get(at + 1));
    value.map(String::as_str).with_context(|| format!("{name} is missing"))
}
