//! `dealsync log …`: why what was not imported was not, and what to do (S57, S58).

use clap::{Subcommand, ValueEnum};
use dealsync_core::ids::SfId;
use dealsync_core::reason::{CATALOGUE, Code, Level};
use dealsync_core::value::timestamp_text;
use serde::{Deserialize, Serialize};

use super::out::CliError;
use super::table::{TABLE_WIDTH, fix_lines, minute, one_line, print_json, wrap};
use super::{Context, TenantArg, plural, salesforce_id};
use crate::hints::did_you_mean;
use crate::store::{CauseRow, LogEntry, LogFilter, LogId, LogState};

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum Log {
    /// Lists what did not work, the newest first: each with its fix.
    List {
        #[command(flatten)]
        tenant: TenantArg,
        #[arg(long, value_enum, default_value_t = State::Open)]
        state: State,
        /// This level and above.
        #[arg(long, value_enum)]
        level: Option<AtLeast>,
        /// Only this code of the catalogue.
        #[arg(long)]
        code: Option<String>,
        /// Only this record: its Salesforce id or address.
        #[arg(long, value_name = "ID")]
        record: Option<String>,
        /// Part of the record's name or of the message.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// One row per cause: how many, which, and the fix.
        #[arg(long)]
        grouped: bool,
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
    },
    /// Marks entries as seen: they leave the list of open ones.
    Ack {
        #[command(flatten)]
        tenant: TenantArg,
        /// Ids of entries, as the list shows them.
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All open entries.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum State {
    Open,
    Acknowledged,
    Resolved,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum AtLeast {
    Info,
    Warning,
    Error,
}

impl AtLeast {
    fn level(self) -> Level {
        match self {
            Self::Info => Level::Info,
            Self::Warning => Level::Warning,
            Self::Error => Level::Error,
        }
    }
}

impl State {
    fn state(self) -> Option<LogState> {
        match self {
            Self::Open => Some(LogState::Open),
            Self::Acknowledged => Some(LogState::Acknowledged),
            Self::Resolved => Some(LogState::Resolved),
            Self::All => None,
        }
    }
}

impl Log {
    pub async fn execute(&self, cx: &Context<'_>) -> Result<(), CliError> {
        match self {
            Self::List { tenant, state, level, code, record, search, grouped, limit } => {
                let store = cx.tenant(tenant.name()).await?;
                if *grouped {
                    let level = level.map_or(Level::Info, AtLeast::level);
                    print_causes(cx, &store.grouped_by_cause(level).await?);
                    return Ok(());
                }
                let filter = LogFilter {
                    state: state.state(),
                    level: level.map(AtLeast::level),
                    code: code.as_deref().map(known_code).transpose()?,
                    sf_id: record.as_deref().map(salesforce_id).transpose()?,
                    search: search.clone(),
                    limit: Some(*limit),
                    ..LogFilter::default()
                };
                print_entries(cx, &store.log_entries(filter).await?);
                Ok(())
            }
            Self::Ack { tenant, ids, all } => {
                let store = cx.tenant(tenant.name()).await?;
                let ids = ids.iter().map(|id| entry_id(id)).collect::<Result<Vec<_>, _>>()?;
                let count = store.acknowledge((!all).then_some(ids)).await?;
                if cx.json {
                    print_json(cx.out, &serde_json::json!({ "acknowledged": count }));
                } else {
                    cx.out.line(&format!("{} acknowledged", plural(count, "entry", "entries")));
                }
                Ok(())
            }
        }
    }
}

pub(super) fn known_code(name: &str) -> Result<Code, CliError> {
    let name = name.to_uppercase();
    Code::from_name(&name).ok_or_else(|| {
        let hint = did_you_mean(&name, CATALOGUE.iter().map(|entry| entry.name));
        CliError::user(format!("there is no code {name}{hint}")).hint("all of them: dealsync reasons list")
    })
}

fn entry_id(text: &str) -> Result<LogId, CliError> {
    uuid::Uuid::parse_str(text.trim()).map(LogId).map_err(|_| {
        CliError::user(format!("{text:?} is no id of an entry")).hint("ids are shown by: dealsync log list")
    })
}

#[derive(Serialize)]
struct EntryItem<'a> {
    id: String,
    level: &'static str,
    code: &'static str,
    salesforce_id: Option<String>,
    name: &'a str,
    deal: Option<String>,
    message: &'a str,
    fix: &'a str,
    field: Option<&'a str>,
    detail: Option<&'a str>,
    state: &'static str,
    lane: &'a str,
    first_seen: String,
    last_seen: String,
    seen_count: u64,
}

impl<'a> From<&'a LogEntry> for EntryItem<'a> {
    fn from(entry: &'a LogEntry) -> Self {
        Self {
            id: entry.id.0.to_string(),
            level: entry.level.name(),
            code: entry.code.name(),
            salesforce_id: entry.sf_id.map(|id| id.to_string()),
            name: &entry.name,
            deal: entry.deal.map(|deal| deal.to_string()),
            message: &entry.message,
            fix: &entry.fix,
            field: entry.field.as_deref(),
            detail: entry.detail.as_deref(),
            state: entry.state.name(),
            lane: &entry.lane,
            first_seen: timestamp_text(entry.first_seen),
            last_seen: timestamp_text(entry.last_seen),
            seen_count: entry.seen_count,
        }
    }
}

fn print_entries(cx: &Context<'_>, entries: &[LogEntry]) {
    if cx.json {
        return print_json(cx.out, &entries.iter().map(EntryItem::from).collect::<Vec<_>>());
    }
    if entries.is_empty() {
        return cx.out.note("nothing to report");
    }
    for entry in entries {
        for line in entry_lines(entry) {
            cx.out.line(&line);
        }
    }
}

fn entry_lines(entry: &LogEntry) -> Vec<String> {
    let about = about(&entry.name, entry.sf_id);
    let head = format!(
        "{}  {:<7}  {:<24}  {about}",
        minute(Some(entry.last_seen)),
        entry.level.name(),
        entry.code.name()
    );
    let mut lines = vec![super::table::cut(&one_line(&head), TABLE_WIDTH)];
    lines.extend(wrap(&entry.message, 4));
    lines.extend(fix_lines(&entry.fix, 4));
    let seen = match entry.seen_count {
        0 | 1 => String::new(),
        n => format!(", seen {n} times since {}", minute(Some(entry.first_seen))),
    };
    lines.push(format!("    {} {}{seen}", entry.state.name(), entry.id.0));
    lines
}

fn about(name: &str, sf_id: Option<SfId>) -> String {
    match (name.trim(), sf_id) {
        ("", None) => "(connection)".to_owned(),
        ("", Some(id)) => id.to_string(),
        (name, None) => name.to_owned(),
        (name, Some(id)) => format!("{name} ({id})"),
    }
}

#[derive(Serialize)]
struct CauseItem<'a> {
    code: &'static str,
    level: &'static str,
    count: u64,
    fix: &'a str,
    names: &'a [String],
    last_seen: String,
}

