//! One component running: started, configured, asked about one batch, dropped. Also what it
//! may ask the host meanwhile. A store is never used after an error.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dealsync_core::answers::FaultKind;
use dealsync_core::people::{self, Directory};
use wasmtime::component::Instance;
use wasmtime::{ResourceLimiter, Store};

use crate::bindings::dealsync::rules::{directory, host, tables};
use crate::bindings::settings::{self, Pinned};
use crate::bindings::types::{Context, Work};
use crate::bindings::{mapping, ownership, validation};
use crate::component::{Component, Refused};
use crate::engine::{Place, Shared};
use crate::fault::{self, Failure, Panic, Stop, cut};
use crate::limits::{self, Limits};

/// A tenant's look-up table: name and entries.
pub(crate) type Tables = Arc<[(String, HashMap<String, String>)]>;

/// A line that a component logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub level: tracing::Level,
    pub row: Option<u32>,
    pub message: String,
}

/// What the host knows of a running component.
pub(crate) struct State {
    limits: Limits,
    directory: Option<Arc<dyn Directory>>,
    tables: Tables,
    panic: Option<Panic>,
    lines: Vec<Line>,
    lines_dropped: u32,
    import_calls: u32,
    keys_asked: usize,
    memory_bytes: usize,
}

/// What a call cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub fuel: u64,
    pub fuel_allowed: u64,
    pub memory_bytes: usize,
}

/// A started component. Fuel and clock are set before anything of it runs.
pub(crate) struct Run<'a> {
    store: Store<State>,
    instance: Instance,
    component: &'a Component,
    _place: Place,
}

impl<'a> Run<'a> {
    pub fn start(shared: &Shared, component: &'a Component, tables: Tables) -> Result<Self, Failure> {
        let limits = component.limits();
        let Some(place) = shared.gate.enter(Duration::from_millis(limits::POOL_WAIT_MS)) else {
            return Err(Failure::new(FaultKind::HostBusy, "no place in the sandbox came free in time"));
        };
        let state = State {
            limits: limits.clone(),
            directory: None,
            tables,
            panic: None,
            lines: Vec::new(),
            lines_dropped: 0,
            import_calls: 0,
            keys_asked: 0,
            memory_bytes: 0,
        };
        let mut store = Store::new(&shared.wasm, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.output_bytes_max);
        arm(&mut store, limits.configure_fuel, limits.configure_wall_ms)?;
        match component.pre.instantiate(&mut store) {
            Ok(instance) => Ok(Self { store, instance, component, _place: place }),
            Err(error) => Err(failure(&mut store, &error)),
        }
    }

    pub fn configure(
        &mut self,
        pinned: Pinned<'_>,
    ) -> Result<Result<settings::Plan, Vec<settings::Problem>>, Failure> {
        let answer = (|| {
            let guest = self.component.exports.settings.load(&mut self.store, &self.instance)?;
            guest.call_configure(&mut self.store, pinned)
        })();
        answer.map_err(|error| failure(&mut self.store, &error))
    }

    /// What starting and configuring took, before the first question.
    pub fn configure_fuel(&self) -> u64 {
        self.component.limits().configure_fuel.saturating_sub(self.store.get_fuel().unwrap_or(0))
    }

    /// Lets the component look users up from now on. Not while it is configured:
    /// a plan must not depend on who works there today.
    pub fn open_directory(&mut self, directory: Arc<dyn Directory>) {
        self.store.data_mut().directory = Some(directory);
    }

    pub fn map(&mut self, context: Context<'_>, work: Work<'_>) -> Result<mapping::Mapped, Failure> {
        let indices = &self.component.exports.mapping;
        self.ask(work.source.rows, indices, |indices, store, instance| {
            indices.load(&mut *store, instance)?.call_map_batch(&mut *store, context, work)
        })
    }

    pub fn validate(
        &mut self,
        context: Context<'_>,
        work: Work<'_>,
    ) -> Result<validation::Findings, Failure> {
        let indices = &self.component.exports.validation;
        self.ask(work.source.rows, indices, |indices, store, instance| {
            indices.load(&mut *store, instance)?.call_validate_batch(&mut *store, context, work)
        })
    }

    pub fn resolve(&mut self, context: Context<'_>, work: Work<'_>) -> Result<ownership::Decisions, Failure> {
        let indices = &self.component.exports.ownership;
        self.ask(work.source.rows, indices, |indices, store, instance| {
            indices.load(&mut *store, instance)?.call_resolve_batch(&mut *store, context, work)
        })
    }

