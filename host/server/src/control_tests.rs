//! Commands handed to a running service, and what may be at the other end.

use tokio::sync::oneshot;

use super::*;
use crate::cli::out::{Fault, Kept};

/// Answers `ok` with lines, `wait` after being told, and anything else with an error.
async fn handle(request: String, out: Arc<dyn Out>) -> Result<(), CliError> {
    match request.as_str() {
        "ok" => {
            out.line("one\ntwo");
            out.note("beside");
            Ok(())
        }
        other => Err(CliError::user(format!("no {other}")).hint("try ok")),
    }
}

struct Service {
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

fn start(data: &Path) -> Service {
    let (stop, stopped) = oneshot::channel::<()>();
    let door = open(data).expect("the socket opens");
    let done = tokio::spawn(answer(door, handle, async {
        let _ = stopped.await;
    }));
    Service { stop, done }
}

async fn ask_for(data: &Path, request: &str) -> (Kept, Result<(), CliError>) {
    let out = Kept::default();
    let stream = connect(data).await.unwrap().expect("a service is there");
    let done = ask(stream, &request, &out).await;
    (out, done)
}

#[tokio::test]
async fn lines_errors_and_hints_come_back_as_they_were_written() {
    let data = tempfile::tempdir().unwrap();
    let service = start(data.path());
    let (out, done) = ask_for(data.path(), "ok").await;
    assert_eq!((out.lines().as_str(), out.notes().as_str(), done), ("one\ntwo\n", "beside\n", Ok(())));
    let (_, done) = ask_for(data.path(), "sugar").await;
    let error = done.unwrap_err();
    assert_eq!((error.fault, error.message.as_str()), (Fault::User, "no sugar"));
    assert_eq!(error.hints, ["try ok"]);
    service.stop.send(()).unwrap();
    service.done.await.unwrap();
    assert!(connect(data.path()).await.unwrap().is_none(), "the socket is gone with its service");
}

#[tokio::test]
async fn only_the_owner_can_connect() {
    let data = tempfile::tempdir().unwrap();
    let _service = start(data.path());
    let mode = std::fs::metadata(data.path().join(SOCKET_NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_socket_left_behind_is_nobody_and_is_replaced() {
    let data = tempfile::tempdir().unwrap();
    let left = std::os::unix::net::UnixListener::bind(data.path().join(SOCKET_NAME)).unwrap();
    drop(left);
    assert!(connect(data.path()).await.unwrap().is_none());
    let _service = start(data.path());
    let (out, _) = ask_for(data.path(), "ok").await;
    assert_eq!(out.lines(), "one\ntwo\n");
}

#[tokio::test]
async fn a_folder_with_a_long_name_works_too() {
    let data = tempfile::tempdir().unwrap();
    let deep = data.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let _service = start(&deep);
    let (out, _) = ask_for(&deep, "ok").await;
    assert_eq!(out.lines(), "one\ntwo\n");
}

#[tokio::test]
async fn noise_and_oversized_requests_are_refused_and_the_service_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let _service = start(data.path());
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{]", b"\0\0\0\x09half"] {
        let mut stream = connect(data.path()).await.unwrap().unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let frame: Frame = read_message(&mut stream, FRAME_BYTES_MAX).await.unwrap();
        assert!(matches!(frame, Frame::Failed(error) if error.message.contains("could not be read")));
    }
    let (_, done) = ask_for(data.path(), "ok").await;
    assert_eq!(done, Ok(()));
}

#[tokio::test]
async fn another_version_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    let _service = start(data.path());
    let mut stream = connect(data.path()).await.unwrap().unwrap();
    let envelope = Envelope { version: "0.0.1".to_owned(), request: "ok" };
    write_message(&mut stream, &envelope, REQUEST_BYTES_MAX).await.unwrap();
    let frame: Frame = read_message(&mut stream, FRAME_BYTES_MAX).await.unwrap();
    assert!(matches!(frame, Frame::Failed(error) if error.message.contains("version 0.0.1")));
}
