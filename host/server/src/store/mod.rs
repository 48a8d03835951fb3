//! What is kept: one folder, `host.db` with the registry, and one database per
//! tenant with everything else.
//!
//! A [`Store`] owns the folder. Everything about a tenant goes through its
//! [`TenantStore`], so there is no query without a tenant. Methods are async, take
//! and return whole values, and are one transaction each; a caller that stops
//! waiting does not undo what was begun. What to write is decided by core; rows
//! and SQL do not leave this module.
//!
//! Invariant: no transaction spans two files, and a tenant's file holds no other
//! tenant's data.

mod commit;
mod connection;
mod deals;
mod directory;
mod error;
mod lanes;
mod log;
mod outbox;
mod parked;
mod pull;
mod registry;
mod settings;
mod sqlite;
mod users;
mod waiting;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use dealsync_core::ids::TenantId;
use lru::LruCache;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::secrets::HostKey;
pub use commit::{CommitResult, PageCommit};
pub use connection::{ConnectionState, DescribeCache};
pub use deals::{
    DealChange, DealCursor, DealFilter, DealOrder, DealPage, DealRow, DealView, FreshOwner, Named,
};
pub use directory::MemoryDirectory;
use error::Failure;
pub(crate) use error::Work;
pub use error::{OpenError, StoreError};
pub use lanes::{Lane, Lease, RunEnd, RunRow, RunStart, RunState};
pub use log::{CauseRow, LogEntry, LogFilter, LogId, LogState};
pub use outbox::{DEAL_IMPORTED, IMPORT_DIGEST, NewMail, OutboxCounts, OutboxItem, OutboxState};
pub use parked::{AsideFilter, AsideRow, SETTINGS_KEY};
pub use pull::ShelfKey;
pub use registry::TenantStatus;
pub use settings::SettingsVersion;
pub use users::{ImportedUsers, NewUser, UserFilter, user_key};

use sqlite::lock::FolderLock;
use sqlite::open;

/// Tenant databases kept open; each holds some file handles and its page cache.
const OPEN_TENANTS_MAX: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// The data folder. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    key: HostKey,
    host: Mutex<Connection>,
    open: Mutex<OpenTenants>,
    _lock: FolderLock,
}

#[derive(Debug)]
struct OpenTenants {
    recent: LruCache<TenantId, Arc<TenantInner>>,
    /// Those that fell out of `recent` while somebody still works with them: a
    /// tenant's file is never open twice.
    all: HashMap<TenantId, Weak<TenantInner>>,
}

/// One tenant's data. Clones share it.
#[derive(Debug, Clone)]
pub struct TenantStore {
    inner: Arc<TenantInner>,
}

#[derive(Debug)]
struct TenantInner {
    id: TenantId,
    path: PathBuf,
    key: HostKey,
    /// `None` once the tenant is deleted.
    connection: Mutex<Option<Connection>>,
    directory: Mutex<Option<Arc<MemoryDirectory>>>,
    log_ids: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held has rolled its transaction back; the rest is caches.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the data folder and takes it for this process. Makes it if it is
    /// missing. Refuses a folder that another process has, and one that a newer
    /// version wrote. Blocks shortly; meant for start-up.
    pub fn open(folder: &Path, key: HostKey) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder.join("tenants")).map_err(not_writable)?;
        let lock = sqlite::lock::take(folder)?;
        let host = open::open(&folder.join("host.db"), open::HOST)?;
        let recent = LruCache::new(OPEN_TENANTS_MAX);
        let store = Self {
            inner: Arc::new(Inner {
                folder: folder.to_owned(),
                key,
                host: Mutex::new(host),
                open: Mutex::new(OpenTenants { recent, all: HashMap::new() }),
                _lock: lock,
            }),
        };
        store.finish_what_was_begun()?;
        Ok(store)
    }

    pub fn folder(&self) -> &Path {
        &self.inner.folder
    }

    /// Runs work on `host.db` where it may block.
    async fn on_host<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let path = inner.folder.join("host.db");
        off_the_runtime(path.clone(), move || {
            work(&mut lock(&inner.host)).map_err(|failure| failure.at(&path))
        })
        .await
    }
}

impl TenantStore {
    pub fn id(&self) -> &TenantId {
        &self.inner.id
    }

    /// Runs work on the tenant's database where it may block.
    async fn on<T: Send + 'static>(
        &self,
        work: impl FnOnce(&TenantInner, &Connection) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.on_mut(move |tenant, connection| work(tenant, connection)).await
    }

    /// Runs many look-ups in one read transaction: taking and leaving one for each
    /// costs more than the look-up.
    async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnOnce(&TenantInner, &Connection) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.on_mut(move |tenant, connection| work(tenant, &*connection.transaction()?)).await
    }

    /// Runs work in a transaction of its own, which an error undoes.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&TenantInner, &Transaction<'_>) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.on_mut(move |tenant, connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(tenant, &transaction)?;
            transaction.commit()?;
            Ok(done)
        })
        .await
    }

    async fn on_mut<T: Send + 'static>(
        &self,
        work: impl FnOnce(&TenantInner, &mut Connection) -> Work<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        off_the_runtime(inner.path.clone(), move || {
            let mut connection = lock(&inner.connection);
            let Some(connection) = connection.as_mut() else {
                return Err(StoreError::NoSuchTenant { tenant: inner.id.clone(), did_you_mean: None });
            };
            work(&inner, connection).map_err(|failure: Failure| failure.at(&inner.path))
        })
        .await
    }
}

async fn off_the_runtime<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        // The runtime is shutting down and never began the work.
        Err(failed) => Err(StoreError::Other { path, source: Box::new(failed) }),
    }
}
