//! Listing deals, giving them away, removing them; sending mail.

use super::*;

async fn three_deals() -> Bench {
    let bench = bench().await;
    for n in 1..=3 {
        let page = PageCommit { now: i64::from(n) * S, ..bench.page(vec![bench.creation(n).await]) };
        bench.tenant.commit_page(&bench.lease, page).await.unwrap();
    }
    bench
}

fn names(page: &DealPage) -> Vec<&str> {
    page.deals.iter().map(|deal| deal.fields["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn deals_are_listed_newest_first_page_by_page_or_the_other_way() {
    let bench = three_deals().await;
    let list = |order, after| bench.tenant.deals(DealFilter::default(), order, 2, after);
    let first = list(DealOrder::NewestFirst, None).await.unwrap();
    assert_eq!(names(&first), ["Renewal 3", "Renewal 2"]);
    let second = list(DealOrder::NewestFirst, first.next).await.unwrap();
    assert_eq!((names(&second), second.next), (vec!["Renewal 1"], None));
    let oldest = list(DealOrder::OldestFirst, None).await.unwrap();
    assert_eq!(names(&oldest), ["Renewal 1", "Renewal 2"]);
    let search = DealFilter { search: Some("GLOBEX 2".into()), ..DealFilter::default() };
    let found = bench.tenant.deals(search, DealOrder::NewestFirst, 9, None).await.unwrap();
    assert_eq!(names(&found), ["Renewal 2"]);
}

#[tokio::test]
async fn a_deal_given_away_takes_account_and_contact_along_as_copies() {
    let bench = three_deals().await;
    let deal = DealId(id(10_001));
    let fresh = FreshOwner { account: AccountId(id(500)), contact: ContactId(id(501)) };
    bench.tenant.reown(deal, UserId(id(2)), fresh, "Admin", 7 * S).await.unwrap();
    let view = bench.tenant.deal(deal).await.unwrap();
    assert_eq!(view.row.owner.email, "kim@acme.example");
    assert_eq!(view.row.partner.unwrap().id, id(2));
    assert_eq!((view.row.account.unwrap().id, view.row.contact.unwrap().id), (id(500), id(501)));
    assert_eq!(view.account_sf_id, Some("001000000000001".parse().unwrap()));
    assert_eq!(view.changes[0].actor.as_deref(), Some("Admin"));
    let link = bench.tenant.facts(org(), &[opportunity(1)]).await.unwrap().remove(0).link.unwrap();
    assert_eq!(link.owner, UserId(id(2)));
    let nobody = bench.tenant.reown(deal, UserId(id(404)), fresh, "Admin", S).await.unwrap_err();
    assert!(matches!(nobody, StoreError::NotFound { what: "user", .. }), "{nobody}");
}

#[tokio::test]
async fn a_removed_deal_leaves_a_tombstone_until_a_person_allows_it_again() {
    let bench = three_deals().await;
    let deal = DealId(id(10_001));
    bench.tenant.remove_deal(deal, "Kim", 7 * S).await.unwrap();
    assert!(matches!(bench.tenant.deal(deal).await, Err(StoreError::NotFound { .. })));
    assert!(bench.tenant.facts(org(), &[opportunity(1)]).await.unwrap()[0].tombstone.is_some());
    assert_eq!(bench.tenant.outbox_counts().await.unwrap().pending, 2, "its mail is not sent any more");
    assert!(bench.tenant.allow_again(opportunity(1), 8 * S).await.unwrap());
    assert!(bench.tenant.facts(org(), &[opportunity(1)]).await.unwrap()[0].tombstone.is_none());
    assert!(bench.tenant.remove_deal(deal, "Kim", S).await.is_err(), "there is none");
}

#[tokio::test]
async fn an_unlinked_deal_stays_and_its_record_does_not_come_back() {
    let bench = three_deals().await;
    let deal = DealId(id(10_002));
    assert!(bench.tenant.unlink(deal, "Kim", 7 * S).await.unwrap());
    assert!(!bench.tenant.unlink(deal, "Kim", 8 * S).await.unwrap());
    let view = bench.tenant.deal(deal).await.unwrap();
    assert_eq!((view.row.sf_id, view.base, view.changes.len()), (None, None, 1));
    assert!(bench.tenant.facts(org(), &[opportunity(2)]).await.unwrap()[0].tombstone.is_some());
}

#[tokio::test]
async fn mail_is_sent_tried_again_or_given_up() {
    let bench = three_deals().await;
    let due = bench.tenant.outbox_due(9 * S, 9).await.unwrap();
    assert_eq!(due.len(), 3);
    bench.tenant.outbox_sent(&due[0], 9 * S).await.unwrap();
    bench.tenant.outbox_failed(&due[1], "greylisted", Some(20 * S)).await.unwrap();
    bench.tenant.outbox_failed(&due[2], "no such mailbox", None).await.unwrap();
    let counts = bench.tenant.outbox_counts().await.unwrap();
    assert_eq!(counts, OutboxCounts { pending: 1, sent: 1, failed: 1, next_due: Some(20 * S) });
    assert!(bench.tenant.outbox_due(9 * S, 9).await.unwrap().is_empty());
    let again = bench.tenant.outbox_due(20 * S, 9).await.unwrap();
    assert_eq!((again[0].attempts, again[0].last_error.as_deref()), (1, Some("greylisted")));
    assert_eq!(again[0].message_id, due[1].message_id, "the same on every attempt");
    let mail = NewMail { id: OutboxId(id(1)), kind: "alert".into(), user: None, payload: None };
    bench.tenant.outbox_put(mail.clone(), 21 * S).await.unwrap();
    bench.tenant.outbox_put(mail, 21 * S).await.unwrap();
    assert_eq!(bench.tenant.outbox_counts().await.unwrap().pending, 2);
}
