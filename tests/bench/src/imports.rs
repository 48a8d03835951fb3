//! Imports of a generated org, and what is read from them. Every import starts
//! with an empty data folder in which only the compiled rules are cached, as they
//! are on every start of the program but the first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::bare::{self, Bare};
use crate::engine::{self, Measured, MeasuredRun};
use crate::figures as f;
use crate::figures::Wanted;
use crate::measure::{child, median};
use crate::simulator::Simulator;
use crate::{unchanged, world};

/// How much is imported, and how often.
#[derive(Debug)]
pub struct Size {
    /// Pairs of import and bare loop, of which the middle ratio counts.
    pub pairs: usize,
    pub quick: bool,
}

impl Default for Size {
    fn default() -> Self {
        Self { pairs: 3, quick: false }
    }
}

impl Size {
    fn records(&self, records: usize) -> usize {
        if self.quick { records / 25 } else { records }
    }
}

/// Prints every figure that needs an org.
pub fn measure(wanted: &Wanted, size: &Size) -> Result<()> {
    let of_imports = [f::RATIO, f::IMPORT_CPU, f::RSS_50K, f::CALLS, f::CALLS_COLD];
    let of_later_runs = [f::CALLS_WARM, f::UNCHANGED_ROWS, f::UNCHANGED_CPU, f::IDLE_CALLS, f::IDLE_CPU];
    if wanted.any(&of_imports) || wanted.any(&of_later_runs) {
        let org = Org::start(size.records(50_000))?;
        let data = first_imports(&org, wanted, size.pairs)?;
        if wanted.any(&of_later_runs) {
            later_runs(&org, &data, wanted)?;
        }
    }
    if wanted.any(&[f::RSS_200K]) {
        let org = Org::start(size.records(200_000))?;
        let (_, import) = org.import()?;
        tell_import(&import, org.records);
        wanted.print(f::RSS_200K, import.peak_mib);
    }
    Ok(())
}

/// Imports once, or in turn with the bare loop; returns the last import's folder.
fn first_imports(org: &Org, wanted: &Wanted, pairs: usize) -> Result<DataFolder> {
    let with_bare = wanted.any(&[f::RATIO]);
    let rounds = if with_bare { pairs } else { 1 };
    let (mut ratios, mut cpu, mut peaks, mut calls) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..rounds {
        let bare = if with_bare { Some(org.bare()?) } else { None };
        let (data, import) = org.import()?;
        tell_import(&import, org.records);
        if let Some(bare) = bare {
            tell_bare(&bare);
            bare::expect_same_rows(&data.tenant_file(), &bare.rows)?;
            ratios.push(bare.cost.wall_ms / import.runs[0].cost.wall_ms);
        }
        cpu.push(us_per_record(&import.runs[0], org.records));
        peaks.push(import.peak_mib);
        calls.push(import.runs[0].calls_over_pages as f64);
        last = Some(data);
    }
    if with_bare {
        let all: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
        println!("# {}; ratios of all pairs: {}", bare::DESCRIPTION, all.join(" "));
        wanted.print(f::RATIO, median(ratios));
    }
    let most = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    wanted.print(f::IMPORT_CPU, median(cpu));
    wanted.print(f::RSS_50K, most(&peaks));
    wanted.print(f::CALLS, most(&calls));
    wanted.print(f::CALLS_COLD, most(&calls));
    last.context("at least one import was made")
}

/// Runs over an org in which nothing has changed since the import.
fn later_runs(org: &Org, data: &DataFolder, wanted: &Wanted) -> Result<()> {
    if wanted.any(&[f::CALLS_WARM, f::UNCHANGED_CPU, f::UNCHANGED_ROWS]) {
        let again = org.engine("again", data)?;
        let [fresh, warm] = &again.runs[..] else { anyhow::bail!("two runs were asked for") };
        for (what, run) in [("a fresh process", fresh), ("the same process once more", warm)] {
            ensure!(
                run.report.counts.unchanged == org.records as u64,
                "something had changed: {:?}",
                run.report
            );
            println!(
                "# full run, nothing changed, {what}: {:.0} ms, {:.1} us of CPU per record, {} calls, {} over pages",
                run.cost.wall_ms,
                us_per_record(run, org.records),
                run.calls,
                run.calls_over_pages
            );
        }
        wanted.print(f::CALLS_WARM, fresh.calls_over_pages as f64);
        wanted.print(f::UNCHANGED_CPU, us_per_record(fresh, org.records));
    }
    if wanted.any(&[f::UNCHANGED_ROWS]) {
        let file = data.tenant_file();
        unchanged::watch(&file)?;
        let once = org.engine("once", data)?;
        let written = unchanged::written(&file)?;
        let by_table: Vec<String> = written.iter().map(|(table, rows)| format!("{table} {rows}")).collect();
        println!(
            "# rows written by such a run of {} pages, by table: {}",
            once.runs[0].report.pages,
            if by_table.is_empty() { "none".to_owned() } else { by_table.join(", ") }
        );
        wanted.print(f::UNCHANGED_ROWS, unchanged::outside_runs_and_lanes(&written) as f64);
        unchanged::unwatch(&file)?;
    }
    if wanted.any(&[f::IDLE_CALLS, f::IDLE_CPU]) {
        let idle = org.engine("incremental", data)?;
        let [first, rest] = &idle.runs[..] else { anyhow::bail!("two kinds of runs were asked for") };
        let times = f64::from(rest.times);
        println!(
            "# incremental, nothing changed: {} calls in a fresh process; then {} runs of {:.1} ms, each looking at \
             {} records again",
            first.calls,
            rest.times,
            rest.cost.wall_ms / times,
            rest.report.counts.selected
        );
        wanted.print(f::IDLE_CALLS, rest.calls as f64 / times);
        wanted.print(f::IDLE_CPU, rest.cost.cpu_ms / times);
    }
    Ok(())
}

