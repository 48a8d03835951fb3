//! The command line: a noun, then a verb. Parses, reads the files a command names,
//! and has the command carried out: here where the data folder is free, by the
//! running service where there is one.

pub mod out;
pub mod table;

mod config;
mod deal;
mod lane;
mod lane_list;
mod log;
mod parked;
mod plan_text;
mod reasons;
mod rules;
mod serve;
mod tenant;
mod user;
mod users_csv;

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use dealsync_core::ids::{SfId, TenantId};
use serde::{Deserialize, Serialize};

use self::out::{CliError, Fault, Out, Terminal};
use crate::app::{App, AppError, AppOptions, FailureKind};
use crate::hints::did_you_mean;
use crate::store::{StoreError, TenantStore};
use crate::telemetry::{self, LogFormat};
use crate::{control, scheduler};

/// Imports flagged Salesforce Opportunities as deal registrations, and says for each
/// that was not imported why, and what to do.
#[derive(Debug, Parser)]
#[command(name = "dealsync", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Clone, Args)]
struct Globals {
    /// The data folder; one process owns it at a time.
    #[arg(long, global = true, env = "DEALSYNC_DATA", default_value = "dealsync-data", value_name = "DIR")]
    data: PathBuf,
    /// File with the key that secrets are kept sealed with. Without it the key is
    /// DEALSYNC_KEY, or one made in the data folder.
    #[arg(long, global = true, env = "DEALSYNC_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Say more on standard error; twice, still more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How the log on standard error is written.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Runs the service: every tenant's lanes when they are due, and its mails.
    ///
    /// Stops on SIGINT and SIGTERM, after the page at hand. Other commands on the
    /// same data folder are handed to it.
    Serve,
    #[command(flatten)]
    Asked(Command),
    /// The catalogue of everything the log can say.
    #[command(subcommand)]
    Reasons(reasons::Reasons),
    /// Where things are.
    #[command(subcommand)]
    Config(config::Config),
}

/// What is asked of whoever owns the data folder: as typed, with the contents of
/// the files it names.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum Command {
    /// Tenants and their settings.
    #[command(subcommand)]
    Tenant(tenant::Tenant),
    /// The portal's users, who own what is imported.
    #[command(subcommand)]
    User(user::User),
    /// What runs, and running it now.
    #[command(subcommand)]
    Lane(lane::Lane),
    /// Imported deals.
    #[command(subcommand)]
    Deal(deal::Deal),
    /// Why what was not imported was not.
    #[command(subcommand)]
    Log(log::Log),
    /// Records set aside.
    #[command(subcommand)]
    Parked(parked::Parked),
    /// A tenant's own rules.
    #[command(subcommand)]
    Rules(rules::Rules),
}

/// A command on its way to whoever carries it out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    pub command: Command,
    pub json: bool,
    /// Who asks, for the history.
    pub actor: String,
}

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct TenantArg {
    /// Which tenant; not needed where there is only one.
    #[arg(long, short, env = "DEALSYNC_TENANT", value_name = "ID")]
    tenant: Option<String>,
}

impl TenantArg {
    fn name(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start(cli.globals.log_format, cli.globals.verbose, matches!(cli.noun, Noun::Serve));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            CliError::run(format!("the runtime cannot be started: {error}")).print(&Terminal);
            return ExitCode::from(Fault::Run.exit_code());
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print(&Terminal);
            ExitCode::from(error.fault.exit_code())
        }
    }
}

async fn run(cli: Cli) -> Result<(), CliError> {
    let Cli { globals, noun } = cli;
    match noun {
        Noun::Serve => serve::serve(&globals).await,
        Noun::Reasons(reasons) => reasons.execute(globals.json, &Terminal),
        Noun::Config(config) => config.execute(&globals, &Terminal).await,
        Noun::Asked(command) => ask(&globals, command).await,
    }
}

async fn ask(globals: &Globals, mut command: Command) -> Result<(), CliError> {
    command.load()?;
    let host = Host::find(globals, &command).await?;
    let mut request = Request { command, json: globals.json, actor: actor() };
    if !consented(&host, &mut request).await? {
        return Err(CliError::user("nothing was done"));
    }
    host.execute(request, &Terminal).await
}