fn print_causes(cx: &Context<'_>, causes: &[CauseRow]) {
    if cx.json {
        let items: Vec<_> = causes
            .iter()
            .map(|cause| CauseItem {
                code: cause.code.name(),
                level: cause.level.name(),
                count: cause.count,
                fix: &cause.fix,
                names: &cause.names,
                last_seen: timestamp_text(cause.last_seen),
            })
            .collect();
        return print_json(cx.out, &items);
    }
    if causes.is_empty() {
        return cx.out.note("nothing to report");
    }
    for cause in causes {
        for line in cause_lines(cause) {
            cx.out.line(&line);
        }
    }
}

fn cause_lines(cause: &CauseRow) -> Vec<String> {
    let mut lines = vec![format!("{} × {} ({})", cause.count, cause.code.name(), cause.level.name())];
    lines.extend(fix_lines(&cause.fix, 4));
    if !cause.names.is_empty() {
        let more = cause.count.saturating_sub(cause.names.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.extend(wrap(&format!("{}{more}", cause.names.join(", ")), 4));
    }
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn entry() -> LogEntry {
        LogEntry {
            id: LogId(uuid::Uuid::from_u128(7)),
            run: None,
            lane: "deals/pull/Opportunity".into(),
            level: Level::Error,
            code: Code::PartnerUserUnknown,
            sf_id: Some("006D000000IRFma".parse().unwrap()),
            name: "Globex renewal".into(),
            deal: None,
            message: "Not imported: no portal user has dana@acme.example.".into(),
            fix: "Invite the user, or correct the address.".into(),
            detail: None,
            field: None,
            state: LogState::Open,
            first_seen: 1_795_313_640_000_000,
            last_seen: 1_795_317_240_000_000,
            seen_count: 2,
        }
    }

    #[test]
    fn an_entry_tells_what_happened_and_the_fix() {
        expect![[r#"
            2026-11-22 03:14  error    PARTNER_USER_UNKNOWN      Globex renewal (006D000000IRFmaIAH)
                Not imported: no portal user has dana@acme.example.
                Fix: Invite the user, or correct the address.
                open 00000000-0000-0000-0000-000000000007, seen 2 times since 2026-11-22 02:14"#]]
        .assert_eq(&entry_lines(&entry()).join("\n"));
    }

    #[test]
    fn causes_are_counted_and_name_some_of_their_records() {
        let cause = CauseRow {
            code: Code::PartnerUserUnknown,
            level: Level::Error,
            count: 12,
            fix: "Invite the user, or correct the address.".into(),
            names: vec!["Globex renewal".into(), "Initech".into()],
            last_seen: 0,
        };
        expect![[r#"
            12 × PARTNER_USER_UNKNOWN (error)
                Fix: Invite the user, or correct the address.
                Globex renewal, Initech and 10 more"#]]
        .assert_eq(&cause_lines(&cause).join("\n"));
    }

    #[test]
    fn json_carries_everything_a_script_needs() {
        let json = serde_json::to_value(EntryItem::from(&entry())).unwrap();
        assert_eq!(json["code"], "PARTNER_USER_UNKNOWN");
        assert_eq!(json["fix"], "Invite the user, or correct the address.");
        assert_eq!(json["last_seen"], "2026-11-22T03:14:00Z");
    }
}
