//! A real SMTP server in a process of its own: Python's aiosmtpd, installed once
//! into `target`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tempfile::TempDir;

const PACKAGE: &str = "aiosmtpd==1.4.6";
const HINT: &str = "the mail tests need python3 with venv and pip (on Debian: apt-get install python3-venv), \
                    and access to PyPI the first time";

/// The server and what it took. Dropping it ends it.
#[derive(Debug)]
pub struct SmtpServer {
    process: Child,
    folder: TempDir,
    pub port: u16,
}

/// A mail as the server took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenMail {
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
}

impl TakenMail {
    /// A header's value, as it stands there.
    pub fn header(&self, name: &str) -> &str {
        let start = format!("{name}: ");
        self.text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default()
    }
}

impl SmtpServer {
    /// One that lets anybody in.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// One that wants a login.
    pub fn with_login(user: &str, password: &str) -> Self {
        Self::with(&[user, password])
    }

    fn with(login: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kit/smtp_server.py");
        let mut process = Command::new(python())
            .arg(script)
            .arg(folder.path())
            .args(login)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}; {HINT}"));
        let mut first = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut first).expect("its port");
        let port = first.trim().parse().unwrap_or_else(|_| panic!("the SMTP server said {first:?}; {HINT}"));
        Self { process, folder, port }
    }

    /// How it answers the next mails: SMTP replies, or `hang`.
    pub fn answer(&self, replies: &[&str]) {
        let lines: String = replies.iter().map(|reply| format!("{reply}\n")).collect();
        std::fs::write(self.folder.path().join("replies"), lines).expect("written");
    }

    /// The mails it took, in the order they came.
    pub fn mails(&self) -> Vec<TakenMail> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.folder.path())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
            .collect();
        files.sort();
        files.iter().map(|path| taken(&std::fs::read_to_string(path).expect("a mail"))).collect()
    }
}

fn taken(json: &str) -> TakenMail {
    let mail: Value = serde_json::from_str(json).expect("as the server wrote it");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    TakenMail {
        from: text(&mail["from"]),
        to: mail["to"].as_array().into_iter().flatten().map(text).collect(),
        text: text(&mail["text"]),
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Python that has the server. Fails with what to install where it cannot be had.
fn python() -> PathBuf {
    static MADE: Mutex<()> = Mutex::new(());
    let _one = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/smtp-venv");
    let python = venv.join("bin/python");
    let has_it = |python: &Path| {
        let mut command = Command::new(python);
        command.args(["-c", "import aiosmtpd"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !has_it(&python) {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&venv).status();
        assert!(made.is_ok_and(|status| status.success()), "python3 made no virtual environment; {HINT}");
        let installed = Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE]).status();
        assert!(installed.is_ok_and(|status| status.success()), "pip installed no {PACKAGE}; {HINT}");
    }
    python
}
