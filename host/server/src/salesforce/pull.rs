//! What is read from an org: pages of Opportunities, and which ids changed.

use std::collections::HashSet;

use dealsync_core::ids::SfId;
use serde::de::DeserializeOwned;

use super::client::{Call, Client};
use super::error::{Error, Refusal};
use super::page::{Next, Page, read_page};
use super::query::{Plan, PullQuery};
use super::soql::{
    URI_BYTES_MAX, URI_BYTES_RESERVED, encode, encoded_len, id_list, ids_per_call, is_api_name, stamp_literal,
};
use super::transport::Response;
use super::wire::{self, ChangedRow, ConvertedRow, DeletedRow, QueryAnswer, RoleRow};
use std::sync::Arc;

/// Ids held of one look for changes. Whoever sees more reads everything.
const CHANGED_IDS_MAX: usize = 200_000;

/// What changed in a window.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changed {
    /// Each once, in the order of their stamps.
    pub ids: Vec<SfId>,
    /// The largest stamp seen, in microseconds since 1970.
    pub max_stamp: Option<i64>,
}

/// A record in the recycle bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    pub id: SfId,
    /// The record it was merged into.
    pub master: Option<SfId>,
    /// Microseconds since 1970.
    pub stamp: i64,
}

impl Client {
    /// Returns the first page of a pull.
    pub async fn pull_first(&self, query: &PullQuery) -> Result<Page, Error> {
        let path = self.query_path("query", query.reads_deleted(), &query.soql())?;
        self.page(path, &query.plan).await
    }

    /// Returns the page after another. `LocatorGone` where the way was lost: pull
    /// again from the stamp of the last row seen.
    pub async fn pull_next(&self, next: &Next) -> Result<Page, Error> {
        let path = self.next_path(&next.path).await?;
        self.page(path, &next.plan).await
    }

    /// Returns these Opportunities, deleted ones included, whatever their flags. An
    /// id that comes back in no page is out of sight. One call per
    /// [`PullQuery::ids_per_call`] ids.
    pub async fn by_ids(&self, query: &PullQuery, ids: &[SfId]) -> Result<Vec<Page>, Error> {
        let mut pages = Vec::new();
        for part in ids.chunks(query.ids_per_call()) {
            let soql = format!("{} WHERE Id IN {}", query.select_from(), id_list(part));
            let mut page = self.page(self.query_path("query", true, &soql)?, &query.plan).await?;
            while let Some(next) = page.next.take() {
                pages.push(std::mem::replace(&mut page, self.pull_next(&next).await?));
            }
            pages.push(page);
        }
        Ok(pages)
    }

    /// Returns how many rows a pull would bring.
    pub async fn count(&self, query: &PullQuery) -> Result<u64, Error> {
        let path = self.query_path("count", query.reads_deleted(), &query.count_soql())?;
        let call = Call::read("count", path);
        let read = |response: &Response| wire::read::<QueryAnswer<serde::de::IgnoredAny>>("count", response);
        Ok(self.execute(&call, read).await?.total_size)
    }

    /// Returns the Opportunities whose contact roles changed in `since <= stamp <
    /// upper`. A role removed on its own leaves no trace here.
    pub async fn changed_roles(&self, since: i64, upper: i64) -> Result<Changed, Error> {
        let soql = format!(
            "SELECT OpportunityId,SystemModstamp FROM OpportunityContactRole {}",
            window(since, upper)
        );
        let mut changed = Gathering::default();
        self.each_row("roles", true, soql, |row: RoleRow| {
            changed.add(row.opportunity_id, row.system_modstamp)
        })
        .await?;
        Ok(changed.changed)
    }

    /// Returns the records of an object that changed in `since <= stamp < upper`,
    /// deleted ones included.
    pub async fn changed(&self, object: &str, since: i64, upper: i64) -> Result<Changed, Error> {
        self.check_object(object)?;
        let soql = format!("SELECT Id,SystemModstamp FROM {object} {}", window(since, upper));
        let mut changed = Gathering::default();
        self.each_row("changes", true, soql, |row: ChangedRow| changed.add(row.id, row.system_modstamp))
            .await?;
        Ok(changed.changed)
    }

    /// Returns the records of an object that went into the recycle bin in the
    /// window, with what they were merged into.
    pub async fn deleted(&self, object: &str, since: i64, upper: i64) -> Result<Vec<Deleted>, Error> {
        self.check_object(object)?;
        // Asking for the field where an object has none fails the query.
        let merges = matches!(object, "Account" | "Contact" | "Lead");
        let master = if merges { ",MasterRecordId" } else { "" };
        let soql = format!(
            "SELECT Id,SystemModstamp{master} FROM {object} WHERE IsDeleted = true AND {} ORDER BY SystemModstamp,Id",
            window_condition(since, upper)
        );
        let mut deleted = Vec::new();
        self.each_row("deletions", true, soql, |row: DeletedRow| {
            deleted.push(Deleted { id: row.id, master: row.master_record_id, stamp: row.system_modstamp });
            deleted.len() <= CHANGED_IDS_MAX
        })
        .await?;
        Ok(deleted)
    }

