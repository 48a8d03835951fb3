//! Org files and data files, right and wrong.

use dealsync_salesforce_sim::{OrgFile, Sim, generate, load};

fn sim() -> Sim {
    Sim::new(OrgFile::default()).unwrap()
}

fn load(sim: &Sim, files: &[(&str, &str)]) -> Result<usize, String> {
    sim.change(|org| load::texts(org, files)).map_err(|error| error.to_string())
}

const PLAN: &str = r#"[
    {"sobject": "Account", "saveRefs": true, "resolveRefs": false, "files": ["Accounts.json"]},
    {"sobject": "Contact", "saveRefs": true, "resolveRefs": true, "files": ["Contacts.json"]}
]"#;

#[test]
fn a_data_tree_resolves_references_and_nested_children() {
    let sim = sim();
    let accounts = r#"{"records": [
        {"attributes": {"type": "Account", "referenceId": "A1"}, "Name": "Top"},
        {"attributes": {"type": "Account", "referenceId": "A2"}, "Name": "Nested", "Contacts": {"records": [
            {"attributes": {"type": "Contact", "referenceId": "C2"}, "LastName": "Inside"}
        ]}}
    ]}"#;
    let contacts = r#"{"records": [
        {"attributes": {"type": "Contact", "referenceId": "C1"}, "LastName": "Referring", "AccountId": "@A1"}
    ]}"#;
    let files = [("data-plan.json", PLAN), ("Accounts.json", accounts), ("Contacts.json", contacts)];
    assert_eq!(load(&sim, &files), Ok(4));
    let rows = sim.org().query("SELECT LastName, Account.Name FROM Contact ORDER BY LastName").unwrap();
    assert_eq!(rows[0]["Account"]["Name"], "Nested");
    assert_eq!(rows[1]["Account"]["Name"], "Top");
}

#[test]
fn csv_rows_name_each_other_and_may_be_out_of_reach() {
    let sim = sim();
    let contacts = "@ref,LastName,AccountId,CreatedDate,@state\nc,Gone,@a,2020-02-03T04:05:06Z,deleted\nd,Here,@a,,hidden\n";
    let files = [("Contact.csv", contacts), ("Account.csv", "@ref,Name\na,\"Comma, Inc.\"\n")];
    assert_eq!(load(&sim, &files), Ok(3));
    assert_eq!(sim.org().query("SELECT Id FROM Contact").unwrap().len(), 0);
    assert_eq!(sim.org().count("Contact"), 1);
}

#[test]
fn a_wrong_data_file_is_told_by_file_and_row() {
    for (file, text, message) in [
        ("Account.csv", "Name\nx\ny,z\n", "Account.csv: "),
        ("Account.csv", "Nmae\nx\n", "Account.csv, row 2: INVALID_FIELD: No such column 'Nmae'"),
        ("Contact.csv", "LastName,AccountId\nx,@nobody\n", "AccountId refers to @nobody, which is not there"),
        ("Thing.csv", "Name\nx\n", "there is no object \"Thing\""),
        ("data-plan.json", PLAN, "names Accounts.json, which is not there"),
        ("Accounts.json", "{\"records\": [", "EOF while parsing"),
    ] {
        let error = load(&sim(), &[(file, text)]).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_wrong_org_file_is_refused() {
    for (text, message) in [
        ("pagesize = 3", "unknown field `pagesize`"),
        (
            "[[fields]]\nobject = \"Account\"\nname = \"X__c\"\ntype = \"text\"\nlenght = 3",
            "unknown field `lenght`",
        ),
        ("clock = \"tomorrow\"", "is no time"),
        ("page_size = 0", "page sizes"),
        ("[org]\nid = \"001\"", "begins with 00D"),
        ("hidden_fields = [\"Amount\"]", "Object.Field"),
    ] {
        let error = OrgFile::parse(text).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    for (text, message) in [
        ("[[fields]]\nobject = \"Account\"\nname = \"X__c\"\ntype = \"txt\"", "none of checkbox"),
        ("[[fields]]\nobject = \"Thing\"\nname = \"X__c\"\ntype = \"text\"", "there is no object \"Thing\""),
        ("hidden_fields = [\"Account.Nothing\"]", "there is no such field"),
    ] {
        let error = Sim::new(OrgFile::parse(text).unwrap()).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_generated_org_is_whole() {
    let file = OrgFile::parse(dealsync_salesforce_sim::demo::ORG_TOML).unwrap();
    let sim = Sim::new(file).unwrap();
    sim.change(|org| generate::fill(org, 500, 40)).unwrap();
    let rows = sim.org().query(
        "SELECT Portal_Partner_Email__c, Description, Account.Name, (SELECT Contact.Email FROM OpportunityContactRoles \
         WHERE IsPrimary = true) FROM Opportunity WHERE Export_to_Portal_Deal__c = true AND Sync_with_Portal__c = true",
    );
    let rows = rows.unwrap();
    assert_eq!(rows.len(), 500);
    assert_eq!(rows[40]["Portal_Partner_Email__c"], generate::partner_email(1));
    let description = rows[3]["Description"].as_str().unwrap();
    assert!(["\"", "&", "é", "\n"].iter().all(|piece| description.contains(piece)));
    assert!(rows.iter().all(|row| row["OpportunityContactRoles"]["totalSize"] == 1));
    assert!(sim.change(|org| generate::fill(org, 0, 1)).is_ok());
}
