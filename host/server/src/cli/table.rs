//! Lists as aligned tables that fit a terminal, or as JSON for scripts.

use serde::Serialize;

use super::out::Out;

/// The widest table line, characters.
pub const TABLE_WIDTH: usize = 110;
const GAP: usize = 2;
const COLUMN_WIDTH_MIN: usize = 8;

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    align: Align,
    /// Never narrowed: ids, codes and times are useless in part.
    whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

pub const fn left(title: &'static str) -> Column {
    Column { title, align: Align::Left, whole: false }
}

/// As [`left`], and never narrowed.
pub const fn whole(title: &'static str) -> Column {
    Column { title, align: Align::Left, whole: true }
}

pub const fn right(title: &'static str) -> Column {
    Column { title, align: Align::Right, whole: true }
}

/// Prints a list: as one JSON array, or as a table with `empty` where there are
/// no rows.
pub fn list<T: Serialize>(
    out: &dyn Out,
    json: bool,
    items: &[T],
    columns: &[Column],
    empty: &str,
    cells: impl Fn(&T) -> Vec<String>,
) {
    if json {
        return print_json(out, &items);
    }
    if items.is_empty() {
        return out.note(empty);
    }
    let rows: Vec<_> = items.iter().map(cells).collect();
    for line in render(columns, &rows) {
        out.line(&line);
    }
}

/// Prints one value as one line of JSON.
pub fn print_json<T: Serialize>(out: &dyn Out, value: &T) {
    out.line(&serde_json::to_string(value).expect("our own values are representable as JSON"));
}

/// Lines of an aligned table, title first. Too wide a table is narrowed at the
/// widest column that may be, whose values then end in `…`.
pub fn render(columns: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
    let widths = fit(columns, &rows);
    let title = columns.iter().map(|column| column.title.to_owned()).collect();
    std::iter::once(&title).chain(&rows).map(|row| render_row(columns, &widths, row)).collect()
}

fn render_row(columns: &[Column], widths: &[usize], row: &[String]) -> String {
    let mut line = String::new();
    for ((column, width), cell) in columns.iter().zip(widths).zip(row) {
        let cell = cut(cell, *width);
        match column.align {
            Align::Left => line.push_str(&format!("{cell:<width$}")),
            Align::Right => line.push_str(&format!("{cell:>width$}")),
        }
        line.push_str(&" ".repeat(GAP));
    }
    line.trim_end().to_owned()
}

fn fit(columns: &[Column], rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(column.title.chars().count())
        })
        .collect();
    let gaps = GAP * columns.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > TABLE_WIDTH {
        let narrowable = widths.iter_mut().zip(columns).filter(|(_, column)| !column.whole);
        let widest = narrowable.map(|(width, _)| width).max().filter(|width| **width > COLUMN_WIDTH_MIN);
        let Some(widest) = widest else { break };
        *widest -= 1;
    }
    widths
}

/// The text in at most `width` characters, with `…` where it was cut.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// What came from outside may hold escape sequences; a terminal gets none of them.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text as lines of at most [`TABLE_WIDTH`] characters, each indented.
pub fn wrap(text: &str, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = " ".repeat(indent);
    for word in one_line(text).split_whitespace() {
        let begun = line.len() > indent;
        if begun && line.chars().count() + 1 + word.chars().count() > TABLE_WIDTH {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if begun {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// What to do, where there is something to do.
pub fn fix_lines(fix: &str, indent: usize) -> Vec<String> {
    if fix.trim().is_empty() { Vec::new() } else { wrap(&format!("Fix: {fix}"), indent) }
}

/// `2026-11-22 02:14`, or a dash.
pub fn minute(micros: Option<i64>) -> String {
    match micros {
        Some(micros) => dealsync_core::value::timestamp_text(micros)[..16].replace('T', " "),
        None => "-".to_owned(),
    }
}

/// `420 ms`, `12.3 s`, `4 min 10 s`.
pub fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms / 1_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::cli::out::Kept;

    #[derive(Serialize)]
    struct Deal {
        name: &'static str,
        amount: &'static str,
    }

    fn show(json: bool, deals: &[Deal]) -> Kept {
        let out = Kept::default();
        list(&out, json, deals, &[left("NAME"), right("AMOUNT")], "no deals yet", |deal| {
            vec![deal.name.to_owned(), deal.amount.to_owned()]
        });
        out
    }

    const DEALS: [Deal; 2] = [
        Deal { name: "Büro\u{1b}[31m\nrenewal", amount: "15000.00" },
        Deal { name: "Expansion", amount: "7.50" },
    ];

    #[test]
    fn a_table_is_aligned_and_carries_no_control_characters() {
        expect![[r#"
            NAME                 AMOUNT
            Büro [31m renewal  15000.00
            Expansion              7.50
        "#]]
        .assert_eq(&show(false, &DEALS).lines());
    }

    #[test]
    fn json_is_one_array_and_empty_lists_say_so_beside_it() {
        expect![[r#"
            [{"name":"Büro\u001b[31m\nrenewal","amount":"15000.00"},{"name":"Expansion","amount":"7.50"}]
        "#]]
        .assert_eq(&show(true, &DEALS).lines());
        assert_eq!(show(true, &[]).lines(), "[]\n");
        let none = show(false, &[]);
        assert_eq!((none.lines().as_str(), none.notes().as_str()), ("", "no deals yet\n"));
    }

    #[test]
    fn a_wide_table_is_narrowed_at_its_widest_column() {
        let rows = vec![vec!["short".to_owned(), "wide ".repeat(60), "end".to_owned()]];
        let lines = render(&[left("A"), left("B"), left("C")], &rows);
        assert!(lines.iter().all(|line| line.chars().count() <= TABLE_WIDTH));
        assert!(lines[1].starts_with("short  wide") && lines[1].ends_with("…  end"), "{}", lines[1]);
    }

    #[test]
    fn spans_and_minutes_read_well() {
        assert_eq!([span(420), span(12_345), span(250_000)], ["420 ms", "12.3 s", "4 min 10 s"]);
        assert_eq!(minute(Some(1_795_313_640_000_000)), "2026-11-22 02:14");
        assert_eq!(minute(None), "-");
    }
}
