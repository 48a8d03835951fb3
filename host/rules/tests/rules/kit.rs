//! What every test here needs: guests built once, an engine, a small world of
//! fields and records.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, OnceLock};

use dealsync_core::answers::Context;
use dealsync_core::batch::Batch;
use dealsync_core::ids::UserId;
use dealsync_core::people::{Directory, User};
use dealsync_core::schema::{FieldDef, FieldKind, Schema};
use dealsync_core::value::{Cell, Decimal};
use dealsync_rules::{Chain, Component, Decided, Engine, EngineSettings, Limits, Member};

pub const FLOW: &str = "opportunity-to-deal";

/// The shipped limits, but with time for a machine that builds something else meanwhile.
pub fn limits() -> Limits {
    Limits { wall_ms: 60_000, configure_wall_ms: 60_000, ..Limits::compiled() }
}

/// Builds a guest and reads it. Cargo gets a target folder of its own, since the
/// outer build holds the lock of the common one, and none of the outer flags.
pub fn guest(package: &str) -> Vec<u8> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let done = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--package",
            package,
            "--target",
            "wasm32-unknown-unknown",
            "--profile",
            "guest",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(
        done.success(),
        "{package} builds; is the target there? rustup target add wasm32-unknown-unknown"
    );
    let file = target.join("wasm32-unknown-unknown/guest").join(package.replace('-', "_") + ".wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        Engine::new(EngineSettings { cache: None, live_instances_max: 8 }).expect("an engine")
    })
}

pub fn standard() -> Arc<Component> {
    static STANDARD: OnceLock<Arc<Component>> = OnceLock::new();
    STANDARD.get_or_init(|| load("dealsync-rules-standard")).clone()
}

pub fn mischief_bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| guest("dealsync-rules-mischief"))
}

pub fn mischief() -> Arc<Component> {
    static MISCHIEF: OnceLock<Arc<Component>> = OnceLock::new();
    MISCHIEF.get_or_init(|| engine().load(mischief_bytes(), limits()).expect("mischief is accepted")).clone()
}

pub fn load(package: &str) -> Arc<Component> {
    engine().load(&guest(package), limits()).unwrap_or_else(|refused| panic!("{package}: {refused}"))
}

pub fn member(name: &str, component: Arc<Component>, settings: &str) -> Member {
    Member {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        component,
        settings_json: settings.to_owned(),
        is_standard: name == "standard",
        tables: Vec::new(),
    }
}

pub fn source() -> Schema {
    Schema::new([
        FieldDef::new("Id", "Opportunity ID", FieldKind::Reference),
        FieldDef::new("Name", "Name", FieldKind::Text).max_length(120),
        FieldDef::new("Amount", "Amount", FieldKind::Decimal).scale(2),
        FieldDef::new("Unread__c", "Unread", FieldKind::Text),
        FieldDef::new("CloseDate", "Close Date", FieldKind::Date),
        FieldDef::new("StageName", "Stage", FieldKind::Choice).choices(["Open", "Won"]),
        FieldDef::new("Description", "Description", FieldKind::Text),
        FieldDef::new("PartnerEmail__c", "Partner Email", FieldKind::Text),
    ])
}

pub fn target() -> Schema {
    Schema::new([
        FieldDef::new("unwritten", "Unwritten", FieldKind::Text),
        FieldDef::new("name", "Deal Name", FieldKind::Text).required().max_length(200),
        FieldDef::new("amount", "Amount", FieldKind::Decimal).scale(2),
        FieldDef::new("close_date", "Close Date", FieldKind::Date),
        FieldDef::new("stage", "Stage", FieldKind::Text),
        FieldDef::new("description", "Description", FieldKind::Text),
    ])
}

pub const STANDARD_SETTINGS: &str = r#"{"mappings": [
    {"to": "name", "from": "Name"},
    {"to": "amount", "from": "Amount"},
    {"to": "close_date", "from": "CloseDate"},
    {"to": "description", "from": "Description"}
], "partner_email": "PartnerEmail__c"}"#;

pub fn chain(members: Vec<Member>) -> Chain {
    Chain::configure(engine(), FLOW, &source(), &target(), members).unwrap_or_else(|error| panic!("{error}"))
}

/// Records for a chain: row 3 is named `Deal 3`, and so on.
pub fn records(chain: &Chain, rows: usize) -> Batch {
    records_named(chain, (0..rows).map(|row| format!("Deal {row}")))
}

pub fn records_named(chain: &Chain, names: impl IntoIterator<Item = String>) -> Batch {
    let mut batch = Batch::new(chain.source_columns(), chain.source_scales());
    for (number, name) in names.into_iter().enumerate() {
        let row = batch.push_row();
        for (column, field) in chain.source().fields().iter().enumerate() {
            let cell = match field.name.as_str() {
                "Name" => Cell::Text(&name),
                "Amount" => Cell::Decimal(Decimal::new(100 * number as i64 + 50, 2)),
                "CloseDate" => Cell::Date(20_000 + number as i32),
                "StageName" => Cell::Text("Open"),
                "Description" => Cell::Text("Renewal of ten seats"),
                "PartnerEmail__c" => Cell::Text("kim@partner.example"),
                _ => Cell::Null,
            };
            batch.set(row, column, cell);
        }
    }
    batch
}

pub fn context() -> Context {
    Context { flow: FLOW.to_owned(), as_of: 1_790_000_000_000_000, seed: 7, sequence: 0 }
}

pub fn decide(chain: &Chain, source: &Batch) -> Decided {
    chain.decide(&context(), source, &vec![true; source.rows()], &people())
}

pub fn people() -> Arc<dyn Directory> {
    use dealsync_core::people::{UserKind, UserStatus};
    Arc::new(People(vec![User {
        id: KIM.parse().expect("an id"),
        email: "kim@partner.example".to_owned(),
        first_name: "Kim".to_owned(),
        last_name: "Berg".to_owned(),
        kind: UserKind::Partner,
        status: UserStatus::Active,
        organisation: "Partner AB".to_owned(),
        group: "sellers".to_owned(),
        may_register_deals: true,
        external_id: None,
    }]))
}

pub const KIM: &str = "018f3c5e-0000-7000-8000-000000000001";

#[derive(Debug)]
struct People(Vec<User>);

impl Directory for People {
    fn by_id(&self, id: UserId) -> Option<&User> {
        self.0.iter().find(|user| user.id == id)
    }

    fn by_email(&self, email: &str) -> Vec<&User> {
        self.0.iter().filter(|user| user.email == email).collect()
    }

    fn by_domain(&self, _: &str) -> Vec<&User> {
        self.0.iter().collect()
    }

    fn by_organisation(&self, name: &str) -> Vec<&User> {
        self.0.iter().filter(|user| user.organisation == name).collect()
    }

    fn by_external_id(&self, _: &str) -> Vec<&User> {
        Vec::new()
    }

    fn like_email(&self, _: &str) -> Vec<String> {
        vec!["kim@partner.example".to_owned()]
    }
}

/// The draft's cell of a target field.
pub fn drafted<'a>(chain: &Chain, decided: &'a Decided, row: usize, field: &str) -> Cell<'a> {
    let field = chain.target().ix(field).unwrap_or_else(|| panic!("{field} is a target field"));
    decided.draft.field(row, field)
}
