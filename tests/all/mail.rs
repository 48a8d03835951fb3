//! Mails of an import: to whom, how often, and what becomes of one that does not go
//! out. The server is a real one, in a process of its own.

use dealsync::notify::{self, Delivered};
use dealsync::store::{LogFilter, LogState};
use dealsync_core::reason::Code;
use dealsync_tests::{ACME, SmtpServer, TakenMail, World, hours, minutes, opportunity};
use serde_json::json;

/// Settings whose mails go through this server.
fn through(server: &SmtpServer, more: &str) -> String {
    let server = format!("smtp = \"smtp://127.0.0.1:{}\"\n{more}", server.port);
    ACME.replace("folder = \"mail\"", &server)
}

async fn deliver(world: &World) -> Delivered {
    notify::deliver_due(world.app(), &world.tenant, hours(1)).await.expect("a delivery")
}

fn recipients(mails: &[TakenMail]) -> Vec<String> {
    let mut all: Vec<String> = mails.iter().flat_map(|mail| mail.to.clone()).collect();
    all.sort();
    all
}

async fn failures(world: &World) -> Vec<String> {
    let filter =
        LogFilter { code: Some(Code::MailFailed), state: Some(LogState::Open), ..LogFilter::default() };
    let entries = world.store().await.log_entries(filter).await.expect("the log");
    entries.into_iter().map(|entry| entry.message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_and_the_further_recipients_are_told_once() {
    let server = SmtpServer::start();
    let also = "also_to = [\"channel@acme.example\", \"boss@acme.example\"]";
    let world = World::with(&through(&server, also)).await;
    let id = world.has(opportunity("Globex Renewal"));
    world.has(opportunity("Initech Rollout").partner("eve@partner.example"));
    world.full().await;
    assert_eq!(server.mails(), [], "nothing goes out before it is delivered");
    assert_eq!(deliver(&world).await.sent, 3);
    let everybody = ["boss@acme.example", "channel@acme.example", "dana@partner.example"];
    assert_eq!(recipients(&server.mails()), everybody);

    // Neither another run, nor an update, nor a parked record is news.
    world.full().await;
    world.advance(minutes(1));
    world.org().update("Opportunity", id, json!({ "Amount": 5 })).expect("an edit");
    assert_eq!(world.incremental().await.counts.updated, 1);
    assert_eq!(deliver(&world).await, Delivered::default());
    assert_eq!(server.mails().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_through_a_real_server_keeps_its_headers_and_its_letters() {
    let server = SmtpServer::with_login("portal", "demo-secret");
    let login = "username = \"portal\"\npassword = { env = \"SECRET\" }";
    let world = World::with(&through(&server, login)).await;
    world.has(opportunity("Größe „Süd“ 東京"));
    world.full().await;
    assert_eq!(deliver(&world).await.sent, 1);
    let [mail] = &server.mails()[..] else { panic!("one mail") };
    assert_eq!(mail.from, "portal@acme.example");
    assert_eq!(mail.header("To"), "\"Dana Vance\" <dana@partner.example>");
    assert_eq!(mail.header("Auto-Submitted"), "auto-generated");
    assert!(mail.header("Message-ID").ends_with(".acme@acme.example>"), "{}", mail.text);
    assert!(mail.header("Subject").starts_with("Deal imported: =?utf-8?"), "{}", mail.text);
    assert!(mail.text.is_ascii(), "what goes out is plain on the line: {}", mail.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_login_leaves_the_mail_waiting() {
    let server = SmtpServer::with_login("portal", "another");
    let login = "username = \"portal\"\npassword = { env = \"SECRET\" }";
    let world = World::with(&through(&server, login)).await;
    world.has(opportunity("Globex Renewal"));
    world.full().await;
    assert_eq!(deliver(&world).await.postponed, 1);
    assert_eq!(server.mails(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newline_in_a_name_cannot_add_a_header() {
    let server = SmtpServer::start();
    let world = World::with(&through(&server, "")).await;
    world.has(opportunity("Globex\r\nBcc: everybody@acme.example\r\n\r\nRenewal"));
    world.full().await;
    assert_eq!(deliver(&world).await.sent, 1);
    let [mail] = &server.mails()[..] else { panic!("one mail") };
    assert_eq!(mail.to, ["dana@partner.example"]);
    assert_eq!(mail.header("Bcc"), "", "{}", mail.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_put_off_is_tried_again_and_a_refused_one_is_told() {
    let server = SmtpServer::start();
    let world = World::with(&through(&server, "")).await;
    world.has(opportunity("Globex Renewal"));
    world.full().await;
    server.answer(&["451 not now", "550 no such user"]);
    assert_eq!(deliver(&world).await.postponed, 1);
    assert_eq!(deliver(&world).await, Delivered::default(), "not before its time");
    assert_eq!(failures(&world).await, [""; 0]);
    world.advance(minutes(2));
    assert_eq!(deliver(&world).await.given_up, 1);
    let failed = failures(&world).await;
    assert!(failed.len() == 1 && failed[0].contains("dana@partner.example"), "{failed:?}");
    assert!(failed[0].contains("no such user"), "{failed:?}");
    assert!(world.snapshot().await.contains("Globex Renewal Inc"), "the deal stays");
    world.advance(hours(24));
    assert_eq!(deliver(&world).await, Delivered::default(), "once was enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_the_commit_and_survives_a_crash() {
    let server = SmtpServer::start();
    let mut world = World::with(&through(&server, "")).await;
    world.has(opportunity("Globex Renewal"));
    world.full().await;
    // Cut between the commit and the delivery.
    world.restart();
    // Cut between the delivery and the mark that it was made.
    server.answer(&["hang"]);
    let (app, tenant) = (world.app().clone(), world.tenant.clone());
    let delivery = tokio::spawn(async move { notify::deliver_due(&app, &tenant, hours(1)).await });
    while server.mails().is_empty() {
        assert!(!delivery.is_finished(), "the server took the mail and says nothing");
        tokio::task::yield_now().await;
    }
    delivery.abort();
    delivery.await.expect_err("it was cut");
    world.restart();
    assert_eq!(deliver(&world).await.sent, 1);
    let [first, second] = &server.mails()[..] else { panic!("twice: {:?}", server.mails()) };
    assert_eq!(first.header("Message-ID"), second.header("Message-ID"), "the same mail for whoever reads it");
    assert_eq!(first.text, second.text);
    assert_eq!(deliver(&world).await, Delivered::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_encryption_asked_for_gets_nothing() {
    let server = SmtpServer::start();
    let toml = through(&server, "").replace("smtp://", "smtp+starttls://");
    let world = World::with(&toml).await;
    world.has(opportunity("Globex Renewal"));
    world.full().await;
    assert_eq!(deliver(&world).await.postponed, 1);
    assert_eq!(server.mails(), [], "not in the clear");
}
