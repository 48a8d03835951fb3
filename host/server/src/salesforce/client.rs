//! One connection to one org: its session, its share of the org's calls, and the
//! loop that every call goes through. What is asked for is in `pull.rs`,
//! `contacts.rs` and below; what an answer means is `error.rs`'s.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use dealsync_core::ids::SfId;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
};

use super::auth::{self, ConnectionSettings, OnRotated, Secret, Secrets, Session};
use super::budget::{Budget, Class, LimitInfo};
use super::describe::DescribeCache;
use super::error::Error;
use super::transport::{Method, Request, Response, Transport, TransportError, Url};
use super::wire::{self, Limits, Version};
use crate::clock::Clock;

/// Tries of one call, the first included.
const ATTEMPTS_MAX: u32 = 5;
/// Tries after an edge server said that the org is elsewhere (420).
const EDGE_ATTEMPTS_MAX: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A longer wait than this is the caller's to plan.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// After a login that failed for a passing reason, others get the same answer this long.
const LOGIN_PAUSE_MICROS: i64 = 5_000_000;

/// A client of one connection. Cheap to clone; clones share the session, the
/// describes and the budget. Calls are counted for incremental work unless
/// [`Client::classed`] says otherwise.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    class: Class,
}

struct Inner {
    settings: ConnectionSettings,
    login_base: String,
    secrets: Secrets,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    rng: Mutex<StdRng>,
    login: tokio::sync::Mutex<Login>,
    on_rotated: OnceLock<OnRotated>,
    describes: Mutex<DescribeCache>,
    lacks_retrieve: AtomicBool,
}

/// What is known of the login. Whoever renews it holds its lock meanwhile, so one
/// renewal serves all who wait.
#[derive(Default)]
struct Login {
    session: Option<Arc<Session>>,
    /// A refusal that asking again does not cure.
    refused: Option<Error>,
    /// A passing failure, and when it happened.
    failed: Option<(i64, Error)>,
    /// The newest refresh token, where it was renewed.
    refresh_token: Option<Secret>,
    /// Whether the newest refresh token is still to be stored.
    unsaved: bool,
    org_id: Option<SfId>,
}

/// Whether a call may be sent again after an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replay {
    Harmless,
    /// A create: only where nothing can have been sent. No call of this kind yet
    /// leaves the module; the rule stands before the first one does.
    #[cfg_attr(not(test), expect(dead_code, reason = "writing to Salesforce builds on it"))]
    OnlyUnsent,
}

/// How often a call has failed so far.
#[derive(Debug, Default)]
struct Tries {
    failed: u32,
}

/// One call, as it is repeated.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) method: Method,
    /// Path and query, below the instance's address.
    pub(super) path: String,
    pub(super) body: Option<Vec<u8>>,
    pub(super) unless_changed_since: Option<String>,
    pub(super) replay: Replay,
}

impl Call {
    pub(super) fn read(name: &'static str, path: String) -> Self {
        let replay = Replay::Harmless;
        Self { name, method: Method::GET, path, body: None, unless_changed_since: None, replay }
    }

    /// A read whose question is too long for an address.
    pub(super) fn read_by_post(name: &'static str, path: String, body: Vec<u8>) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::read(name, path) }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({}, {})", self.inner.login_base, self.class)
    }
}

