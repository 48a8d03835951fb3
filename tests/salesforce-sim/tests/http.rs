//! The simulator over real connections, asked the way clients ask.

use dealsync_salesforce_sim::{Fault, FaultKind, Late, OrgFile, Sim, demo};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// A session with a simulator of its own.
struct World {
    sim: Sim,
    base: String,
    client: Client,
    token: String,
}

struct Answer {
    status: StatusCode,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl World {
    async fn new(org: &str) -> Self {
        Self::of(Sim::new(OrgFile::parse(org).unwrap()).unwrap(), "sim-client", "sim-secret").await
    }

    async fn demo() -> Self {
        Self::of(Sim::demo(0).unwrap(), "demo-client", "demo-secret").await
    }

    async fn of(sim: Sim, id: &str, secret: &str) -> Self {
        let base = sim.start().await.unwrap();
        let mut world = Self { sim, base, client: Client::new(), token: String::new() };
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let answer = world.token(&form).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        world.token = answer.body["access_token"].as_str().unwrap().to_owned();
        world
    }

    async fn token(&self, form: &str) -> Answer {
        let url = format!("{}/services/oauth2/token", self.base);
        let request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded");
        read(request.body(form.to_owned()).send().await.unwrap()).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = if path.starts_with("/services") {
            format!("{}{path}", self.base)
        } else {
            format!("{}/services/data/v62.0/{path}", self.base)
        };
        self.client.request(method, url).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Answer {
        read(self.request(Method::GET, path).send().await.unwrap()).await
    }

    async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.request(method, path).header("content-type", "application/json");
        read(request.body(body.to_string()).send().await.unwrap()).await
    }

    async fn query(&self, soql: &str) -> Answer {
        self.get(&format!("query/?q={}", soql.replace('%', "%25").replace('+', "%2B").replace(' ', "+")))
            .await
    }

    /// Every row of a query, page by page.
    async fn all(&self, soql: &str) -> Vec<Value> {
        let mut answer = self.query(soql).await;
        let mut rows = Vec::new();
        loop {
            assert_eq!(answer.status, 200, "{}", answer.body);
            rows.extend(answer.body["records"].as_array().unwrap().clone());
            match answer.body["nextRecordsUrl"].as_str() {
                Some(next) => answer = self.get(next).await,
                None => return rows,
            }
        }
    }
}

async fn read(response: reqwest::Response) -> Answer {
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Answer { status, headers, body }
}

fn code(answer: &Answer) -> &str {
    answer.body[0]["errorCode"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn tokens_come_for_the_right_credentials_only() {
    let world = World::new("").await;
    let wrong = world.token("grant_type=client_credentials&client_id=sim-client&client_secret=no").await;
    assert_eq!((wrong.status.as_u16(), wrong.body["error"].as_str()), (400, Some("invalid_client")));
    let wrong = world.token("grant_type=client_credentials&client_id=other&client_secret=no").await;
    assert_eq!(wrong.body["error"], "invalid_client_id");
    let wrong = world.token("grant_type=guess").await;
    assert_eq!(wrong.body["error"], "unsupported_grant_type");
    let wrong = world
        .token("grant_type=refresh_token&client_id=sim-client&client_secret=sim-secret&refresh_token=x")
        .await;
    assert_eq!(wrong.body["error_description"], "expired access/refresh token");
    let right = world.token("grant_type=refresh_token&client_id=sim-client&client_secret=sim-secret&refresh_token=sim-refresh").await;
    assert_eq!(right.status, 200);
    assert_eq!(right.body["instance_url"], world.base.as_str());
    assert!(right.body.get("expires_in").is_none() && right.body.get("refresh_token").is_none());
    let info = world.get("/services/oauth2/userinfo").await;
    assert!(info.body["organization_id"].as_str().unwrap().starts_with("00DHs0000000SIM"));
    assert_eq!(info.body["preferred_username"], "admin@sim.example.com");
}

#[tokio::test]
async fn a_rotated_refresh_token_works_once() {
    let world = World::demo().await;
    let form = |token: &str| {
        format!(
            "grant_type=refresh_token&client_id=demo-rotating&client_secret=demo-secret&refresh_token={token}"
        )
    };
    let first = world.token(&form("demo-rotating-refresh")).await;
    let next = first.body["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(world.token(&form("demo-rotating-refresh")).await.body["error"], "invalid_grant");
    assert_eq!(world.token(&form(&next)).await.status, 200);
}

#[tokio::test]
async fn assertions_are_looked_at() {
    let world = World::new("").await;
    let ask = async |claims: Value| {
        use base64::Engine as _;
        let part = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
        let assertion = format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(claims));
        world
            .token(&format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
            ))
            .await
    };
    let claims =
        |exp: Value, aud: &str, sub: &str| json!({"iss": "sim-client", "sub": sub, "aud": aud, "exp": exp});
    let admin = "admin@sim.example.com";
    let login = "https://login.salesforce.com";
    assert_eq!(ask(claims(json!("99999999999"), login, admin)).await.status, 200, "a string will do");
    assert_eq!(
        ask(claims(json!(99_999_999_999_999u64), &world.base, admin)).await.status,
        200,
        "so will milliseconds"
    );
    assert_eq!(ask(claims(json!(1), login, admin)).await.body["error"], "invalid_grant");
    let audience = ask(claims(json!(99_999_999_999u64), "https://elsewhere.example", admin)).await;
    assert_eq!(audience.body["error_description"], "Audience validation failed");
    assert_eq!(ask(claims(json!(99_999_999_999u64), login, "nobody")).await.body["error"], "invalid_grant");
}

#[tokio::test]
async fn an_assertion_must_be_signed_by_the_apps_key_when_it_has_one() {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let [own, other] = [(); 2].map(|()| RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap());
    let der: PublicKeyX509Der<'_> = own.public_key().as_der().unwrap();
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der.as_ref()));
    let org = format!(
        "[[apps]]\nclient_id = \"sim-client\"\nclient_secret = \"sim-secret\"\npublic_key = \"\"\"\n{pem}\"\"\"\n"
    );
    let world = World::new(&org).await;
    for (key, status) in [(&own, 200), (&other, 400)] {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({"iss": "sim-client", "sub": "admin@sim.example.com",
                            "aud": "https://test.salesforce.com", "exp": 99_999_999_999u64});
        let signed = format!("{}.{}", part(json!({"alg": "RS256"})), part(claims));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion={signed}.{}",
            URL_SAFE_NO_PAD.encode(signature)
        );
        assert_eq!(world.token(&form).await.status, status);
    }
}

