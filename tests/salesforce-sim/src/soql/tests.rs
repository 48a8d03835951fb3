//! Queries over a small org, each answer written out.

use serde_json::{Value, json};

use super::{bind, parser};
use crate::{OrgFile, Sim};

fn sim() -> Sim {
    let file = "clock = \"2026-11-02T08:00:00Z\"\nhidden_fields = [\"Account.AnnualRevenue\"]\n\
                [[fields]]\nobject = \"Account\"\nname = \"Tags__c\"\ntype = \"multipicklist\"\nvalues = [\"a\", \"b\"]\n";
    let sim = Sim::new(OrgFile::parse(file).unwrap()).unwrap();
    let org = sim.org();
    org.stop_clock_at(1_793_606_400);
    let acme =
        org.insert("Account", json!({"Name": "Acme", "Tags__c": "a;b", "NumberOfEmployees": 7})).unwrap();
    let bolt = org.insert("Account", json!({"Name": "bolt 100%", "Tags__c": "a"})).unwrap();
    let ann = org
        .insert("Contact", json!({"FirstName": "Ann", "LastName": "O'Hara", "AccountId": acme.as_str()}))
        .unwrap();
    let ben = org.insert("Contact", json!({"LastName": "Ben", "AccountId": bolt.as_str()})).unwrap();
    for (name, account, amount, close, stage, contact) in [
        ("One", acme, json!(100), "2026-11-02", "Prospecting", Some(ann)),
        ("Two", acme, json!(20.5), "2026-12-24", "Closed Won", Some(ben)),
        ("Three", bolt, Value::Null, "2027-01-01", "Closed Lost", None),
    ] {
        org.insert(
            "Opportunity",
            json!({"Name": name, "AccountId": account.as_str(), "Amount": amount, "CloseDate": close,
                   "StageName": stage, "ContactId": contact.map(|id| id.to_string())}),
        )
        .unwrap();
    }
    sim
}