impl Client {
    /// A client that has not called anywhere yet. `seed` decides the jitter of its
    /// pauses. Refuses an unsafe login address and a version that is none.
    pub fn new(
        settings: ConnectionSettings,
        secrets: Secrets,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        budget: Arc<Budget>,
        seed: u64,
    ) -> Result<Self, Error> {
        let login_base = auth::base_address("login_url", &settings.login_url)?;
        let version = &settings.api_version;
        let is_version = version.split_once('.').is_some_and(|(major, minor)| {
            [major, minor].iter().all(|part| part.parse::<u16>().is_ok() && part.len() <= 3)
        });
        if !is_version {
            return Err(Error::SettingsUnusable(format!("{version:?} is no API version, such as 62.0")));
        }
        let login = Login { refresh_token: secrets.refresh_token.clone(), ..Login::default() };
        let inner = Inner {
            login_base,
            settings,
            secrets,
            transport,
            clock,
            budget,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            login: tokio::sync::Mutex::new(login),
            on_rotated: OnceLock::new(),
            describes: Mutex::new(DescribeCache::default()),
            lacks_retrieve: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner), class: Class::Incremental })
    }

    /// The same client, its calls counted as this class.
    pub fn classed(&self, class: Class) -> Self {
        Self { inner: self.inner.clone(), class }
    }

    /// Says where a renewed refresh token is stored. To be said once, before the
    /// first call.
    pub fn on_rotated(self, store: OnRotated) -> Self {
        // A second caller would be a fault of ours; the first one goes on being told.
        let _ = self.inner.on_rotated.set(store);
        self
    }

    /// Refuses from now on any login that leads to another org.
    pub async fn expect_org(&self, org_id: SfId) {
        self.inner.login.lock().await.org_id = Some(org_id);
    }

    /// Takes whatever org the next login leads to: a person has confirmed it.
    pub async fn expect_any_org(&self) {
        self.inner.login.lock().await.org_id = None;
    }

    pub fn budget(&self) -> &Arc<Budget> {
        &self.inner.budget
    }

    /// Returns the session, logging in where there is none.
    pub async fn session(&self) -> Result<Arc<Session>, Error> {
        if let Some(session) = &self.inner.login.lock().await.session {
            return Ok(session.clone());
        }
        self.renewed(None, false).await
    }

    /// Asks for a new session whatever came before, a refusal included: for a person
    /// who has just changed something.
    pub async fn login(&self) -> Result<Arc<Session>, Error> {
        self.renewed(None, true).await
    }

    /// Renews the session, unless somebody else has already done so.
    async fn renewed(&self, stale: Option<Arc<Session>>, by_person: bool) -> Result<Arc<Session>, Error> {
        let inner = self.inner.clone();
        // In a task of its own: were the caller dropped half-way, a renewed refresh
        // token would be lost with it.
        let task = tokio::spawn(async move { inner.renew(stale, by_person).await });
        match task.await {
            Ok(outcome) => outcome,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::Unreachable {
                call: "token",
                source: TransportError::NotConnected("the process is stopping".to_owned()),
            }),
        }
    }

    /// The versions of the API that the org speaks. Needs no login.
    pub async fn versions(&self) -> Result<Vec<Version>, Error> {
        let base = match &self.inner.login.lock().await.session {
            Some(session) => session.instance_url.clone(),
            None => self.inner.login_base.clone(),
        };
        let call = Call::read("versions", "/services/data".to_owned());
        let mut tries = Tries::default();
        loop {
            let outcome = self.inner.send(&call, &base, HeaderMap::new()).await;
            match outcome.and_then(|response| wire::read("versions", &response)) {
                Err(error) => self.inner.pause_to_repeat(&call, &mut tries, error).await?,
                done => return done,
            }
        }
    }

    /// The org's calls in 24 hours.
    pub async fn limits(&self) -> Result<Limits, Error> {
        let call = Call::read("limits", self.data_path("limits"));
        let answer: wire::LimitsAnswer =
            self.execute(&call, |response| wire::read("limits", response)).await?;
        Ok(answer.into())
    }

    pub(super) fn now_micros(&self) -> i64 {
        self.inner.clock.now_micros()
    }

    pub(super) fn kept_describes(&self) -> MutexGuard<'_, DescribeCache> {
        self.inner.describes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lacks_retrieve(&self) -> &AtomicBool {
        &self.inner.lacks_retrieve
    }

    /// A path below the data resource of the connection's version.
    pub(super) fn data_path(&self, below: &str) -> String {
        format!("/services/data/v{}/{below}", self.inner.settings.api_version)
    }

    /// The path of the next page, which must not lead to another host.
    pub(super) async fn next_path(&self, next: &str) -> Result<String, Error> {
        if next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\") {
            return Ok(next.to_owned());
        }
        let session = self.session().await?;
        match next.strip_prefix(&session.instance_url) {
            Some(path) if path.starts_with('/') => Ok(path.to_owned()),
            _ => Err(Error::AddressRefused { what: "nextRecordsUrl", address: super::error::clipped(next) }),
        }
    }

    /// Makes a call with the session, renewing it once where it has expired.
    /// `read` looks at a success or, where it was asked for, "not modified".
    pub(super) async fn execute<T>(
        &self,
        call: &Call,
        read: impl Fn(&Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut renewed = false;
        let mut tries = Tries::default();
        loop {
            let session = self.session().await?;
            let outcome = self.send_counted(call, &session).await;
            match outcome.and_then(|response| read(&response)) {
                Err(Error::SessionExpired(_)) if !renewed => {
                    renewed = true;
                    self.renewed(Some(session), false).await?;
                }
                Err(Error::SessionExpired(refusal)) => return Err(Error::SessionRefused(refusal)),
                Err(error) => self.inner.pause_to_repeat(call, &mut tries, error).await?,
                done => return done,
            }
        }
    }

    async fn send_counted(&self, call: &Call, session: &Session) -> Result<Response, Error> {
        let inner = &self.inner;
        if let Err(resumes_at_micros) = inner.budget.may_spend(self.class, inner.clock.now_micros()) {
            return Err(Error::BudgetSpent { class: self.class, resumes_at_micros });
        }
        inner.budget.spend(self.class, inner.clock.now_micros());
        let mut headers = HeaderMap::new();
        let mut token = HeaderValue::try_from(format!("Bearer {}", session.token.reveal()))
            .map_err(|_| Error::SettingsUnusable("the access token cannot stand in a header".to_owned()))?;
        token.set_sensitive(true);
        headers.insert(AUTHORIZATION, token);
        let outcome = inner.send(call, &session.instance_url, headers).await;
        if let Err(Error::DailyLimitReached(_)) = &outcome {
            inner.budget.observe_exhausted(inner.clock.now_micros());
        }
        outcome
    }
}

