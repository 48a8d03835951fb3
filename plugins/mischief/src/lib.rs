//! Misbehaves on request, to show that a component can hurt nobody but itself.
//!
//! A record's `Name` says what to do to that record's batch; see [`Mischief::of`]
//! for the words. Any other name is left in peace. Settings do the same at
//! `configure`: `{"configure":"panic"}`, `"loop forever"`, `"recurse"`,
//! `"hog memory"`, `"refuse"`, `"read nothing there"`, `"write nothing there"`; with
//! `"write contact_first_name"` that is the field it writes instead of the name.
//!
//! Most of it is beyond what the `Rules` trait lets an author do, so the component is
//! written against the generated bindings.

use dealsync_rules_sdk::bindings::dealsync::rules::{directory, host};
use dealsync_rules_sdk::bindings::exports::dealsync::rules as exported;
use dealsync_rules_sdk::{
    Assignment, Batch, Cause, Conflict, Context, Copies, Decision, DecisionList, Edit, FieldDef, Finding,
    FindingList, Mapped, OnNull, Outcome, Pinned, Plan, Problem, Refusal, Severity, Value, Work, Write,
};

/// The component.
#[derive(Debug)]
pub struct Component;

/// What a name begins with that goes on with the id of a user, who is to own.
const OWNER_IS: &str = "owner is";

/// One way to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    LoopForever,
    Recurse,
    HogMemory,
    Panic,
    ReturnTooMuch,
    AnswerForMissingRow,
    WriteUndeclared,
    EditTwice,
    BadCause,
    LogStorm,
    WrongKind,
    CopyUndeclared,
    CopiesUndeclared,
    CopiesTwice,
    CopiesForMissingRow,
    LongMessage,
    CatalogueCode,
    OwnerOfAnotherTenant,
    OwnerIs,
    LookUpMillion,
    WriteMallory,
}

impl Mischief {
    /// What a name asks for.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "loop forever" => Self::LoopForever,
            "recurse" => Self::Recurse,
            "hog memory" => Self::HogMemory,
            "panic" => Self::Panic,
            "return 100 MB" => Self::ReturnTooMuch,
            "answer for row 9999" => Self::AnswerForMissingRow,
            "write undeclared field" => Self::WriteUndeclared,
            "edit twice" => Self::EditTwice,
            "bad cause index" => Self::BadCause,
            "log storm" => Self::LogStorm,
            "wrong kind" => Self::WrongKind,
            "copy undeclared field" => Self::CopyUndeclared,
            "copies of undeclared field" => Self::CopiesUndeclared,
            "copies twice" => Self::CopiesTwice,
            "copies for row 9999" => Self::CopiesForMissingRow,
            "long message" => Self::LongMessage,
            "catalogue code" => Self::CatalogueCode,
            "owner of another tenant" => Self::OwnerOfAnotherTenant,
            "look up a million" => Self::LookUpMillion,
            "write Mallory" => Self::WriteMallory,
            name if name.starts_with(OWNER_IS) => Self::OwnerIs,
            _ => return None,
        })
    }
}

/// Field positions found at `configure`.
#[derive(Debug, Clone, Copy)]
struct Fields {
    read: u16,
    /// A target of text, the one that is declared.
    written: u16,
    undeclared: u16,
}

std::thread_local! {
    static FIELDS: std::cell::Cell<Fields> = const {
        std::cell::Cell::new(Fields { read: 0, written: 0, undeclared: u16::MAX })
    };
}

