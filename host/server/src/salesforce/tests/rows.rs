//! Pages of Opportunities as rows, cells and contacts.

use std::sync::Arc;

use dealsync_core::value::{Cell, Decimal, parse_date, parse_timestamp};

use super::super::page::read_page;
use super::super::*;
use super::kit::*;

const ROW: &str = r#"{"attributes":{"type":"Opportunity","url":"/services/data/v62.0/sobjects/Opportunity/006000000000001AAA"},
 "Id":"006000000000001","SystemModstamp":"2026-05-01T07:25:37.000+0000","CreatedDate":"2026-04-01T00:00:00.000+0000",
 "IsDeleted":false,"Name":"Renewal \"é\" \u00fc","AccountId":"001000000000001AAA",
 "Account":{"attributes":{"type":"Account"},"Name":"Acme & Co","Website":null},"Sync__c":true,"Import__c":true,
 "Partner__c":"dana@partner.example","Dist__c":null,"OwnerType__c":"Partner-owned","CurrencyIsoCode":"EUR",
 "Amount":12345678901234567.89,"CloseDate":"2026-12-31","Owner":null,"TotalQuantity":3.0,
 "Where__c":{"latitude":1.5,"tags":["a]","}"]},
 "OpportunityContactRoles":{"totalSize":2,"done":true,"records":[
   {"attributes":{},"ContactId":"003000000000001AAA","Contact":{"attributes":{},"Name":"Ann"},"IsPrimary":true},
   {"attributes":{},"ContactId":"003000000000002AAA","Contact":null,"IsPrimary":false}]}}"#;

fn read(rows: &[&str]) -> Page {
    read_page(page(rows).as_bytes(), &query().plan).expect("a page")
}

fn column(page: &Page, row: usize, name: &str) -> String {
    let at = rules().ix(name).expect("a column").at();
    format!("{:?}", page.batch.cell(row, at))
}

#[test]
fn a_row_is_read_into_its_facts_and_its_cells() {
    let page = read(&[ROW]);
    let row = &page.rows[0];
    assert_eq!(row.id.as_str(), "006000000000001AAA");
    assert_eq!(row.name, "Renewal \"é\" ü");
    assert_eq!(Some(row.modstamp), parse_timestamp("2026-05-01T07:25:37Z"));
    assert_eq!(Some(row.created), parse_timestamp("2026-04-01T00:00:00Z"));
    assert!(!row.deleted && row.sync_flag && row.import_flag);
    let account = row.account.as_ref().expect("an account");
    assert_eq!((account.id.as_str(), account.name.as_str()), ("001000000000001AAA", "Acme & Co"));
    assert_eq!(row.partner_email.as_deref(), Some("dana@partner.example"));
    assert_eq!((row.distributor_email.as_deref(), row.owner_type.as_deref()), (None, Some("Partner-owned")));
    assert_eq!(row.currency.as_deref(), Some("EUR"));
    assert_eq!(row.bad, None);
    let primary = "003000000000001AAA".parse().expect("an id");
    assert_eq!(row.contacts, Contacts::Primary { id: primary, state: ContactState::Unfetched });

    let cells: Vec<_> = (0..rules().len()).map(|column| page.batch.cell(0, column)).collect();
    assert_eq!(
        cells,
        [
            Cell::Text("Renewal \"é\" ü"),
            Cell::Decimal(Decimal::new(1_234_567_890_123_456_789, 2)),
            Cell::Date(parse_date("2026-12-31").expect("a date")),
            Cell::Null,
            Cell::Null,
            Cell::Integer(3),
            Cell::Json(r#"{"latitude":1.5,"tags":["a]","}"]}"#),
            Cell::Absent,
            Cell::Absent,
        ]
    );
}

#[test]
fn amounts_come_as_integers_floats_or_texts() {
    for (amount, want) in [
        ("15000", "Decimal(Decimal { unscaled: 1500000, scale: 2 })"),
        ("23.0", "Decimal(Decimal { unscaled: 2300, scale: 2 })"),
        ("1.5E4", "Decimal(Decimal { unscaled: 1500000, scale: 2 })"),
        ("\"23.50\"", "Decimal(Decimal { unscaled: 2350, scale: 2 })"),
        ("-0.10", "Decimal(Decimal { unscaled: -10, scale: 2 })"),
        ("null", "Null"),
    ] {
        let page = read(&[&ROW.replace("12345678901234567.89", amount)]);
        assert_eq!(column(&page, 0, "Amount"), want, "{amount}");
        assert_eq!(page.rows[0].bad, None);
    }
}

#[test]
fn the_order_of_keys_is_no_matter_and_unknown_or_missing_keys_do_no_harm() {
    let row = r#"{"Extra":{"a":[1,{"b":"}"}]},"amount":7,"Import__c":true,"Id":"006000000000002AAA",
        "CreatedDate":"2026-04-01T00:00:00Z","SystemModstamp":"2026-04-01T00:00:00Z"}"#;
    let page = read(&[row, ROW]);
    assert_eq!(page.rows.len(), 2);
    assert_eq!(column(&page, 0, "Amount"), "Decimal(Decimal { unscaled: 700, scale: 2 })");
    assert_eq!(column(&page, 0, "CloseDate"), "Absent", "a hidden field is left out of the row");
    assert_eq!((page.rows[0].bad.as_deref(), &page.rows[0].contacts), (None, &Contacts::None));
    assert_eq!(page.batch.rows(), 2);
}

