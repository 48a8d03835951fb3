//! The primary contacts of a page's rows, read in one call of their own: a contact
//! behind a role may be one the user may not see, or a deleted one, and only asking
//! for it tells.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use dealsync_core::batch::Batch;
use dealsync_core::ids::SfId;
use dealsync_core::schema::FieldKind;
use dealsync_core::value::Cell;

use super::cells::cell;
use super::client::{Call, Client};
use super::error::Error;
use super::json::{NotJson, Scanner, Token};
use super::page::{ContactState, Contacts, Page, find};
use super::query::{Node, Plan};
use super::soql::{id_list, ids_per_call};
use super::transport::Response;
use super::wire;

/// Records that one retrieve takes.
const RETRIEVE_IDS_MAX: usize = 2_000;

/// Rows of the page by the contact that stands behind them.
type Waiting = HashMap<SfId, Vec<usize>>;

impl Client {
    /// Reads the primary contacts of a page and fills the `PrimaryContact` columns
    /// of its rows; a contact that cannot be read leaves them absent. One call for a
    /// page, none where no row waits for a contact.
    pub async fn fill_contacts(&self, page: &mut Page) -> Result<(), Error> {
        let mut waiting = Waiting::new();
        let mut ids = Vec::new();
        for (row, opportunity) in page.rows.iter().enumerate() {
            if let Contacts::Primary { id, state: ContactState::Unfetched } = opportunity.contacts {
                let rows = waiting.entry(id).or_default();
                if rows.is_empty() {
                    ids.push(id);
                }
                rows.push(row);
            }
        }
        for part in ids.chunks(RETRIEVE_IDS_MAX) {
            if !self.lacks_retrieve().load(Ordering::Relaxed) {
                match self.retrieve(part, page, &waiting).await {
                    Err(error)
                        if error.refusal().is_some_and(|refusal| matches!(refusal.status, 404 | 405)) =>
                    {
                        self.lacks_retrieve().store(true, Ordering::Relaxed);
                    }
                    done => {
                        done?;
                        continue;
                    }
                }
            }
            self.query_contacts(part, page, &waiting).await?;
        }
        for rows in waiting.values() {
            for row in rows {
                if let Contacts::Primary { state: state @ ContactState::Unfetched, .. } =
                    &mut page.rows[*row].contacts
                {
                    *state = ContactState::Unreadable;
                }
            }
        }
        Ok(())
    }

    async fn retrieve(&self, ids: &[SfId], page: &mut Page, waiting: &Waiting) -> Result<(), Error> {
        let ids: Vec<&str> = ids.iter().map(SfId::as_str).collect();
        let mut fields = vec!["Id"];
        fields.extend(contact_fields(&page.plan));
        let request = wire::RetrieveRequest { ids: &ids, fields: &fields };
        let body = serde_json::to_vec(&request).expect("texts and lists are JSON");
        let call = Call::read_by_post("contacts", self.data_path("composite/sobjects/Contact"), body);
        let answer = self.execute(&call, |response| read_contacts(response, &page.plan)).await?;
        answer.fill(page, waiting);
        Ok(())
    }

    /// The way round for an org whose API has no retrieve.
    async fn query_contacts(&self, ids: &[SfId], page: &mut Page, waiting: &Waiting) -> Result<(), Error> {
        let mut select = "SELECT Id".to_owned();
        for field in contact_fields(&page.plan) {
            select.push(',');
            select.push_str(field);
        }
        select.push_str(" FROM Contact WHERE Id IN ");
        for part in ids.chunks(ids_per_call(&select)) {
            let mut path = self.query_path("contacts", false, &format!("{select}{}", id_list(part)))?;
            loop {
                let call = Call::read("contacts", path);
                let answer = self.execute(&call, |response| read_contacts(response, &page.plan)).await?;
                let next = answer.next.clone();
                answer.fill(page, waiting);
                match next {
                    Some(next) => path = self.next_path(&next).await?,
                    None => break,
                }
            }
        }
        Ok(())
    }
}

fn contact_fields(plan: &Plan) -> impl Iterator<Item = &str> {
    let named = plan.contact_nodes.iter().map(|node| node.name.as_str());
    named.filter(|name| !name.eq_ignore_ascii_case("Id"))
}

/// Contacts as they were read, one row of the batch each.
struct ContactRows {
    ids: Vec<SfId>,
    batch: Batch,
    /// What could not be read of a contact.
    bad: Vec<Option<String>>,
    next: Option<String>,
}

