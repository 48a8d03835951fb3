//! A component that misbehaves hurts the records it misbehaves on, and nobody else.

use dealsync_core::answers::{FaultKind, RuleFault};
use dealsync_core::value::Cell;
use dealsync_rules::{Chain, Limits};

use crate::kit::*;

fn names(rows: usize, mischief: &[(usize, &str)]) -> Vec<String> {
    let asked = |row| mischief.iter().find(|(at, _)| *at == row).map(|(_, name)| (*name).to_owned());
    (0..rows).map(|row| asked(row).unwrap_or_else(|| format!("Deal {row}"))).collect()
}

fn both() -> Chain {
    chain(vec![member("standard", standard(), STANDARD_SETTINGS), member("acme", mischief(), "{}")])
}

/// With other limits for the tenant's component.
fn both_within(change: impl FnOnce(&mut Limits)) -> Chain {
    let mut limits = limits();
    change(&mut limits);
    let component = engine().load(mischief_bytes(), limits).expect("accepted");
    chain(vec![member("standard", standard(), STANDARD_SETTINGS), member("acme", component, "{}")])
}

/// The fault of row 1 among three.
fn fault_of(chain: &Chain, mischief: &str) -> RuleFault {
    let decided = decide(chain, &records_named(chain, names(3, &[(1, mischief)])));
    for row in [0, 2] {
        assert_eq!(decided.rows[row].fault, None, "{mischief}: row {row}");
        assert!(decided.rows[row].assignment.is_some(), "{mischief}: row {row}");
        assert_eq!(drafted(chain, &decided, row, "name"), Cell::Text(&format!("Deal {row}")));
    }
    assert_eq!(drafted(chain, &decided, 1, "name"), Cell::Absent, "{mischief}");
    let fault = decided.rows[1].fault.clone().unwrap_or_else(|| panic!("{mischief} is a fault"));
    assert_eq!((fault.component.as_str(), fault.version.as_str()), ("acme", "1.0.0"));
    fault
}

#[test]
fn one_trapping_record_costs_one_record() {
    let chain = both();
    let decided = decide(&chain, &records_named(&chain, names(200, &[(17, "panic")])));
    let faults: Vec<usize> = (0..200).filter(|row| decided.rows[*row].fault.is_some()).collect();
    assert_eq!(faults, [17]);
    let fault = decided.rows[17].fault.as_ref().unwrap();
    assert_eq!(fault.kind, FaultKind::Panicked);
    assert!(fault.message.contains("lib.rs:"), "{}", fault.message);
    assert!(decided.rows[17].refuses());
}

#[test]
fn every_way_to_misbehave_has_its_name() {
    // With the fuel of three rows some would run out of that first.
    let chain = both_within(|limits| limits.fuel_base = 200_000_000);
    for (mischief, kind) in [
        ("loop forever", FaultKind::FuelExhausted),
        ("recurse", FaultKind::StackExhausted),
        ("hog memory", FaultKind::MemoryExceeded),
        ("panic", FaultKind::Panicked),
        ("return 100 MB", FaultKind::MemoryExceeded),
        ("answer for row 9999", FaultKind::ContractBroken),
        ("write undeclared field", FaultKind::ContractBroken),
        ("edit twice", FaultKind::ContractBroken),
        ("bad cause index", FaultKind::ContractBroken),
        ("wrong kind", FaultKind::ContractBroken),
        ("copy undeclared field", FaultKind::ContractBroken),
        ("copies of undeclared field", FaultKind::ContractBroken),
        ("copies twice", FaultKind::ContractBroken),
        ("copies for row 9999", FaultKind::ContractBroken),
        ("look up a million", FaultKind::MemoryExceeded),
    ] {
        let fault = fault_of(&chain, mischief);
        assert_eq!(fault.kind, kind, "{mischief}: {}", fault.message);
        assert!(!fault.message.is_empty() && fault.message.len() <= 1_024, "{mischief}: {}", fault.message);
    }
}