#[test]
fn a_value_of_the_wrong_kind_costs_its_cell() {
    let row = ROW.replace("12345678901234567.89", "{\"a\":1}").replace("\"2026-12-31\"", "\"soon\"");
    let page = read(&[&row, ROW]);
    assert_eq!(column(&page, 0, "Amount"), "Absent");
    assert_eq!(column(&page, 0, "Name"), "Text(\"Renewal \\\"é\\\" ü\")");
    assert_eq!(page.rows[0].bad.as_deref(), Some("Amount holds no decimal; CloseDate holds no date"));
    assert_eq!(page.rows[1].bad, None);
    let page = read(&[&ROW.replace("\"Import__c\":true", "\"Import__c\":\"yes\"")]);
    assert_eq!(page.rows[0].bad.as_deref(), Some("Import__c holds a value of another type"));
    assert!(!page.rows[0].import_flag);
}

#[test]
fn a_row_without_an_id_costs_its_row() {
    let page = read(&[ROW, "null", &ROW.replace("\"006000000000001\"", "\"nonsense\""), "[1]", ROW]);
    assert_eq!((page.rows.len(), page.batch.rows()), (2, 2));
    assert_eq!(page.unreadable.len(), 3);
    assert!(page.unreadable[1].contains("Renewal"), "{:?}", page.unreadable);
    assert_eq!(column(&page, 1, "TotalQuantity"), "Integer(3)");
}

#[test]
fn contacts_without_a_primary_one_are_told_by_name() {
    let page = read(&[
        &ROW.replace("\"IsPrimary\":true", "\"IsPrimary\":false"),
        &ROW.replace(&ROW[ROW.find("{\"totalSize\"").expect("roles")..ROW.len() - 1], "null"),
    ]);
    let names = vec!["Ann".to_owned(), String::new()];
    assert_eq!(page.rows[0].contacts, Contacts::NonePrimary { names });
    assert_eq!(page.rows[1].contacts, Contacts::None);
    assert_eq!(page.rows[1].bad, None);
}

#[test]
fn no_cut_of_a_page_is_taken_for_a_page_and_none_panics() {
    let whole = page(&[ROW, ROW]);
    let plan = query().plan;
    for cut in 0..whole.len() {
        assert!(read_page(&whole.as_bytes()[..cut], &plan).is_err(), "{cut}");
    }
    let mut spoilt = whole.into_bytes();
    for at in 0..spoilt.len() {
        let kept = std::mem::replace(&mut spoilt[at], b'"');
        let _ = read_page(&spoilt, &plan);
        spoilt[at] = 0xff;
        assert!(read_page(&spoilt, &plan).is_err());
        spoilt[at] = kept;
    }
}

fn with_contact(number: u32, contact: &str) -> String {
    ROW.replace("006000000000001", &format!("00600000000000{number}")).replace("003000000000001AAA", contact)
}

