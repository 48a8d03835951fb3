//! What the store promises, said as tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dealsync_core::answers::Assignment;
use dealsync_core::ids::{AccountId, ContactId, DealId, OutboxId, RunId, SfId, TenantId, UserId};
use dealsync_core::link::LinkState;
use dealsync_core::matching::{Ambiguous, Match};
use dealsync_core::owner::check_owner;
use dealsync_core::people::{Directory, UserKind, UserStatus};
use dealsync_core::plan::{AsideKind, DealUpdate, FieldChange, Intent, NewDeal, Outcome, Plan};
use dealsync_core::reason::{Code, Level, Reason};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::run::{Counts, Kind, MailPolicy, Trigger};

mod leases;
mod log_and_parked;
mod people;
mod pull_and_commit;
mod things_people_do;
mod whole_store;

const LANE: &str = "deals/pull/Opportunity";
/// A second, in the store's unit.
const S: i64 = 1_000_000;

fn key() -> HostKey {
    HostKey::new(&[7; 32])
}

fn org() -> SfId {
    "00D000000000001".parse().expect("an org id")
}

fn opportunity(n: u32) -> SfId {
    format!("006{n:012}").parse().expect("an id")
}

fn tenant_id(name: &str) -> TenantId {
    name.parse().expect("a tenant's name")
}

fn id(n: u32) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

fn user(n: u32, email: &str) -> NewUser {
    NewUser {
        id: UserId(id(n)),
        email: email.to_owned(),
        first_name: "Dana".to_owned(),
        last_name: format!("Number {n}"),
        kind: UserKind::Partner,
        status: UserStatus::Active,
        organisation: "Acme".to_owned(),
        group: "Partners".to_owned(),
        may_register_deals: true,
        external_id: None,
    }
}

/// A tenant with one partner, a lane that is claimed, and a run.
struct Bench {
    folder: TempDir,
    store: Store,
    tenant: TenantStore,
    lease: Lease,
    run: RunId,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), key()).expect("an empty folder opens");
    let tenant = store.create_tenant(&tenant_id("acme"), S).await.expect("a new tenant");
    let (lease, run) = set_up(&tenant).await;
    Bench { folder, store, tenant, lease, run }
}

async fn set_up(tenant: &TenantStore) -> (Lease, RunId) {
    tenant
        .import_users(vec![user(1, "dana@acme.example"), user(2, "kim@acme.example")], S)
        .await
        .expect("users");
    tenant.ensure_lane(LANE, "Deal Registration", S).await.expect("a lane");
    let lease = tenant.claim(LANE, "test", S, 60 * S).await.expect("a claim").expect("nobody holds it");
    let run = RunId(id(900));
    tenant.start_run(&lease, start(run)).await.expect("a run");
    (lease, run)
}

fn start(run: RunId) -> RunStart {
    RunStart { id: run, kind: Kind::Full, trigger: Trigger::Manual, backfill: false, now: S }
}

impl Bench {
    async fn commit(&self, plans: Vec<Plan>) -> Result<CommitResult, StoreError> {
        self.tenant.commit_page(&self.lease, self.page(plans)).await
    }

    fn page(&self, plans: Vec<Plan>) -> PageCommit {
        let mut counts = Counts::default();
        plans.iter().for_each(|plan| counts.add(plan));
        PageCommit {
            org: org(),
            run: self.run,
            now: 10 * S,
            plans,
            waits: Vec::new(),
            counts,
            api_calls: 1,
            cursor: None,
            resume: None,
            mail: MailPolicy::Each,
            keep_created: false,
        }
    }

    async fn creation(&self, n: u32) -> Plan {
        creation(&self.tenant, n).await
    }

    async fn open_entries(&self) -> Vec<LogEntry> {
        let filter = LogFilter { state: Some(LogState::Open), ..LogFilter::default() };
        self.tenant.log_entries(filter).await.expect("the log")
    }
}

/// The plan of a new deal with an account and contact of its own.
async fn creation(tenant: &TenantStore, n: u32) -> Plan {
    let directory = tenant.directory().await.expect("the users");
    let assignment = Assignment { owner: UserId(id(1)), partner: Some(UserId(id(1))), distributor: None };
    let owner = check_owner(assignment, false, &*directory).expect("dana may own deals");
    let deal = DealId(id(10_000 + n));
    let new = NewDeal {
        deal,
        owner,
        account: Match::Create(AccountId(id(20_000 + n))),
        account_sf_id: format!("001{n:012}").parse().expect("an id"),
        account_name: format!("Globex {n}"),
        contact: Match::Create(ContactId(id(30_000 + n))),
        contact_sf_id: format!("003{n:012}").parse().expect("an id"),
        contact_first_name: "Ann".to_owned(),
        contact_last_name: "Smith".to_owned(),
        contact_email: format!("ann{n}@globex.example"),
        fields: format!(r#"{{"name":"Renewal {n}","amount":"{n}.00"}}"#),
        base: format!(r#"{{"name":"Renewal {n}","amount":"{n}.00"}}"#),
        base_source: format!(r#"{{"Name":"Renewal {n}","Amount":"{n}.00"}}"#),
    };
    let intents =
        vec![Intent::CreateDeal(Box::new(new)), Intent::NotifyImported { deal, owner: UserId(id(1)) }];
    plan(n, Outcome::Created, Some(deal), intents, Vec::new())
}

fn plan(n: u32, outcome: Outcome, deal: Option<DealId>, intents: Vec<Intent>, reasons: Vec<Reason>) -> Plan {
    Plan {
        sf_id: opportunity(n),
        name: format!("Renewal {n}"),
        modstamp: 5 * S,
        created: 2 * S,
        outcome,
        deal,
        intents,
        reasons,
    }
}

fn parked(n: u32, reasons: Vec<Reason>) -> Plan {
    plan(n, Outcome::Parked, None, vec![Intent::SetAside(AsideKind::Parked)], reasons)
}

fn unknown_user(email: &str) -> Reason {
    Reason::new(Code::PartnerUserUnknown, &[("email", email)])
}

fn no_account() -> Reason {
    Reason::new(Code::AccountMissing, &[])
}
