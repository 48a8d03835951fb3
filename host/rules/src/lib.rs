//! dealsync-rules asks: it runs a tenant's rules in a sandbox and hands their
//! answers to core, checked. The only crate that knows wasmtime.
//!
//! A [`Chain`] is the rules of one tenant for one flow. [`Chain::decide`] asks
//! them about records, each call in a fresh instance, and finds the records that
//! make a component fail so that all others go on. What the answers mean for a
//! deal is core's business.

mod answers;
mod asking;
mod bindings;
mod bisect;
mod cache;
mod chain;
mod component;
mod configure;
mod convert;
mod engine;
mod fault;
mod inspect;
mod instance;
pub mod limits;

pub use answers::TENANT_RULE_REJECTED;
pub use cache::CacheSettings;
pub use chain::{CellProvenance, Chain, Decided, LogLine, Member, Usage};
pub use component::{Component, Kinds, Refused};
pub use configure::{ConfigureError, Problem};
pub use engine::{Engine, EngineError, EngineSettings};
pub use limits::Limits;