#[tokio::test]
async fn primary_contacts_of_a_page_come_in_one_call() {
    let world = World::new();
    let rows = [
        with_contact(1, "003000000000001AAA"),
        with_contact(2, "003000000000003AAA"),
        with_contact(3, "003000000000001AAA"),
        ROW.replace("\"IsPrimary\":true", "\"IsPrimary\":false"),
    ];
    world.answer(200, page(&rows.each_ref().map(String::as_str)));
    world.answer(
        200,
        r#"[{"attributes":{"type":"Contact"},"Id":"003000000000001AAA","FirstName":"Ann","Birthdate":null},null]"#,
    );
    let mut page = world.client.pull_first(&query()).await.expect("a page");
    world.client.fill_contacts(&mut page).await.expect("contacts");
    let post = world.script().seen[1].clone();
    assert_eq!(
        (post.method.as_str(), post.target.as_str()),
        ("POST", "/services/data/v62.0/composite/sobjects/Contact")
    );
    assert_eq!(
        post.body,
        r#"{"ids":["003000000000001AAA","003000000000003AAA"],"fields":["Id","FirstName","Birthdate"]}"#
    );
    let states: Vec<_> = page
        .rows
        .iter()
        .map(|row| match row.contacts {
            Contacts::Primary { state, .. } => Some(state),
            _ => None,
        })
        .collect();
    let (seen, hidden) = (Some(ContactState::Readable), Some(ContactState::Unreadable));
    assert_eq!(states, [seen, hidden, seen, None]);
    let firsts: Vec<_> = (0..4).map(|row| column(&page, row, "PrimaryContact.FirstName")).collect();
    assert_eq!(firsts, ["Text(\"Ann\")", "Absent", "Text(\"Ann\")", "Absent"]);
    assert_eq!(column(&page, 0, "PrimaryContact.Birthdate"), "Null");
    world.client.fill_contacts(&mut page).await.expect("nothing to do");
    assert_eq!(world.calls(), 2);
}

#[tokio::test]
async fn an_org_without_retrieve_is_asked_by_query_from_then_on() {
    let world = World::new();
    let contacts = super::kit::page(&[
        r#"{"attributes":{},"Id":"003000000000001AAA","FirstName":"Ann","Birthdate":"soon"}"#,
    ]);
    for _ in 0..2 {
        world.answer(200, page(&[ROW]));
    }
    let mut first = world.client.pull_first(&query()).await.expect("a page");
    let mut second = world.client.pull_first(&query()).await.expect("a page");
    world.refuse(404, "NOT_FOUND", "The requested resource does not exist");
    world.answer(200, contacts.clone());
    world.client.fill_contacts(&mut first).await.expect("contacts");
    assert_eq!(column(&first, 0, "PrimaryContact.FirstName"), "Text(\"Ann\")");
    assert_eq!(first.rows[0].bad.as_deref(), Some("PrimaryContact.Birthdate holds no date"));
    world.answer(200, contacts);
    world.client.fill_contacts(&mut second).await.expect("contacts");
    assert_eq!(world.calls(), 5);
    let target = world.script().seen[4].target.clone();
    assert!(
        target.ends_with(
            "/query?q=SELECT Id,FirstName,Birthdate FROM Contact WHERE Id IN ('003000000000001AAA')"
        )
    );
}

#[tokio::test]
async fn contacts_that_could_not_be_asked_for_stay_unfetched() {
    let world = World::new();
    world.answer(200, page(&[ROW]));
    let mut page = world.client.pull_first(&query()).await.expect("a page");
    world.refuse(400, "INVALID_FIELD", "No such column 'Birthdate' on entity 'Contact'.");
    let error = world.client.fill_contacts(&mut page).await.expect_err("hidden");
    assert!(matches!(error, Error::FieldNotVisible { .. }), "{error}");
    let Contacts::Primary { state, .. } = page.rows[0].contacts else { panic!("a primary contact") };
    assert_eq!(state, ContactState::Unfetched);
}

#[test]
fn one_field_can_serve_several_purposes() {
    let fields = PullFields { distributor_email: Some("Partner__c".to_owned()), ..pull_fields() };
    let query = PullQuery::new(&rules(), &fields).expect("columns");
    let page = read_page(super::kit::page(&[ROW]).as_bytes(), &Arc::clone(&query.plan)).expect("a page");
    assert_eq!(page.rows[0].partner_email, page.rows[0].distributor_email);
}
