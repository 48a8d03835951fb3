//! Importing users, and looking them up.

use super::*;

fn named(n: u32, email: &str, external_id: Option<&str>) -> NewUser {
    NewUser { external_id: external_id.map(str::to_owned), ..user(n, email) }
}

async fn emails(tenant: &TenantStore) -> Vec<String> {
    let users = tenant.users(UserFilter::default()).await.unwrap();
    users.into_iter().map(|user| user.email).collect()
}

#[tokio::test]
async fn the_same_file_twice_changes_nothing() {
    let bench = bench().await;
    let file = vec![user(50, "lee@acme.example"), named(51, "ray@acme.example", Some("E1"))];
    let first = bench.tenant.import_users(file.clone(), S).await.unwrap();
    assert_eq!((first.created, first.unchanged), (2, 0));
    let again = bench.tenant.import_users(file, S).await.unwrap();
    assert_eq!((again.created, again.updated, again.unchanged), (0, 0, 2));
}

#[tokio::test]
async fn a_user_is_known_by_external_id_then_by_address_and_type() {
    let bench = bench().await;
    bench.tenant.import_users(vec![named(50, "lee@acme.example", Some("E1"))], S).await.unwrap();
    let moved =
        bench.tenant.import_users(vec![named(51, "lee@globex.example", Some("E1"))], S).await.unwrap();
    assert_eq!((moved.created, moved.updated), (0, 1));
    let upper = NewUser { group: "Gold".into(), ..user(52, "Lee@Globex.example") };
    assert_eq!(bench.tenant.import_users(vec![upper], S).await.unwrap().updated, 1);
    let known = bench.tenant.user("lee@globex.example").await.unwrap();
    assert_eq!(
        (known.id, known.external_id.as_deref(), known.group.as_str()),
        (UserId(id(50)), Some("E1"), "Gold")
    );
    let other_type = NewUser { kind: UserKind::Distributor, ..user(53, "lee@globex.example") };
    let imported = bench.tenant.import_users(vec![other_type], S).await.unwrap();
    assert_eq!(imported.created, 1);
    assert_eq!(imported.duplicates, [("lee@globex.example".to_owned(), 2)]);
}

#[tokio::test]
async fn duplicate_addresses_are_kept_flagged_and_stay_two_on_the_next_import() {
    let bench = bench().await;
    let file = vec![user(50, "twin@acme.example"), user(51, "twin@acme.example")];
    let imported = bench.tenant.import_users(file.clone(), S).await.unwrap();
    assert_eq!((imported.created, imported.duplicates.len()), (2, 1));
    let again = bench.tenant.import_users(file, S).await.unwrap();
    assert_eq!((again.created, again.unchanged), (0, 2));
    let error = bench.tenant.set_user_status("twin@acme.example", UserStatus::Disabled, S).await.unwrap_err();
    assert!(matches!(error, StoreError::Several { count: 2, .. }), "{error}");
    bench.tenant.set_user_status(&id(50).to_string(), UserStatus::Disabled, S).await.expect("by its id");
}

#[tokio::test]
async fn an_import_with_a_mistake_imports_nobody() {
    let bench = bench().await;
    let before = emails(&bench.tenant).await;
    let file = vec![named(50, "a@acme.example", Some("E1")), named(51, "b@acme.example", Some("E1"))];
    let error = bench.tenant.import_users(file, S).await.unwrap_err();
    assert!(error.to_string().contains("\"E1\""), "{error}");
    assert_eq!(emails(&bench.tenant).await, before);
}

#[tokio::test]
async fn a_directory_answers_by_every_key_and_knows_what_was_meant() {
    let bench = bench().await;
    bench.tenant.import_users(vec![named(50, "lee@globex.example", Some("E1"))], S).await.unwrap();
    let directory = bench.tenant.directory().await.unwrap();
    assert_eq!(directory.by_email(" DANA@acme.example ").len(), 1);
    assert_eq!(directory.by_external_id("E1")[0].id, UserId(id(50)));
    assert_eq!(directory.by_organisation("  ACME ").len(), 3);
    assert_eq!(directory.by_organisation("").len(), 0);
    assert_eq!(directory.by_domain("acme.example").len(), 2);
    assert_eq!(directory.by_id(UserId(id(1))).unwrap().email, "dana@acme.example");
    for typo in ["dnaa@acme.example", "dana@acme.exampel", "dana@acmee.example"] {
        assert_eq!(directory.like_email(typo), ["dana@acme.example"], "{typo}");
    }
    assert!(directory.like_email("somebody@else.example").is_empty());
    assert!(directory.like_email("no address").is_empty());
}

#[tokio::test]
async fn a_directory_is_as_of_when_it_was_asked_for() {
    let bench = bench().await;
    let before = bench.tenant.directory().await.unwrap();
    assert!(Arc::ptr_eq(&before, &bench.tenant.directory().await.unwrap()), "made once");
    bench.tenant.set_user_status("dana@acme.example", UserStatus::Disabled, S).await.unwrap();
    assert_eq!(before.by_domain("acme.example").len(), 2, "pinned for its run");
    let after = bench.tenant.directory().await.unwrap();
    assert_eq!(after.by_domain("acme.example").len(), 1);
    let error = bench.tenant.user("dan@acme.example").await.unwrap_err();
    assert!(error.to_string().contains("dana@acme.example"), "{error}");
    let disabled = UserFilter { status: Some(UserStatus::Disabled), ..UserFilter::default() };
    assert_eq!(bench.tenant.users(disabled).await.unwrap().len(), 1);
}
