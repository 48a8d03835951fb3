//! Who owns an imported deal, by the decision table and whatever a rule says.

use dealsync::run::Report;
use dealsync_core::answers::Assignment;
use dealsync_core::ids::SfId;
use dealsync_core::people::{UserKind, UserStatus};
use dealsync_tests::{ACME, Person, World, distributor, guest, opportunity, partner};
use expect_test::{Expect, expect};

const DANA: &str = "dana@partner.example";
const DION: &str = "dion@distributor.example";

/// [`ACME`] without the Distributor module.
fn module_off() -> String {
    let toml = ACME.replace("[distributor_module]\nenabled = true", "[distributor_module]\nenabled = false");
    toml.replace("distributor_email = \"Portal_Distributor_Email__c\"\n", "")
}

fn partner_optional() -> String {
    ACME.replace("enabled = true", "enabled = true\npartner_optional = true")
}

/// Settings with the misbehaving rules after the shipped ones.
fn with_mischief(toml: &str) -> String {
    format!("{toml}\n[[rules]]\nname = \"mischief\"\ncomponent = \"mischief.wasm\"\nversion = \"1.0.0\"\n")
}

/// What became of a record: who is on the deal and what was said beside it, or the
/// code it is set aside for.
async fn decision(world: &World, id: SfId) -> String {
    if let Some(aside) = world.aside(id).await {
        return aside.code.name().to_owned();
    }
    let row = world.deal(id).await.row;
    let who = |email: &str| if email == DANA { "partner" } else { "distributor" };
    let mut text = format!("{} owns", who(&row.owner.email));
    for (role, named) in [("partner", &row.partner), ("distributor", &row.distributor)] {
        if let Some(named) = named {
            assert_eq!(who(&named.email), role);
            text.push_str(&format!(", {role} recorded"));
        }
    }
    for entry in world.log_of(id).await {
        text.push_str(&format!(", {} {}", entry.level.name(), entry.code));
    }
    text
}

const ANY: &str = "any";

