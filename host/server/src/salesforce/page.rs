//! A page of Opportunities, read in one pass from its text into packed columns.
//!
//! Keys are looked for where the query put them first, then by name, so that their
//! order is no matter. A value of the wrong kind costs its cell, a row without an id
//! costs its row; only text that is no JSON costs the page.

use std::sync::Arc;

use dealsync_core::batch::Batch;
use dealsync_core::ids::SfId;
use dealsync_core::schema::FieldKind;
use dealsync_core::value::{Cell, parse_timestamp};

use super::cells::cell;
use super::json::{NotJson, Scanner, Token};
use super::query::{Node, NodeKind, Plan, system};

/// Characters of complaints kept of one row.
const COMPLAINT_BYTES_MAX: usize = 400;
/// The longest value taken: Salesforce's longest fields hold 131,072 characters.
const VALUE_BYTES_MAX: usize = 4 * 131_072;

/// Rows as they came, with what the rules read of them in `batch`, row by row.
#[derive(Debug, Clone)]
pub struct Page {
    /// In the order of the query: by stamp, then id. `rows[n]` and row `n` of
    /// `batch` are one Opportunity.
    pub rows: Vec<OpportunityRow>,
    pub batch: Batch,
    /// Rows that have no usable id, each as a sentence.
    pub unreadable: Vec<String>,
    /// Rows of the whole query, this page's among them.
    pub total: u64,
    /// Where the next page is; `None` after the last.
    pub next: Option<Next>,
    pub(super) plan: Arc<Plan>,
}

impl Page {
    /// Keeps the rows that are marked, in order; `keep` has one mark per row.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut batch = self.batch.slice(0, 0);
        for (row, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            batch.append(&self.batch.slice(row, row + 1));
        }
        self.batch = batch;
        let mut marks = keep.iter();
        self.rows.retain(|_| marks.next().copied().unwrap_or(true));
    }
}

/// The way to the next page. Good for two days at most, and for one session's org.
#[derive(Debug, Clone)]
pub struct Next {
    pub(super) path: String,
    pub(super) plan: Arc<Plan>,
}

/// What dealsync itself needs to know of an Opportunity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpportunityRow {
    pub id: SfId,
    pub name: String,
    /// `SystemModstamp` and `CreatedDate`, in microseconds since 1970.
    pub modstamp: i64,
    pub created: i64,
    pub deleted: bool,
    pub sync_flag: bool,
    pub import_flag: bool,
    pub account: Option<AccountRef>,
    pub partner_email: Option<String>,
    pub distributor_email: Option<String>,
    pub owner_type: Option<String>,
    pub currency: Option<String>,
    pub contacts: Contacts,
    /// What could not be read of this row, naming the fields.
    pub bad: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRef {
    pub id: SfId,
    /// Empty where the user may not see it.
    pub name: String,
}

