//! Runs a bound plan over the rows: which rows answer, in which order.

use std::cmp::Ordering as Order;

use super::ast::Op;
use super::bind::{Filter, Ordering, Plan, Route};
use crate::org::Org;
use crate::rows::{Cell, Table};

const NULL: Cell = Cell::Null;

/// A piece of a LIKE pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glob {
    /// `%`
    Any,
    /// `_`
    One,
    Letter(char),
}

pub fn glob(pattern: &str) -> Vec<Glob> {
    let mut found = Vec::new();
    let mut letters = pattern.chars().flat_map(char::to_lowercase);
    while let Some(letter) = letters.next() {
        found.push(match letter {
            '%' => Glob::Any,
            '_' => Glob::One,
            '\\' => match letters.next() {
                Some(escaped) => Glob::Letter(escaped),
                None => Glob::Letter('\\'),
            },
            other => Glob::Letter(other),
        });
    }
    found
}

/// Whether a text fits, without regard to case; linear in text times pattern.
pub fn fits(pattern: &[Glob], text: &str) -> bool {
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let (mut at, mut next) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(next) {
            Some(Glob::Any) => {
                retry = Some((next, at));
                next += 1;
                continue;
            }
            Some(Glob::One) => {
                at += 1;
                next += 1;
                continue;
            }
            Some(Glob::Letter(letter)) if *letter == text[at] => {
                at += 1;
                next += 1;
                continue;
            }
            _ => {}
        }
        match &mut retry {
            Some((star, from)) => {
                *from += 1;
                at = *from;
                next = *star + 1;
            }
            None => return false,
        }
    }
    pattern[next..].iter().all(|rest| *rest == Glob::Any)
}

/// The rows of a plan's object that answer it, ordered and cut.
pub fn rows(org: &Org, plan: &Plan) -> Vec<u32> {
    let table = &org.tables[plan.object];
    let candidates = plan.filter.as_ref().and_then(|filter| candidates(org, plan, filter));
    let found = match candidates {
        Some(few) => select(org, plan, table, few.into_iter()),
        None => select(org, plan, table, 0..table.len()),
    };
    sorted(org, plan, found)
}

/// The children of one parent that answer a subquery's plan.
pub fn children(org: &Org, plan: &Plan, link: usize, parent: dealsync_core::ids::SfId) -> Vec<u32> {
    let table = &org.tables[plan.object];
    let found = select(org, plan, table, table.pointing_to(link, parent).iter().copied());
    sorted(org, plan, found)
}

fn select(org: &Org, plan: &Plan, table: &Table, rows: impl Iterator<Item = u32>) -> Vec<u32> {
    rows.filter(|row| {
        !table.purged(*row)
            && !table.hidden(*row)
            && (plan.all_rows || table.live(*row))
            && plan.filter.as_ref().is_none_or(|filter| holds(org, plan, filter, *row))
    })
    .collect()
}

fn sorted(org: &Org, plan: &Plan, mut rows: Vec<u32>) -> Vec<u32> {
    if !plan.order.is_empty() {
        let mut keyed: Vec<(Vec<&Cell>, u32)> = rows
            .iter()
            .map(|row| {
                let cells = plan.order.iter().map(|order| cell(org, plan, &order.route, *row)).collect();
                (cells, *row)
            })
            .collect();
        keyed.sort_by(|(left, one), (right, other)| {
            plan.order
                .iter()
                .zip(left.iter().zip(right))
                .map(|(order, (left, right))| by(order, left, right))
                .find(|order| *order != Order::Equal)
                .unwrap_or_else(|| one.cmp(other))
        });
        rows.clear();
        rows.extend(keyed.into_iter().map(|(_, row)| row));
    }
    let from = plan.offset.min(rows.len());
    let to = plan.limit.map_or(rows.len(), |limit| rows.len().min(from.saturating_add(limit)));
    rows.truncate(to);
    rows.drain(..from);
    rows
}

fn by(order: &Ordering, left: &Cell, right: &Cell) -> Order {
    match (left, right) {
        (Cell::Null, Cell::Null) => Order::Equal,
        (Cell::Null, _) => {
            if order.nulls_last {
                Order::Greater
            } else {
                Order::Less
            }
        }
        (_, Cell::Null) => {
            if order.nulls_last {
                Order::Less
            } else {
                Order::Greater
            }
        }
        _ => {
            let natural = compare(left, right).unwrap_or(Order::Equal);
            if order.descending { natural.reverse() } else { natural }
        }
    }
}

/// Compares two cells of one type; text without regard to case.
pub fn compare(left: &Cell, right: &Cell) -> Option<Order> {
    Some(match (left, right) {
        (Cell::Bool(left), Cell::Bool(right)) => left.cmp(right),
        (Cell::Num(left), Cell::Num(right)) => left.partial_cmp(right)?,
        (Cell::Text(left), Cell::Text(right)) => {
            let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
            if left.is_ascii() && right.is_ascii() {
                let folded = |text: &std::sync::Arc<str>, at: usize| text.as_bytes()[at].to_ascii_lowercase();
                let shared = left.len().min(right.len());
                (0..shared)
                    .map(|at| folded(left, at).cmp(&folded(right, at)))
                    .find(|order| *order != Order::Equal)
                    .unwrap_or_else(|| left.len().cmp(&right.len()))
            } else {
                lower(left).cmp(&lower(right))
            }
        }
        (Cell::Id(left), Cell::Id(right)) => left.cmp(right),
        (Cell::Date(left), Cell::Date(right)) => left.cmp(right),
        (Cell::Stamp(left), Cell::Stamp(right)) => left.cmp(right),
        _ => return None,
    })
}

