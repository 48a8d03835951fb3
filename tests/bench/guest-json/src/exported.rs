//! The component: unpacks JSON texts, asks the shipped rules, writes JSON texts.
//! The outer source has one field, `record`, and the outer target one, `deal`.

use std::cell::OnceCell;

use dealsync_rules_sdk::bindings::exports::dealsync::rules as generated;
use dealsync_rules_sdk::macros::{Slot, report_panics};
use dealsync_rules_sdk::{
    Batch, Cause, Conflict, Context, DecisionList, FieldDef, FindingList, Mapped, OnNull, Pinned, Plan,
    Problem, Value, Work, Write,
};

use crate::door::{self, DoorSettings, FieldSettings};
use crate::standard::Standard;

struct Component;

struct Fields {
    source: Vec<FieldDef>,
    target: Vec<FieldDef>,
}

std::thread_local! {
    static SLOT: Slot<Standard> = const { Slot::new() };
    static FIELDS: OnceCell<Fields> = const { OnceCell::new() };
}

impl generated::settings::Guest for Component {
    fn configure(pinned: Pinned) -> Result<Plan, Vec<Problem>> {
        report_panics();
        let door: DoorSettings = serde_json::from_str(&pinned.settings_json)
            .map_err(|error| vec![Problem { path: String::new(), message: error.to_string() }])?;
        let defs = |fields: Vec<FieldSettings>| -> Vec<FieldDef> {
            fields.into_iter().map(FieldSettings::into_def).collect()
        };
        let fields = Fields { source: defs(door.source), target: defs(door.target) };
        let inner = Pinned {
            flow: pinned.flow,
            source: fields.source.clone(),
            target: fields.target.clone(),
            tables: Vec::new(),
            settings_json: door.rules,
        };
        SLOT.with(|slot| slot.configure(inner))?;
        FIELDS.with(|known| known.set(fields).is_ok());
        let write = Write {
            field: 0,
            sources: vec![0],
            on_create: true,
            on_update: true,
            conflict: Conflict::Source,
            on_null: OnNull::Leave,
        };
        Ok(Plan { reads: vec![0], writes: vec![write] })
    }
}

impl generated::mapping::Guest for Component {
    fn map_batch(ctx: Context, work: Work) -> Mapped {
        with_fields(|fields| {
            let inner = unpack(fields, work);
            let mut mapped = SLOT.with(|slot| slot.map(&ctx, &inner));
            dealsync_rules_sdk::spread(&mut mapped);
            let mut objects: Vec<Vec<u8>> = vec![Vec::new(); inner.source.rows as usize];
            for edit in &mapped.edits {
                let name = &fields.target[usize::from(edit.field)].name;
                let row = edit.row as usize;
                door::write_field(name, &edit.value, &inner.source, row, &fields.source, &mut objects[row]);
            }
            let cause = mapped.causes.len() as u16;
            mapped.causes.push(Cause { rule: "json".to_owned(), note: None, read: Vec::new() });
            forget_fields(&mut mapped.causes);
            let texts = objects.into_iter().enumerate();
            mapped.edits = texts
                .map(|(row, object)| generated::mapping::Edit {
                    row: row as u32,
                    field: 0,
                    value: Value::Text(door::finish(object)),
                    cause,
                })
                .collect();
            mapped
        })
    }
}

impl generated::validation::Guest for Component {
    fn validate_batch(ctx: Context, work: Work) -> FindingList {
        with_fields(|fields| {
            let inner = unpack(fields, work);
            let mut found = SLOT.with(|slot| slot.validate(&ctx, &inner));
            found.items.iter_mut().for_each(|finding| finding.field = None);
            forget_fields(&mut found.causes);
            found
        })
    }
}

impl generated::ownership::Guest for Component {
    fn resolve_batch(ctx: Context, work: Work) -> DecisionList {
        with_fields(|fields| {
            let inner = unpack(fields, work);
            let mut decided = SLOT.with(|slot| slot.resolve(&ctx, &inner));
            forget_fields(&mut decided.causes);
            decided
        })
    }
}

fn with_fields<T>(work: impl FnOnce(&Fields) -> T) -> T {
    FIELDS.with(|fields| work(fields.get().expect("configure is called before anything else")))
}

fn unpack(fields: &Fields, work: Work) -> Work {
    let read = |fields: &[FieldDef], batch: &Batch| {
        door::read(fields, texts(batch).into_iter()).expect("records are JSON of their fields' kinds")
    };
    Work {
        source: read(&fields.source, &work.source),
        draft: read(&fields.target, &work.draft),
        is_new: work.is_new,
    }
}

/// The one text of each row, where there is one.
fn texts(batch: &Batch) -> Vec<Option<&str>> {
    let columns = batch.columns.len();
    (0..batch.rows as usize)
        .map(|row| {
            let at = row * columns;
            let word = batch.words.get(at).copied().filter(|_| columns > 0 && batch.kinds[at] == 6)?;
            let offset = (word >> 32) as usize;
            batch.text.get(offset..offset + (word & 0xffff_ffff) as usize)
        })
        .collect()
}

/// The positions are those of the inner fields, which the host knows nothing of.
fn forget_fields(causes: &mut [Cause]) {
    causes.iter_mut().for_each(|cause| cause.read.clear());
}

dealsync_rules_sdk::bindings::export!(Component with_types_in dealsync_rules_sdk::bindings);
