//! `dealsync` as a person calls it: the real program on a data folder of its own,
//! with a Salesforce org on a port beside it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dealsync_core::ids::SfId;
use dealsync_salesforce_sim::{OrgFile, Sim, demo};
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries::binaries;
use crate::opportunity::Opportunity;
use crate::world::ACME;

/// A user file with one partner who may own deals: `dana@partner.example`.
pub const DANA: &str = "\
email,first,last,type,status,organisation,group
dana@partner.example,Dana,Vance,partner,active,Partner Ltd,Partner Sales
";

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A person at a shell. Programs run in [`Shell::folder`], where the data folder
/// is `data`, so that what they print names no place of this machine.
#[derive(Debug)]
pub struct Shell {
    pub folder: TempDir,
    pub sim: Sim,
    /// Where the org listens: `http://127.0.0.1:PORT`.
    pub address: String,
}

/// How a command ended, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The exit code; -1 where it was killed.
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Shell {
    /// An empty org of the demo's fields on a port; no data folder yet.
    pub async fn bare() -> Self {
        let file = OrgFile::parse(demo::ORG_TOML).expect("the demo's org file");
        let sim = Sim::new(file).expect("the demo's fields");
        let address = sim.start().await.expect("a free port");
        Self { folder: TempDir::new().expect("a folder"), sim, address }
    }

    /// The same with tenant `acme` and its one partner user.
    pub async fn new() -> Self {
        let shell = Self::bare().await;
        shell.write("tenant.toml", shell.settings());
        shell.write("users.csv", DANA);
        shell.good("tenant apply tenant.toml");
        shell.good("user import users.csv");
        shell
    }

    /// [`ACME`]'s settings with this org as login host.
    pub fn settings(&self) -> String {
        ACME.replace("http://127.0.0.1", &self.address)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).expect("written");
    }

    /// Puts an Opportunity into the org.
    pub fn has(&self, opportunity: Opportunity) -> SfId {
        opportunity.insert(&self.sim.org())
    }

    /// `dealsync` with these words, not started yet.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&binaries().dealsync);
        command.current_dir(self.folder.path()).args(line.split_whitespace()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DEALSYNC_") {
                command.env_remove(name);
            }
        }
        command.env("DEALSYNC_DATA", "data").env("SECRET", "demo-secret").env("USER", "morgan");
        command.env_remove("COLUMNS").env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs `dealsync` with these words to its end.
    pub fn run(&self, line: &str) -> Answer {
        answer(&mut self.command(line))
    }

    /// The same, where it must succeed; returns what it printed.
    pub fn good(&self, line: &str) -> String {
        let answer = self.run(line);
        assert_eq!(answer.code, 0, "dealsync {line}: {answer:?}");
        answer.out
    }

    /// The same with `--json`.
    pub fn json(&self, line: &str) -> Value {
        let out = self.good(&format!("{line} --json"));
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("dealsync {line}: {error}\n{out}"))
    }

    /// A full run's counts.
    pub fn full(&self) -> Value {
        self.json("lane run --full")
    }

    /// How it ended and what it said, on one text that is the same every time.
    pub fn told(&self, line: &str) -> String {
        self.stable(&self.run(line).told())
    }

    /// A text with the org's address as `ORG` and ids made by chance as `ID`.
    pub fn stable(&self, text: &str) -> String {
        let is_id = |word: &&str| word.len() >= 32 && word.bytes().all(is_of_id);
        let text = text.replace(&self.address, "ORG");
        let mut stable = text.clone();
        for id in text.split(|c: char| !c.is_ascii() || !is_of_id(c as u8)).filter(is_id) {
            stable = stable.replace(id, "ID");
        }
        stable
    }

    /// Starts `dealsync serve` and waits until it takes commands.
    pub fn serve(&self) -> Running {
        let mut command = self.command("serve");
        let serve = Running::start(command.stderr(Stdio::piped()).stdout(Stdio::null()));
        wait_until("the service takes commands", || self.path("data/control.sock").exists());
        serve
    }

    /// Every file of the data folder by name, but those that only say who has it
    /// open: the lock, the socket, SQLite's shared memory and empty files.
    pub fn bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        read_all(&self.path("data"), &mut files);
        files.retain(|path, bytes| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name != "lock" && name != "control.sock" && !name.ends_with("-shm") && !bytes.is_empty()
        });
        files
    }
}

fn is_of_id(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')
}

fn read_all(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => read_all(&path, into),
            false => drop(into.insert(path.clone(), std::fs::read(&path).unwrap_or_default())),
        }
    }
}

impl Answer {
    /// `exit N`, then what was printed on each of the two streams.
    pub fn told(&self) -> String {
        format!("exit {}\n{}{}", self.code, self.out, self.err)
    }
}

/// Runs a command to its end.
pub fn answer(command: &mut Command) -> Answer {
    let output = command.output().expect("the program can be started");
    Answer {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).expect("what is printed is text"),
        err: String::from_utf8(output.stderr).expect("what is printed is text"),
    }
}

/// A program that stays up until it is dropped.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("the program can be started"))
    }

    /// The first line it prints on a piped stream.
    pub fn first_line(stream: impl std::io::Read) -> String {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("a line");
        line
    }

    /// Asks it to stop, as `kill` does, and waits for its end. Returns whether it
    /// ended well, and what it wrote on standard error where that is piped.
    pub fn stop(mut self) -> (bool, String) {
        let asked = Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "it is still there to be asked");
        let mut said = String::new();
        if let Some(mut stream) = self.0.stderr.take() {
            stream.read_to_string(&mut said).expect("text");
        }
        let status = self.0.wait().expect("it ends");
        (status.success(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for a condition that another process brings about.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
