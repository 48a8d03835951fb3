//! The owner decision table, row by row, and each way an address can be wrong.

use dealsync_rules_sdk::testing::{Answer, World, record, user};
use dealsync_rules_sdk::{User, UserKind, UserStatus, Value};
use dealsync_rules_standard::Standard;

use crate::world::world;

#[derive(Debug, Clone, Copy)]
pub enum Module {
    Off,
    On,
    /// On, and a distributor may own a deal without a partner.
    Optional,
}

/// A portal with a user for each way to be wrong.
pub fn portal(module: Module) -> World {
    let (enabled, optional) = match module {
        Module::Off => (false, false),
        Module::On => (true, false),
        Module::Optional => (true, true),
    };
    let settings = format!(
        r#"{{"partner_email":"Partner__c","distributor_email":"Distributor__c","owner_type":"Owner_Type__c",
            "distributor_module":{{"enabled":{enabled},"partner_optional":{optional}}}}}"#
    );
    let mut world = world(&settings);
    for user in users() {
        world = world.user(user);
    }
    world
}

pub fn users() -> Vec<User> {
    use UserKind::{Distributor, Internal, Partner};
    use UserStatus::{Disabled, Inactive, Pending};
    let with = |email: &str, kind, status| User { status, ..user(email, kind) };
    vec![
        user("kim@partner.example", Partner),
        user("dee@distributor.example", Distributor),
        user("ian@portal.example", Internal),
        with("pending@partner.example", Partner, Pending),
        with("inactive@partner.example", Partner, Inactive),
        with("disabled@partner.example", Partner, Disabled),
        User { may_register_deals: false, ..user("reader@partner.example", Partner) },
        User { id: "twin1".into(), ..user("twin@partner.example", Partner) },
        User { id: "twin2".into(), ..user("twin@partner.example", Partner) },
        User { id: "back".into(), ..user("back@partner.example", Partner) },
        User { id: "gone".into(), ..with("back@partner.example", Partner, Disabled) },
        with("pending@distributor.example", Distributor, Pending),
        User { may_register_deals: false, ..user("reader@distributor.example", Distributor) },
        User { id: "dtwin1".into(), ..user("twin@distributor.example", Distributor) },
        User { id: "dtwin2".into(), ..user("twin@distributor.example", Distributor) },
    ]
}

fn resolve(module: Module, owner_type: &str, partner: &str, distributor: &str) -> Answer {
    let value = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let record = record([("Partner__c", value(partner))])
        .with("Distributor__c", value(distributor))
        .with("Owner_Type__c", value(owner_type));
    portal(module).run::<Standard>(&[record]).remove(0)
}

/// `owner/partner/distributor +WARNING`, or the code of the refusal.
fn verdict(module: Module, owner_type: &str, partner: &str, distributor: &str) -> String {
    let answer = resolve(module, owner_type, partner, distributor);
    let warnings: String = answer.warnings().iter().map(|warning| format!(" +{}", warning.code)).collect();
    match (answer.assignment(), answer.owner_refused()) {
        (Some(assigned), None) => {
            let name = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
            format!(
                "{}/{}/{}{warnings}",
                assigned.owner,
                name(&assigned.partner),
                name(&assigned.distributor)
            )
        }
        (None, Some(refused)) => refused.code.clone() + &warnings,
        _ => "undecided".to_owned(),
    }
}

const KIM: &str = "kim@partner.example";
const DEE: &str = "dee@distributor.example";
const NOBODY: &str = "nobody@nowhere.example";

#[test]
fn the_whole_table_holds() {
    use Module::{Off, On, Optional};
    for (module, owner_type, partner, distributor, want) in [
        // Module off.
        (Off, "", KIM, "", "kim/kim/-"),
        (Off, "Partner-owned", KIM, DEE, "kim/kim/-"),
        (Off, "whatever", KIM, NOBODY, "kim/kim/-"),
        (Off, "", "", DEE, "PARTNER_EMAIL_BLANK"),
        (Off, "", NOBODY, DEE, "PARTNER_USER_UNKNOWN"),
        (Off, "Distributor-owned", KIM, DEE, "kim/kim/- +DIST_MODULE_OFF"),
        (Off, "Distributor-owned", "", DEE, "PARTNER_EMAIL_BLANK +DIST_MODULE_OFF"),
        // Module on, the partner owns.
        (On, "", KIM, "", "kim/kim/-"),
        (On, "Partner-owned", KIM, "", "kim/kim/-"),
        (On, " partner-OWNED ", KIM, DEE, "kim/kim/dee"),
        (On, "", "", DEE, "PARTNER_EMAIL_BLANK"),
        (On, "", NOBODY, DEE, "PARTNER_USER_UNKNOWN"),
        (Optional, "Partner-owned", "", DEE, "PARTNER_EMAIL_BLANK"),
        (On, "", KIM, NOBODY, "kim/kim/- +DIST_USER_UNKNOWN"),
        (On, "", KIM, "no address", "kim/kim/- +DIST_EMAIL_INVALID"),
        (On, "", KIM, KIM, "kim/kim/- +DIST_USER_WRONG_TYPE"),
        // Module on, the distributor owns.
        (On, "Distributor-owned", KIM, DEE, "dee/kim/dee"),
        (Optional, "DISTRIBUTOR-owned", KIM, DEE, "dee/kim/dee"),
        (On, "Distributor-owned", NOBODY, DEE, "PARTNER_USER_UNKNOWN"),
        (Optional, "Distributor-owned", NOBODY, DEE, "PARTNER_USER_UNKNOWN"),
        (Optional, "Distributor-owned", "", DEE, "dee/-/dee"),
        (On, "Distributor-owned", "", DEE, "PARTNER_REQUIRED_FOR_DIST"),
        (On, "Distributor-owned", KIM, "", "DIST_EMAIL_BLANK"),
        (On, "Distributor-owned", "", "", "DIST_EMAIL_BLANK"),
        (On, "Distributor-owned", NOBODY, NOBODY, "DIST_USER_UNKNOWN"),
        (Optional, "Distributor-owned", "", "no address", "DIST_EMAIL_INVALID"),
        // Module on, anything else.
        (On, "Distributor", KIM, DEE, "OWNER_TYPE_UNKNOWN"),
        (Optional, "shared", "", "", "OWNER_TYPE_UNKNOWN"),
    ] {
        assert_eq!(
            verdict(module, owner_type, partner, distributor),
            want,
            "{owner_type}, {partner}, {distributor}"
        );
    }
}