impl Inner {
    async fn renew(&self, stale: Option<Arc<Session>>, by_person: bool) -> Result<Arc<Session>, Error> {
        let mut login = self.login.lock().await;
        if !by_person {
            match (&login.session, &stale) {
                (Some(current), Some(stale)) if !Arc::ptr_eq(current, stale) => return Ok(current.clone()),
                (Some(current), None) => return Ok(current.clone()),
                _ => {}
            }
            if let Some(error) = &login.refused {
                return Err(error.clone());
            }
            if let Some((at, error)) = &login.failed
                && self.clock.now_micros() < at.saturating_add(LOGIN_PAUSE_MICROS)
            {
                return Err(error.clone());
            }
        }
        login.session = None;
        let outcome = self.ask_session(&mut login).await;
        login.refused = None;
        login.failed = None;
        match &outcome {
            Ok(session) => login.session = Some(session.clone()),
            Err(error @ (Error::CredentialsRefused(_) | Error::OrgChanged { .. })) => {
                login.refused = Some(error.clone());
            }
            Err(error) => login.failed = Some((self.clock.now_micros(), error.clone())),
        }
        outcome
    }

    async fn ask_session(&self, login: &mut Login) -> Result<Arc<Session>, Error> {
        self.store_rotated(login).await?;
        let mut call =
            Call { method: Method::POST, ..Call::read("token", "/services/oauth2/token".to_owned()) };
        let mut tries = Tries::default();
        let answer: wire::TokenAnswer = loop {
            // Made anew for each try: an assertion does not live long.
            let now = self.clock.now_micros();
            let form = auth::token_form(&self.settings, &self.secrets, login.refresh_token.as_ref(), now)?;
            call.body = Some(form);
            let outcome = self.send(&call, &self.login_base, HeaderMap::new()).await;
            match outcome.and_then(|response| wire::read("token", &response)) {
                Ok(answer) => break answer,
                Err(error) => self.pause_to_repeat(&call, &mut tries, error).await?,
            }
        };
        let (session, rotated) = auth::session(answer)?;
        if rotated.is_some() && rotated != login.refresh_token {
            login.refresh_token = rotated;
            login.unsaved = true;
            self.store_rotated(login).await?;
        }
        if let Some(was) = login.org_id
            && was != session.org_id
        {
            return Err(Error::OrgChanged { was, now: session.org_id });
        }
        login.org_id = Some(session.org_id);
        tracing::debug!(org.id = %session.org_id, "Logged in to org {}", session.org_id);
        Ok(Arc::new(session))
    }

