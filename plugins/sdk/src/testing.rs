//! Runs rules natively, by field name: no component, no host.
//!
//! ```
//! use dealsync_rules_sdk::testing::{World, record};
//! # use dealsync_rules_sdk::prelude::*;
//! # struct Shout;
//! # impl Rules for Shout {
//! #     fn configure(setup: &mut Setup<'_>) -> Result<Self, Vec<Problem>> {
//! #         setup.write("name", &["Name"]);
//! #         Ok(Self)
//! #     }
//! #     fn map(&self, _: &Context, row: Row<'_>, out: &mut Edits<'_>) {
//! #         out.set("name", row.text("Name").map(str::to_uppercase));
//! #     }
//! # }
//! use dealsync_rules_sdk::{FieldDef, FieldKind};
//!
//! let world = World::new("opportunity-to-deal")
//!     .source([FieldDef::new("Name", FieldKind::Text)])
//!     .target([FieldDef::new("name", FieldKind::Text)]);
//! let answers = world.run::<Shout>(&[record([("Name", "renewal")])]);
//! assert_eq!(answers[0].value("name"), Some(&Value::from("RENEWAL")));
//! ```
//!
//! The host checks more than this does (`wit/README.md`): lengths, kinds,
//! budgets. What passes here and fails there is told by `dealsync rules check`.

use std::collections::BTreeMap;

use crate::rules::Rules;
use crate::run::Configured;
use crate::{
    Assignment, Batch, Context, Decision, Directory, FieldDef, Finding, Mapped, Outcome, Pinned, Plan,
    Problem, Refusal, Refused, Tables, User, UserKind, UserStatus, Value, Warning, Work,
};

/// A record to feed in. Fields that are not named are absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    source: Vec<(String, Value)>,
    draft: Vec<(String, Value)>,
    linked: bool,
}

/// A new record from names and values.
pub fn record<'n, V: Into<Value>>(source: impl IntoIterator<Item = (&'n str, V)>) -> Record {
    Record { source: named(source), ..Record::default() }
}

fn named<'n, V: Into<Value>>(pairs: impl IntoIterator<Item = (&'n str, V)>) -> Vec<(String, Value)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

impl Record {
    /// One more field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.source.retain(|(known, _)| known != name);
        self.source.push((name.to_owned(), value.into()));
        self
    }

    /// One field less: it could not be read.
    pub fn without(mut self, name: &str) -> Self {
        self.source.retain(|(known, _)| known != name);
        self
    }

    /// What components earlier in the chain drafted.
    pub fn drafted(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.draft.push((name.to_owned(), value.into()));
        self
    }

    /// Was imported before: an update, not a create.
    pub fn linked(mut self) -> Self {
        self.linked = true;
        self
    }
}

/// What the host would pin for one flow.
#[derive(Debug, Clone)]
pub struct World {
    flow: String,
    source: Vec<FieldDef>,
    target: Vec<FieldDef>,
    settings: String,
    tables: Vec<(String, BTreeMap<String, String>)>,
    users: Vec<User>,
    as_of: i64,
    seed: u64,
    sequence: u64,
}

impl World {
    pub fn new(flow: &str) -> Self {
        Self {
            flow: flow.to_owned(),
            source: Vec::new(),
            target: Vec::new(),
            settings: "{}".to_owned(),
            tables: Vec::new(),
            users: Vec::new(),
            as_of: 0,
            seed: 0,
            sequence: 0,
        }
    }

    pub fn source(mut self, fields: impl IntoIterator<Item = FieldDef>) -> Self {
        self.source = fields.into_iter().collect();
        self
    }

    pub fn target(mut self, fields: impl IntoIterator<Item = FieldDef>) -> Self {
        self.target = fields.into_iter().collect();
        self
    }

    /// The tenant's settings, as JSON text.
    pub fn settings(mut self, json: impl Into<String>) -> Self {
        self.settings = json.into();
        self
    }

