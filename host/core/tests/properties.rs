//! What holds for every record: merge, plan and owner, over generated facts.

use std::collections::HashMap;
use std::sync::Arc;

use dealsync_core::answers::{
    Assignment, Conflict, FaultKind, Finding, OnNull, Provenance, RowAnswer, RuleFault, Severity,
};
use dealsync_core::batch::Batch;
use dealsync_core::deal::{self, deal_schema, decode_row, encode_row};
use dealsync_core::ids::{AccountId, ContactId, DealId, SfId, UserId};
use dealsync_core::link::{Link, LinkState, RemoteObject, Tombstone};
use dealsync_core::matching::Shelves;
use dealsync_core::merge::{FieldPolicy, Merged, Sides, three_way};
use dealsync_core::owner::check_owner;
use dealsync_core::people::{Directory, User, UserKind, UserStatus, normal_email};
use dealsync_core::plan::{
    Contacts, Facts, FreshIds, Intent, Outcome, Plan, Policy, Source, Stored, StoredDeal, is_mass_change,
    plan,
};
use dealsync_core::schema::{FieldIx, Schema};
use dealsync_core::value::{Cell, Decimal};
use proptest::prelude::*;
use uuid::Uuid;

#[derive(Debug, Default)]
struct Users(HashMap<UserId, User>);

