//! A large org for benches: N opportunities ready to import, each with its own account,
//! primary contact and role. The same N gives the same org.

use std::sync::Arc;

use crate::org::{Org, SchemaMismatch};
use crate::rows::Cell;

const STAGES: [(&str, f64); 5] = [
    ("Prospecting", 10.0),
    ("Qualification", 10.0),
    ("Needs Analysis", 20.0),
    ("Value Proposition", 50.0),
    ("Negotiation/Review", 90.0),
];

const FIRST: [&str; 16] = [
    "Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farah", "Goran", "Hanna", "Ines", "Jonas", "Kofi", "Lena",
    "Mateo", "Nora", "Oskar", "Priya",
];

const LAST: [&str; 16] = [
    "Adler", "Brandt", "Costa", "Dvořák", "Eriksen", "Fontaine", "García", "Hofer", "Ito", "Jensen",
    "Kowalski", "Lindgren", "Müller", "Novak", "O'Brien", "Petit",
];

/// The flags and the owner's address: custom fields of the demo's org file.
const CUSTOM: [&str; 3] = ["Sync_with_Portal__c", "Export_to_Portal_Deal__c", "Portal_Partner_Email__c"];

/// The address of partner number `number`, counted from 1.
pub fn partner_email(number: usize) -> String {
    format!("partner-{number:04}@example.com")
}

struct Filler<'a> {
    org: &'a mut Org,
    at: usize,
    cols: Vec<usize>,
}

impl<'a> Filler<'a> {
    fn new(org: &'a mut Org, object: &str, names: &[&str]) -> Result<Self, SchemaMismatch> {
        let at = org.schema.find(object).expect("shipped");
        let cols = names
            .iter()
            .map(|name| {
                org.shape(at)
                    .col(name)
                    .ok_or_else(|| SchemaMismatch { object: object.to_owned(), field: (*name).to_owned() })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { org, at, cols })
    }

    fn push(&mut self, cells: impl IntoIterator<Item = Cell>) -> dealsync_core::ids::SfId {
        let table = &mut self.org.tables[self.at];
        let id = table.next_id();
        let row = table.push(id);
        for (col, cell) in self.cols.iter().zip(cells) {
            table.set(row, *col, cell);
        }
        id
    }
}

/// Adds the rows. Needs the custom fields of the demo's org file.
pub fn fill(org: &mut Org, opportunities: usize, partners: usize) -> Result<(), SchemaMismatch> {
    let partners: Vec<Arc<str>> = (1..=partners.max(1)).map(|number| partner_email(number).into()).collect();
    let stages = STAGES.map(|(stage, probability)| (Arc::<str>::from(stage), probability));
    let shared = |text: &str| Cell::Text(text.into());
    let (kind, source) = (shared("Existing Customer - Upgrade"), shared("Partner"));
    let (pipeline, industry, country) = (shared("Pipeline"), shared("Technology"), shared("Germany"));
    let owner = Cell::Id(org.admin);
    let now = org.clock.now();
    let stamp = |at: usize| Cell::Stamp(now - 30 * 86_400 + (at * 30 * 86_400 / opportunities.max(1)) as i64);
    let audit = |at: usize| [owner.clone(), stamp(at), owner.clone(), stamp(at), owner.clone(), stamp(at)];
    const AUDIT: [&str; 6] =
        ["OwnerId", "CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp"];
    for table in ["Account", "Contact", "Opportunity", "OpportunityContactRole"] {
        let at = org.schema.find(table).expect("shipped");
        org.tables[at].reserve(opportunities);
    }

    let names = [&AUDIT[..], &["Name", "Industry", "BillingCity", "BillingCountry", "Website"]].concat();
    let mut filler = Filler::new(org, "Account", &names)?;
    let cities = ["Bremen", "Köln", "Leipzig", "Wien", "Zürich"].map(shared);
    let accounts: Vec<_> = (0..opportunities)
        .map(|at| {
            let name = format!("{} & Söhne {at:06} GmbH", LAST[at % LAST.len()]);
            let own = [
                Cell::text(&name),
                industry.clone(),
                cities[at % cities.len()].clone(),
                country.clone(),
                Cell::text(&format!("https://www.customer-{at:06}.example")),
            ];
            filler.push(audit(at).into_iter().chain(own))
        })
        .collect();

    let names =
        [&AUDIT[..], &["AccountId", "FirstName", "LastName", "Name", "Email", "Phone", "Title"]].concat();
    let mut filler = Filler::new(org, "Contact", &names)?;
    let first_names = FIRST.map(shared);
    let last_names = LAST.map(shared);
    let title = shared("Head of Purchasing");
    let contacts: Vec<_> = (0..opportunities)
        .map(|at| {
            let (first, last) = (at % FIRST.len(), at / FIRST.len() % LAST.len());
            let own = [
                Cell::Id(accounts[at]),
                first_names[first].clone(),
                last_names[last].clone(),
                Cell::text(&format!("{} {}", FIRST[first], LAST[last])),
                Cell::text(&format!("contact@customer-{at:06}.example")),
                Cell::text(&format!("+49 421 {at:07}")),
                title.clone(),
            ];
            filler.push(audit(at).into_iter().chain(own))
        })
        .collect();

    let names = [
        &AUDIT[..],
        &[
            "AccountId",
            "ContactId",
            "Name",
            "StageName",
            "Amount",
            "Probability",
            "ExpectedRevenue",
            "CloseDate",
        ],
        &["Type", "LeadSource", "ForecastCategory", "ForecastCategoryName", "NextStep", "Description"],
        &CUSTOM,
    ]
    .concat();
    let mut filler = Filler::new(org, "Opportunity", &names)?;
    let next_step = shared("Send the renewal quote");
    let today = now.div_euclid(86_400) as i32;
    let deals: Vec<_> = (0..opportunities)
        .map(|at| {
            let (stage, probability) = &stages[at % stages.len()];
            let amount = (1000 + at * 37 % 250_000) as f64 + (at % 4) as f64 * 0.25;
            let description = format!(
                "Renewal no. {at}: the customer says \"yes, if the café terminals & the\nback office stay\" - see \
                 quote {:06}, valid 30 days.",
                at * 7 % 1_000_000
            );
            let own = [
                Cell::Id(accounts[at]),
                Cell::Id(contacts[at]),
                Cell::text(&format!("Renewal {at:06} - {}", LAST[at % LAST.len()])),
                Cell::Text(stage.clone()),
                Cell::Num(amount),
                Cell::Num(*probability),
                Cell::Num((amount * probability).round() / 100.0),
                Cell::Date(today + (at % 180) as i32),
                kind.clone(),
                source.clone(),
                pipeline.clone(),
                pipeline.clone(),
                next_step.clone(),
                Cell::text(&description),
                Cell::Bool(true),
                Cell::Bool(true),
                Cell::Text(partners[at % partners.len()].clone()),
            ];
            filler.push(audit(at).into_iter().chain(own))
        })
        .collect();

    let names = [&AUDIT[1..], &["OpportunityId", "ContactId", "Role", "IsPrimary"]].concat();
    let mut filler = Filler::new(org, "OpportunityContactRole", &names)?;
    let role = shared("Decision Maker");
    for at in 0..opportunities {
        let own = [Cell::Id(deals[at]), Cell::Id(contacts[at]), role.clone(), Cell::Bool(true)];
        filler.push(audit(at).into_iter().skip(1).chain(own));
    }
    Ok(())
}
