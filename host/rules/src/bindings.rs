//! What `wit/rules.wit` looks like from Rust, generated. Nothing outside this
//! crate sees these types; `convert.rs` and `instance.rs` turn them into core's.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "full",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
});

pub use dealsync::rules::types;
pub use exports::dealsync::rules::{mapping, ownership, settings, validation};

/// Interfaces a component may import: the list an upload is checked against.
pub const IMPORTS_ALLOWED: [&str; 4] =
    ["dealsync:rules/types", "dealsync:rules/host", "dealsync:rules/directory", "dealsync:rules/tables"];

/// Versions of the interfaces this host speaks; other majors are refused.
pub const INTERFACE_VERSION: &str = "0.1.0";
