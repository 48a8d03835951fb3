//! The world itself: org, service, people and clocks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dealsync::app::{App, AppError, AppOptions, PULL_LANE};
use dealsync::clock::{Clock, ManualClock};
use dealsync::run::{Kind, Report, Request, Unwatched};
use dealsync::salesforce::{InProcess, Transport};
use dealsync::store::{
    AsideFilter, DealFilter, DealOrder, DealRow, LogEntry, LogFilter, LogState, NewUser, TenantStore,
};
use dealsync::tenants::Apply;
use dealsync_core::ids::{SfId, TenantId, UserId};
use dealsync_core::people::{UserKind, UserStatus};
use dealsync_salesforce_sim::{OrgFile, OrgHandle, Sim, demo};
use tempfile::TempDir;
use uuid::Uuid;

use crate::opportunity::Opportunity;

/// Settings of a tenant with everything the import can use switched on, in the demo
/// org's fields.
pub const ACME: &str = r#"
[tenant]
id = "acme"
name = "Acme Corporation"
portal_url = "https://portal.acme.example"

[connection]
login_url = "http://127.0.0.1"
grant = "client-credentials"
client_id = "dealsync"
client_secret = { env = "SECRET" }

[deal_registration]
pull_opportunities = true
sync_flag = "Sync_with_Portal__c"
import_flag = "Export_to_Portal_Deal__c"
partner_email = "Portal_Partner_Email__c"
distributor_email = "Portal_Distributor_Email__c"
owner_type = "Deal_Owner_Type__c"

[distributor_module]
enabled = true

[mail]
from = "portal@acme.example"
folder = "mail"
"#;

/// The moment every world begins, microseconds: 2026-11-22T08:00:00Z.
pub const BEGINNING: i64 = 1_795_334_400_000_000;

/// Times a folder is tried to be opened again.
const REOPENINGS_MAX: usize = 2_000;

/// The key of every world, so that rules compiled in one are good in the next.
const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// Compiling the rules takes longer than most tests: all worlds share what was compiled.
fn share_compiled_rules(folder: &Path) {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tmp/compiled-rules");
    std::fs::create_dir_all(&shared).expect("a folder in target");
    std::fs::create_dir_all(folder.join("cache")).expect("a folder");
    let shared = shared.canonicalize().expect("a folder that was just made");
    std::os::unix::fs::symlink(shared, folder.join("cache/rules")).expect("a link");
    std::fs::write(folder.join("host.key"), KEY).expect("a key");
}

pub fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3_600)
}

pub fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// A portal user as a test describes one.
#[derive(Debug, Clone)]
pub struct Person(pub NewUser);

/// `dana@partner.example`, who may own deals.
pub fn partner(email: &str) -> Person {
    Person(NewUser {
        id: UserId(Uuid::nil()),
        email: email.into(),
        first_name: "Dana".into(),
        last_name: "Vance".into(),
        kind: UserKind::Partner,
        status: UserStatus::Active,
        organisation: "Partner Ltd".into(),
        group: "Partner Sales".into(),
        may_register_deals: true,
        external_id: None,
    })
}

pub fn distributor(email: &str) -> Person {
    let Person(mut user) = partner(email);
    user.kind = UserKind::Distributor;
    user.organisation = "Distributor Ltd".into();
    Person(user)
}

impl Person {
    pub fn kind(mut self, kind: UserKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub fn status(mut self, status: UserStatus) -> Self {
        self.0.status = status;
        self
    }

    pub fn without_permission(mut self) -> Self {
        self.0.may_register_deals = false;
        self
    }

    pub fn external_id(mut self, id: &str) -> Self {
        self.0.external_id = Some(id.into());
        self
    }
}

/// An org, the service on a folder of its own, and the time in both.
#[derive(Debug)]
pub struct World {
    pub sim: Sim,
    pub clock: Arc<ManualClock>,
    pub folder: TempDir,
    app: Option<App>,
    pub tenant: TenantId,
    seed: u64,
}

impl World {
    /// A world with tenant `acme` under [`ACME`] and one partner user,
    /// `dana@partner.example`. The org is empty but for its own users.
    pub async fn new() -> Self {
        Self::with(ACME).await
    }

    /// The same under other settings.
    pub async fn with(toml: &str) -> Self {
        let file = OrgFile::parse(demo::ORG_TOML).expect("the demo's org file");
        Self::of(Sim::new(file).expect("the demo's fields"), toml).await
    }

    /// A world around an org.
    pub async fn of(sim: Sim, toml: &str) -> Self {
        Self::at(Arc::new(ManualClock::skipping(BEGINNING)), sim, toml).await
    }

    /// The same on a clock of the test's own, which begins at [`BEGINNING`]: a
    /// scheduler wants one that waits to be moved.
    pub async fn at(clock: Arc<ManualClock>, sim: Sim, toml: &str) -> Self {
        sim.org().stop_clock_at(BEGINNING / 1_000_000);
        let folder = TempDir::new().expect("a folder");
        share_compiled_rules(folder.path());
        let tenant = "acme".parse().expect("a name");
        let mut world = Self { sim, clock, folder, app: None, tenant, seed: 1 };
        world.restart();
        world.apply(toml).await.expect("settings");
        world.users([partner("dana@partner.example")]).await;
        world
    }