/// The contact roles of an Opportunity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contacts {
    None,
    /// There are contacts, but none is marked as primary.
    NonePrimary {
        names: Vec<String>,
    },
    Primary {
        id: SfId,
        state: ContactState,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactState {
    /// Not asked for yet.
    Unfetched,
    Readable,
    /// The user may not see it, or it is deleted.
    Unreadable,
}

/// Why a page as a whole cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{0}")]
    NotJson(#[from] NotJson),
    #[error("the text is not UTF-8")]
    NotUtf8,
    #[error("{0}")]
    NoPage(&'static str),
}

/// Reads an answer to the query that `plan` was compiled for.
pub(super) fn read_page(body: &[u8], plan: &Arc<Plan>) -> Result<Page, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable::NotUtf8)?;
    let mut scanner = Scanner::new(text);
    let mut page = Page {
        rows: Vec::new(),
        batch: Batch::new(plan.columns.clone(), plan.scales.clone()),
        unreadable: Vec::new(),
        total: 0,
        next: None,
        plan: plan.clone(),
    };
    let mut done = None;
    let mut next_path = None;
    let mut has_records = false;
    let mut reader = Reader { plan, scratch: String::new() };
    if !matches!(scanner.token()?, Token::Object) {
        return Err(Unreadable::NoPage("no page of a query"));
    }
    let mut first = true;
    while let Some(key) = scanner.key(&mut first)? {
        match key.text(&mut reader.scratch) {
            "totalSize" => {
                let token = scanner.token()?;
                if let Token::Number(number) = token {
                    page.total = number.parse().unwrap_or(0);
                }
                scanner.skip_rest(token)?;
            }
            "done" => {
                let token = scanner.token()?;
                if let Token::Boolean(value) = token {
                    done = Some(value);
                }
                scanner.skip_rest(token)?;
            }
            "nextRecordsUrl" => {
                let token = scanner.token()?;
                if let Token::Text(path) = token {
                    next_path = Some(path.text(&mut reader.scratch).to_owned());
                }
                scanner.skip_rest(token)?;
            }
            "records" => {
                if !matches!(scanner.token()?, Token::Array) {
                    return Err(Unreadable::NoPage("the page has no list of records"));
                }
                has_records = true;
                let mut first = true;
                while scanner.element(&mut first)? {
                    reader.row(&mut scanner, &mut page)?;
                }
            }
            _ => scanner.skip()?,
        }
    }
    scanner.end()?;
    if !has_records {
        return Err(Unreadable::NoPage("the page has no records"));
    }
    page.next = match (done, next_path) {
        (Some(true), _) => None,
        (Some(false), Some(path)) => Some(Next { path, plan: plan.clone() }),
        (Some(false), None) => return Err(Unreadable::NoPage("the page does not say where the next one is")),
        (None, _) => return Err(Unreadable::NoPage("the page does not say whether it is the last")),
    };
    Ok(page)
}

struct Reader<'p> {
    plan: &'p Plan,
    scratch: String,
}

/// A row while it is read.
#[derive(Default)]
struct Draft {
    id: Option<SfId>,
    name: String,
    modstamp: i64,
    created: i64,
    deleted: bool,
    sync_flag: bool,
    import_flag: bool,
    account_id: Option<SfId>,
    account_name: String,
    partner_email: Option<String>,
    distributor_email: Option<String>,
    owner_type: Option<String>,
    currency: Option<String>,
    contacts: Option<Contacts>,
    bad: String,
}

impl Draft {
    fn complain(&mut self, complaint: &str) {
        if self.bad.len() + complaint.len() > COMPLAINT_BYTES_MAX {
            return;
        }
        if !self.bad.is_empty() {
            self.bad.push_str("; ");
        }
        self.bad.push_str(complaint);
    }
}

