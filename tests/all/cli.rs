//! The command line as a person has it: the real program, an org on a port beside it.

use std::process::Stdio;

use dealsync_salesforce_sim::{Fault, FaultKind};
use dealsync_tests::{Running, Shell, opportunity, wait_until};
use expect_test::{expect, expect_file};
use serde_json::Value;

fn names(deals: &Value) -> Vec<&str> {
    deals.as_array().expect("a list").iter().map(|deal| deal["name"].as_str().expect("a name")).collect()
}

/// Every command, in the order of the help.
const COMMANDS: &str = "
serve
tenant
tenant apply
tenant list
tenant export
tenant check
tenant delete
user
user import
user list
user set
lane
lane list
lane runs
lane run
lane pause
lane resume
deal
deal list
deal show
deal reown
deal remove
log
log list
log ack
parked
parked list
parked show
parked retry
rules
rules check
rules try
reasons
reasons list
reasons show
config
config show";

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_help_is_as_reviewed() {
    let shell = Shell::bare().await;
    let mut help = String::new();
    for command in COMMANDS.lines() {
        let text = shell.good(&format!("{command} --help"));
        let title = format!("dealsync {command}");
        help.push_str(&format!("==== {}\n{text}\n", title.trim()));
    }
    expect_file!["../snapshots/help.txt"].assert_eq(&help);
    // What the list above forgets would not be reviewed.
    let listed = |line: &str| {
        let help = shell.good(&format!("{line} --help"));
        let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        verbs
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .filter(|verb| verb != "help")
            .collect::<Vec<_>>()
    };
    for noun in listed("") {
        assert!(COMMANDS.lines().any(|line| line == noun), "{noun}");
        for verb in listed(&noun) {
            assert!(COMMANDS.lines().any(|line| line == format!("{noun} {verb}")), "{noun} {verb}");
        }
    }
}