#[tokio::test]
async fn pages_follow_their_locator_and_serve_every_row_once() {
    let world = World::new("page_size = 3").await;
    for at in 0..8 {
        world.sim.org().insert("Account", json!({"Name": format!("Account {at}")})).unwrap();
    }
    let first = world.query("SELECT Name FROM Account ORDER BY Name").await;
    assert_eq!(first.body["totalSize"], 8);
    assert_eq!(first.body["done"], false);
    let next = first.body["nextRecordsUrl"].as_str().unwrap();
    assert!(next.starts_with("/services/data/v62.0/query/0r8") && next.ends_with("-3"), "{next}");
    let rows = world.all("SELECT Name FROM Account ORDER BY Name").await;
    let names: Vec<_> = rows.iter().map(|row| row["Name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 8);
    assert!(names.is_sorted());
    assert!(first.headers["sforce-limit-info"].to_str().unwrap().starts_with("api-usage="));
    assert_eq!(world.sim.tally().rows["Account"], 11);
    world.sim.drop_cursors();
    assert_eq!(code(&world.get(next).await), "INVALID_QUERY_LOCATOR");
    assert_eq!(
        world.query("SELECT count() FROM Account").await.body,
        json!({"totalSize": 8, "done": true, "records": []})
    );
}

#[tokio::test]
async fn a_describe_is_sent_again_only_when_the_schema_moved() {
    let world = World::demo().await;
    let first = world.get("sobjects/Opportunity/describe").await;
    let field = |answer: &Answer, name: &str| {
        answer.body["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned()
    };
    assert_eq!(field(&first, "Portal_Partner_Email__c").unwrap()["type"], "string");
    assert_eq!(field(&first, "ContactId").unwrap()["updateable"], false);
    let since = first.headers["last-modified"].to_str().unwrap().to_owned();
    let again = || {
        world
            .request(Method::GET, "sobjects/Opportunity/describe/")
            .header("if-modified-since", &since)
            .send()
    };
    let same = read(again().await.unwrap()).await;
    assert_eq!((same.status.as_u16(), same.body), (304, json!("")));
    world.sim.org().hide_field("Opportunity", "Region__c").unwrap();
    let moved = read(again().await.unwrap()).await;
    assert_eq!(moved.status, 200);
    assert_eq!(field(&moved, "Region__c"), None);
    assert_eq!(code(&world.query("SELECT Region__c FROM Opportunity").await), "INVALID_FIELD");
    assert_eq!(world.get("sobjects/Nothing/describe").await.status, 404);
}

#[tokio::test]
async fn retrieve_answers_in_order_with_null_for_what_cannot_be_read() {
    let world = World::new("").await;
    let org = world.sim.org();
    let [one, two, three] = ["A", "B", "C"].map(|name| org.insert("Account", json!({"Name": name})).unwrap());
    org.delete("Account", two).unwrap();
    org.set_hidden("Account", three, true).unwrap();
    let ids = json!([three.as_str(), "001Hs00000ZZZZZ", one.as_str(), two.as_str(), one.as_str()]);
    let answer =
        world.send(Method::POST, "composite/sobjects/Account", json!({"ids": ids, "fields": ["Name"]})).await;
    let names: Vec<_> = answer.body.as_array().unwrap().iter().map(|row| row["Name"].clone()).collect();
    assert_eq!(names, [Value::Null, Value::Null, json!("A"), Value::Null, json!("A")]);
    let answer =
        world.send(Method::POST, "composite/sobjects/Account", json!({"ids": ids, "fields": ["Nam"]})).await;
    assert_eq!(code(&answer), "INVALID_FIELD");
}

#[tokio::test]
async fn rows_are_checked_by_their_describe() {
    let world = World::demo().await;
    let create = async |fields: Value| world.send(Method::POST, "sobjects/Opportunity", fields).await;
    let good = json!({"Name": "New", "StageName": "Prospecting", "CloseDate": "2027-01-01"});
    let with = |name: &str, value: Value| {
        let mut fields = good.clone();
        fields[name] = value;
        fields
    };
    let made = create(good.clone()).await;
    assert_eq!(made.status, 201);
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(made.headers["location"], format!("/services/data/v62.0/sobjects/Opportunity/{id}"));
    for (fields, expected) in [
        (json!({"Name": "New"}), "REQUIRED_FIELD_MISSING"),
        (with("Name", "x".repeat(121).into()), "STRING_TOO_LONG"),
        (with("Nmae", "x".into()), "INVALID_FIELD"),
        (with("IsWon", true.into()), "INVALID_FIELD_FOR_INSERT_UPDATE"),
        (with("AccountId", "abc".into()), "MALFORMED_ID"),
        (with("AccountId", "001Hs00000ZZZZZ".into()), "INVALID_CROSS_REFERENCE_KEY"),
        (with("ForecastCategoryName", "Maybe".into()), "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        (with("Portal_Distributor_Email__c", "nobody".into()), "INVALID_EMAIL_ADDRESS"),
        (with("Amount", 1e17.into()), "NUMBER_OUTSIDE_VALID_RANGE"),
        (with("CloseDate", "2027-02-30".into()), "JSON_PARSER_ERROR"),
    ] {
        let answer = create(fields).await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, expected), "{}", answer.body);
    }
    let path = format!("sobjects/Opportunity/{id}");
    assert_eq!(
        code(&world.send(Method::PATCH, &path, json!({"ContactId": null})).await),
        "INVALID_FIELD_FOR_INSERT_UPDATE"
    );
    assert_eq!(
        world.send(Method::PATCH, &path, json!({"Amount": 200, "StageName": "Closed Won"})).await.status,
        204
    );
    let read = world.get(&format!("{path}?fields=Amount,IsWon,ExpectedRevenue")).await;
    assert_eq!(
        (&read.body["Amount"], &read.body["IsWon"], &read.body["ExpectedRevenue"]),
        (&json!(200.0), &json!(true), &json!(200.0))
    );
    assert_eq!(world.send(Method::DELETE, &path, Value::Null).await.status, 204);
    let gone = world.send(Method::DELETE, &path, Value::Null).await;
    assert_eq!((gone.status.as_u16(), code(&gone)), (404, "ENTITY_IS_DELETED"));
}

#[tokio::test]
async fn upsert_has_four_outcomes() {
    let world = World::demo().await;
    let path = "sobjects/Opportunity/Portal_Deal_Id__c/D-1";
    let fields = json!({"Name": "Upserted", "StageName": "Prospecting", "CloseDate": "2027-01-01"});
    let made = world.send(Method::PATCH, path, fields.clone()).await;
    assert_eq!((made.status.as_u16(), &made.body["created"]), (201, &json!(true)));
    let again = world.send(Method::PATCH, path, fields.clone()).await;
    assert_eq!((again.status.as_u16(), &again.body["id"]), (200, &made.body["id"]));
    let old = world.send(Method::PATCH, &format!("/services/data/v45.0/{path}"), fields.clone()).await;
    assert_eq!(old.status, 204);
    let unknown = world.send(Method::PATCH, "sobjects/Opportunity/NextStep/x", fields.clone()).await;
    assert_eq!((unknown.status.as_u16(), code(&unknown)), (404, "NOT_FOUND"));
    for name in ["x", "y"] {
        world.sim.org().insert("Contact", json!({"LastName": name, "Email": "two@people.example"})).unwrap();
    }
    let many = world
        .send(Method::PATCH, "sobjects/Contact/Email/two%40people.example", json!({"LastName": "z"}))
        .await;
    assert_eq!((many.status.as_u16(), many.body.as_array().unwrap().len()), (300, 2));
    let only =
        world.send(Method::PATCH, "sobjects/Opportunity/Portal_Deal_Id__c/D-9?updateOnly=true", fields).await;
    assert_eq!(only.status, 404);
}

#[tokio::test]
async fn collections_report_row_by_row_and_roll_back_when_asked() {
    let world = World::new("").await;
    let body = |all: bool| {
        json!({"allOrNone": all, "records": [
            {"attributes": {"type": "Account"}, "Name": "Good"},
            {"attributes": {"type": "Account"}, "Nope": 1},
            {"Name": "No type"},
        ]})
    };
    let answer = world.send(Method::POST, "composite/sobjects", body(true)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(world.sim.org().count("Account"), 0);
    let answer = world.send(Method::POST, "composite/sobjects", body(false)).await;
    assert_eq!(answer.body[0]["success"], true);
    assert_eq!(answer.body[1]["errors"][0]["statusCode"], "INVALID_FIELD");
    assert_eq!(answer.body[2]["errors"][0]["statusCode"], "JSON_PARSER_ERROR");
    let answer = world
        .send(Method::POST, "composite", json!({"compositeRequest": [
            {"method": "POST", "url": "/services/data/v62.0/sobjects/Account", "referenceId": "a", "body": {"Name": "C"}},
            {"method": "POST", "url": "/services/data/v62.0/sobjects/Contact", "referenceId": "c",
             "body": {"LastName": "L", "AccountId": "@{a.id}"}},
            {"method": "GET", "url": "/services/data/v62.0/query?q=SELECT+Account.Name+FROM+Contact", "referenceId": "q"},
        ]}))
        .await;
    assert_eq!(answer.body["compositeResponse"][2]["body"]["records"][0]["Account"]["Name"], "C");
}

#[tokio::test]
async fn one_role_is_primary_and_shows_on_the_opportunity() {
    let world = World::new("").await;
    let org = world.sim.org();
    let [ann, ben] = ["Ann", "Ben"].map(|name| org.insert("Contact", json!({"LastName": name})).unwrap());
    let made = world
        .send(Method::POST, "sobjects/Opportunity", json!({"Name": "O", "StageName": "Prospecting", "CloseDate": "2027-01-01", "ContactId": ann.as_str()}))
        .await;
    let id = made.body["id"].as_str().unwrap();
    let role = json!({"OpportunityId": id, "ContactId": ben.as_str(), "IsPrimary": true});
    assert_eq!(world.send(Method::POST, "sobjects/OpportunityContactRole", role).await.status, 201);
    let roles =
        world.all("SELECT Contact.Name, IsPrimary FROM OpportunityContactRole ORDER BY Contact.Name").await;
    assert_eq!([&roles[0]["IsPrimary"], &roles[1]["IsPrimary"]], [&json!(false), &json!(true)]);
    let rows = world.all("SELECT ContactId FROM Opportunity").await;
    assert_eq!(rows[0]["ContactId"], ben.as_str());
}

#[tokio::test]
async fn faults_strike_the_calls_they_are_meant_for() {
    let world = World::new("page_size = 2").await;
    let org = world.sim.org();
    for at in 0..5 {
        org.insert("Account", json!({"Name": format!("Account {at}")})).unwrap();
    }
    for (kind, status, expected) in [
        (FaultKind::Unauthorized, 401, "INVALID_SESSION_ID"),
        (FaultKind::DailyLimit, 403, "REQUEST_LIMIT_EXCEEDED"),
        (FaultKind::TooManyRequests, 429, ""),
        (FaultKind::ServerError, 500, "UNKNOWN_EXCEPTION"),
        (FaultKind::Unavailable, 503, "SERVER_UNAVAILABLE"),
        (FaultKind::Html, 503, ""),
    ] {
        world.sim.fault(Fault::new(kind).on("query"));
        assert_eq!(world.get("limits").await.status, 200, "meant for queries");
        let answer = world.query("SELECT Id FROM Account").await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (status, expected), "{kind:?}");
        assert_eq!(world.query("SELECT Id FROM Account").await.status, 200, "once");
    }
    world.sim.fault(Fault::new(FaultKind::DuplicateRows).on("query_more"));
    assert_eq!(world.all("SELECT Id FROM Account ORDER BY Id").await.len(), 7);
    world.sim.fault(Fault::new(FaultKind::Truncated).on("query"));
    assert!(world.query("SELECT Id FROM Account").await.body.is_string(), "half a JSON is none");

    let body = json!({"Name": "Cut"}).to_string();
    for (kind, left) in [(FaultKind::CutBefore, 5), (FaultKind::CutAfter, 6)] {
        world.sim.fault(Fault::new(kind).on("insert"));
        let sent = world.request(Method::POST, "sobjects/Account").body(body.clone()).send().await;
        assert!(sent.is_err(), "{kind:?} gives no answer");
        assert_eq!(org.count("Account"), left, "{kind:?}");
    }
    let late = Late {
        object: "Account".to_owned(),
        id: None,
        fields: json!({"Name": "Late"}).as_object().unwrap().clone(),
        seconds_back: 300,
    };
    world.sim.fault(Fault { late: Some(late), ..Fault::new(FaultKind::LateRow).on("query") });
    assert_eq!(world.all("SELECT Id FROM Account WHERE Name = 'Late'").await.len(), 0);
    let rows = world.all("SELECT Name FROM Account ORDER BY SystemModstamp LIMIT 1").await;
    assert_eq!(rows[0]["Name"], "Late");
}

#[tokio::test]
async fn what_was_deleted_or_updated_is_told_by_window() {
    let world = World::new("").await;
    let org = world.sim.org();
    org.stop_clock_at(1_793_606_400);
    let id = org.insert("Account", json!({"Name": "A"})).unwrap();
    org.delete("Account", id).unwrap();
    let kept = org.insert("Account", json!({"Name": "B"})).unwrap();
    let window = "start=2026-11-02T07%3A00%3A00%2B00%3A00&end=2026-11-02T09%3A00%3A00%2B00%3A00";
    let deleted = world.get(&format!("sobjects/Account/deleted/?{window}")).await;
    assert_eq!(
        deleted.body["deletedRecords"],
        json!([{"id": id.as_str(), "deletedDate": "2026-11-02T08:00:00.000+0000"}])
    );
    let updated = world.get(&format!("sobjects/Account/updated/?{window}")).await;
    assert_eq!(updated.body["ids"], json!([kept.as_str()]));
    let short =
        world.get("sobjects/Account/updated?start=2026-11-02T08:00:00Z&end=2026-11-02T08:00:30Z").await;
    assert_eq!(code(&short), "INVALID_REPLICATION_DATE");
}

#[tokio::test]
async fn tokens_end_after_their_calls_and_the_day_after_its_limit() {
    let world = World::new("daily_api_limit = 3\n[session]\ncalls = 2").await;
    assert_eq!(world.get("limits").await.status, 200);
    assert_eq!(world.get("limits").await.status, 200);
    assert_eq!(code(&world.get("limits").await), "INVALID_SESSION_ID");
    let world = World::new("daily_api_limit = 1").await;
    assert_eq!(world.get("limits").await.status, 200);
    assert_eq!(code(&world.get("limits").await), "REQUEST_LIMIT_EXCEEDED");
}

#[tokio::test]
async fn the_control_door_edits_clocks_and_counts() {
    let world = World::demo().await;
    let control = async |path: &str, body: Value| {
        let request = world.client.post(format!("{}/__sim/{path}", world.base));
        read(request.body(body.to_string()).send().await.unwrap()).await
    };
    let edit = json!({"object": "Account", "fields": {"Name": "By hand"}, "as": "sam.rep@acme.example"});
    let id = control("edit", edit).await.body["id"].clone();
    let rows = world.all("SELECT LastModifiedBy.Name FROM Account WHERE Name = 'By hand'").await;
    assert_eq!(rows[0]["LastModifiedBy"]["Name"], "Sam Rep");
    assert_eq!(control("edit", json!({"object": "Account", "id": id, "action": "delete"})).await.status, 200);
    assert_eq!(
        control("edit", json!({"object": "Account", "idd": id})).await.status,
        400,
        "unknown keys are refused"
    );
    assert_eq!(
        control("clock", json!({"stop_at": "2027-01-01T00:00:00Z"})).await.body["now"],
        "2027-01-01T00:00:00.000+0000"
    );
    assert_eq!(control("faults", json!({"kind": "server_error", "on": "limits"})).await.body["left"], 1);
    assert_eq!(world.get("limits").await.status, 500);
    assert_eq!(world.sim.tally().kind("query"), 1);
}

#[tokio::test]
async fn the_demo_has_what_its_table_promises() {
    let world = World::demo().await;
    let table = include_str!("../orgs/demo/EXPECTED.md");
    let rows = world.all("SELECT Name, Export_to_Portal_Deal__c, Sync_with_Portal__c FROM Opportunity").await;
    for row in &rows {
        let name = row["Name"].as_str().unwrap();
        let line = table.lines().find(|line| line.starts_with(&format!("| {name} |")));
        let outcome =
            line.unwrap_or_else(|| panic!("{name} is not in the table")).split('|').nth(2).unwrap().trim();
        assert_eq!(row["Export_to_Portal_Deal__c"] == false, outcome == "not selected", "{name}");
    }
    assert_eq!(table.lines().filter(|line| line.starts_with("| ")).count() - 1, rows.len());
    let unreadable = world.all("SELECT Contact.Name, ContactId FROM OpportunityContactRole WHERE IsPrimary = true AND Contact.Name = null").await;
    assert_eq!(unreadable.len(), 1);
    assert_ne!(unreadable[0]["ContactId"], Value::Null);
}

#[test]
fn seeds_shuffle_the_demo_the_same_way_each_time() {
    let changes = |seed| {
        let sim = Sim::demo(0).unwrap();
        sim.change(|org| demo::shuffle(org, seed))
    };
    assert!(changes(0).is_empty());
    assert!(changes(7).len() > 5);
    assert_eq!(changes(7), changes(7));
    assert_ne!(changes(7), changes(8));
}
