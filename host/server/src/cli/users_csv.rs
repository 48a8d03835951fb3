//! A CSV file of users, read as a whole: either every row is good, or every
//! problem is told with its line and column, and nothing is taken.

use std::collections::HashMap;
use std::fmt;

use dealsync_core::people::{UserKind, UserStatus};
use serde::{Deserialize, Serialize};

use crate::hints::did_you_mean;

/// The largest file taken, bytes.
pub const CSV_BYTES_MAX: usize = 64 << 20;
/// Problems told at once; more are counted.
pub const PROBLEMS_MAX: usize = 50;
const CELL_CHARS_MAX: usize = 255;

/// Every column there is; the first four must be there.
pub const COLUMNS: [&str; 9] =
    ["email", "first", "last", "type", "status", "organisation", "group", "deal_registration", "external_id"];
const COLUMNS_REQUIRED: usize = 4;

/// One row, as it was meant. Status is active and the permission given where the
/// file has no such column or the cell is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserLine {
    pub email: String,
    pub first: String,
    pub last: String,
    pub kind: UserKind,
    pub status: UserStatus,
    pub organisation: String,
    pub group: String,
    pub deal_registration: bool,
    pub external_id: Option<String>,
}

/// What is wrong with one cell, row or the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub line: u64,
    /// Position and name of the column; `None` where the whole line is meant.
    pub column: Option<(usize, String)>,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some((at, name)) => {
                write!(f, "line {}, column {} ({name}): {}", self.line, at + 1, self.message)
            }
            None => write!(f, "line {}: {}", self.line, self.message),
        }
    }
}

/// Everything that is wrong with a file: at most [`PROBLEMS_MAX`], and how many
/// there are in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    pub shown: Vec<Problem>,
    pub count: usize,
}

impl Problems {
    fn push(&mut self, line: u64, column: Option<(usize, &str)>, message: impl Into<String>) {
        self.count += 1;
        if self.shown.len() < PROBLEMS_MAX {
            let column = column.map(|(at, name)| (at, name.to_owned()));
            self.shown.push(Problem { line, column, message: message.into() });
        }
    }
}

/// Reads a file of users. Commas or semicolons between cells, a header line first,
/// columns in any order.
pub fn parse(bytes: &[u8]) -> Result<Vec<UserLine>, Problems> {
    let mut problems = Problems::default();
    if bytes.len() > CSV_BYTES_MAX {
        problems.push(1, None, format!("the file is larger than {} MiB", CSV_BYTES_MAX >> 20));
        return Err(problems);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Err(error) = std::str::from_utf8(bytes) {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        problems.push(line as u64, None, "this is not UTF-8; save the file as \"CSV UTF-8\"");
        return Err(problems);
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(bytes))
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            problems.push(1, None, error.to_string());
            return Err(problems);
        }
    };
    let columns = columns(&header, &mut problems);
    let mut lines = Vec::new();
    let mut external_ids = HashMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                problems.push(line, None, error.to_string());
                continue;
            }
        };
        let line = record.position().map_or(1, csv::Position::line);
        if record.len() != header.len() {
            let cells = super::plural(record.len() as u64, "cell", "cells");
            let message = format!("{cells}, but the header has {}", header.len());
            problems.push(line, None, message);
            continue;
        }
        let row = Row { line, record: &record, columns: &columns };
        let user = row.user(&mut problems);
        if let Some(id) = &user.external_id
            && let Some(before) = external_ids.insert(id.clone(), line)
        {
            row.problem(8, format!("{id:?} is on line {before} already"), &mut problems);
        }
        lines.push(user);
    }
    if problems.count == 0 { Ok(lines) } else { Err(problems) }
}

/// Where each of [`COLUMNS`] stands in the file.
type Positions = [Option<usize>; COLUMNS.len()];

fn delimiter(bytes: &[u8]) -> u8 {
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if !header.contains(&b',') && header.contains(&b';') { b';' } else { b',' }
}

fn columns(header: &csv::StringRecord, problems: &mut Problems) -> Positions {
    let mut columns = Positions::default();
    for (at, name) in header.iter().enumerate() {
        match COLUMNS.iter().position(|known| known.eq_ignore_ascii_case(name)) {
            None => {
                let hint = did_you_mean(name, COLUMNS);
                problems.push(1, Some((at, name)), format!("there is no such column{hint}"));
            }
            Some(known) if columns[known].is_some() => {
                problems.push(1, Some((at, name)), "this column is there twice");
            }
            Some(known) => columns[known] = Some(at),
        }
    }
    for (known, name) in COLUMNS.iter().enumerate().take(COLUMNS_REQUIRED) {
        if columns[known].is_none() {
            problems.push(1, None, format!("the column {name} is missing; the first line names the columns"));
        }
    }
    columns
}

struct Row<'a> {
    line: u64,
    record: &'a csv::StringRecord,
    columns: &'a Positions,
}

