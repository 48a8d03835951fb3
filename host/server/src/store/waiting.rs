//! Which records set aside a change in Salesforce concerns.

use dealsync_core::ids::SfId;
use rusqlite::params;

use super::sqlite::values::sf_id_at;
use super::{StoreError, TenantStore};

impl TenantStore {
    /// All that is set aside.
    pub async fn aside_ids(&self, org: SfId) -> Result<Vec<SfId>, StoreError> {
        self.on(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached("SELECT sf_id FROM set_aside WHERE org = ?1")?;
            let ids = statement.query_map([org], |row| sf_id_at(row, 0))?.collect::<Result<_, _>>()?;
            Ok(ids)
        })
        .await
    }

    /// Those of `ids` that are set aside; in no order.
    pub async fn asides_among(&self, org: SfId, ids: Vec<SfId>) -> Result<Vec<SfId>, StoreError> {
        self.on(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else { return Ok(Vec::new()) };
            let mut statement =
                connection.prepare_cached("SELECT 1 FROM set_aside WHERE org = ?1 AND sf_id = ?2")?;
            let mut among = Vec::new();
            for id in ids {
                if statement.exists(params![org, id.as_str()])? {
                    among.push(id);
                }
            }
            Ok(among)
        })
        .await
    }

    /// True where any record waits for another Salesforce record to change.
    pub async fn waits_on_salesforce(&self, org: SfId) -> Result<bool, StoreError> {
        self.on(move |tenant, connection| {
            let Some(org) = tenant.org(connection, org)? else { return Ok(false) };
            let waits = connection
                .prepare_cached(
                    "SELECT 1 FROM aside_wait WHERE wait_key >= 'sf:' AND wait_key < 'sf;' AND org = ?1 LIMIT 1",
                )?
                .exists([org])?;
            Ok(waits)
        })
        .await
    }
}