impl ContactRows {
    fn fill(&self, page: &mut Page, waiting: &Waiting) {
        let plan = page.plan.clone();
        let columns: Vec<usize> =
            plan.contact_nodes.iter().filter_map(|node| node.column).map(usize::from).collect();
        for (from, id) in self.ids.iter().enumerate() {
            let Some(rows) = waiting.get(id) else { continue };
            for row in rows {
                let opportunity = &mut page.rows[*row];
                opportunity.contacts = Contacts::Primary { id: *id, state: ContactState::Readable };
                if let Some(complaint) = &self.bad[from] {
                    let bad = opportunity.bad.get_or_insert_default();
                    if !bad.is_empty() {
                        bad.push_str("; ");
                    }
                    bad.push_str(complaint);
                }
                for column in &columns {
                    page.batch.set(*row, *column, self.batch.cell(from, *column));
                }
            }
        }
    }
}

/// Reads either form: a bare list with gaps, or a page of a query.
fn read_contacts(response: &Response, plan: &Plan) -> Result<ContactRows, Error> {
    let bad = |problem: &str| wire::bad_answer("contacts", response, problem);
    let text = std::str::from_utf8(&response.body).map_err(|_| bad("the text is not UTF-8"))?;
    let mut rows = ContactRows {
        ids: Vec::new(),
        batch: Batch::new(plan.columns.clone(), plan.scales.clone()),
        bad: Vec::new(),
        next: None,
    };
    read_text(text, plan, &mut rows).map_err(|error| bad(&error.to_string()))?;
    Ok(rows)
}

fn read_text(text: &str, plan: &Plan, rows: &mut ContactRows) -> Result<(), NotJson> {
    let mut scanner = Scanner::new(text);
    let mut scratch = String::new();
    match scanner.token()? {
        Token::Array => read_list(&mut scanner, plan, rows, &mut scratch)?,
        Token::Object => {
            let mut done = true;
            let mut first = true;
            while let Some(key) = scanner.key(&mut first)? {
                let key = key.text(&mut scratch).to_owned();
                let token = scanner.token()?;
                match (key.as_str(), token) {
                    ("records", Token::Array) => read_list(&mut scanner, plan, rows, &mut scratch)?,
                    ("nextRecordsUrl", Token::Text(path)) => {
                        rows.next = Some(path.text(&mut scratch).to_owned());
                    }
                    ("done", Token::Boolean(value)) => done = value,
                    _ => scanner.skip_rest(token)?,
                }
            }
            if done {
                rows.next = None;
            }
        }
        _ => return Err(NotJson { what: "no list of records", at: 0 }),
    }
    scanner.end()
}

fn read_list(
    scanner: &mut Scanner<'_>,
    plan: &Plan,
    rows: &mut ContactRows,
    scratch: &mut String,
) -> Result<(), NotJson> {
    let mut first = true;
    while scanner.element(&mut first)? {
        let token = scanner.token()?;
        // A gap stands for a contact that cannot be read.
        if !matches!(token, Token::Object) {
            scanner.skip_rest(token)?;
            continue;
        }
        read_contact(scanner, plan, rows, scratch)?;
    }
    Ok(())
}

fn read_contact(
    scanner: &mut Scanner<'_>,
    plan: &Plan,
    rows: &mut ContactRows,
    scratch: &mut String,
) -> Result<(), NotJson> {
    let nodes: &[Node] = &plan.contact_nodes;
    let row = rows.batch.push_row();
    let mut id = None;
    let mut bad: Option<String> = None;
    let mut expected = 0;
    let mut first = true;
    while let Some(key) = scanner.key(&mut first)? {
        let key = key.text(scratch);
        let is_id = key == "Id";
        let at = find(nodes, expected, key);
        expected = at.map_or(expected, |at| at + 1);
        let token = scanner.token()?;
        if let (true, Token::Text(text)) = (is_id, token) {
            id = text.text(scratch).parse::<SfId>().ok();
        }
        let Some(column) = at.and_then(|at| nodes[at].column) else {
            scanner.skip_rest(token)?;
            continue;
        };
        let kind = plan.kind(column);
        if kind == FieldKind::Json && matches!(token, Token::Object | Token::Array) {
            let raw = scanner.raw_rest(token)?;
            rows.batch.set(row, column.into(), Cell::Json(raw));
            continue;
        }
        match cell(kind, token, scratch) {
            Some(cell) => rows.batch.set(row, column.into(), cell),
            None => {
                bad.get_or_insert_with(|| {
                    format!("{} holds no {}", plan.fields[usize::from(column)].name, kind.name())
                });
            }
        }
        scanner.skip_rest(token)?;
    }
    match id {
        Some(id) => {
            rows.ids.push(id);
            rows.bad.push(bad);
        }
        None => rows.batch.pop_row(),
    }
    Ok(())
}
