//! The integration log: every cause by its code, once, with its fix, for as long as
//! it is true.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use dealsync::clock::Clock;
use dealsync::run::{Kind, Request};
use dealsync::salesforce::InProcess;
use dealsync::store::{AsideFilter, LogEntry, NewUser};
use dealsync_core::ids::{SfId, UserId};
use dealsync_core::people::{UserKind, UserStatus};
use dealsync_core::reason::Retry;
use dealsync_salesforce_sim::orgfile::CustomField;
use dealsync_salesforce_sim::rows::Cell;
use dealsync_salesforce_sim::{Fault, FaultKind, OrgFile, Sim, demo};
use dealsync_tests::{ACME, Person, World, distributor, guest, hours, minutes, opportunity, partner};
use expect_test::expect;
use serde_json::{Value, json};
use uuid::Uuid;

fn text_field(name: &str) -> CustomField {
    let described = json!({ "object": "Opportunity", "name": name, "type": "text", "length": 100 });
    serde_json::from_value(described).expect("a field")
}

fn org(change: impl Fn(&str) -> String) -> Sim {
    Sim::new(OrgFile::parse(&change(demo::ORG_TOML)).expect("an org file")).expect("its fields")
}

/// Entries as people read them: code, record, sentence, fix. Ids become `<id>`.
fn told(entries: &[LogEntry]) -> String {
    let mut lines = BTreeSet::new();
    for entry in entries {
        let words = format!("{} {}", entry.message, entry.fix);
        assert!(!words.contains(['{', '}']), "a placeholder is left: {entry:?}");
        assert!(entry.fix.trim().len() > 4, "there is something to do: {entry:?}");
        assert_eq!(entry.sf_id.is_some(), !entry.name.is_empty(), "a record is named: {entry:?}");
        let mut line = format!("{} {}", entry.level.name(), entry.code);
        if !entry.name.is_empty() {
            write!(line, " [{}]", entry.name).expect("writing to a string");
        }
        write!(line, "\n    {}\n    {}\n", entry.message, entry.fix).expect("writing to a string");
        lines.insert(anonymous(&line));
    }
    lines.into_iter().collect()
}

/// Leaves out what is another each time: ids of records, and the line of a panic.
fn anonymous(line: &str) -> String {
    let ends = [' ', '.', ',', ';', '\n'];
    let words = line.split_inclusive(ends);
    words
        .map(|word| {
            let bare = word.trim_end_matches(ends);
            if bare.parse::<SfId>().is_ok() {
                word.replace(bare, "<id>")
            } else if bare.starts_with("rs:") {
                word.replace(bare, "rs:<line>")
            } else {
                word.to_owned()
            }
        })
        .collect()
}

/// The id of a request is another one each time.
fn without_request(message: &str) -> String {
    match message.split_once(" (request ") {
        Some((before, after)) => format!("{before}{}", after.split_once(')').map_or("", |(_, rest)| rest)),
        None => message.to_owned(),
    }
}

fn sql(world: &World) -> rusqlite::Connection {
    rusqlite::Connection::open(world.folder.path().join("tenants/acme.db")).expect("the tenant's file")
}

