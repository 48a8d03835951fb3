//! dealsync does: it asks the clock, speaks to Salesforce, keeps what is to be kept,
//! and answers the command line. What is to be done is decided by `dealsync-core`,
//! and a tenant's rules are asked by `dealsync-rules`.

pub mod app;
pub mod cli;
pub mod clock;
mod connect;
pub mod control;
pub mod doctor;
mod failure;
pub mod hints;
mod ids;
pub mod mail;
pub mod notify;
mod pull;
mod ready;
pub mod run;
pub mod salesforce;
pub mod sandbox;
pub mod scheduler;
pub mod secrets;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod tenants;