/// The names (or, without one, ids) a query finds.
fn names(sim: &Sim, query: &str) -> Vec<String> {
    let rows = sim.org().query(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    rows.iter().map(|row| row["Name"].as_str().unwrap_or("?").to_owned()).collect()
}

#[track_caller]
fn finds(sim: &Sim, condition: &str, expected: &[&str]) {
    assert_eq!(names(sim, &format!("SELECT Name FROM Opportunity {condition}")), expected, "{condition}");
}

#[test]
fn conditions_find_the_rows_they_describe() {
    let sim = sim();
    for (condition, expected) in [
        ("WHERE Name = 'ONE'", &["One"][..]),
        ("WHERE Amount > 20.5", &["One"]),
        ("WHERE Amount >= 20.5 ORDER BY Amount", &["Two", "One"]),
        ("WHERE Amount = null", &["Three"]),
        ("WHERE Amount != null", &["One", "Two"]),
        ("WHERE NOT Name LIKE 'T%'", &["One"]),
        ("WHERE (Name = 'One' OR Name = 'Two') AND IsWon = true", &["Two"]),
        ("WHERE IsClosed = false", &["One"]),
        ("WHERE Name IN ('One', 'three')", &["One", "Three"]),
        ("WHERE Name NOT IN ('One', 'Three')", &["Two"]),
        ("WHERE CloseDate < 2026-12-31", &["One", "Two"]),
        ("WHERE CloseDate = TODAY", &["One"]),
        ("WHERE CloseDate = NEXT_N_DAYS:60", &["Two", "Three"]),
        ("WHERE SystemModstamp >= 2026-11-02T08:00:00Z", &["One", "Two", "Three"]),
        ("WHERE SystemModstamp > 2026-11-02T09:00:00+01:00", &[]),
        ("WHERE Account.Name LIKE 'bolt 100\\%'", &["Three"]),
        (
            "WHERE Id IN (SELECT OpportunityId FROM OpportunityContactRole WHERE Contact.Account.Name = 'Acme')",
            &["One"],
        ),
        ("WHERE Id NOT IN (SELECT OpportunityId FROM OpportunityContactRole)", &["Three"]),
        ("WHERE ExpectedRevenue = 10", &["One"]),
        ("ORDER BY Amount DESC NULLS LAST, Name LIMIT 2", &["One", "Two"]),
        ("ORDER BY Amount", &["Three", "Two", "One"]),
        ("ORDER BY Account.Name DESC, Name OFFSET 1", &["One", "Two"]),
    ] {
        finds(&sim, condition, expected);
    }
    assert_eq!(names(&sim, "SELECT Name FROM Account WHERE Tags__c INCLUDES ('a;b')"), ["Acme"]);
    assert_eq!(names(&sim, "SELECT Name FROM Account WHERE Tags__c EXCLUDES ('b')"), ["bolt 100%"]);
    assert_eq!(names(&sim, "select c.Name from Contact c where c.LastName = 'O\\'Hara'"), ["Ann O'Hara"]);
}

#[test]
fn parents_nest_and_children_are_a_result_of_their_own_or_null() {
    let rows = sim()
        .org()
        .query(
            "SELECT Name, Account.Name, Account.Owner.Email, \
             (SELECT IsPrimary, Contact.Name FROM OpportunityContactRoles ORDER BY IsPrimary LIMIT 5) \
             FROM Opportunity WHERE Name IN ('One', 'Three') FOR VIEW",
        )
        .unwrap();
    assert_eq!(rows[0]["Account"]["Name"], "Acme");
    assert_eq!(rows[0]["Account"]["Owner"]["Email"], "admin@sim.example.com");
    assert_eq!(rows[0]["OpportunityContactRoles"]["totalSize"], 1);
    assert_eq!(rows[0]["OpportunityContactRoles"]["records"][0]["Contact"]["Name"], "Ann O'Hara");
    assert_eq!(rows[1]["OpportunityContactRoles"], Value::Null);
}

#[track_caller]
fn refused(query: &str, code: &str, text: &str) {
    let error = sim().org().query(query).expect_err(query);
    assert_eq!(error.code, code, "{query}: {error}");
    assert!(error.message.contains(text), "{query}: {error}");
}

#[test]
fn refusals_carry_the_code_and_the_place() {
    refused(
        "SELECT Id FROM Oportunity",
        "INVALID_TYPE",
        "ERROR at Row:1:Column:16\nsObject type 'Oportunity'",
    );
    refused("SELECT Id, Foo FROM Account", "INVALID_FIELD", "No such column 'Foo' on entity 'Account'");
    refused("SELECT AnnualRevenue FROM Account", "INVALID_FIELD", "No such column 'AnnualRevenue'");
    refused("SELECT Id FROM Account WHERE AnnualRevenue > 1", "INVALID_FIELD", "No such column");
    refused("SELECT Boss.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Boss'");
    refused("SELECT Id, (SELECT Id FROM Roles) FROM Account", "INVALID_TYPE", "relationship 'Roles'");
    refused("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "must be of type string");
    refused("SELECT Id FROM Account WHERE CreatedDate > '2026'", "INVALID_FIELD", "must be of type dateTime");
    refused("SELECT Id FROM Opportunity WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered");
    refused(
        "SELECT Id FROM Account WHERE Id = 'nonsense'",
        "INVALID_QUERY_FILTER_OPERATOR",
        "invalid ID field",
    );
    for query in [
        "",
        "SELECT",
        "SELECT Id FRO Account",
        "SELECT Id FROM Account WHERE Name = 'open",
        "SELECT Id FROM Account WHERE a = 1 AND b = 2 OR c = 3",
        "SELECT Id FROM Account LIMIT x",
        "SELECT Id,, Name FROM Account",
        "SELECT count(), Id FROM Account",
        "SELECT FIELDS(ALL) FROM Account",
        "SELECT Id FROM Account WHERE Name = ü",
    ] {
        assert_eq!(sim().org().query(query).expect_err(query).code, "MALFORMED_QUERY", "{query}");
    }
}

#[test]
fn deep_nesting_is_refused_and_not_a_crash() {
    let query = format!("SELECT Id FROM Account WHERE {}Name = 'x'", "(".repeat(50_000));
    assert_eq!(parser::parse(&query).unwrap_err().code, "MALFORMED_QUERY");
    let query = format!("SELECT Id FROM Account WHERE {}Name = 'x'", "NOT ".repeat(20_000));
    assert_eq!(parser::parse(&query).unwrap_err().code, "MALFORMED_QUERY");
}

#[test]
fn cut_and_spliced_queries_never_panic() {
    let sim = sim();
    let whole = "SELECT Id, Ünit__c, (SELECT Id FROM Contacts) FROM Account WHERE Name LIKE 'ä\\'%' AND (CreatedDate \
                 >= 2026-01-01T00:00:00+01:00 OR Id IN (SELECT AccountId FROM Contact)) ORDER BY Name DESC LIMIT 3";
    let places: Vec<usize> = whole.char_indices().map(|(at, _)| at).collect();
    for from in &places {
        for to in places.iter().step_by(7) {
            let text = format!("{}{}", &whole[..*from], &whole[*to..]);
            if let Ok(query) = parser::parse(&text) {
                sim.read(|org| bind::bind(org, &text, &query, false).map(|_| ())).ok();
            }
        }
    }
}

#[test]
fn deleted_rows_answer_only_to_query_all() {
    let sim = sim();
    let id = sim.org().find("Opportunity", "Name", "One").unwrap();
    sim.org().delete("Opportunity", id).unwrap();
    finds(&sim, "", &["Two", "Three"]);
    let text = "SELECT Id, IsDeleted FROM Opportunity WHERE IsDeleted = true";
    let all = sim.read(|org| {
        let plan = bind::bind(org, text, &parser::parse(text).unwrap(), true).unwrap();
        super::eval::rows(org, &plan).len()
    });
    assert_eq!(all, 1);
    assert_eq!(sim.org().query("SELECT Id FROM OpportunityContactRole").unwrap().len(), 1, "roles go along");
    sim.org().undelete("Opportunity", id).unwrap();
    assert_eq!(sim.org().query("SELECT Id FROM OpportunityContactRole").unwrap().len(), 2, "and come back");
}

#[test]
fn fields_functions_name_what_is_visible() {
    let rows = sim().org().query("SELECT FIELDS(ALL) FROM Account LIMIT 1").unwrap();
    assert!(rows[0].get("AnnualRevenue").is_none());
    assert_eq!(rows[0]["Tags__c"], "a;b");
    assert_eq!(rows[0]["NumberOfEmployees"], 7);
    let rows = sim().org().query("SELECT FIELDS(STANDARD) FROM Account").unwrap();
    assert!(rows[0].get("Tags__c").is_none());
}
