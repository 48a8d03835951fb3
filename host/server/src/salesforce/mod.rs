//! Salesforce as dealsync speaks to it: a thin client of its own, so that budgets,
//! retries and the meaning of every refusal are decided in one place.
//!
//! [`Client`] is the door. It reads: describes, pages of Opportunities, their
//! primary contacts, and which ids changed. What is done with the rows is the sync
//! engine's work; which rows are asked for is said by a [`PullQuery`].
//!
//! Invariant: JSON of Salesforce is known to `wire.rs` and `page.rs` only; what
//! leaves this module is typed.

mod auth;
mod budget;
mod cells;
mod client;
mod contacts;
mod describe;
mod error;
mod json;
mod page;
mod placing;
mod pull;
mod query;
mod soql;
mod transport;
mod wire;

pub use auth::{ConnectionSettings, Grant, OnRotated, Secret, Secrets, Session};
pub use budget::{Budget, Class, Counters, LimitInfo};
pub use client::Client;
pub use describe::{
    DescribeCache, FieldDescribe, ObjectDescribe, PicklistValue, SourceObjects, field_def, source_schema,
};
pub use error::{Disposition, Error, Refusal};
pub use page::{AccountRef, ContactState, Contacts, Next, OpportunityRow, Page};
pub use pull::{Changed, Deleted};
pub use query::{BadColumn, PRIMARY_CONTACT, PullFields, PullQuery, Scope};
pub use transport::{
    ANSWER_BYTES_MAX, Exchange, HttpTransport, InProcess, Request, Response, Transport, TransportError, Url,
    is_safe_address,
};
pub use wire::{Limits, Version};

#[cfg(test)]
mod tests;
