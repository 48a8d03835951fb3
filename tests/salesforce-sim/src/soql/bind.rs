//! Binds a tree to an org's schema: names become columns, literals become cells, and
//! what the integration user may not see does not exist.

use std::collections::HashSet;
use std::sync::Arc;

use dealsync_core::ids::SfId;

use super::ast::{Expr, FieldSet, Item, Literal, Op, Path, Query};
use super::eval;
use super::lexer::{malformed, placed};
use crate::errors::ApiError;
use crate::ids;
use crate::org::Org;
use crate::rows::Cell;
use crate::schema::{Field, Kind};

/// How many parents up a path may go.
const PARENTS_MAX: usize = 5;

/// A query ready to run.
#[derive(Debug)]
pub struct Plan {
    pub object: usize,
    pub outputs: Vec<Output>,
    pub count_only: bool,
    pub filter: Option<Filter>,
    pub order: Vec<Ordering>,
    pub limit: Option<usize>,
    pub offset: usize,
    /// Deleted rows too.
    pub all_rows: bool,
    pub selects_long_text: bool,
}

#[derive(Debug)]
pub enum Output {
    Field { name: Arc<str>, col: usize, kind: Kind },
    Parent { name: Arc<str>, col: usize, object: usize, outputs: Vec<Output> },
    Child { name: Arc<str>, link: usize, plan: Box<Plan> },
}

/// Reference columns to follow, each with the object it leads to, then a column.
#[derive(Debug, Clone)]
pub struct Route {
    pub steps: Vec<(usize, usize)>,
    pub object: usize,
    pub col: usize,
}

#[derive(Debug)]
pub struct Ordering {
    pub route: Route,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Debug)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare {
        route: Route,
        op: Op,
        cell: Cell,
    },
    /// At or after the first second or day, before the second.
    Between {
        route: Route,
        op: Op,
        first: Cell,
        after: Cell,
    },
    Like {
        route: Route,
        pattern: Vec<eval::Glob>,
    },
    In {
        route: Route,
        negated: bool,
        set: Set,
    },
    Includes {
        route: Route,
        negated: bool,
        values: Vec<String>,
    },
}

#[derive(Debug, Default)]
pub struct Set {
    pub ids: HashSet<SfId>,
    pub texts: HashSet<String>,
    pub others: Vec<Cell>,
    pub null: bool,
}

/// Binds a query. `all_rows` is what the `queryAll` resource adds.
pub fn bind(org: &Org, text: &str, query: &Query, all_rows: bool) -> Result<Plan, ApiError> {
    let object = org.schema.find(&query.from).ok_or_else(|| {
        ApiError::bad(
            "INVALID_TYPE",
            placed(
                text,
                query.from_at,
                &format!(
                    "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to \
                     append the '__c' after the entity name. Please reference your WSDL or the describe call for \
                     the appropriate names.",
                    query.from
                ),
            ),
        )
    })?;
    Binder { org, text }.plan(query, object, all_rows || query.all_rows, true)
}

struct Binder<'a> {
    org: &'a Org,
    text: &'a str,
}

