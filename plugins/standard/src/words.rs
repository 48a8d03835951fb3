//! How values appear in messages: short, and never a whole record.

/// Characters of a value that a message shows.
const SHOWN_MAX: usize = 80;

/// The value in quotes, cut where it is long.
pub fn quoted(value: &str) -> String {
    match value.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("\"{}…\"", &value[..at]),
        None => format!("\"{value}\""),
    }
}

/// The value as it is, cut where it is long.
pub fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value.to_owned(),
    }
}
