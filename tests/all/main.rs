//! The one integration binary: each file here is a chapter about behaviour.
//! `tests/BEHAVIOURS.md` says which test proves what.

mod chance;
mod faults;
mod import;
mod incremental;
mod log;
mod log_life;
mod matching;
mod owner;
mod schedule;
mod settings;
mod tidy;
mod updates;
