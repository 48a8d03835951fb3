//! Looking at what became of a record, and at the tenant's file itself.

use dealsync::store::{AsideFilter, AsideRow, DealView, LogEntry, LogFilter, LogState};
use dealsync_core::ids::SfId;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::World;

impl World {
    /// The deal of a Salesforce record, which must have one.
    pub async fn deal(&self, id: SfId) -> DealView {
        self.store().await.deal_of(id).await.expect("a deal of the record")
    }

    /// Why a record is set aside, if it is.
    pub async fn aside(&self, id: SfId) -> Option<AsideRow> {
        let rows = self.store().await.asides(AsideFilter::default()).await.expect("asides");
        rows.into_iter().find(|row| row.sf_id == id)
    }

    /// What the log says of a record, in any state, as it was written.
    pub async fn log_of(&self, id: SfId) -> Vec<LogEntry> {
        let filter = LogFilter { sf_id: Some(id), ..LogFilter::default() };
        let mut entries = self.store().await.log_entries(filter).await.expect("log");
        entries.sort_by_key(|entry| entry.id);
        entries
    }

    /// The open entries of a record as a person reads them, a line each.
    pub async fn said_of(&self, id: SfId) -> String {
        let open = self.log_of(id).await.into_iter().filter(|entry| entry.state == LogState::Open);
        let lines = open.map(|entry| {
            format!("{} {} | {} | {}\n", entry.level.name(), entry.code, entry.message, entry.fix)
        });
        lines.collect()
    }

    /// The tenant's file, beside the service that has it open.
    pub fn database(&self) -> Connection {
        let path = self.folder.path().join("tenants").join(format!("{}.db", self.tenant));
        assert!(path.is_file(), "{} is there", path.display());
        Connection::open(path).expect("the tenant's file opens")
    }

    /// The rows of a query, each as one line.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let database = self.database();
        let mut statement = database.prepare(sql).expect("SQL");
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells: Vec<String> =
                (0..width).map(|at| cell(row.get_ref(at).expect("a column of the row"))).collect();
            Ok(cells.join(" | "))
        });
        rows.expect("rows").collect::<Result<_, _>>().expect("rows")
    }

    /// Everything the tenant's file holds but for what each run writes about itself.
    pub fn file_but_for_runs(&self) -> String {
        let tables = self.rows(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
             AND name NOT IN ('run', 'lane', 'connection', 'describe') ORDER BY name",
        );
        let lines_of = |table: String| {
            let rows = self.rows(&format!("SELECT * FROM \"{table}\""));
            rows.into_iter().map(move |row| format!("{table}: {row}\n"))
        };
        let mut lines: Vec<String> = tables.into_iter().flat_map(lines_of).collect();
        lines.sort();
        lines.concat()
    }
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "-".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}