/// The owner decision table: module, owner type, partner address, distributor
/// address, result. The first row that fits counts. `wrong` is an address nobody has.
const TABLE: &[(&str, &str, &str, &str, &str)] = &[
    ("off", ANY, "blank", ANY, "PARTNER_EMAIL_BLANK"),
    ("off", ANY, "wrong", ANY, "PARTNER_USER_UNKNOWN"),
    ("off", "Distributor-owned", "valid", ANY, "partner owns, partner recorded, info DIST_MODULE_OFF"),
    ("off", ANY, "valid", ANY, "partner owns, partner recorded"),
    (ANY, "Nobody-owned", ANY, ANY, "OWNER_TYPE_UNKNOWN"),
    (ANY, "Distributor-owned", ANY, "blank", "DIST_EMAIL_BLANK"),
    (ANY, "Distributor-owned", ANY, "wrong", "DIST_USER_UNKNOWN"),
    (ANY, "Distributor-owned", "wrong", "valid", "PARTNER_USER_UNKNOWN"),
    (ANY, "Distributor-owned", "valid", "valid", "distributor owns, partner recorded, distributor recorded"),
    ("optional", "Distributor-owned", "blank", "valid", "distributor owns, distributor recorded"),
    ("on", "Distributor-owned", "blank", "valid", "PARTNER_REQUIRED_FOR_DIST"),
    (ANY, ANY, "blank", ANY, "PARTNER_EMAIL_BLANK"),
    (ANY, ANY, "wrong", ANY, "PARTNER_USER_UNKNOWN"),
    (ANY, ANY, "valid", "blank", "partner owns, partner recorded"),
    (ANY, ANY, "valid", "valid", "partner owns, partner recorded, distributor recorded"),
    (ANY, ANY, "valid", "wrong", "partner owns, partner recorded, warning DIST_USER_UNKNOWN"),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_decision_table() {
    let mut used = vec![false; TABLE.len()];
    for (module, toml) in [("off", module_off()), ("on", ACME.to_owned()), ("optional", partner_optional())] {
        let world = World::with(&toml).await;
        world.users([distributor(DION)]).await;
        let mut cases = Vec::new();
        for owner_type in ["", "Partner-owned", "Distributor-owned", "Nobody-owned"] {
            for partner in ["valid", "blank", "wrong"] {
                for distributor in ["valid", "blank", "wrong"] {
                    let address = |state, valid| match state {
                        "valid" => valid,
                        "blank" => "",
                        _ => "somebody@nowhere.example",
                    };
                    let id = world.has(
                        opportunity(&format!("{owner_type} {partner} {distributor}"))
                            .owner_type(owner_type)
                            .partner(address(partner, DANA))
                            .distributor(address(distributor, DION)),
                    );
                    cases.push((id, owner_type, partner, distributor));
                }
            }
        }
        world.full().await;
        for (id, owner_type, partner, distributor) in cases {
            let fits = |pattern, value| pattern == ANY || pattern == value;
            let row = TABLE
                .iter()
                .position(|row| {
                    fits(row.0, module)
                        && fits(row.1, owner_type)
                        && fits(row.2, partner)
                        && fits(row.3, distributor)
                })
                .expect("the table is whole");
            used[row] = true;
            let found = decision(&world, id).await;
            assert_eq!(found, TABLE[row].4, "module {module}, type {owner_type:?}, {partner}, {distributor}");
        }
    }
    assert!(used.iter().all(|used| *used), "each row of the table decides something: {used:?}");
}

/// Imports one record and returns what is said of it.
async fn said(people: impl IntoIterator<Item = Person>, record: dealsync_tests::Opportunity) -> String {
    let world = World::new().await;
    world.users(people).await;
    let id = world.has(record);
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.parked), (0, 1), "{:?}", report.counts);
    let aside = world.aside(id).await.expect("set aside");
    let said = world.said_of(id).await;
    assert!(said.contains(aside.code.name()), "{said}");
    said
}

