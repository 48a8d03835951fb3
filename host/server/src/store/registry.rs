//! The registry: which tenants there are, and opening their files.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use dealsync_core::ids::TenantId;
use rusqlite::{Connection, OptionalExtension, params};

use super::sqlite::open;
use super::sqlite::values::named_at;
use super::{OpenError, Store, StoreError, TenantInner, TenantStore, Work, lock, off_the_runtime};

/// What the scheduler knows of a tenant without opening its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantStatus {
    pub tenant: TenantId,
    pub created_at: i64,
    /// When the earliest lane is due; `None` where nothing is planned.
    pub next_due: Option<i64>,
    /// When the earliest mail is due.
    pub outbox_due: Option<i64>,
    /// One word for people: `ok`, `errors`, `paused`, `unknown`.
    pub health: String,
}

impl Store {
    /// All tenants, by name.
    pub async fn tenants(&self) -> Result<Vec<TenantStatus>, StoreError> {
        self.on_host(|host| {
            let mut statement = host.prepare_cached(
                "SELECT id, created_at, next_due, outbox_due, health FROM tenant WHERE state = 'ready' ORDER BY id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(TenantStatus {
                    tenant: named_at(row, 0, |name| name.parse().ok())?,
                    created_at: row.get(1)?,
                    next_due: row.get(2)?,
                    outbox_due: row.get(3)?,
                    health: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Notes when a tenant wants to be looked at next. A hint: the tenant's own
    /// lanes and outbox are the truth.
    pub async fn set_status(
        &self,
        tenant: &TenantId,
        next_due: Option<i64>,
        outbox_due: Option<i64>,
        health: &str,
    ) -> Result<(), StoreError> {
        let (tenant, health) = (tenant.clone(), health.to_owned());
        self.on_host(move |host| {
            host.prepare_cached(
                "UPDATE tenant SET next_due = ?2, outbox_due = ?3, health = ?4
                 WHERE id = ?1 AND (next_due, outbox_due, health) IS NOT (?2, ?3, ?4)",
            )?
            .execute(params![tenant.as_str(), next_due, outbox_due, health])?;
            Ok(())
        })
        .await
    }

    /// Makes a tenant and its empty file. Refuses a name that is taken, and a file
    /// that lies there unregistered: it may be somebody's backup.
    pub async fn create_tenant(&self, tenant: &TenantId, now: i64) -> Result<TenantStore, StoreError> {
        let path = self.path(tenant);
        let name = tenant.clone();
        self.on_host(move |host| {
            let known: Option<String> = host
                .query_row("SELECT state FROM tenant WHERE id = ?1", [name.as_str()], |row| row.get(0))
                .optional()?;
            if known.is_some() {
                return Err(StoreError::TenantExists(name).into());
            }
            if path.exists() {
                let text = format!("{} exists, but belongs to no tenant; move it away first", path.display());
                return Err(StoreError::Invalid(text).into());
            }
            host.execute(
                "INSERT INTO tenant (id, state, created_at) VALUES (?1, 'creating', ?2)",
                params![name.as_str(), now],
            )?;
            let made = open::open(&path, open::TENANT)
                .and_then(|made| {
                    made.execute("INSERT INTO tenant (id) VALUES (?1)", [name.as_str()])
                        .map_err(|source| OpenError::from_sqlite(&path, source))
                })
                .map_err(StoreError::from);
            if let Err(error) = made {
                remove_files(&path).ok();
                host.execute("DELETE FROM tenant WHERE id = ?1", [name.as_str()])?;
                return Err(error.into());
            }
            host.execute("UPDATE tenant SET state = 'ready' WHERE id = ?1", [name.as_str()])?;
            Ok(())
        })
        .await?;
        self.tenant(tenant).await
    }

    /// Opens a tenant's data, or says which name was probably meant.
    pub async fn tenant(&self, tenant: &TenantId) -> Result<TenantStore, StoreError> {
        if let Some(inner) = self.opened(tenant) {
            return Ok(TenantStore { inner });
        }
        let store = self.clone();
        let tenant = tenant.clone();
        off_the_runtime(self.path(&tenant), move || store.open_tenant(&tenant)).await
    }

    fn opened(&self, tenant: &TenantId) -> Option<Arc<TenantInner>> {
        let mut open = lock(&self.inner.open);
        if let Some(inner) = open.recent.get(tenant) {
            return Some(inner.clone());
        }
        let inner = open.all.get(tenant)?.upgrade()?;
        open.recent.put(tenant.clone(), inner.clone());
        Some(inner)
    }

    fn open_tenant(&self, tenant: &TenantId) -> Result<TenantStore, StoreError> {
        let host_path = self.inner.folder.join("host.db");
        // Held to the end, so that nobody deletes or opens the tenant meanwhile.
        let host = lock(&self.inner.host);
        check_registered(&host, tenant).map_err(|failure| failure.at(&host_path))?;
        if let Some(inner) = self.opened(tenant) {
            return Ok(TenantStore { inner });
        }
        let path = self.path(tenant);
        if !path.exists() {
            return Err(OpenError::WrongFile { path, problem: "is missing".to_owned() }.into());
        }
        let connection = open::open(&path, open::TENANT)?;
        check_whose(&connection, tenant, &path)?;
        let inner = Arc::new(TenantInner {
            id: tenant.clone(),
            path,
            key: self.inner.key.clone(),
            connection: Mutex::new(Some(connection)),
            directory: Mutex::default(),
            log_ids: AtomicU64::new(0),
        });
        let mut open = lock(&self.inner.open);
        open.all.retain(|_, inner| inner.strong_count() > 0);
        open.all.insert(tenant.clone(), Arc::downgrade(&inner));
        let evicted = open.recent.push(tenant.clone(), inner.clone());
        // Closing a file may write its log back: not while others wait.
        drop(open);
        drop(evicted);
        Ok(TenantStore { inner })
    }

    /// Deletes a tenant with all its data. Whoever still holds its
    /// [`TenantStore`] is told that there is no such tenant.
    pub async fn delete_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let store = self.clone();
        let tenant = tenant.clone();
        self.on_host(move |host| {
            check_registered(host, &tenant)?;
            host.execute("UPDATE tenant SET state = 'deleting' WHERE id = ?1", [tenant.as_str()])?;
            let held = {
                let mut open = lock(&store.inner.open);
                open.recent.pop(&tenant);
                open.all.remove(&tenant).and_then(|inner| inner.upgrade())
            };
            if let Some(inner) = held {
                lock(&inner.connection).take();
            }
            let path = store.path(&tenant);
            remove_files(&path).map_err(|source| StoreError::Other { path, source: Box::new(source) })?;
            host.execute("DELETE FROM tenant WHERE id = ?1", [tenant.as_str()])?;
            Ok(())
        })
        .await
    }

    /// Ends creations and deletions that a crash cut short: both by removing the
    /// file, since nothing was ever kept in it, or nothing should be.
    pub(super) fn finish_what_was_begun(&self) -> Result<(), OpenError> {
        let host_path = self.inner.folder.join("host.db");
        let wrap = |source| OpenError::from_sqlite(&host_path, source);
        let host = lock(&self.inner.host);
        let unfinished: Vec<String> = host
            .prepare("SELECT id FROM tenant WHERE state <> 'ready'")
            .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
            .map_err(wrap)?;
        for name in unfinished {
            if let Ok(tenant) = name.parse() {
                let path = self.path(&tenant);
                remove_files(&path).map_err(|source| OpenError::NotWritable { path, source })?;
            }
            host.execute("DELETE FROM tenant WHERE id = ?1", [&name]).map_err(wrap)?;
        }
        Ok(())
    }

    fn path(&self, tenant: &TenantId) -> PathBuf {
        self.inner.folder.join("tenants").join(format!("{tenant}.db"))
    }
}

fn check_registered(host: &Connection, tenant: &TenantId) -> Work<()> {
    let names: Vec<String> = host
        .prepare_cached("SELECT id FROM tenant WHERE state = 'ready'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if names.iter().any(|name| name == tenant.as_str()) {
        return Ok(());
    }
    let near = crate::hints::nearest(tenant.as_str(), names.iter().map(String::as_str));
    Err(StoreError::NoSuchTenant { tenant: tenant.clone(), did_you_mean: near.map(str::to_owned) }.into())
}

/// A tenant's file copied to another tenant's name would mix their data.
fn check_whose(connection: &Connection, tenant: &TenantId, path: &Path) -> Result<(), OpenError> {
    let whose: Option<String> = connection
        .query_row("SELECT id FROM tenant", [], |row| row.get(0))
        .optional()
        .map_err(|source| OpenError::from_sqlite(path, source))?;
    match whose {
        Some(name) if name == tenant.as_str() => Ok(()),
        Some(name) => {
            Err(OpenError::WrongFile { path: path.to_owned(), problem: format!("belongs to tenant {name}") })
        }
        None => Err(OpenError::WrongFile { path: path.to_owned(), problem: "names no tenant".to_owned() }),
    }
}

fn remove_files(path: &Path) -> std::io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(Path::new(&name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

impl TenantStore {
    /// Writes a complete copy of the tenant's data to a new file, while in use.
    /// Secrets in it stay sealed with the host key.
    pub async fn copy_to(&self, to: &Path) -> Result<(), StoreError> {
        let to = to.to_owned();
        self.on(move |tenant, connection| Ok(open::copy_to(connection, &tenant.path, &to)?)).await
    }
}
