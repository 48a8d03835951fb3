//! The demo is no show: `cargo xtask demo` as it is, on orgs that were changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dealsync_salesforce_sim::{OrgFile, Sim, demo, load};
use dealsync_tests::{Running, answer, binaries, root, wait_until};
use serde_json::{Map, Value};
use tempfile::TempDir;

/// A place where the demo runs: its temporary folders go here too.
#[derive(Debug)]
struct Stage {
    folder: TempDir,
}

impl Stage {
    fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Copies the demo's org to a place where it can be edited.
    fn org(&self) -> PathBuf {
        let org = self.path("org");
        copy(&root().join("tests/salesforce-sim/orgs/demo"), &org);
        org
    }

    /// `cargo xtask demo …`, not started yet.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&binaries().xtask);
        // As cargo starts it.
        command.env("CARGO_MANIFEST_DIR", root().join("host/xtask")).current_dir(root());
        command.arg("demo").args(args).env("TMPDIR", self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end and returns the object on its last line.
    fn counts(&self, args: &[&str]) -> Value {
        let answer = answer(self.command(&["--once", "--json"]).args(args));
        assert_eq!(answer.code, 0, "{answer:?}");
        let last = answer.out.lines().last().expect("a last line");
        let counts: Value = serde_json::from_str(last).expect("an object on the last line");
        check_sums(&counts);
        counts
    }

    /// Processes that stand in some way with this stage, by what they were started with.
    fn processes(&self) -> Vec<String> {
        let mark = self.folder.path().to_str().expect("a plain path");
        let lines = fs::read_dir("/proc").expect("processes").flatten().filter_map(|entry| {
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).replace('\0', " "))
        });
        lines.filter(|line| line.contains(mark)).collect()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a file")),
        }
    }
}

const COUNTS: [&str; 6] = ["selected", "created", "updated", "unchanged", "parked", "skipped"];

fn count(counts: &Value, name: &str) -> u64 {
    counts[name].as_u64().unwrap_or_else(|| panic!("{name} is a number: {counts}"))
}

/// The seven keys and no others; and what holds between them.
fn check_sums(counts: &Value) {
    let keys: Vec<&str> = counts.as_object().expect("an object").keys().map(String::as_str).collect();
    let mut wanted = [COUNTS.as_slice(), &["reasons"]].concat();
    let mut found = keys.clone();
    wanted.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, wanted);
    let sum: u64 = COUNTS[1..].iter().map(|name| count(counts, name)).sum();
    assert_eq!(count(counts, "selected"), sum, "{counts}");
    let reasons: u64 = reasons(counts).values().filter_map(Value::as_u64).sum();
    assert_eq!(reasons, count(counts, "parked") + count(counts, "skipped"), "{counts}");
}

fn reasons(counts: &Value) -> &Map<String, Value> {
    counts["reasons"].as_object().expect("an object")
}

/// Changes one text of a file that is there exactly once.
fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("a file");
    assert_eq!(text.matches(from).count(), 1, "{from} in {}", file.display());
    fs::write(file, text.replace(from, to)).expect("written");
}

#[test]
fn the_demo_imports_most_and_shows_fifteen_causes() {
    let stage = Stage::new();
    let answer = answer(&mut stage.command(&["--once", "--json"]));
    assert_eq!(answer.code, 0, "{answer:?}");
    let last = answer.out.lines().last().expect("a last line");
    let counts: Value = serde_json::from_str(last).expect("an object on the last line");
    check_sums(&counts);
    assert!(count(&counts, "selected") >= 60, "{counts}");
    assert!(count(&counts, "created") * 2 > count(&counts, "selected"), "{counts}");
    assert!(reasons(&counts).len() >= 15, "{counts}");
    for heading in ["The newest deals", "Why the others are not deals yet", "Mails to the owners"] {
        assert!(answer.out.contains(heading), "{heading}: {}", answer.out);
    }
    for code in reasons(&counts).keys() {
        assert!(answer.out.contains(code.as_str()), "{code} stands in the log: {}", answer.out);
    }
    assert_eq!(stage.processes(), Vec::<String>::new());
    assert_eq!(fs::read_dir(stage.folder.path()).expect("a folder").count(), 0, "the data is gone");
}

#[test]
fn the_counts_follow_the_org() {
    let stage = Stage::new();
    let org = stage.org();
    let org_text = org.to_str().expect("a plain path");
    let before = stage.counts(&["--org", org_text]);
    let opportunities = org.join("data/Opportunity.csv");
    // One that nobody owned gets its partner, one that had all loses its account.
    edit(
        &opportunities,
        "Silverlake Studios - Lab Refresh,@a54,Qualification,18499.99,2027-02-18,Existing Customer - Upgrade,\
         Partner Referral,Site survey,\"Covers 3 sites & a \"\"pilot\"\" line.\",true,true,,",
        "Silverlake Studios - Lab Refresh,@a54,Qualification,18499.99,2027-02-18,Existing Customer - Upgrade,\
         Partner Referral,Site survey,\"Covers 3 sites & a \"\"pilot\"\" line.\",true,true,\
         dana.whitlock@alderbay.example,",
    );
    edit(&opportunities, "Bexley Foods - Calibration Service,@a03,", "Bexley Foods - Calibration Service,,");
    edit(
        &opportunities,
        "Ashgrove Robotics - Sensor Platform Upgrade,@a02,",
        "Ashgrove Robotics - Sensor Platform Upgrade,,",
    );
    let after = stage.counts(&["--org", org_text]);
    let moved = |name: &str| count(&after, name).cast_signed() - count(&before, name).cast_signed();
    assert_eq!(COUNTS.map(moved), [0, -1, 0, 0, 1, 0], "{before} {after}");
    let mut wanted = reasons(&before).clone();
    wanted.remove("PARTNER_EMAIL_BLANK");
    let no_account = wanted["ACCOUNT_MISSING"].as_u64().expect("a number");
    wanted.insert("ACCOUNT_MISSING".into(), (no_account + 2).into());
    assert_eq!(*reasons(&after), wanted);
}

