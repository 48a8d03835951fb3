//! Opens a database file: settings of the connection, then migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::store::{OpenError, StoreError};

/// Migrations of `host.db`, in order; the position is the version.
pub const HOST: &[&str] = &[include_str!("../migrations/host/0001.sql")];
/// Migrations of a tenant's file.
pub const TENANT: &[&str] = &[include_str!("../migrations/tenant/0001.sql")];

/// How long a statement waits for another connection of ours, or a backup tool.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache per open file.
const CACHE_KIB: i64 = 8 * 1024;
/// Bytes of one database page: a deal with its values fits into one.
const PAGE_BYTES: i64 = 8 * 1024;
/// Pages the write-ahead log may hold before it is moved into the file. One page
/// of an import fills about half of it.
const WAL_PAGES: i64 = 2_000;
/// Bytes the write-ahead log is cut back to after that.
const WAL_BYTES_KEPT: i64 = WAL_PAGES * PAGE_BYTES;
/// Statements kept prepared per connection: all that a run uses.
const STATEMENTS: usize = 96;

/// Opens the file, makes it if it is missing, and brings its schema up to date.
pub fn open(path: &Path, migrations: &[&str]) -> Result<Connection, OpenError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let wrap = |source| OpenError::from_sqlite(path, source);
    let mut connection = Connection::open_with_flags(path, flags).map_err(wrap)?;
    prepare(&connection).map_err(wrap)?;
    migrate(&mut connection, path, migrations)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Takes effect in a new file only, and has to come before the journal mode.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
    Ok(())
}

/// Applies what the file has not seen yet, all in one transaction.
fn migrate(connection: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), OpenError> {
    let wrap = |source| OpenError::from_sqlite(path, source);
    let known = migrations.len() as i64;
    let version = |connection: &Connection| {
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))
    };
    let found = version(connection).map_err(wrap)?;
    if found > known {
        return Err(OpenError::NewerSchema { path: path.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
    // Read again inside: a second opener may have been faster.
    let found = version(&transaction).map_err(wrap)?.max(0);
    for migration in &migrations[(found as usize).min(migrations.len())..] {
        transaction.execute_batch(migration).map_err(wrap)?;
    }
    transaction.pragma_update(None, "user_version", known).map_err(wrap)?;
    transaction.commit().map_err(wrap)
}

/// Copies a database into a new file, complete and compact, while it is in use.
pub fn copy_to(connection: &Connection, from: &Path, to: &Path) -> Result<(), StoreError> {
    let text = to.to_str().ok_or_else(|| {
        StoreError::Invalid(format!("{} cannot be used as a file name; use plain characters", to.display()))
    })?;
    connection
        .execute("VACUUM INTO ?1", [text])
        .map(|_| ())
        .map_err(|source| StoreError::from_sqlite(from, source))
}
