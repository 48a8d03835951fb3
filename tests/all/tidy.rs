//! The project's own rules about itself: who may depend on what, what every file
//! looks like, and that each behaviour has its test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines a source file may have; past that it holds more than one idea.
const SOURCE_LINES_MAX: usize = 700;

/// The behaviours that are numbered.
const BEHAVIOURS: std::ops::RangeInclusive<u32> = 1..=58;

/// Statements that others cover, or that nothing can be seen of.
const WITHOUT_TEST: [u32; 3] = [2, 3, 4];

/// What can only be seen on a page of the portal.
const WEB_PAGES: [u32; 3] = [37, 41, 47];

fn root() -> PathBuf {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().expect("tests is a folder of the project").to_path_buf()
}

/// Every file of the project, by its path from the root, with `/` between names.
fn files() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !["target", ".git", ".demo", "node_modules"].contains(&name.as_str()) {
                    folders.push(path);
                }
                continue;
            }
            let inside = path.strip_prefix(root()).expect("inside the project");
            found.push((inside.to_string_lossy().replace('\\', "/"), path));
        }
    }
    found.sort();
    found
}

/// Every file of the project that is text and ends in one of these, with its text.
fn texts(endings: &[&str]) -> Vec<(String, String)> {
    let wanted = |name: &str| endings.is_empty() || endings.iter().any(|ending| name.ends_with(ending));
    files()
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .filter_map(|(name, path)| Some((name, fs::read_to_string(path).ok()?)))
        .collect()
}

