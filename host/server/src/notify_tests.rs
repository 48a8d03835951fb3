//! Mails on their way out of the outbox, with a clock that moves when told.

use std::sync::Arc;

use dealsync_core::ids::{OutboxId, UserId};
use dealsync_core::people::{UserKind, UserStatus};

use super::*;
use crate::app::AppOptions;
use crate::clock::{Clock as _, ManualClock};
use crate::store::{LogFilter, NewUser, OutboxState};
use crate::tenants::Apply;

const START: i64 = 1_795_313_640_000_000;

struct World {
    app: App,
    clock: Arc<ManualClock>,
    tenant: TenantId,
    store: TenantStore,
    data: tempfile::TempDir,
}

/// A tenant with one user, a digest for that user in the outbox, and these mail settings.
async fn world(mail: &str) -> World {
    let data = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let mut options = AppOptions::new(data.path());
    options.clock = clock.clone();
    let app = App::open(options).unwrap();
    let toml = format!("[tenant]\nid = \"acme\"\nname = \"Acme Partners\"\n[mail]\n{mail}\n");
    app.apply(Apply { toml, actor: "test".into(), ..Apply::default() }).await.unwrap();
    let tenant: TenantId = "acme".parse().unwrap();
    let store = app.store().tenant(&tenant).await.unwrap();
    let user = UserId(uuid::Uuid::from_u128(1));
    let dana = NewUser {
        id: user,
        email: "dana@acme.example".into(),
        first_name: "Dana".into(),
        last_name: "Reed".into(),
        kind: UserKind::Partner,
        status: UserStatus::Active,
        organisation: String::new(),
        group: String::new(),
        may_register_deals: true,
        external_id: None,
    };
    store.import_users(vec![dana], START).await.unwrap();
    let mail = NewMail {
        id: OutboxId(uuid::Uuid::from_u128(2)),
        kind: IMPORT_DIGEST.to_owned(),
        user: Some(user),
        payload: Some("{\"count\":3,\"deals\":[]}".to_owned()),
    };
    store.outbox_put(mail, START).await.unwrap();
    World { app, clock, tenant, store, data }
}

impl World {
    async fn deliver(&self) -> Delivered {
        deliver_due(&self.app, &self.tenant, Duration::from_secs(30)).await.unwrap()
    }
}

#[tokio::test]
async fn a_mail_is_delivered_once() {
    let world = world("folder = \"mails\"").await;
    assert_eq!(world.deliver().await, Delivered { sent: 1, ..Delivered::default() });
    assert_eq!(world.deliver().await, Delivered::default());
    let files: Vec<_> = std::fs::read_dir(world.data.path().join("mails")).unwrap().flatten().collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(files[0].path()).unwrap();
    assert!(text.contains("Subject: 3 deals were imported from Salesforce"), "{text}");
    assert!(text.contains("Hello Dana Reed,"), "{text}");
}

#[tokio::test]
async fn nothing_is_sent_or_lost_where_no_mail_is_set_up() {
    let world = world("").await;
    assert_eq!(world.deliver().await, Delivered::default());
    assert_eq!(world.store.outbox_counts().await.unwrap().pending, 1);
}

#[tokio::test]
async fn a_mail_that_fails_is_tried_later_and_later_and_then_told_in_the_log() {
    let world = world("from = \"portal@acme.example\"\nsmtp = \"smtp://127.0.0.1:1\"").await;
    for minutes in RETRY_MINUTES {
        assert_eq!(world.deliver().await, Delivered { postponed: 1, ..Delivered::default() });
        assert_eq!(world.deliver().await, Delivered::default(), "not before its time");
        let due = world.store.outbox_counts().await.unwrap().next_due;
        assert_eq!(due, Some(world.clock.now_micros() + minutes * 60_000_000));
        world.clock.advance(Duration::from_secs(minutes as u64 * 60));
    }
    assert_eq!(world.deliver().await, Delivered { given_up: 1, ..Delivered::default() });
    let entries = world.store.log_entries(LogFilter::default()).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].code, Code::MailFailed);
    assert!(entries[0].message.contains("dana@acme.example"), "{}", entries[0].message);
}

#[tokio::test]
async fn old_news_is_not_sent_when_mail_is_set_up_late() {
    let world = world("folder = \"mails\"").await;
    world.clock.advance(Duration::from_secs(4 * 24 * 3_600));
    assert_eq!(world.deliver().await, Delivered { given_up: 1, ..Delivered::default() });
    assert!(!world.data.path().join("mails").exists());
}

#[test]
fn the_id_of_a_mail_is_the_same_on_every_attempt_and_fit_for_a_file() {
    let item = OutboxItem {
        id: OutboxId(uuid::Uuid::nil()),
        kind: DEAL_IMPORTED.to_owned(),
        deal: None,
        user: None,
        payload: None,
        created_at: 0,
        due_at: 0,
        attempts: 0,
        state: OutboxState::Pending,
        last_error: None,
        message_id: "<deal-imported.019f.acme@dealsync>".to_owned(),
    };
    assert_eq!(letter_id(&item), "deal-imported.019f.acme");
    let odd = OutboxItem { message_id: "<../x/y@z>".to_owned(), ..item };
    assert_eq!(letter_id(&odd), "..xy");
}

#[test]
fn an_address_has_one_name_whatever_its_case() {
    assert_eq!(short_name("Boss@Acme.example"), short_name("boss@acme.example"));
    assert_ne!(short_name("boss@acme.example"), short_name("boss@acme.examples"));
}