/// What the demo's rows are under another seed, by name: what was broken in them.
fn broken(seed: u64) -> BTreeMap<String, &'static str> {
    let file = OrgFile::parse(demo::ORG_TOML).expect("the demo's org file");
    let sim = Sim::new(file).expect("the demo's fields");
    let changes = sim.change(|org| {
        load::texts(org, &demo::FILES).expect("the demo's rows");
        demo::shuffle(org, seed)
    });
    let code = |what: &str| match what {
        "Amount emptied" => Some("REQUIRED_VALUE_EMPTY"),
        "partner address emptied" => Some("PARTNER_EMAIL_BLANK"),
        "partner address of nobody" => Some("PARTNER_USER_UNKNOWN"),
        "partner address is none" => Some("PARTNER_EMAIL_INVALID"),
        "sync flag off" => Some("SYNC_FLAG_MISSING"),
        "owner type unknown" => Some("OWNER_TYPE_UNKNOWN"),
        "account taken away" => Some("ACCOUNT_MISSING"),
        _ => None,
    };
    changes.into_iter().filter_map(|change| Some((change.opportunity, code(&change.what)?))).collect()
}

#[test]
fn another_seed_gives_another_org_and_the_counts_follow() {
    let stage = Stage::new();
    let data = stage.path("data");
    let data = data.to_str().expect("a plain path");
    let first = stage.counts(&[]);
    let other = stage.counts(&["--seed", "7", "--data", data]);
    assert_eq!(other["selected"], first["selected"], "nobody ticks the import flag of another record");
    assert_ne!(other["reasons"], first["reasons"]);
    let mut asides = Command::new(&binaries().dealsync);
    let asides = answer(asides.args(["--data", data, "parked", "list", "--skipped", "--json"]));
    let asides: Value = serde_json::from_str(&asides.out).expect("a list");
    let asides: BTreeMap<&str, &Value> = asides
        .as_array()
        .expect("a list")
        .iter()
        .map(|aside| (aside["name"].as_str().expect("a name"), &aside["reasons"]))
        .collect();
    assert_eq!(asides.len() as u64, count(&other, "parked") + count(&other, "skipped"));
    let broken = broken(7);
    assert!(broken.len() > 3, "{broken:?}");
    for (name, code) in broken {
        let reasons = asides.get(name.as_str()).unwrap_or_else(|| panic!("{name} is set aside"));
        let codes = reasons.as_array().expect("a list").iter().map(|reason| &reason["code"]);
        assert!(codes.into_iter().any(|found| found == code), "{name}: {code}: {reasons}");
    }
    // The same seed, the same org.
    assert_eq!(stage.counts(&["--seed", "7"]), other);
}

#[test]
fn a_second_run_on_kept_data_creates_and_updates_nothing() {
    let stage = Stage::new();
    let data = stage.path("data");
    let args = ["--data", data.to_str().expect("a plain path")];
    let first = stage.counts(&args);
    let second = stage.counts(&args);
    assert_eq!((count(&second, "created"), count(&second, "updated")), (0, 0), "{second}");
    assert_eq!(second["unchanged"], first["created"]);
    for same in ["selected", "parked", "skipped", "reasons"] {
        assert_eq!(second[same], first[same], "{same}");
    }
}

#[test]
fn nothing_the_demo_started_outlives_it() {
    let stage = Stage::new();
    let org = stage.org();
    let mut command = stage.command(&["--org", org.to_str().expect("a plain path")]);
    let mut demo = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let serves = |line: &String| line.ends_with(" serve ") && !line.contains(" keep ");
    wait_until("the demo serves", || {
        assert!(demo.0.try_wait().expect("asked").is_none(), "it stays up");
        stage.processes().iter().any(serves)
    });
    let simulators = stage.processes().iter().filter(|line| line.contains("salesforce-sim")).count();
    assert!(simulators > 0, "{:?}", stage.processes());
    // No time to say goodbye.
    demo.0.kill().expect("it is there");
    demo.0.wait().expect("it is gone");
    wait_until("all of it has ended", || stage.processes().is_empty());
    let left = || {
        let entries = fs::read_dir(stage.folder.path()).expect("a folder").flatten();
        entries.filter(|entry| entry.file_name() != "org").count()
    };
    wait_until("its data is gone", || left() == 0);
}

#[test]
fn an_org_that_is_none_is_named_by_what_it_lacks() {
    let stage = Stage::new();
    let org = stage.org();
    fs::remove_file(org.join("users.csv")).expect("removed");
    let answer = answer(&mut stage.command(&["--once", "--org", org.to_str().expect("a plain path")]));
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("has no users.csv"), "{}", answer.err);
}
