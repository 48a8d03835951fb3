//! Where commands write, and how they fail. A command does not know whether its
//! lines end in this process' terminal or travel to another one.

use std::io::Write as _;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// Takes the lines of a command: what it answers, and what it says beside that.
pub trait Out: Send + Sync {
    /// A line of the answer, for standard output.
    fn line(&self, text: &str);
    /// Progress and remarks, for standard error.
    fn note(&self, text: &str);
}

/// How a command ends badly. Names are what the exit code tells a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// Something in what was asked for must change.
    User,
    /// The command line itself makes no sense.
    Usage,
    /// The other side: a connection, a run, a service.
    Run,
}

impl Fault {
    pub fn exit_code(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Usage => 2,
            Self::Run => 3,
        }
    }
}

/// An error as a person reads it: what is wrong, then what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    pub fault: Fault,
    pub message: String,
    pub hints: Vec<String>,
}

impl CliError {
    pub fn user(message: impl Into<String>) -> Self {
        Self { fault: Fault::User, message: message.into(), hints: Vec::new() }
    }

    pub fn usage(message: impl Into<String>) -> Self {
        Self { fault: Fault::Usage, ..Self::user(message) }
    }

    pub fn run(message: impl Into<String>) -> Self {
        Self { fault: Fault::Run, ..Self::user(message) }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Writes `error: …` and one `hint: …` line each.
    pub fn print(&self, out: &dyn Out) {
        out.note(&format!("error: {}", self.message));
        for hint in &self.hints {
            out.note(&format!("hint: {hint}"));
        }
    }
}

/// The longest answer of one command, bytes; a dry run of a large org is the
/// largest there is. What is beyond it is not shown.
pub const ANSWER_BYTES_MAX: usize = 256 << 20;

/// This process' own streams.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal;

impl Out for Terminal {
    // Nobody is left to be told where a stream is closed, as by `| head`.
    fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// Keeps what is written, for tests and for what is worked on further.
#[derive(Debug, Default)]
pub struct Kept {
    lines: Mutex<String>,
    notes: Mutex<String>,
}

impl Kept {
    pub fn lines(&self) -> String {
        self.lines.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub fn notes(&self) -> String {
        self.notes.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn push(to: &Mutex<String>, text: &str) {
        let mut kept = to.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if kept.len() + text.len() < ANSWER_BYTES_MAX {
            kept.push_str(text);
            kept.push('\n');
        }
    }
}

impl Out for Kept {
    fn line(&self, text: &str) {
        Self::push(&self.lines, text);
    }

    fn note(&self, text: &str) {
        Self::push(&self.notes, text);
    }
}
