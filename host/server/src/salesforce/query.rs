//! Which Opportunities are asked for and with which columns: the rules' columns and
//! the ones dealsync itself needs, compiled once into a query text and into the
//! tree of keys that a page is read by.

use std::sync::Arc;

use dealsync_core::ids::SfId;
use dealsync_core::schema::{FieldDef, FieldIx, FieldKind, Schema};

use super::soql::{is_api_name, stamp_literal};

/// The prefix of columns that are read from the primary contact.
pub const PRIMARY_CONTACT: &str = "PrimaryContact";
/// Roles read of one Opportunity, the primary one first.
const ROLES_MAX: usize = 20;
/// Parents between a column and the Opportunity, as deep as a query may go.
const PARENTS_MAX: usize = 5;
/// Columns of one query.
const COLUMNS_MAX: usize = 1_000;

/// The fields of the Opportunity that the tenant's settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullFields {
    /// "Sync this record at all".
    pub sync_flag: String,
    /// "Import this one as a deal".
    pub import_flag: String,
    pub partner_email: String,
    pub distributor_email: Option<String>,
    pub owner_type: Option<String>,
    /// Whether the org has `CurrencyIsoCode`.
    pub currency: bool,
}

/// A column that cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} cannot be read from an Opportunity: {why}")]
pub struct BadColumn {
    pub name: String,
    pub why: &'static str,
}

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Every row with the import flag. Both limits are microseconds since 1970.
    Full {
        /// Go on behind this stamp and id, for a run that was cut off.
        after: Option<(i64, SfId)>,
        /// Only rows created since then, for a backfill.
        created_since: Option<i64>,
    },
    /// Rows changed in `since <= stamp < upper` that carry either flag, and deleted
    /// ones. Microseconds since 1970.
    Changed { since: i64, upper: i64 },
}

/// A compiled query for Opportunities; cheap to clone.
#[derive(Debug, Clone)]
pub struct PullQuery {
    pub(super) plan: Arc<Plan>,
    scope: Scope,
}

/// What a page is read by.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Node>,
    /// Columns of the batch, in the order of the schema.
    pub(super) columns: Arc<[FieldIx]>,
    pub(super) scales: Arc<[u8]>,
    pub(super) fields: Vec<FieldDef>,
    /// Columns read from the primary contact: its field and the column.
    pub(super) contact_nodes: Vec<Node>,
    select: String,
    sync_flag: String,
    import_flag: String,
}

/// One key of a row, or of a parent inside it.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    /// Set of `System` bits that this value fills.
    pub(super) system: u16,
    pub(super) column: Option<u16>,
    /// Keys of the parent; empty for a plain value.
    pub(super) children: Vec<Node>,
    pub(super) kind: NodeKind,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
pub(super) enum NodeKind {
    #[default]
    Value,
    /// `attributes`, which says nothing new.
    Ignored,
    Roles,
}

/// What dealsync itself reads of a row, one bit each.
pub(super) mod system {
    pub(in super::super) const ID: u16 = 1;
    pub(in super::super) const MODSTAMP: u16 = 1 << 1;
    pub(in super::super) const CREATED: u16 = 1 << 2;
    pub(in super::super) const DELETED: u16 = 1 << 3;
    pub(in super::super) const NAME: u16 = 1 << 4;
    pub(in super::super) const ACCOUNT_ID: u16 = 1 << 5;
    pub(in super::super) const ACCOUNT_NAME: u16 = 1 << 6;
    pub(in super::super) const SYNC_FLAG: u16 = 1 << 7;
    pub(in super::super) const IMPORT_FLAG: u16 = 1 << 8;
    pub(in super::super) const PARTNER_EMAIL: u16 = 1 << 9;
    pub(in super::super) const DISTRIBUTOR_EMAIL: u16 = 1 << 10;
    pub(in super::super) const OWNER_TYPE: u16 = 1 << 11;
    pub(in super::super) const CURRENCY: u16 = 1 << 12;
}

