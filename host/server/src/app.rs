//! The service as a value: storage, sandbox, clock and network in one place, and
//! what can be asked of it. The command line and the scheduler ask the same things.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dealsync_core::ids::{RunId, SfId, TenantId};
use dealsync_core::reason::{Code, Reason};
use dealsync_core::schema::Schema;
use dealsync_rules::{CacheSettings, Chain, Component, Engine, EngineSettings, Limits, Member};
use uuid::Uuid;

pub use crate::failure::{AppError, FailureKind};

use crate::clock::{Clock, SystemClock};
use crate::ids::IdSource;
use crate::pull::Pull;
use crate::ready::{self, Fields, Ready};
use crate::run::{Report, Request, Trigger, Watch};
use crate::salesforce::{self, Client, HttpTransport, Transport};
use crate::secrets::{HostKey, KEY_VARIABLE};
use crate::settings::{self, SecretSource, TenantSettings};
use crate::store::{Lease, RunEnd, RunStart, RunState, SettingsVersion, Store, StoreError, TenantStore};

/// The one lane there is so far: Opportunities of the Deal Registration integration.
pub const PULL_LANE: &str = "deals/pull/Opportunity";
pub const LANES: &[&str] = &[PULL_LANE];
pub const DEAL_REGISTRATION: &str = "Deal Registration";

/// A lane is free again this long after its holder last renewed its lease, microseconds.
pub const LEASE_TTL: i64 = 15 * 60 * 1_000_000;

/// The rules every tenant starts with, built along with this program.
static STANDARD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standard.wasm"));

/// Compiled rules kept on disk at most, bytes.
const CODE_CACHE_BYTES_MAX: u64 = 512 << 20;

/// How the service is opened.
#[derive(Debug, Clone)]
pub struct AppOptions {
    pub data: PathBuf,
    /// The host key's file; `DEALSYNC_KEY` or one in the data folder where absent.
    pub key_file: Option<PathBuf>,
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from; the operating system where absent.
    pub seed: Option<u64>,
    /// The network; a test hands in a router instead.
    pub transport: Option<Arc<dyn Transport>>,
}

impl AppOptions {
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self { data: data.into(), key_file: None, clock: Arc::new(SystemClock), seed: None, transport: None }
    }
}

/// One run's hold on a lane within this process; given back when the run ends,
/// however it ends.
#[derive(Debug)]
pub(crate) struct Turn {
    inner: Arc<Inner>,
    key: (TenantId, String),
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inner.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// Cheap to clone; everything in it is shared.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data: PathBuf,
    store: Store,
    engine: Engine,
    clock: Arc<dyn Clock>,
    transport: Arc<dyn Transport>,
    ids: IdSource,
    standard: Mutex<Option<Arc<Component>>>,
    /// Logged-in clients by tenant, with the version of the settings they were made of.
    clients: Mutex<HashMap<TenantId, (i64, Client)>>,
    /// Lanes that a run of this process is at.
    turns: Mutex<HashSet<(TenantId, String)>>,
}

