//! What asking the shipped rules costs, with the example's mappings: batches of
//! 200 new records through [`Chain::decide`], every call in a fresh instance, all
//! answers checked. The same rule core behind an interface of JSON texts stands
//! beside it, in the same engine and under the same limits.

mod records;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use dealsync_core::answers::Context;
use dealsync_core::batch::Batch;
use dealsync_core::people::Directory;
use dealsync_core::schema::{FieldDef, FieldKind, Schema};
use dealsync_rules::{Chain, Engine, EngineSettings, Limits, Member};
use serde_json::json;

use self::records::World;
use crate::figures::{RULES_CPU, RULES_JSON, Wanted};
use crate::measure::{Stopwatch, median};

const ROWS: usize = 200;
/// Batches measured together: processor time comes in steps of 10 ms.
const BATCHES: usize = 400;
/// Such measurements, in turn with those of the baseline; the middle one counts.
const ROUNDS: usize = 5;
const FLOW: &str = "opportunity-to-deal";

/// Prints the figures of the rules alone.
pub fn measure(wanted: &Wanted) -> Result<()> {
    if !wanted.any(&[RULES_CPU, RULES_JSON]) {
        return Ok(());
    }
    let engine = Engine::new(EngineSettings { cache: None, live_instances_max: 2 })?;
    let world = World::new()?;
    let packed = Case::packed(&engine, &world)?;
    let json = if wanted.any(&[RULES_JSON]) { Some(Case::json(&engine, &world, &packed)?) } else { None };
    let (mut created, mut updated, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        created.push(packed.us_per_record(true)?);
        updated.push(packed.us_per_record(false)?);
        if let Some(json) = &json {
            texts.push(json.us_per_record(true)?);
        }
    }
    let created = median(created);
    println!(
        "# {} mappings of the example, {} fields read; {:.2} us per record that is linked already; fuel per record: \
         {} new, {} linked",
        world.mappings,
        packed.chain.source().len(),
        median(updated),
        packed.fuel_per_record(true),
        packed.fuel_per_record(false)
    );
    wanted.print(RULES_CPU, created);
    if let Some(json) = &json {
        let texts = median(texts);
        println!(
            "# the same rules, each call fed one JSON text per record (serde_json, straight into cells) and answering \
             with one that holds the values: {texts:.2} us, {} fuel per new record; reading those answers is not \
             even counted",
            json.fuel_per_record(true)
        );
        wanted.print(RULES_JSON, texts / created);
    }
    Ok(())
}

/// Rules with the records they are asked about.
struct Case {
    chain: Chain,
    batch: Batch,
    directory: Arc<dyn Directory>,
}

impl Case {
    fn packed(engine: &Engine, world: &World) -> Result<Self> {
        let settings = world.settings.to_string();
        let chain = chain(engine, "dealsync_rules_standard", &world.source, &world.target, settings)?;
        let batch = world.batch(&chain, ROWS);
        Self { chain, batch, directory: world.directory.clone() }.proven()
    }

    /// The inner fields are those that the packed rules turned out to touch.
    fn json(engine: &Engine, world: &World, packed: &Case) -> Result<Self> {
        let settings = json!({
            "source": fields(packed.chain.source()),
            "target": fields(packed.chain.target()),
            "rules": world.settings.to_string(),
        });
        let text = |name: &str| Schema::new([FieldDef::new(name, name, FieldKind::Text)]);
        let (source, target) = (text("record"), text("deal"));
        let guest = "dealsync_bench_guest_json";
        let chain = chain(engine, guest, &source, &target, settings.to_string())?;
        let batch = world.texts(&chain, packed.chain.source(), &packed.batch);
        Self { chain, batch, directory: world.directory.clone() }.proven()
    }

    /// Fails where the rules do not take every record: a refusal costs other work.
    fn proven(self) -> Result<Self> {
        let decided = self.decide(true);
        for row in &decided.rows {
            ensure!(
                row.fault.is_none() && row.findings.is_empty() && row.assignment.is_some(),
                "a record was not taken: {row:?}"
            );
        }
        Ok(self)
    }

    fn decide(&self, is_new: bool) -> dealsync_rules::Decided {
        let context = Context { flow: FLOW.to_owned(), as_of: 1_790_000_000_000_000, seed: 1, sequence: 0 };
        self.chain.decide(&context, &self.batch, &[is_new; ROWS], &self.directory)
    }

    fn us_per_record(&self, is_new: bool) -> Result<f64> {
        let stopwatch = Stopwatch::start()?;
        for _ in 0..BATCHES {
            black_box(self.decide(is_new));
        }
        Ok(stopwatch.stop()?.cpu_ms * 1e3 / (BATCHES * ROWS) as f64)
    }

    fn fuel_per_record(&self, is_new: bool) -> u64 {
        self.decide(is_new).used.iter().map(|used| used.fuel_used).sum::<u64>() / ROWS as u64
    }
}

fn chain(engine: &Engine, guest: &str, source: &Schema, target: &Schema, settings: String) -> Result<Chain> {
    let path = guest_path(guest)?;
    let bytes = std::fs::read(&path)
        .with_context(|| format!("{} is missing\nhint: `cargo xtask bench` builds it", path.display()))?;
    let member = Member {
        name: "standard".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        component: engine.load(&bytes, Limits::compiled())?,
        settings_json: settings,
        is_standard: true,
        tables: Vec::new(),
    };
    Ok(Chain::configure(engine, FLOW, source, target, vec![member])?)
}

/// Guests lie beside the folder of this program's profile.
fn guest_path(guest: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("this program cannot find itself")?;
    let target = here.parent().and_then(Path::parent).context("this program lies in no target folder")?;
    Ok(target.join("wasm32-unknown-unknown").join("guest").join(format!("{guest}.wasm")))
}

fn fields(schema: &Schema) -> serde_json::Value {
    let field = |field: &FieldDef| {
        json!({
            "name": field.name, "label": field.label, "kind": field.kind.name(), "scale": field.scale,
            "required": field.required, "max_length": field.max_length, "choices": field.choices,
        })
    };
    schema.fields().iter().map(field).collect()
}
