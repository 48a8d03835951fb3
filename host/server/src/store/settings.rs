//! A tenant's settings with their history, and its secrets.

use rusqlite::{OptionalExtension, Row, params};

use super::{StoreError, TenantStore};

/// Settings as they were saved once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsVersion {
    pub version: i64,
    pub toml: String,
    pub at: i64,
    /// Who saved them, as shown to people.
    pub actor: String,
}

impl TenantStore {
    /// The settings in force; `None` before the first were saved.
    pub async fn settings(&self) -> Result<Option<SettingsVersion>, StoreError> {
        self.on(|_, connection| {
            let current = connection
                .prepare_cached(
                    "SELECT version, toml, at, actor FROM settings_history ORDER BY version DESC LIMIT 1",
                )?
                .query_row([], version_at)
                .optional()?;
            Ok(current)
        })
        .await
    }

    /// Puts settings into force and returns their version. The same text again
    /// makes no new version.
    pub async fn save_settings(&self, toml: &str, actor: &str, now: i64) -> Result<i64, StoreError> {
        let (toml, actor) = (toml.to_owned(), actor.to_owned());
        self.change(move |_, transaction| {
            let current = transaction
                .query_row(
                    "SELECT version, toml, at, actor FROM settings_history ORDER BY version DESC LIMIT 1",
                    [],
                    version_at,
                )
                .optional()?;
            if let Some(current) = current.filter(|current| current.toml == toml) {
                return Ok(current.version);
            }
            transaction.execute(
                "INSERT INTO settings_history (toml, at, actor) VALUES (?1, ?2, ?3)",
                params![toml, now, actor],
            )?;
            Ok(transaction.last_insert_rowid())
        })
        .await
    }

    /// All versions, the newest first.
    pub async fn settings_history(&self) -> Result<Vec<SettingsVersion>, StoreError> {
        self.on(|_, connection| {
            let mut statement = connection.prepare_cached(
                "SELECT version, toml, at, actor FROM settings_history ORDER BY version DESC",
            )?;
            let versions = statement.query_map([], version_at)?.collect::<Result<_, _>>()?;
            Ok(versions)
        })
        .await
    }

    /// Seals a secret and keeps it under the name, in place of what was there.
    pub async fn put_secret(&self, name: &str, secret: &str) -> Result<(), StoreError> {
        let sealed = self.inner.key.seal(&self.inner.id, name, secret.as_bytes())?;
        let name = name.to_owned();
        self.on(move |_, connection| {
            connection.execute(
                "INSERT INTO secret (name, sealed) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET sealed = excluded.sealed",
                params![name, sealed],
            )?;
            Ok(())
        })
        .await
    }

    /// Opens a secret; `None` where there is none of the name.
    pub async fn secret(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.on(move |tenant, connection| {
            let sealed: Option<Vec<u8>> = connection
                .query_row("SELECT sealed FROM secret WHERE name = ?1", [&name], |row| row.get(0))
                .optional()?;
            let Some(sealed) = sealed else { return Ok(None) };
            let plain = tenant.key.open(&tenant.id, &name, &sealed)?;
            let damaged = || crate::secrets::SecretError::Damaged { name: name.clone() };
            Ok(Some(String::from_utf8(plain).map_err(|_| damaged())?))
        })
        .await
    }

    /// Forgets a secret; true where there was one.
    pub async fn delete_secret(&self, name: &str) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.on(
            move |_, connection| Ok(connection.execute("DELETE FROM secret WHERE name = ?1", [name])? > 0),
        )
        .await
    }

    /// Names of the secrets there are.
    pub async fn secret_names(&self) -> Result<Vec<String>, StoreError> {
        self.on(|_, connection| {
            let mut statement = connection.prepare_cached("SELECT name FROM secret ORDER BY name")?;
            let names = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(names)
        })
        .await
    }
}

fn version_at(row: &Row<'_>) -> rusqlite::Result<SettingsVersion> {
    Ok(SettingsVersion { version: row.get(0)?, toml: row.get(1)?, at: row.get(2)?, actor: row.get(3)? })
}