    /// Returns which of these Opportunities came from which Lead: `(lead,
    /// opportunity)`.
    pub async fn converted_leads(&self, opportunities: &[SfId]) -> Result<Vec<(SfId, SfId)>, Error> {
        let select = "SELECT Id,ConvertedOpportunityId FROM Lead WHERE ConvertedOpportunityId IN ";
        let mut pairs = Vec::new();
        for part in opportunities.chunks(ids_per_call(select)) {
            let soql = format!("{select}{}", id_list(part));
            self.each_row("leads", false, soql, |row: ConvertedRow| {
                pairs.push((row.id, row.converted_opportunity_id));
                pairs.len() <= CHANGED_IDS_MAX
            })
            .await?;
        }
        Ok(pairs)
    }

    async fn page(&self, path: String, plan: &Arc<Plan>) -> Result<Page, Error> {
        let call = Call::read("query", path);
        self.execute(&call, |response| {
            read_page(&response.body, plan)
                .map_err(|error| wire::bad_answer("query", response, &error.to_string()))
        })
        .await
    }

    /// Hands every row of a small query to `take`, page after page, until it says
    /// that it is enough.
    async fn each_row<T: DeserializeOwned>(
        &self,
        name: &'static str,
        deleted_too: bool,
        soql: String,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), Error> {
        let mut path = self.query_path(name, deleted_too, &soql)?;
        loop {
            let call = Call::read(name, path);
            let read = |response: &Response| wire::read::<QueryAnswer<T>>(name, response);
            let answer = self.execute(&call, read).await?;
            for row in answer.records {
                if !take(row) {
                    return Err(ask_for_less(name, format!("more than {CHANGED_IDS_MAX} rows changed")));
                }
            }
            match answer.next_records_url {
                Some(next) if !answer.done => path = self.next_path(&next).await?,
                None if !answer.done => {
                    return Err(Error::BadAnswer {
                        call: name,
                        status: 200,
                        text: "the page does not say where the next one is".to_owned(),
                        request_id: None,
                    });
                }
                _ => return Ok(()),
            }
        }
    }

    /// The path of a query. Refuses one that no address has room for.
    pub(super) fn query_path(
        &self,
        name: &'static str,
        deleted_too: bool,
        soql: &str,
    ) -> Result<String, Error> {
        let resource = if deleted_too { "queryAll" } else { "query" };
        if encoded_len(soql) > URI_BYTES_MAX - URI_BYTES_RESERVED {
            return Err(ask_for_less(name, format!("the query has {} characters", soql.len())));
        }
        Ok(self.data_path(&format!("{resource}?q={}", encode(soql))))
    }

    fn check_object(&self, object: &str) -> Result<(), Error> {
        if is_api_name(object) {
            return Ok(());
        }
        Err(Error::SettingsUnusable(format!("{object:?} is no object's API name")))
    }
}

impl PullQuery {
    /// Ids that one call of [`Client::by_ids`] takes beside these columns.
    pub fn ids_per_call(&self) -> usize {
        ids_per_call(&format!("{} WHERE Id IN ", self.select_from()))
    }
}

fn window(since: i64, upper: i64) -> String {
    format!("WHERE {} ORDER BY SystemModstamp,Id", window_condition(since, upper))
}

fn window_condition(since: i64, upper: i64) -> String {
    format!("SystemModstamp >= {} AND SystemModstamp < {}", stamp_literal(since), stamp_literal(upper))
}

fn ask_for_less(call: &'static str, message: String) -> Error {
    Error::AskForLess(Box::new(Refusal {
        call,
        status: 0,
        code: String::new(),
        message,
        fields: Vec::new(),
        request_id: None,
        retry_after: None,
    }))
}

#[derive(Default)]
struct Gathering {
    changed: Changed,
    seen: HashSet<SfId>,
}

impl Gathering {
    /// Says whether there is room for more.
    fn add(&mut self, id: SfId, stamp: i64) -> bool {
        self.changed.max_stamp = self.changed.max_stamp.max(Some(stamp));
        if self.seen.insert(id) {
            self.changed.ids.push(id);
        }
        self.changed.ids.len() <= CHANGED_IDS_MAX
    }
}
