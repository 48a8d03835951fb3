//! The command line as a person meets it.

use clap::CommandFactory as _;
use expect_test::expect;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_documented_command_parses() {
    for line in [
        "dealsync serve --log-format json",
        "dealsync --data d tenant apply acme.toml",
        "dealsync tenant list --json",
        "dealsync tenant export acme",
        "dealsync tenant check acme",
        "dealsync tenant delete acme --yes",
        "dealsync user import users.csv --tenant acme",
        "dealsync user list --tenant acme --status pending",
        "dealsync user set dana@acme.example --status active",
        "dealsync lane list",
        "dealsync lane runs",
        "dealsync lane run --tenant acme --full --json",
        "dealsync lane run --incremental",
        "dealsync lane run --dry-run",
        "dealsync lane run --backfill --since 2025-01-01 --mail digest --yes",
        "dealsync lane run --confirm",
        "dealsync lane pause",
        "dealsync lane resume",
        "dealsync deal list --sort amount --asc",
        "dealsync deal show 006D000000IRFma",
        "dealsync deal reown 006D000000IRFma --to dana@acme.example",
        "dealsync deal remove 006D000000IRFma --yes",
        "dealsync log list --level error --state all --code ACCOUNT_MISSING",
        "dealsync log list --grouped",
        "dealsync log ack --all",
        "dealsync parked list",
        "dealsync parked show 006D000000IRFma",
        "dealsync parked retry 006D000000IRFma 006D000000IRFmb",
        "dealsync parked retry --all",
        "dealsync rules check acme.wasm",
        "dealsync rules try acme.wasm record.json --tenant acme",
        "dealsync reasons list",
        "dealsync reasons show ACCOUNT_MISSING",
        "dealsync config show -vv",
    ] {
        assert!(parse(line).is_ok(), "{line}: {:?}", parse(line).err().map(|error| error.to_string()));
    }
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for line in [
        "dealsync lane run --full --incremental",
        "dealsync lane run --backfill --incremental",
        "dealsync lane run --since 2025-01-01",
        "dealsync lane run --backfill --since yesterday",
        "dealsync parked retry",
        "dealsync log ack",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn a_verb_that_was_mistyped_is_answered_with_the_right_one() {
    let error = parse("dealsync lane rnu").unwrap_err().to_string();
    assert!(error.contains("run"), "{error}");
}

#[test]
fn the_help_names_every_noun() {
    expect![[r#"
        config   Where things are
        deal     Imported deals
        help     Print this message or the help of the given subcommand(s)
        lane     What runs, and running it now
        log      Why what was not imported was not
        parked   Records set aside
        reasons  The catalogue of everything the log can say
        rules    A tenant's own rules
        serve    Runs the service: every tenant's lanes when they are due, and its mails
        tenant   Tenants and their settings
        user     The portal's users, who own what is imported
    "#]]
    .assert_eq(&nouns());
}

fn nouns() -> String {
    let help = Cli::command().render_help().to_string();
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let mut lines: Vec<String> =
        commands.take_while(|line| !line.is_empty()).map(|line| format!("{}\n", line.trim())).collect();
    lines.sort();
    lines.concat()
}

#[test]
fn pasted_addresses_of_records_are_ids() {
    let wanted: SfId = "006D000000IRFma".parse().unwrap();
    for text in [
        "006D000000IRFma",
        " 006D000000IRFmaIAH ",
        "https://acme.lightning.force.com/lightning/r/Opportunity/006D000000IRFmaIAH/view",
        "https://eu1.salesforce.com/006D000000IRFma",
        "https://eu1.salesforce.com/006D000000IRFma?srPos=0",
    ] {
        assert_eq!(salesforce_id(text), Ok(wanted), "{text}");
    }
    assert!(salesforce_id("https://acme.lightning.force.com/lightning/o/Opportunity/list").is_err());
    assert!(salesforce_id("renewal").is_err());
}

#[test]
fn a_file_that_is_missing_is_answered_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tenant.toml"), "").unwrap();
    let error = read_file(&folder.path().join("tenants.toml"), 10).unwrap_err();
    assert_eq!(error.hints, ["did you mean \"tenant.toml\"?"]);
    std::fs::write(folder.path().join("big"), "0123456789x").unwrap();
    assert!(read_file(&folder.path().join("big"), 10).unwrap_err().message.contains("larger"));
}

#[test]
fn a_command_survives_its_way_to_the_service() {
    let command = parse("dealsync lane run --backfill --since 2025-01-01 --mail digest --yes").unwrap().noun;
    let Noun::Asked(command) = command else { panic!("lane run is asked of the folder's owner") };
    let request = Request { command, json: true, actor: "dana".into() };
    let text = serde_json::to_string(&request).unwrap();
    let back: Request = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
}
