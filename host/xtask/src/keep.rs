//! Programs that must not outlive the command that started them.
//!
//! Each is started by a keeper, which is this program again, in a process group of
//! its own and with a pipe as its standard input. However the command ends (done,
//! failed, Ctrl-C, killed), the pipe closes, and the keeper ends its program or
//! removes its folder. Nothing but the standard library is needed for it.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, Result};

/// The hidden command under which this program is a keeper.
pub const COMMAND: &str = "keep";
/// How long a program may take to end by itself once it was asked to.
const STOP_WAIT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// Attempts at removing a folder in which a program may still be ending.
const REMOVE_ATTEMPTS: u32 = 50;
const REMOVE_WAIT: Duration = Duration::from_millis(100);

/// A program, or a folder, under a keeper. Dropping it ends the program.
#[derive(Debug)]
pub struct Kept {
    keeper: Child,
}

impl Kept {
    /// Starts a program. Where `piped`, its output is read through [`Kept::stdout`].
    pub fn start(program: &Path, args: &[OsString], envs: &[(&str, &str)], piped: bool) -> Result<Self> {
        let mut command = keeper()?;
        command.arg("run").arg(program).args(args).envs(envs.iter().copied());
        command.stdout(if piped { Stdio::piped() } else { Stdio::inherit() });
        let keeper = command.spawn().with_context(|| format!("{} cannot be started", program.display()))?;
        Ok(Self { keeper })
    }

    /// Takes charge of a folder that is removed when this value is dropped.
    pub fn folder(folder: &Path) -> Result<Self> {
        let mut command = keeper()?;
        command.arg("folder").arg(folder);
        Ok(Self { keeper: command.spawn().context("the demo's own helper cannot be started")? })
    }

    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.keeper.stdout.take()
    }

    /// Waits until the program ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        // `Child::wait` would close the pipe, and the keeper end the program.
        let pipe = self.keeper.stdin.take();
        let status = self.keeper.wait()?;
        drop(pipe);
        Ok(status)
    }

    /// Returns how the program ended, where it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.keeper.try_wait()?)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nothing is left to do about a keeper that cannot be waited for.
        let _ = self.keeper.wait();
    }
}

fn keeper() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program cannot find itself")?);
    command.arg(COMMAND).stdin(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command)
}

/// What a keeper does: `run PROGRAM ARGS…`, or `folder PATH`.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let what = args.next().unwrap_or_default();
    let Some(subject) = args.next() else { return ExitCode::FAILURE };
    match what.to_str() {
        Some("run") => run_program(&PathBuf::from(subject), args.collect()),
        Some("folder") => remove_folder(&PathBuf::from(subject)),
        _ => ExitCode::FAILURE,
    }
}

fn run_program(program: &Path, args: Vec<OsString>) -> ExitCode {
    let mut child = match Command::new(program).args(args).stdin(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("error: {} cannot be started: {error}", program.display());
            return ExitCode::FAILURE;
        }
    };
    let (closed, is_closed) = mpsc::channel();
    std::thread::spawn(move || {
        wait_for_end_of_input();
        let _ = closed.send(());
    });
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return code(status),
            Ok(None) => {}
            Err(_) => return ExitCode::FAILURE,
        }
        match is_closed.recv_timeout(POLL) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    stop(&mut child);
    ExitCode::SUCCESS
}

fn wait_for_end_of_input() {
    let mut byte = [0; 64];
    while std::io::stdin().read(&mut byte).is_ok_and(|count| count > 0) {}
}

/// Asks a program to end, and makes it end where it does not.
fn stop(child: &mut Child) {
    #[cfg(unix)]
    {
        // The id cannot belong to another process: ours is not waited for yet.
        let asked = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
        if asked.is_ok_and(|status| status.success()) {
            for _ in 0..STOP_WAIT.as_millis() / POLL.as_millis() {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
                std::thread::sleep(POLL);
            }
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn remove_folder(folder: &Path) -> ExitCode {
    wait_for_end_of_input();
    for _ in 0..REMOVE_ATTEMPTS {
        // Programs that end at this moment may still write.
        if std::fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(REMOVE_WAIT);
    }
    eprintln!("The folder {} could not be removed.", folder.display());
    ExitCode::FAILURE
}

fn code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_by_itself_is_ended() {
        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep exists");
        stop(&mut child);
        assert!(!matches!(child.try_wait(), Ok(None)));
    }
}
