//! dealsync-core decides: given facts, what is to be done, and why.
//!
//! Nothing here waits, prints, reads a clock or opens anything; `tests/all/tidy.rs`
//! holds the crate to it. Gathering the facts and carrying the plan out is the
//! server's work; asking a tenant's rules is `dealsync-rules`'.

pub mod answers;
pub mod batch;
pub mod deal;
pub mod facts;
pub mod ids;
pub mod link;
pub mod matching;
pub mod merge;
pub mod owner;
pub mod people;
pub mod plan;
pub mod reason;
pub mod schedule;
pub mod schema;
mod update;
pub mod value;
