//! Components that are none, or that misbehave: refused when the settings are
//! applied, or paid for by the records they misbehave on, and by nobody else.

use std::fs;

use dealsync_tests::{Shell, World, guest, opportunity};
use expect_test::expect;
use serde_json::Value;

/// A section of a WebAssembly file: its number, its length, its content.
fn section(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short sections only");
    assert!(length < 128, "lengths of one byte only");
    [&[number, length], content].concat()
}

fn component_importing(interface: &str) -> Vec<u8> {
    let import = [&[1, 0, interface.len() as u8], interface.as_bytes(), &[5, 0]].concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(7, &[1, 0x42, 0]), section(10, &import)].concat()
}

fn module_importing(module: &str) -> Vec<u8> {
    let import = [&[1, module.len() as u8], module.as_bytes(), &[1, b'f', 0, 0]].concat();
    [b"\0asm\x01\0\0\0".to_vec(), section(1, &[1, 0x60, 0, 0]), section(2, &import)].concat()
}

/// Settings that name `own.wasm`, with settings of its own.
fn with_rule(settings: &str, own: &str) -> String {
    let settings_line = if own.is_empty() { String::new() } else { format!("settings = {own}\n") };
    format!("{settings}\n[[rules]]\nname = \"own\"\ncomponent = \"own.wasm\"\n{settings_line}")
}

/// A text without what another compiler would make otherwise: places in machine
/// code, lines and sizes.
fn plain(text: &str) -> String {
    let ends = [" (wasm trap", " (it asked for", "/src/lib.rs:", " (unexpected end-of-file"];
    let cut = |line: &str| {
        let end = ends.iter().filter_map(|end| line.find(end)).min();
        end.map_or_else(|| format!("{line}\n"), |end| format!("{} …\n", &line[..end]))
    };
    text.lines().map(cut).collect()
}