impl exported::settings::Guest for Component {
    fn configure(pinned: Pinned) -> Result<Plan, Vec<Problem>> {
        dealsync_rules_sdk::macros::report_panics();
        let settings = &pinned.settings_json;
        let asked = |word: &str| settings.contains(&format!("\"{word}\""));
        if asked("refuse") {
            let message = "this component refuses every setting".to_owned();
            return Err(vec![Problem { path: "configure".to_owned(), message }]);
        }
        for (word, mischief) in [
            ("loop forever", Mischief::LoopForever),
            ("recurse", Mischief::Recurse),
            ("hog memory", Mischief::HogMemory),
            ("panic", Mischief::Panic),
        ] {
            if asked(word) {
                hang_or_crash(mischief);
            }
        }
        let mut fields = Fields {
            read: position(&pinned.source, "Name")?,
            written: position(
                &pinned.target,
                if asked("write contact_first_name") { "contact_first_name" } else { "name" },
            )?,
            undeclared: 0,
        };
        fields.undeclared = (0..=1).find(|field| *field != fields.written).unwrap_or_default();
        FIELDS.set(fields);
        let beyond = u16::MAX;
        let field = if asked("write nothing there") { beyond } else { fields.written };
        Ok(Plan {
            reads: vec![if asked("read nothing there") { beyond } else { fields.read }],
            writes: vec![Write {
                field,
                sources: vec![fields.read],
                on_create: true,
                on_update: true,
                conflict: Conflict::Source,
                on_null: OnNull::Leave,
            }],
        })
    }
}

fn position(fields: &[FieldDef], name: &str) -> Result<u16, Vec<Problem>> {
    let found = fields.iter().position(|field| field.name == name);
    found.map(|at| at as u16).ok_or_else(|| {
        vec![Problem {
            path: String::new(),
            message: format!("there is no field `{name}` to make mischief with"),
        }]
    })
}

impl exported::mapping::Guest for Component {
    fn map_batch(_: Context, work: Work) -> Mapped {
        let mut mapped =
            Mapped { edits: Vec::new(), copies: Vec::new(), refusals: Vec::new(), causes: causes() };
        for (row, mischief) in asked(&work) {
            mischief_on_mapping(row, mischief, &mut mapped);
        }
        mapped
    }
}

fn mischief_on_mapping(row: u32, mischief: Mischief, mapped: &mut Mapped) {
    let fields = FIELDS.get();
    let edit = |row, field, value, cause| Edit { row, field, value, cause };
    let fine = |text: &str| edit(row, fields.written, Value::from(text), 0);
    let copies = |field, source, rows| Copies { field, source, cause: 0, rows };
    let refusal = |code: &str, message: String| {
        let fix = "Ask for something else.".to_owned();
        Refusal { row, code: code.to_owned(), message, fix, cause: 0 }
    };
    match mischief {
        Mischief::AnswerForMissingRow => mapped.edits.push(edit(9_999, fields.written, Value::Null, 0)),
        Mischief::WriteUndeclared => mapped.edits.push(edit(row, fields.undeclared, Value::Null, 0)),
        Mischief::EditTwice => mapped.edits.extend([fine("once"), fine("twice")]),
        Mischief::BadCause => mapped.edits.push(edit(row, fields.written, Value::Null, 77)),
        Mischief::WrongKind => mapped.edits.push(edit(row, fields.written, Value::Boolean(true), 0)),
        Mischief::CopyUndeclared => {
            mapped.edits.push(edit(row, fields.written, Value::Copy(fields.read.wrapping_add(1)), 0));
        }
        Mischief::CopiesUndeclared => {
            mapped.copies.push(copies(fields.written, fields.read.wrapping_add(1), vec![row]));
        }
        Mischief::CopiesTwice => {
            mapped.copies.push(copies(fields.written, fields.read, vec![row, row]));
        }
        Mischief::CopiesForMissingRow => {
            mapped.copies.push(copies(fields.written, fields.read, vec![9_999]));
        }
        Mischief::LongMessage => mapped.refusals.push(refusal("TOO_LONG", "very ".repeat(10_000))),
        Mischief::CatalogueCode => {
            mapped.refusals.push(refusal("ACCOUNT_MISSING", "A forged reason.".to_owned()))
        }
        Mischief::ReturnTooMuch => mapped.edits.push(fine(&"x".repeat(100 << 20))),
        Mischief::LogStorm => {
            for line in 0..100_000 {
                host::log(host::Level::Error, Some(row), &format!("line {line} of far too many"));
            }
        }
        Mischief::WriteMallory => mapped.edits.push(fine("Mallory")),
        Mischief::OwnerOfAnotherTenant | Mischief::OwnerIs | Mischief::LookUpMillion => {}
        Mischief::LoopForever | Mischief::Recurse | Mischief::HogMemory | Mischief::Panic => {
            hang_or_crash(mischief);
        }
    }
}

