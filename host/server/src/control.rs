//! The command line beside a running service: one process owns the data folder,
//! so a command is handed to it over a socket in that folder, and its lines come
//! back as they are written. What a command does is `cli`'s.
//!
//! A message is its length in four bytes, then JSON. The client sends one request;
//! the service answers with frames, the last of which says how it ended. The
//! socket lies in a folder of mode 0700 until it has mode 0600 itself, so nobody
//! but the owner of the service ever connects.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use crate::cli::out::{CliError, Out};

pub const SOCKET_NAME: &str = "control.sock";
/// The largest request: settings with their components, or a file of users.
pub const REQUEST_BYTES_MAX: usize = 256 << 20;
/// The longest line of an answer.
pub const FRAME_BYTES_MAX: usize = 64 << 20;
/// Commands answered at a time; others wait.
pub const COMMANDS_MAX: usize = 16;
/// Lines kept for a client that reads slowly, bytes; what is beyond is not shown.
pub const BACKLOG_BYTES_MAX: usize = 64 << 20;
/// How long a client may take to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest path a socket address holds, on Linux and with room for its end.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// What the service sends back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Frame {
    Line(String),
    Note(String),
    Failed(CliError),
    Done,
}

/// The envelope of a request, read before the request itself: another version's
/// commands may look different.
#[derive(Debug, Serialize, Deserialize)]
struct Envelope<R> {
    version: String,
    request: R,
}

/// The service's end of the socket, removed when dropped.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens the socket. The caller holds the folder's lock, so a socket that lies
/// there belongs to a process that is gone, and is replaced.
pub fn open(data: &Path) -> io::Result<Door> {
    let private = tempfile::Builder::new().prefix(".control-").tempdir_in(data)?;
    std::fs::set_permissions(private.path(), std::fs::Permissions::from_mode(0o700))?;
    let here = private.path().join("s");
    let listener = Address::of(&here)?.listen()?;
    std::fs::set_permissions(&here, std::fs::Permissions::from_mode(0o600))?;
    let path = data.join(SOCKET_NAME);
    std::fs::rename(&here, &path)?;
    Ok(Door { listener, path })
}

/// Connects to the service that owns the folder; `None` where there is none.
pub async fn connect(data: &Path) -> io::Result<Option<UnixStream>> {
    let path = data.join(SOCKET_NAME);
    if !path.exists() {
        return Ok(None);
    }
    match Address::of(&path)?.connect().await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A socket's address. A path too long for one is reached through its folder's
/// file descriptor.
struct Address {
    path: PathBuf,
    _folder: Option<std::fs::File>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::other("a socket lies in a folder"));
        };
        let folder = std::fs::File::open(folder)?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&folder);
        Ok(Self {
            path: Path::new("/proc/self/fd").join(number.to_string()).join(name),
            _folder: Some(folder),
        })
    }

    fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::bind(&self.path)
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.path).await
    }
}

/// Hands a request over and follows it to its end.
pub async fn ask<R: Serialize>(mut stream: UnixStream, request: &R, out: &dyn Out) -> Result<(), CliError> {
    let envelope = Envelope { version: env!("CARGO_PKG_VERSION").to_owned(), request };
    let gone = |error: io::Error| {
        CliError::run(format!("the running service went away: {error}"))
            .hint("what it had written stays; look at its log, and start it again")
    };
    write_message(&mut stream, &envelope, REQUEST_BYTES_MAX).await.map_err(gone)?;
    loop {
        match read_message::<Frame>(&mut stream, FRAME_BYTES_MAX).await.map_err(gone)? {
            Frame::Line(text) => out.line(&text),
            Frame::Note(text) => out.note(&text),
            Frame::Failed(error) => return Err(error),
            Frame::Done => return Ok(()),
        }
    }
}

/// Answers commands until `shutdown`, then waits for those at work. A client that
/// goes away does not stop its command.
pub async fn answer<R, F>(
    door: Door,
    handle: impl Fn(R, Arc<dyn Out>) -> F + Clone + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) where
    R: DeserializeOwned + Send + 'static,
    F: Future<Output = Result<(), CliError>> + Send,
{
    let places = Arc::new(Semaphore::new(COMMANDS_MAX));
    let mut at_work = tokio::task::JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let stream = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = at_work.join_next() => continue,
            accepted = door.listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "A command could not be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (handle, places) = (handle.clone(), places.clone());
        at_work.spawn(async move {
            // The semaphore is never closed.
            let Ok(_place) = places.acquire_owned().await else { return };
            serve_one(stream, handle).await;
        });
    }
    drop(door);
    while at_work.join_next().await.is_some() {}
}

