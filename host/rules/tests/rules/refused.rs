//! Files that are not accepted, and settings that are not.

use dealsync_rules::{Chain, ConfigureError, Engine, EngineSettings, Limits, Refused};

use crate::kit::*;

fn refused(bytes: &[u8]) -> Refused {
    engine().load(bytes, Limits::compiled()).expect_err("the file is refused")
}

/// A section of a WebAssembly file: its number, its length, its content.
fn section(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short sections only");
    assert!(length < 128, "lengths of one byte only");
    [&[number, length], content].concat()
}

fn module_importing(module: &str) -> Vec<u8> {
    let import = [&[1, module.len() as u8], module.as_bytes(), &[1, b'f', 0, 0]].concat();
    [b"\0asm\x01\0\0\0".to_vec(), section(1, &[1, 0x60, 0, 0]), section(2, &import)].concat()
}

fn component_importing(interface: &str) -> Vec<u8> {
    let import = [&[1, 0, interface.len() as u8], interface.as_bytes(), &[5, 0]].concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(7, &[1, 0x42, 0]), section(10, &import)].concat()
}

/// Exports the interface, with nothing in it.
fn component_exporting(interface: &str) -> Vec<u8> {
    let export = [&[1, 0, interface.len() as u8], interface.as_bytes(), &[5, 0, 0]].concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(5, &[1, 1, 0]), section(11, &export)].concat()
}

#[test]
fn files_that_are_no_rules_are_refused_with_what_to_do() {
    let precompiled =
        wasmtime::Engine::default().precompile_component(b"\0asm\x0d\0\x01\0").expect("an empty component");
    let mut limits = Limits::compiled();
    limits.component_bytes_max = 100;
    let too_large = engine().load(&[0; 101], limits).expect_err("too large");
    for (refused, words) in [
        (too_large, "101 bytes"),
        (refused(b"PK\x03\x04"), "no WebAssembly file"),
        (refused(b""), "no WebAssembly file"),
        (refused(&precompiled), "machine code"),
        (refused(b"\0asm\x01\0\0\0"), "export!"),
        (refused(&module_importing("wasi_snapshot_preview1")), "wasm32-unknown-unknown"),
        (refused(&component_importing("wasi:cli/environment@0.2.6")), "wasm32-unknown-unknown"),
        (refused(&module_importing("env")), "env"),
        (refused(&component_importing("acme:bank/vault@1.0.0")), "acme:bank/vault"),
        (refused(b"\0asm\x0d\0\x01\0"), "settings"),
        (refused(&component_exporting("dealsync:rules/settings@0.1.0")), "configure"),
    ] {
        assert!(refused.to_string().contains(words), "{words}: {refused}");
    }
}

#[test]
fn a_file_cut_off_anywhere_is_refused_before_it_is_compiled() {
    let whole = mischief_bytes();
    for length in [4, 8, 9, 1_000, whole.len() / 2, whole.len() - 1] {
        let refused = refused(&whole[..length]);
        assert!(matches!(refused, Refused::Invalid { .. } | Refused::NoInterfaces), "{length}: {refused}");
    }
}

#[test]
fn a_component_beyond_what_compiling_may_cost_is_refused() {
    let mut limits = Limits::compiled();
    limits.functions_max = 10;
    let refused = engine().load(mischief_bytes(), limits).expect_err("too many functions");
    assert!(matches!(refused, Refused::TooComplex { .. }), "{refused}");
}

#[test]
fn the_same_file_is_compiled_once() {
    let first = mischief();
    let second = engine().load(mischief_bytes(), limits()).expect("accepted before");
    assert!(std::sync::Arc::ptr_eq(&first, &second));
}

fn configure_error(
    name: &str,
    component: std::sync::Arc<dealsync_rules::Component>,
    settings: &str,
) -> ConfigureError {
    let members = vec![member(name, component, settings)];
    Chain::configure(engine(), FLOW, &source(), &target(), members).expect_err("settings are refused")
}

#[test]
fn a_mistake_in_the_settings_is_named_with_its_place() {
    let error = configure_error("standard", standard(), r#"{"mappings": [{"to": "name", "form": "Name"}]}"#);
    let problem = &error.problems[0];
    assert_eq!((problem.member.as_str(), problem.path.as_str()), ("standard", "mappings[0].form"));
    assert!(problem.message.contains("did you mean `from`"), "{}", problem.message);
}

#[test]
fn a_component_that_fails_to_configure_costs_only_its_chain() {
    for (settings, words) in [
        ("panic", "panicked"),
        ("loop forever", "computing budget"),
        ("recurse", "recursed too deeply"),
        ("hog memory", "more memory"),
        ("refuse", "refuses every setting"),
        ("read nothing there", "reads source field 65535"),
        ("write nothing there", "writes target field 65535"),
    ] {
        let error = configure_error("acme", mischief(), &format!("{{\"configure\": \"{settings}\"}}"));
        assert!(error.to_string().contains(words), "{settings}: {error}");
    }
    assert!(Chain::configure(engine(), FLOW, &source(), &target(), Vec::new()).is_err());
    chain(vec![member("acme", mischief(), "{}")]);
}

#[test]
fn calls_beyond_the_places_in_the_pool_wait_their_turn() {
    let engine =
        Engine::new(EngineSettings { cache: None, live_instances_max: 1 }).expect("an engine with one place");
    let component = engine.load(mischief_bytes(), limits()).expect("accepted");
    let members = vec![member("acme", component, "{}")];
    let chain = Chain::configure(&engine, FLOW, &source(), &target(), members).expect("configured");
    let records = records(&chain, 50);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(decide(&chain, &records).rows.iter().all(|row| row.fault.is_none())));
        }
    });
}
