//! Records with nonsense in them, as no Salesforce should send and some proxy does.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::map_response;
use axum::response::Response;
use dealsync::salesforce::InProcess;
use dealsync_tests::{World, opportunity};
use expect_test::expect;

/// What the org holds, and what arrives instead.
fn nonsense() -> [(&'static str, String); 6] {
    [
        ("\"2027-01-01\"", "\"0000-00-00\"".into()),
        ("4242.0", "\"a lot\"".into()),
        ("7777.0", "1e400".into()),
        ("\"a number\"", "12".into()),
        ("\"half a letter\"", "\"\\ud800\"".into()),
        ("\"far too long\"", format!("\"{}\"", "long ".repeat(2 << 20))),
    ]
}

async fn spoil(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.expect("a whole body");
    let Ok(mut text) = String::from_utf8(bytes.to_vec()) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    for (from, to) in nonsense() {
        text = text.replace(from, &to);
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_nonsense_values_costs_itself() {
    let mut world = World::new().await;
    let spoilt = world.sim.router().layer(map_response(spoil));
    world.restart_with(Arc::new(InProcess::new(spoilt)));
    world.has(opportunity("Bad date").set("CloseDate", "2027-01-01"));
    world.has(opportunity("Bad amount").set("Amount", 4242));
    world.has(opportunity("Endless amount").set("Amount", 7777));
    world.has(opportunity("Number for a text").set("NextStep", "a number"));
    world.has(opportunity("Half a letter").set("Description", "half a letter"));
    world.has(opportunity("Ten megabytes").set("Description", "far too long"));
    // As long as a field can be, in Salesforce.
    world.has(opportunity("Long").set("Description", "x".repeat(131_072)));
    for at in 0..5 {
        world.has(opportunity(&format!("Deal {at}")));
    }
    let report = world.full().await;
    let counts = &report.counts;
    assert_eq!((counts.created, counts.parked), (6, 6), "{counts:?}");
    let told: String = world
        .snapshot()
        .await
        .lines()
        .filter_map(|line| line.strip_prefix("log error ")?.split_once(" 006"))
        .map(|(code, rest)| format!("{code} {}\n", rest.split_once(' ').map_or(rest, |(_, rest)| rest)))
        .collect();
    expect![[r#"
        RECORD_UNREADABLE Bad date: Not imported: Salesforce's answer for this record could not be read: CloseDate holds no date.
        RECORD_UNREADABLE Bad amount: Not imported: Salesforce's answer for this record could not be read: Amount holds no decimal.
        RECORD_UNREADABLE Endless amount: Not imported: Salesforce's answer for this record could not be read: Amount holds no decimal.
        RECORD_UNREADABLE Number for a text: Not imported: Salesforce's answer for this record could not be read: NextStep holds no text.
        RECORD_UNREADABLE Ten megabytes: Not imported: Salesforce's answer for this record could not be read: Description is longer than any field of Salesforce.
        STRING_TOO_LONG Long: Description takes 32000 characters, Description has 131072.
    "#]].assert_eq(&told);
}
