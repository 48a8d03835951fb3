//! Tenants side by side: nothing of one shows in another, and what breaks in one
//! leaves the others as they were.

use dealsync::run::{Kind, Request};
use dealsync_core::ids::{SfId, TenantId, UserId};
use dealsync_core::people::UserStatus;
use dealsync_tests::{ACME, World, guest, opportunity, partner};
use serde_json::json;
use uuid::Uuid;

/// The same settings for another tenant.
fn bravo() -> String {
    ACME.replace("id = \"acme\"", "id = \"bravo\"").replace("Acme Corporation", "Bravo Industries")
}

fn with_mischief(toml: &str, configure: &str) -> String {
    let settings = format!("settings = {{ configure = {configure:?} }}");
    format!("{toml}\n[[rules]]\nname = \"mischief\"\ncomponent = \"mischief.wasm\"\n{settings}\n")
}

/// A world whose second tenant is `bravo`, with the same users; `acme` is at hand.
async fn both() -> (World, TenantId, TenantId) {
    let mut world = World::new().await;
    let (acme, bravo_id): (TenantId, TenantId) = (world.tenant.clone(), "bravo".parse().expect("a name"));
    world.apply(&bravo()).await.expect("settings");
    world.tenant = bravo_id.clone();
    world.users([partner("dana@partner.example")]).await;
    world.tenant = acme.clone();
    (world, acme, bravo_id)
}

async fn full(world: &mut World, tenant: &TenantId) -> dealsync::run::Counts {
    let before = std::mem::replace(&mut world.tenant, tenant.clone());
    let report = world.run(Request::manual(Kind::Full)).await.expect("a run");
    world.tenant = before;
    report.counts
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_fed_identical_ids_see_nothing_of_each_other() {
    let (mut world, acme, bravo) = both().await;
    let kept = world.has(opportunity("Globex Renewal"));
    world.has(opportunity("Initech Rollout").partner("eve@partner.example"));
    assert_eq!(full(&mut world, &acme).await.created, 1);
    let untouched = world.snapshot_of(&bravo).await;
    assert!(!untouched.contains("Globex"), "{untouched}");

    assert_eq!(full(&mut world, &bravo).await.created, 1);
    let (in_acme, in_bravo) = (world.snapshot_of(&acme).await, world.snapshot_of(&bravo).await);
    assert_eq!(in_acme, in_bravo, "the same records make the same of themselves");

    // What one tenant does and takes in is not seen by the other.
    world.org().update("Opportunity", kept, json!({ "Amount": 1 })).expect("an edit");
    assert_eq!(full(&mut world, &acme).await.updated, 1);
    assert_ne!(world.snapshot_of(&acme).await, in_acme);
    assert_eq!(world.snapshot_of(&bravo).await, in_bravo);
    let now = world.app().clock().now_micros();
    let store = world.store().await;
    store.set_user_status("dana@partner.example", UserStatus::Disabled, now).await.expect("a user");
    let other = world.app().store().tenant(&bravo).await.expect("the tenant");
    assert_eq!(other.user("dana@partner.example").await.expect("a user").status, UserStatus::Active);
    assert_ne!(deal(&world, &acme, kept).await, deal(&world, &bravo, kept).await, "two deals, two ids");

    // Nor is its end.
    let in_acme = world.snapshot_of(&acme).await;
    world.app().store().delete_tenant(&bravo).await.expect("a deletion");
    assert_eq!(world.snapshot_of(&acme).await, in_acme);
    let gone = world.app().store().tenant(&bravo).await.expect_err("it is gone");
    assert!(gone.to_string().contains("bravo"), "{gone}");
}

async fn deal(world: &World, tenant: &TenantId, record: SfId) -> String {
    let store = world.app().store().tenant(tenant).await.expect("the tenant");
    store.deal_of(record).await.expect("a deal").row.id.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_asking_for_another_tenants_user_finds_nobody() {
    let (mut world, acme, bravo) = both().await;
    let toml = with_mischief(ACME, "nothing");
    world.apply_with(&toml, [("mischief.wasm", guest("mischief"))]).await.expect("settings");
    // The very user that the rule names, at the other tenant.
    let named = "00000000-0000-7000-8000-000000000666".parse::<Uuid>().expect("an id");
    let mut somebody = partner("mallory@partner.example").0;
    somebody.id = UserId(named);
    let other = world.app().store().tenant(&bravo).await.expect("the tenant");
    other.import_users(vec![somebody], world.app().clock().now_micros()).await.expect("users");

    world.has(opportunity("owner of another tenant"));
    world.has(opportunity("Globex Renewal"));
    let counts = full(&mut world, &acme).await;
    assert_eq!((counts.created, counts.parked), (1, 1), "{counts:?}");
    let snapshot = world.snapshot_of(&acme).await;
    assert!(!snapshot.contains("mallory"), "{snapshot}");
    assert!(snapshot.contains("deal 006") && snapshot.contains("Globex Renewal"), "{snapshot}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_broken_component_leaves_others_running() {
    let (mut world, acme, bravo_id) = both().await;
    world.has(opportunity("Globex Renewal"));
    for configure in ["panic", "loop forever", "recurse", "hog memory", "refuse"] {
        let toml = with_mischief(&bravo(), configure);
        world.apply_with(&toml, [("mischief.wasm", guest("mischief"))]).await.expect("settings");
        world.tenant = bravo_id.clone();
        let failed = world.run(Request::manual(Kind::Full)).await.expect_err(configure);
        assert_eq!(failed.message, "the rules do not accept their settings", "{configure}");
        assert!(failed.hints.iter().any(|hint| hint.starts_with("mischief")), "{failed:?}");
        world.tenant = acme.clone();
        full(&mut world, &acme).await;
    }
    assert!(world.snapshot_of(&acme).await.contains("Globex Renewal"));
    assert!(!world.snapshot_of(&bravo_id).await.contains("deal "), "nothing was pulled");
    // And it goes on as soon as its settings are right again.
    world.apply(&bravo()).await.expect("settings");
    assert_eq!(full(&mut world, &bravo_id).await.created, 1);
}