/// Asks where a command should not be carried out by mistake.
async fn consented(host: &Host, request: &mut Request) -> Result<bool, CliError> {
    let question = match &mut request.command {
        Command::Lane(lane::Lane::Run(run)) if run.wants_consent() => {
            run.only_estimate = true;
            host.execute(request.clone(), &Terminal).await?;
            if let Command::Lane(lane::Lane::Run(run)) = &mut request.command {
                run.only_estimate = false;
            }
            "Start the backfill?".to_owned()
        }
        Command::Tenant(tenant::Tenant::Delete { id, yes: false }) => {
            format!("Delete the tenant {id} with all its deals and logs?")
        }
        Command::Deal(deal::Deal::Remove { id, yes: false, .. }) => {
            format!("Remove the deal {id}? Its Salesforce record will not be imported again.")
        }
        _ => return Ok(true),
    };
    if !std::io::stdin().is_terminal() {
        return Err(CliError::user("this needs to be confirmed").hint("add --yes"));
    }
    eprint!("{question} [y/N] ");
    // A prompt that cannot be shown is answered all the same.
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

impl Command {
    /// Reads the files the command names, where the person is.
    fn load(&mut self) -> Result<(), CliError> {
        match self {
            Self::Tenant(tenant) => tenant.load(),
            Self::User(user) => user.load(),
            Self::Rules(rules) => rules.load(),
            _ => Ok(()),
        }
    }

    /// True where a data folder is made if there is none.
    fn makes_data(&self) -> bool {
        matches!(self, Self::Tenant(tenant::Tenant::Apply { .. }))
    }

    /// True where the command looks at files only.
    fn needs_no_data(&self) -> bool {
        match self {
            Self::Rules(rules::Rules::Check { .. }) => true,
            Self::Rules(rules::Rules::Try { tenant, .. }) => tenant.name().is_none(),
            _ => false,
        }
    }
}

/// Who carries commands out.
enum Host {
    Here { app: App, _scratch: Option<tempfile::TempDir> },
    Service { data: PathBuf },
}

/// How long a service that is just starting is waited for.
const SERVICE_WAIT: Duration = Duration::from_secs(3);

impl Host {
    async fn find(globals: &Globals, command: &Command) -> Result<Self, CliError> {
        let data = &globals.data;
        if !data.exists() {
            if command.needs_no_data() {
                return Self::scratch(globals);
            }
            if !command.makes_data() {
                return Err(CliError::user(format!("there is no data folder {}", data.display()))
                    .hint("name the right one with --data or DEALSYNC_DATA")
                    .hint("a new one is made by: dealsync tenant apply FILE.toml"));
            }
        }
        let waited = SERVICE_WAIT.as_millis() / 100;
        for _ in 0..waited {
            if reach(data).await?.is_some() {
                return Ok(Self::Service { data: data.clone() });
            }
            match open(globals, data) {
                Ok(app) => return Ok(Self::Here { app, _scratch: None }),
                // A service that is starting has the folder before it has its socket.
                Err(error) if is_in_use(&error) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return Err(error.into()),
            }
        }
        let app = open(globals, data).map_err(|error| {
            CliError::from(error)
                .hint("commands are handed to a running service, but this one does not answer")
        })?;
        Ok(Self::Here { app, _scratch: None })
    }

    fn scratch(globals: &Globals) -> Result<Self, CliError> {
        let folder = tempfile::tempdir()
            .map_err(|error| CliError::user(format!("no temporary folder can be made: {error}")))?;
        let app = open(globals, folder.path())?;
        Ok(Self::Here { app, _scratch: Some(folder) })
    }

    async fn execute(&self, request: Request, out: &dyn Out) -> Result<(), CliError> {
        match self {
            Self::Here { app, .. } => execute(app, &request, out).await.map(drop),
            Self::Service { data } => match reach(data).await? {
                Some(stream) => control::ask(stream, &request, out).await,
                None => Err(CliError::run("the running service went away")),
            },
        }
    }
}

async fn reach(data: &Path) -> Result<Option<tokio::net::UnixStream>, CliError> {
    control::connect(data).await.map_err(|error| {
        CliError::run(format!("the running service cannot be reached: {error}"))
            .hint("its socket belongs to whoever started it; run this as the same user")
    })
}

fn open(globals: &Globals, data: &Path) -> Result<App, AppError> {
    let mut options = AppOptions::new(data);
    options.key_file = globals.key_file.clone();
    App::open(options)
}

fn is_in_use(error: &AppError) -> bool {
    error.kind == FailureKind::Held || error.message.contains("is in use by")
}

/// Carries a command out. Returns the tenants that something may have changed for.
pub async fn execute(app: &App, request: &Request, out: &dyn Out) -> Result<BTreeSet<TenantId>, CliError> {
    let context =
        Context { app, out, json: request.json, actor: request.actor.clone(), touched: Mutex::default() };
    let done = match &request.command {
        Command::Tenant(tenant) => tenant.execute(&context).await,
        Command::User(user) => user.execute(&context).await,
        Command::Lane(lane) => lane.execute(&context).await,
        Command::Deal(deal) => deal.execute(&context).await,
        Command::Log(log) => log.execute(&context).await,
        Command::Parked(parked) => parked.execute(&context).await,
        Command::Rules(rules) => rules.execute(&context).await,
    };
    let touched =
        std::mem::take(&mut *context.touched.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    for tenant in &touched {
        // A hint for the scheduler; it looks for itself when it starts.
        let _ = scheduler::note(app, tenant).await;
    }
    done.map(|()| touched)
}

/// What a command works with.
#[expect(missing_debug_implementations, reason = "where the lines go has nothing to show")]
pub struct Context<'a> {
    pub app: &'a App,
    pub out: &'a dyn Out,
    pub json: bool,
    pub actor: String,
    touched: Mutex<BTreeSet<TenantId>>,
}

impl Context<'_> {
    fn now(&self) -> i64 {
        self.app.clock().now_micros()
    }

    /// The tenant of a name; without one, the only one there is.
    async fn tenant_id(&self, name: Option<&str>) -> Result<TenantId, CliError> {
        let known: Vec<TenantId> =
            self.app.store().tenants().await?.into_iter().map(|status| status.tenant).collect();
        let chosen = match (name, known.as_slice()) {
            (Some(name), _) => known.iter().find(|id| id.as_str() == name),
            (None, [only]) => Some(only),
            (None, []) => {
                return Err(CliError::user("there are no tenants yet")
                    .hint("make one with: dealsync tenant apply FILE.toml"));
            }
            (None, _) => {
                let names: Vec<&str> = known.iter().map(TenantId::as_str).collect();
                return Err(CliError::usage("there are several tenants; say which with --tenant")
                    .hint(format!("there are {}", sentence_list(&names))));
            }
        };
        let Some(chosen) = chosen else {
            let name = name.unwrap_or_default();
            let hint = did_you_mean(name, known.iter().map(TenantId::as_str));
            return Err(CliError::user(format!("there is no tenant {name:?}{hint}"))
                .hint("all of them: dealsync tenant list"));
        };
        Ok(chosen.clone())
    }

    /// Opens a tenant's data; the scheduler will look at it afterwards.
    async fn tenant(&self, name: Option<&str>) -> Result<TenantStore, CliError> {
        let id = self.tenant_id(name).await?;
        let store = self.app.store().tenant(&id).await?;
        self.touch(id);
        Ok(store)
    }

    fn touch(&self, tenant: TenantId) {
        self.touched.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).insert(tenant);
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        let fault = match error.kind {
            FailureKind::User => Fault::User,
            _ => Fault::Run,
        };
        Self { fault, message: error.message, hints: error.hints }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        AppError::from(error).into()
    }
}

