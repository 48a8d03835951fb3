//! What a page asks, and what it leaves behind.

use super::*;

#[tokio::test]
async fn a_page_leaves_deal_link_account_contact_and_mail() {
    let bench = bench().await;
    let page = PageCommit { cursor: Some("c1".into()), ..bench.page(vec![bench.creation(1).await]) };
    let result = bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    assert_eq!(
        (result.rows, result.created, result.mails, result.sequence),
        (5 + 1, 1, 1, 1),
        "5 rows, 1 org"
    );
    let view = bench.tenant.deal_of(opportunity(1)).await.unwrap();
    assert_eq!(view.row.fields["name"], "Renewal 1");
    assert_eq!(view.row.owner.email, "dana@acme.example");
    assert_eq!(view.row.account.unwrap().name, "Globex 1");
    assert_eq!(view.row.contact.unwrap().name, "Ann Smith");
    assert_eq!((view.row.created_at, view.row.sf_created_at), (10 * S, Some(2 * S)));
    assert_eq!(view.base.unwrap()["amount"], "1.00");
    assert_eq!(view.base_source.unwrap()["Amount"], "1.00");
    let mail = &bench.tenant.outbox_due(10 * S, 9).await.unwrap()[0];
    assert_eq!(mail.message_id, format!("<deal-imported.{}.acme@dealsync>", view.row.id));
    assert_eq!(bench.tenant.lane(LANE).await.unwrap().cursor.as_deref(), Some("c1"));
    let run = bench.tenant.run(bench.run).await.unwrap();
    assert_eq!(run.counts.created, 1);
}

