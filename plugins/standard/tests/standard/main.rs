//! The standard rules, run natively.

mod mapping;
mod owner;
mod properties;
mod settings;
mod world;