/// Names of the packages that one of ours stands on, dev-dependencies aside.
fn stands_on(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--package", package])
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn assert_none(what: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

#[test]
fn core_depends_on_nothing_that_waits() {
    let stands_on = stands_on("dealsync-core");
    let forbidden = [
        "axum",
        "dealsync",
        "dealsync-rules",
        "futures-core",
        "getrandom",
        "hyper",
        "jiff",
        "mio",
        "rand",
        "reqwest",
        "rusqlite",
        "tokio",
        "tracing",
        "wasmtime",
    ];
    let wrong = forbidden.iter().filter(|name| stands_on.contains(**name)).map(|name| (*name).to_owned());
    assert_none("dealsync-core decides, and must not depend on", wrong.collect());
}

#[test]
fn core_reads_no_clock_and_opens_nothing() {
    let ambient = [
        "std::env",
        "std::fs",
        "std::io",
        "std::net",
        "std::process",
        "std::thread",
        "std::time::Instant",
        "SystemTime",
    ];
    let mut wrong = Vec::new();
    for (name, text) in texts(&[".rs"]).iter().filter(|(name, _)| name.starts_with("host/core/src/")) {
        let used = ambient.iter().filter(|path| text.contains(**path));
        wrong.extend(used.map(|path| format!("{name} uses {path}")));
    }
    assert_none("dealsync-core is given what it needs", wrong);
}

#[test]
fn only_rules_knows_wasmtime() {
    let mut wrong = Vec::new();
    for (name, text) in texts(&["/Cargo.toml"]) {
        let names_it = text.lines().any(|line| line.starts_with("wasmtime"));
        if names_it && name != "host/rules/Cargo.toml" {
            wrong.push(name);
        }
    }
    assert_none("only dealsync-rules may depend on wasmtime", wrong);
}

#[test]
fn every_behaviour_names_a_test_that_exists() {
    let list = fs::read_to_string(root().join("tests/BEHAVIOURS.md")).expect("the list of behaviours");
    let sources: BTreeMap<String, String> = texts(&[".rs"]).into_iter().collect();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for row in list.lines().filter(|line| line.starts_with("| S")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [number, said, proof] = cells[..] else {
            wrong.push(format!("a row has not three cells: {row}"));
            continue;
        };
        let Ok(number) = number.trim_start_matches('S').parse::<u32>() else { continue };
        seen.insert(number);
        if said.len() < 20 {
            wrong.push(format!("S{number} says nothing"));
        }
        if WITHOUT_TEST.contains(&number) {
            continue;
        }
        let is_a_page = WEB_PAGES.contains(&number) && proof.contains("web page");
        let tests: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() && !is_a_page {
            wrong.push(format!("S{number} names no test"));
        }
        wrong.extend(
            tests.iter().filter_map(|test| missing(&sources, test)).map(|what| format!("S{number}: {what}")),
        );
    }
    wrong.extend(
        BEHAVIOURS.filter(|number| !seen.contains(number)).map(|number| format!("S{number} is not listed")),
    );
    assert_none("tests/BEHAVIOURS.md", wrong);
}

/// What is wrong with a test's name: `chapter::name` is `tests/all/chapter.rs`, any
/// other file is named by its path.
fn missing(sources: &BTreeMap<String, String>, test: &str) -> Option<String> {
    let Some((file, name)) = test.rsplit_once("::") else {
        return Some(format!("`{test}` is not file::name"));
    };
    let file = if file.contains('/') { file.to_owned() } else { format!("tests/all/{file}.rs") };
    match sources.get(&file) {
        None => Some(format!("there is no {file}")),
        Some(text) if !text.contains(&format!("fn {name}(")) => Some(format!("{file} has no test {name}")),
        Some(_) => None,
    }
}

#[test]
fn no_file_says_a_forbidden_word() {
    // Put together here, so that this file does not say them.
    let everywhere = [concat!("channel", "tivity")];
    let in_ours = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("db", "g!("),
        concat!("todo", "!("),
        concat!("X", "XX"),
    ];
    let paths =
        [concat!("/ho", "me/"), concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("C:", "\\Users")];
    let mut wrong = Vec::new();
    for (name, text) in texts(&[]) {
        let ours = [".rs", ".md", ".toml", ".wit", ".sql", ".ci/run"].iter().any(|end| name.ends_with(end));
        for (at, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            let mut found: Vec<&str> =
                everywhere.iter().copied().filter(|word| lower.contains(word)).collect();
            if ours {
                found.extend(in_ours.iter().filter(|word| has_word(line, word)));
                found.extend(paths.iter().filter(|path| starts_a_path(line, path)));
            }
            wrong.extend(found.iter().map(|word| format!("{name}:{} says {word}", at + 1)));
        }
    }
    assert_none("words that do not belong here", wrong);
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// An address or a relative path may have such a part; a machine's path begins with it.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~}".contains(c)))
}

#[test]
fn every_chapter_is_part_of_the_binary() {
    let main = fs::read_to_string(root().join("tests/all/main.rs")).expect("the binary's main file");
    let mut wrong = Vec::new();
    for (name, _) in files() {
        let Some(chapter) = name.strip_prefix("tests/all/").and_then(|name| name.strip_suffix(".rs")) else {
            continue;
        };
        if chapter == "main" || chapter.contains('/') {
            continue;
        }
        if !main.lines().any(|line| line == format!("mod {chapter};")) {
            wrong.push(name);
        }
    }
    assert_none("files in tests/all that main.rs does not name", wrong);
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let long = texts(&[".rs"]).into_iter().filter_map(|(name, text)| {
        let lines = text.lines().count();
        (lines > SOURCE_LINES_MAX).then(|| format!("{name} has {lines} lines"))
    });
    assert_none("files that hold more than one idea", long.collect());
}

#[test]
fn every_source_file_opens_by_saying_what_it_is_for() {
    let silent =
        texts(&[".rs"]).into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name);
    assert_none("files without a first line about themselves", silent.collect());
}

#[test]
fn every_dependency_says_what_it_saves_us() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let table = manifest.split("[workspace.dependencies]").nth(1).expect("the table of dependencies");
    let table = table.split("\n[").next().unwrap_or(table);
    let silent = table.lines().filter(|line| {
        let named = line.split_once(" = ").is_some_and(|(name, _)| !name.starts_with('#'));
        // One that only adds a sink to another says it there.
        named && !line.contains("path = ") && !line.contains(" # ") && !line.starts_with("tracing-")
    });
    assert_none("dependencies without a reason", silent.map(str::to_owned).collect());
}

#[test]
fn the_rule_in_the_readme_is_the_examples_own() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect(name);
    let (readme, example) = (read("README.md"), read("plugins/acme/src/lib.rs"));
    let block = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.expect("README.md shows a rule").trim();
    assert!(example.contains(block), "README.md shows another rule than plugins/acme/src/lib.rs has");
}