/// Three records, made on days that are not in the order of their ids.
async fn three_deals() -> Shell {
    let shell = Shell::new().await;
    for (name, amount) in [("Birch", 900.5), ("alder", 15_000.0), ("Cedar", 1_000.0)] {
        shell.has(opportunity(name).set("Amount", amount));
        shell.full();
    }
    shell
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_deals_are_listed_newest_first() {
    let shell = three_deals().await;
    let deals = shell.json("deal list");
    assert_eq!(names(&deals), ["Cedar", "alder", "Birch"]);
    let created: Vec<&str> =
        deals.as_array().unwrap().iter().map(|deal| deal["created"].as_str().unwrap()).collect();
    assert!(created.is_sorted_by(|newer, older| newer >= older), "{created:?}");
    assert!(deals.as_array().unwrap().iter().all(|deal| deal["source"] == "imported"));
    let table = shell.good("deal list");
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].starts_with("CREATED"), "{table}");
    assert!(rows[1].contains("Cedar") && rows[3].contains("Birch"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deals_are_sorted_by_the_column_asked_for() {
    let shell = three_deals().await;
    for (asked, wanted) in [
        ("--asc", ["Birch", "alder", "Cedar"]),
        ("--sort created", ["Cedar", "alder", "Birch"]),
        ("--sort name", ["Cedar", "Birch", "alder"]),
        ("--sort name --asc", ["alder", "Birch", "Cedar"]),
        ("--sort amount", ["alder", "Cedar", "Birch"]),
        ("--sort amount --asc", ["Birch", "Cedar", "alder"]),
    ] {
        assert_eq!(names(&shell.json(&format!("deal list {asked}"))), wanted, "{asked}");
    }
    assert_eq!(names(&shell.json("deal list --sort amount --limit 1")), ["alder"]);
    assert_eq!(names(&shell.json("deal list --search ceda")), ["Cedar"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_shows_its_people_its_record_and_its_values() {
    let shell = Shell::new().await;
    let id = shell.has(opportunity("Globex Renewal"));
    shell.full();
    let shown = shell.json(&format!("deal show {id}"));
    let own = shown["id"].as_str().expect("an id of ours");
    let minute = |text: &str| format!("{} {}", &text[..10], &text[11..16]);
    let created = minute(shown["created"].as_str().expect("a date"));
    let text = shell.good(&format!("deal show {own}")).replace(own, "ID").replace(&created, "CREATED");
    expect![[r#"
        Globex Renewal
          id                    ID
          owner                 Dana Vance (dana@partner.example)
          partner               Dana Vance (dana@partner.example)
          account               Globex Renewal Inc
          contact               Jo Doe (jo@globex-renewal.example)
          status                registered, imported
          created               CREATED
          Salesforce            Opportunity 006Hs0000004C93IAE, linked
          amount                15000.00
          close_date            2026-12-31
          stage                 Prospecting
          contact_first_name    Jo
          contact_last_name     Doe
          contact_email         jo@globex-renewal.example
          account_name          Globex Renewal Inc
          description           Globex Renewal: "as agreed"
          currency              USD
    "#]]
    .assert_eq(&text);
    assert_eq!(shown["contact"], "Jo Doe");
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_listed_with_their_last_and_next_run() {
    let shell = Shell::new().await;
    shell.write("other.toml", shell.settings().replace("\"acme\"", "\"other\""));
    shell.good("tenant apply other.toml");
    let lane = |tenant: &str| shell.json(&format!("lane list --tenant {tenant}"))[0].clone();
    let before = lane("acme");
    assert_eq!((&before["state"], &before["last_run"]), (&"waiting".into(), &Value::Null));
    shell.has(opportunity("Globex Renewal"));
    shell.good("lane run --tenant acme");
    let after = lane("acme");
    assert_eq!((&after["result"], &after["counts"]["created"]), (&"completed".into(), &1.into()));
    assert!(after["next_run"].as_str() > after["last_run"].as_str(), "{after}");
    let table = shell.good("lane list --tenant acme");
    assert!(table.starts_with("LANE") && table.contains("1 created"), "{table}");

    // One of them is acted on, the other is left as it is.
    shell.good("lane pause --tenant acme --why audit");
    assert_eq!((&lane("acme")["state"], &lane("acme")["why"]), (&"paused".into(), &"audit".into()));
    assert_eq!(lane("acme")["next_run"], Value::Null);
    assert_eq!(lane("other")["state"], "waiting");
    assert_eq!(lane("other")["last_run"], Value::Null);
    expect![[r#"
        exit 1
        error: the lane deals/pull/Opportunity is paused (audit)
        hint: resume it with: dealsync lane resume
    "#]]
    .assert_eq(&shell.told("lane run --tenant acme"));
    shell.good("lane resume --tenant acme");
    assert_eq!(lane("acme")["state"], "waiting");
    shell.good("lane run --tenant acme");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_has_json() {
    let shell = Shell::new().await;
    shell.has(opportunity("Globex Renewal"));
    shell.has(opportunity("Initech Upgrade").partner("dana@partner.exmple"));
    shell.has(opportunity("Hooli Pilot").sync_flag(false));
    shell.full();
    let mut keys = String::new();
    for list in [
        "tenant list",
        "user list",
        "lane list",
        "lane runs",
        "deal list",
        "log list",
        "log list --grouped",
        "parked list",
        "parked list --skipped",
        "reasons list",
    ] {
        let shown = shell.json(list);
        let rows = shown.as_array().unwrap_or_else(|| panic!("{list}: {shown}"));
        let first = rows.first().unwrap_or_else(|| panic!("{list} is empty"));
        keys.push_str(&format!("{list}: {}\n", key_list(first)));
    }
    keys.push_str(&format!("config show: {}\n", key_list(&shell.json("config show"))));
    expect![[r#"
        tenant list: created health id name next_run settings_version
        user list: deal_registration email external_id first group id last organisation status type
        lane list: counts error lane last_run next_run result state tenant why
        lane runs: api_calls backfill counts error finished id kind lane started state trigger
        deal list: account amount close_date contact created currency distributor fields id link name owner partner salesforce_id salesforce_object source stage status updated
        log list: code deal detail field first_seen fix id lane last_seen level message name salesforce_id seen_count state
        log list --grouped: code count fix last_seen level names
        parked list: attempts code due first_seen kind last_seen name reasons salesforce_id waits_on
        parked list --skipped: attempts code due first_seen kind last_seen name reasons salesforce_id waits_on
        reasons list: about code fix level retry sentence
        config show: data data_exists key log_filter service_running socket tenants tenants_at_once version
    "#]].assert_eq(&keys);
    // With nothing to show they are lists still.
    shell.good("tenant delete acme --yes");
    assert_eq!(shell.json("tenant list"), Value::Array(Vec::new()));
}

fn key_list(object: &Value) -> String {
    let mut keys: Vec<&str> = object.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_whole_plan_and_writes_nothing() {
    let shell = Shell::new().await;
    let known = shell.has(opportunity("Globex Renewal"));
    shell.full();
    shell.sim.org().update("Opportunity", known, serde_json::json!({ "Amount": 17000 })).unwrap();
    shell.has(opportunity("Initech Upgrade"));
    shell.has(opportunity("Umbrella Refresh").without_account());
    let before = shell.bytes();
    shell.sim.reset_tally();
    let answer = shell.run("lane run --full --dry-run");
    assert!(shell.sim.tally().total > 0, "the org is asked");
    assert!(shell.bytes() == before, "no file of the data folder has changed");
    let stable = |line: &str| match line.split_once("dry full run done in") {
        Some((start, _)) => format!("{start}dry full run done in TIME, nothing was written\n"),
        None if line.contains("API calls") => String::new(),
        None => format!("{line}\n"),
    };
    expect![[r#"
        update     006Hs0000004C93IAE  Globex Renewal
            amount                15000.00 -> 17000.00
        create     006Hs0000004C94IAE  Initech Upgrade
            owner                 dana@partner.example
            partner               dana@partner.example
            account               Initech Upgrade Inc (new)
            contact               Jo Doe (new)
            name                  Initech Upgrade
            amount                15000.00
            close_date            2026-12-31
            stage                 Prospecting
            contact_first_name    Jo
            contact_last_name     Doe
            contact_email         jo@initech-upgrade.example
            account_name          Initech Upgrade Inc
            description           Initech Upgrade: "as agreed"
            currency              USD
            mail to dana@partner.example
        park       006Hs0000004C95IAE  Umbrella Refresh
            ACCOUNT_MISSING Not imported: this Opportunity has no Account.
            Fix: Set the Account on the Opportunity.
        acme deals/pull/Opportunity: dry full run done in TIME, nothing was written
          3 selected = 1 created + 1 updated + 0 unchanged + 1 parked + 0 skipped
               1 × ACCOUNT_MISSING
    "#]]
    .assert_eq(&answer.out.lines().map(stable).collect::<String>());
    assert!(answer.out.contains("API calls"), "what it cost is said: {}", answer.out);
    let deals = shell.json("deal list");
    assert_eq!(names(&deals), ["Globex Renewal"]);
    assert_eq!(deals[0]["amount"], "15000.00");
    assert_eq!(shell.json("parked list"), Value::Array(Vec::new()));
    // The run itself does what was announced.
    let done = shell.full();
    assert_eq!((&done["created"], &done["updated"], &done["parked"]), (&1.into(), &1.into(), &1.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_beside_serve_goes_on_when_nobody_follows_it() {
    let shell = Shell::new().await;
    for at in 0..40 {
        shell.has(opportunity(&format!("Deal {at:02}")));
    }
    // No run by the schedule in between.
    shell.good("lane pause");
    let serve = shell.serve();
    shell.good("lane resume --json");
    let slow = Fault { ms: 700, ..Fault::new(FaultKind::Slow) };
    shell.sim.fault(slow.on("query").times(0));
    let follower =
        Running::start(shell.command("lane run --full").stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("the lane runs", || shell.json("lane list")[0]["state"] == "running");
    drop(follower);
    wait_until("the run is done", || shell.json("lane runs")[0]["state"] == "completed");
    shell.sim.clear_faults();
    assert_eq!(shell.json("lane runs").as_array().map(Vec::len), Some(1), "one run, not begun again");
    assert_eq!(shell.json("deal list").as_array().map(Vec::len), Some(40));
    let (well, said) = serve.stop();
    assert!(well && said.contains("Stopped"), "{said}");
    // Whoever has the folder now: the command does it itself.
    assert_eq!(shell.full()["unchanged"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_beside_serve_are_handed_to_it() {
    let shell = Shell::new().await;
    shell.has(opportunity("Globex Renewal"));
    let alone = shell.told("lane list --tenant acmee");
    let serve = shell.serve();
    assert_eq!(shell.json("config show")["service_running"], true);
    wait_until("the service imports by itself", || shell.json("deal list")[0]["name"] == "Globex Renewal");
    shell.has(opportunity("Initech Upgrade"));
    let run = shell.run("lane run --full");
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.err.contains("2 of 2: 1 created"), "its progress is followed: {}", run.err);
    assert!(run.out.contains("2 selected = 1 created"), "{}", run.out);
    // A file is read where the person is; an error arrives as it was, code and all.
    shell.write("more.csv", "email,first,last,type\nkim@partner.example,Kim,Lee,partner\n");
    assert!(shell.good("user import more.csv").contains("1 created"));
    assert_eq!(shell.told("lane list --tenant acmee"), alone);
    // A second service does not start.
    let second = shell.run("serve");
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains(&format!("in use by process {}", serve.0.id())), "{}", second.err);
    assert!(serve.stop().0);
    assert_eq!(shell.json("config show")["service_running"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_in_use_names_its_owner() {
    let shell = Shell::new().await;
    shell.has(opportunity("Globex Renewal"));
    let slow = Fault { ms: 8_000, ..Fault::new(FaultKind::Slow) };
    shell.sim.fault(slow.on("token"));
    let mut command = shell.command("lane run --full");
    let running = Running::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    wait_until("it has the folder", || shell.sim.tally().kind("token") > 0);
    let refused = shell.told("deal list").replace(&running.0.id().to_string(), "PID");
    expect![[r#"
        exit 1
        error: the data folder data is in use by process PID
        hint: stop it, or use another folder
        hint: commands are handed to a running service, but this one does not answer
    "#]]
    .assert_eq(&refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn user_set_status_frees_what_waited() {
    let shell = Shell::new().await;
    shell.good("user set dana@partner.example --status pending");
    shell.has(opportunity("Globex Renewal"));
    assert_eq!(shell.full()["reasons"]["PARTNER_USER_NOT_ACTIVE"], 1);
    let answer = shell.run("user set dana@partner.example --status active");
    expect![[r#"
        exit 0
        dana@partner.example is active
        1 parked record waited for this and will be tried by the next run
    "#]]
    .assert_eq(&answer.told());
    assert_eq!(shell.json("lane run --incremental")["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_deal_comes_back_only_when_a_person_says_so() {
    let shell = Shell::new().await;
    let id = shell.has(opportunity("Globex Renewal"));
    shell.full();
    expect![[r#"
        exit 1
        error: this needs to be confirmed
        hint: add --yes
    "#]]
    .assert_eq(&shell.told(&format!("deal remove {id}")));
    shell.good(&format!("deal remove {id} --yes"));
    assert_eq!(shell.full()["reasons"]["UNLINKED_BY_PERSON"], 1);
    let said = shell.told(&format!("parked retry {id}"));
    expect![[r#"
        exit 0
        1 record will be tried by the next run
        hint: run it now with: dealsync lane run --incremental
    "#]]
    .assert_eq(&said);
    assert_eq!(shell.full()["created"], 1);
    // Also where no run has come by in between.
    shell.good(&format!("deal remove {id} --yes"));
    shell.good(&format!("parked retry {id}"));
    assert_eq!(shell.full()["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn deal_reown_checks_the_new_owner() {
    let shell = Shell::new().await;
    shell.write(
        "more.csv",
        "email,first,last,type,status\n\
         kim@partner.example,Kim,Lee,partner,active\n\
         pat@partner.example,Pat,Roe,partner,disabled\n\
         ines@acme.example,Ines,Ray,internal,active\n",
    );
    shell.good("user import more.csv");
    let id = shell.has(opportunity("Globex Renewal"));
    shell.full();
    let mut told = String::new();
    for to in ["pat@partner.example", "ines@acme.example", "kim@partner.exampl", "kim@partner.example"] {
        told.push_str(&shell.told(&format!("deal reown {id} --to {to}")));
    }
    expect![[r#"
        exit 1
        error: PARTNER_USER_NOT_ACTIVE: pat@partner.example exists but is disabled.
        hint: Pending: re-send the invitation. Inactive: reactivate the organisation. Disabled: enable the user.
        exit 1
        error: PARTNER_USER_WRONG_TYPE: ines@acme.example is a user of type internal; a Partner user is needed.
        hint: Use a partner user, or set Deal Owner Type to Distributor-owned.
        exit 1
        error: there is no user "kim@partner.exampl"; did you mean "kim@partner.example"?
        hint: all of them: dealsync user list
        exit 0
        Globex Renewal now belongs to kim@partner.example
    "#]].assert_eq(&told);
    assert_eq!(shell.json(&format!("deal show {id}"))["owner"], "kim@partner.example");
    // The next run leaves it to whom a person gave it.
    shell.full();
    assert_eq!(shell.json(&format!("deal show {id}"))["owner"], "kim@partner.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_delete_asks_first() {
    let shell = Shell::new().await;
    assert_eq!(shell.run("tenant delete acme").code, 1);
    assert_eq!(shell.json("tenant list")[0]["id"], "acme");
    shell.good("tenant delete acme --yes");
    assert_eq!(shell.run("deal list --tenant acme").code, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_a_hint_and_an_exit_code() {
    let shell = Shell::new().await;
    let mut told = String::new();
    for line in [
        "deal list --tenant acne",
        "lane run deals/pull/Oportunity",
        "lane pause deals/push/Lead",
        "deal show 006Hs0000004C93IAE",
        "deal show renewal",
        "parked show 006Hs0000004C93IAE",
        "user set dana@partner.exampel --status active",
        "log list --code ACCOUNT_MISING",
        "reasons show ACCOUNT_MISING",
        "log ack nonsense",
        "tenant export acm",
        "lane rnu",
        "deal list --sort nmae",
        "deals list",
        "--data elsewhere deal list",
    ] {
        let answer = shell.told(line);
        assert!(!answer.starts_with("exit 0"), "{line}: {answer}");
        told.push_str(&format!("$ dealsync {line}\n{answer}\n"));
    }
    expect_file!["../snapshots/errors.txt"].assert_eq(&told);
    // A run that fails on the other side says so by its own code.
    shell.sim.fault(Fault::new(FaultKind::Html).times(0));
    let run = shell.run("lane run");
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.err.contains("error: SF_UNAVAILABLE") && run.err.contains("hint: "), "{}", run.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tenants_have_to_be_told_apart() {
    let shell = Shell::new().await;
    shell.write("other.toml", shell.settings().replace("\"acme\"", "\"other\""));
    shell.good("tenant apply other.toml");
    expect![[r#"
        exit 2
        error: there are several tenants; say which with --tenant
        hint: there are acme and other
    "#]]
    .assert_eq(&shell.told("deal list"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_no_panic() {
    let shell = Shell::bare().await;
    let mut command = shell.command("reasons list");
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    drop(running.0.stdout.take());
    let mut said = String::new();
    let mut err = running.0.stderr.take().expect("piped");
    std::io::Read::read_to_string(&mut err, &mut said).expect("text");
    assert!(running.0.wait().expect("it ends").code().is_some(), "it ends by itself");
    assert_eq!(said, "");
}