impl App {
    /// Opens the data folder, which one process owns at a time, and the sandbox.
    pub fn open(options: AppOptions) -> Result<Self, AppError> {
        let variable = std::env::var(KEY_VARIABLE).ok();
        let key = HostKey::load(options.key_file.as_deref(), variable.as_deref(), &options.data).map_err(
            |error| {
                AppError::new(error.to_string()).hint(
                    "name a folder that can be written to with --data, or the key's file with --key-file",
                )
            },
        )?;
        let mac_key = key.rules_cache_key();
        let store =
            Store::open(&options.data, key).map_err(|error| AppError::from(StoreError::from(error)))?;
        let cache = CacheSettings {
            dir: options.data.join("cache").join("rules"),
            mac_key,
            bytes_max: CODE_CACHE_BYTES_MAX,
        };
        let workers = std::thread::available_parallelism().map_or(2, usize::from) as u32;
        let engine = Engine::new(EngineSettings { cache: Some(cache), live_instances_max: 2 * workers })
            .map_err(|error| AppError::new(error.to_string()))?;
        let transport: Arc<dyn Transport> = match options.transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::new().map_err(AppError::bug)?),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                data: options.data,
                store,
                engine,
                clock: options.clock,
                transport,
                ids: IdSource::new(options.seed),
                standard: Mutex::default(),
                clients: Mutex::default(),
                turns: Mutex::default(),
            }),
        })
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
    }

    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub fn data(&self) -> &Path {
        &self.inner.data
    }

    /// Runs a lane to its end. Refuses where somebody else holds it or it is paused;
    /// a dry run takes no lease and writes nothing.
    pub async fn run(
        &self,
        tenant: &TenantId,
        lane: &str,
        request: Request,
        watch: &dyn Watch,
    ) -> Result<Report, AppError> {
        if !LANES.contains(&lane) {
            let hint = crate::hints::did_you_mean(lane, LANES.iter().copied());
            return Err(AppError::new(format!("there is no lane {lane:?}{hint}"))
                .hint("all of them: dealsync lane list"));
        }
        let store = self.store().tenant(tenant).await?;
        let run = RunId(self.fresh_id());
        let started = self.clock().now_micros();
        if request.dry_run {
            let pull = Pull { app: self, store, lease: None, request, run, started };
            return pull.run(watch).await;
        }
        let _turn = self.take_turn(tenant, lane)?;
        let lease = self.claim(&store, lane, started, &request).await?;
        let start = RunStart {
            id: run,
            kind: request.kind,
            trigger: request.trigger,
            backfill: request.backfill.is_some(),
            now: started,
        };
        store.start_run(&lease, start).await?;
        let pull = || Pull {
            app: self,
            store: store.clone(),
            lease: Some(lease.clone()),
            request: request.clone(),
            run,
            started,
        };
        let mut done = pull().run(watch).await;
        if done.as_ref().is_err_and(|error| error.code == Some(Code::FieldNotVisible)) {
            // A field was hidden or removed since the org was described. Described anew,
            // a shipped mapping of it falls away; one of the tenant's own is named.
            done = match self.forget_describes(&store).await {
                Ok(()) => pull().run(watch).await,
                Err(error) => Err(error),
            };
        }
        if let Err(error) = &done {
            self.note_failure(&store, &lease, run, error).await;
            if error.kind == FailureKind::Paused {
                // A refusal must not outlive what it was for.
                self.forget_client(tenant);
            }
        }
        store.release(&lease).await?;
        done
    }

    async fn forget_describes(&self, store: &TenantStore) -> Result<(), AppError> {
        let client = self.client(store).await?;
        client.use_describes(salesforce::DescribeCache::default());
        Ok(())
    }

    /// Takes the lane for this process. Refuses where another run of it is at work.
    fn take_turn(&self, tenant: &TenantId, lane: &str) -> Result<Turn, AppError> {
        self.try_turn(tenant, lane).ok_or_else(|| {
            AppError::new(format!("the lane {lane} is running already"))
                .hint("wait for that run, or look at it with: dealsync lane list")
                .kind(FailureKind::Held)
        })
    }

    /// Takes what only one at a time may do for a tenant: a lane, or its mails.
    pub(crate) fn try_turn(&self, tenant: &TenantId, what: &str) -> Option<Turn> {
        let key = (tenant.clone(), what.to_owned());
        let free = self.turns().insert(key.clone());
        free.then(|| Turn { inner: self.inner.clone(), key })
    }

    fn turns(&self) -> std::sync::MutexGuard<'_, HashSet<(TenantId, String)>> {
        self.inner.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the lease. This process owns the data folder and no other run of it is
    /// at the lane, so whoever still holds the lease is dead; the fencing number keeps
    /// even a ghost from committing.
    async fn claim(
        &self,
        store: &TenantStore,
        lane: &str,
        now: i64,
        request: &Request,
    ) -> Result<Lease, AppError> {
        store.ensure_lane(lane, DEAL_REGISTRATION, now).await?;
        let known = store.lane(lane).await?;
        if let Some(why) = known.paused {
            // What was paused for a cause of the catalogue waits for just this word; a
            // pause that a person asked for stands until a person ends it.
            if !(request.confirmed && Code::from_name(&why).is_some()) {
                return Err(AppError::new(format!("the lane {lane} is paused ({why})"))
                    .hint("resume it with: dealsync lane resume"));
            }
            store.resume(lane, now).await?;
        }
        let holder = format!("{}/{}", std::process::id(), trigger_text(request.trigger));
        let claimed = store.claim(lane, &holder, now.max(known.lease_until), LEASE_TTL).await?;
        claimed.ok_or_else(|| {
            AppError::new(format!("the lane {lane} cannot be claimed")).kind(FailureKind::Held)
        })
    }

    /// Writes down that a run failed, and pauses the lane where only a person can
    /// help. A full disk may refuse this too; the run's own error is what counts.
    async fn note_failure(&self, store: &TenantStore, lease: &Lease, run: RunId, error: &AppError) {
        let now = self.clock().now_micros();
        let end = RunEnd {
            run,
            state: RunState::Failed,
            now,
            counts: crate::run::Counts::default(),
            api_calls: 0,
            cursor: None,
            next_due: None,
            // What was held back is worked out anew.
            start_over: error.code == Some(Code::MassChangeStopped),
            spent: self.clients().get(store.id()).map(|(_, client)| crate::connect::spent(client)),
            error: Some(error.message.clone()),
        };
        let noted = async {
            if let Some(reason) = error.reason() {
                let code = reason.code;
                store.log_run(&lease.lane, run, reason, now).await?;
                if error.kind == FailureKind::Paused {
                    store.pause(&lease.lane, code.name()).await?;
                }
            }
            store.finish_run(lease, end).await
        };
        if let Err(failure) = noted.await {
            tracing::error!(%failure, "The failure of a run could not be written down");
        }
    }

    /// Lets a tenant's client go, with its session, secrets and refusals: the next
    /// question is asked with what is stored by then.
    pub(crate) fn forget_client(&self, tenant: &TenantId) {
        self.clients().remove(tenant);
    }

    /// Removes a tenant with everything of it.
    pub async fn delete_tenant(&self, tenant: &TenantId) -> Result<(), AppError> {
        self.store().delete_tenant(tenant).await?;
        self.forget_client(tenant);
        let components = self.inner.data.join("components").join(tenant.as_str());
        match std::fs::remove_dir_all(&components) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(AppError::new(format!("{} could not be removed: {error}", components.display())))
            }
            _ => Ok(()),
        }
    }

    /// Lets a paused lane run again, with a fresh login.
    pub async fn resume_lane(&self, tenant: &TenantId, lane: &str) -> Result<(), AppError> {
        self.store().tenant(tenant).await?.resume(lane, self.clock().now_micros()).await?;
        self.forget_client(tenant);
        Ok(())
    }

    /// What a backfill would read, without reading it: one call.
    pub async fn estimate(&self, tenant: &TenantId, since: Option<i32>) -> Result<Estimate, AppError> {
        let store = self.store().tenant(tenant).await?;
        let request = Request::manual(crate::run::Kind::Full);
        let ready = Ready::assemble(self, &store, &request).await?;
        let scope = salesforce::Scope::Full {
            after: None,
            created_since: since.map(|day| i64::from(day) * 86_400_000_000),
        };
        let query = salesforce::PullQuery::new(ready.chain.source(), &ready.fields)
            .map_err(|error| AppError::new(error.to_string()))?;
        let records = ready.client.count(&query.scoped(scope)).await?;
        let pages = records.div_ceil(PAGE_RECORDS_ESTIMATE);
        Ok(Estimate { records, pages, api_calls: 2 * pages })
    }

    /// A fresh id, in the order of time.
    pub fn fresh_id(&self) -> Uuid {
        self.inner.ids.next(self.clock().now_micros())
    }

    /// A reproducible seed for the rules of one run.
    pub(crate) fn seed_of(&self, run: &RunId) -> u64 {
        let (high, low) = run.0.as_u64_pair();
        high ^ low
    }

    /// The tenant's settings as they stand.
    pub(crate) async fn settings(&self, store: &TenantStore) -> Result<Arc<TenantSettings>, AppError> {
        Ok(Arc::new(TenantSettings::parse(&self.stored_settings(store).await?.toml)?))
    }

    async fn stored_settings(&self, store: &TenantStore) -> Result<SettingsVersion, AppError> {
        store.settings().await?.ok_or_else(|| {
            AppError::new("this tenant has no settings yet")
                .hint("apply some with: dealsync tenant apply FILE.toml")
        })
    }

    /// The compiled `standard`, shared by all tenants.
    pub(crate) fn standard(&self) -> Result<Arc<Component>, AppError> {
        let mut standard = self.inner.standard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(component) = &*standard {
            return Ok(component.clone());
        }
        let component = self.inner.engine.load(STANDARD, Limits::compiled()).map_err(AppError::bug)?;
        *standard = Some(component.clone());
        Ok(component)
    }

    /// A tenant's own component, by the digest it was applied under.
    pub(crate) fn component(&self, tenant: &TenantId, reference: &str) -> Result<Arc<Component>, AppError> {
        let path = self.component_path(tenant, reference).ok_or_else(|| {
            AppError::new(format!("{reference:?} is no component that was applied"))
                .hint("apply the settings again from their file")
        })?;
        let bytes = std::fs::read(&path).map_err(|_| {
            AppError::new(format!("the component {reference} is missing from the data folder"))
                .hint("apply the settings again from their file")
        })?;
        self.inner
            .engine
            .load(&bytes, Limits::compiled())
            .map_err(|refused| AppError::new(refused.to_string()))
    }

    /// Where a component is kept: named by its digest, so the name cannot lead
    /// out of the folder.
    pub(crate) fn component_path(&self, tenant: &TenantId, reference: &str) -> Option<PathBuf> {
        let digest = reference.strip_prefix("sha256:")?;
        let hex = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| self.inner.data.join("components").join(tenant.as_str()).join(format!("{digest}.wasm")))
    }

    pub(crate) fn chain(
        &self,
        settings: &TenantSettings,
        fields: &Fields,
        source: &Schema,
    ) -> Result<Chain, AppError> {
        let members = ready::members(self, settings, fields, source)?;
        self.configured(source, &settings.deal_schema(), members)
    }

    /// Configures a chain for the import; every problem of every rule is a hint.
    pub(crate) fn configured(
        &self,
        source: &Schema,
        target: &Schema,
        members: Vec<Member>,
    ) -> Result<Chain, AppError> {
        Chain::configure(&self.inner.engine, ready::FLOW, source, target, members).map_err(|error| {
            let mut failed = AppError::new("the rules do not accept their settings");
            failed.hints = error.problems.iter().map(describe).collect();
            failed
        })
    }

    /// A client for the tenant's connection. Kept for as long as the settings stay
    /// the same, so that its session and describes serve the next run.
    pub(crate) async fn client(&self, store: &TenantStore) -> Result<Client, AppError> {
        let stored = self.stored_settings(store).await?;
        if let Some((known, client)) = self.clients().get(store.id())
            && *known == stored.version
        {
            return Ok(client.clone());
        }
        let settings = TenantSettings::parse(&stored.toml)?;
        let client = crate::connect::client(self, store, &settings).await?;
        self.clients().insert(store.id().clone(), (stored.version, client.clone()));
        Ok(client)
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, (i64, Client)>> {
        self.inner.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        self.inner.transport.clone()
    }

    pub(crate) fn shared_clock(&self) -> Arc<dyn Clock> {
        self.inner.clock.clone()
    }
}

