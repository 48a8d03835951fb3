//! The folder, its files, and what happens when one of them is not as it should be.

use super::*;

#[tokio::test]
async fn a_folder_belongs_to_one_process_at_a_time() {
    let bench = bench().await;
    let error = Store::open(bench.folder.path(), key()).unwrap_err();
    let OpenError::InUse { pid, .. } = &error else { panic!("{error}") };
    assert_eq!(*pid, Some(std::process::id()));
    let folder = bench.folder;
    drop((bench.tenant, bench.store));
    Store::open(folder.path(), key()).expect("it was let go");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let bench = bench().await;
    let folder = bench.folder;
    drop((bench.tenant, bench.store));
    let file = folder.path().join("tenants/acme.db");
    let newer = Connection::open(&file).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let store = Store::open(folder.path(), key()).unwrap();
    let error = store.tenant(&tenant_id("acme")).await.unwrap_err();
    assert!(matches!(error, StoreError::Open(OpenError::NewerSchema { found: 99, .. })), "{error}");
    assert!(error.to_string().contains("use the newer program"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_or_another_tenants_is_refused() {
    let bench = bench().await;
    let globex = tenant_id("globex");
    bench.store.create_tenant(&globex, S).await.unwrap();
    let folder = bench.folder;
    drop((bench.tenant, bench.store));
    let (acme, other) = (folder.path().join("tenants/acme.db"), folder.path().join("tenants/globex.db"));
    std::fs::copy(&acme, &other).unwrap();
    std::fs::write(&acme, "this is no database, but long enough to look like one".repeat(40)).unwrap();
    let store = Store::open(folder.path(), key()).unwrap();
    let error = store.tenant(&globex).await.unwrap_err();
    assert!(error.to_string().contains("belongs to tenant acme"), "{error}");
    let error = store.tenant(&tenant_id("acme")).await.unwrap_err();
    assert!(matches!(error, StoreError::Open(OpenError::Corrupt { .. })), "{error}");
}

#[tokio::test]
async fn an_unknown_tenant_is_answered_with_the_one_that_was_meant() {
    let bench = bench().await;
    let error = bench.store.tenant(&tenant_id("acm")).await.unwrap_err();
    assert_eq!(error.to_string(), r#"there is no tenant "acm"; did you mean "acme"?"#);
    assert!(matches!(
        bench.store.create_tenant(&tenant_id("acme"), S).await,
        Err(StoreError::TenantExists(_))
    ));
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_for_those_who_still_hold_it() {
    let bench = bench().await;
    bench.store.delete_tenant(&tenant_id("acme")).await.unwrap();
    assert!(matches!(bench.tenant.lanes().await, Err(StoreError::NoSuchTenant { .. })));
    assert!(bench.store.tenants().await.unwrap().is_empty());
    let left: Vec<_> = std::fs::read_dir(bench.folder.path().join("tenants")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    bench.store.create_tenant(&tenant_id("acme"), S).await.expect("the name is free again");
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_undone_at_the_next_start() {
    let bench = bench().await;
    let folder = bench.folder;
    drop((bench.tenant, bench.store));
    let host = Connection::open(folder.path().join("host.db")).unwrap();
    host.execute("INSERT INTO tenant (id, state, created_at) VALUES ('half', 'creating', 1)", []).unwrap();
    drop(host);
    std::fs::write(folder.path().join("tenants/half.db"), "").unwrap();
    let store = Store::open(folder.path(), key()).unwrap();
    assert!(!folder.path().join("tenants/half.db").exists());
    store.create_tenant(&tenant_id("half"), S).await.expect("nothing is in the way");
    assert_eq!(store.tenants().await.unwrap().len(), 2);
}

#[tokio::test]
async fn two_tenants_with_the_same_salesforce_ids_see_nothing_of_each_other() {
    let bench = bench().await;
    let other = bench.store.create_tenant(&tenant_id("globex"), S).await.unwrap();
    let (lease, _) = set_up(&other).await;
    bench.commit(vec![bench.creation(1).await, parked(2, vec![no_account()])]).await.unwrap();
    let ids = [opportunity(1), opportunity(2)];
    let theirs = other.facts(org(), &ids).await.unwrap();
    assert!(theirs.iter().all(|stored| stored.link.is_none() && stored.set_aside.is_none()));
    assert_eq!(other.deal_count().await.unwrap(), 0);
    assert!(other.outbox_due(99 * S, 10).await.unwrap().is_empty());
    // The very same ids, fences and run ids go into the other file without a clash.
    let page = bench.page(vec![creation(&other, 1).await]);
    other.commit_page(&lease, page).await.unwrap();
    other.remove_deal(DealId(id(10_001)), "Kim", S).await.unwrap();
    assert!(bench.tenant.deal(DealId(id(10_001))).await.is_ok());
}

#[tokio::test]
async fn more_tenants_than_are_kept_open_all_keep_their_data() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), key()).unwrap();
    let first = store.create_tenant(&tenant_id("first"), S).await.unwrap();
    for n in 0..OPEN_TENANTS_MAX.get() + 3 {
        let tenant = store.create_tenant(&tenant_id(&format!("t{n}")), S).await.unwrap();
        tenant.save_settings(&format!("name = {n}"), "test", S).await.unwrap();
    }
    first.save_settings("by the one that fell out", "test", S).await.unwrap();
    let again = store.tenant(&tenant_id("first")).await.unwrap();
    assert!(Arc::ptr_eq(&first.inner, &again.inner), "a file is never open twice");
    let second = store.tenant(&tenant_id("t0")).await.unwrap();
    assert_eq!(second.settings().await.unwrap().unwrap().toml, "name = 0");
}

#[tokio::test]
async fn a_full_disk_undoes_the_page_and_says_so() {
    let bench = bench().await;
    bench.commit(vec![bench.creation(1).await]).await.unwrap();
    limit_pages(&bench.tenant, true).await;
    let mut plans = Vec::new();
    for n in 2..400 {
        plans.push(bench.creation(n).await);
    }
    let error = bench.commit(plans.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(bench.tenant.deal_count().await.unwrap(), 1, "all or nothing");
    limit_pages(&bench.tenant, false).await;
    bench.commit(plans).await.expect("the work goes on once there is space");
    assert_eq!(bench.tenant.deal_count().await.unwrap(), 399);
}

async fn limit_pages(tenant: &TenantStore, limited: bool) {
    tenant
        .on(move |_, connection| {
            let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            let limit = if limited { pages + 4 } else { 1_000_000 };
            connection.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |_| Ok(()))?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_copy_holds_everything_and_opens_as_the_tenants_file() {
    let bench = bench().await;
    bench.commit(vec![bench.creation(1).await]).await.unwrap();
    let copy = bench.folder.path().join("acme-copy.db");
    bench.tenant.copy_to(&copy).await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let store = Store::open(other.path(), key()).unwrap();
    store.create_tenant(&tenant_id("acme"), S).await.unwrap();
    drop(store);
    std::fs::remove_file(other.path().join("tenants/acme.db-wal")).ok();
    std::fs::copy(&copy, other.path().join("tenants/acme.db")).unwrap();
    let store = Store::open(other.path(), key()).unwrap();
    assert_eq!(store.tenant(&tenant_id("acme")).await.unwrap().deal_count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_secret_comes_back_and_lies_sealed_in_the_file() {
    let bench = bench().await;
    bench.tenant.put_secret("refresh_token", "5Aep861TSESvWeug").await.unwrap();
    assert_eq!(bench.tenant.secret("refresh_token").await.unwrap().unwrap(), "5Aep861TSESvWeug");
    assert_eq!(bench.tenant.secret("client_secret").await.unwrap(), None);
    let folder = bench.folder;
    drop((bench.tenant, bench.store));
    for name in ["acme.db", "acme.db-wal"] {
        let bytes = std::fs::read(folder.path().join("tenants").join(name)).unwrap_or_default();
        assert!(!contains(&bytes, b"5Aep861TSESvWeug"), "{name}");
    }
    let store = Store::open(folder.path(), HostKey::new(&[8; 32])).unwrap();
    let tenant = store.tenant(&tenant_id("acme")).await.unwrap();
    let error = tenant.secret("refresh_token").await.unwrap_err();
    assert!(error.to_string().contains("sealed with another key"), "{error}");
    tenant.put_secret("refresh_token", "anew").await.expect("it can be entered again");
    assert!(tenant.delete_secret("refresh_token").await.unwrap());
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn settings_keep_their_history_and_the_same_text_makes_none() {
    let bench = bench().await;
    assert_eq!(bench.tenant.settings().await.unwrap(), None);
    let first = bench.tenant.save_settings("a = 1", "Dana", S).await.unwrap();
    assert_eq!(bench.tenant.save_settings("a = 1", "Kim", 2 * S).await.unwrap(), first);
    bench.tenant.save_settings("a = 2", "Kim", 3 * S).await.unwrap();
    let history = bench.tenant.settings_history().await.unwrap();
    let told: Vec<_> = history.iter().map(|saved| (saved.toml.as_str(), saved.actor.as_str())).collect();
    assert_eq!(told, [("a = 2", "Kim"), ("a = 1", "Dana")]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(Path::new(&file), key()).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_is_remembered_with_its_describes() {
    let bench = bench().await;
    assert_eq!(bench.tenant.connection("prod").await.unwrap(), ConnectionState::default());
    let state = ConnectionState { org: Some(org()), ..ConnectionState::default() };
    bench.tenant.save_connection("prod", state.clone()).await.unwrap();
    assert_eq!(bench.tenant.connection("prod").await.unwrap(), state);
    let cache = DescribeCache { fetched_at: S, json: "{}".to_owned() };
    bench.tenant.save_describe("prod", "Opportunity", cache.clone()).await.unwrap();
    assert_eq!(bench.tenant.describe("prod", "Opportunity").await.unwrap(), Some(cache));
    bench.tenant.forget_describes("prod").await.unwrap();
    assert_eq!(bench.tenant.describe("prod", "Opportunity").await.unwrap(), None);
}

#[tokio::test]
async fn a_status_row_tells_when_a_tenant_is_due() {
    let bench = bench().await;
    bench.store.set_status(&tenant_id("acme"), Some(7), None, "ok").await.unwrap();
    let tenants = bench.store.tenants().await.unwrap();
    assert_eq!((tenants[0].next_due, tenants[0].health.as_str()), (Some(7), "ok"));
}
