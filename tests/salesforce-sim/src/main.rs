//! `dealsync-salesforce-sim`: a simulated org on a port.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use dealsync_salesforce_sim::{OrgFile, Sim, demo, generate, load};

/// A Salesforce org on a port of this machine: stateful, with its own clock, and with
/// faults on request. The first line on standard output is its address:
/// `listening on http://127.0.0.1:PORT`.
///
/// Without --org it is the demo's org; without --data and --generate it has the demo's
/// rows, if it is the demo's org.
#[derive(Parser, Debug)]
#[command(version, after_long_help = demo::CONTROL_HELP)]
struct Args {
    /// Port on loopback; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Org file (TOML): org, users, connected apps, custom fields, limits; unknown keys are refused
    #[arg(long, value_name = "ORG.toml")]
    org: Option<PathBuf>,
    /// Folder of rows: `sf data tree` JSON with plans, and CSV files named after their object
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Make N opportunities ready to import, each with account, primary contact and role
    #[arg(long, value_name = "N", conflicts_with = "data")]
    generate: Option<usize>,
    /// With --generate: how many partner addresses own them, partner-0001@example.com and on
    #[arg(long, value_name = "K", default_value_t = 50)]
    partners: usize,
    /// Shuffle the demo's amounts, dates, partners and defects; the same seed, the same org
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    demo_seed: u64,
    /// Write the portal users that belong to the rows (CSV) to this file and go on
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// Rows in a page of a query, instead of the org file's
    #[arg(long, value_name = "ROWS")]
    page_size: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut file = match &args.org {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            OrgFile::parse(&text).with_context(|| path.display().to_string())?
        }
        None => OrgFile::parse(demo::ORG_TOML)?,
    };
    if let Some(rows) = args.page_size {
        anyhow::ensure!((1..=50_000).contains(&rows), "--page-size is 1 to 50000");
        file.page_size = rows;
        file.long_text_page_size = rows;
    }
    let sim = Sim::new(file)?;
    sim.change(|org| -> anyhow::Result<()> {
        if let Some(count) = args.generate {
            generate::fill(org, count, args.partners)?;
        } else if let Some(dir) = &args.data {
            load::folder(org, dir)?;
            demo::shuffle(org, args.demo_seed);
        } else if args.org.is_none() {
            demo::fill(org, args.demo_seed)?;
        }
        Ok(())
    })?;
    if let Some(path) = &args.users {
        let users = match args.generate {
            Some(_) => demo::generated_users(args.partners),
            None => demo::USERS_CSV.to_owned(),
        };
        std::fs::write(path, users).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", args.port))
            .await
            .with_context(|| format!("cannot listen on port {}", args.port))?;
        let mut out = std::io::stdout();
        writeln!(out, "listening on http://{}", listener.local_addr()?)?;
        out.flush()?;
        sim.serve(listener).await?;
        Ok(())
    })
}