    pub fn app(&self) -> &App {
        self.app.as_ref().expect("a world is open between restarts")
    }

    pub fn org(&self) -> OrgHandle {
        self.sim.org()
    }

    /// Ends the service where it stands and opens it again on the same folder.
    pub fn restart(&mut self) {
        let transport = InProcess::new(self.sim.router());
        self.restart_with(Arc::new(transport));
    }

    /// The same, with another way to the org.
    pub fn restart_with(&mut self, transport: Arc<dyn Transport>) {
        self.restart_on(transport, self.clock.clone());
    }

    /// The same, with another clock as well.
    pub fn restart_on(&mut self, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) {
        self.app = None;
        self.seed += 1;
        let open = || {
            App::open(AppOptions {
                clock: clock.clone(),
                seed: Some(self.seed),
                transport: Some(transport.clone()),
                ..AppOptions::new(self.folder.path())
            })
        };
        // What a run that was cut off still had at hand may hold the folder for a moment.
        let opened = (0..REOPENINGS_MAX).find_map(|_| match open() {
            Err(error) if error.message.contains("in use") => {
                std::thread::sleep(Duration::from_millis(5));
                None
            }
            opened => Some(opened),
        });
        self.app = Some(opened.expect("the folder is let go").expect("the folder opens"));
    }

    /// Moves both clocks.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.org().advance_clock(by.as_secs() as i64);
    }

    /// Applies settings as `tenant apply` does.
    pub async fn apply(&self, toml: &str) -> Result<(), AppError> {
        self.apply_with(toml, []).await
    }

    /// The same, with the files the settings name.
    pub async fn apply_with<'a>(
        &self,
        toml: &str,
        files: impl IntoIterator<Item = (&'a str, Vec<u8>)>,
    ) -> Result<(), AppError> {
        let apply = Apply {
            toml: toml.to_owned(),
            files: files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect(),
            env: [("SECRET".to_owned(), "demo-secret".to_owned())].into(),
            actor: "test".into(),
        };
        self.app().apply(apply).await.map(|_| ())
    }

    pub async fn store(&self) -> TenantStore {
        self.app().store().tenant(&self.tenant).await.expect("the tenant")
    }

    pub async fn users(&self, people: impl IntoIterator<Item = Person>) {
        let app = self.app();
        let users = people.into_iter().map(|Person(user)| NewUser { id: UserId(app.fresh_id()), ..user });
        let now = app.clock().now_micros();
        self.store().await.import_users(users.collect(), now).await.expect("users");
    }

    /// Puts an Opportunity into the org.
    pub fn has(&self, opportunity: Opportunity) -> SfId {
        opportunity.insert(&self.org())
    }

    /// What is set aside, as `parked Globex Renewal: ACCOUNT_MISSING`, by name.
    pub async fn asides(&self) -> Vec<String> {
        let mut asides = self.store().await.asides(AsideFilter::default()).await.expect("asides");
        asides.sort_by(|one, other| one.name.cmp(&other.name));
        asides.iter().map(|aside| format!("{} {}: {}", aside.kind.name(), aside.name, aside.code)).collect()
    }

    /// The open entries of the log, the oldest first.
    pub async fn open_entries(&self) -> Vec<LogEntry> {
        let open = LogFilter { state: Some(LogState::Open), ..LogFilter::default() };
        let mut entries = self.store().await.log_entries(open).await.expect("the log");
        entries.reverse();
        entries
    }

    /// Names of the deals, in their order.
    pub async fn deals(&self) -> Vec<String> {
        let page = self.store().await.deals(DealFilter::default(), DealOrder::default(), 10_000, None).await;
        let name = |deal: &DealRow| deal.fields["name"].as_str().expect("every deal has one").to_owned();
        let mut names: Vec<String> = page.expect("deals").deals.iter().map(name).collect();
        names.sort();
        names
    }

    /// A full run by hand. Checks that the counts add up.
    pub async fn full(&self) -> Report {
        self.run(Request::manual(Kind::Full)).await.expect("a run")
    }

    /// An incremental run by hand, a minute later on both clocks.
    pub async fn incremental(&self) -> Report {
        self.advance(minutes(1));
        self.run(Request::manual(Kind::Incremental)).await.expect("a run")
    }

    pub async fn run(&self, request: Request) -> Result<Report, AppError> {
        let report = self.app().run(&self.tenant, PULL_LANE, request, &Unwatched).await?;
        check_counts(&report);
        Ok(report)
    }
}

/// Holds what is promised of every run.
fn check_counts(report: &Report) {
    let counts = &report.counts;
    let sum = counts.created + counts.updated + counts.unchanged + counts.parked + counts.skipped;
    assert_eq!(counts.selected, sum, "the counts add up: {counts:?}");
    let reasons: u64 = counts.reasons.values().sum();
    assert_eq!(reasons, counts.parked + counts.skipped, "each record set aside has its reason: {counts:?}");
}
