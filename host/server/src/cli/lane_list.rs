//! Lanes and runs as lists.

use dealsync_core::value::{parse_timestamp, timestamp_text};
use serde::Serialize;

use super::out::CliError;
use super::table::{left, list, minute, right, whole};
use super::{Context, TenantArg};
use crate::run::{Counts, Trigger};
use crate::scheduler;
use crate::store::RunRow;

#[derive(Serialize)]
struct LaneItem {
    tenant: String,
    lane: String,
    state: String,
    why: Option<String>,
    last_run: Option<String>,
    result: Option<String>,
    counts: Option<Counts>,
    error: Option<String>,
    next_run: Option<String>,
}

pub(super) async fn print_lanes(cx: &Context<'_>, tenant: &TenantArg) -> Result<(), CliError> {
    let store = cx.tenant(tenant.name()).await?;
    let outlook = scheduler::look(cx.app, store.id()).await?;
    let mut items = Vec::new();
    for lane in store.lanes().await? {
        let run = match lane.last_run {
            Some(run) => Some(store.run(run).await?),
            None => None,
        };
        let held = lane.holder.is_some() && lane.lease_until > cx.now();
        let state = match (&lane.paused, held) {
            (Some(_), _) => "paused",
            (None, true) => "running",
            (None, false) => "waiting",
        };
        let next = outlook.next.as_ref().filter(|(name, _)| *name == lane.name).map(|(_, due)| due.at);
        items.push(LaneItem {
            tenant: store.id().to_string(),
            lane: lane.name,
            state: state.to_owned(),
            why: lane.paused,
            last_run: run.as_ref().map(|run| timestamp_text(run.started)),
            result: run.as_ref().map(|run| run.state.name().to_owned()),
            counts: run.as_ref().map(|run| run.counts.clone()),
            error: run.and_then(|run| run.error),
            next_run: next.map(|at| timestamp_text(at.max(cx.now()))),
        });
    }
    let columns =
        [whole("LANE"), left("STATE"), whole("LAST RUN"), left("RESULT"), left("COUNTS"), whole("NEXT RUN")];
    list(cx.out, cx.json, &items, &columns, "no lanes", |item| {
        let at = |text: &Option<String>| minute(text.as_deref().and_then(parse_timestamp));
        vec![
            item.lane.clone(),
            item.why.as_ref().map_or_else(|| item.state.clone(), |why| format!("{}: {why}", item.state)),
            at(&item.last_run),
            item.error.clone().or_else(|| item.result.clone()).unwrap_or_else(|| "-".to_owned()),
            item.counts.as_ref().map(short_counts).unwrap_or_default(),
            at(&item.next_run),
        ]
    });
    Ok(())
}

/// `50 created, 25 parked`: what is not nothing.
fn short_counts(counts: &Counts) -> String {
    let Counts { created, updated, unchanged, parked, skipped, .. } = counts;
    let named = [
        (created, "created"),
        (updated, "updated"),
        (unchanged, "unchanged"),
        (parked, "parked"),
        (skipped, "skipped"),
    ];
    let some = named.into_iter().filter(|(count, _)| **count > 0);
    some.map(|(count, name)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

#[derive(Serialize)]
struct RunItem<'a> {
    id: String,
    lane: &'a str,
    kind: &'static str,
    trigger: Trigger,
    backfill: bool,
    started: String,
    finished: Option<String>,
    state: &'static str,
    counts: &'a Counts,
    api_calls: u64,
    error: Option<&'a str>,
}

pub(super) fn print_runs(cx: &Context<'_>, runs: &[RunRow]) {
    let items: Vec<RunItem<'_>> = runs
        .iter()
        .map(|run| RunItem {
            id: run.id.to_string(),
            lane: &run.lane,
            kind: run.kind.name(),
            trigger: run.trigger,
            backfill: run.backfill,
            started: timestamp_text(run.started),
            finished: run.finished.map(timestamp_text),
            state: run.state.name(),
            counts: &run.counts,
            api_calls: run.api_calls,
            error: run.error.as_deref(),
        })
        .collect();
    let columns = [
        whole("STARTED"),
        left("KIND"),
        left("BY"),
        left("STATE"),
        right("CREATED"),
        right("UPDATED"),
        right("SAME"),
        right("PARKED"),
        right("SKIPPED"),
        right("CALLS"),
        left("ERROR"),
    ];
    list(cx.out, cx.json, &items, &columns, "no runs yet", |run| {
        let by = match (run.backfill, run.trigger) {
            (true, _) => "backfill",
            (_, Trigger::Manual) => "person",
            (_, Trigger::Scheduled) => "schedule",
        };
        vec![
            minute(parse_timestamp(&run.started)),
            run.kind.to_owned(),
            by.to_owned(),
            run.state.to_owned(),
            run.counts.created.to_string(),
            run.counts.updated.to_string(),
            run.counts.unchanged.to_string(),
            run.counts.parked.to_string(),
            run.counts.skipped.to_string(),
            run.api_calls.to_string(),
            run.error.unwrap_or_default().to_owned(),
        ]
    });
}
