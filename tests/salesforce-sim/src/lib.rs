//! A Salesforce org for tests, demos and sandboxes: stateful, with its own clock,
//! faults on request, and one router that answers as the service does.
//!
//! [`Sim`] is the whole thing. [`Sim::serve`] puts it on a listener, [`Sim::router`]
//! hands the router to whoever wants it in process, and [`Sim::org`] changes rows the
//! way people in the org would. What a shell can reach instead is under `/__sim/`.

#![recursion_limit = "256"]

pub mod clock;
pub mod demo;
pub mod errors;
pub mod faults;
pub mod generate;
mod handle;
mod http;
pub mod ids;
mod lifecycle;
pub mod load;
pub mod org;
pub mod orgfile;
pub mod rows;
pub mod schema;
mod sessions;
pub mod soql;
mod tally;
pub mod when;
mod write;

use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use errors::ApiError;
pub use faults::{Fault, FaultKind, Late};
pub use handle::OrgHandle;
pub use org::Org;
pub use orgfile::OrgFile;
pub use tally::Tally;

use faults::Faults;
use http::query::Cursors;
use sessions::Sessions;

/// One simulated org. Clones share it.
#[derive(Debug, Clone)]
pub struct Sim(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    org: RwLock<Org>,
    sessions: Mutex<Sessions>,
    cursors: Mutex<Cursors>,
    faults: Mutex<Faults>,
    tally: Mutex<Tally>,
}

impl Sim {
    /// An org as the file describes it, without rows but its users.
    pub fn new(file: OrgFile) -> Result<Self, schema::SchemaError> {
        let sessions = Sessions::new(&file);
        let shared = Shared {
            org: RwLock::new(Org::new(file)?),
            sessions: Mutex::new(sessions),
            cursors: Mutex::default(),
            faults: Mutex::default(),
            tally: Mutex::default(),
        };
        Ok(Self(Arc::new(shared)))
    }

    /// The demo org with its data; another `seed` than 0 shuffles amounts, dates,
    /// partners and which records carry which defect.
    pub fn demo(seed: u64) -> Result<Self, load::LoadError> {
        let sim = Self::new(OrgFile::parse(demo::ORG_TOML).expect("the demo's org file is right"))
            .expect("the demo's fields are right");
        demo::fill(&mut sim.0.org_mut(), seed)?;
        Ok(sim)
    }

    /// The router. In process nothing can cut a connection: a cut is then a 502 with the
    /// header `x-sim-cut`.
    pub fn router(&self) -> axum::Router {
        http::router(self.0.clone())
    }

    /// Serves until the task is dropped.
    pub async fn serve(self, listener: tokio::net::TcpListener) -> std::io::Result<()> {
        http::io::serve(self.0.clone(), listener).await
    }

    /// Serves on a free port of loopback in a task of its own and returns
    /// `http://127.0.0.1:PORT`. The task ends with the runtime.
    pub async fn start(&self) -> std::io::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(self.clone().serve(listener));
        Ok(format!("http://{address}"))
    }

    /// Changes and reads rows, fields and the clock from within the process.
    pub fn org(&self) -> OrgHandle {
        OrgHandle::new(self.clone())
    }

    /// Reads anything of the org under its lock.
    pub fn read<T>(&self, look: impl FnOnce(&Org) -> T) -> T {
        look(&self.0.org())
    }

    /// Changes anything of the org under its lock.
    pub fn change<T>(&self, act: impl FnOnce(&mut Org) -> T) -> T {
        act(&mut self.0.org_mut())
    }

    /// Adds a fault; it fires on the calls it matches, in the order they come.
    pub fn fault(&self, fault: Fault) {
        self.0.faults().add(fault);
    }

    pub fn clear_faults(&self) {
        self.0.faults().clear();
    }

    /// Faults that could still fire.
    pub fn faults_left(&self) -> usize {
        self.0.faults().left()
    }

    /// What was asked so far.
    pub fn tally(&self) -> Tally {
        self.0.tally().clone()
    }

    pub fn reset_tally(&self) {
        *self.0.tally() = Tally::default();
    }

    /// Refuses every access token given out so far.
    pub fn expire_tokens(&self) {
        self.0.sessions().expire_all();
    }

    /// Forgets every open query, as if two days had passed.
    pub fn drop_cursors(&self) {
        self.0.cursors().clear();
    }
}

impl Shared {
    fn org(&self) -> RwLockReadGuard<'_, Org> {
        self.org.read().expect("a panic while writing the org is a bug")
    }

    fn org_mut(&self) -> RwLockWriteGuard<'_, Org> {
        self.org.write().expect("a panic while writing the org is a bug")
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().expect("a panic with the sessions is a bug")
    }

    fn cursors(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().expect("a panic with the cursors is a bug")
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("a panic with the faults is a bug")
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("a panic with the counts is a bug")
    }
}
