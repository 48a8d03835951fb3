//! What is remembered of a connection to Salesforce: which org it leads to, its
//! describes, and the API calls of the day.

use dealsync_core::ids::SfId;
use rusqlite::{OptionalExtension, params};

use super::sqlite::values::maybe_sf_id_at;
use super::{StoreError, TenantStore};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionState {
    /// The org of the first login: another one later is ORG_CHANGED.
    pub org: Option<SfId>,
    pub instance_url: Option<String>,
}

/// An object's describe as Salesforce sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribeCache {
    pub fetched_at: i64,
    pub json: String,
}

impl TenantStore {
    /// What is known of a connection; empty where nothing is.
    pub async fn connection(&self, name: &str) -> Result<ConnectionState, StoreError> {
        let name = name.to_owned();
        self.on(move |_, connection| {
            let state = connection
                .prepare_cached("SELECT org, instance_url FROM connection WHERE name = ?1")?
                .query_row([name], |row| {
                    Ok(ConnectionState { org: maybe_sf_id_at(row, 0)?, instance_url: row.get(1)? })
                })
                .optional()?;
            Ok(state.unwrap_or_default())
        })
        .await
    }

    /// Remembers a connection; writes nothing where nothing is new.
    pub async fn save_connection(&self, name: &str, state: ConnectionState) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.on(move |_, connection| {
            connection
                .prepare_cached(
                    "INSERT INTO connection (name, org, instance_url) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET org = ?2, instance_url = ?3
                     WHERE (org, instance_url) IS NOT (?2, ?3)",
                )?
                .execute(params![name, state.org.as_ref().map(SfId::as_str), state.instance_url])?;
            Ok(())
        })
        .await
    }

    pub async fn describe(
        &self,
        connection: &str,
        object: &str,
    ) -> Result<Option<DescribeCache>, StoreError> {
        let (name, object) = (connection.to_owned(), object.to_owned());
        self.on(move |_, connection| {
            let cached = connection
                .query_row(
                    "SELECT fetched_at, json FROM describe WHERE connection = ?1 AND object = ?2",
                    [name, object],
                    |row| Ok(DescribeCache { fetched_at: row.get(0)?, json: row.get(1)? }),
                )
                .optional()?;
            Ok(cached)
        })
        .await
    }

    pub async fn save_describe(
        &self,
        connection: &str,
        object: &str,
        cache: DescribeCache,
    ) -> Result<(), StoreError> {
        let (name, object) = (connection.to_owned(), object.to_owned());
        self.on(move |_, connection| {
            connection.execute(
                "INSERT OR REPLACE INTO describe (connection, object, fetched_at, json) VALUES (?1, ?2, ?3, ?4)",
                params![name, object, cache.fetched_at, cache.json],
            )?;
            Ok(())
        })
        .await
    }

    /// Forgets the describes of a connection, as "refresh schema" asks.
    pub async fn forget_describes(&self, connection: &str) -> Result<(), StoreError> {
        let name = connection.to_owned();
        self.on(move |_, connection| {
            connection.execute("DELETE FROM describe WHERE connection = ?1", [name])?;
            Ok(())
        })
        .await
    }
}
