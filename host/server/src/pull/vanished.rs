//! Records that a run expected and did not get: deleted, out of scope, or hidden.

use std::collections::HashSet;
use std::sync::Arc;

use dealsync_core::deal::{NAME, decode_row};
use dealsync_core::ids::SfId;
use dealsync_core::link::{LinkState, RemoteObject};
use dealsync_core::plan::{Contacts, Source, Stored};

use super::page::{PageContext, Planned};
use super::{Progress, Pull, is_followed, mass_change, page};
use crate::app::AppError;
use crate::ready::Ready;

/// Linked records that this run has not seen. Stops where too many are gone at once.
pub(super) fn missing_links(
    pull: &Pull<'_>,
    links: &[(SfId, LinkState, RemoteObject)],
    progress: &Progress,
) -> Result<Vec<SfId>, AppError> {
    let followed: Vec<SfId> = links.iter().filter(|link| is_followed(link)).map(|(id, _, _)| *id).collect();
    let missing: Vec<SfId> = followed.iter().copied().filter(|id| !progress.seen.contains(id)).collect();
    if !pull.request.confirmed {
        mass_change((missing.len() + progress.leaving.plans.len()) as u64, followed.len() as u64)?;
    }
    Ok(missing)
}

/// Plans for records that a query did not bring, each asked for by id, deleted ones
/// included. One that is not even there was deleted for good or hidden, and counts
/// as deleted.
pub(super) async fn plans(pull: &Pull<'_>, ready: &Arc<Ready>, ids: &[SfId]) -> Result<Planned, AppError> {
    let mut planned = Planned::default();
    let query = pull.query(ready)?;
    let context = PageContext {
        app: pull.app.clone(),
        ready: ready.clone(),
        store: pull.store.clone(),
        as_of: pull.started,
        seed: 0,
    };
    for ids in ids.chunks(super::changes::BY_ID_CHUNK) {
        let mut gone: HashSet<SfId> = ids.iter().copied().collect();
        for mut page in ready.client.by_ids(&query, ids).await? {
            ready.client.fill_contacts(&mut page).await?;
            page.rows.iter().for_each(|row| {
                gone.remove(&row.id);
            });
            merge(&mut planned, page::work_out(&context, page, 0).await?);
        }
        let gone: Vec<SfId> = ids.iter().copied().filter(|id| gone.contains(id)).collect();
        merge(&mut planned, unseen(pull, ready, gone).await?);
    }
    Ok(planned)
}

/// Plans for records of which Salesforce shows nothing any more.
pub(super) async fn unseen(pull: &Pull<'_>, ready: &Ready, ids: Vec<SfId>) -> Result<Planned, AppError> {
    let stored = pull.store.facts(ready.org, &ids).await?;
    let plans: Vec<_> = ids.into_iter().zip(&stored).map(|(id, stored)| deleted(id, stored)).collect();
    Ok(Planned { waits: vec![Vec::new(); plans.len()], plans, ..Planned::default() })
}

fn merge(into: &mut Planned, page: Planned) {
    into.plans.extend(page.plans);
    into.waits.extend(page.waits);
    into.created += page.created;
    into.fuel_used += page.fuel_used;
}

/// The plan for a record of which Salesforce shows nothing any more.
fn deleted(id: SfId, stored: &Stored) -> dealsync_core::plan::Plan {
    let known = stored.link.as_ref().map(|link| decode_row(&link.base));
    let name = known.and_then(|base| Some(base.get(NAME)?.as_str()?.to_owned()));
    let source = Source {
        id,
        name: name.unwrap_or_else(|| id.to_string()),
        modstamp: 0,
        created: 0,
        deleted: true,
        sync_flag: false,
        import_flag: false,
        account: None,
        contacts: Contacts::None,
        partner_email: None,
        distributor_email: None,
        currency: None,
        unreadable: None,
    };
    dealsync_core::plan::plan_gone(&source, stored)
}
