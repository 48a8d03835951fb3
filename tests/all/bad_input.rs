//! What comes in wrong: settings, files of users, keys and data folders. Each is
//! told with what to do, nothing is lost, and others go on. Logins, records and
//! components have `bad_login.rs`, `bad_records.rs` and `bad_rules.rs`.

use std::fs;

use dealsync_tests::{Shell, opportunity};
use expect_test::expect;
use serde_json::Value;

/// Some settings that are wrong in one place.
fn changed(shell: &Shell, from: &str, to: &str) -> String {
    let settings = shell.settings();
    assert!(settings.contains(from), "{from}");
    settings.replacen(from, to, 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_in_the_settings_is_answered_with_the_one_meant() {
    let shell = Shell::new().await;
    let before = shell.json("tenant export acme");
    let mut told = String::new();
    for (from, to) in [
        ("import_flag", "imprt_flag"),
        ("[distributor_module]", "[distributer_module]"),
        ("\"client-credentials\"", "\"client-credential\""),
        ("enabled = true", "enabled = \"yes\""),
        ("[mail]", "[mail"),
        ("client_secret = { env = \"SECRET\" }", "client_secret = \"demo-secret\""),
        ("id = \"acme\"", "id = \"../acme\""),
        ("[mail]", "[[mapping]]\nto = \"ammount\"\nfrom = \"Amount\"\n[mail]"),
        ("[mail]", "[schedule]\nfull = \"hourly\"\n[mail]"),
        ("\"SECRET\"", "\"NO_SUCH_VARIABLE\""),
    ] {
        shell.write("wrong.toml", changed(&shell, from, to));
        told.push_str(&format!("{to}\n{}\n", shell.told("tenant apply wrong.toml")));
    }
    shell.write("wrong.toml", [shell.settings().into_bytes(), vec![b'#'; 1 << 20]].concat());
    told.push_str(&shell.told("tenant apply wrong.toml"));
    shell.write("wrong.toml", b"[tenant]\nid = \"\xff\"\n");
    told.push_str(&shell.told("tenant apply wrong.toml"));
    expect![[r#"
        imprt_flag
        exit 1
        error: wrong.toml: line 16, column 1: unknown field `imprt_flag`, expected one of `pull_opportunities`, `sync_flag`, `import_flag`, `partner_email`, `distributor_email`, `owner_type`
        hint: did you mean `import_flag`?

        [distributer_module]
        exit 1
        error: wrong.toml: line 21, column 2: unknown field `distributer_module`, expected one of `tenant`, `connection`, `deal_registration`, `distributor_module`, `schedule`, `mail`, `deal_field`, `mapping`, `rules`
        hint: did you mean `distributor_module`?

        "client-credential"
        exit 1
        error: wrong.toml: line 9, column 9: unknown variant `client-credential`, expected one of `jwt-bearer`, `client-credentials`, `refresh-token`
        hint: did you mean `client-credentials`?

        enabled = "yes"
        exit 1
        error: wrong.toml: line 22, column 11: invalid type: string "yes", expected a boolean
        hint: every key stands in the example, examples/tenants/acme/tenant.toml

        [mail
        exit 1
        error: wrong.toml: line 24, column 6: unclosed table, expected `]`
        hint: every key stands in the example, examples/tenants/acme/tenant.toml

        client_secret = "demo-secret"
        exit 1
        error: wrong.toml: line 11, column 17: a secret never stands in the settings: write { env = "NAME" } or { file = "path" }
        hint: every key stands in the example, examples/tenants/acme/tenant.toml

        id = "../acme"
        exit 1
        error: wrong.toml: "../acme" is no tenant name: use 1 to 40 lower-case letters, digits and hyphens, a letter first
        hint: every key stands in the example, examples/tenants/acme/tenant.toml

        [[mapping]]
        to = "ammount"
        from = "Amount"
        [mail]
        exit 1
        error: wrong.toml: no deal field is called "ammount"; did you mean "amount"?
        hint: a field of your own is declared with [[deal_field]]

        [schedule]
        full = "hourly"
        [mail]
        exit 1
        error: wrong.toml: line 25, column 8: "hourly" is no span of time: write 90s, 15m, 1h or 1d
        hint: every key stands in the example, examples/tenants/acme/tenant.toml

        "NO_SUCH_VARIABLE"
        exit 1
        error: not set: NO_SUCH_VARIABLE
        hint: the settings name these environment variables; set them and apply again

        exit 1
        error: wrong.toml is larger than 1024 KiB
        hint: is it the right file?
        exit 1
        error: wrong.toml is not UTF-8 text
        hint: save it as UTF-8
    "#]].assert_eq(&told);
    assert_eq!(shell.json("tenant export acme"), before, "the settings in force stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_in_a_user_file_names_line_and_column_and_imports_nothing() {
    let shell = Shell::new().await;
    let before = shell.json("user list");
    shell.write(
        "bad.csv",
        "email,first,last,type,status\n\
         kim@partner.example,Kim,Lee,partner,active\n\
         no address,Pat,Roe,partner,active\n\
         ines@acme.example,Ines,Ray,partnr,active\n\
         omar@acme.example,Omar,Day,internal,actve\n\
         short@acme.example,Sho\n",
    );
    expect![[r#"
        exit 1
        error: bad.csv has 4 problems; nothing was imported
          line 3, column 1 (email): "no address" is not an e-mail address
          line 4, column 4 (type): "partnr" is not known; did you mean "partner"?
          line 5, column 5 (status): "actve" is not known; did you mean "active"?
          line 6: 2 cells, but the header has 5
        hint: correct the file and import it again
    "#]]
    .assert_eq(&shell.told("user import bad.csv"));
    assert_eq!(shell.json("user list"), before, "nothing of it was taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_users_that_is_none_is_told_by_its_header() {
    let shell = Shell::new().await;
    let mut told = String::new();
    let good = "kim@partner.example,Kim,Lee,partner\n";
    let files: [(&str, Vec<u8>); 7] = [
        ("nothing in it", Vec::new()),
        ("no header", good.as_bytes().to_vec()),
        ("a column is missing", b"email,first,last\nkim@partner.example,Kim,Lee\n".to_vec()),
        ("a column comes twice", format!("email,first,last,type,email\n{good}").into_bytes()),
        ("an unknown column", b"email,first,last,type,grp\nkim@partner.example,Kim,Lee,partner,x\n".to_vec()),
        ("Latin-1", b"email,first,last,type\nkim@partner.example,J\xfcrgen,Lee,partner\n".to_vec()),
        ("a quote is never closed", format!("email,first,last,type\n{good}\"kim,\n").into_bytes()),
    ];
    for (what, bytes) in files {
        shell.write("bad.csv", bytes);
        told.push_str(&format!("{what}: {}\n", shell.told("user import bad.csv")));
    }
    expect![[r#"
        nothing in it: exit 1
        error: bad.csv has 4 problems; nothing was imported
          line 1: the column email is missing; the first line names the columns
          line 1: the column first is missing; the first line names the columns
          line 1: the column last is missing; the first line names the columns
          line 1: the column type is missing; the first line names the columns
        hint: correct the file and import it again

        no header: exit 1
        error: bad.csv has 8 problems; nothing was imported
          line 1, column 1 (kim@partner.example): there is no such column
          line 1, column 2 (Kim): there is no such column
          line 1, column 3 (Lee): there is no such column
          line 1, column 4 (partner): there is no such column
          line 1: the column email is missing; the first line names the columns
          line 1: the column first is missing; the first line names the columns
          line 1: the column last is missing; the first line names the columns
          line 1: the column type is missing; the first line names the columns
        hint: correct the file and import it again

        a column is missing: exit 1
        error: bad.csv has 1 problem; nothing was imported
          line 1: the column type is missing; the first line names the columns
        hint: correct the file and import it again

        a column comes twice: exit 1
        error: bad.csv has 2 problems; nothing was imported
          line 1, column 5 (email): this column is there twice
          line 2: 4 cells, but the header has 5
        hint: correct the file and import it again

        an unknown column: exit 1
        error: bad.csv has 1 problem; nothing was imported
          line 1, column 5 (grp): there is no such column
        hint: correct the file and import it again

        Latin-1: exit 1
        error: bad.csv has 1 problem; nothing was imported
          line 2: this is not UTF-8; save the file as "CSV UTF-8"
        hint: correct the file and import it again

        a quote is never closed: exit 1
        error: bad.csv has 1 problem; nothing was imported
          line 3: 1 cell, but the header has 4
        hint: correct the file and import it again

    "#]]
    .assert_eq(&told);
    assert_eq!(shell.json("user list").as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_e_mail_is_taken_and_flagged() {
    let shell = Shell::new().await;
    shell.write(
        "twins.csv",
        "email,first,last,type,external_id\n\
         kim@partner.example,Kim,Lee,partner,U1\n\
         Kim@Partner.example,Kim,Leeson,partner,U2\n",
    );
    expect![[r#"
        exit 0
        2 created, 0 updated, 0 unchanged
        warning: 2 users have kim@partner.example; no deal can be imported for that address until all but one are disabled
    "#]].assert_eq(&shell.told("user import twins.csv"));
    shell.has(opportunity("Globex Renewal").partner("kim@partner.example"));
    assert_eq!(shell.full()["reasons"]["PARTNER_USER_AMBIGUOUS"], 1);
    // Told apart, one of them can be switched off, and then the address is one user's.
    expect![[r#"
        exit 1
        error: 2 users answer to "kim@partner.example"
        hint: name one of them by its id: ID (Kim Lee), ID (Kim Leeson)
    "#]]
    .assert_eq(&shell.told("user set kim@partner.example --status disabled"));
    shell.good("user set U2 --status disabled");
    assert_eq!(shell.full()["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_names_the_file() {
    let shell = Shell::new().await;
    fs::create_dir(shell.path("folder")).expect("a folder");
    let rules = "[[rules]]\nname = \"own\"\ncomponent = \"gone.wasm\"\n[mail]";
    shell.write("rules.toml", changed(&shell, "[mail]", rules));
    let key = "client_secret = { file = \"gone.key\" }";
    shell.write("key.toml", changed(&shell, "client_secret = { env = \"SECRET\" }", key));
    let mut told = String::new();
    for line in [
        "tenant apply tenant.tml",
        "tenant apply nowhere/tenant.toml",
        "tenant apply folder",
        "tenant apply rules.toml",
        "tenant apply key.toml",
        "user import user.csv",
        "rules check gone.wasm",
        "rules try gone.wasm record.json",
        "tenant list --key-file gone.key",
    ] {
        told.push_str(&format!("$ dealsync {line}\n{}\n", shell.told(line)));
    }
    expect![[r#"
        $ dealsync tenant apply tenant.tml
        exit 1
        error: tenant.tml cannot be read: No such file or directory (os error 2)
        hint: did you mean "tenant.toml"?

        $ dealsync tenant apply nowhere/tenant.toml
        exit 1
        error: nowhere/tenant.toml cannot be read: No such file or directory (os error 2)
        hint: names start at the folder this was called in

        $ dealsync tenant apply folder
        exit 1
        error: folder cannot be read: Is a directory (os error 21)
        hint: name a file in it

        $ dealsync tenant apply rules.toml
        exit 1
        error: gone.wasm cannot be read: No such file or directory (os error 2)
        hint: names start at the folder this was called in
        hint: rules.toml names it; names in it start at the folder it lies in

        $ dealsync tenant apply key.toml
        exit 1
        error: gone.key cannot be read: No such file or directory (os error 2)
        hint: names start at the folder this was called in
        hint: key.toml names it; names in it start at the folder it lies in

        $ dealsync user import user.csv
        exit 1
        error: user.csv cannot be read: No such file or directory (os error 2)
        hint: did you mean "users.csv"?

        $ dealsync rules check gone.wasm
        exit 1
        error: gone.wasm cannot be read: No such file or directory (os error 2)
        hint: names start at the folder this was called in

        $ dealsync rules try gone.wasm record.json
        exit 1
        error: gone.wasm cannot be read: No such file or directory (os error 2)
        hint: names start at the folder this was called in

        $ dealsync tenant list --key-file gone.key
        exit 1
        error: the key file gone.key cannot be read or made: No such file or directory (os error 2)
        hint: name a folder that can be written to with --data, or the key's file with --key-file

    "#]]
    .assert_eq(&told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_a_newer_version_is_refused_and_left_alone() {
    let shell = Shell::new().await;
    shell.has(opportunity("Globex Renewal"));
    shell.full();
    for file in ["data/host.db", "data/tenants/acme.db"] {
        let database = rusqlite::Connection::open(shell.path(file)).expect("opens");
        let version: i64 =
            database.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a version");
        database.pragma_update(None, "user_version", 900).expect("written");
        drop(database);
        let before = shell.bytes();
        let answer = shell.run("deal list");
        assert_eq!(answer.code, 1, "{answer:?}");
        let wanted = format!(
            "error: {file} has schema version 900, this program knows {version}\n\
             hint: use the newer program it was written by\n"
        );
        assert_eq!(answer.err, wanted);
        assert!(shell.bytes() == before, "{file} is left alone");
        let database = rusqlite::Connection::open(shell.path(file)).expect("opens");
        database.pragma_update(None, "user_version", version).expect("written");
    }
    assert_eq!(shell.json("deal list")[0]["name"], "Globex Renewal", "nothing is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_cannot_be_one_is_told_by_name() {
    let shell = Shell::new().await;
    let mut told = String::new();
    for data in ["users.csv", "/proc/dealsync", "/dev/null"] {
        told.push_str(&shell.told(&format!("--data {data} tenant apply tenant.toml")));
    }
    expect![[r#"
        exit 1
        error: the key file users.csv/host.key cannot be read or made: Not a directory (os error 20)
        hint: name a folder that can be written to with --data, or the key's file with --key-file
        exit 1
        error: the key file /proc/dealsync/host.key cannot be read or made: No such file or directory (os error 2)
        hint: name a folder that can be written to with --data, or the key's file with --key-file
        exit 1
        error: the key file /dev/null/host.key cannot be read or made: Not a directory (os error 20)
        hint: name a folder that can be written to with --data, or the key's file with --key-file
    "#]].assert_eq(&told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_costs_one_tenant() {
    let shell = Shell::new().await;
    shell.write("other.toml", shell.settings().replace("\"acme\"", "\"other\""));
    shell.good("tenant apply other.toml");
    shell.good("user import users.csv --tenant other");
    shell.has(opportunity("Globex Renewal"));
    let kept = fs::read(shell.path("data/tenants/acme.db")).expect("a file");
    fs::write(shell.path("data/tenants/acme.db"), vec![7; 20_000]).expect("written");
    expect![[r#"
        exit 1
        error: data/tenants/acme.db is damaged or no database
        hint: put a backup in its place
    "#]]
    .assert_eq(&shell.told("deal list --tenant acme"));
    assert_eq!(shell.json("lane run --tenant other")["created"], 1);
    assert_eq!(shell.json("tenant list").as_array().map(Vec::len), Some(2), "the list shows both");
    // A backup in its place, and it goes on.
    fs::write(shell.path("data/tenants/acme.db"), kept).expect("written");
    assert_eq!(shell.json("lane run --tenant acme")["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_more_loses_nothing() {
    let shell = Shell::new().await;
    for at in 0..60 {
        let long = "word ".repeat(1_500);
        shell.has(opportunity(&format!("Deal {at:02}")).set("Description", long));
    }
    shell.good("tenant check acme");
    // The shell lets its files grow so far and no further, and the program is told
    // by an error where it writes more.
    let mut command = std::process::Command::new("sh");
    let real = shell.command("lane run --full");
    command.current_dir(shell.folder.path()).envs(real.get_envs().filter_map(|(k, v)| Some((k, v?))));
    command.arg("-c").arg("trap '' XFSZ; ulimit -f 600; exec \"$@\"").arg("sh").arg(real.get_program());
    let answer = dealsync_tests::answer(command.args(real.get_args()));
    assert_ne!(answer.code, 0, "{answer:?}");
    // Where the time is, the service's own log speaks.
    let told: String = answer
        .told()
        .lines()
        .filter(|line| !line.starts_with("20"))
        .map(|line| format!("{line}\n"))
        .collect();
    expect![[r#"
        exit 3
        error: data/tenants/acme.db could not be read or written
        hint: see that its disk is well and has room, then try again
    "#]]
    .assert_eq(&shell.stable(&told));
    let kept = shell.json("deal list").as_array().map_or(0, Vec::len);
    let done = shell.full();
    assert_eq!((&done["created"], &done["unchanged"]), (&(60 - kept).into(), &kept.into()));
    let deals = shell.json("deal list");
    let names: std::collections::BTreeSet<&str> =
        deals.as_array().unwrap().iter().filter_map(|deal| deal["name"].as_str()).collect();
    assert_eq!(names.len(), 60, "each is there once");
    assert_eq!(deals.as_array().map(Vec::len), Some(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told_before_anything_is_read() {
    let shell = Shell::new().await;
    let with_key =
        |key: &str| dealsync_tests::answer(shell.command("lane run").env("DEALSYNC_KEY", key)).told();
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    expect![[r#"
        exit 1
        error: the variable DEALSYNC_KEY holds no key: base64 of 32 bytes is needed, as `openssl rand -base64 32` prints
        hint: name a folder that can be written to with --data, or the key's file with --key-file
        exit 1
        error: the secret "client_secret" was sealed with another key
        hint: start with the key it was sealed with, or enter the secret again
    "#]].assert_eq(&format!("{}{}", with_key("short"), with_key(other)));
    shell.has(opportunity("Globex Renewal"));
    assert_eq!(shell.full()["created"], Value::from(1), "with the right key all is as it was");
}