    pub fn table<'n>(mut self, name: &str, rows: impl IntoIterator<Item = (&'n str, &'n str)>) -> Self {
        let rows = rows.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        self.tables.push((name.to_owned(), rows));
        self
    }

    pub fn user(mut self, user: User) -> Self {
        self.users.push(user);
        self
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn as_of(mut self, micros: i64) -> Self {
        self.as_of = micros;
        self
    }

    pub fn sequence(mut self, sequence: u64) -> Self {
        self.sequence = sequence;
        self
    }

    /// What the rules say they read and write, or what is wrong with the settings.
    pub fn configure<R: Rules>(&self) -> Result<Plan, Vec<Problem>> {
        Configured::<R>::new(self.pinned()).map(|(_, plan)| plan)
    }

    /// Maps, applies the edits, validates, and resolves the owners of new records.
    ///
    /// # Panics
    /// Where `configure` fails, or the rules break their contract.
    pub fn run<R: Rules>(&self, records: &[Record]) -> Vec<Answer> {
        let (rules, plan) = match Configured::<R>::new(self.pinned()) {
            Ok(configured) => configured,
            Err(problems) => panic!("configure failed: {problems:?}"),
        };
        let ctx = self.context();
        let tables = FakeTables { tables: &self.tables };
        let source = self.pack_source(records, &plan);
        let is_new: Vec<bool> = records.iter().map(|record| !record.linked).collect();
        let mut drafts: Vec<Vec<(String, Value)>> =
            records.iter().map(|record| record.draft.clone()).collect();
        let work = |drafts: &[Vec<(String, Value)>]| Work {
            source: source.clone(),
            draft: pack(&self.target, 0..self.target.len() as u16, drafts.iter().map(Vec::as_slice)),
            is_new: is_new.clone(),
        };

        let mapped = rules.map(&ctx, &work(&drafts), &tables);
        let mut answers = self.check_edits(mapped, &plan, records, &mut drafts);
        let found = rules.validate(&ctx, &work(&drafts), &tables);
        for finding in found.items {
            answers[finding.row as usize].findings.push(finding);
        }
        self.resolve(&rules, &ctx, records, &plan, &drafts, &mut answers);
        answers
    }

    fn resolve<R: Rules>(
        &self,
        rules: &Configured<R>,
        ctx: &Context,
        records: &[Record],
        plan: &Plan,
        drafts: &[Vec<(String, Value)>],
        answers: &mut [Answer],
    ) {
        let new: Vec<usize> = (0..records.len()).filter(|at| !records[*at].linked).collect();
        let asked: Vec<Record> = new.iter().map(|at| records[*at].clone()).collect();
        let work = Work {
            source: self.pack_source(&asked, plan),
            draft: pack(
                &self.target,
                0..self.target.len() as u16,
                new.iter().map(|at| drafts[*at].as_slice()),
            ),
            is_new: vec![true; new.len()],
        };
        let directory = FakeDirectory { users: &self.users };
        let decisions = rules.resolve(ctx, &work, &directory, &FakeTables { tables: &self.tables });
        for mut decision in decisions.items {
            let at = new[decision.row as usize];
            decision.row = at as u32;
            assert!(answers[at].decision.is_none(), "row {at} was decided twice");
            answers[at].decision = Some(decision);
        }
    }

    /// Checks what the host would check first, and notes the values written.
    fn check_edits(
        &self,
        mut mapped: Mapped,
        plan: &Plan,
        records: &[Record],
        drafts: &mut [Vec<(String, Value)>],
    ) -> Vec<Answer> {
        crate::spread(&mut mapped);
        let mut answers = vec![Answer::default(); records.len()];
        for edit in mapped.edits {
            let at = edit.row as usize;
            assert!(
                plan.writes.iter().any(|write| write.field == edit.field),
                "a field outside the plan was written"
            );
            let name = self.target[usize::from(edit.field)].name.clone();
            let value = match &edit.value {
                Value::Copy(field) => {
                    assert!(plan.reads.contains(field), "a field outside the plan was copied");
                    let wanted = &self.source[usize::from(*field)].name;
                    let held = records[at].source.iter().find(|(known, _)| known == wanted);
                    held.map_or(Value::Null, |(_, value)| value.clone())
                }
                made => made.clone(),
            };
            assert!(answers[at].value(&name).is_none(), "row {at} has two edits of {name}");
            drafts[at].retain(|(known, _)| *known != name);
            drafts[at].push((name.clone(), value.clone()));
            let rule = mapped.causes[usize::from(edit.cause)].rule.clone();
            answers[at].edits.push(Edited { field: name, value, raw: edit.value, rule });
        }
        for refusal in mapped.refusals {
            answers[refusal.row as usize].refusals.push(refusal);
        }
        answers
    }

    fn pinned(&self) -> Pinned {
        Pinned {
            flow: self.flow.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            tables: self.tables.iter().map(|(name, _)| name.clone()).collect(),
            settings_json: self.settings.clone(),
        }
    }

    fn context(&self) -> Context {
        Context { flow: self.flow.clone(), as_of: self.as_of, seed: self.seed, sequence: self.sequence }
    }

    fn pack_source(&self, records: &[Record], plan: &Plan) -> Batch {
        pack(&self.source, plan.reads.iter().copied(), records.iter().map(|record| record.source.as_slice()))
    }
}