impl PullQuery {
    /// Compiles a query for the columns of `rules`, which is the source schema
    /// narrowed to what the rules read; the batch of a page has the same columns in
    /// the same order. Starts with every flagged row. Refuses names that are no API
    /// names and paths that no query can follow.
    pub fn new(rules: &Schema, fields: &PullFields) -> Result<Self, BadColumn> {
        let mut nodes =
            vec![Node { name: "attributes".to_owned(), kind: NodeKind::Ignored, ..Node::default() }];
        let mut contact_nodes = Vec::new();
        let currency = fields.currency.then_some("CurrencyIsoCode");
        let wanted = [
            (Some("Id"), system::ID),
            (Some("SystemModstamp"), system::MODSTAMP),
            (Some("CreatedDate"), system::CREATED),
            (Some("IsDeleted"), system::DELETED),
            (Some("Name"), system::NAME),
            (Some("AccountId"), system::ACCOUNT_ID),
            (Some("Account.Name"), system::ACCOUNT_NAME),
            (Some(fields.sync_flag.as_str()), system::SYNC_FLAG),
            (Some(fields.import_flag.as_str()), system::IMPORT_FLAG),
            (Some(fields.partner_email.as_str()), system::PARTNER_EMAIL),
            (fields.distributor_email.as_deref(), system::DISTRIBUTOR_EMAIL),
            (fields.owner_type.as_deref(), system::OWNER_TYPE),
            (currency, system::CURRENCY),
        ];
        for (name, bit) in wanted {
            if let Some(name) = name {
                leaf(&mut nodes, name)?.system |= bit;
            }
        }
        if rules.len() > COLUMNS_MAX {
            return Err(bad("all columns together", "there are too many of them"));
        }
        for (column, field) in rules.fields().iter().enumerate() {
            let leaf = match field.name.split_once('.') {
                Some((PRIMARY_CONTACT, name)) if name.contains('.') => {
                    return Err(bad(&field.name, "a contact's own fields only"));
                }
                Some((PRIMARY_CONTACT, name)) => leaf(&mut contact_nodes, name)?,
                _ => leaf(&mut nodes, &field.name)?,
            };
            if leaf.column.is_some() {
                return Err(bad(&field.name, "it is asked for twice"));
            }
            leaf.column = Some(column as u16);
        }
        nodes.push(Node {
            name: "OpportunityContactRoles".to_owned(),
            kind: NodeKind::Roles,
            ..Node::default()
        });
        let mut paths = Vec::new();
        list_paths(&nodes, "", &mut paths);
        let plan = Plan {
            select: paths.join(","),
            nodes,
            columns: (0..rules.len() as u16).map(FieldIx).collect(),
            scales: rules.fields().iter().map(|field| field.scale).collect(),
            fields: rules.fields().to_vec(),
            contact_nodes,
            sync_flag: fields.sync_flag.clone(),
            import_flag: fields.import_flag.clone(),
        };
        let scope = Scope::Full { after: None, created_since: None };
        Ok(Self { plan: Arc::new(plan), scope })
    }

    /// The same columns of other rows.
    pub fn scoped(&self, scope: Scope) -> Self {
        Self { plan: self.plan.clone(), scope }
    }

    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether deleted rows are asked for too, which another resource answers.
    pub(super) fn reads_deleted(&self) -> bool {
        matches!(self.scope, Scope::Changed { .. })
    }

    /// The query in Salesforce's language, for `--dry-run` and logs.
    pub fn soql(&self) -> String {
        format!("{} WHERE {} ORDER BY SystemModstamp,Id", self.select_from(), self.condition())
    }

    pub(super) fn count_soql(&self) -> String {
        format!("SELECT count() FROM Opportunity WHERE {}", self.condition())
    }

    pub(super) fn select_from(&self) -> String {
        format!("SELECT {} FROM Opportunity", self.plan.select)
    }

    fn condition(&self) -> String {
        let Plan { sync_flag, import_flag, .. } = &*self.plan;
        match self.scope {
            Scope::Full { after, created_since } => {
                let mut condition = format!("{import_flag} = true");
                if let Some((stamp, id)) = after {
                    let stamp = stamp_literal(stamp);
                    condition.push_str(&format!(
                        " AND (SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND Id > '{id}'))"
                    ));
                }
                if let Some(since) = created_since {
                    condition.push_str(&format!(" AND CreatedDate >= {}", stamp_literal(since)));
                }
                condition
            }
            Scope::Changed { since, upper } => format!(
                "SystemModstamp >= {} AND SystemModstamp < {} AND ({import_flag} = true OR {sync_flag} = true \
                 OR IsDeleted = true)",
                stamp_literal(since),
                stamp_literal(upper),
            ),
        }
    }
}

