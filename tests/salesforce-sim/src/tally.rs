//! Counts of what was asked.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Every request but those to `/__sim/`.
    pub total: u64,
    /// Requests that count against the daily limit.
    pub counted: u64,
    /// Requests per kind: `token`, `query`, `query_more`, `describe`, `retrieve` …
    pub kinds: BTreeMap<String, u64>,
    /// Answers per status; cut connections are under 0.
    pub statuses: BTreeMap<u16, u64>,
    /// Query pages and rows served per object.
    pub pages: BTreeMap<String, u64>,
    pub rows: BTreeMap<String, u64>,
    /// Faults fired, per kind.
    pub faults: BTreeMap<String, u64>,
    /// The query texts of late, newest last, at most 50.
    pub queries: Vec<String>,
}

const QUERIES_MAX: usize = 50;

impl Tally {
    pub fn kind(&self, kind: &str) -> u64 {
        self.kinds.get(kind).copied().unwrap_or(0)
    }

    pub(crate) fn query(&mut self, text: &str) {
        if self.queries.len() == QUERIES_MAX {
            self.queries.remove(0);
        }
        self.queries.push(text.chars().take(2000).collect());
    }

    pub(crate) fn page(&mut self, object: &str, rows: usize) {
        *self.pages.entry(object.to_owned()).or_default() += 1;
        *self.rows.entry(object.to_owned()).or_default() += rows as u64;
    }
}
