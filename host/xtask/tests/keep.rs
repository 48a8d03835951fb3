//! Nothing the demo started outlives it: keepers, tried as processes of their own.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn keeper(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dealsync-xtask"));
    command.arg("keep").args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().expect("the keeper can be started")
}

/// A shell that says when it is up and leaves a file behind when it is asked to end.
fn script(file: &Path) -> String {
    format!("trap 'touch {}; exit 0' TERM; echo up; while :; do sleep 0.05; done", file.display())
}

#[test]
fn a_program_ends_when_whoever_started_it_is_gone() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let file = folder.path().join("ended");
    let mut keeper = keeper(&["run", "sh", "-c", &script(&file)]);
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    assert_eq!(line, "up\n");
    assert!(keeper.try_wait().expect("asked").is_none(), "it stays up as long as the pipe is open");
    // What happens to the pipe when a process is killed.
    drop(keeper.stdin.take());
    assert!(keeper.wait().expect("the keeper ends").success());
    assert!(file.exists(), "the program was asked to end, not cut off");
}

#[test]
fn a_program_that_ends_by_itself_hands_on_how() {
    let mut keeper = keeper(&["run", "sh", "-c", "exit 3"]);
    let pipe = keeper.stdin.take();
    assert_eq!(keeper.wait().expect("the keeper ends").code(), Some(3));
    drop(pipe);
}

#[test]
fn a_folder_goes_with_whoever_made_it() {
    let folder = tempfile::tempdir().expect("a folder for the test").keep();
    std::fs::write(folder.join("file"), "x").expect("written");
    let mut keeper = keeper(&["folder", folder.to_str().expect("a plain path")]);
    drop(keeper.stdin.take());
    assert!(keeper.wait().expect("the keeper ends").success());
    assert!(!folder.exists());
}