impl Row<'_> {
    fn cell(&self, known: usize) -> &str {
        self.columns[known].and_then(|at| self.record.get(at)).unwrap_or_default()
    }

    fn problem(&self, known: usize, message: String, problems: &mut Problems) {
        problems.push(self.line, self.columns[known].map(|at| (at, COLUMNS[known])), message);
    }

    fn user(&self, problems: &mut Problems) -> UserLine {
        for (known, name) in COLUMNS.iter().enumerate() {
            let cell = self.cell(known);
            let required = known < COLUMNS_REQUIRED && self.columns[known].is_some();
            if required && cell.is_empty() {
                self.problem(known, format!("{name} is empty"), problems);
            }
            if cell.chars().count() > CELL_CHARS_MAX || cell.contains(char::is_control) {
                let message = format!("more than {CELL_CHARS_MAX} characters, or control characters");
                self.problem(known, message, problems);
            }
        }
        if !self.cell(0).is_empty() && !is_address(self.cell(0)) {
            self.problem(0, format!("{:?} is not an e-mail address", self.cell(0)), problems);
        }
        let text = |known: usize| self.cell(known).to_owned();
        UserLine {
            email: text(0),
            first: text(1),
            last: text(2),
            kind: self
                .named(3, UserKind::from_name, &UserKind::ALL.map(UserKind::name), problems)
                .unwrap_or(UserKind::Internal),
            status: self
                .named(4, UserStatus::from_name, &UserStatus::ALL.map(UserStatus::name), problems)
                .unwrap_or(UserStatus::Active),
            organisation: text(5),
            group: text(6),
            deal_registration: self
                .named(7, truth, &["yes", "no", "true", "false", "1", "0"], problems)
                .unwrap_or(true),
            external_id: Some(text(8)).filter(|id| !id.is_empty()),
        }
    }

    /// A cell that is one of some names; `None` where it is empty or none of them.
    fn named<T>(
        &self,
        known: usize,
        read: impl Fn(&str) -> Option<T>,
        names: &[&str],
        problems: &mut Problems,
    ) -> Option<T> {
        let cell = self.cell(known);
        if cell.is_empty() {
            return None;
        }
        let value = read(cell);
        if value.is_none() {
            let hint = match did_you_mean(cell, names.iter().copied()) {
                hint if hint.is_empty() => format!("; use one of {}", names.join(", ")),
                hint => hint,
            };
            self.problem(known, format!("{cell:?} is not known{hint}"), problems);
        }
        value
    }
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Some(true),
        "no" | "false" | "0" => Some(false),
        _ => None,
    }
}

fn is_address(text: &str) -> bool {
    match text.split_once('@') {
        Some((local, domain)) => {
            !local.is_empty()
                && domain.contains(|c: char| c.is_alphanumeric())
                && !domain.contains('@')
                && !text.contains([' ', ',', ';', '<', '>'])
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check_problems(text: &str, expect: Expect) {
        let problems = parse(text.as_bytes()).unwrap_err();
        let lines: Vec<String> = problems.shown.iter().map(ToString::to_string).collect();
        expect.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn good_rows_come_with_their_defaults_in_any_column_order() {
        let text = "\u{feff}type;email;last;first;deal_registration\r\n\
                    Partner; dana@acme.example ;Reed;Dana;\r\ninternal;bob@acme.example;Stone;Bob;no\r\n";
        let users = parse(text.as_bytes()).unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(
            users[0],
            UserLine {
                email: "dana@acme.example".into(),
                first: "Dana".into(),
                last: "Reed".into(),
                kind: UserKind::Partner,
                status: UserStatus::Active,
                organisation: String::new(),
                group: String::new(),
                deal_registration: true,
                external_id: None,
            }
        );
        assert!(!users[1].deal_registration);
    }

    #[test]
    fn every_bad_cell_is_told_at_once_with_line_and_column() {
        check_problems(
            "email,first,last,type,status,external_id\n\
             dana,Dana,Reed,partnr,active,1\n\
             bob@acme.example,,Stone,partner,asleep,\n\
             \n\
             eve@acme.example,Eve,Hill,partner,active,1\n\
             short@acme.example,x\n",
            expect![[r#"
                line 2, column 1 (email): "dana" is not an e-mail address
                line 2, column 4 (type): "partnr" is not known; did you mean "partner"?
                line 3, column 2 (first): first is empty
                line 3, column 5 (status): "asleep" is not known; use one of active, pending, inactive, disabled
                line 4, column 6 (external_id): "1" is on line 2 already
                line 6: 2 cells, but the header has 6"#]],
        );
    }

    #[test]
    fn the_header_is_checked() {
        check_problems(
            "e-mail,first,organization,first\n",
            expect![[r#"
                line 1, column 1 (e-mail): there is no such column; did you mean "email"?
                line 1, column 3 (organization): there is no such column; did you mean "organisation"?
                line 1, column 4 (first): this column is there twice
                line 1: the column email is missing; the first line names the columns
                line 1: the column last is missing; the first line names the columns
                line 1: the column type is missing; the first line names the columns"#]],
        );
        check_problems(
            "",
            expect![[r#"
            line 1: the column email is missing; the first line names the columns
            line 1: the column first is missing; the first line names the columns
            line 1: the column last is missing; the first line names the columns
            line 1: the column type is missing; the first line names the columns"#]],
        );
    }

    #[test]
    fn a_file_that_is_no_utf_8_is_told_its_line() {
        let problems = parse(b"email,first,last,type\na@b.c,M\xfcller,x,partner\n").unwrap_err();
        assert!(problems.shown[0].to_string().starts_with("line 2: this is not UTF-8"));
    }

    #[test]
    fn many_problems_are_shown_up_to_a_bound_and_counted_beyond() {
        let text = format!("email,first,last,type\n{}", "x,a,b,partner\n".repeat(80));
        let problems = parse(text.as_bytes()).unwrap_err();
        assert_eq!((problems.shown.len(), problems.count), (PROBLEMS_MAX, 80));
    }
}
