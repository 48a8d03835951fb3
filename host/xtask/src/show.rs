//! What a person sees of the demo beside what `dealsync` prints itself: the mails,
//! the sum, and what to try next.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// The counts of a run: these keys and no others.
pub fn counts(report: &Value) -> Result<Value> {
    let mut counts = Map::new();
    for key in ["selected", "created", "updated", "unchanged", "parked", "skipped"] {
        let count = report.get(key).and_then(Value::as_u64);
        counts.insert(key.to_owned(), count.with_context(|| format!("the run reported no {key}"))?.into());
    }
    counts.insert("reasons".to_owned(), report.get("reasons").cloned().unwrap_or_else(|| json!({})));
    Ok(Value::Object(counts))
}

/// Where the mails lie.
pub fn mails(folder: &Path) {
    let count = std::fs::read_dir(folder).map_or(0, Iterator::count);
    if count > 0 {
        println!("\nMails to the owners: {count} .eml files in {}", folder.display());
    }
}

/// The sum that always adds up.
pub fn counted(counts: &Value) {
    let count = |key: &str| counts[key].to_string();
    println!(
        "\n{} selected = {} created + {} updated + {} unchanged + {} parked + {} skipped",
        count("selected"),
        count("created"),
        count("updated"),
        count("unchanged"),
        count("parked"),
        count("skipped")
    );
}

/// How to have something left to look at.
pub fn kept() {
    println!("\nTo keep the data and look around in it: cargo xtask demo --data .demo");
}

/// What to try next; more of it where the org is still there to ask.
pub fn next(typed: &str, tenant: &str, org_is_up: bool) {
    println!("\nLook around:");
    for command in ["deal list", "log list", "parked list"] {
        println!("  {typed} {command} --tenant {tenant}");
    }
    if org_is_up {
        println!("Mend a user and run again, or see first what a run would do:");
        println!("  {typed} user list --tenant {tenant} --status pending");
        println!("  {typed} lane run --tenant {tenant} --full --dry-run");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_these_keys_and_no_others() {
        let report = json!({
            "tenant": "acme", "run": "1", "selected": 3, "created": 1, "updated": 0, "unchanged": 0,
            "parked": 1, "skipped": 1, "reasons": {"ACCOUNT_MISSING": 1, "SYNC_FLAG_MISSING": 1}, "pages": 1,
        });
        assert_eq!(
            counts(&report).unwrap().to_string(),
            "{\"selected\":3,\"created\":1,\"updated\":0,\"unchanged\":0,\"parked\":1,\"skipped\":1,\
             \"reasons\":{\"ACCOUNT_MISSING\":1,\"SYNC_FLAG_MISSING\":1}}"
        );
        assert!(counts(&json!({"selected": 1})).is_err());
    }
}
