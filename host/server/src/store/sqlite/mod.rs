//! What is SQLite's own: opening files, moving schemas on, and values as columns.
//! The rest of the store speaks in the nouns of core.

pub mod lock;
pub mod open;
pub mod values;
