//! Everything a tenant holds as one stable text, for comparing two worlds and for
//! showing one to a reader.

use std::fmt::Write as _;

use dealsync::store::{AsideFilter, DealFilter, DealOrder, LogFilter, LogState};
use dealsync_core::ids::TenantId;

use crate::World;

impl World {
    /// Deals with link, owner, account and contact; records set aside; open log
    /// entries; mails. Ids made by chance are left out, so that two worlds with the
    /// same history give the same text.
    pub async fn snapshot(&self) -> String {
        self.snapshot_of(&self.tenant).await
    }

    pub async fn snapshot_of(&self, tenant: &TenantId) -> String {
        let store = self.app().store().tenant(tenant).await.expect("the tenant");
        let mut lines = Vec::new();
        let page =
            store.deals(DealFilter::default(), DealOrder::default(), 10_000, None).await.expect("deals");
        for row in page.deals {
            let view = store.deal(row.id).await.expect("a deal");
            let name = |named: &Option<dealsync::store::Named>| {
                named.as_ref().map_or_else(|| "-".to_owned(), |named| named.name.clone())
            };
            lines.push(format!(
                "deal {} [{}] owner {} partner {} distributor {} account {} contact {}\n  fields {}\n  base {}\n  source {}",
                row.sf_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
                row.link_state.map_or("unlinked", |state| state.name()),
                row.owner.name,
                name(&row.partner),
                name(&row.distributor),
                name(&row.account),
                name(&row.contact),
                text(Some(&row.fields)),
                text(view.base.as_ref()),
                text(view.base_source.as_ref()),
            ));
        }
        for aside in store.asides(AsideFilter::default()).await.expect("asides") {
            lines.push(format!("{} {} {} {}", aside.kind.name(), aside.sf_id, aside.name, aside.code));
        }
        let open = LogFilter { state: Some(LogState::Open), ..LogFilter::default() };
        for entry in store.log_entries(open).await.expect("log") {
            let id = entry.sf_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            lines.push(format!(
                "log {} {} {id} {}: {}",
                entry.level.name(),
                entry.code,
                entry.name,
                entry.message
            ));
        }
        let counts = store.outbox_counts().await.expect("outbox");
        lines.push(format!("outbox {counts:?}"));
        lines.sort();
        let mut all = String::new();
        for line in lines {
            writeln!(all, "{line}").expect("writing to a string");
        }
        all
    }
}

fn text(values: Option<&dealsync_core::deal::Values>) -> String {
    values.map_or_else(|| "-".to_owned(), |values| serde_json::to_string(values).expect("plain values"))
}