/// Machine code as the service itself keeps it for its own use.
fn compiled_code(shell: &Shell) -> Vec<u8> {
    let kept = fs::read_dir(shell.path("data/cache/rules")).expect("a folder").flatten();
    let image = kept.map(|entry| fs::read(entry.path()).expect("a file")).next().expect("compiled rules");
    let start = image.windows(4).position(|bytes| bytes == b"\x7fELF").expect("an image");
    image[start..].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_none_is_refused_with_how_to_build_it() {
    let shell = Shell::new().await;
    shell.has(opportunity("Globex Renewal"));
    shell.full();
    let before = shell.json("tenant export acme");
    let whole = guest("acme");
    shell.write("own.toml", with_rule(&shell.settings(), ""));
    let mut told = String::new();
    let files: [(&str, Vec<u8>); 9] = [
        ("cut off in the middle", whole[..whole.len() / 2].to_vec()),
        ("cut off at its end", whole[..whole.len() - 1].to_vec()),
        ("precompiled", compiled_code(&shell)),
        ("imports WASI", component_importing("wasi:cli/environment@0.2.6")),
        ("a module for WASI", module_importing("wasi_snapshot_preview1")),
        ("imports what is not there", component_importing("acme:bank/vault@1.0.0")),
        ("lacks every export", b"\0asm\x0d\0\x01\0".to_vec()),
        ("a text", b"fn main() {}\n".to_vec()),
        ("empty", Vec::new()),
    ];
    for (what, bytes) in files {
        shell.write("own.wasm", bytes);
        let applied = shell.run("tenant apply own.toml");
        let checked = shell.run("rules check own.wasm");
        assert_eq!((applied.code, checked.code), (1, 1), "{what}: {applied:?} {checked:?}");
        told.push_str(&format!("{what}\n{}\n", applied.err));
    }
    let told = plain(&told);
    expect![[r#"
        cut off in the middle
        error: the rule "own" is refused: the file is cut off or damaged …
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

        cut off at its end
        error: the rule "own" is refused: the file is cut off or damaged …
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

        precompiled
        error: the rule "own" is refused: this is machine code compiled from WebAssembly, which is never accepted: nobody can check what it does. Send the .wasm file it was made from
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

        imports WASI
        error: the rule "own" is refused: it imports wasi:cli/environment@0.2.6: rules have no files, network, clock, randomness or environment. Build for the target wasm32-unknown-unknown instead of wasm32-wasip1 or wasm32-wasip2 (`rustup target add wasm32-unknown-unknown`); the current time is in the context of the call
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

        a module for WASI
        error: the rule "own" is refused: it imports wasi_snapshot_preview1: rules have no files, network, clock, randomness or environment. Build for the target wasm32-unknown-unknown instead of wasm32-wasip1 or wasm32-wasip2 (`rustup target add wasm32-unknown-unknown`); the current time is in the context of the call
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

        imports what is not there
        error: the rule "own" is refused: it imports acme:bank/vault@1.0.0, which does not exist here. Rules may import dealsync:rules/host, directory and tables, version 0.1.0
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

        lacks every export
        error: the rule "own" is refused: it does not export dealsync:rules/settings. A component exports dealsync:rules/settings@0.1.0 and at least one of mapping, validation and ownership
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

        a text
        error: the rule "own" is refused: this is no WebAssembly file. Send the .wasm file that `cargo build --target wasm32-unknown-unknown` makes
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

        empty
        error: the rule "own" is refused: this is no WebAssembly file. Send the .wasm file that `cargo build --target wasm32-unknown-unknown` makes
        hint: nothing was changed; look at the file by itself with: dealsync rules check own.wasm

    "#]].assert_eq(&told);
    // One that is larger than anything that is read.
    shell.write("own.wasm", [whole.as_slice(), &vec![0; 33 << 20]].concat());
    let applied = shell.run("tenant apply own.toml");
    assert_eq!(applied.code, 1);
    assert!(applied.err.contains("own.wasm is larger than"), "{}", applied.err);
    assert_eq!(shell.json("tenant export acme"), before, "the settings in force stay");
    assert_eq!(shell.full()["unchanged"], 1);
    // The real one is taken, and told by its digest from then on.
    shell.write("own.wasm", whole);
    assert!(shell.good("rules check own.wasm").starts_with("good: "));
    shell.good("tenant apply own.toml");
    assert!(shell.good("tenant export acme").contains("component = \"sha256:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_fails_to_configure_stops_its_tenant_and_no_other() {
    let shell = Shell::new().await;
    shell.write("other.toml", shell.settings().replace("\"acme\"", "\"other\""));
    shell.good("tenant apply other.toml");
    shell.good("user import users.csv --tenant other");
    shell.has(opportunity("Globex Renewal"));
    shell.write("own.wasm", guest("mischief"));
    let mut told = String::new();
    for mischief in ["panic", "loop forever", "recurse", "hog memory", "refuse", "write nothing there"] {
        let own = format!("{{ configure = \"{mischief}\" }}");
        shell.write("own.toml", with_rule(&shell.settings(), &own));
        shell.good("tenant apply own.toml");
        told.push_str(&format!("{mischief}: {}", shell.told("lane run --tenant acme")));
        assert_eq!(shell.json("deal list --tenant acme"), Value::Array(Vec::new()));
    }
    let told = plain(&told);
    expect![[r#"
        panic: exit 1
        error: the rules do not accept their settings
        hint: own: it cannot be configured: it panicked (asked to panic at plugins/mischief …
        loop forever: exit 1
        error: the rules do not accept their settings
        hint: own: it cannot be configured: it used up its computing budget …
        recurse: exit 1
        error: the rules do not accept their settings
        hint: own: it cannot be configured: it recursed too deeply …
        hog memory: exit 1
        error: the rules do not accept their settings
        hint: own: it cannot be configured: it wanted more memory than allowed …
        refuse: exit 1
        error: the rules do not accept their settings
        hint: own, configure: this component refuses every setting
        write nothing there: exit 1
        error: the rules do not accept their settings
        hint: own: its plan writes target field 65535, which does not exist
    "#]]
    .assert_eq(&told);
    assert_eq!(shell.json("lane run --tenant other")["created"], 1);
    let check = shell.run("tenant check acme");
    assert!(check.code == 3 && check.out.contains("FAIL  rules"), "{check:?}");
    // Without the component all is as it was.
    shell.good("tenant apply tenant.toml");
    assert_eq!(shell.json("lane run --tenant acme")["created"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_misbehaves_costs_the_records_it_misbehaves_on() {
    let world = World::new().await;
    let settings = with_rule(dealsync_tests::ACME, "");
    world.apply_with(&settings, [("own.wasm", guest("mischief"))]).await.expect("it is a good component");
    let mischief = [
        "loop forever",
        "recurse",
        "hog memory",
        "panic",
        "return 100 MB",
        "answer for row 9999",
        "write undeclared field",
        "edit twice",
        "bad cause index",
        "wrong kind",
        "copy undeclared field",
    ];
    for name in mischief {
        world.has(opportunity(name));
    }
    for at in 0..30 {
        world.has(opportunity(&format!("Deal {at:02}")));
    }
    let report = world.full().await;
    let crashed = report.counts.reasons.get("TENANT_RULE_CRASHED");
    assert_eq!(report.counts.created, 30, "{:?}", report.counts);
    assert_eq!(crashed, Some(&(mischief.len() as u64)), "{:?}", report.counts);
    let snapshot = world.snapshot().await;
    let logs = snapshot.lines().filter(|line| line.starts_with("log "));
    let logged: String =
        logs.filter_map(|line| line.splitn(5, ' ').nth(4)).map(|line| format!("{line}\n")).collect();
    let logged = plain(&logged);
    expect![[r#"
        loop forever: Rule "own" v0.1.0 failed: it used up its computing budget …
        recurse: Rule "own" v0.1.0 failed: it recursed too deeply …
        hog memory: Rule "own" v0.1.0 failed: it used up its computing budget …
        panic: Rule "own" v0.1.0 failed: asked to panic at plugins/mischief …
        return 100 MB: Rule "own" v0.1.0 failed: it wanted more memory than allowed …
        answer for row 9999: Rule "own" v0.1.0 failed: its answer broke the contract (its answer is about row 9999; it was given 1 rows).
        write undeclared field: Rule "own" v0.1.0 failed: its answer broke the contract (it wrote amount, which its plan does not declare).
        edit twice: Rule "own" v0.1.0 failed: its answer broke the contract (it wrote name twice).
        bad cause index: Rule "own" v0.1.0 failed: its answer broke the contract (it gave cause 77; its answer lists 1).
        wrong kind: Rule "own" v0.1.0 failed: its answer broke the contract (it wrote a boolean into name, which holds text).
        copy undeclared field: Rule "own" v0.1.0 failed: its answer broke the contract (it copied source field 1 into name, which its plan does not read).
    "#]].assert_eq(&logged);
}