    async fn store_rotated(&self, login: &mut Login) -> Result<(), Error> {
        if login.unsaved
            && let (Some(store), Some(token)) = (self.on_rotated.get(), &login.refresh_token)
        {
            store(token.clone()).await.map_err(Error::RotationNotStored)?;
        }
        login.unsaved = false;
        Ok(())
    }

    /// Sends a call once; anything but a success, or "not modified" where that was
    /// asked for, is an error.
    async fn send(&self, call: &Call, base: &str, mut headers: HeaderMap) -> Result<Response, Error> {
        let url = Url::parse(&format!("{base}{}", call.path))
            .map_err(|_| Error::AddressRefused { what: call.name, address: base.to_owned() })?;
        let is_token = call.name == "token";
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if !is_token {
            headers.insert(HeaderName::from_static("sforce-call-options"), CALL_OPTIONS);
            headers.insert(HeaderName::from_static("sforce-query-options"), QUERY_OPTIONS);
        }
        if call.body.is_some() {
            let kind = if is_token { "application/x-www-form-urlencoded" } else { "application/json" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(date) = &call.unless_changed_since
            && let Ok(date) = HeaderValue::from_str(date)
        {
            headers.insert(IF_MODIFIED_SINCE, date);
        }
        let request = Request { method: call.method.clone(), url, headers, body: call.body.clone() };
        let response = self
            .transport
            .send(request)
            .await
            .map_err(|source| Error::Unreachable { call: call.name, source })?;
        let request_id = wire::request_id(&response);
        tracing::debug!(
            call = call.name,
            status = response.status,
            bytes = response.body.len(),
            request.id = request_id.as_deref().unwrap_or(""),
            "Salesforce answered {} with {}",
            call.name,
            response.status
        );
        if let Some(info) = response.header("sforce-limit-info").and_then(LimitInfo::parse) {
            self.budget.observe(info, self.clock.now_micros());
        }
        match response.status {
            200..=299 => Ok(response),
            304 if call.unless_changed_since.is_some() => Ok(response),
            _ => {
                let refusal = wire::refusal(call.name, &response, self.clock.now_micros())?;
                Err(if is_token { Error::from_token_refusal(refusal) } else { Error::from_refusal(refusal) })
            }
        }
    }

    /// Returns after a pause where the call may be tried again; hands the error back
    /// where trying again does not cure it, or was done often enough.
    async fn pause_to_repeat(&self, call: &Call, tries: &mut Tries, error: Error) -> Result<(), Error> {
        tries.failed += 1;
        let is_edge = error.refusal().is_some_and(|refusal| refusal.status == 420);
        let attempts_max = if is_edge { EDGE_ATTEMPTS_MAX } else { ATTEMPTS_MAX };
        let asked = error.retry_after().unwrap_or_default();
        if tries.failed >= attempts_max || asked > RETRY_AFTER_MAX || !may_repeat(&error, call.replay) {
            return Err(error);
        }
        let wait = self.jittered(FIRST_PAUSE * 2u32.pow(tries.failed - 1)).max(asked);
        tracing::debug!(
            call = call.name,
            attempt = tries.failed,
            wait_ms = wait.as_millis() as u64,
            %error,
            "Trying {} again in {} ms",
            call.name,
            wait.as_millis()
        );
        self.clock.sleep(wait).await;
        Ok(())
    }

    fn jittered(&self, pause: Duration) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        Duration::from_micros(rng.random_range(0..=pause.as_micros() as u64))
    }
}

const CALL_OPTIONS: HeaderValue = HeaderValue::from_static("client=dealsync");
/// A wish; the server decides.
const QUERY_OPTIONS: HeaderValue = HeaderValue::from_static("batchSize=2000");

fn may_repeat(error: &Error, replay: Replay) -> bool {
    match error {
        Error::Unreachable { source, .. } => match source {
            TransportError::NotConnected(_) => true,
            TransportError::Broken(_) | TransportError::TimedOut => replay == Replay::Harmless,
            TransportError::TooLarge { .. } | TransportError::PlainHttp { .. } => false,
        },
        // Refused before anything was done.
        Error::Busy(_) => true,
        Error::Unavailable(_) | Error::BadAnswer { .. } => replay == Replay::Harmless,
        _ => false,
    }
}
