//! Counts every row that runs write, by table: with triggers, since a row written
//! with the values it had leaves no other trace.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rusqlite::Connection;

const LOG: &str = "bench_written";
const TRIGGERS: &str = "bench_";
/// Tables of which a page may write one row.
const PAGE_BY_PAGE: [&str; 2] = ["lane", "run"];

/// Rows written, by table.
pub type Written = BTreeMap<String, u64>;

/// Starts counting in a tenant's database that no process has open.
pub fn watch(file: &Path) -> Result<()> {
    let connection = Connection::open(file)?;
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    connection.execute_batch(&format!("CREATE TABLE {LOG} (name TEXT NOT NULL) STRICT"))?;
    for table in tables {
        for event in ["INSERT", "UPDATE", "DELETE"] {
            connection.execute_batch(&format!(
                "CREATE TRIGGER {TRIGGERS}{table}_{event} AFTER {event} ON \"{table}\" BEGIN
                     INSERT INTO {LOG} VALUES ('{table}');
                 END"
            ))?;
        }
    }
    Ok(())
}

/// What was counted since.
pub fn written(file: &Path) -> Result<Written> {
    let connection = Connection::open(file)?;
    let mut statement = connection.prepare(&format!("SELECT name, count(*) FROM {LOG} GROUP BY name"))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Stops counting and leaves no trace of it.
pub fn unwatch(file: &Path) -> Result<()> {
    let connection = Connection::open(file)?;
    let triggers: Vec<String> = connection
        .prepare(&format!(
            "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '{TRIGGERS}%'"
        ))?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for trigger in triggers {
        connection.execute_batch(&format!("DROP TRIGGER \"{trigger}\""))?;
    }
    connection.execute_batch(&format!("DROP TABLE {LOG}"))?;
    Ok(())
}

/// The figure: an update of a lane or run a page is what a page may cost.
pub fn outside_runs_and_lanes(written: &Written) -> u64 {
    let outside = |table: &str| !PAGE_BY_PAGE.contains(&table);
    written.iter().filter(|(table, _)| outside(table)).map(|(_, rows)| rows).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_even_where_their_values_stay_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.db");
        let open = || Connection::open(&file).unwrap();
        open().execute_batch("CREATE TABLE deal (a INTEGER PRIMARY KEY, b); CREATE TABLE run (a)").unwrap();
        open().execute_batch("INSERT INTO deal VALUES (1, 2)").unwrap();
        watch(&file).unwrap();
        open().execute_batch("UPDATE deal SET b = 2; INSERT INTO run VALUES (1); DELETE FROM deal").unwrap();
        let counted = written(&file).unwrap();
        assert_eq!(counted, Written::from([("deal".to_owned(), 2), ("run".to_owned(), 1)]));
        assert_eq!(outside_runs_and_lanes(&counted), 2);
        unwatch(&file).unwrap();
        open().execute_batch("INSERT INTO deal VALUES (1, 2)").unwrap();
        assert!(written(&file).is_err());
    }
}
