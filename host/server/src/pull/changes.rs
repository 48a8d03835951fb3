//! Where an incremental run looks besides the Opportunities that changed: contact
//! roles, which do not touch their Opportunity's stamp, and records set aside.

use std::collections::BTreeSet;
use std::sync::Arc;

use dealsync_core::ids::SfId;

use super::{Progress, Pull};
use crate::app::AppError;
use crate::ready::Ready;

/// Records asked for by id in one query; 200 ids stay well below the limit of a
/// request's URI.
pub(super) const BY_ID_CHUNK: usize = 200;

/// Records of one incremental run that are looked at again although they did not
/// change themselves. The rest waits for the next run.
const DUE_MAX: usize = 10_000;

/// Looks for changes that leave no stamp on the Opportunity: one call for contact
/// roles, and one more for Contacts where records set aside wait on one. Returns the
/// records set aside whose roles changed, and marks those whose Contact did. Comes
/// before the Opportunities are read, so that reading one of these settles it. A dry
/// run marks nothing.
pub(super) async fn noticed(
    pull: &Pull<'_>,
    ready: &Arc<Ready>,
    progress: &mut Progress,
) -> Result<Vec<SfId>, AppError> {
    let since = progress.cursor.since(progress.cursor.roles);
    let roles = ready.client.changed_roles(since, pull.upper()).await?;
    progress.cursor.roles = progress.cursor.roles.max(roles.max_stamp.unwrap_or(0));
    if pull.store.waits_on_salesforce(ready.org).await? {
        let since = progress.cursor.since(progress.cursor.contacts);
        let contacts = ready.client.changed("Contact", since, pull.upper()).await?;
        progress.cursor.contacts = progress.cursor.contacts.max(contacts.max_stamp.unwrap_or(0));
        if pull.lease.is_some() {
            let keys = contacts.ids.iter().map(|id| format!("sf:{id}")).collect();
            pull.store.touch_keys(keys, pull.started).await?;
        }
    }
    Ok(pull.store.asides_among(ready.org, roles.ids).await?)
}

/// Records to read again besides those that changed: those noticed, and those that
/// are marked because what they wait on changed.
pub(super) async fn due(
    pull: &Pull<'_>,
    ready: &Arc<Ready>,
    noticed: Vec<SfId>,
    progress: &Progress,
) -> Result<Vec<SfId>, AppError> {
    let mut due: BTreeSet<SfId> = noticed.into_iter().collect();
    due.extend(pull.store.due_asides(ready.org, pull.started, DUE_MAX).await?);
    due.retain(|id| !progress.seen.contains(id));
    Ok(due.into_iter().take(DUE_MAX).collect())
}
