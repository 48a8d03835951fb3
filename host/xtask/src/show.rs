//! What a person sees of the demo beside what `dealsync` prints itself: the newest
//! deals, the mails, the sum, and what to try next.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

/// Deals shown before the rest is only counted.
const DEALS_SHOWN: usize = 12;
const COLUMN_CHARS_MAX: usize = 34;

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

pub fn deals(deals: &[Value]) {
    println!("\nDeals ({}), newest first", deals.len());
    for deal in deals.iter().take(DEALS_SHOWN) {
        let amount = [field(deal, "amount"), field(deal, "currency")].join(" ");
        println!(
            "  {:<COLUMN_CHARS_MAX$}  {:>16}  {:<12}  {}",
            cut(&field(deal, "name")),
            amount.trim(),
            field(deal, "close_date"),
            field(deal, "owner")
        );
    }
    if deals.len() > DEALS_SHOWN {
        println!("  … and {} more", deals.len() - DEALS_SHOWN);
    }
}

pub fn mails(folder: &Path) {
    let count = std::fs::read_dir(folder).map_or(0, Iterator::count);
    if count > 0 {
        println!("\nMails to the owners: {count} .eml files in {}", folder.display());
    }
}

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

/// What to try next. `gone` where the data is removed before anything can be tried.
pub fn next(typed: &str, tenant: &str, gone: bool) {
    if gone {
        println!("\nTo keep the data and look around in it: cargo xtask demo --data demo-data");
        return;
    }
    println!("\nLook around:");
    for command in ["deal list", "log list", "parked list", "lane run --full --dry-run"] {
        println!("  {typed} {command} --tenant {tenant}");
    }
}

/// A field as text, wherever a list keeps it: at the top, or among the deal's fields.
fn field(entry: &Value, name: &str) -> String {
    let value = entry.get(name).or_else(|| entry.get("fields").and_then(|fields| fields.get(name)));
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= COLUMN_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(COLUMN_CHARS_MAX - 1).chain(['…']).collect()
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

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut(&"é".repeat(40)).chars().count(), COLUMN_CHARS_MAX);
    }
}
