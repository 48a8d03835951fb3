//! `cargo xtask demo`: an org, a tenant and an import, from nothing to deals.
//!
//! Everything is done by the real programs: the simulator stands in for Salesforce,
//! and `dealsync` is called as an operator would call it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cargo;
use crate::keep::Kept;
use crate::show;

const TENANT: &str = "acme";
const SETTINGS: &str = "examples/tenants/acme/tenant.toml";
const ORG: &str = "tests/salesforce-sim/orgs/demo";
/// Two programs, and two packages without one: naming them makes cargo choose the
/// same features of what all stand on as the tests do, so nothing is built twice.
const PACKAGES: [&str; 4] = ["dealsync", "dealsync-salesforce-sim", "dealsync-rules-sdk", "dealsync-tests"];
/// The variable that the example settings take the client secret from.
const SECRET_NAME: &str = "ACME_SALESFORCE_SECRET";
/// What the demo org's connected app knows.
const CLIENT_SECRET: &str = "demo-secret";
/// As the command line takes it.
const DEALS_SHOWN: &str = "12";
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Options {
    once: bool,
    json: bool,
    data: Option<PathBuf>,
    seed: Option<String>,
    org: Option<PathBuf>,
}

/// Runs the demo. Whatever it started has ended when this returns.
pub fn run(args: Vec<OsString>) -> Result<()> {
    let options = parse(args)?;
    cargo::add_wasm_target()?;
    eprintln!("Building dealsync, its rules and the simulator. The first time takes some minutes.");
    let binaries = cargo::build_binaries(&PACKAGES, "dev")?;
    let binary = |name: &str| binaries.get(name).cloned().with_context(|| format!("cargo built no {name}"));

    // Invariant: dropped last, when nothing writes into the folder any more.
    let (data, _removed) = data_folder(&options)?;
    let org = org_folder(&options)?;
    let simulator = Simulator::start(&binary("dealsync-salesforce-sim")?, &org, options.seed.as_deref())?;
    eprintln!("A Salesforce simulator with the demo org listens on {}", simulator.address);

    let dealsync = Dealsync { program: binary("dealsync")?, data: data.clone() };
    let settings = write_settings(&data, &simulator.address)?;
    dealsync.call(&["tenant", "apply", text(&settings)?])?;
    dealsync.call(&["user", "import", text(&org.join("users.csv"))?, "--tenant", TENANT])?;

    eprintln!("\nImporting the flagged Opportunities …");
    let report = dealsync.report(&["lane", "run", "--tenant", TENANT, "--full", "--json"])?;
    let counts = show::counts(&report)?;

    println!("\nThe newest deals");
    dealsync.call(&["deal", "list", "--tenant", TENANT, "--limit", DEALS_SHOWN])?;
    println!("\nWhy the others are not deals yet");
    dealsync.call(&["log", "list", "--tenant", TENANT, "--grouped"])?;
    show::mails(&data.join("mails"));
    show::counted(&counts);
    match (&options.data, options.once) {
        (None, true) => show::kept(),
        (_, once) => show::next(&dealsync.typed(), TENANT, !once),
    }
    if !options.once {
        stay(&dealsync, simulator)?;
    }
    if options.json {
        println!("{counts}");
    }
    Ok(())
}

fn parse(args: Vec<OsString>) -> Result<Options> {
    let mut options = Options::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg:?} needs a value"));
        match arg.to_str() {
            Some("--once") => options.once = true,
            Some("--json") => options.json = true,
            Some("--data") => options.data = Some(value()?.into()),
            Some("--org") => options.org = Some(value()?.into()),
            Some("--seed") => {
                let seed = value()?.to_string_lossy().into_owned();
                seed.parse::<u64>().with_context(|| format!("{seed:?} is no seed: write a number"))?;
                options.seed = Some(seed);
            }
            _ => bail!("{arg:?} is no option of the demo\nhint: `cargo xtask help` lists them"),
        }
    }
    Ok(options)
}

/// The data folder, and its keeper where it is to be removed again.
fn data_folder(options: &Options) -> Result<(PathBuf, Option<Kept>)> {
    if let Some(data) = &options.data {
        std::fs::create_dir_all(data).with_context(|| format!("{} cannot be made", data.display()))?;
        return Ok((std::path::absolute(data)?, None));
    }
    let folder = tempfile::Builder::new().prefix("dealsync-demo-").tempdir()?.keep();
    let removed = Kept::folder(&folder)?;
    Ok((folder, Some(removed)))
}

fn org_folder(options: &Options) -> Result<PathBuf> {
    let org = options.org.clone().unwrap_or_else(|| cargo::root().join(ORG));
    let org = std::path::absolute(org)?;
    for file in ["org.toml", "users.csv", "data"] {
        if !org.join(file).exists() {
            bail!("{} has no {file}", org.display());
        }
    }
    Ok(org)
}

/// The simulator, running. Dropping it ends it.
#[derive(Debug)]
struct Simulator {
    process: Kept,
    address: String,
}

