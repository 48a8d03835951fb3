//! Mails as a recipient sees them, and what may go wrong on the way.

use expect_test::expect;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::*;

fn news() -> DealNews {
    DealNews {
        deal: "0192f0c1".into(),
        name: "Büro renewal".into(),
        account: "Globex".into(),
        amount: "15000.00 EUR".into(),
        close_date: "2026-12-31".into(),
        owner_name: "Dana Reed".into(),
        owner_email: "dana@acme.example".into(),
    }
}

fn portal() -> Portal {
    Portal { name: "Acme Partners".into(), url: Some("https://partners.acme.example/".into()) }
}

fn folder_office(folder: &Path) -> Office {
    let options = OfficeOptions {
        from: Some("Acme Partners <portal@acme.example>".into()),
        folder: Some(folder.to_owned()),
        ..OfficeOptions::default()
    };
    Office::open(&options).expect("good settings").expect("a folder is set")
}

fn smtp_office(url: String) -> Office {
    let options = OfficeOptions {
        from: Some("portal@acme.example".into()),
        smtp: Some(url),
        ..OfficeOptions::default()
    };
    Office::open(&options).expect("good settings").expect("a server is set")
}

#[tokio::test]
async fn the_owner_reads_which_deal_it_is_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let letter = to_owner("0192-a", &news(), &portal(), 1_795_315_680_000_000);
    folder_office(folder.path()).send(&letter).await.unwrap();
    let text = std::fs::read_to_string(folder.path().join("0192-a.eml")).unwrap().replace('\r', "");
    expect![[r#"
        From: "Acme Partners" <portal@acme.example>
        To: "Dana Reed" <dana@acme.example>
        Subject: Deal imported: =?utf-8?b?QsO8cm8=?= renewal
        Message-ID: <0192-a@acme.example>
        Date: Sun, 22 Nov 2026 02:48:00 +0000
        Auto-Submitted: auto-generated
        MIME-Version: 1.0
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: quoted-printable

        Hello Dana Reed,

        a deal was imported from Salesforce, and you are its owner.

          Deal        B=C3=BCro renewal
          Account     Globex
          Amount      15000.00 EUR
          Close date  2026-12-31
          Open it     https://partners.acme.example/deals/0192f0c1

        --=20
        Acme Partners

    "#]]
    .assert_eq(&text);
}

#[tokio::test]
async fn sending_again_overwrites_rather_than_doubles() {
    let folder = tempfile::tempdir().unwrap();
    let office = folder_office(folder.path());
    let letter = to_other("0192-a-1", "boss@acme.example", &news(), &portal(), 0);
    office.send(&letter).await.unwrap();
    office.send(&letter).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["0192-a-1.eml"]);
}

#[tokio::test]
async fn no_name_begins_a_header_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut bad = news();
    bad.name = "x\r\nBcc: all@evil.example\r\n\r\nBuy".into();
    bad.owner_name = "Dana\r\nBcc: all@evil.example".into();
    folder_office(folder.path()).send(&to_owner("a", &bad, &portal(), 0)).await.unwrap();
    let text = std::fs::read_to_string(folder.path().join("a.eml")).unwrap();
    let headers = text.split("\r\n\r\n").next().unwrap();
    assert!(!headers.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{text}");

    bad.owner_email = "dana@acme.example\r\nBcc: all@evil.example".into();
    let refused = folder_office(folder.path()).send(&to_owner("b", &bad, &portal(), 0)).await;
    assert!(matches!(refused, Err(MailError::Refused { .. })));
}

#[test]
fn a_digest_lists_what_it_can_and_counts_the_rest() {
    let many = vec![news(); DIGEST_DEALS_MAX + 2];
    let letter = digest("d", ("dana@acme.example", "Dana Reed"), &many, 502, &portal(), 0);
    assert_eq!(letter.subject, "502 deals were imported from Salesforce");
    assert_eq!(letter.body.matches("Globex").count(), DIGEST_DEALS_MAX);
    assert!(letter.body.contains("and 2 more"));
}

#[test]
fn mail_servers_are_read_with_their_usual_ports() {
    for (url, scheme, host, port) in [
        ("smtp://127.0.0.1:2525", Scheme::Plain, "127.0.0.1", 2525),
        ("smtps://mail.example", Scheme::Tls, "mail.example", 465),
        ("smtp+starttls://mail.example/", Scheme::StartTls, "mail.example", 587),
        ("smtp://[::1]:2525", Scheme::Plain, "::1", 2525),
    ] {
        let place = SmtpPlace::parse(url).expect(url);
        assert_eq!((place.scheme, place.host.as_str(), place.port), (scheme, host, port));
    }
    for url in ["mail.example", "http://mail.example", "smtp://", "smtp://a:x", "smtp://u:p@host"] {
        assert!(SmtpPlace::parse(url).is_err(), "{url}");
    }
}

#[test]
fn a_password_does_not_travel_in_the_clear() {
    let options = OfficeOptions {
        from: Some("portal@acme.example".into()),
        smtp: Some("smtp://mail.example".into()),
        username: Some("portal".into()),
        password: Some("hunter2".into()),
        folder: None,
    };
    let error = Office::open(&options).unwrap_err().to_string();
    assert!(error.contains("in the clear") && !error.contains("hunter2"), "{error}");
}

/// Answers each line of an SMTP dialogue; `rcpt` is the answer to RCPT TO.
async fn smtp_server(rcpt: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut said = String::new();
        let mut in_data = false;
        write.write_all(b"220 test\r\n").await.unwrap();
        while let Ok(Some(line)) = lines.next_line().await {
            said.push_str(&format!("{line}\n"));
            let answer = match line.split(' ').next().unwrap_or_default() {
                "." if in_data => {
                    in_data = false;
                    "250 taken"
                }
                _ if in_data => continue,
                "EHLO" => "250 test",
                "RCPT" => rcpt,
                "DATA" => {
                    in_data = true;
                    "354 go on"
                }
                "QUIT" => "221 bye",
                _ => "250 ok",
            };
            if write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                break;
            }
        }
        said
    });
    (url, server)
}

#[tokio::test]
async fn a_mail_goes_through_an_smtp_server() {
    let (url, server) = smtp_server("250 ok").await;
    smtp_office(url).send(&to_owner("a", &news(), &portal(), 0)).await.unwrap();
    let said = server.await.unwrap();
    assert!(said.contains("RCPT TO:<dana@acme.example>"), "{said}");
    assert!(said.contains("Message-ID: <a@acme.example>"), "{said}");
}

#[tokio::test]
async fn an_unknown_recipient_is_final_and_a_busy_server_is_not() {
    let (url, server) = smtp_server("550 no such user").await;
    let error = smtp_office(url).send(&to_owner("a", &news(), &portal(), 0)).await.unwrap_err();
    assert!(!error.may_pass() && error.to_string().contains("no such user"), "{error}");
    server.await.unwrap();

    let (url, server) = smtp_server("451 try later").await;
    let error = smtp_office(url).send(&to_owner("a", &news(), &portal(), 0)).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    server.await.unwrap();

    let error = smtp_office("smtp://127.0.0.1:1".into()).send(&to_owner("a", &news(), &portal(), 0)).await;
    assert!(error.unwrap_err().may_pass());
}