    fn ask<I, A>(
        &mut self,
        rows: u32,
        indices: &Option<I>,
        call: impl FnOnce(&I, &mut Store<State>, &Instance) -> wasmtime::Result<A>,
    ) -> Result<A, Failure> {
        let Some(indices) = indices else {
            return Err(Failure::new(
                FaultKind::HostBug,
                "a component was asked for a rule it does not have",
            ));
        };
        let limits = self.component.limits();
        let state = self.store.data_mut();
        (state.import_calls, state.keys_asked) = (0, 0);
        arm(&mut self.store, limits.fuel(rows as usize), limits.wall_ms)?;
        call(indices, &mut self.store, &self.instance).map_err(|error| failure(&mut self.store, &error))
    }

    /// What was used since the last arming.
    pub fn cost(&self, rows: usize) -> Cost {
        let allowed = self.component.limits().fuel(rows);
        Cost {
            fuel: allowed.saturating_sub(self.store.get_fuel().unwrap_or(0)),
            fuel_allowed: allowed,
            memory_bytes: self.store.data().memory_bytes,
        }
    }

    /// The lines logged so far, and how many more were not kept.
    pub fn take_lines(&mut self) -> (Vec<Line>, u32) {
        let state = self.store.data_mut();
        (std::mem::take(&mut state.lines), std::mem::take(&mut state.lines_dropped))
    }
}

/// Starts a component once, only to see that it starts and has the right types.
pub(crate) fn probe(shared: &Shared, component: &Component) -> Result<(), Refused> {
    let tables: Tables = Arc::from([]);
    let mut run = Run::start(shared, component, tables)
        .map_err(|failure| Refused::CannotStart { problem: failure.message })?;
    let exports = &component.exports;
    let loaded = exports.settings.load(&mut run.store, &run.instance).map(drop).and_then(|()| {
        let (store, instance) = (&mut run.store, &run.instance);
        if let Some(indices) = &exports.mapping {
            indices.load(&mut *store, instance)?;
        }
        if let Some(indices) = &exports.validation {
            indices.load(&mut *store, instance)?;
        }
        if let Some(indices) = &exports.ownership {
            indices.load(&mut *store, instance)?;
        }
        Ok(())
    });
    loaded.map_err(|error| Refused::WrongTypes { problem: format!("{error:#}") })
}

fn arm(store: &mut Store<State>, fuel: u64, wall_ms: u64) -> Result<(), Failure> {
    store.set_epoch_deadline(wall_ms.div_ceil(limits::TICK_MS) + 1);
    store.set_fuel(fuel).map_err(|error| Failure::new(FaultKind::HostBug, error.to_string()))
}

fn failure(store: &mut Store<State>, error: &wasmtime::Error) -> Failure {
    let state = store.data_mut();
    fault::classify(error, state.panic.take(), state.limits.message_bytes_max)
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = self.limits.memory_bytes_max;
        if desired > allowed {
            return Err(Stop::Memory { wanted: desired, allowed }.into());
        }
        self.memory_bytes = self.memory_bytes.max(desired);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = self.limits.table_elements_max;
        if desired > allowed {
            return Err(Stop::Table { wanted: desired, allowed }.into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_MAX as usize
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_MAX as usize
    }

    fn tables(&self) -> usize {
        limits::TABLES_MAX as usize
    }
}

impl State {
    fn count_call(&mut self) -> wasmtime::Result<()> {
        self.import_calls += 1;
        match self.import_calls > self.limits.import_calls_max {
            true => Err(Stop::ImportCalls(self.limits.import_calls_max).into()),
            false => Ok(()),
        }
    }

    fn count_keys(&mut self, keys: usize) -> wasmtime::Result<()> {
        self.count_call()?;
        let limits = &self.limits;
        if keys > limits.lookup_keys_max {
            let allowed = limits.lookup_keys_max;
            return Err(Stop::LookupKeys { wanted: keys, allowed, per: "at once" }.into());
        }
        self.keys_asked += keys;
        if self.keys_asked > limits.lookup_keys_total_max {
            let allowed = limits.lookup_keys_total_max;
            return Err(Stop::LookupKeys { wanted: self.keys_asked, allowed, per: "in one call" }.into());
        }
        Ok(())
    }

    fn look_up(
        &mut self,
        keys: Vec<String>,
        find: impl for<'d> Fn(&'d dyn Directory, &str) -> Vec<&'d people::User>,
    ) -> wasmtime::Result<Vec<Vec<directory::User>>> {
        self.count_keys(keys.len())?;
        let Some(directory) = &self.directory else { return Err(Stop::NoDirectory.into()) };
        Ok(keys
            .iter()
            .map(|key| find(directory.as_ref(), key).into_iter().take(USERS_PER_KEY_MAX).map(user).collect())
            .collect())
    }
}

/// Users answering to one key that a rule gets to see.
const USERS_PER_KEY_MAX: usize = people::BY_DOMAIN_MAX;
/// Close matches of one address.
const CLOSE_MATCHES_MAX: usize = 3;

impl crate::bindings::types::Host for State {}

