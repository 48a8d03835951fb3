//! The records that rules are asked about: as large as the simulator's, every one
//! fit to become a deal.

use std::sync::Arc;

use anyhow::Result;
use dealsync::settings::{Mapping, TenantSettings, shipped_mappings};
use dealsync::store::MemoryDirectory;
use dealsync_core::batch::Batch;
use dealsync_core::deal::encode_row;
use dealsync_core::ids::UserId;
use dealsync_core::people::{Directory, User, UserKind, UserStatus};
use dealsync_core::schema::{FieldDef, FieldKind, Schema};
use dealsync_core::value::{Cell, Decimal};
use dealsync_rules::Chain;
use serde_json::json;

use crate::simulator::PARTNERS;
use crate::world;

/// The example tenant, and the fields of its org that it maps.
pub struct World {
    pub source: Schema,
    pub target: Schema,
    pub settings: serde_json::Value,
    pub mappings: usize,
    pub directory: Arc<dyn Directory>,
}

impl World {
    pub fn new() -> Result<Self> {
        let tenant = TenantSettings::parse(world::SETTINGS)?;
        let own = |to: &str| tenant.mappings.iter().any(|mapping| mapping.to == to);
        let mut mappings: Vec<Mapping> =
            shipped_mappings().into_iter().filter(|mapping| !own(&mapping.to)).collect();
        mappings.push(Mapping::fixed("currency", tenant.currency()));
        mappings.extend(tenant.mappings.iter().filter(|mapping| !mapping.remove).cloned());
        let deal = &tenant.deal_registration;
        let settings = json!({
            "mappings": mappings,
            "partner_email": deal.partner_email,
            "distributor_email": deal.distributor_email,
            "owner_type": deal.owner_type,
            "distributor_module": tenant.distributor_module,
        });
        Ok(Self {
            source: source(),
            target: tenant.deal_schema(),
            settings,
            mappings: mappings.len(),
            directory: Arc::new(MemoryDirectory::new((0..PARTNERS).map(partner).collect())),
        })
    }

    /// Rows for the fields that the chain reads.
    pub fn batch(&self, chain: &Chain, rows: usize) -> Batch {
        let mut batch = Batch::new(chain.source_columns(), chain.source_scales());
        for number in 0..rows {
            let row = batch.push_row();
            for (column, field) in chain.source().fields().iter().enumerate() {
                fill(&mut batch, row, column, field, number);
            }
        }
        batch
    }

    /// The same rows, each as one JSON text.
    pub fn texts(&self, chain: &Chain, schema: &Schema, batch: &Batch) -> Batch {
        let mut texts = Batch::new(chain.source_columns(), chain.source_scales());
        for number in 0..batch.rows() {
            let mut text = String::new();
            encode_row(schema, batch, number, &mut text);
            let row = texts.push_row();
            texts.set(row, 0, Cell::Text(&text));
        }
        texts
    }
}

fn source() -> Schema {
    use FieldKind::{Choice, Date, Decimal, Text};
    let field = |name: &str, kind| FieldDef::new(name, name, kind);
    Schema::new([
        field("Name", Text).max_length(120),
        field("Amount", Decimal).scale(2),
        field("CloseDate", Date),
        field("StageName", Choice),
        field("Description", Text).max_length(32_000),
        field("NextStep", Text).max_length(255),
        field("LeadSource", Choice),
        field("Type", Choice),
        field("Region__c", Choice),
        field("ForecastCategoryName", Choice),
        field("Portal_Partner_Email__c", Text),
        field("Portal_Distributor_Email__c", Text),
        field("Deal_Owner_Type__c", Choice),
        field("Account.Name", Text).max_length(255),
        field("PrimaryContact.FirstName", Text).max_length(40),
        field("PrimaryContact.LastName", Text).max_length(80),
        field("PrimaryContact.Email", Text),
        field("PrimaryContact.Phone", Text).max_length(40),
    ])
}

fn fill(batch: &mut Batch, row: usize, column: usize, field: &FieldDef, number: usize) {
    let text = match field.name.as_str() {
        "Amount" => {
            return batch.set(row, column, Cell::Decimal(Decimal::new(100_000 + number as i64 * 37, 2)));
        }
        "CloseDate" => return batch.set(row, column, Cell::Date(20_700 + (number % 180) as i32)),
        "Portal_Distributor_Email__c" | "Deal_Owner_Type__c" => return batch.set(row, column, Cell::Null),
        "Name" => format!("Renewal {number:06} - Eriksen"),
        "StageName" => "Negotiation/Review".to_owned(),
        "Description" => format!(
            "Renewal no. {number}: the customer says \"yes, if the café terminals & the\nback office stay\" - see \
             quote {number:06}, valid 30 days."
        ),
        "NextStep" => "Send the renewal quote".to_owned(),
        "LeadSource" => "Partner".to_owned(),
        "Type" => "Existing Customer - Upgrade".to_owned(),
        "Region__c" => "EMEA - North".to_owned(),
        "ForecastCategoryName" => "Pipeline".to_owned(),
        "Portal_Partner_Email__c" => email(number % PARTNERS),
        "Account.Name" => format!("Eriksen & Söhne {number:06} GmbH"),
        "PrimaryContact.FirstName" => "Chiara".to_owned(),
        "PrimaryContact.LastName" => "Müller".to_owned(),
        "PrimaryContact.Email" => format!("contact@customer-{number:06}.example"),
        _ => format!("+49 421 {number:07}"),
    };
    batch.set(row, column, Cell::Text(&text));
}

fn email(number: usize) -> String {
    format!("partner-{:04}@example.com", number + 1)
}

fn partner(number: usize) -> User {
    User {
        id: UserId(world::id(1, number as u64)),
        email: email(number),
        first_name: "Partner".to_owned(),
        last_name: format!("{number:04}"),
        kind: UserKind::Partner,
        status: UserStatus::Active,
        organisation: format!("Partner {number:04} Ltd"),
        group: "Partners".to_owned(),
        may_register_deals: true,
        external_id: None,
    }
}