impl Binder<'_> {
    fn plan(&self, query: &Query, object: usize, all_rows: bool, outermost: bool) -> Result<Plan, ApiError> {
        let mut plan = Plan {
            object,
            outputs: Vec::new(),
            count_only: false,
            filter: None,
            order: Vec::new(),
            limit: query.limit,
            offset: query.offset,
            all_rows,
            selects_long_text: false,
        };
        for item in &query.items {
            match item {
                Item::Count if query.items.len() == 1 => plan.count_only = true,
                Item::Count => {
                    return Err(ApiError::bad(
                        "MALFORMED_QUERY",
                        "count() must be the only element in the select list",
                    ));
                }
                Item::Fields(set) => self.add_fields(&mut plan, *set)?,
                Item::Field(path) => self.add_path(&mut plan, query, path)?,
                Item::Child(child) if outermost => self.add_child(&mut plan, child)?,
                Item::Child(child) => {
                    return Err(malformed(
                        self.text,
                        child.from_at,
                        "only one level of child subqueries is supported",
                    ));
                }
            }
        }
        if let Some(filter) = &query.filter {
            plan.filter = Some(self.filter(filter, query, object, outermost)?);
        }
        for order in &query.order {
            let route = self.route(object, query, &order.path)?;
            let field = self.field(&route);
            if !field.sortable {
                return Err(self.refused(
                    &order.path,
                    &format!("field '{}' can not be sorted in a query call", field.name),
                ));
            }
            plan.order.push(Ordering { route, descending: order.descending, nulls_last: order.nulls_last });
        }
        Ok(plan)
    }

    fn add_fields(&self, plan: &mut Plan, set: FieldSet) -> Result<(), ApiError> {
        if set != FieldSet::Standard && plan.limit.is_none_or(|limit| limit > 200) {
            return Err(ApiError::bad(
                "MALFORMED_QUERY",
                "The SOQL FIELDS function must have a LIMIT of at most 200",
            ));
        }
        for (col, field) in self.org.shape(plan.object).fields.iter().enumerate() {
            let wanted = match set {
                FieldSet::All => true,
                FieldSet::Standard => !field.custom,
                FieldSet::Custom => field.custom,
            };
            if wanted && !field.hidden {
                plan.selects_long_text |= field.long_text();
                plan.outputs.push(Output::Field { name: field.name.as_str().into(), col, kind: field.kind });
            }
        }
        Ok(())
    }

    fn add_path(&self, plan: &mut Plan, query: &Query, path: &Path) -> Result<(), ApiError> {
        let route = self.route(plan.object, query, path)?;
        let field = self.field(&route);
        plan.selects_long_text |= field.long_text();
        let mut at = plan.object;
        let mut outputs = &mut plan.outputs;
        for (col, object) in &route.steps {
            let known = outputs
                .iter()
                .position(|output| matches!(output, Output::Parent { col: own, .. } if own == col));
            let place = known.unwrap_or_else(|| {
                let name = self.org.shape(at).fields[*col].relationship_name.as_deref().unwrap_or_default();
                outputs.push(Output::Parent {
                    name: name.into(),
                    col: *col,
                    object: *object,
                    outputs: Vec::new(),
                });
                outputs.len() - 1
            });
            let Output::Parent { outputs: inner, .. } = &mut outputs[place] else {
                unreachable!("placed above")
            };
            outputs = inner;
            at = *object;
        }
        if !outputs.iter().any(|output| matches!(output, Output::Field { col, .. } if *col == route.col)) {
            outputs.push(Output::Field {
                name: field.name.as_str().into(),
                col: route.col,
                kind: field.kind,
            });
        }
        Ok(())
    }

    fn add_child(&self, plan: &mut Plan, child: &Query) -> Result<(), ApiError> {
        let parent = self.org.shape(plan.object);
        let relation = parent.child_relationships.iter().find(|relation| {
            relation.relationship_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&child.from))
        });
        let found = relation.and_then(|relation| {
            let at = self.org.schema.find(&relation.child)?;
            let link = self.org.shape(at).col(&relation.field)?;
            Some((relation.relationship_name.as_deref()?, at, link))
        });
        let Some((name, at, link)) = found else {
            return Err(ApiError::bad(
                "INVALID_TYPE",
                placed(
                    self.text,
                    child.from_at,
                    &format!(
                        "Didn't understand relationship '{}' in FROM part of query call. If you are attempting to \
                         use a custom relationship, be sure to append the '__r' after the custom relationship name. \
                         Please reference your WSDL or the describe call for the appropriate names.",
                        child.from
                    ),
                ),
            ));
        };
        let inner = self.plan(child, at, plan.all_rows, false)?;
        plan.outputs.push(Output::Child { name: name.into(), link, plan: Box::new(inner) });
        Ok(())
    }

    fn field(&self, route: &Route) -> &Field {
        &self.org.shape(route.object).fields[route.col]
    }

    fn refused(&self, path: &Path, message: &str) -> ApiError {
        ApiError::bad("INVALID_FIELD", placed(self.text, path.at, message))
    }

    fn route(&self, object: usize, query: &Query, path: &Path) -> Result<Route, ApiError> {
        let mut parts = path.parts.as_slice();
        let names_object = |word: &str| {
            query.alias.as_deref().is_some_and(|alias| alias.eq_ignore_ascii_case(word))
                || (word.eq_ignore_ascii_case(&query.from)
                    && self.org.shape(object).relationship(word).is_none())
        };
        if parts.len() > 1 && names_object(&parts[0]) {
            parts = &parts[1..];
        }
        let (last, parents) = parts.split_last().expect("paths have a word");
        if parents.len() > PARENTS_MAX {
            return Err(self.refused(path, "only 5 levels of parent relationships are supported"));
        }
        let mut steps = Vec::with_capacity(parents.len());
        let mut at = object;
        for parent in parents {
            let shape = self.org.shape(at);
            let step = shape.relationship(parent).and_then(|col| {
                let target = shape.fields[col]
                    .reference_to
                    .iter()
                    .rev()
                    .find_map(|name| self.org.schema.find(name))?;
                Some((col, target))
            });
            let Some((col, target)) = step else {
                return Err(self.refused(
                    path,
                    &format!(
                        "Didn't understand relationship '{parent}' in field path. If you are attempting to use a \
                         custom relationship, be sure to append the '__r' after the custom relationship name. Please \
                         reference your WSDL or the describe call for the appropriate names."
                    ),
                ));
            };
            steps.push((col, target));
            at = target;
        }
        let Some(col) = self.org.shape(at).visible(last) else {
            return Err(self.refused(
                path,
                &format!(
                    "No such column '{last}' on entity '{}'. If you are attempting to use a custom field, be sure to \
                     append the '__c' after the custom field name. Please reference your WSDL or the describe call \
                     for the appropriate names.",
                    self.org.shape(at).name
                ),
            ));
        };
        Ok(Route { steps, object: at, col })
    }

    fn filter(&self, expr: &Expr, query: &Query, object: usize, may_nest: bool) -> Result<Filter, ApiError> {
        let each = |all: &[Expr]| {
            all.iter().map(|one| self.filter(one, query, object, may_nest)).collect::<Result<Vec<_>, _>>()
        };
        let filtered = |path: &Path| -> Result<Route, ApiError> {
            let route = self.route(object, query, path)?;
            let field = self.field(&route);
            if field.filterable {
                return Ok(route);
            }
            Err(self.refused(path, &format!("field '{}' can not be filtered in a query call", field.name)))
        };
        Ok(match expr {
            Expr::And(all) => Filter::And(each(all)?),
            Expr::Or(any) => Filter::Or(each(any)?),
            Expr::Not(inner) => Filter::Not(Box::new(self.filter(inner, query, object, may_nest)?)),
            Expr::Compare { path, op: Op::Like, value: Literal::Text(text) } => {
                let route = filtered(path)?;
                if !self.field(&route).kind.is_text() {
                    return Err(self.refused(
                        path,
                        &format!("invalid operator on {} field", self.field(&route).kind.name()),
                    ));
                }
                Filter::Like { route, pattern: eval::glob(text) }
            }
            Expr::Compare { path, op, value: Literal::Days { first, count } } => {
                let route = filtered(path)?;
                let today = self.org.clock.now().div_euclid(86_400);
                let (first, after) = (today + first, today + first + count);
                let (first, after) = match self.field(&route).kind {
                    Kind::Date => (Cell::Date(first as i32), Cell::Date(after as i32)),
                    Kind::Datetime => (Cell::Stamp(first * 86_400), Cell::Stamp(after * 86_400)),
                    _ => return Err(self.refused(path, "a date literal needs a date field")),
                };
                Filter::Between { route, op: *op, first, after }
            }
            Expr::Compare { path, op, value } => {
                let route = filtered(path)?;
                let cell = self.cell(path, &route, value)?;
                Filter::Compare { route, op: *op, cell }
            }
            Expr::In { path, negated, values } => {
                let route = filtered(path)?;
                let mut set = Set::default();
                for value in values {
                    set.add(self.cell(path, &route, value)?);
                }
                Filter::In { route, negated: *negated, set }
            }
            Expr::InQuery { path, negated, query: inner } => {
                let route = filtered(path)?;
                if !may_nest || !self.field(&route).kind.is_id() {
                    return Err(malformed(
                        self.text,
                        path.at,
                        "The inner and outer selects should not be on the same object type, or nesting is too deep",
                    ));
                }
                let at = self.org.schema.find(&inner.from).ok_or_else(|| {
                    ApiError::bad(
                        "INVALID_TYPE",
                        placed(
                            self.text,
                            inner.from_at,
                            &format!("sObject type '{}' is not supported.", inner.from),
                        ),
                    )
                })?;
                let plan = self.plan(inner, at, false, false)?;
                let [Output::Field { col, .. }] = plan.outputs.as_slice() else {
                    return Err(malformed(self.text, inner.from_at, "a semi-join selects exactly one field"));
                };
                let mut set = Set::default();
                for row in eval::rows(self.org, &plan) {
                    set.add(self.org.tables[at].cell(row, *col).clone());
                }
                Filter::In { route, negated: *negated, set }
            }
            Expr::Includes { path, negated, values } => {
                let route = filtered(path)?;
                if self.field(&route).kind != Kind::Multipicklist {
                    return Err(
                        self.refused(path, "includes or excludes operator only valid on multipicklist field")
                    );
                }
                Filter::Includes { route, negated: *negated, values: values.clone() }
            }
        })
    }

    /// A literal as a cell of the field's type, refused when it is of another.
    fn cell(&self, path: &Path, route: &Route, value: &Literal) -> Result<Cell, ApiError> {
        let field = self.field(route);
        let wrong = |kind: &str, quotes: &str| {
            self.refused(
                path,
                &format!(
                    "value of filter criterion for field '{}' must be of type {kind} and should {quotes}be enclosed in quotes",
                    field.name
                ),
            )
        };
        Ok(match (field.kind, value) {
            (_, Literal::Null) => Cell::Null,
            (Kind::Boolean, Literal::Bool(value)) => Cell::Bool(*value),
            (Kind::Boolean, _) => return Err(wrong("boolean", "not ")),
            (Kind::Id | Kind::Reference, Literal::Text(text)) if text.is_empty() => Cell::Null,
            (Kind::Id | Kind::Reference, Literal::Text(text)) => {
                Cell::Id(ids::parse(text).ok_or_else(|| {
                    ApiError::bad(
                        "INVALID_QUERY_FILTER_OPERATOR",
                        placed(self.text, path.at, &format!("invalid ID field: {text}")),
                    )
                })?)
            }
            (Kind::Id | Kind::Reference, _) => return Err(wrong("string", "")),
            (kind, Literal::Number(number)) if kind.is_number() => Cell::Num(*number),
            (kind, _) if kind.is_number() => return Err(wrong("double", "not ")),
            (Kind::Date, Literal::Date(days)) => Cell::Date(*days),
            (Kind::Date, _) => return Err(wrong("date", "not ")),
            (Kind::Datetime, Literal::Stamp(at)) => Cell::Stamp(*at),
            (Kind::Datetime, _) => return Err(wrong("dateTime", "not ")),
            (_, Literal::Text(text)) => Cell::text(&text.replace("\\_", "_").replace("\\%", "%")),
            _ => return Err(wrong("string", "")),
        })
    }
}

impl Set {
    fn add(&mut self, cell: Cell) {
        match cell {
            Cell::Null => self.null = true,
            Cell::Id(id) => {
                self.ids.insert(id);
            }
            Cell::Text(text) => {
                self.texts.insert(text.to_lowercase());
            }
            other => self.others.push(other),
        }
    }

    pub fn holds(&self, cell: &Cell) -> bool {
        match cell {
            Cell::Null => self.null || self.others.contains(&Cell::Bool(false)),
            Cell::Id(id) => self.ids.contains(id),
            Cell::Text(text) => self.texts.contains(&text.to_lowercase()),
            other => self.others.contains(other),
        }
    }
}
