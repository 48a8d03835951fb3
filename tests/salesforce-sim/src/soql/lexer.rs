//! Tokens of a query, each with the offset it begins at.

use crate::errors::ApiError;
use crate::when;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Word(String),
    Text(String),
    Number(f64),
    Date(i32),
    Stamp(i64),
    /// One of `( ) , . :` or a comparison sign
    Sign(&'static str),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Lexeme {
    pub token: Token,
    pub at: usize,
}

/// The longest query the service takes.
pub const QUERY_CHARACTERS_MAX: usize = 100_000;

const SIGNS: [&str; 12] = ["<=", ">=", "!=", "<>", "(", ")", ",", ".", ":", "=", "<", ">"];

/// A refusal with the place marked, as the service words it.
pub fn malformed(query: &str, at: usize, message: &str) -> ApiError {
    ApiError::bad("MALFORMED_QUERY", placed(query, at, message))
}

/// The query's neighbourhood, a caret, row and column, then the message.
pub fn placed(query: &str, at: usize, message: &str) -> String {
    let at =
        query.char_indices().map(|(offset, _)| offset).take_while(|offset| *offset <= at).last().unwrap_or(0);
    let column = query[..at].chars().count();
    let from = column.saturating_sub(40);
    let near: String =
        query.chars().skip(from).take(80).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let row = query[..at].matches('\n').count() + 1;
    let of_row = query[..at].rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("\n{near}\n{}^\nERROR at Row:{row}:Column:{of_row}\n{message}", " ".repeat(column - from))
}

pub fn tokens(query: &str) -> Result<Vec<Lexeme>, ApiError> {
    if query.chars().count() > QUERY_CHARACTERS_MAX {
        return Err(ApiError::bad(
            "MALFORMED_QUERY",
            "SOQL statements cannot be longer than 100000 characters.",
        ));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = query[at..].chars().next() {
        let start = at;
        let token = if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        } else if first == '\'' {
            let (text, end) = quoted(query, at)?;
            at = end;
            Token::Text(text)
        } else if first.is_alphabetic() || first == '_' {
            let length =
                query[at..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(query.len() - at);
            at += length;
            Token::Word(query[start..at].to_owned())
        } else if first.is_ascii_digit() || ((first == '-' || first == '+') && digit_follows(query, at)) {
            let length = query[at + 1..]
                .find(|c: char| !(c.is_ascii_alphanumeric() || ".:+-".contains(c)))
                .unwrap_or(query.len() - at - 1);
            at += 1 + length;
            numeral(&query[start..at]).ok_or_else(|| {
                malformed(query, start, &format!("unexpected token: '{}'", &query[start..at]))
            })?
        } else if let Some(sign) = SIGNS.iter().find(|sign| query[at..].starts_with(**sign)) {
            at += sign.len();
            Token::Sign(sign)
        } else {
            return Err(malformed(
                query,
                at,
                &format!("line 1:{at} no viable alternative at character '{first}'"),
            ));
        };
        found.push(Lexeme { token, at: start });
    }
    found.push(Lexeme { token: Token::End, at: query.len() });
    Ok(found)
}

fn digit_follows(query: &str, at: usize) -> bool {
    query.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit)
}

fn numeral(text: &str) -> Option<Token> {
    if let Some(days) = when::parse_date(text) {
        return Some(Token::Date(days));
    }
    if let Some(at) = when::parse_stamp(text) {
        return Some(Token::Stamp(at));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Token::Number)
}

/// The text of a quoted string and where it ends.
fn quoted(query: &str, start: usize) -> Result<(String, usize), ApiError> {
    let mut text = String::new();
    let mut letters = query[start + 1..].char_indices();
    while let Some((offset, letter)) = letters.next() {
        match letter {
            '\'' => return Ok((text, start + 1 + offset + 1)),
            '\\' => match letters.next() {
                Some((_, 'n' | 'N')) => text.push('\n'),
                Some((_, 'r' | 'R')) => text.push('\r'),
                Some((_, 't' | 'T')) => text.push('\t'),
                Some((_, 'b' | 'B')) => text.push('\u{8}'),
                Some((_, 'f' | 'F')) => text.push('\u{c}'),
                // Kept with their backslash: LIKE tells an escaped wildcard from a real one.
                Some((_, wild @ ('_' | '%'))) => text.extend(['\\', wild]),
                Some((_, plain @ ('\'' | '"' | '\\'))) => text.push(plain),
                Some((offset, other)) => {
                    return Err(malformed(
                        query,
                        start + 1 + offset,
                        &format!("Illegal character in string literal: \\{other}"),
                    ));
                }
                None => break,
            },
            other => text.push(other),
        }
    }
    Err(malformed(query, start, "line 1:0 mismatched character '<EOF>' expecting '''"))
}