/// One edit, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    pub field: String,
    /// The value written; what the source held where it was copied.
    pub value: Value,
    /// As the rules answered it.
    pub raw: Value,
    pub rule: String,
}

/// What the rules said about one record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    pub edits: Vec<Edited>,
    pub refusals: Vec<Refusal>,
    pub findings: Vec<Finding>,
    /// Absent for records imported before.
    pub decision: Option<Decision>,
}

impl Answer {
    pub fn edit(&self, field: &str) -> Option<&Edited> {
        self.edits.iter().find(|edit| edit.field == field)
    }

    /// The value written to a field of the target.
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.edit(field).map(|edit| &edit.value)
    }

    /// Codes of refusals, findings and of a refused owner, in this order.
    pub fn codes(&self) -> Vec<&str> {
        let refused = self.refusals.iter().map(|refusal| refusal.code.as_str());
        let found = self.findings.iter().map(|finding| finding.code.as_str());
        refused.chain(found).chain(self.owner_refused().map(|refused| refused.code.as_str())).collect()
    }

    pub fn assignment(&self) -> Option<&Assignment> {
        match &self.decision.as_ref()?.outcome {
            Outcome::Assign(assignment) => Some(assignment),
            Outcome::Refuse(_) => None,
        }
    }

    pub fn owner_refused(&self) -> Option<&Refused> {
        match &self.decision.as_ref()?.outcome {
            Outcome::Assign(_) => None,
            Outcome::Refuse(refused) => Some(refused),
        }
    }

    pub fn warnings(&self) -> &[Warning] {
        self.decision.as_ref().map_or(&[], |decision| &decision.warnings)
    }
}

/// An active partner user who may register deals; the id is the address's part
/// before the `@`.
pub fn user(email: &str, kind: UserKind) -> User {
    User {
        id: email.split('@').next().unwrap_or_default().to_owned(),
        email: email.to_owned(),
        first_name: "Kim".to_owned(),
        last_name: "Example".to_owned(),
        kind,
        status: UserStatus::Active,
        organisation: "org".to_owned(),
        organisation_name: "Example Partners".to_owned(),
        group: "Sales".to_owned(),
        may_register_deals: true,
    }
}

struct FakeDirectory<'a> {
    users: &'a [User],
}

impl FakeDirectory<'_> {
    fn each(&self, keys: &[String], matches: impl Fn(&User, &str) -> bool) -> Vec<Vec<User>> {
        assert!(keys.len() <= 1_000, "at most 1,000 keys a call");
        keys.iter()
            .map(|key| self.users.iter().filter(|user| matches(user, key)).cloned().collect())
            .collect()
    }
}

