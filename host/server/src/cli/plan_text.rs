//! A plan as a person and a script read it in a dry run: everything that would be
//! done with one record, per field, and why.

use dealsync_core::deal::{decode_row, show};
use dealsync_core::ids::UserId;
use dealsync_core::matching::Match;
use dealsync_core::people::Directory;
use dealsync_core::plan::{DealUpdate, Intent, NewDeal, Plan};
use serde_json::{Value, json};

use super::table::{fix_lines, one_line, wrap};

/// Lines of one plan; none for a record that is not ours.
pub fn lines(plan: &Plan, users: &dyn Directory) -> Vec<String> {
    let mut lines = vec![
        one_line(&format!("{:<9}  {}  {}", plan.outcome.name(), plan.sf_id, plan.name)).trim_end().to_owned(),
    ];
    for intent in &plan.intents {
        match intent {
            Intent::CreateDeal(new) => created(new, users, &mut lines),
            Intent::UpdateDeal(update) => updated(update, &mut lines),
            Intent::MoveLink { from, .. } => {
                lines.push(format!("    the deal's link moves here from {from}"))
            }
            Intent::SetLinkState(state) => lines.push(format!("    the link becomes {}", state.name())),
            Intent::NotifyImported { owner, .. } => {
                lines.push(format!("    mail to {}", user(*owner, users)));
            }
            Intent::TakeBack => {
                lines.push("    no longer set aside; its log entries are resolved".to_owned())
            }
            Intent::MoveBase { .. } | Intent::SetAside(_) | Intent::Log => {}
        }
    }
    for reason in &plan.reasons {
        lines.extend(wrap(&format!("{} {}", reason.code, reason.message), 4));
        lines.extend(fix_lines(&reason.fix, 4));
    }
    lines
}

fn created(new: &NewDeal, users: &dyn Directory, lines: &mut Vec<String>) {
    let mut put = |name: &str, text: String| lines.push(format!("    {name:<20}  {}", one_line(&text)));
    put("owner", user(new.owner.id(), users));
    for (role, id) in [("partner", new.owner.partner()), ("distributor", new.owner.distributor())] {
        if let Some(id) = id {
            put(role, user(id, users));
        }
    }
    put("account", format!("{} ({})", new.account_name, matched(&new.account)));
    let contact = format!("{} {}", new.contact_first_name, new.contact_last_name);
    put("contact", format!("{} ({})", contact.trim(), matched(&new.contact)));
    for (field, value) in &decode_row(&new.fields) {
        put(field, show(Some(value)));
    }
}

fn updated(update: &DealUpdate, lines: &mut Vec<String>) {
    for change in &update.changes {
        let lost = match &change.lost {
            Some(lost) => format!(" (the portal's {} is overwritten)", show(Some(lost))),
            None => String::new(),
        };
        let text = format!("{} -> {}{lost}", show(change.old.as_ref()), show(change.new.as_ref()));
        lines.push(format!("    {:<20}  {}", change.field, one_line(&text)));
    }
}

fn matched<T>(found: &Match<T>) -> &'static str {
    match found {
        Match::Known(_) => "known",
        Match::Adopt(_) => "found by name, gets the Salesforce id",
        Match::Create(_) => "new",
    }
}

fn user(id: UserId, users: &dyn Directory) -> String {
    users.by_id(id).map_or_else(|| id.to_string(), |user| user.email.clone())
}

/// The same as one JSON object.
pub fn object(plan: &Plan, users: &dyn Directory) -> Value {
    let mut object = json!({
        "salesforce_id": plan.sf_id.to_string(),
        "name": plan.name,
        "outcome": plan.outcome.name(),
        "deal": plan.deal.map(|deal| deal.to_string()),
        "reasons": plan.reasons.iter().map(|reason| json!({
            "code": reason.code.name(),
            "level": reason.level.name(),
            "message": reason.message,
            "fix": reason.fix,
            "field": reason.field,
        })).collect::<Vec<_>>(),
    });
    for intent in &plan.intents {
        match intent {
            Intent::CreateDeal(new) => {
                object["owner"] = user(new.owner.id(), users).into();
                object["partner"] = new.owner.partner().map(|id| user(id, users)).into();
                object["distributor"] = new.owner.distributor().map(|id| user(id, users)).into();
                object["account"] = json!({ "name": new.account_name, "match": matched(&new.account) });
                object["fields"] = decode_row(&new.fields).into();
            }
            Intent::UpdateDeal(update) => {
                let changes = update.changes.iter().map(|change| {
                    json!({ "field": change.field, "old": change.old, "new": change.new, "lost": change.lost })
                });
                object["changes"] = changes.collect::<Vec<_>>().into();
            }
            Intent::SetLinkState(state) => object["link"] = state.name().into(),
            Intent::MoveLink { from, .. } => object["link_from"] = from.to_string().into(),
            _ => {}
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use dealsync_core::ids::{DealId, SfId};
    use dealsync_core::plan::{AsideKind, FieldChange, Outcome};
    use dealsync_core::reason::{Code, Reason};
    use expect_test::expect;
    use uuid::Uuid;

    use super::*;
    use crate::store::MemoryDirectory;

    fn plan(outcome: Outcome, intents: Vec<Intent>, reasons: Vec<Reason>) -> Plan {
        let sf_id: SfId = "006D000000IRFma".parse().unwrap();
        Plan {
            sf_id,
            name: "Globex renewal".into(),
            modstamp: 0,
            created: 0,
            outcome,
            deal: None,
            intents,
            reasons,
        }
    }

    fn nobody() -> MemoryDirectory {
        MemoryDirectory::new(Vec::new())
    }

    #[test]
    fn an_update_shows_old_and_new_of_each_field_and_what_is_lost() {
        let change = |field: &str, old: &str, lost: Option<&str>| FieldChange {
            field: field.into(),
            old: Some(old.into()),
            new: Some("2".into()),
            lost: lost.map(Value::from),
        };
        let update = DealUpdate {
            deal: DealId(Uuid::nil()),
            changes: vec![change("amount", "1", None), change("stage", "x", Some("x"))],
            fields: "{}".into(),
        };
        let plan = plan(Outcome::Updated, vec![Intent::UpdateDeal(update)], vec![]);
        expect![[r#"
            update     006D000000IRFmaIAH  Globex renewal
                amount                1 -> 2
                stage                 x -> 2 (the portal's x is overwritten)"#]]
        .assert_eq(&lines(&plan, &nobody()).join("\n"));
        assert_eq!(object(&plan, &nobody())["changes"][1]["lost"], "x");
    }

    #[test]
    fn a_parked_record_shows_why_and_the_fix() {
        let reason = Reason::new(Code::PartnerUserUnknown, &[("email", "dana@acme.example")]);
        let plan = plan(Outcome::Parked, vec![Intent::SetAside(AsideKind::Parked)], vec![reason]);
        expect![[r#"
            park       006D000000IRFmaIAH  Globex renewal
                PARTNER_USER_UNKNOWN Not imported: no portal user has dana@acme.example.
                Fix: Invite the user, or correct the address."#]]
        .assert_eq(&lines(&plan, &nobody()).join("\n"));
        assert_eq!(object(&plan, &nobody())["reasons"][0]["code"], "PARTNER_USER_UNKNOWN");
    }
}