/// Rows of a page as the estimate assumes them; the server chooses the real number.
const PAGE_RECORDS_ESTIMATE: u64 = 2_000;

/// What a backfill is expected to cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Estimate {
    pub records: u64,
    pub pages: u64,
    pub api_calls: u64,
}

fn trigger_text(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Scheduled => "scheduled",
        Trigger::Manual => "manual",
    }
}

/// One problem of one rule, with its place in the settings.
fn describe(problem: &dealsync_rules::Problem) -> String {
    let place = if problem.path.is_empty() { "" } else { ", " };
    format!("{}{place}{}: {}", problem.member, problem.path, problem.message)
}

/// Where a secret is read from when settings are applied; it is sealed at once.
pub(crate) fn secret_sources(settings: &TenantSettings) -> Vec<(&'static str, &SecretSource)> {
    let mut sources = Vec::new();
    if let Some(connection) = &settings.connection {
        let named = [
            ("private_key", &connection.private_key),
            ("client_secret", &connection.client_secret),
            ("refresh_token", &connection.refresh_token),
        ];
        sources.extend(named.into_iter().filter_map(|(name, source)| Some((name, source.as_ref()?))));
    }
    sources.extend(settings.mail.password.as_ref().map(|source| ("mail_password", source)));
    sources
}

impl From<settings::SettingsError> for AppError {
    fn from(error: settings::SettingsError) -> Self {
        let mut failed = AppError::new(error.message);
        failed.hints = error.hints;
        failed
    }
}

/// The org of a login that is not the one the tenant's data came from.
pub(crate) fn org_changed(expected: SfId, found: SfId) -> AppError {
    let values = [("old", expected.as_str()), ("new", found.as_str())];
    AppError::coded(Reason::new(Code::OrgChanged, &values))
        .hint("if the new org is meant, run with --confirm: links to the old one stay as they are")
}