impl Directory for FakeDirectory<'_> {
    fn by_email(&self, emails: &[String]) -> Vec<Vec<User>> {
        self.each(emails, |user, key| user.email.trim().to_lowercase() == key.trim().to_lowercase())
    }

    fn by_domain(&self, domains: &[String]) -> Vec<Vec<User>> {
        self.each(domains, |user, key| {
            user.status == UserStatus::Active
                && user
                    .email
                    .split_once('@')
                    .is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(key.trim()))
        })
    }

    fn by_organisation(&self, names: &[String]) -> Vec<Vec<User>> {
        self.each(names, |user, key| user.organisation_name.eq_ignore_ascii_case(key.trim()))
    }

    fn by_external_id(&self, ids: &[String]) -> Vec<Vec<User>> {
        self.each(ids, |user, key| user.id == key)
    }

    fn close_matches(&self, emails: &[String]) -> Vec<Vec<String>> {
        let known = || self.users.iter().map(|user| user.email.as_str());
        emails
            .iter()
            .map(|email| crate::did_you_mean(email, known()).map(str::to_owned).into_iter().collect())
            .collect()
    }
}

struct FakeTables<'a> {
    tables: &'a [(String, BTreeMap<String, String>)],
}

impl Tables for FakeTables<'_> {
    fn get(&self, table: u16, keys: &[String]) -> Vec<Option<String>> {
        let rows = self.tables.get(usize::from(table)).map(|(_, rows)| rows);
        keys.iter().map(|key| rows.and_then(|rows| rows.get(key)).cloned()).collect()
    }
}

/// Packs records the way the host does.
fn pack<'a>(
    schema: &[FieldDef],
    columns: impl IntoIterator<Item = u16>,
    records: impl ExactSizeIterator<Item = &'a [(String, Value)]>,
) -> Batch {
    let columns: Vec<u16> = columns.into_iter().collect();
    let rows = records.len() as u32;
    let mut batch = Batch { rows, columns, kinds: Vec::new(), words: Vec::new(), text: String::new() };
    for record in records {
        for (name, _) in record {
            assert!(
                schema.iter().any(|field| field.name == *name),
                "there is no field `{name}` in this world"
            );
        }
        for at in 0..batch.columns.len() {
            let field = &schema[usize::from(batch.columns[at])];
            let held = record.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value);
            let (kind, word) = pack_value(held, field, &mut batch.text);
            batch.kinds.push(kind);
            batch.words.push(word);
        }
    }
    batch
}

fn pack_value(value: Option<&Value>, field: &FieldDef, text: &mut String) -> (u8, u64) {
    let mut push = |part: &str| {
        let offset = text.len() as u64;
        text.push_str(part);
        offset << 32 | part.len() as u64
    };
    match value {
        None => (0, 0),
        Some(Value::Null) => (1, 0),
        Some(Value::Boolean(value)) => (2, u64::from(*value)),
        Some(Value::Integer(value)) => (3, *value as u64),
        Some(Value::Number(value)) => (4, value.to_bits()),
        Some(Value::Decimal(value)) => match value.rescale(field.scale) {
            Some(fits) => (5, fits.unscaled as u64),
            None => (4, (value.unscaled as f64 / 10f64.powi(i32::from(value.scale))).to_bits()),
        },
        Some(Value::Text(value)) => (6, push(value)),
        Some(Value::Date(days)) => (7, i64::from(*days) as u64),
        Some(Value::Timestamp(micros)) => (8, *micros as u64),
        Some(Value::Reference(value)) => (9, push(value)),
        Some(Value::Choices(entries)) => (10, push(&entries.join(";"))),
        Some(Value::Json(value)) => (11, push(value)),
        Some(Value::Copy(_)) => panic!("a record holds values, not copies"),
    }
}