#[tokio::test]
async fn the_same_page_twice_makes_no_second_deal_and_no_second_mail() {
    let bench = bench().await;
    let mut plans = vec![bench.creation(1).await];
    bench.commit(plans.clone()).await.unwrap();
    let error = bench.commit(plans.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    // With fresh ids, as a second process would have: the link refuses it.
    let Intent::CreateDeal(new) = &mut plans[0].intents[0] else { panic!("a creation") };
    new.deal = DealId(id(77));
    new.account = Match::Create(AccountId(id(78)));
    new.account_sf_id = "001000000000078".parse().unwrap();
    new.contact = Match::Create(ContactId(id(79)));
    new.contact_sf_id = "003000000000079".parse().unwrap();
    let error = bench.commit(plans).await.unwrap_err();
    assert!(error.to_string().contains("link.org"), "{error}");
    assert_eq!(bench.tenant.deal_count().await.unwrap(), 1);
    assert_eq!(bench.tenant.outbox_counts().await.unwrap().pending, 1);
}

#[tokio::test]
async fn a_page_with_one_impossible_plan_is_undone_as_a_whole() {
    let bench = bench().await;
    let move_base = Intent::MoveBase { base: "{}".into(), base_source: "{}".into() };
    let impossible = plan(2, Outcome::Unchanged, None, vec![move_base], vec![]);
    let error = bench.commit(vec![bench.creation(1).await, impossible]).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    assert_eq!(bench.tenant.deal_count().await.unwrap(), 0);
    assert_eq!(bench.tenant.run(bench.run).await.unwrap().counts, Counts::default());
}

#[tokio::test]
async fn a_page_that_wants_nothing_writes_lane_and_run_alone() {
    let bench = bench().await;
    bench.commit(vec![bench.creation(1).await, parked(2, vec![no_account()])]).await.unwrap();
    let deal = Some(DealId(id(10_001)));
    let unchanged = plan(1, Outcome::Unchanged, deal, vec![], vec![]);
    let still_parked = plan(2, Outcome::Parked, None, vec![], vec![no_account()]);
    let before = total_changes(&bench.tenant).await;
    let result = bench.commit(vec![unchanged, still_parked]).await.unwrap();
    assert_eq!(result.rows, 0);
    assert_eq!(total_changes(&bench.tenant).await - before, 2, "one row of the lane, one of the run");
}

async fn total_changes(tenant: &TenantStore) -> u64 {
    tenant.on(|_, connection| Ok(connection.total_changes())).await.unwrap()
}

#[tokio::test]
async fn facts_come_in_the_order_asked() {
    let bench = bench().await;
    bench.commit(vec![bench.creation(1).await, parked(2, vec![no_account()])]).await.unwrap();
    bench.commit(vec![bench.creation(3).await]).await.unwrap();
    bench.tenant.remove_deal(DealId(id(10_003)), "Kim", 7 * S).await.unwrap();
    let asked = [3, 9, 2, 1].map(opportunity);
    let facts = bench.tenant.facts(org(), &asked).await.unwrap();
    assert_eq!(
        facts[0].tombstone.as_ref().map(|tombstone| (tombstone.by.as_str(), tombstone.at)),
        Some(("Kim", 7 * S))
    );
    assert!(facts[1].link.is_none() && facts[1].set_aside.is_none() && facts[1].tombstone.is_none());
    let aside = facts[2].set_aside.as_ref().unwrap();
    assert_eq!((aside.kind, aside.reasons.as_slice()), (AsideKind::Parked, [no_account()].as_slice()));
    let link = facts[3].link.as_ref().unwrap();
    assert_eq!((link.deal, link.owner, link.state), (DealId(id(10_001)), UserId(id(1)), LinkState::Linked));
    let other_org = "00D000000000002".parse().unwrap();
    assert!(bench.tenant.facts(other_org, &asked).await.unwrap().iter().all(|stored| stored.link.is_none()));
}

#[tokio::test]
async fn an_update_is_kept_with_what_it_changed() {
    let bench = bench().await;
    bench.commit(vec![bench.creation(1).await]).await.unwrap();
    let deal = DealId(id(10_001));
    let change = FieldChange {
        field: "amount".into(),
        old: Some(json!("1.00")),
        new: Some(json!("2.00")),
        lost: None,
    };
    let fields = r#"{"name":"Renewal 1","amount":"2.00"}"#.to_owned();
    let intents = vec![
        Intent::SetLinkState(LinkState::Linked),
        Intent::MoveBase { base: fields.clone(), base_source: "{}".into() },
        Intent::UpdateDeal(DealUpdate { deal, changes: vec![change], fields: fields.clone() }),
    ];
    let mut update = plan(1, Outcome::Updated, Some(deal), intents, vec![]);
    update.modstamp = 8 * S;
    bench.commit(vec![update]).await.unwrap();
    let view = bench.tenant.deal(deal).await.unwrap();
    assert_eq!(view.row.fields["amount"], "2.00");
    assert_eq!(view.changes[0].changes[0], json!({"field": "amount", "old": "1.00", "new": "2.00"}));
    assert_eq!(view.changes[0].run, Some(bench.run));
    let stored = &bench.tenant.deals_for(&[deal, DealId(id(4))]).await.unwrap();
    assert_eq!((stored.len(), stored[&deal].updated_at), (1, 8 * S), "when Salesforce changed it");
    let link = bench.tenant.facts(org(), &[opportunity(1)]).await.unwrap().remove(0).link.unwrap();
    assert_eq!((link.base, link.modstamp), (fields, 8 * S));
}

#[tokio::test]
async fn shelves_hold_what_this_owner_has_and_nobody_else() {
    let bench = bench().await;
    bench.commit(vec![bench.creation(1).await]).await.unwrap();
    add_unlinked_accounts(&bench.tenant, 1, &["initech", "hooli", "hooli"]).await;
    add_unlinked_accounts(&bench.tenant, 2, &["umbrella"]).await;
    let account = |n: u32| -> SfId { format!("001{n:012}").parse().unwrap() };
    let key = |n: u32, name: &str| ShelfKey {
        owner: UserId(id(1)),
        account: account(n),
        account_key: name.to_owned(),
        contact: format!("003{n:012}").parse().unwrap(),
        contact_key: String::new(),
    };
    let names = ["globex 1", "initech", "hooli", "umbrella"];
    let keys = (1..).zip(names).map(|(n, name)| key(n, name)).collect();
    let shelves = bench.tenant.shelves(org(), keys).await.unwrap();
    let fresh = AccountId(id(5));
    let find = |n: u32, name: &str| shelves.accounts.find(UserId(id(1)), account(n), name, fresh);
    assert_eq!(find(1, "globex 1"), Ok(Match::Known(AccountId(id(20_001)))));
    assert!(matches!(find(2, "initech"), Ok(Match::Adopt(_))));
    assert_eq!(find(3, "hooli"), Err(Ambiguous { count: 2 }));
    assert_eq!(find(4, "umbrella"), Ok(Match::Create(fresh)), "another owner's");
    assert!(matches!(
        shelves.contacts.find(UserId(id(1)), "003000000000001".parse().unwrap(), "", ContactId(id(6))),
        Ok(Match::Known(_))
    ));
}

async fn add_unlinked_accounts(tenant: &TenantStore, owner: u32, names: &'static [&'static str]) {
    tenant
        .on(move |_, connection| {
            for (at, name) in names.iter().enumerate() {
                connection.execute(
                    "INSERT INTO account (id, owner, name, name_key, created_at) VALUES (?1, ?2, ?3, ?3, 1)",
                    rusqlite::params![*id(owner * 100 + at as u32).as_bytes(), *id(owner).as_bytes(), name],
                )?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_adopted_account_takes_the_salesforce_id_and_is_adopted_once() {
    let bench = bench().await;
    add_unlinked_accounts(&bench.tenant, 1, &["globex 1"]).await;
    let mut first = bench.creation(1).await;
    let Intent::CreateDeal(new) = &mut first.intents[0] else { panic!("a creation") };
    new.account = Match::Adopt(AccountId(id(100)));
    bench.commit(vec![first]).await.unwrap();
    let view = bench.tenant.deal_of(opportunity(1)).await.unwrap();
    assert_eq!(view.account_sf_id, Some("001000000000001".parse().unwrap()));
    let mut second = bench.creation(2).await;
    let Intent::CreateDeal(new) = &mut second.intents[0] else { panic!("a creation") };
    new.account = Match::Adopt(AccountId(id(100)));
    assert!(matches!(bench.commit(vec![second]).await, Err(StoreError::Conflict { .. })));
}

#[tokio::test]
async fn a_converted_lead_hands_its_link_on() {
    let bench = bench().await;
    bench.commit(vec![bench.creation(1).await]).await.unwrap();
    make_lead(&bench.tenant, "00Q000000000001").await;
    assert!(bench.tenant.has_lead_links(org()).await.unwrap());
    let lead = bench.tenant.lead_links(org()).await.unwrap().remove(0);
    let moved = Intent::MoveLink { deal: lead.deal, from: lead.sf_id };
    let told = Reason::new(Code::LeadConverted, &[("id", opportunity(5).as_str())]);
    bench
        .commit(vec![plan(5, Outcome::Updated, Some(lead.deal), vec![moved, Intent::Log], vec![told])])
        .await
        .unwrap();
    assert!(!bench.tenant.has_lead_links(org()).await.unwrap());
    assert_eq!(bench.tenant.deal_of(opportunity(5)).await.unwrap().row.id, lead.deal);
    assert_eq!(bench.tenant.linked_count(org()).await.unwrap(), 1);
}

async fn make_lead(tenant: &TenantStore, lead: &'static str) {
    let lead: SfId = lead.parse().unwrap();
    tenant
        .on(move |_, connection| {
            connection.execute("UPDATE link SET object = 'Lead', sf_id = ?1", [lead.as_str()])?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_link_state_is_seen_by_the_next_run() {
    let bench = bench().await;
    bench.commit(vec![bench.creation(1).await]).await.unwrap();
    let gone = Reason::new(Code::RecordDeleted, &[]);
    let intents = vec![Intent::SetLinkState(LinkState::RemoteDeleted), Intent::Log];
    bench
        .commit(vec![plan(1, Outcome::Unselected, Some(DealId(id(10_001))), intents, vec![gone])])
        .await
        .unwrap();
    let links = bench.tenant.links(org()).await.unwrap();
    assert_eq!((links[0].0, links[0].1), (opportunity(1), LinkState::RemoteDeleted));
    assert_eq!(bench.tenant.linked_count(org()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_backfill_keeps_the_original_date_and_sends_one_digest_an_owner() {
    let bench = bench().await;
    let plans = vec![bench.creation(1).await, bench.creation(2).await];
    let page = PageCommit { mail: MailPolicy::Digest, keep_created: true, ..bench.page(plans) };
    bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    assert_eq!(bench.tenant.deal_of(opportunity(1)).await.unwrap().row.created_at, 2 * S);
    assert_eq!(bench.tenant.outbox_counts().await.unwrap().pending, 0, "not before the run is done");
    let end = RunEnd {
        run: bench.run,
        state: RunState::Completed,
        now: 20 * S,
        counts: Counts::default(),
        api_calls: 0,
        cursor: None,
        next_due: None,
        start_over: false,
        spent: None,
        error: None,
    };
    bench.tenant.finish_run(&bench.lease, end).await.unwrap();
    let mails = bench.tenant.outbox_due(20 * S, 9).await.unwrap();
    assert_eq!(
        (mails.len(), mails[0].kind.as_str(), mails[0].user),
        (1, "import-digest", Some(UserId(id(1))))
    );
    let payload: serde_json::Value = serde_json::from_str(mails[0].payload.as_deref().unwrap()).unwrap();
    assert_eq!(payload["count"], 2);
}

#[tokio::test]
async fn no_mail_is_no_mail() {
    let bench = bench().await;
    let page = PageCommit { mail: MailPolicy::None, ..bench.page(vec![bench.creation(1).await]) };
    bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    assert_eq!(bench.tenant.outbox_counts().await.unwrap(), OutboxCounts::default());
}
