//! An example of a tenant's own rules: renewals are no deals once the contract
//! has ended, and regions are written in capitals.

use dealsync_rules_sdk::prelude::*;

#[derive(Debug)]
pub struct Acme;

impl Rules for Acme {
    fn configure(setup: &mut Setup<'_>) -> Result<Self, Vec<Problem>> {
        setup.read("Renewal__c");
        setup.read("Contract_End__c");
        setup.write("region", &["Region__c"]);
        Ok(Self)
    }

    fn map(&self, _: &Context, row: Row<'_>, out: &mut Edits<'_>) {
        if let Some(region) = row.text("Region__c") {
            out.because("acme.region").set("region", region.to_uppercase());
        }
    }

    fn validate(&self, ctx: &Context, row: Row<'_>, out: &mut Findings<'_>) {
        let has_ended = row.date("Contract_End__c").is_some_and(|end| end < ctx.today());
        if row.boolean("Renewal__c") == Some(true) && has_ended {
            out.because("acme.renewal").error(
                "RENEWAL_ENDED",
                "The contract to renew has ended.",
                "Correct the contract's end, or untick Renewal.",
            );
        }
    }
}

dealsync_rules_sdk::export_rules!(Acme);

#[cfg(test)]
mod tests {
    use super::*;
    use dealsync_rules_sdk::testing::{World, record};
    use dealsync_rules_sdk::{FieldDef, FieldKind, parse_timestamp};

    fn world() -> World {
        World::new("opportunity-to-deal")
            .source([
                FieldDef::new("Renewal__c", FieldKind::Boolean),
                FieldDef::new("Contract_End__c", FieldKind::Date),
                FieldDef::new("Region__c", FieldKind::Choice),
            ])
            .target([FieldDef::new("region", FieldKind::Choice)])
            .as_of(parse_timestamp("2026-11-22T08:00:00Z").unwrap_or_default())
    }

    #[test]
    fn a_renewal_of_an_ended_contract_is_refused() {
        let ended = record([("Renewal__c", true)]).with("Contract_End__c", Value::Date(20_000));
        let runs = ended.clone().with("Contract_End__c", Value::Date(21_000));
        let first = ended.clone().with("Renewal__c", false);
        let codes: Vec<_> = world()
            .run::<Acme>(&[ended, runs, first])
            .iter()
            .map(|answer| answer.codes().join(" "))
            .collect();
        assert_eq!(codes, ["RENEWAL_ENDED", "", ""]);
    }

    #[test]
    fn regions_are_written_in_capitals() {
        let answers =
            world().run::<Acme>(&[record([("Region__c", "emea")]), record([("Renewal__c", false)])]);
        assert_eq!(answers[0].value("region"), Some(&Value::from("EMEA")));
        assert_eq!(answers[1].value("region"), None);
    }

    #[test]
    fn a_missing_field_is_named() {
        let problems = World::new("opportunity-to-deal")
            .source([FieldDef::new("Renewals__c", FieldKind::Boolean)])
            .configure::<Acme>()
            .expect_err("nothing it reads is there");
        assert_eq!(problems[0].message, "there is no source field `Renewal__c`; did you mean `Renewals__c`?");
    }
}
