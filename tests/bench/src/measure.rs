//! What a process used, as Linux tells it.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Ticks of a second in `/proc`: the same on every Linux, whatever the kernel's own.
const TICKS_A_SECOND: f64 = 100.0;

/// What a piece of work cost this process.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Cost {
    pub wall_ms: f64,
    /// Of all threads, in user and kernel; in steps of 10 ms.
    pub cpu_ms: f64,
}

/// Runs since it was started.
#[derive(Debug)]
pub struct Stopwatch {
    started: Instant,
    cpu_ms: f64,
}

impl Stopwatch {
    pub fn start() -> Result<Self> {
        Ok(Self { cpu_ms: cpu_ms()?, started: Instant::now() })
    }

    pub fn stop(&self) -> Result<Cost> {
        Ok(Cost { wall_ms: self.started.elapsed().as_secs_f64() * 1e3, cpu_ms: cpu_ms()? - self.cpu_ms })
    }
}

/// Processor time of this process so far.
pub fn cpu_ms() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("processor time is read from /proc")?;
    ticks(&stat).map(|ticks| ticks / TICKS_A_SECOND * 1e3).context("/proc/self/stat is unlike itself")
}

/// User and kernel time of a line of `stat`, whose second field may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let kernel: f64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

/// The most memory this process ever had, MiB.
pub fn peak_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("memory is read from /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kib.context("/proc/self/status is unlike itself")? / 1024.0)
}

/// Runs this program again with a hidden command and reads what it says.
pub fn child<T: DeserializeOwned>(args: &[&str]) -> Result<T> {
    let program = std::env::current_exe().context("this program cannot find itself")?;
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("this program cannot start itself")?;
    if !output.status.success() {
        bail!("`{}` failed ({})", args.join(" "), output.status);
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("`{}` said something else", args.join(" ")))
}

/// One line on the circumstances.
pub fn describe_machine() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    println!("# {cores} cores, load {load} before the start; quiet is below 0.5");
    if cfg!(debug_assertions) {
        println!("# this is no optimised build: no figure below means anything");
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name_of_the_program() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 17 0 0 20 0 4 0 1 2 3";
        assert_eq!(ticks(stat), Some(267.0));
        assert_eq!(ticks("nothing"), None);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
