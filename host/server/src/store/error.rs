//! What can go wrong between us and the disk, by what the caller does next.

use std::path::{Path, PathBuf};

use dealsync_core::ids::{NotATenantId, TenantId};
use rusqlite::ErrorCode;

use crate::secrets::SecretError;

/// Why a data folder, or a database in it, cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data folder {} is in use by {}; stop it, or use another folder", folder.display(), process(*pid))]
    InUse { folder: PathBuf, pid: Option<u32> },
    #[error(
        "{} has schema version {found}, this program knows {known}; use the newer program it was written by",
        path.display()
    )]
    NewerSchema { path: PathBuf, found: i64, known: i64 },
    #[error("{} cannot be written; check that the folder exists and who owns it", path.display())]
    NotWritable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is damaged or no database; put a backup in its place", path.display())]
    Corrupt {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// A tenant's file that is not there, or is another tenant's.
    #[error("{} {problem}; put the tenant's own file there, or delete the tenant", path.display())]
    WrongFile { path: PathBuf, problem: String },
    #[error("no space left for {}; free some and try again", path.display())]
    Full { path: PathBuf },
    #[error("{} could not be opened", path.display())]
    Other {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl OpenError {
    pub(crate) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, source },
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, source: std::io::Error::other(source) }
            }
            _ => Self::Other { path, source },
        }
    }
}

/// Why a question to the store has no answer. Where it was a change, nothing of it
/// was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no tenant {:?}{}", tenant.as_str(), meant(did_you_mean))]
    NoSuchTenant { tenant: TenantId, did_you_mean: Option<String> },
    #[error("there is a tenant {0} already")]
    TenantExists(TenantId),
    #[error("there is no {what} {name:?}{}", meant(did_you_mean))]
    NotFound { what: &'static str, name: String, did_you_mean: Option<String> },
    #[error("{count} {what}s answer to {name:?}; name one of them by its id: {ids}")]
    Several { what: &'static str, name: String, count: usize, ids: String },
    /// The lane was taken over: the work has to stop, another holder is at it.
    #[error("the lease on {lane} has passed to another run")]
    Fenced { lane: String },
    /// Two records want the same link, account or name: a race or a fault of ours.
    #[error("refused to write a second {what}; nothing of the page was written")]
    Conflict {
        what: String,
        #[source]
        source: rusqlite::Error,
    },
    #[error("the disk is full: {} could not grow; free some space, the work goes on where it stopped", path.display())]
    Full { path: PathBuf },
    #[error("{} is held by another program, such as a backup; try again", path.display())]
    Busy { path: PathBuf },
    #[error("{} is damaged; put a backup in its place", path.display())]
    Corrupt {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    TenantId(#[from] NotATenantId),
    #[error("{} could not be read or written; see that its disk is well and has room, then try again", path.display())]
    Other {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn meant(name: &Option<String>) -> String {
    name.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

impl StoreError {
    pub(crate) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path, source },
            Some(ErrorCode::ConstraintViolation) => Self::Conflict { what: column(&source), source },
            _ => Self::Other { path, source: Box::new(source) },
        }
    }
}

/// `link.deal` out of `UNIQUE constraint failed: link.deal`.
fn column(source: &rusqlite::Error) -> String {
    let text = source.to_string();
    text.rsplit(": ").next().unwrap_or("row").to_owned()
}

/// What the work inside the store returns: SQLite's errors get their path at the
/// one place that runs the work.
#[derive(Debug)]
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<SecretError> for Failure {
    fn from(error: SecretError) -> Self {
        Self::Store(error.into())
    }
}

impl Failure {
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Sqlite(source) => StoreError::from_sqlite(path, source),
            Self::Store(error) => error,
        }
    }
}

pub(crate) type Work<T> = Result<T, Failure>;