/// The demo org with its users.
async fn demo_world() -> World {
    let example = include_str!("../../examples/tenants/acme/tenant.toml")
        .replace("https://acme.my.salesforce.com", "http://127.0.0.1")
        .replace("ACME_SALESFORCE_SECRET", "SECRET");
    let world = World::of(Sim::demo(0).expect("the demo"), &example).await;
    let people = demo::USERS_CSV.lines().skip(1).map(|line| {
        let [email, first, last, kind, status, organisation, group, may, id] =
            line.split(',').collect::<Vec<_>>().try_into().expect("nine columns");
        Person(NewUser {
            id: UserId(Uuid::nil()),
            email: email.into(),
            first_name: first.into(),
            last_name: last.into(),
            kind: UserKind::from_name(kind).expect("a kind"),
            status: UserStatus::from_name(status).expect("a status"),
            organisation: organisation.into(),
            group: group.into(),
            may_register_deals: may == "yes",
            external_id: Some(id.into()),
        })
    });
    world.users(people.collect::<Vec<_>>()).await;
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flagged_record_that_did_not_import_is_in_the_log() {
    let world = demo_world().await;
    let counts = world.full().await.counts;
    assert_eq!((counts.selected, counts.created, counts.parked, counts.skipped), (77, 50, 25, 2));
    let entries = world.open_entries().await;
    let told: BTreeSet<SfId> =
        entries.iter().filter(|entry| entry.deal.is_none()).filter_map(|entry| entry.sf_id).collect();
    let flagged = world.org().query("SELECT Id, Name FROM Opportunity WHERE Export_to_Portal_Deal__c = true");
    let deals: BTreeSet<String> = world.deals().await.into_iter().collect();
    let left: BTreeSet<SfId> = flagged
        .expect("rows")
        .iter()
        .filter(|row| !deals.contains(row["Name"].as_str().expect("a name")))
        .map(|row| row["Id"].as_str().expect("an id").parse().expect("an id"))
        .collect();
    assert_eq!(left.len() as u64, counts.parked + counts.skipped);
    assert_eq!(told, left, "each of them, and no other");
    // What a run counts under is what the log says, record by record.
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for aside in world.store().await.asides(AsideFilter::default()).await.expect("asides") {
        *reasons.entry(aside.code.name().to_owned()).or_default() += 1;
        assert!(entries.iter().any(|entry| entry.sf_id == Some(aside.sf_id) && entry.code == aside.code));
    }
    assert_eq!(reasons, counts.reasons);
}

const FIELDS: &str = r#"
[[deal_field]]
name = "seats"
label = "Seats"
kind = "integer"
[[deal_field]]
name = "discount"
label = "Discount"
kind = "decimal"
[[deal_field]]
name = "renews"
label = "Renews"
kind = "date"
[[deal_field]]
name = "key"
label = "Key"
max_length = 10

[[mapping]]
to = "seats"
from = "Seats__c"
[[mapping]]
to = "discount"
from = "Partner_Discount__c"
[[mapping]]
to = "renews"
from = "Renews__c"
[[mapping]]
to = "key"
from = "Key__c"
[[mapping]]
to = "region"
from = "Region__c"
values = { AMER = "Americas" }
[[mapping]]
to = "next_step"
from = "NextStep"
conflict = "ask"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_of_the_import_has_its_sentence_and_its_fix() {
    let sim = org(str::to_owned);
    for name in ["Seats__c", "Renews__c", "Key__c"] {
        sim.org().add_field(&text_field(name)).expect("a field");
    }
    let world = World::of(sim, &format!("{ACME}{FIELDS}")).await;
    let twin = partner("twin@partner.example");
    let double = distributor("double@distributor.example");
    world
        .users([
            partner("pending@partner.example").status(UserStatus::Pending),
            partner("plain@partner.example").without_permission(),
            partner("inside@acme.example").kind(UserKind::Internal),
            twin.clone().external_id("1"),
            twin.external_id("2"),
            distributor("dis@distributor.example"),
            distributor("gone@distributor.example").status(UserStatus::Disabled),
            distributor("plain@distributor.example").without_permission(),
            double.clone().external_id("3"),
            double.external_id("4"),
        ])
        .await;
    let through =
        |name: &str, email: &str| opportunity(name).owner_type("Distributor-owned").distributor(email);
    for each in [
        opportunity("No account").without_account(),
        opportunity("No contact").without_contacts(),
        opportunity("None primary").none_primary().other_contact("Eve", "Poe"),
        opportunity("No first name").contact_field("FirstName", Value::Null),
        opportunity("No partner").partner(""),
        opportunity("Two partners").partner("a@x.example; b@x.example"),
        opportunity("A partner nobody knows").partner("dan@partner.example"),
        opportunity("A pending partner").partner("pending@partner.example"),
        opportunity("An internal partner").partner("inside@acme.example"),
        opportunity("A partner without permission").partner("plain@partner.example"),
        opportunity("A partner twice").partner("twin@partner.example"),
        through("No distributor", ""),
        through("Text for a distributor", "distributor"),
        through("A distributor nobody knows", "di@distributor.example"),
        through("A disabled distributor", "gone@distributor.example"),
        through("A partner for a distributor", "dana@partner.example"),
        through("A distributor without permission", "plain@distributor.example"),
        through("A distributor twice", "double@distributor.example"),
        through("A distributor without partner", "dis@distributor.example").partner(""),
        opportunity("An odd owner type").owner_type("Vendor-owned"),
        opportunity("No amount").set("Amount", Value::Null),
        opportunity("An unknown region").set("Region__c", "LATAM"),
        opportunity("Seats in words").set("Seats__c", "many"),
        opportunity("A long key").set("Key__c", "12345678901"),
        opportunity("Half a percent").set("Partner_Discount__c", 12.5),
        opportunity("No day").set("Renews__c", "2026-02-30"),
        opportunity("Without sync flag").sync_flag(false),
        opportunity("An account twice").account_named("Twice Inc"),
    ] {
        world.has(each);
    }
    let hidden = world.has(opportunity("A contact one may not see"));
    let contact = world.org().query(&format!("SELECT ContactId FROM Opportunity WHERE Id = '{hidden}'"));
    let contact = contact.expect("a row")[0]["ContactId"].as_str().expect("an id").parse().expect("an id");
    world.org().set_hidden("Contact", contact, true).expect("a contact");
    let garbled = world.has(opportunity("An answer nobody can read"));
    world.sim.change(|org| {
        let at = org.object("Opportunity").expect("an object");
        let row = org.tables[at].row(garbled).expect("a row");
        org.set_named(at, row, "CloseDate", Cell::text("soon"));
    });
    let store = world.store().await;
    let dana = store.user("dana@partner.example").await.expect("a user").id;
    for nth in 1..=2 {
        let id = Uuid::from_u128(nth);
        sql(&world)
            .execute(
                "INSERT INTO account (id, owner, name, name_key, created_at) VALUES (?1, ?2, 'Twice Inc', 'twice inc', 1)",
                rusqlite::params![id.as_bytes(), dana.0.as_bytes()],
            )
            .expect("an account of the portal's own");
    }
    // These import first, and then something becomes of them.
    let [deleted, unticked, disputed, moved, orphaned, removed] =
        ["Deleted", "Unticked", "Disputed", "Moved", "Orphaned", "Removed"]
            .map(|name| world.has(opportunity(name).set("NextStep", "Call")));
    world.users([partner("leaving@partner.example")]).await;
    world
        .org()
        .update("Opportunity", orphaned, json!({ "Portal_Partner_Email__c": "leaving@partner.example" }))
        .expect("an edit");
    assert_eq!(world.full().await.counts.created, 6);

    world.advance(hours(1));
    let now = world.clock.now_micros();
    world.org().delete("Opportunity", deleted).expect("deleted");
    let edit = |id, fields| world.org().update("Opportunity", id, fields).expect("an edit");
    edit(unticked, json!({ "Sync_with_Portal__c": false }));
    edit(disputed, json!({ "NextStep": "Write" }));
    sql(&world)
        .execute(
            "UPDATE deal SET fields = replace(fields, 'Call', 'Visit') WHERE fields LIKE '%Disputed%'",
            [],
        )
        .expect("an edit in the portal");
    edit(moved, json!({ "Portal_Partner_Email__c": "plain@partner.example" }));
    edit(orphaned, json!({ "Amount": 1 }));
    store.set_user_status("leaving@partner.example", UserStatus::Disabled, now).await.expect("a user");
    let deal = store.deal_of(removed).await.expect("a deal").row.id;
    store.remove_deal(deal, "sam@acme.example", now).await.expect("removed");
    world.full().await;
    expect![[r#"
        error ACCOUNT_MISSING [No account]
            Not imported: this Opportunity has no Account.
            Set the Account on the Opportunity.
        error CONTACT_MISSING [No contact]
            Not imported: no Contact is attached.
            Add a Contact role to the Opportunity and mark it Primary.
        error CONTACT_NAME_MISSING [No first name]
            Primary Contact has no first name.
            Fill it in, or map a default for it.
        error DATE_INVALID [No day]
            "2026-02-30" in Renews is not a valid date.
            Check the date format and time zone of Renews, or change the mapping.
        error DIST_EMAIL_BLANK [No distributor]
            Distributor-owned, but Portal Distributor Email is empty.
            Enter the distributor user's email in Portal Distributor Email.
        error DIST_EMAIL_INVALID [Text for a distributor]
            "distributor" is not an email address.
            Correct Portal Distributor Email; one address only.
        error DIST_USER_AMBIGUOUS [A distributor twice]
            2 users have double@distributor.example.
            Merge or disable the extra users.
        error DIST_USER_NOT_ACTIVE [A disabled distributor]
            gone@distributor.example exists but is disabled.
            Enable the user.
        error DIST_USER_NO_PERMISSION [A distributor without permission]
            plain@distributor.example may not own deals: group Partner Sales lacks Deal Registration.
            Give the group the permission or move the user.
        error DIST_USER_UNKNOWN [A distributor nobody knows]
            No portal user has di@distributor.example.
            Invite the user or correct the address. Close matches: dis@distributor.example.
        error DIST_USER_WRONG_TYPE [A partner for a distributor]
            dana@partner.example is a partner user; a Distributor user is needed.
            Use a distributor user, or set Deal Owner Type to Partner-owned.
        error MATCH_AMBIGUOUS [An account twice]
            Not imported: 2 accounts of this owner match Twice Inc.
            Merge them, or link one of them to the Salesforce record.
        error NUMBER_OUT_OF_RANGE [Half a percent]
            "12.50" in Partner Discount does not fit Discount.
            Enter a whole number in Partner Discount, or widen Discount.
        error OWNER_TYPE_UNKNOWN [An odd owner type]
            "Vendor-owned" is not an owner type.
            Use Partner-owned or Distributor-owned.
        error PARTNER_EMAIL_BLANK [No partner]
            The field Portal Partner Email is empty, so no owner is known.
            Enter the partner user's email in Portal Partner Email.
        error PARTNER_EMAIL_INVALID [Two partners]
            "a@x.example; b@x.example" is not an email address.
            Correct Portal Partner Email; one address only.
        error PARTNER_REQUIRED_FOR_DIST [A distributor without partner]
            Distributor deals need a partner here.
            Enter the partner email in Portal Partner Email, or relax the setting.
        error PARTNER_USER_AMBIGUOUS [A partner twice]
            2 users have twin@partner.example.
            Merge or disable the extra users.
        error PARTNER_USER_NOT_ACTIVE [A pending partner]
            pending@partner.example exists but is pending.
            Re-send the invitation.
        error PARTNER_USER_NO_PERMISSION [A partner without permission]
            plain@partner.example may not own deals: group Partner Sales lacks Deal Registration.
            Give the group the permission or move the user.
        error PARTNER_USER_UNKNOWN [A partner nobody knows]
            No portal user has dan@partner.example.
            Invite the user or correct the address. Close matches: dana@partner.example.
        error PARTNER_USER_WRONG_TYPE [An internal partner]
            inside@acme.example is an internal user; a Partner user is needed.
            Use a partner user.
        error PICKLIST_UNMAPPED_IN [An unknown region]
            "LATAM" in Region has no match.
            Map it, or choose a default for unknown values.
        error PRIMARY_CONTACT_MISSING [None primary]
            Not imported: 2 contacts are attached, none is Primary.
            Tick Primary on one of: Jo Doe, Eve Poe.
        error PRIMARY_CONTACT_UNREADABLE [A contact one may not see]
            Not imported: the Primary Contact <id> cannot be read.
            Restore the contact, or grant the integration user read access to it.
        error RECORD_UNREADABLE [An answer nobody can read]
            Not imported: Salesforce's answer for this record could not be read: CloseDate holds no date.
            Check the fields named; if they look right, report it with the request id.
        error REQUIRED_VALUE_EMPTY [No amount]
            Amount is required; Amount is empty.
            Fill Amount, or set a default on the mapping.
        error STRING_TOO_LONG [A long key]
            Key takes 10 characters, Key has 11.
            Shorten Key, raise the field length, or allow cutting in the mapping.
        error TYPE_MISMATCH [Seats in words]
            "many" in Seats cannot become a whole number for Seats.
            Correct Seats, or change the mapping.
        info OUT_OF_SCOPE [Unticked]
            No longer synced: Sync with Portal was cleared. The deal stays.
            Tick the flag to resume.
        info OWNER_EMAIL_CHANGED [Moved]
            Portal Partner Email now says plain@partner.example; the deal stays with dana@partner.example.
            Give the deal to the other user if that is meant.
        info OWNER_NOW_INACTIVE [Orphaned]
            The owner leaving@partner.example is disabled; updates go on.
            Give the deal to another user.
        info SYNC_FLAG_MISSING [Without sync flag]
            Ignored: Export to Portal Deal is ticked, but Sync with Portal is not.
            Tick both.
        info UNLINKED_BY_PERSON [Removed]
            Not imported again: sam@acme.example removed this deal on 2026-11-22.
            Link it or import it again by hand.
        warning CONFLICT_BOTH_CHANGED [Disputed]
            Next Step changed on both sides: Salesforce has Write, the portal Visit; kept both until somebody chooses.
            Accept, or set the value you want; change the field's rule if it is wrong.
        warning RECORD_DELETED [Deleted]
            The linked record was deleted in Salesforce.
            Restore it from the Recycle Bin, or unlink the deal.
    "#]].assert_eq(&told(&world.open_entries().await));
    for aside in store.asides(AsideFilter::default()).await.expect("asides") {
        let by_itself = matches!(aside.code.entry().retry, Retry::Auto);
        assert_eq!(aside.due_at.is_some(), by_itself, "{aside:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_or_a_switched_off_module_says_is_in_the_log() {
    let module_off = ACME
        .replace("enabled = true", "enabled = false")
        .replace("distributor_email =", "# distributor_email =");
    let rules = r#"
        [[deal_field]]
        name = "tier"
        label = "Tier"
        [[rules]]
        name = "acme"
        component = "acme.wasm"
        [[rules]]
        name = "mischief"
        component = "mischief.wasm"
        version = "7.0.0"
    "#;
    let sim = org(str::to_owned);
    let end = json!({ "object": "Opportunity", "name": "Contract_End__c", "type": "date" });
    sim.org().add_field(&serde_json::from_value(end).expect("a field")).expect("a field");
    let world = World::of(sim, ACME).await;
    let files = [("acme.wasm", guest("acme")), ("mischief.wasm", guest("mischief"))];
    world.apply_with(&format!("{module_off}{rules}"), files.clone()).await.expect("settings");
    world.has(opportunity("An ended renewal").set("Renewal__c", true).set("Contract_End__c", "2025-01-31"));
    world.has(opportunity("panic"));
    world.has(opportunity("For a distributor").owner_type("Distributor-owned"));
    let report = world.full().await;
    assert_eq!((report.counts.created, report.counts.parked), (1, 2), "{report:?}");
    // A rule may fill what no mapping feeds; where none does, each record says so.
    let needed = rules.replace("label = \"Tier\"", "label = \"Tier\"\nrequired = true");
    world.apply_with(&format!("{module_off}{needed}"), files).await.expect("settings");
    world.has(opportunity("Without tier"));
    world.incremental().await;
    expect![[r#"
        error REQUIRED_MAPPING_MISSING [An ended renewal]
            No mapping feeds Tier.
            Add the mapping on the Deal to Opportunity tab.
        error REQUIRED_MAPPING_MISSING [Without tier]
            No mapping feeds Tier.
            Add the mapping on the Deal to Opportunity tab.
        error TENANT_RULE_CRASHED [panic]
            Rule "mischief" v7.0.0 failed: asked to panic at plugins/mischief/src/lib.rs:<line>.
            Fix the rule or go back to its previous version; the record is untouched.
        error TENANT_RULE_REJECTED [An ended renewal]
            Rule "acme" v0.1.0: The contract to renew has ended. [RENEWAL_ENDED]
            Correct the contract's end, or untick Renewal.
        info DIST_MODULE_OFF [For a distributor]
            Imported for the partner: Owner type is Distributor-owned but the Distributor module is off.
            Enable the module, or change the value.
    "#]]
    .assert_eq(&told(&world.open_entries().await));
}

/// A world with ten records that import, and what its log says after something
/// happened to the connection: the same entry however often it is seen.
async fn said(happens: impl AsyncFnOnce(&mut World)) -> LogEntry {
    let mut world =
        World::with(&ACME.replace("grant =", "daily_api_calls = 60\nmanual_reserve = 20\ngrant =")).await;
    for nth in 0..10 {
        world.has(opportunity(&format!("Globex {nth}")));
    }
    world.full().await;
    world.advance(hours(2));
    happens(&mut world).await;
    for _ in 0..2 {
        world.run(Request::scheduled(Kind::Full)).await.expect_err("it cannot run");
        world.advance(minutes(30));
    }
    let mut entries = world.open_entries().await;
    assert_eq!(entries.len(), 1, "once, and not per record: {entries:#?}");
    let entry = &mut entries[0];
    (entry.message, entry.fix) = (without_request(&entry.message), without_request(&entry.fix));
    entries.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_concerns_the_connection_stands_once_and_not_per_record() {
    let always = |kind: FaultKind, on: &str| Fault::new(kind).on(on).times(0);
    let mut entries = Vec::new();
    for (kind, on) in [
        (FaultKind::Unauthorized, "query"),
        (FaultKind::DailyLimit, "query"),
        (FaultKind::ConcurrentLimit, "query"),
        (FaultKind::Unavailable, "query"),
    ] {
        entries.push(said(async |world: &mut World| world.sim.fault(always(kind, on))).await);
    }
    entries.push(
        said(async |world: &mut World| {
            let refused = ACME.replace("client_id = \"dealsync\"", "client_id = \"nobody\"");
            world.apply(&refused).await.expect("settings");
        })
        .await,
    );
    entries.push(
        said(async |world: &mut World| {
            for _ in 0..60 {
                if world.run(Request::scheduled(Kind::Full)).await.is_err() {
                    break;
                }
            }
        })
        .await,
    );
    entries.push(
        said(async |world: &mut World| {
            world.org().hide_field("Opportunity", "Portal_Partner_Email__c").expect("a field");
        })
        .await,
    );
    entries.push(
        said(async |world: &mut World| {
            let other = org(|file| file.replace("00DHs00000DEMO1", "00DHs00000OTHER"));
            world.restart_with(Arc::new(InProcess::new(other.router())));
        })
        .await,
    );
    assert!(entries.iter().all(|entry| entry.sf_id.is_none()));
    expect![[r#"
        error API_LIMIT
            The org's API calls are used up; paused.
            Lower the use of other apps, raise the limit, or wait. query: REQUEST_LIMIT_EXCEEDED (HTTP 403): TotalRequests Limit exceeded.
        error AUTH_BAD
            Salesforce refused the login: token: invalid_client_id (HTTP 400): client identifier invalid.
            Check the credentials, the environment, login hours and IP ranges.
        error AUTH_EXPIRED
            Salesforce access was withdrawn.
            Connect again; if it repeats, look at the app's policies. query: INVALID_SESSION_ID (HTTP 401): Session expired or invalid
        error FIELD_NOT_VISIBLE
            Portal_Partner_Email__c on Opportunity is not visible to the integration user.
            Grant field-level security for it, then check the connection again.
        error ORG_CHANGED
            The login leads to org <id>, expected <id>; nothing was written.
            Check the connection, or confirm the new org. if the new org is meant, run with --confirm: links to the old one stay as they are
        error SF_UNAVAILABLE
            Salesforce did not answer: query: SERVER_UNAVAILABLE (HTTP 503): Server temporarily unavailable.
            Nothing; the run is tried again. If it lasts, see the status of your instance.
        info API_CONCURRENCY
            Too many parallel calls; slowed down.
            Nothing; consider fewer parallel jobs.
        warning BUDGET_REACHED
            Our share of the allotted API calls a day is used.
            Raise the share, or lengthen the interval. runs go on after 2026-11-23T00:00:00Z
    "#]].assert_eq(&told(&entries));
}