/// Reads a file a person named, up to a size.
fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, CliError> {
    let unreadable = |error: std::io::Error| {
        let error = CliError::user(format!("{} cannot be read: {error}", path.display()));
        match nearby(path) {
            Some(near) => error.hint(format!("did you mean {near:?}?")),
            None if path.is_dir() => error.hint("name a file in it"),
            None => error.hint("names start at the folder this was called in"),
        }
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > bytes_max {
        let message = format!("{} is larger than {} KiB", path.display(), bytes_max >> 10);
        return Err(CliError::user(message).hint("is it the right file?"));
    }
    Ok(bytes)
}

/// Files looked at to find the one that was meant.
const NEARBY_MAX: usize = 1_000;

fn nearby(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .take(NEARBY_MAX)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name != wanted)
        .collect();
    crate::hints::nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

/// A Salesforce id as people have it: 15 or 18 characters, or the address of the
/// record's page, Lightning or classic.
fn salesforce_id(text: &str) -> Result<SfId, CliError> {
    let text = text.trim();
    if !text.contains("://") {
        return text.parse().map_err(|error: dealsync_core::ids::NotASfId| CliError::user(error.to_string()));
    }
    let path = text.split("://").nth(1).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
    let parts =
        path.split(['/', '?', '#', '=', '&']).filter(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    parts
        .filter_map(|part| part.parse().ok())
        .next()
        .ok_or_else(|| CliError::user(format!("{text} is not the address of a Salesforce record")))
}

/// `1 record`, `2 records`.
fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `a`, `a and b`, `a, b and c`.
fn sentence_list<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Who asks: the name this person has on this machine.
fn actor() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "command line".to_owned())
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