#[test]
fn the_others_are_answered_as_if_the_bad_rows_had_never_been_there() {
    let chain = both();
    let bad = [(3, "panic"), (77, "loop forever"), (78, "edit twice"), (119, "look up a million")];
    let with = decide(&chain, &records_named(&chain, names(120, &bad)));
    let good: Vec<usize> = (0..120).filter(|row| bad.iter().all(|(at, _)| at != row)).collect();
    let all = records_named(&chain, names(120, &bad));
    let without = decide(&chain, &all.select(good.iter().copied()));
    for (at, row) in good.iter().enumerate() {
        assert_eq!(with.rows[*row], without.rows[at]);
        for column in 0..with.draft.columns().len() {
            assert_eq!(with.draft.cell(*row, column), without.draft.cell(at, column));
            assert_eq!(with.provenance.of(*row, column), without.provenance.of(at, column));
        }
    }
    assert_eq!(with.rows.iter().filter(|row| row.fault.is_some()).count(), bad.len());
}

#[test]
fn a_batch_of_nothing_but_loops_ends_within_its_budget() {
    let chain = both();
    let names = vec!["loop forever".to_owned(); 200];
    let decided = decide(&chain, &records_named(&chain, names));
    assert!(decided.rows.iter().all(|row| row.fault.is_some()));
    let budget = limits().fuel(200) * (limits().isolation_batches_max + 2);
    assert!(decided.used[1].fuel_used <= budget, "{}", decided.used[1].fuel_used);
}

#[test]
fn the_same_records_use_the_same_fuel() {
    let chain = both();
    let records = records_named(&chain, names(200, &[(20, "recurse")]));
    let (first, second) = (decide(&chain, &records), decide(&chain, &records));
    assert!(first.used[0].fuel_used > 0 && first.used[0].memory_bytes_max > 0);
    assert_eq!(first.used, second.used);
    assert_eq!(first.rows, second.rows);
}

#[test]
fn a_tenants_rule_cannot_speak_with_the_catalogues_codes() {
    let chain = both();
    let decided = decide(&chain, &records_named(&chain, names(2, &[(0, "catalogue code")])));
    let finding = &decided.rows[0].findings[0];
    assert_eq!(finding.code, "TENANT_RULE_REJECTED");
    assert_eq!(finding.message, "Rule \"acme\" v1.0.0: A forged reason. [ACCOUNT_MISSING]");
    assert!(decided.rows[0].refuses() && !decided.rows[1].refuses());
}

#[test]
fn a_long_message_is_cut_and_a_storm_of_logs_is_counted() {
    let chain = both_within(|limits| limits.fuel_base = 200_000_000);
    let asked = names(3, &[(0, "long message"), (1, "log storm")]);
    let decided = decide(&chain, &records_named(&chain, asked));
    assert!(decided.rows.iter().all(|row| row.fault.is_none()), "{:?}", decided.rows[1].fault);
    let message = &decided.rows[0].findings[0].message;
    assert!(message.len() < 1_200 && message.contains("(cut)"), "{}", message.len());
    assert_eq!(decided.logs.len(), 50);
    assert_eq!((decided.logs[0].row, decided.logs[0].member.as_str()), (Some(1), "acme"));
    assert_eq!(decided.used[1].log_lines_dropped, 100_000 - 50);
}

#[test]
fn an_answer_larger_than_allowed_is_never_copied() {
    let chain = both_within(|limits| limits.output_bytes_max = 10_000);
    assert_eq!(fault_of(&chain, "long message").kind, FaultKind::OutputTooLarge);
}

#[test]
fn the_clock_stops_what_the_fuel_does_not() {
    let chain = both_within(|limits| (limits.fuel_base, limits.wall_ms) = (u64::MAX / 4, 30));
    assert_eq!(fault_of(&chain, "loop forever").kind, FaultKind::WallClockExceeded);
}

#[test]
fn a_later_component_overrides_an_owner_and_leaves_the_others() {
    let chain = both();
    let decided = decide(&chain, &records_named(&chain, names(2, &[(1, "owner of another tenant")])));
    assert_eq!(decided.rows[0].assignment.unwrap().owner.to_string(), KIM);
    // Whether such a user may own is for core to say.
    assert_ne!(decided.rows[1].assignment.unwrap().owner.to_string(), KIM);
}