impl exported::validation::Guest for Component {
    fn validate_batch(_: Context, work: Work) -> FindingList {
        let finding = |row| Finding {
            row,
            field: None,
            severity: Severity::Info,
            code: "SAW_MISCHIEF".to_owned(),
            message: "This record asks for mischief.".to_owned(),
            fix: "Rename it.".to_owned(),
            cause: 0,
        };
        FindingList {
            items: asked(&work).into_iter().map(|(row, _)| finding(row)).collect(),
            causes: causes(),
        }
    }
}

impl exported::ownership::Guest for Component {
    fn resolve_batch(_: Context, work: Work) -> DecisionList {
        let mut items = Vec::new();
        for (row, mischief) in asked(&work) {
            match mischief {
                Mischief::OwnerOfAnotherTenant => {
                    items.push(assign(row, "00000000-0000-7000-8000-000000000666"));
                }
                Mischief::OwnerIs => {
                    items.push(assign(row, name(&work.source, row).trim_start_matches(OWNER_IS).trim()));
                }
                Mischief::LookUpMillion => {
                    let keys: Vec<String> =
                        (0..1_000_000).map(|at| format!("{at}@partner.example")).collect();
                    directory::by_email(&keys);
                }
                _ => {}
            }
        }
        DecisionList { items, causes: causes() }
    }
}

fn assign(row: u32, owner: &str) -> Decision {
    let assignment = Assignment { partner: None, owner: owner.to_owned(), distributor: None };
    Decision { row, outcome: Outcome::Assign(assignment), warnings: Vec::new(), cause: 0 }
}

fn causes() -> Vec<Cause> {
    vec![Cause { rule: "mischief".to_owned(), note: None, read: Vec::new() }]
}

/// The rows that ask for something.
fn asked(work: &Work) -> Vec<(u32, Mischief)> {
    let source = &work.source;
    (0..source.rows).filter_map(|row| Some((row, Mischief::of(name(source, row))?))).collect()
}

/// The record's `Name`, blank where it is not there to be read.
fn name(batch: &Batch, row: u32) -> &str {
    let Some(column) = batch.columns.iter().position(|field| *field == FIELDS.get().read) else {
        return "";
    };
    let at = row as usize * batch.columns.len() + column;
    let word = batch.words.get(at).copied().unwrap_or_default();
    let start = (word >> 32) as usize;
    match batch.kinds.get(at) {
        Some(6) => batch.text.get(start..start + (word & 0xffff_ffff) as usize).unwrap_or_default(),
        _ => "",
    }
}

fn hang_or_crash(mischief: Mischief) {
    match mischief {
        Mischief::LoopForever => loop {
            std::hint::black_box(mischief);
        },
        Mischief::Recurse => {
            std::hint::black_box(recurse(1));
        }
        Mischief::HogMemory => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 1 << 20]);
                std::hint::black_box(&hoard);
            }
        }
        Mischief::Panic => panic!("asked to panic"),
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "this is the mischief")]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1).wrapping_add(frame[(depth % 64) as usize])
}

#[cfg(target_arch = "wasm32")]
mod component {
    use super::Component;

    dealsync_rules_sdk::bindings::export!(Component with_types_in dealsync_rules_sdk::bindings);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_that_ask_for_it_are_touched() {
        let text = "panicRenewal".to_owned();
        let source =
            Batch { rows: 2, columns: vec![0], kinds: vec![6, 6], words: vec![5, 5 << 32 | 7], text };
        let draft = Batch { rows: 2, columns: vec![], kinds: vec![], words: vec![], text: String::new() };
        let work = Work { source, draft, is_new: vec![true, true] };
        assert_eq!(asked(&work), [(0, Mischief::Panic)]);
    }

    #[test]
    fn settings_can_be_refused() {
        let pinned = Pinned {
            flow: "opportunity-to-deal".to_owned(),
            source: Vec::new(),
            target: Vec::new(),
            tables: Vec::new(),
            settings_json: r#"{"configure":"refuse"}"#.to_owned(),
        };
        assert!(<Component as exported::settings::Guest>::configure(pinned).is_err());
    }
}