impl host::Host for State {
    fn log(&mut self, level: host::Level, row: Option<u32>, message: String) -> wasmtime::Result<()> {
        self.count_call()?;
        if self.lines.len() == self.limits.log_lines_max {
            self.lines_dropped += 1;
            return Ok(());
        }
        let level = match level {
            host::Level::Debug => tracing::Level::DEBUG,
            host::Level::Info => tracing::Level::INFO,
            host::Level::Warn => tracing::Level::WARN,
            host::Level::Error => tracing::Level::ERROR,
        };
        self.lines.push(Line { level, row, message: cut(message, self.limits.message_bytes_max) });
        Ok(())
    }

    fn fault(&mut self, message: String, file: String, line: u32, column: u32) -> wasmtime::Result<()> {
        self.count_call()?;
        // The first report is the cause; a panic while panicking is a consequence.
        if self.panic.is_none() {
            let room = self.limits.message_bytes_max.saturating_sub(200);
            let place = cut(format!("{}:{line}:{column}", cut(file, 120)), 160);
            self.panic = Some(Panic { message: cut(message, room), place });
        }
        Ok(())
    }
}

impl directory::Host for State {
    fn by_email(&mut self, emails: Vec<String>) -> wasmtime::Result<Vec<Vec<directory::User>>> {
        self.look_up(emails, |directory, key| directory.by_email(key))
    }

    fn by_domain(&mut self, domains: Vec<String>) -> wasmtime::Result<Vec<Vec<directory::User>>> {
        self.look_up(domains, |directory, key| directory.by_domain(key))
    }

    fn by_organisation(&mut self, names: Vec<String>) -> wasmtime::Result<Vec<Vec<directory::User>>> {
        self.look_up(names, |directory, key| directory.by_organisation(key))
    }

    fn by_external_id(&mut self, ids: Vec<String>) -> wasmtime::Result<Vec<Vec<directory::User>>> {
        self.look_up(ids, |directory, key| directory.by_external_id(key))
    }

    fn close_matches(&mut self, emails: Vec<String>) -> wasmtime::Result<Vec<Vec<String>>> {
        self.count_keys(emails.len())?;
        let Some(directory) = &self.directory else { return Err(Stop::NoDirectory.into()) };
        let close = |email: &String| {
            let mut close = directory.like_email(email);
            close.truncate(CLOSE_MATCHES_MAX);
            close
        };
        Ok(emails.iter().map(close).collect())
    }
}

impl tables::Host for State {
    fn get(&mut self, table: u16, keys: Vec<String>) -> wasmtime::Result<Vec<Option<String>>> {
        self.count_keys(keys.len())?;
        let entries = self.tables.get(usize::from(table)).map(|(_, entries)| entries);
        Ok(keys.iter().map(|key| entries.and_then(|entries| entries.get(key)).cloned()).collect())
    }
}

fn user(user: &people::User) -> directory::User {
    directory::User {
        id: user.id.to_string(),
        email: user.email.clone(),
        first_name: user.first_name.clone(),
        last_name: user.last_name.clone(),
        kind: match user.kind {
            people::UserKind::Internal => directory::UserKind::Internal,
            people::UserKind::Partner => directory::UserKind::Partner,
            people::UserKind::Distributor => directory::UserKind::Distributor,
        },
        status: match user.status {
            people::UserStatus::Active => directory::UserStatus::Active,
            people::UserStatus::Pending => directory::UserStatus::Pending,
            people::UserStatus::Inactive => directory::UserStatus::Inactive,
            people::UserStatus::Disabled => directory::UserStatus::Disabled,
        },
        organisation: user.organisation.clone(),
        organisation_name: user.organisation.clone(),
        group: user.group.clone(),
        may_register_deals: user.may_register_deals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_up_answers_key_by_key_and_counts_what_it_is_asked() {
        let entries = HashMap::from([("DE".to_owned(), "EMEA".to_owned())]);
        let mut state = State {
            limits: Limits { lookup_keys_max: 2, lookup_keys_total_max: 3, ..Limits::compiled() },
            directory: None,
            tables: Arc::from([("regions".to_owned(), entries)]),
            panic: None,
            lines: Vec::new(),
            lines_dropped: 0,
            import_calls: 0,
            keys_asked: 0,
            memory_bytes: 0,
        };
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let answer = tables::Host::get(&mut state, 0, keys(&["DE", "XX"])).unwrap();
        assert_eq!(answer, [Some("EMEA".to_owned()), None]);
        assert_eq!(tables::Host::get(&mut state, 9, keys(&["DE"])).unwrap(), [None]);
        assert!(tables::Host::get(&mut state, 0, keys(&["DE"])).is_err(), "the fourth key");
        assert!(directory::Host::by_email(&mut state, keys(&["a@b.example"])).is_err());
    }
}