#[test]
fn each_wrong_address_has_its_own_code() {
    for (partner, want) in [
        ("   ", "PARTNER_EMAIL_BLANK"),
        ("kim", "PARTNER_EMAIL_INVALID"),
        ("kim@partner.example, dee@distributor.example", "PARTNER_EMAIL_INVALID"),
        ("Kim <kim@partner.example>", "PARTNER_EMAIL_INVALID"),
        ("kim@partner", "PARTNER_EMAIL_INVALID"),
        ("kim@partner..example", "PARTNER_EMAIL_INVALID"),
        (NOBODY, "PARTNER_USER_UNKNOWN"),
        ("pending@partner.example", "PARTNER_USER_NOT_ACTIVE"),
        ("inactive@partner.example", "PARTNER_USER_NOT_ACTIVE"),
        ("disabled@partner.example", "PARTNER_USER_NOT_ACTIVE"),
        ("ian@portal.example", "PARTNER_USER_WRONG_TYPE"),
        (DEE, "PARTNER_USER_WRONG_TYPE"),
        ("reader@partner.example", "PARTNER_USER_NO_PERMISSION"),
        ("twin@partner.example", "PARTNER_USER_AMBIGUOUS"),
        ("back@partner.example", "back/back/-"),
        (" KIM@Partner.Example ", "kim/kim/-"),
    ] {
        assert_eq!(verdict(Module::Off, "", partner, ""), want, "{partner}");
    }
    for (distributor, want) in [
        ("dee", "DIST_EMAIL_INVALID"),
        (NOBODY, "DIST_USER_UNKNOWN"),
        ("pending@distributor.example", "DIST_USER_NOT_ACTIVE"),
        (KIM, "DIST_USER_WRONG_TYPE"),
        ("reader@distributor.example", "DIST_USER_NO_PERMISSION"),
        ("twin@distributor.example", "DIST_USER_AMBIGUOUS"),
    ] {
        assert_eq!(verdict(Module::Optional, "Distributor-owned", "", distributor), want, "{distributor}");
    }
}

#[test]
fn messages_name_the_field_the_address_and_the_fix() {
    let said = |module, owner_type: &str, partner: &str, distributor: &str| {
        let answer = resolve(module, owner_type, partner, distributor);
        answer
            .owner_refused()
            .map(|refused| format!("{} {}", refused.message, refused.fix))
            .unwrap_or_default()
    };
    for (partner, want) in [
        (
            "",
            "The field Portal Partner Email is empty, so no owner is known. Enter the partner user's email in Portal Partner Email.",
        ),
        ("kim", "\"kim\" is not an email address. Correct Portal Partner Email; one address only."),
        (
            "kum@partner.example",
            "No portal user has kum@partner.example. Invite the user or correct the address. Close matches: kim@partner.example.",
        ),
        ("pending@partner.example", "pending@partner.example exists but is pending. Re-send the invitation."),
        (
            "inactive@partner.example",
            "inactive@partner.example exists but is inactive. Reactivate Example Partners.",
        ),
        ("disabled@partner.example", "disabled@partner.example exists but is disabled. Enable the user."),
        (
            "ian@portal.example",
            "ian@portal.example is an internal user; a Partner user is needed. Use a partner user.",
        ),
        (
            DEE,
            "dee@distributor.example is a distributor user; a Partner user is needed. Use a partner user, or set Deal Owner Type to Distributor-owned.",
        ),
        (
            "reader@partner.example",
            "reader@partner.example may not own deals: group Sales lacks Deal Registration. Give the group the permission or move the user.",
        ),
        ("twin@partner.example", "2 users have twin@partner.example. Merge or disable the extra users."),
    ] {
        assert_eq!(said(Module::On, "", partner, ""), want);
    }
    assert_eq!(
        said(Module::On, "Distributor-owned", "", DEE),
        "Distributor deals need a partner here. Enter the partner email in Portal Partner Email, or relax the setting."
    );
    assert_eq!(
        said(Module::On, "Distributor-owned", KIM, ""),
        "Distributor-owned, but Portal Distributor Email is empty. Enter the distributor user's email in Portal Distributor Email."
    );
    assert_eq!(
        said(Module::On, "Shared", KIM, ""),
        "\"Shared\" is not an owner type. Use Partner-owned or Distributor-owned."
    );
}

#[test]
fn each_decision_names_its_rule_and_each_row_gets_its_own() {
    let records: Vec<_> = (0..200)
        .map(|at| {
            record([("Partner__c", if at % 2 == 0 { KIM } else { NOBODY })])
                .with("Owner_Type__c", Value::Null)
        })
        .collect();
    let answers = portal(Module::Off).run::<Standard>(&records);
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer.assignment().is_some(), at % 2 == 0, "row {at}");
    }
}

#[test]
fn a_flow_without_a_partner_field_has_no_owners() {
    let answers = world("{}").run::<Standard>(&[record([("Name", "x")])]);
    assert!(answers[0].decision.is_none());
}
