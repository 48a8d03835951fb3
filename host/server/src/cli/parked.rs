//! `dealsync parked …`: records set aside, why, and trying them again.

use clap::Subcommand;
use dealsync_core::plan::AsideKind;
use dealsync_core::value::timestamp_text;
use serde::{Deserialize, Serialize};

use super::log::known_code;
use super::out::CliError;
use super::table::{fix_lines, left, list, minute, print_json, whole, wrap};
use super::{Context, TenantArg, plural, salesforce_id};
use crate::store::{AsideFilter, AsideRow};

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum Parked {
    /// Lists parked records, the latest first.
    List {
        #[command(flatten)]
        tenant: TenantArg,
        /// Only this code of the catalogue.
        #[arg(long)]
        code: Option<String>,
        /// Part of the name, or the id.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// Also records that are skipped because a flag is off.
        #[arg(long)]
        skipped: bool,
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
    },
    /// Shows every reason why a record is parked, with the fixes.
    Show {
        /// The record's Salesforce id or address.
        id: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Has records tried again by the next run, whatever they wait for.
    ///
    /// A record whose deal a person removed is imported again where it is named.
    Retry {
        /// Salesforce ids or addresses.
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All parked records.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        #[command(flatten)]
        tenant: TenantArg,
    },
}

impl Parked {
    pub async fn execute(&self, cx: &Context<'_>) -> Result<(), CliError> {
        match self {
            Self::List { tenant, code, search, skipped, limit } => {
                let filter = AsideFilter {
                    kind: (!skipped).then_some(AsideKind::Parked),
                    code: code.as_deref().map(known_code).transpose()?,
                    search: search.clone(),
                    limit: Some(*limit),
                };
                let rows = cx.tenant(tenant.name()).await?.asides(filter).await?;
                print_rows(cx, &rows);
                Ok(())
            }
            Self::Show { id, tenant } => {
                let row = cx.tenant(tenant.name()).await?.aside(salesforce_id(id)?).await?;
                print_row(cx, &row);
                Ok(())
            }
            Self::Retry { ids, all, tenant } => {
                let ids = ids.iter().map(|id| salesforce_id(id)).collect::<Result<Vec<_>, _>>()?;
                let store = cx.tenant(tenant.name()).await?;
                let count = store.retry((!all).then_some(ids), cx.now()).await?;
                if cx.json {
                    print_json(cx.out, &serde_json::json!({ "marked": count }));
                } else {
                    let records = plural(count, "record", "records");
                    cx.out.line(&format!("{records} will be tried by the next run"));
                    cx.out.note("hint: run it now with: dealsync lane run --incremental");
                }
                Ok(())
            }
        }
    }
}

#[derive(Serialize)]
struct Item<'a> {
    salesforce_id: String,
    kind: &'static str,
    name: &'a str,
    code: &'static str,
    reasons: Vec<ReasonItem<'a>>,
    waits_on: &'a [String],
    first_seen: String,
    last_seen: String,
    attempts: u64,
    due: Option<String>,
}

#[derive(Serialize)]
struct ReasonItem<'a> {
    code: &'static str,
    level: &'static str,
    message: &'a str,
    fix: &'a str,
    field: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> From<&'a AsideRow> for Item<'a> {
    fn from(row: &'a AsideRow) -> Self {
        let reasons = row.reasons.iter().map(|reason| ReasonItem {
            code: reason.code.name(),
            level: reason.level.name(),
            message: &reason.message,
            fix: &reason.fix,
            field: reason.field.as_deref(),
            detail: reason.detail.as_deref(),
        });
        Self {
            salesforce_id: row.sf_id.to_string(),
            kind: row.kind.name(),
            name: &row.name,
            code: row.code.name(),
            reasons: reasons.collect(),
            waits_on: &row.waits_on,
            first_seen: timestamp_text(row.first_seen),
            last_seen: timestamp_text(row.last_seen),
            attempts: row.attempts,
            due: row.due_at.map(timestamp_text),
        }
    }
}

fn print_rows(cx: &Context<'_>, rows: &[AsideRow]) {
    let items: Vec<Item<'_>> = rows.iter().map(Item::from).collect();
    let columns = [whole("SINCE"), whole("SALESFORCE ID"), left("RECORD"), whole("CODE"), left("WHY")];
    list(cx.out, cx.json, &items, &columns, "nothing is parked", |item| {
        let why = item.reasons.first().map_or("", |reason| reason.message);
        vec![
            minute(dealsync_core::value::parse_timestamp(&item.first_seen)),
            item.salesforce_id.clone(),
            item.name.to_owned(),
            item.code.to_owned(),
            why.strip_prefix("Not imported: ").unwrap_or(why).to_owned(),
        ]
    });
}

fn print_row(cx: &Context<'_>, row: &AsideRow) {
    if cx.json {
        return print_json(cx.out, &Item::from(row));
    }
    for line in row_lines(row) {
        cx.out.line(&line);
    }
}

fn row_lines(row: &AsideRow) -> Vec<String> {
    let mut lines = wrap(
        &format!("{} ({}), {} since {}", row.name, row.sf_id, row.kind.name(), minute(Some(row.first_seen))),
        0,
    );
    for reason in &row.reasons {
        lines.push(format!("  {} ({})", reason.code, reason.level.name()));
        lines.extend(wrap(&reason.message, 4));
        lines.extend(fix_lines(&reason.fix, 4));
        if let Some(detail) = &reason.detail {
            lines.extend(wrap(&format!("Said by: {detail}"), 4));
        }
    }
    let next = match row.due_at {
        Some(at) => format!("tried again after {}", minute(Some(at))),
        None => "tried again when what it waits for changes, and by every full run".to_owned(),
    };
    lines.push(format!("  {next}"));
    lines
}

#[cfg(test)]
mod tests {
    use dealsync_core::ids::RunId;
    use dealsync_core::reason::{Code, Reason};
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_parked_record_shows_every_reason_with_its_fix() {
        let row = AsideRow {
            sf_id: "006D000000IRFma".parse().unwrap(),
            kind: AsideKind::Parked,
            name: "Globex renewal".into(),
            code: Code::AccountMissing,
            reasons: vec![
                Reason::new(Code::AccountMissing, &[]),
                Reason::new(Code::PrimaryContactMissing, &[("n", "1 contact is"), ("names", "Eve Hill")])
                    .detail("standard 0.1.0"),
            ],
            waits_on: vec![],
            lane: "deals/pull/Opportunity".into(),
            run: RunId(uuid::Uuid::nil()),
            first_seen: 1_795_313_640_000_000,
            last_seen: 1_795_313_640_000_000,
            attempts: 1,
            due_at: None,
        };
        expect![[r#"
            Globex renewal (006D000000IRFmaIAH), parked since 2026-11-22 02:14
              ACCOUNT_MISSING (error)
                Not imported: this Opportunity has no Account.
                Fix: Set the Account on the Opportunity.
              PRIMARY_CONTACT_MISSING (error)
                Not imported: 1 contact is attached, none is Primary.
                Fix: Tick Primary on one of: Eve Hill.
                Said by: standard 0.1.0
              tried again when what it waits for changes, and by every full run"#]]
        .assert_eq(&row_lines(&row).join("\n"));
    }
}
