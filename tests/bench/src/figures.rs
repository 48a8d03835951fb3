//! The names, units and limits, which do not change, so that figures can be
//! compared over time.

use std::cell::RefCell;

use anyhow::{Result, bail};
use dealsync::hints::did_you_mean;

#[derive(Debug)]
pub struct Figure {
    pub name: &'static str,
    unit: &'static str,
    limit: Limit,
    decimals: usize,
    pub what: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

impl Limit {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
            Self::Below(limit) => value < limit,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("<={limit}"),
            Self::AtLeast(limit) => format!(">={limit}"),
            Self::Below(limit) => format!("<{limit}"),
        }
    }
}

const fn figure(
    name: &'static str,
    unit: &'static str,
    limit: Limit,
    decimals: usize,
    what: &'static str,
) -> Figure {
    Figure { name, unit, limit, decimals, what }
}

pub const RATIO: &str = "import_50k_vs_bare_loop";
pub const IMPORT_CPU: &str = "import_50k_cpu_us_per_record";
pub const RSS_50K: &str = "import_50k_rss_mib";
pub const RSS_200K: &str = "import_200k_rss_mib";
pub const RULES_CPU: &str = "standard_rules_us_per_record";
pub const RULES_JSON: &str = "standard_rules_vs_json";
pub const UNCHANGED_ROWS: &str = "unchanged_50k_rows_written";
pub const UNCHANGED_CPU: &str = "unchanged_cpu_us_per_record";
pub const IDLE_CALLS: &str = "idle_incremental_api_calls";
pub const IDLE_CPU: &str = "idle_incremental_cpu_ms";
pub const CALLS: &str = "import_api_calls_over_pages";
pub const CALLS_COLD: &str = "import_api_calls_over_pages_cold";
pub const CALLS_WARM: &str = "import_api_calls_over_pages_warm";

pub const FIGURES: &[Figure] = &[
    figure(
        RULES_CPU,
        "us",
        Limit::AtMost(3.0),
        2,
        "processor time of the shipped rules, the sandbox included",
    ),
    figure(RULES_JSON, "times", Limit::AtLeast(2.5), 2, "how much dearer the same rules are, fed JSON texts"),
    figure(
        RATIO,
        "times",
        Limit::AtLeast(0.5),
        2,
        "records per second of a first import, over those of a bare loop",
    ),
    figure(
        IMPORT_CPU,
        "us",
        Limit::AtMost(55.0),
        1,
        "processor time of a first import, the simulator's left out",
    ),
    figure(RSS_50K, "MiB", Limit::Below(100.0), 1, "peak memory of a first import of 50,000"),
    figure(RSS_200K, "MiB", Limit::Below(100.0), 1, "the same of 200,000"),
    figure(CALLS, "calls", Limit::AtMost(8.0), 0, "calls of a first import beyond the pages of records"),
    figure(CALLS_COLD, "calls", Limit::AtMost(8.0), 0, "the same under its longer name"),
    figure(CALLS_WARM, "calls", Limit::AtMost(3.0), 0, "the same of a later full run in a fresh process"),
    figure(UNCHANGED_ROWS, "rows", Limit::AtMost(0.0), 0, "rows a full run writes outside runs and lanes"),
    figure(
        UNCHANGED_CPU,
        "us",
        Limit::AtMost(15.0),
        1,
        "processor time of a full run in which nothing changed",
    ),
    figure(
        IDLE_CALLS,
        "calls",
        Limit::AtMost(3.0),
        1,
        "calls of an incremental run in which nothing changed",
    ),
    figure(IDLE_CPU, "ms", Limit::AtMost(10.0), 1, "processor time of such a run"),
];

/// The figures that were asked for; all where none was named.
#[derive(Debug)]
pub struct Wanted {
    names: Vec<String>,
    missed: RefCell<Vec<&'static str>>,
}

impl Wanted {
    /// Refuses a name that is no figure.
    pub fn new(names: &[String]) -> Result<Self> {
        for name in names {
            if !FIGURES.iter().any(|figure| figure.name == name) {
                let hint = did_you_mean(name, FIGURES.iter().map(|figure| figure.name));
                bail!("there is no figure {name:?}{hint}\nhint: --list names them");
            }
        }
        Ok(Self { names: names.to_vec(), missed: RefCell::default() })
    }

    pub fn any(&self, names: &[&str]) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| names.contains(&name.as_str()))
    }

    /// Prints a figure, if it was asked for.
    pub fn print(&self, name: &str, value: f64) {
        let figure = FIGURES.iter().find(|figure| figure.name == name).expect("a figure of the list");
        if !self.any(&[name]) {
            return;
        }
        if !figure.limit.holds(value) {
            self.missed.borrow_mut().push(figure.name);
        }
        println!("{}", line(figure, value));
    }

    /// Says which figures are beyond their limits. That is no failure: a machine
    /// with other work to do misses them too.
    pub fn tell_missed(&self) {
        let missed = self.missed.borrow();
        if !missed.is_empty() {
            println!("# beyond the limit: {}", missed.join(", "));
        }
    }
}

fn line(figure: &Figure, value: f64) -> String {
    let Figure { name, unit, limit, decimals, .. } = figure;
    format!("{name} {value:.decimals$} {unit} limit={}", limit.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_name_value_unit_and_limit() {
        assert_eq!(line(&FIGURES[0], 2.345), "standard_rules_us_per_record 2.35 us limit=<=3");
        assert_eq!(line(&FIGURES[4], 64.0), "import_50k_rss_mib 64.0 MiB limit=<100");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_one_that_was_meant() {
        let error = Wanted::new(&["import_50k_rss_mb".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("did you mean \"import_50k_rss_mib\"?"), "{error}");
    }

    #[test]
    fn each_figure_has_one_name() {
        for (at, figure) in FIGURES.iter().enumerate() {
            assert!(FIGURES[..at].iter().all(|earlier| earlier.name != figure.name), "{}", figure.name);
        }
    }
}