/// The node of a dotted name, made where it is missing.
fn leaf<'a>(nodes: &'a mut Vec<Node>, name: &str) -> Result<&'a mut Node, BadColumn> {
    if !is_api_name(name) {
        return Err(bad(name, "it is no API name"));
    }
    let mut parts: Vec<&str> = name.split('.').collect();
    let last = parts.pop().unwrap_or(name);
    if parts.len() > PARENTS_MAX {
        return Err(bad(name, "the path is too long"));
    }
    let mut level = nodes;
    for part in parts {
        let parent = child(level, part);
        if parent.system != 0 || parent.column.is_some() {
            return Err(bad(name, "its parent is a field of its own"));
        }
        level = &mut parent.children;
    }
    let leaf = child(level, last);
    if !leaf.children.is_empty() || leaf.kind != NodeKind::Value {
        return Err(bad(name, "it is a parent, not a field"));
    }
    Ok(leaf)
}

fn child<'a>(level: &'a mut Vec<Node>, name: &str) -> &'a mut Node {
    let at = level.iter().position(|node| node.name.eq_ignore_ascii_case(name)).unwrap_or_else(|| {
        level.push(Node { name: name.to_owned(), ..Node::default() });
        level.len() - 1
    });
    &mut level[at]
}

fn list_paths(nodes: &[Node], prefix: &str, paths: &mut Vec<String>) {
    for node in nodes {
        match node.kind {
            NodeKind::Ignored => {}
            NodeKind::Roles => paths.push(format!(
                "(SELECT ContactId,Contact.Name,IsPrimary FROM OpportunityContactRoles \
                 ORDER BY IsPrimary DESC LIMIT {ROLES_MAX})"
            )),
            NodeKind::Value if node.children.is_empty() => paths.push(format!("{prefix}{}", node.name)),
            NodeKind::Value => list_paths(&node.children, &format!("{prefix}{}.", node.name), paths),
        }
    }
}

fn bad(name: &str, why: &'static str) -> BadColumn {
    BadColumn { name: name.to_owned(), why }
}

impl Plan {
    pub(super) fn kind(&self, column: u16) -> FieldKind {
        self.fields[usize::from(column)].kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> PullFields {
        PullFields {
            sync_flag: "Sync__c".to_owned(),
            import_flag: "Import__c".to_owned(),
            partner_email: "Partner__c".to_owned(),
            distributor_email: None,
            owner_type: None,
            currency: true,
        }
    }

    fn schema(names: &[&str]) -> Schema {
        Schema::new(names.iter().map(|name| FieldDef::new(name, name, FieldKind::Text)))
    }

    #[test]
    fn a_full_pull_asks_for_each_column_once() {
        let rules = schema(&["Name", "Account.Website", "PrimaryContact.Email", "Owner.Email", "Partner__c"]);
        let query = PullQuery::new(&rules, &fields()).expect("columns");
        assert_eq!(
            query.soql(),
            "SELECT Id,SystemModstamp,CreatedDate,IsDeleted,Name,AccountId,Account.Name,Account.Website,Sync__c,\
             Import__c,Partner__c,CurrencyIsoCode,Owner.Email,(SELECT ContactId,Contact.Name,IsPrimary FROM \
             OpportunityContactRoles ORDER BY IsPrimary DESC LIMIT 20) FROM Opportunity WHERE Import__c = true \
             ORDER BY SystemModstamp,Id"
        );
    }

    #[test]
    fn an_incremental_pull_keeps_deleted_rows_and_rows_that_lost_a_flag() {
        let query = PullQuery::new(&schema(&[]), &fields()).expect("columns");
        let query = query.scoped(Scope::Changed { since: 0, upper: 60_000_000 });
        assert!(query.reads_deleted());
        assert!(query.soql().ends_with(
            "WHERE SystemModstamp >= 1970-01-01T00:00:00Z AND SystemModstamp < 1970-01-01T00:01:00Z AND \
             (Import__c = true OR Sync__c = true OR IsDeleted = true) ORDER BY SystemModstamp,Id"
        ));
    }

    #[test]
    fn columns_that_no_query_can_ask_for_are_refused() {
        for name in [
            "Name FROM User",
            "Account",
            "Name.First",
            "PrimaryContact.Account.Name",
            "A.B.C.D.E.F.G",
            "attributes",
        ] {
            assert!(PullQuery::new(&schema(&[name]), &fields()).is_err(), "{name}");
        }
        assert!(PullQuery::new(&schema(&["Amount", "AMOUNT"]), &fields()).is_err());
        let fields = PullFields { import_flag: "x = true OR y".to_owned(), ..fields() };
        assert!(PullQuery::new(&schema(&[]), &fields).is_err());
    }
}