async fn serve_one<R, F>(stream: UnixStream, handle: impl Fn(R, Arc<dyn Out>) -> F)
where
    R: DeserializeOwned,
    F: Future<Output = Result<(), CliError>>,
{
    let (mut read, write) = stream.into_split();
    let (sender, frames) = mpsc::unbounded_channel();
    let backlog = Arc::new(AtomicUsize::new(0));
    let writer = write_frames(write, frames, backlog.clone());
    let out = Arc::new(Wire { sender: sender.clone(), backlog });
    let work = async {
        let request = tokio::time::timeout(REQUEST_TIMEOUT, read_request(&mut read)).await;
        let done = match request {
            Ok(Ok(request)) => handle(request, out.clone()).await,
            Ok(Err(error)) => Err(error),
            Err(_) => Err(CliError::run("the request did not arrive in time")),
        };
        let last = match done {
            Ok(()) => Frame::Done,
            Err(error) => Frame::Failed(error),
        };
        // Where nobody reads any more, nobody is told.
        let _ = sender.send(last);
        drop((sender, out));
    };
    tokio::join!(work, writer);
}

async fn read_request<R: DeserializeOwned>(read: &mut (impl AsyncRead + Unpin)) -> Result<R, CliError> {
    let garbled = |error: io::Error| CliError::run(format!("the request could not be read: {error}"));
    let bytes = read_bytes(read, REQUEST_BYTES_MAX).await.map_err(garbled)?;
    let envelope: Envelope<serde_json::Value> =
        serde_json::from_slice(&bytes).map_err(|error| garbled(error.into()))?;
    let ours = env!("CARGO_PKG_VERSION");
    if envelope.version != ours {
        let message = format!("this program is version {}, the running service is {ours}", envelope.version);
        return Err(CliError::run(message).hint("use the same version, or restart the service with this one"));
    }
    serde_json::from_value(envelope.request).map_err(|error| garbled(error.into()))
}

/// Sends a command's lines on their way to the client.
#[derive(Debug)]
struct Wire {
    sender: mpsc::UnboundedSender<Frame>,
    /// Bytes that wait for the client.
    backlog: Arc<AtomicUsize>,
}

impl Wire {
    fn send(&self, text: &str, frame: fn(String) -> Frame) {
        let waiting = self.backlog.fetch_add(text.len(), Ordering::Relaxed);
        if waiting > BACKLOG_BYTES_MAX || self.sender.send(frame(text.to_owned())).is_err() {
            self.backlog.fetch_sub(text.len(), Ordering::Relaxed);
        }
    }
}

impl Out for Wire {
    fn line(&self, text: &str) {
        self.send(text, Frame::Line);
    }

    fn note(&self, text: &str) {
        self.send(text, Frame::Note);
    }
}

async fn write_frames(
    mut write: impl AsyncWrite + Unpin,
    mut frames: mpsc::UnboundedReceiver<Frame>,
    backlog: Arc<AtomicUsize>,
) {
    while let Some(frame) = frames.recv().await {
        if let Frame::Line(text) | Frame::Note(text) = &frame {
            backlog.fetch_sub(text.len(), Ordering::Relaxed);
        }
        if write_message(&mut write, &frame, FRAME_BYTES_MAX).await.is_err() {
            return;
        }
    }
}

async fn write_message<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    message: &T,
    bytes_max: usize,
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > bytes_max {
        return Err(too_large(bytes.len(), bytes_max));
    }
    let length = u32::try_from(bytes.len()).map_err(|_| too_large(bytes.len(), bytes_max))?;
    to.write_all(&length.to_be_bytes()).await?;
    to.write_all(&bytes).await?;
    to.flush().await
}

async fn read_message<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
) -> io::Result<T> {
    Ok(serde_json::from_slice(&read_bytes(from, bytes_max).await?)?)
}

async fn read_bytes(from: &mut (impl AsyncRead + Unpin), bytes_max: usize) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await? as usize;
    if length > bytes_max {
        return Err(too_large(length, bytes_max));
    }
    // Grows with what really arrives, so that a length alone takes no memory.
    let mut bytes = Vec::new();
    from.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

fn too_large(bytes: usize, bytes_max: usize) -> io::Error {
    io::Error::other(format!("a message of {bytes} bytes is larger than {bytes_max}"))
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
