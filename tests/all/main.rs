//! The one integration binary: each file here is a chapter about behaviour.
//! `tests/BEHAVIOURS.md` says which test proves what.

mod backfill;
mod bad_input;
mod bad_login;
mod bad_records;
mod bad_rules;
mod chance;
mod cli;
mod demo;
mod faults;
mod import;
mod incremental;
mod isolation;
mod log;
mod log_life;
mod mail;
mod matching;
mod owner;
mod rules;
mod salesforce;
mod schedule;
mod settings;
mod tidy;
mod updates;