fn us_per_record(run: &MeasuredRun, records: usize) -> f64 {
    run.cost.cpu_ms * 1e3 / records as f64
}

fn tell_import(import: &Measured, records: usize) {
    let run = &import.runs[0];
    println!(
        "# import: {:.0} records/s, {:.1} us of CPU per record ({:.1} with start and set-up), {:.1} MiB, {} pages, \
         {} calls",
        records as f64 * 1e3 / run.cost.wall_ms,
        us_per_record(run, records),
        import.cpu_ms * 1e3 / records as f64,
        import.peak_mib,
        run.report.pages,
        run.calls
    );
}

fn tell_bare(bare: &Bare) {
    println!(
        "# bare loop: {:.0} records/s, {:.1} us of CPU per record, {:.1} MiB, {} pages",
        bare.rows.deal as f64 * 1e3 / bare.cost.wall_ms,
        bare.cost.cpu_ms * 1e3 / bare.rows.deal as f64,
        bare.peak_mib,
        bare.pages
    );
}

/// An org with so many Opportunities, and what belongs to it.
struct Org {
    records: usize,
    simulator: Simulator,
    users: PathBuf,
    /// A data folder of which the key and the compiled rules are taken.
    prepared: DataFolder,
    _folder: TempDir,
}

/// A data folder that is removed in the end.
struct DataFolder(TempDir);

impl DataFolder {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::Builder::new().prefix("dealsync-bench-").tempdir()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn text(&self) -> Result<&str> {
        self.path().to_str().context("the folder for temporary files has a name that cannot be used")
    }

    fn tenant_file(&self) -> PathBuf {
        self.path().join("tenants").join(format!("{}.db", world::TENANT))
    }
}

impl Org {
    fn start(records: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dealsync-bench-").tempdir()?;
        let users = folder.path().join("users.csv");
        let simulator = Simulator::start(records, &users)?;
        let org = Self { records, simulator, users, prepared: DataFolder::new()?, _folder: folder };
        org.engine("prepare", &org.prepared)?;
        Ok(org)
    }

    /// A first import into a new folder.
    fn import(&self) -> Result<(DataFolder, Measured)> {
        let data = DataFolder::new()?;
        copy(self.prepared.path(), data.path(), "host.key")?;
        copy(self.prepared.path(), data.path(), "cache")?;
        let import = self.engine("import", &data)?;
        let created = import.runs[0].report.counts.created;
        ensure!(created == self.records as u64, "{created} of {} were imported", self.records);
        Ok((data, import))
    }

    fn engine(&self, what: &str, data: &DataFolder) -> Result<Measured> {
        let users = self.users.to_str().context("a folder name that cannot be used")?;
        let url = &self.simulator.url;
        child(&[engine::COMMAND, "--do", what, "--data", data.text()?, "--url", url, "--users", users])
    }

    fn bare(&self) -> Result<Bare> {
        let data = DataFolder::new()?;
        let users = self.users.to_str().context("a folder name that cannot be used")?;
        let bare: Bare =
            child(&[bare::COMMAND, "--data", data.text()?, "--url", &self.simulator.url, "--users", users])?;
        ensure!(bare.rows.deal == self.records as u64, "the bare loop stored {:?}", bare.rows);
        Ok(bare)
    }
}

/// Copies a file, or a folder with everything in it; nothing where there is none.
fn copy(from: &Path, to: &Path, name: &str) -> Result<()> {
    let (from, to) = (from.join(name), to.join(name));
    if from.is_file() {
        std::fs::copy(&from, &to).with_context(|| format!("{} cannot be copied", from.display()))?;
    } else if from.is_dir() {
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(&from)? {
            let name = entry?.file_name();
            copy(&from, &to, name.to_str().context("a file name that cannot be used")?)?;
        }
    }
    Ok(())
}
