//! What asking the shipped rules costs, per record: `cargo run --release --example
//! measure -- GUEST.wasm`, the guest being `dealsync_rules_standard.wasm`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dealsync_core::answers::Context;
use dealsync_core::batch::Batch;
use dealsync_core::ids::UserId;
use dealsync_core::people::{Directory, User};
use dealsync_core::schema::{FieldDef, FieldKind, Schema};
use dealsync_core::value::{Cell, Decimal};
use dealsync_rules::{Chain, Engine, EngineSettings, Limits, Member};

const ROWS: usize = 200;
const ROUNDS: usize = 400;

#[expect(clippy::disallowed_methods, reason = "this is what measures")]
fn main() {
    let path = std::env::args().nth(1).expect("the path of dealsync_rules_standard.wasm");
    let bytes = std::fs::read(&path).expect("the guest can be read");
    let engine = Engine::new(EngineSettings { cache: None, live_instances_max: 4 }).expect("an engine");
    let started = Instant::now();
    let component = engine.load(&bytes, Limits::compiled()).expect("the guest is accepted");
    println!("load_ms {:.0}", started.elapsed().as_secs_f64() * 1e3);

    let (source, target, settings) = world();
    let member = Member {
        name: "standard".to_owned(),
        version: "0.1.0".to_owned(),
        component,
        settings_json: settings,
        is_standard: true,
        tables: Vec::new(),
    };
    let chain = Chain::configure(&engine, "opportunity-to-deal", &source, &target, vec![member])
        .unwrap_or_else(|error| panic!("{error}"));
    let records = records(&chain);
    let directory: Arc<dyn Directory> = Arc::new(Nobody);
    let context = Context {
        flow: "opportunity-to-deal".to_owned(),
        as_of: 1_790_000_000_000_000,
        seed: 1,
        sequence: 0,
    };
    for (name, new) in [("updates", false), ("creates", true)] {
        let is_new = vec![new; ROWS];
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let started = Instant::now();
                let decided = black_box(chain.decide(&context, &records, &is_new, &directory));
                assert!(decided.rows.iter().all(|row| row.fault.is_none()));
                started.elapsed()
            })
            .collect();
        times.sort();
        let per_record = |time: Duration| time.as_secs_f64() * 1e6 / ROWS as f64;
        let decided = chain.decide(&context, &records, &is_new, &directory);
        println!(
            "{name}_us_per_record median {:.2} best {:.2} fuel {} calls {}",
            per_record(times[ROUNDS / 2]),
            per_record(times[0]),
            decided.used[0].fuel_used / ROWS as u64,
            decided.used[0].calls,
        );
    }
}

/// Twelve plain mappings of the usual kinds, and a partner's address.
fn world() -> (Schema, Schema, String) {
    let kinds = [FieldKind::Text, FieldKind::Decimal, FieldKind::Date, FieldKind::Text, FieldKind::Number];
    let mut source = vec![FieldDef::new("PartnerEmail__c", "Partner", FieldKind::Text)];
    let mut target = Vec::new();
    let mut mappings = String::new();
    for at in 0..12 {
        let kind = kinds[at % kinds.len()];
        source.push(FieldDef::new(&format!("Field{at}__c"), &format!("Field {at}"), kind).scale(2));
        let mut field = FieldDef::new(&format!("field_{at}"), &format!("Field {at}"), kind).scale(2);
        field.required = at < 3;
        target.push(field);
        let comma = if at == 0 { "" } else { "," };
        write!(mappings, "{comma}{{\"to\":\"field_{at}\",\"from\":\"Field{at}__c\"}}").expect("text");
    }
    let settings = format!("{{\"mappings\":[{mappings}],\"partner_email\":\"PartnerEmail__c\"}}");
    (Schema::new(source), Schema::new(target), settings)
}

fn records(chain: &Chain) -> Batch {
    let mut batch = Batch::new(chain.source_columns(), chain.source_scales());
    for number in 0..ROWS {
        let row = batch.push_row();
        for (column, field) in chain.source().fields().iter().enumerate() {
            let text = format!("kim.{}@partner.example", number % 20);
            let cell = match field.kind {
                FieldKind::Decimal => Cell::Decimal(Decimal::new(1_500_000, 2)),
                FieldKind::Date => Cell::Date(20_000),
                FieldKind::Number => Cell::Number(0.5),
                _ => Cell::Text(&text),
            };
            batch.set(row, column, cell);
        }
    }
    batch
}

#[derive(Debug)]
struct Nobody;

impl Directory for Nobody {
    fn by_id(&self, _: UserId) -> Option<&User> {
        None
    }

    fn by_email(&self, _: &str) -> Vec<&User> {
        Vec::new()
    }

    fn by_domain(&self, _: &str) -> Vec<&User> {
        Vec::new()
    }

    fn by_organisation(&self, _: &str) -> Vec<&User> {
        Vec::new()
    }

    fn by_external_id(&self, _: &str) -> Vec<&User> {
        Vec::new()
    }

    fn like_email(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}
