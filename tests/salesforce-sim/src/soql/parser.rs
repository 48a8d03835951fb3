//! Tokens to tree, by recursive descent. Nesting is bounded, so that a query of
//! parentheses cannot overflow the stack.

use super::ast::{Expr, FieldSet, Item, Literal, Op, Order, Path, Query};
use super::lexer::{Lexeme, Token, malformed, tokens};
use crate::errors::ApiError;

/// How deep parentheses and subqueries may nest.
const DEPTH_MAX: usize = 60;

pub fn parse(text: &str) -> Result<Query, ApiError> {
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    let query = parser.query()?;
    if parser.peek() == &Token::End { Ok(query) } else { Err(parser.unexpected()) }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Lexeme>,
    next: usize,
    depth: usize,
}

type Parsed<T> = Result<T, ApiError>;

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].token
    }

    fn at(&self) -> usize {
        self.tokens[self.next].at
    }

    fn advance(&mut self) -> Token {
        let token = self.tokens[self.next].token.clone();
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
        token
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(own) if own.eq_ignore_ascii_case(word))
    }

    fn follows(&self, sign: &str) -> bool {
        matches!(self.tokens.get(self.next + 1).map(|lexeme| &lexeme.token), Some(Token::Sign(own)) if *own == sign)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.is(word);
        if found {
            self.next += 1;
        }
        found
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.peek() == &Token::Sign(SIGN_NAMES.iter().find(|own| **own == sign).unwrap_or(&""));
        if found {
            self.next += 1;
        }
        found
    }

    fn need(&mut self, word: &str) -> Parsed<()> {
        if self.take(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn need_sign(&mut self, sign: &str) -> Parsed<()> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> ApiError {
        let what = match self.peek() {
            Token::End => "unexpected token: '<EOF>'".to_owned(),
            Token::Word(word) => format!("unexpected token: '{word}'"),
            Token::Sign(sign) => format!("unexpected token: '{sign}'"),
            Token::Text(text) => format!("unexpected token: '{text}'"),
            Token::Number(number) => format!("unexpected token: '{number}'"),
            Token::Date(_) | Token::Stamp(_) => "unexpected token: date".to_owned(),
        };
        malformed(self.text, self.at(), &what)
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(malformed(self.text, self.at(), "the query nests too deeply"));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn query(&mut self) -> Parsed<Query> {
        self.need("SELECT")?;
        let mut items = vec![self.item()?];
        while self.take_sign(",") {
            items.push(self.item()?);
        }
        self.need("FROM")?;
        let from_at = self.at();
        // `Contact.OpportunityContactRoles` does not occur; a relation is one word.
        let from = self.word()?;
        self.take("AS");
        let alias = match self.peek() {
            Token::Word(word) if !is_clause(word) => Some(word.clone()),
            _ => None,
        };
        if alias.is_some() {
            self.next += 1;
        }
        if self.take("USING") {
            self.need("SCOPE")?;
            self.word()?;
        }
        let filter = if self.take("WHERE") { Some(self.expression()?) } else { None };
        let mut order = Vec::new();
        if self.take("ORDER") {
            self.need("BY")?;
            order.push(self.order()?);
            while self.take_sign(",") {
                order.push(self.order()?);
            }
        }
        let limit = if self.take("LIMIT") { Some(self.count()?) } else { None };
        let offset = if self.take("OFFSET") { self.count()? } else { 0 };
        let mut all_rows = false;
        loop {
            if self.take("FOR") {
                if !(self.take("VIEW") || self.take("REFERENCE") || self.take("UPDATE")) {
                    return Err(self.unexpected());
                }
            } else if self.take("ALL") {
                self.need("ROWS")?;
                all_rows = true;
            } else {
                break;
            }
        }
        Ok(Query { items, from, from_at, alias, filter, order, limit, offset, all_rows })
    }

    fn word(&mut self) -> Parsed<String> {
        match self.peek() {
            Token::Word(_) => match self.advance() {
                Token::Word(word) => Ok(word),
                _ => Err(self.unexpected()),
            },
            _ => Err(self.unexpected()),
        }
    }

    fn count(&mut self) -> Parsed<usize> {
        match *self.peek() {
            Token::Number(number) if number >= 0.0 && number.fract() == 0.0 => {
                self.advance();
                Ok(number as usize)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn item(&mut self) -> Parsed<Item> {
        if self.take_sign("(") {
            let query = self.deeper(Self::query)?;
            self.need_sign(")")?;
            return Ok(Item::Child(Box::new(query)));
        }
        if self.is("COUNT") && self.follows("(") {
            self.next += 2;
            self.need_sign(")")?;
            return Ok(Item::Count);
        }
        if self.is("FIELDS") && self.follows("(") {
            self.next += 2;
            let set = match self.word()?.to_ascii_uppercase().as_str() {
                "ALL" => FieldSet::All,
                "STANDARD" => FieldSet::Standard,
                "CUSTOM" => FieldSet::Custom,
                _ => return Err(self.unexpected()),
            };
            self.need_sign(")")?;
            return Ok(Item::Fields(set));
        }
        Ok(Item::Field(self.path()?))
    }

    fn path(&mut self) -> Parsed<Path> {
        let at = self.at();
        let mut parts = vec![self.word()?];
        while self.take_sign(".") {
            parts.push(self.word()?);
        }
        if self.peek() == &Token::Sign("(") {
            let message = format!("{} is not supported by this simulator", parts.join("."));
            return Err(malformed(self.text, at, &message));
        }
        Ok(Path { parts, at })
    }

    fn order(&mut self) -> Parsed<Order> {
        let path = self.path()?;
        let descending = if self.take("DESC") {
            true
        } else {
            self.take("ASC");
            false
        };
        let nulls_last = if self.take("NULLS") {
            if self.take("LAST") {
                true
            } else {
                self.need("FIRST")?;
                false
            }
        } else {
            false
        };
        Ok(Order { path, descending, nulls_last })
    }

    /// AND and OR may not be mixed without parentheses, as in the service.
    fn expression(&mut self) -> Parsed<Expr> {
        let first = self.negation()?;
        if self.is("AND") {
            let mut all = vec![first];
            while self.take("AND") {
                all.push(self.negation()?);
            }
            if self.is("OR") { Err(self.unexpected()) } else { Ok(Expr::And(all)) }
        } else if self.is("OR") {
            let mut any = vec![first];
            while self.take("OR") {
                any.push(self.negation()?);
            }
            if self.is("AND") { Err(self.unexpected()) } else { Ok(Expr::Or(any)) }
        } else {
            Ok(first)
        }
    }

    fn negation(&mut self) -> Parsed<Expr> {
        if self.take("NOT") {
            return Ok(Expr::Not(Box::new(self.deeper(Self::negation)?)));
        }
        if self.take_sign("(") {
            let inner = self.deeper(Self::expression)?;
            self.need_sign(")")?;
            return Ok(inner);
        }
        self.condition()
    }

    fn condition(&mut self) -> Parsed<Expr> {
        let path = self.path()?;
        if self.take("LIKE") {
            return match self.literal()? {
                Literal::Text(text) => Ok(Expr::Compare { path, op: Op::Like, value: Literal::Text(text) }),
                _ => Err(self.unexpected()),
            };
        }
        if self.take("INCLUDES") {
            return self.includes(path, false);
        }
        if self.take("EXCLUDES") {
            return self.includes(path, true);
        }
        if self.take("IN") {
            return self.membership(path, false);
        }
        if self.take("NOT") {
            self.need("IN")?;
            return self.membership(path, true);
        }
        let op = match self.peek() {
            Token::Sign("=") => Op::Equal,
            Token::Sign("!=" | "<>") => Op::NotEqual,
            Token::Sign("<") => Op::Less,
            Token::Sign("<=") => Op::LessEqual,
            Token::Sign(">") => Op::Greater,
            Token::Sign(">=") => Op::GreaterEqual,
            _ => return Err(self.unexpected()),
        };
        self.advance();
        let value = self.literal()?;
        Ok(Expr::Compare { path, op, value })
    }

    fn membership(&mut self, path: Path, negated: bool) -> Parsed<Expr> {
        self.need_sign("(")?;
        if self.is("SELECT") {
            let query = self.deeper(Self::query)?;
            self.need_sign(")")?;
            return Ok(Expr::InQuery { path, negated, query: Box::new(query) });
        }
        let mut values = vec![self.literal()?];
        while self.take_sign(",") {
            values.push(self.literal()?);
        }
        self.need_sign(")")?;
        Ok(Expr::In { path, negated, values })
    }

    fn includes(&mut self, path: Path, negated: bool) -> Parsed<Expr> {
        self.need_sign("(")?;
        let mut values = Vec::new();
        loop {
            match self.literal()? {
                Literal::Text(text) => values.push(text),
                _ => return Err(self.unexpected()),
            }
            if !self.take_sign(",") {
                break;
            }
        }
        self.need_sign(")")?;
        Ok(Expr::Includes { path, negated, values })
    }

    fn literal(&mut self) -> Parsed<Literal> {
        let at = self.at();
        let value = match self.advance() {
            Token::Text(text) => Literal::Text(text),
            Token::Number(number) => Literal::Number(number),
            Token::Date(days) => Literal::Date(days),
            Token::Stamp(at) => Literal::Stamp(at),
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "NULL" => Literal::Null,
                "TRUE" => Literal::Bool(true),
                "FALSE" => Literal::Bool(false),
                "TODAY" => Literal::Days { first: 0, count: 1 },
                "YESTERDAY" => Literal::Days { first: -1, count: 1 },
                "TOMORROW" => Literal::Days { first: 1, count: 1 },
                "LAST_N_DAYS" => {
                    self.need_sign(":")?;
                    let days = self.count()?.min(100_000) as i64;
                    Literal::Days { first: -days, count: days + 1 }
                }
                "NEXT_N_DAYS" => {
                    self.need_sign(":")?;
                    Literal::Days { first: 1, count: self.count()?.min(100_000) as i64 }
                }
                _ => return Err(malformed(self.text, at, &format!("unexpected token: '{word}'"))),
            },
            _ => {
                self.next = self.next.saturating_sub(1);
                return Err(malformed(self.text, at, "unexpected token: expecting a value"));
            }
        };
        Ok(value)
    }
}

const SIGN_NAMES: [&str; 12] = ["<=", ">=", "!=", "<>", "(", ")", ",", ".", ":", "=", "<", ">"];

fn is_clause(word: &str) -> bool {
    ["WHERE", "ORDER", "LIMIT", "OFFSET", "FOR", "ALL", "GROUP", "HAVING", "WITH", "USING", "UPDATE"]
        .iter()
        .any(|clause| clause.eq_ignore_ascii_case(word))
}