impl Simulator {
    /// Starts it on a free port and waits until it says where it listens.
    fn start(program: &Path, org: &Path, seed: Option<&str>) -> Result<Self> {
        let mut args: Vec<OsString> = vec!["--port".into(), "0".into()];
        args.extend(["--org".into(), org.join("org.toml").into(), "--data".into(), org.join("data").into()]);
        if let Some(seed) = seed {
            args.extend(["--demo-seed".into(), seed.into()]);
        }
        let mut process = Kept::start(program, &args, &[], true)?;
        let mut output = BufReader::new(process.stdout().expect("the output is piped"));
        let mut first = String::new();
        output.read_line(&mut first)?;
        let Some(address) = first.split_whitespace().find(|word| word.starts_with("http://")) else {
            bail!("the simulator did not start; its first line was {first:?}");
        };
        let address = address.trim_end_matches(['/', '.', ',']).to_owned();
        // What it says later is nobody's business here, but must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Ok(Self { process, address })
    }
}

/// The command line, as a person would use it.
#[derive(Debug)]
struct Dealsync {
    program: PathBuf,
    data: PathBuf,
}

impl Dealsync {
    fn start(&self, args: &[&str], piped: bool) -> Result<Kept> {
        let mut all: Vec<OsString> = vec!["--data".into(), self.data.clone().into()];
        all.extend(args.iter().map(OsString::from));
        let kept = Kept::start(&self.program, &all, &[(SECRET_NAME, CLIENT_SECRET)], piped)?;
        Ok(kept)
    }

    fn call(&self, args: &[&str]) -> Result<()> {
        eprintln!("\n$ dealsync {}", args.join(" "));
        let status = self.start(args, false)?.wait()?;
        if !status.success() {
            bail!("`dealsync {}` failed", args.join(" "));
        }
        Ok(())
    }

    fn output(&self, args: &[&str]) -> Result<String> {
        let mut process = self.start(args, true)?;
        let mut text = String::new();
        process.stdout().expect("the output is piped").read_to_string(&mut text)?;
        if !process.wait()?.success() {
            bail!("`dealsync {}` failed", args.join(" "));
        }
        Ok(text)
    }

    /// What a command says of itself in the end: one JSON object.
    fn report(&self, args: &[&str]) -> Result<Value> {
        let output = self.output(args)?;
        last_object(&output).with_context(|| format!("`dealsync {}` reported nothing", args.join(" ")))
    }

    /// How a person calls this very program on this very data.
    fn typed(&self) -> String {
        format!("{} --data {}", self.program.display(), self.data.display())
    }
}

/// Copies the example's settings, with the simulator as login host.
fn write_settings(data: &Path, address: &str) -> Result<PathBuf> {
    let example = cargo::root().join(SETTINGS);
    let mut settings =
        std::fs::read_to_string(&example).with_context(|| format!("{} cannot be read", example.display()))?;
    let mails = data.join("mails");
    for (key, value) in [("login_url", address), ("folder", text(&mails)?)] {
        settings = with_value(&settings, key, value)?;
    }
    let path = data.join("tenant.toml");
    std::fs::write(&path, settings).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// The object at the end of an output, on one line or on several.
fn last_object(output: &str) -> Option<Value> {
    let mut starts = output.match_indices('{').filter(|(at, _)| *at == 0 || output[..*at].ends_with('\n'));
    let (at, _) = starts.next_back()?;
    serde_json::from_str(&output[at..]).ok()
}

/// Replaces the value of a key that stands on a line of its own.
fn with_value(settings: &str, key: &str, value: &str) -> Result<String> {
    let is_it = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
    if !settings.lines().any(is_it) {
        bail!("{SETTINGS} has no {key}");
    }
    let quoted = Value::from(value).to_string();
    let lines = settings.lines().map(|line| match is_it(line) {
        true => format!("{key} = {quoted}\n"),
        false => format!("{line}\n"),
    });
    Ok(lines.collect())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no path the demo can use", path.display()))
}

/// Stays up with `dealsync serve` until Ctrl-C, or until one of the two ends.
fn stay(dealsync: &Dealsync, mut simulator: Simulator) -> Result<()> {
    eprintln!("\n$ dealsync serve");
    let mut serve = dealsync.start(&["serve"], false)?;
    eprintln!("Both stay up until you press Ctrl-C.");
    loop {
        if let Some(status) = serve.ended()? {
            bail!("`dealsync serve` ended ({status})");
        }
        if let Some(status) = simulator.process.ended()? {
            bail!("the simulator ended ({status})");
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_replaced_and_its_comment_is_left_alone() {
        let settings = "# login_url is where people log in\nlogin_url = \"https://x\" # any\nname = \"a\"\n";
        let replaced = with_value(settings, "login_url", "http://127.0.0.1:9").unwrap();
        assert_eq!(
            replaced,
            "# login_url is where people log in\nlogin_url = \"http://127.0.0.1:9\"\nname = \"a\"\n"
        );
        assert!(with_value(settings, "folder", "x").is_err());
    }

    #[test]
    fn a_report_is_read_on_one_line_or_on_several() {
        let one = "page 1\n{\"created\":1,\"reasons\":{}}\n";
        let several = "page 1\n{\n  \"created\": 1,\n  \"reasons\": {\n    \"X\": 1\n  }\n}\n";
        for output in [one, several] {
            assert_eq!(last_object(output).unwrap()["created"], 1);
        }
        assert!(last_object("nothing\n").is_none());
    }

    #[test]
    fn an_unknown_option_is_refused_by_name() {
        let error = parse(vec!["--onc".into()]).unwrap_err();
        assert!(error.to_string().contains("--onc"), "{error}");
        assert!(parse(vec!["--seed".into(), "x".into()]).is_err());
        assert!(parse(vec!["--data".into()]).is_err());
    }
}