impl Directory for Users {
    fn by_id(&self, id: UserId) -> Option<&User> {
        self.0.get(&id)
    }
    fn by_email(&self, email: &str) -> Vec<&User> {
        self.0.values().filter(|user| normal_email(&user.email) == normal_email(email)).collect()
    }
    fn by_domain(&self, _: &str) -> Vec<&User> {
        Vec::new()
    }
    fn by_organisation(&self, _: &str) -> Vec<&User> {
        Vec::new()
    }
    fn by_external_id(&self, _: &str) -> Vec<&User> {
        Vec::new()
    }
    fn like_email(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

fn user(id: u128, kind: UserKind, status: UserStatus, permitted: bool) -> User {
    User {
        id: UserId(Uuid::from_u128(id)),
        email: format!("user{id}@partner.example"),
        first_name: "Dana".into(),
        last_name: "Vance".into(),
        kind,
        status,
        organisation: "Partner".into(),
        group: "Sales".into(),
        may_register_deals: permitted,
        external_id: None,
    }
}

fn any_user(id: u128) -> impl Strategy<Value = User> {
    let kinds = prop::sample::select(UserKind::ALL.to_vec());
    let statuses = prop::sample::select(UserStatus::ALL.to_vec());
    (kinds, statuses, any::<bool>())
        .prop_map(move |(kind, status, permitted)| user(id, kind, status, permitted))
}

fn any_policy() -> impl Strategy<Value = FieldPolicy> {
    let conflicts =
        prop::sample::select(vec![Conflict::Source, Conflict::Target, Conflict::Newest, Conflict::Ask]);
    let nulls = prop::sample::select(vec![OnNull::Clear, OnNull::Leave, OnNull::Refuse]);
    (any::<bool>(), any::<bool>(), conflicts, nulls).prop_map(|(on_create, on_update, conflict, on_null)| {
        FieldPolicy { on_create, on_update, conflict, on_null }
    })
}

fn any_value() -> impl Strategy<Value = Option<serde_json::Value>> {
    prop::option::of(prop::sample::select(vec!["a", "b", "c"]).prop_map(Into::into))
}

proptest! {
    /// A copy of the base, whoever brings it and whenever, is no change.
    #[test]
    fn what_equals_the_base_changes_nothing(
        base in any_value(), ours in any_value(), newer in any::<bool>(), policy in any_policy(),
    ) {
        let sides = Sides { base: base.as_ref(), ours: ours.as_ref(), theirs: base.as_ref(), theirs_is_newer: newer };
        prop_assert_eq!(three_way(sides, policy), Merged::Keep);
    }

    /// A value of ours that nobody has seen yet is overwritten only where the
    /// field's rule says so, and never silently.
    #[test]
    fn our_change_is_never_lost_silently(
        base in any_value(), ours in any_value(), theirs in any_value(), newer in any::<bool>(), policy in any_policy(),
    ) {
        prop_assume!(ours != base && ours != theirs);
        let sides = Sides { base: base.as_ref(), ours: ours.as_ref(), theirs: theirs.as_ref(), theirs_is_newer: newer };
        let merged = three_way(sides, policy);
        prop_assert_ne!(merged, Merged::Take);
        if merged == Merged::TakeOver {
            let may = policy.conflict == Conflict::Source || (policy.conflict == Conflict::Newest && newer);
            prop_assert!(may);
        }
    }

    /// Create-only fields take no part in an update.
    #[test]
    fn a_create_only_field_is_never_merged(
        base in any_value(), ours in any_value(), theirs in any_value(), policy in any_policy(),
    ) {
        let policy = FieldPolicy { on_update: false, ..policy };
        let sides = Sides { base: base.as_ref(), ours: ours.as_ref(), theirs: theirs.as_ref(), theirs_is_newer: true };
        prop_assert_eq!(three_way(sides, policy), Merged::Keep);
    }

    /// Whatever a rule answers, a deal is owned by an active, permitted user of the
    /// right type who exists in this tenant.
    #[test]
    fn no_rule_can_name_an_unfit_owner(
        owner in any_user(1), partner in prop::option::of(any_user(2)), module in any::<bool>(), stranger in any::<bool>(),
    ) {
        let mut users = Users::default();
        let id = owner.id;
        if !stranger {
            users.0.insert(id, owner.clone());
        }
        let partner_id = partner.as_ref().map(|user| user.id);
        if let Some(partner) = &partner {
            users.0.insert(partner.id, partner.clone());
        }
        let assignment = Assignment { owner: id, partner: partner_id, distributor: None };
        let checked = check_owner(assignment, module, &users);
        let fit = !stranger
            && owner.status == UserStatus::Active
            && owner.may_register_deals
            && (owner.kind == UserKind::Partner || (module && owner.kind == UserKind::Distributor))
            && partner.is_none_or(|partner| partner.kind == UserKind::Partner);
        prop_assert_eq!(checked.is_ok(), fit);
        if let Ok(checked) = checked {
            prop_assert_eq!(checked.id(), id);
        }
    }

    /// The brake lets small changes pass and never a large one.
    #[test]
    fn the_brake_holds_above_twenty_records_and_five_percent(vanishing in 0u64..5_000, links in 0u64..5_000) {
        prop_assert_eq!(is_mass_change(vanishing, links), vanishing >= 20 && vanishing * 20 > links);
    }
}

/// Facts in their owned form, so that they can be generated.
#[derive(Debug, Clone)]
struct World {
    source: Source,
    stored: Stored,
    answer: RowAnswer,
    name: Option<&'static str>,
    amount: Option<i64>,
    first_name: Option<&'static str>,
    users: Vec<User>,
    module: bool,
}

const OWNER: u128 = 1;

fn sf_id(prefix: &str) -> SfId {
    format!("{prefix}000000000001").parse().expect("an id")
}

fn schemas() -> (Schema, Schema) {
    (deal_schema([]), deal_schema([]))
}

const COLUMNS: [&str; 6] =
    ["name", "amount", "close_date", "stage", "contact_first_name", "contact_last_name"];

fn drafted(world: &World) -> Batch {
    let (_, target) = schemas();
    let columns: Arc<[FieldIx]> = COLUMNS.iter().map(|name| target.ix(name).expect("shipped")).collect();
    let mut batch = Batch::absent(columns, Arc::from([0, 2, 0, 0, 0, 0]), 1);
    batch.set(0, 0, world.name.map_or(Cell::Null, Cell::Text));
    batch.set(0, 1, world.amount.map_or(Cell::Null, |amount| Cell::Decimal(Decimal::new(amount, 2))));
    batch.set(0, 2, Cell::Date(20_000));
    batch.set(0, 3, Cell::Text("Open"));
    batch.set(0, 4, world.first_name.map_or(Cell::Null, Cell::Text));
    batch.set(0, 5, Cell::Text("Doe"));
    batch
}

fn encoded(world: &World) -> String {
    let (_, target) = schemas();
    let mut text = String::new();
    encode_row(&target, &drafted(world), 0, &mut text);
    text
}

/// The base holds what later runs keep in step, so no contact names.
fn agreed(fields: &str) -> String {
    let mut values = decode_row(fields);
    deal::CREATE_ONLY.iter().for_each(|name| {
        values.shift_remove(*name);
    });
    serde_json::to_string(&values).expect("plain values")
}

fn planned(world: &World) -> Plan {
    let (read, target) = schemas();
    let draft = drafted(world);
    let users = Users(world.users.iter().map(|user| (user.id, user.clone())).collect());
    let update =
        FieldPolicy { on_create: true, on_update: true, conflict: Conflict::Source, on_null: OnNull::Clear };
    let names = FieldPolicy { on_update: false, ..update };
    let policy = Policy {
        fields: vec![update, update, update, update, names, names],
        import_flag: "Export to Portal Deal".into(),
        sync_flag: "Sync with Portal".into(),
        partner_email: "Portal Partner Email".into(),
        partner_email_field: "Portal_Partner_Email__c".into(),
        distributor_module: world.module,
    };
    let facts = Facts {
        source: &world.source,
        stored: &world.stored,
        draft: &draft,
        read: &draft,
        row: 0,
        source_schema: &read,
        target_schema: &target,
        answer: &world.answer,
        policy: &policy,
        directory: &users,
        fresh: FreshIds {
            deal: DealId(Uuid::from_u128(100)),
            account: AccountId(Uuid::from_u128(101)),
            contact: ContactId(Uuid::from_u128(102)),
        },
    };
    plan(&facts, &mut Shelves::default())
}

fn any_contacts() -> impl Strategy<Value = Contacts> {
    prop_oneof![
        1 => Just(Contacts::None),
        1 => Just(Contacts::NonePrimary { names: vec!["Jo Doe".into()] }),
        1 => Just(Contacts::Unreadable { id: sf_id("003") }),
        4 => Just(Contacts::Readable { id: sf_id("003") }),
    ]
}

fn any_source() -> impl Strategy<Value = Source> {
    let flags = (prop::bool::weighted(0.1), prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    let account = prop::bool::weighted(0.8);
    let email = prop::bool::weighted(0.8);
    (flags, account, any_contacts(), email).prop_map(
        |((deleted, sync_flag, import_flag), account, contacts, email)| Source {
            id: sf_id("006"),
            name: "Renewal".into(),
            modstamp: 2,
            created: 1,
            deleted,
            sync_flag,
            import_flag,
            account: account.then(|| (sf_id("001"), "Globex".to_owned())),
            contacts,
            partner_email: email.then(|| "user1@partner.example".to_owned()),
            distributor_email: None,
            currency: None,
            unreadable: None,
        },
    )
}

fn any_answer() -> impl Strategy<Value = RowAnswer> {
    let by = Provenance { component: "standard".into(), version: "1".into(), rule: "r".into(), note: None };
    let finding = move |severity, code: &str| Finding {
        severity,
        field: None,
        code: code.into(),
        message: "m".into(),
        fix: "f.".into(),
        by: by.clone(),
    };
    let assignment = Assignment { owner: UserId(Uuid::from_u128(OWNER)), partner: None, distributor: None };
    let fault = RuleFault {
        component: "acme".into(),
        version: "1".into(),
        kind: FaultKind::Panicked,
        message: "boom".into(),
    };
    prop_oneof![
        4 => Just(RowAnswer { assignment: Some(assignment), ..RowAnswer::default() }),
        1 => Just(RowAnswer { findings: vec![finding(Severity::Error, "PARTNER_USER_UNKNOWN")], ..RowAnswer::default() }),
        1 => Just(RowAnswer {
            findings: vec![finding(Severity::Warning, "DIST_USER_UNKNOWN")],
            assignment: Some(assignment),
            fault: None,
        }),
        1 => Just(RowAnswer { fault: Some(fault), ..RowAnswer::default() }),
        1 => Just(RowAnswer::default()),
    ]
}

fn any_world() -> impl Strategy<Value = World> {
    let values = (
        prop::option::weighted(0.9, Just("Renewal")),
        prop::option::weighted(0.9, 0i64..100_000),
        prop::option::weighted(0.9, Just("Jo")),
    );
    (any_source(), any_answer(), values, any_user(OWNER), any::<bool>(), 0u8..5).prop_map(
        |(source, answer, (name, amount, first_name), user, module, state)| {
            let mut world = World {
                source,
                stored: Stored::default(),
                answer,
                name,
                amount,
                first_name,
                users: vec![user],
                module,
            };
            let base = encoded(&world);
            let fields = base.clone();
            let base = agreed(&base);
            let link = Link {
                deal: DealId(Uuid::from_u128(50)),
                object: RemoteObject::Opportunity,
                sf_id: world.source.id,
                state: LinkState::Linked,
                base: base.clone(),
                base_source: base.clone(),
                modstamp: 1,
                owner: UserId(Uuid::from_u128(OWNER)),
            };
            match state {
                1 => world.stored.link = Some(link),
                2 => {
                    let other = base.replace("Open", "Won");
                    world.stored.link =
                        Some(Link { base: other.clone(), base_source: other.clone(), ..link });
                    let fields = fields.replace("Open", "Won");
                    world.stored.deal = Some(StoredDeal { fields, updated_at: 1 });
                }
                3 => {
                    world.stored.tombstone =
                        Some(Tombstone { sf_id: world.source.id, by: "Kim".into(), at: 1_000_000 });
                }
                _ => {}
            }
            world
        },
    )
}

proptest! {
    /// Every record that has the import flag ends in exactly one of five ways, and
    /// one that is set aside says why and how to mend it.
    #[test]
    fn every_selected_record_has_an_outcome_and_every_refusal_a_reason(world in any_world()) {
        let plan = planned(&world);
        let selected = world.source.import_flag && !world.source.deleted;
        prop_assert_eq!(plan.outcome != Outcome::Unselected, selected, "{:?}", plan);
        if matches!(plan.outcome, Outcome::Parked | Outcome::Skipped) {
            let reason = plan.primary().expect("a reason");
            prop_assert!(!reason.message.is_empty() && reason.fix.ends_with('.'), "{:?}", reason);
            prop_assert!(!reason.message.contains('{') && !reason.fix.contains('{'), "{:?}", reason);
        }
    }

    /// A deal is made only from a record that has all of S11 to S18.
    #[test]
    fn a_deal_is_made_only_where_nothing_is_missing(world in any_world()) {
        let plan = planned(&world);
        if plan.outcome != Outcome::Created {
            let creates = plan.intents.iter().any(|intent| matches!(intent, Intent::CreateDeal(_)));
            prop_assert!(!creates);
            return Ok(());
        }
        let source = &world.source;
        prop_assert!(source.sync_flag && source.import_flag && !source.deleted);
        let readable = matches!(source.contacts, Contacts::Readable { .. });
        prop_assert!(source.account.is_some() && readable);
        prop_assert!(source.partner_email.is_some());
        prop_assert!(world.name.is_some() && world.amount.is_some() && world.first_name.is_some());
        prop_assert!(world.stored.link.is_none() && world.stored.tombstone.is_none());
        let owner = &world.users[0];
        prop_assert!(owner.status == UserStatus::Active && owner.may_register_deals);
        let notified = plan.intents.iter().filter(|intent| matches!(intent, Intent::NotifyImported { .. })).count();
        prop_assert_eq!(notified, 1);
    }

    /// The same facts give the same plan; what was planned and applied plans nothing.
    #[test]
    fn planning_is_a_function_and_an_applied_plan_is_done(world in any_world()) {
        let plan = planned(&world);
        prop_assert_eq!(&plan, &planned(&world));
        let Some(Intent::CreateDeal(new)) = plan.intents.first() else { return Ok(()) };
        let mut after = world.clone();
        after.stored.link = Some(Link {
            deal: new.deal,
            object: RemoteObject::Opportunity,
            sf_id: world.source.id,
            state: LinkState::Linked,
            base: new.base.clone(),
            base_source: new.base_source.clone(),
            modstamp: world.source.modstamp,
            owner: new.owner.id(),
        });
        after.answer.findings.clear();
        let again = planned(&after);
        prop_assert_eq!(again.outcome, Outcome::Unchanged);
        prop_assert!(again.intents.is_empty());
    }

    /// An update brings the deal to Salesforce's values, contact names excepted (S52).
    #[test]
    fn an_update_takes_what_changed_and_leaves_contact_names(world in any_world()) {
        let plan = planned(&world);
        for intent in &plan.intents {
            let Intent::UpdateDeal(update) = intent else { continue };
            let fields = decode_row(&update.fields);
            prop_assert_eq!(&fields["stage"], "Open");
            for change in &update.changes {
                prop_assert!(!deal::CREATE_ONLY.contains(&change.field.as_str()));
            }
        }
    }
}
