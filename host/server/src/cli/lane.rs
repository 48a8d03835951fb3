//! `dealsync lane …`: what runs, when, and running it now (S36).

use std::sync::Arc;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use dealsync_core::people::Directory;
use dealsync_core::plan::{Outcome, Plan};
use dealsync_core::value::parse_date;
use serde::{Deserialize, Serialize};

use super::lane_list::{print_lanes, print_runs};
use super::out::{CliError, Out};
use super::table::{print_json, span};
use super::{Context, TenantArg, plan_text, plural};
use crate::app::{Estimate, PULL_LANE};
use crate::notify;
use crate::run::{Backfill, Counts, Kind, MailPolicy, Report, Request, Trigger, Watch};

/// How long a run's mails may take before the command ends; the rest goes later.
const MAIL_TIME: Duration = Duration::from_secs(60);
const RUNS_MAX: usize = 100;

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum Lane {
    /// Lists lanes: state, last run and its counts, next run.
    List {
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Lists runs, the latest first.
    Runs {
        #[command(flatten)]
        tenant: TenantArg,
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Runs a lane now and follows it.
    Run(Run),
    /// Pauses a lane: it does not run until it is resumed.
    Pause {
        #[arg(default_value = PULL_LANE)]
        lane: String,
        #[command(flatten)]
        tenant: TenantArg,
        /// Why, for whoever looks at it.
        #[arg(long, default_value = "paused by a person")]
        why: String,
    },
    /// Lets a paused lane go on.
    Resume {
        #[arg(default_value = PULL_LANE)]
        lane: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
}

#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub struct Run {
    #[arg(default_value = PULL_LANE)]
    pub lane: String,
    #[command(flatten)]
    pub tenant: TenantArg,
    /// Look at every flagged record; this is what happens where nothing is said.
    #[arg(long, conflicts_with = "incremental")]
    pub full: bool,
    /// Look at what changed since the last run.
    #[arg(long)]
    pub incremental: bool,
    /// Print the whole plan, record by record, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Bring over existing deals, with the date they were created: prints an estimate
    /// first and asks. Cut off, it goes on where it was.
    #[arg(long, conflicts_with = "incremental")]
    pub backfill: bool,
    /// Only records created on or after this day.
    #[arg(long, value_name = "YYYY-MM-DD", requires = "backfill", value_parser = day)]
    pub since: Option<i32>,
    /// Whom a backfill writes to: nobody, or each owner once.
    #[arg(long, value_enum, requires = "backfill", default_value_t = Mail::None)]
    pub mail: Mail,
    /// Start the backfill without asking.
    #[arg(long, requires = "backfill")]
    pub yes: bool,
    /// Go on although a mass change was stopped, or the login leads to another org.
    #[arg(long)]
    pub confirm: bool,
    /// Only count what there is; set by the command itself, before it asks.
    #[arg(skip)]
    #[serde(default)]
    pub only_estimate: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Mail {
    None,
    Digest,
}

fn day(text: &str) -> Result<i32, String> {
    parse_date(text).ok_or_else(|| format!("{text:?} is no date; write it as 2026-11-22"))
}

impl Lane {
    pub async fn execute(&self, cx: &Context<'_>) -> Result<(), CliError> {
        match self {
            Self::List { tenant } => print_lanes(cx, tenant).await,
            Self::Runs { tenant, limit } => {
                let runs = cx.tenant(tenant.name()).await?.runs((*limit).min(RUNS_MAX)).await?;
                print_runs(cx, &runs);
                Ok(())
            }
            Self::Run(run) => run.execute(cx).await,
            Self::Pause { lane, tenant, why } => {
                cx.tenant(tenant.name()).await?.pause(lane, why).await?;
                cx.out.line(&format!("{lane} is paused"));
                Ok(())
            }
            Self::Resume { lane, tenant } => {
                cx.app.resume_lane(cx.tenant(tenant.name()).await?.id(), lane).await?;
                cx.out.line(&format!("{lane} goes on"));
                Ok(())
            }
        }
    }
}

impl Run {
    /// True where the person is to be asked before it starts.
    pub fn wants_consent(&self) -> bool {
        self.backfill && !self.yes && !self.dry_run
    }

    fn request(&self) -> Request {
        Request {
            kind: if self.incremental { Kind::Incremental } else { Kind::Full },
            trigger: Trigger::Manual,
            dry_run: self.dry_run,
            backfill: self.backfill.then_some(Backfill {
                since: self.since,
                mail: match self.mail {
                    Mail::None => MailPolicy::None,
                    Mail::Digest => MailPolicy::Digest,
                },
            }),
            confirmed: self.confirm,
        }
    }

    async fn execute(&self, cx: &Context<'_>) -> Result<(), CliError> {
        let store = cx.tenant(self.tenant.name()).await?;
        if self.backfill && !self.dry_run {
            print_estimate(cx, &cx.app.estimate(store.id(), self.since).await?);
            if self.only_estimate {
                return Ok(());
            }
        }
        let watch = Progress { out: cx.out, json: cx.json, users: store.directory().await? };
        let report = cx.app.run(store.id(), &self.lane, self.request(), &watch).await;
        if !self.dry_run {
            deliver(cx, store.id()).await;
        }
        print_report(cx, &report?);
        Ok(())
    }
}

/// The run is what was asked for; trouble with mail is told beside it.
async fn deliver(cx: &Context<'_>, tenant: &dealsync_core::ids::TenantId) {
    match notify::deliver_due(cx.app, tenant, MAIL_TIME).await {
        Ok(delivered) => {
            if delivered.sent > 0 {
                cx.out.note(&format!("{} sent", plural(delivered.sent, "mail", "mails")));
            }
            if delivered.postponed + delivered.given_up > 0 || delivered.time_is_up {
                cx.out.note(&format!(
                    "warning: {} put off, {} given up; see: dealsync log list --code MAIL_FAILED",
                    plural(delivered.postponed, "mail", "mails"),
                    delivered.given_up
                ));
            }
        }
        Err(error) => {
            cx.out.note(&format!("warning: mails wait: {error}"));
            for hint in error.hints {
                cx.out.note(&format!("hint: {hint}"));
            }
        }
    }
}

fn print_estimate(cx: &Context<'_>, estimate: &Estimate) {
    let records = plural(estimate.records, "flagged record", "flagged records");
    let calls = plural(estimate.api_calls, "API call", "API calls");
    cx.out.note(&format!("estimate: {records}, {}, about {calls}", plural(estimate.pages, "page", "pages")));
}

/// Tells a person how a run goes.
struct Progress<'a> {
    out: &'a dyn Out,
    json: bool,
    users: Arc<dyn Directory>,
}

impl Watch for Progress<'_> {
    fn page(&self, counts: &Counts, total: u64) {
        let Counts { selected, created, updated, unchanged, parked, skipped, .. } = counts;
        self.out.note(&format!(
            "{selected} of {}: {created} created, {updated} updated, {unchanged} unchanged, {parked} parked, {skipped} skipped",
            total.max(*selected)
        ));
    }

    fn planned(&self, plan: &Plan) {
        if plan.outcome == Outcome::Unselected && plan.intents.is_empty() {
            return;
        }
        if self.json {
            return print_json(self.out, &plan_text::object(plan, &*self.users));
        }
        for line in plan_text::lines(plan, &*self.users) {
            self.out.line(&line);
        }
    }
}

fn print_report(cx: &Context<'_>, report: &Report) {
    if cx.json {
        return print_json(cx.out, report);
    }
    for line in report_lines(report) {
        cx.out.line(&line);
    }
    if report.counts.parked > 0 && !report.dry_run {
        cx.out.note(&format!("hint: why and what to do: dealsync log list --tenant {}", report.tenant));
    }
}

fn report_lines(report: &Report) -> Vec<String> {
    let Counts { selected, created, updated, unchanged, parked, skipped, reasons } = &report.counts;
    let (dry, nothing) = if report.dry_run { ("dry ", ", nothing was written") } else { ("", "") };
    let resumed = if report.resumed { ", taken up where it was cut off" } else { "" };
    let mut lines = vec![
        format!(
            "{} {}: {dry}{} run done in {}{resumed}{nothing}",
            report.tenant,
            report.lane,
            report.kind.name(),
            span(report.duration_ms)
        ),
        format!(
            "  {selected} selected = {created} created + {updated} updated + {unchanged} unchanged + {parked} parked + {skipped} skipped"
        ),
        format!(
            "  {}, {}",
            plural(report.pages, "page", "pages"),
            plural(report.api_calls, "API call", "API calls")
        ),
    ];
    let mut causes: Vec<_> = reasons.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    lines.extend(causes.into_iter().map(|(code, count)| format!("  {count:>6} × {code}")));
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_report_adds_up_and_names_the_causes_by_how_often() {
        let mut counts = Counts { selected: 60, created: 38, parked: 20, skipped: 2, ..Counts::default() };
        counts.reasons = [("ACCOUNT_MISSING", 3), ("PARTNER_USER_UNKNOWN", 17), ("SYNC_FLAG_MISSING", 2)]
            .map(|(code, count)| (code.to_owned(), count))
            .into();
        let report = Report {
            tenant: "acme".into(),
            lane: PULL_LANE.into(),
            run: "019f".into(),
            kind: Kind::Full,
            dry_run: false,
            counts,
            pages: 1,
            api_calls: 9,
            resumed: false,
            duration_ms: 1_234,
        };
        expect![[r#"
            acme deals/pull/Opportunity: full run done in 1.2 s
              60 selected = 38 created + 0 updated + 0 unchanged + 20 parked + 2 skipped
              1 page, 9 API calls
                  17 × PARTNER_USER_UNKNOWN
                   3 × ACCOUNT_MISSING
                   2 × SYNC_FLAG_MISSING"#]]
        .assert_eq(&report_lines(&report).join("\n"));
    }

    #[test]
    fn only_a_real_backfill_asks_first() {
        let mut run = Run {
            lane: PULL_LANE.into(),
            tenant: TenantArg::default(),
            full: true,
            incremental: false,
            dry_run: false,
            backfill: true,
            since: None,
            mail: Mail::Digest,
            yes: false,
            confirm: false,
            only_estimate: false,
        };
        assert!(run.wants_consent());
        assert_eq!(run.request().mail(), MailPolicy::Digest);
        run.dry_run = true;
        assert!(!run.wants_consent());
    }
}
