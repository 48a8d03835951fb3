//! The hidden command `engine`: runs of the import in a process of their own, each
//! measured from the call of [`App::run`] to its report. Opening the data folder,
//! settings and users are outside of the figures, except for memory: its peak is
//! that of the whole process.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use dealsync::app::{App, AppError, AppOptions, PULL_LANE};
use dealsync::run::{Kind, Report, Request, Unwatched};
use dealsync::store::NewUser;
use dealsync_core::ids::{TenantId, UserId};
use dealsync_core::people::{UserKind, UserStatus};
use serde::{Deserialize, Serialize};

use crate::measure::{self, Cost, Stopwatch};
use crate::simulator::Tally;
use crate::{option, world};

pub const COMMAND: &str = "engine";

/// Idle runs measured together: processor time comes in steps of 10 ms.
const IDLE_RUNS: u32 = 100;

/// What the process has to say in the end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measured {
    pub runs: Vec<MeasuredRun>,
    /// Of the whole process.
    pub peak_mib: f64,
    /// Of the whole process.
    pub cpu_ms: f64,
}

/// One run, or several of a kind as one.
#[derive(Debug, Serialize, Deserialize)]
pub struct MeasuredRun {
    pub cost: Cost,
    /// The last one's.
    pub report: Report,
    /// Calls that the org counted.
    pub calls: u64,
    pub calls_over_pages: u64,
    /// How many runs these figures are the sum of.
    pub times: u32,
}

/// `engine --do prepare|import|once|again|incremental --data DIR --url URL [--users CSV]`
pub fn main(args: &[String]) -> Result<()> {
    // What the program itself uses.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (data, url) = (Path::new(option(args, "--data")?), option(args, "--url")?);
    let runs = runtime.block_on(async {
        let app = App::open(AppOptions::new(data)).map_err(told)?;
        let engine = Engine { app, tenant: world::TENANT.parse()?, url };
        match option(args, "--do")? {
            // Leaves compiled rules in the folder's cache.
            "prepare" => {
                engine.set_up(Path::new(option(args, "--users")?)).await?;
                engine.app.estimate(&engine.tenant, None).await.map_err(told)?;
                Ok(Vec::new())
            }
            "import" => {
                engine.set_up(Path::new(option(args, "--users")?)).await?;
                Ok(vec![engine.run(Kind::Full, 1).await?])
            }
            "once" => Ok(vec![engine.run(Kind::Full, 1).await?]),
            // The first one logs in; the second finds everything as `serve` does.
            "again" => Ok(vec![engine.run(Kind::Full, 1).await?, engine.run(Kind::Full, 1).await?]),
            "incremental" => Ok(vec![
                engine.run(Kind::Incremental, 1).await?,
                engine.run(Kind::Incremental, IDLE_RUNS).await?,
            ]),
            other => bail!("there is nothing called {other:?} to do"),
        }
    })?;
    let measured = Measured { runs, peak_mib: measure::peak_mib()?, cpu_ms: measure::cpu_ms()? };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

struct Engine<'a> {
    app: App,
    tenant: TenantId,
    url: &'a str,
}

impl Engine<'_> {
    async fn set_up(&self, users: &Path) -> Result<()> {
        self.app.apply(world::apply(self.url)?).await.map_err(told)?;
        let users: Vec<NewUser> = world::users(users)?
            .into_iter()
            .map(|line| NewUser {
                id: UserId(self.app.fresh_id()),
                email: line.email,
                first_name: line.first,
                last_name: line.last,
                kind: UserKind::Partner,
                status: UserStatus::Active,
                organisation: line.organisation,
                group: line.group,
                may_register_deals: true,
                external_id: Some(line.external_id),
            })
            .collect();
        let store = self.app.store().tenant(&self.tenant).await?;
        store.import_users(users, self.app.clock().now_micros()).await?;
        Ok(())
    }

    async fn run(&self, kind: Kind, times: u32) -> Result<MeasuredRun> {
        let before = Tally::read(self.url).await?;
        let stopwatch = Stopwatch::start()?;
        let mut last = None;
        for _ in 0..times {
            let run = self.app.run(&self.tenant, PULL_LANE, Request::manual(kind), &Unwatched);
            last = Some(run.await.map_err(told)?);
        }
        let cost = stopwatch.stop()?;
        let after = Tally::read(self.url).await?;
        let Some(report) = last else { bail!("no run was asked for") };
        let counts = &report.counts;
        ensure!(
            counts.parked == 0 && counts.skipped == 0,
            "every generated Opportunity is fit to import, but {:?} were set aside",
            counts.reasons
        );
        Ok(MeasuredRun {
            cost,
            calls: after.since(&before),
            calls_over_pages: after.over_pages_since(&before),
            times,
            report,
        })
    }
}

fn told(error: AppError) -> anyhow::Error {
    let hints: String = error.hints.iter().map(|hint| format!("\nhint: {hint}")).collect();
    anyhow::anyhow!("{}{hints}", error.message)
}
