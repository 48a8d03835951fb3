//! The tree of a query, names as they were written.

/// A dotted name and where it stood.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    pub parts: Vec<String>,
    pub at: usize,
}

impl Path {
    pub fn text(&self) -> String {
        self.parts.join(".")
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub items: Vec<Item>,
    pub from: String,
    pub from_at: usize,
    pub alias: Option<String>,
    pub filter: Option<Expr>,
    pub order: Vec<Order>,
    pub limit: Option<usize>,
    pub offset: usize,
    pub all_rows: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    Field(Path),
    /// `count()`
    Count,
    /// `FIELDS(ALL)` and its kin
    Fields(FieldSet),
    Child(Box<Query>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldSet {
    All,
    Standard,
    Custom,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub path: Path,
    pub descending: bool,
    pub nulls_last: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare {
        path: Path,
        op: Op,
        value: Literal,
    },
    In {
        path: Path,
        negated: bool,
        values: Vec<Literal>,
    },
    InQuery {
        path: Path,
        negated: bool,
        query: Box<Query>,
    },
    /// `INCLUDES ('a;b', 'c')`
    Includes {
        path: Path,
        negated: bool,
        values: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Like,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// Days since 1970-01-01
    Date(i32),
    /// Seconds since 1970-01-01
    Stamp(i64),
    /// `TODAY`, `LAST_N_DAYS:7`: first day and number of days, from today
    Days {
        first: i64,
        count: i64,
    },
}
