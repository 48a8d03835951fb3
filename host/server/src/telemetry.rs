//! The log of the service itself, on standard error. What customers read is the
//! integration log in their database; this one is for whoever runs the service.
//! Neither secrets nor bodies nor addresses of people are ever written here.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts writing the log. `DEALSYNC_LOG` overrides what `verbose` chooses, in the
/// syntax of tracing's filters (`dealsync=debug`). Starting twice changes nothing.
pub fn start(format: LogFormat, verbose: u8, service: bool) {
    let default = match (verbose, service) {
        (0, false) => "warn",
        (0, true) | (1, false) => "warn,dealsync=info,dealsync_rules=info",
        (1, true) | (2, _) => "info,dealsync=debug,dealsync_rules=debug",
        _ => "debug,dealsync=trace,dealsync_rules=trace,h2=info,hyper=info",
    };
    let filter = EnvFilter::try_from_env("DEALSYNC_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(verbose > 0);
    // A test that starts it again keeps the one there is.
    let _ = match format {
        LogFormat::Human => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