impl Reader<'_> {
    fn row(&mut self, scanner: &mut Scanner<'_>, page: &mut Page) -> Result<(), NotJson> {
        let token = scanner.token()?;
        if !matches!(token, Token::Object) {
            scanner.skip_rest(token)?;
            page.unreadable.push("a row is no record".to_owned());
            return Ok(());
        }
        let row = page.batch.push_row();
        let mut draft = Draft::default();
        let plan = self.plan;
        self.object(scanner, &plan.nodes, &mut draft, &mut page.batch, row)?;
        let Some(id) = draft.id else {
            page.batch.pop_row();
            let name = if draft.name.is_empty() { "without a name" } else { &draft.name };
            page.unreadable.push(format!("the row {name:?} has no id"));
            return Ok(());
        };
        let account = draft.account_id.map(|id| AccountRef { id, name: draft.account_name });
        page.rows.push(OpportunityRow {
            id,
            name: draft.name,
            modstamp: draft.modstamp,
            created: draft.created,
            deleted: draft.deleted,
            sync_flag: draft.sync_flag,
            import_flag: draft.import_flag,
            account,
            partner_email: draft.partner_email,
            distributor_email: draft.distributor_email,
            owner_type: draft.owner_type,
            currency: draft.currency,
            contacts: draft.contacts.unwrap_or(Contacts::None),
            bad: (!draft.bad.is_empty()).then_some(draft.bad),
        });
        Ok(())
    }

    /// Reads the keys of a row or of a parent in it.
    fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        nodes: &[Node],
        draft: &mut Draft,
        batch: &mut Batch,
        row: usize,
    ) -> Result<(), NotJson> {
        let mut expected = 0;
        let mut first = true;
        while let Some(key) = scanner.key(&mut first)? {
            let Some(at) = find(nodes, expected, key.text(&mut self.scratch)) else {
                scanner.skip()?;
                continue;
            };
            expected = at + 1;
            let node = &nodes[at];
            match node.kind {
                NodeKind::Ignored => scanner.skip()?,
                NodeKind::Roles => draft.contacts = Some(self.roles(scanner, draft)?),
                NodeKind::Value if node.children.is_empty() => {
                    let token = scanner.token()?;
                    self.value(scanner, node, token, draft, batch, row)?;
                }
                NodeKind::Value => match scanner.token()? {
                    Token::Object => self.object(scanner, &node.children, draft, batch, row)?,
                    Token::Null => null_all(&node.children, batch, row),
                    token => {
                        scanner.skip_rest(token)?;
                        draft.complain(&format!("{} holds no record", node.name));
                    }
                },
            }
        }
        Ok(())
    }

    fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        node: &Node,
        token: Token<'_>,
        draft: &mut Draft,
        batch: &mut Batch,
        row: usize,
    ) -> Result<(), NotJson> {
        if node.system != 0 {
            self.system_value(node, token, draft);
        }
        let Some(column) = node.column else { return scanner.skip_rest(token) };
        let kind = self.plan.kind(column);
        if kind == FieldKind::Json && matches!(token, Token::Object | Token::Array) {
            let raw = scanner.raw_rest(token)?;
            batch.set(row, column.into(), Cell::Json(raw));
            return Ok(());
        }
        match cell(kind, token, &mut self.scratch) {
            Some(cell) if bytes(&cell) > VALUE_BYTES_MAX => {
                let name = &self.plan.fields[usize::from(column)].name;
                draft.complain(&format!("{name} is longer than any field of Salesforce"));
            }
            Some(cell) => batch.set(row, column.into(), cell),
            None => {
                let name = &self.plan.fields[usize::from(column)].name;
                draft.complain(&format!("{name} holds no {}", kind.name()));
            }
        }
        scanner.skip_rest(token)
    }

    /// Fills what dealsync itself reads. A value can serve several purposes where a
    /// tenant named one field twice.
    fn system_value(&mut self, node: &Node, token: Token<'_>, draft: &mut Draft) {
        let is = |bit: u16| node.system & bit != 0;
        let text = match token {
            Token::Text(text) => Some(text.text(&mut self.scratch)),
            _ => None,
        };
        let null = matches!(token, Token::Null);
        let truth = match token {
            Token::Boolean(value) => Some(value),
            _ => None,
        };
        let mut fits = true;
        if is(system::ID) {
            draft.id = text.and_then(|text| text.parse().ok());
        }
        if is(system::ACCOUNT_ID) {
            draft.account_id = text.and_then(|text| text.parse().ok());
            fits &= null || draft.account_id.is_some();
        }
        for (bit, stamp) in [(system::MODSTAMP, &mut draft.modstamp), (system::CREATED, &mut draft.created)] {
            if is(bit) {
                let read = text.and_then(parse_timestamp);
                *stamp = read.unwrap_or(0);
                fits &= read.is_some();
            }
        }
        for (bit, flag) in [
            (system::DELETED, &mut draft.deleted),
            (system::SYNC_FLAG, &mut draft.sync_flag),
            (system::IMPORT_FLAG, &mut draft.import_flag),
        ] {
            if is(bit) {
                *flag = truth.unwrap_or(false);
                fits &= null || truth.is_some();
            }
        }
        for (bit, name) in [(system::NAME, &mut draft.name), (system::ACCOUNT_NAME, &mut draft.account_name)]
        {
            if is(bit) {
                text.unwrap_or("").clone_into(name);
                fits &= null || text.is_some();
            }
        }
        for (bit, value) in [
            (system::PARTNER_EMAIL, &mut draft.partner_email),
            (system::DISTRIBUTOR_EMAIL, &mut draft.distributor_email),
            (system::OWNER_TYPE, &mut draft.owner_type),
            (system::CURRENCY, &mut draft.currency),
        ] {
            if is(bit) {
                *value = text.map(str::to_owned);
                fits &= null || text.is_some();
            }
        }
        if !fits {
            draft.complain(&format!("{} holds a value of another type", node.name));
        }
    }

    /// Reads the child rows: a list in an answer of its own, or nothing at all.
    fn roles(&mut self, scanner: &mut Scanner<'_>, draft: &mut Draft) -> Result<Contacts, NotJson> {
        let token = scanner.token()?;
        if !matches!(token, Token::Object) {
            scanner.skip_rest(token)?;
            if !matches!(token, Token::Null) {
                draft.complain("the contact roles are no list");
            }
            return Ok(Contacts::None);
        }
        let mut names = Vec::new();
        let mut primary = None;
        let mut first = true;
        while let Some(key) = scanner.key(&mut first)? {
            if key.text(&mut self.scratch) != "records" {
                scanner.skip()?;
                continue;
            }
            let token = scanner.token()?;
            if !matches!(token, Token::Array) {
                scanner.skip_rest(token)?;
                continue;
            }
            let mut first = true;
            while scanner.element(&mut first)? {
                let role = self.role(scanner)?;
                if role.is_primary && primary.is_none() {
                    primary = role.contact;
                }
                // The names are for a person to read, and only where none is primary.
                if primary.is_none() {
                    names.push(role.name);
                }
            }
        }
        Ok(match primary {
            Some(id) => Contacts::Primary { id, state: ContactState::Unfetched },
            None if names.is_empty() => Contacts::None,
            None => Contacts::NonePrimary { names },
        })
    }

    fn role(&mut self, scanner: &mut Scanner<'_>) -> Result<Role, NotJson> {
        let mut role = Role { contact: None, name: String::new(), is_primary: false };
        let token = scanner.token()?;
        if !matches!(token, Token::Object) {
            scanner.skip_rest(token)?;
            return Ok(role);
        }
        let mut first = true;
        while let Some(key) = scanner.key(&mut first)? {
            match key.text(&mut self.scratch) {
                "ContactId" => {
                    let token = scanner.token()?;
                    if let Token::Text(id) = token {
                        role.contact = id.text(&mut self.scratch).parse().ok();
                    }
                    scanner.skip_rest(token)?;
                }
                "IsPrimary" => {
                    let token = scanner.token()?;
                    role.is_primary = matches!(token, Token::Boolean(true));
                    scanner.skip_rest(token)?;
                }
                "Contact" => {
                    let token = scanner.token()?;
                    if !matches!(token, Token::Object) {
                        scanner.skip_rest(token)?;
                        continue;
                    }
                    let mut first = true;
                    while let Some(key) = scanner.key(&mut first)? {
                        let is_name = key.text(&mut self.scratch) == "Name";
                        let token = scanner.token()?;
                        if let (true, Token::Text(name)) = (is_name, token) {
                            name.text(&mut self.scratch).clone_into(&mut role.name);
                        }
                        scanner.skip_rest(token)?;
                    }
                }
                _ => scanner.skip()?,
            }
        }
        Ok(role)
    }
}

struct Role {
    contact: Option<SfId>,
    name: String,
    is_primary: bool,
}

/// The node of a key: the expected one, or one found by name.
pub(super) fn find(nodes: &[Node], expected: usize, key: &str) -> Option<usize> {
    if nodes.get(expected).is_some_and(|node| node.name == key) {
        return Some(expected);
    }
    nodes.iter().position(|node| node.name.eq_ignore_ascii_case(key))
}

fn bytes(cell: &Cell<'_>) -> usize {
    match cell {
        Cell::Text(text) | Cell::Reference(text) | Cell::Choices(text) | Cell::Json(text) => text.len(),
        _ => 0,
    }
}

/// Without a parent, its fields hold nothing.
fn null_all(nodes: &[Node], batch: &mut Batch, row: usize) {
    for node in nodes {
        if let Some(column) = node.column {
            batch.set(row, column.into(), Cell::Null);
        }
        null_all(&node.children, batch, row);
    }
}