/// The cell a route leads to; null when a parent on the way is missing or unreadable.
pub fn cell<'a>(org: &'a Org, plan: &Plan, route: &Route, row: u32) -> &'a Cell {
    let mut at = plan.object;
    let mut row = row;
    for (col, object) in &route.steps {
        let Cell::Id(id) = org.tables[at].cell(row, *col) else { return &NULL };
        let table = &org.tables[*object];
        let parent = if plan.all_rows {
            table.row(*id).filter(|row| !table.hidden(*row))
        } else {
            table.readable(*id)
        };
        let Some(parent) = parent else { return &NULL };
        at = *object;
        row = parent;
    }
    org.tables[at].cell(row, route.col)
}

fn holds(org: &Org, plan: &Plan, filter: &Filter, row: u32) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|one| holds(org, plan, one, row)),
        Filter::Or(any) => any.iter().any(|one| holds(org, plan, one, row)),
        Filter::Not(inner) => !holds(org, plan, inner, row),
        Filter::Compare { route, op, cell: wanted } => compared(cell(org, plan, route, row), *op, wanted),
        Filter::Between { route, op, first, after } => {
            let own = cell(org, plan, route, row);
            let from = compare(own, first).is_some_and(Order::is_ge);
            let before = compare(own, after).is_some_and(Order::is_lt);
            match op {
                Op::Equal | Op::Like => from && before,
                Op::NotEqual => !(from && before),
                Op::Less => *own != Cell::Null && !from,
                Op::LessEqual => before,
                Op::Greater => *own != Cell::Null && !before,
                Op::GreaterEqual => from,
            }
        }
        Filter::Like { route, pattern } => {
            cell(org, plan, route, row).as_text().is_some_and(|text| fits(pattern, text))
        }
        Filter::In { route, negated, set } => set.holds(cell(org, plan, route, row)) != *negated,
        Filter::Includes { route, negated, values } => {
            let own = cell(org, plan, route, row).as_text().unwrap_or_default();
            let has = |one: &str| own.split(';').any(|part| part.trim().eq_ignore_ascii_case(one.trim()));
            values.iter().any(|all| all.split(';').all(has)) != *negated
        }
    }
}

fn compared(own: &Cell, op: Op, wanted: &Cell) -> bool {
    // A checkbox nobody set is false, never null.
    let own = if let (Cell::Null, Cell::Bool(_)) = (own, wanted) { &Cell::Bool(false) } else { own };
    match op {
        Op::Equal | Op::Like => same(own, wanted),
        Op::NotEqual => !same(own, wanted),
        Op::Less => compare(own, wanted).is_some_and(Order::is_lt),
        Op::LessEqual => compare(own, wanted).is_some_and(Order::is_le),
        Op::Greater => compare(own, wanted).is_some_and(Order::is_gt),
        Op::GreaterEqual => compare(own, wanted).is_some_and(Order::is_ge),
    }
}

fn same(own: &Cell, wanted: &Cell) -> bool {
    match (own, wanted) {
        (Cell::Null, Cell::Null) => true,
        _ => compare(own, wanted) == Some(Order::Equal),
    }
}

/// The few rows an index says are worth looking at, when a top-level condition names
/// ids or the parent's ids. In row order, each once.
fn candidates(org: &Org, plan: &Plan, filter: &Filter) -> Option<Vec<u32>> {
    let table = &org.tables[plan.object];
    let id_col = org.shape(plan.object).col("Id")?;
    let by_ids = |col: usize, ids: &mut dyn Iterator<Item = dealsync_core::ids::SfId>| -> Option<Vec<u32>> {
        if col != id_col && !table.indexed(col) {
            return None;
        }
        let mut rows: Vec<u32> = Vec::new();
        for id in ids {
            if col == id_col { rows.extend(table.row(id)) } else { rows.extend(table.pointing_to(col, id)) }
        }
        rows.sort_unstable();
        rows.dedup();
        Some(rows)
    };
    match filter {
        Filter::And(all) => all.iter().filter_map(|one| candidates(org, plan, one)).min_by_key(Vec::len),
        Filter::Compare { route, op: Op::Equal, cell: Cell::Id(id) } if route.steps.is_empty() => {
            by_ids(route.col, &mut std::iter::once(*id))
        }
        Filter::In { route, negated: false, set } if route.steps.is_empty() && !set.null => {
            if set.texts.is_empty() && set.others.is_empty() {
                by_ids(route.col, &mut set.ids.iter().copied())
            } else {
                None
            }
        }
        _ => None,
    }
}