async fn expect_said(
    people: impl IntoIterator<Item = Person>,
    record: dealsync_tests::Opportunity,
    expected: Expect,
) {
    expected.assert_eq(&said(people, record).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blank_partner_email_is_parked_and_the_field_is_named() {
    let mut all = String::new();
    for blank in ["", "   "] {
        all += &said([], opportunity("Renewal").partner(blank)).await;
    }
    expect![[r#"
        error PARTNER_EMAIL_BLANK | The field Portal Partner Email is empty, so no owner is known. | Enter the partner user's email in Portal Partner Email.
        error PARTNER_EMAIL_BLANK | The field Portal Partner Email is empty, so no owner is known. | Enter the partner user's email in Portal Partner Email.
    "#]].assert_eq(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_no_address_is_parked() {
    let world = World::new().await;
    let texts = [
        "dana@partner.example; kim@partner.example",
        "dana at partner",
        "@partner.example",
        "dana@",
        "dana@partner",
    ];
    for text in texts {
        world.has(opportunity(text).partner(text));
    }
    let report = world.full().await;
    assert_eq!(report.counts.reasons, [("PARTNER_EMAIL_INVALID".to_owned(), texts.len() as u64)].into());
    expect![[r#"
        log error PARTNER_EMAIL_INVALID 006Hs0000004C93IAE dana@partner.example; kim@partner.example: "dana@partner.example; kim@partner.example" is not an email address.
        log error PARTNER_EMAIL_INVALID 006Hs0000004C94IAE dana at partner: "dana at partner" is not an email address.
        log error PARTNER_EMAIL_INVALID 006Hs0000004C95IAE @partner.example: "@partner.example" is not an email address.
        log error PARTNER_EMAIL_INVALID 006Hs0000004C96IAE dana@: "dana@" is not an email address.
        log error PARTNER_EMAIL_INVALID 006Hs0000004C97IAE dana@partner: "dana@partner" is not an email address.
        outbox OutboxCounts { pending: 0, sent: 0, failed: 0, next_due: None }
        parked 006Hs0000004C93IAE dana@partner.example; kim@partner.example PARTNER_EMAIL_INVALID
        parked 006Hs0000004C94IAE dana at partner PARTNER_EMAIL_INVALID
        parked 006Hs0000004C95IAE @partner.example PARTNER_EMAIL_INVALID
        parked 006Hs0000004C96IAE dana@ PARTNER_EMAIL_INVALID
        parked 006Hs0000004C97IAE dana@partner PARTNER_EMAIL_INVALID
    "#]].assert_eq(&world.snapshot().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partner_must_be_active() {
    let mut all = String::new();
    for status in [UserStatus::Pending, UserStatus::Inactive, UserStatus::Disabled] {
        let people = [partner("kim@partner.example").status(status)];
        all += &said(people, opportunity("Renewal").partner("kim@partner.example")).await;
    }
    expect![[r#"
        error PARTNER_USER_NOT_ACTIVE | kim@partner.example exists but is pending. | Re-send the invitation.
        error PARTNER_USER_NOT_ACTIVE | kim@partner.example exists but is inactive. | Reactivate Partner Ltd.
        error PARTNER_USER_NOT_ACTIVE | kim@partner.example exists but is disabled. | Enable the user.
    "#]]
    .assert_eq(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partner_must_be_a_partner_user() {
    let mut all = String::new();
    for kind in [UserKind::Internal, UserKind::Distributor] {
        let people = [partner("kim@partner.example").kind(kind)];
        all += &said(people, opportunity("Renewal").partner("kim@partner.example")).await;
    }
    expect![[r#"
        error PARTNER_USER_WRONG_TYPE | kim@partner.example is an internal user; a Partner user is needed. | Use a partner user.
        error PARTNER_USER_WRONG_TYPE | kim@partner.example is a distributor user; a Partner user is needed. | Use a partner user, or set Deal Owner Type to Distributor-owned.
    "#]].assert_eq(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_partner_needs_the_permission() {
    let people = [partner("kim@partner.example").without_permission()];
    expect_said(people, opportunity("Renewal").partner("kim@partner.example"), expect![[r#"
        error PARTNER_USER_NO_PERMISSION | kim@partner.example may not own deals: group Partner Sales lacks Deal Registration. | Give the group the permission or move the user.
    "#]]).await;
}

fn for_the_distributor() -> dealsync_tests::Opportunity {
    opportunity("Renewal").owner_type("Distributor-owned").distributor(DION)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_distributor_must_be_active() {
    let mut all = String::new();
    for status in [UserStatus::Pending, UserStatus::Inactive, UserStatus::Disabled] {
        all += &said([distributor(DION).status(status)], for_the_distributor()).await;
    }
    expect![[r#"
        error DIST_USER_NOT_ACTIVE | dion@distributor.example exists but is pending. | Re-send the invitation.
        error DIST_USER_NOT_ACTIVE | dion@distributor.example exists but is inactive. | Reactivate Distributor Ltd.
        error DIST_USER_NOT_ACTIVE | dion@distributor.example exists but is disabled. | Enable the user.
    "#]].assert_eq(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_distributor_must_be_a_distributor_user() {
    let mut all = String::new();
    for kind in [UserKind::Internal, UserKind::Partner] {
        all += &said([distributor(DION).kind(kind)], for_the_distributor()).await;
    }
    expect![[r#"
        error DIST_USER_WRONG_TYPE | dion@distributor.example is an internal user; a Distributor user is needed. | Use a distributor user.
        error DIST_USER_WRONG_TYPE | dion@distributor.example is a partner user; a Distributor user is needed. | Use a distributor user, or set Deal Owner Type to Partner-owned.
    "#]].assert_eq(&all);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_distributor_needs_the_permission() {
    expect_said([distributor(DION).without_permission()], for_the_distributor(), expect![[r#"
        error DIST_USER_NO_PERMISSION | dion@distributor.example may not own deals: group Partner Sales lacks Deal Registration. | Give the group the permission or move the user.
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_answered_with_close_matches() {
    let said = said([], opportunity("Renewal").partner("dan@partner.example")).await;
    assert!(said.contains("Close matches: dana@partner.example."), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_with_one_address_are_ambiguous() {
    let people =
        [partner("kim@partner.example").external_id("1"), partner("KIM@partner.example").external_id("2")];
    expect_said(
        people,
        opportunity("Renewal").partner("kim@partner.example"),
        expect![[r#"
        error PARTNER_USER_AMBIGUOUS | 2 users have kim@partner.example. | Merge or disable the extra users.
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_twin_does_not_stand_in_the_way() {
    let world = World::new().await;
    world
        .users([
            partner("kim@partner.example").external_id("1"),
            partner("kim@partner.example").external_id("2").status(UserStatus::Disabled),
        ])
        .await;
    let id = world.has(opportunity("Renewal").partner("kim@partner.example"));
    world.full().await;
    assert_eq!(world.deal(id).await.row.owner.email, "kim@partner.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_compared_trimmed_and_without_case() {
    let world = World::new().await;
    world.users([partner("Kim.Ångström@Partner.Example")]).await;
    let plain = world.has(opportunity("Plain").partner("  DANA@Partner.EXAMPLE "));
    let other = world.has(opportunity("Other").partner("kim.ÅNGSTRÖM@partner.example"));
    assert_eq!(world.full().await.counts.created, 2);
    assert_eq!(world.deal(plain).await.row.owner.email, DANA);
    assert_eq!(world.deal(other).await.row.owner.email, "Kim.Ångström@Partner.Example");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_owner_type_field_the_partner_owns() {
    let world = World::with(&ACME.replace("owner_type = \"Deal_Owner_Type__c\"\n", "")).await;
    world.users([distributor(DION)]).await;
    let id = world.has(for_the_distributor());
    world.full().await;
    assert_eq!(decision(&world, id).await, "partner owns, partner recorded, distributor recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_owner_type_is_never_guessed() {
    let world = World::new().await;
    world.users([distributor(DION)]).await;
    let odd = world.has(for_the_distributor().owner_type("Distributor"));
    let same = world.has(for_the_distributor().owner_type("distributor-OWNED "));
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.parked), (1, 1));
    assert_eq!(world.deal(same).await.row.owner.email, DION);
    expect![[r#"
        error OWNER_TYPE_UNKNOWN | "Distributor" is not an owner type. | Use Partner-owned or Distributor-owned.
    "#]].assert_eq(&world.said_of(odd).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distributor_owned_deal_records_its_partner() {
    let world = World::new().await;
    world.users([distributor(DION)]).await;
    let id = world.has(for_the_distributor());
    world.full().await;
    let row = world.deal(id).await.row;
    assert_eq!(row.owner.email, DION);
    assert_eq!(row.distributor.expect("the owner").email, DION);
    assert_eq!(row.partner.expect("the partner").email, DANA);
    assert_eq!(world.rows("SELECT email FROM account JOIN user ON user.id = owner"), [DION]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_module_the_owner_type_is_ignored_and_said_so() {
    let world = World::with(&module_off()).await;
    world.users([distributor(DION)]).await;
    let id = world.has(for_the_distributor());
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(decision(&world, id).await, "partner owns, partner recorded, info DIST_MODULE_OFF");
    expect![[r#"
        info DIST_MODULE_OFF | Imported for the partner: Owner type is Distributor-owned but the Distributor module is off. | Enable the module, or change the value.
    "#]].assert_eq(&world.said_of(id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_may_be_optional_for_a_distributor_owned_deal() {
    let world = World::with(&partner_optional()).await;
    world.users([distributor(DION)]).await;
    let id = world.has(for_the_distributor().partner(""));
    assert_eq!(world.full().await.counts.created, 1);
    assert_eq!(decision(&world, id).await, "distributor owns, distributor recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filled_partner_email_must_be_right_even_where_optional() {
    let world = World::with(&partner_optional()).await;
    world.users([distributor(DION), partner("kim@partner.example").status(UserStatus::Pending)]).await;
    let unknown = world.has(for_the_distributor().partner("dan@partner.example"));
    let pending = world.has(for_the_distributor().partner("kim@partner.example"));
    let no_address = world.has(for_the_distributor().partner("dana"));
    assert_eq!(world.full().await.counts.parked, 3);
    assert_eq!(decision(&world, unknown).await, "PARTNER_USER_UNKNOWN");
    assert_eq!(decision(&world, pending).await, "PARTNER_USER_NOT_ACTIVE");
    assert_eq!(decision(&world, no_address).await, "PARTNER_EMAIL_INVALID");
}

/// Runs records whose rule names these owners, each under the name of the case.
async fn rule_says(world: &World, toml: &str, owners: &[String]) -> (Report, Vec<SfId>) {
    world.apply_with(&with_mischief(toml), [("mischief.wasm", guest("mischief"))]).await.expect("settings");
    let ids = owners.iter().map(|id| world.has(opportunity(&format!("owner is {id}")))).collect();
    (world.full().await, ids)
}

async fn user_id(world: &World, email: &str) -> String {
    world.store().await.user(email).await.expect("a user").id.0.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_can_make_a_deal_without_an_owner() {
    let world = World::new().await;
    let other: dealsync_core::ids::TenantId = "globex".parse().expect("a name");
    world.apply(&ACME.replace("\"acme\"", "\"globex\"")).await.expect("another tenant");
    let elsewhere = world.app().store().tenant(&other).await.expect("the other tenant");
    let Person(stranger) = partner("stranger@globex.example");
    let stranger =
        dealsync::store::NewUser { id: dealsync_core::ids::UserId(world.app().fresh_id()), ..stranger };
    elsewhere.import_users(vec![stranger.clone()], 0).await.expect("users");
    world
        .users([
            partner("internal@acme.example").kind(UserKind::Internal),
            partner("disabled@partner.example").status(UserStatus::Disabled),
            partner("pending@partner.example").status(UserStatus::Pending),
            partner("group@partner.example").without_permission(),
        ])
        .await;
    let mut owners = vec![
        "".to_owned(),
        "nobody".to_owned(),
        DANA.to_owned(),
        "00000000-0000-7000-8000-000000000666".to_owned(),
        stranger.id.0.to_string(),
    ];
    for email in [
        "internal@acme.example",
        "disabled@partner.example",
        "pending@partner.example",
        "group@partner.example",
    ] {
        owners.push(user_id(&world, email).await);
    }
    let (report, ids) = rule_says(&world, ACME, &owners).await;
    assert_eq!(report.counts.created, 0, "{:?}", report.counts);
    assert!(world.rows("SELECT id FROM deal").is_empty());
    assert!(world.rows("SELECT id FROM account UNION SELECT id FROM contact").is_empty());
    let mut codes = Vec::new();
    for id in ids {
        codes.push(decision(&world, id).await);
    }
    expect![[r#"
        TENANT_RULE_CRASHED
        TENANT_RULE_CRASHED
        TENANT_RULE_CRASHED
        TENANT_RULE_CRASHED
        TENANT_RULE_CRASHED
        PARTNER_USER_WRONG_TYPE
        PARTNER_USER_NOT_ACTIVE
        PARTNER_USER_NOT_ACTIVE
        PARTNER_USER_NO_PERMISSION"#]]
    .assert_eq(&codes.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_can_give_a_deal_to_a_distributor_without_the_module() {
    let off = World::with(&module_off()).await;
    off.users([distributor(DION)]).await;
    let owner = user_id(&off, DION).await;
    let (report, _) = rule_says(&off, &module_off(), &[owner]).await;
    assert_eq!((report.counts.created, report.counts.parked), (0, 1), "{:?}", report.counts);

    let on = World::new().await;
    on.users([distributor(DION)]).await;
    let owner = user_id(&on, DION).await;
    let (report, ids) = rule_says(&on, ACME, &[owner]).await;
    assert_eq!(report.counts.created, 1, "with the module a rule may: {:?}", report.counts);
    assert_eq!(on.deal(ids[0]).await.row.owner.email, DION);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_type_can_be_mapped_onto_the_deal() {
    let mapping = "\n[[mapping]]\nto = \"deal_owner_type\"\nfrom = \"Deal_Owner_Type__c\"\n";
    let world = World::with(&format!("{ACME}{mapping}")).await;
    world.users([distributor(DION)]).await;
    let id = world.has(for_the_distributor());
    let blank = world.has(opportunity("Blank"));
    assert_eq!(world.full().await.counts.created, 2);
    assert_eq!(world.deal(id).await.row.fields["deal_owner_type"], "Distributor-owned");
    assert_eq!(world.deal(blank).await.row.fields.get("deal_owner_type"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_address_never_re_owns_by_itself() {
    let world = World::new().await;
    world.users([partner("kim@partner.example")]).await;
    let id = world.has(opportunity("Renewal"));
    world.full().await;
    let edit = serde_json::json!({ "Portal_Partner_Email__c": "kim@partner.example" });
    world.org().update("Opportunity", id, edit).expect("an edit");
    world.incremental().await;
    world.full().await;
    let view = world.deal(id).await;
    assert_eq!(view.row.owner.email, DANA);
    expect![[r#"
        info OWNER_EMAIL_CHANGED | Portal Partner Email now says kim@partner.example; the deal stays with dana@partner.example. | Give the deal to the other user if that is meant.
    "#]].assert_eq(&world.said_of(id).await);
    let log = world.log_of(id).await;
    assert_eq!((log.len(), log[0].seen_count), (1, 1), "said once: {log:?}");

    let store = world.store().await;
    let kim = store.user("kim@partner.example").await.expect("a user");
    let assignment = Assignment { owner: kim.id, partner: Some(kim.id), distributor: None };
    let directory = store.directory().await.expect("users");
    dealsync_core::owner::check_owner(assignment, true, &*directory).expect("kim may own");
    let fresh = dealsync::store::FreshOwner {
        account: dealsync_core::ids::AccountId(world.app().fresh_id()),
        contact: dealsync_core::ids::ContactId(world.app().fresh_id()),
    };
    store.reown(view.row.id, kim.id, fresh, "pat", world.app().clock().now_micros()).await.expect("re-owned");
    assert_eq!(world.deal(id).await.row.owner.email, "kim@partner.example");
    assert_eq!(world.full().await.counts.unchanged, 1);
    assert_eq!(world.deal(id).await.row.owner.email, "kim@partner.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_owner_does_not_stop_updates() {
    let world = World::new().await;
    let id = world.has(opportunity("Renewal"));
    world.full().await;
    world.store().await.set_user_status(DANA, UserStatus::Inactive, 1).await.expect("a status");
    world.org().update("Opportunity", id, serde_json::json!({ "Amount": 20000 })).expect("an edit");
    let report = world.incremental().await;
    assert_eq!((report.counts.updated, report.counts.parked), (1, 0), "{:?}", report.counts);
    assert_eq!(world.deal(id).await.row.fields["amount"], "20000.00");
    expect![[r#"
        info OWNER_NOW_INACTIVE | The owner dana@partner.example is inactive; updates go on. | Give the deal to another user.
    "#]].assert_eq(&world.said_of(id).await);
}
