//! The shipped rules as they would be if records crossed the boundary as JSON
//! texts: one text per record comes in with every call, one text per record with
//! the values written goes out. The modules that decide are those of
//! `plugins/standard`, compiled from the same files; only the door differs.
//!
//! It is a baseline of the benches and no example: see `plugins/acme` for that.

pub mod door;

#[cfg(target_arch = "wasm32")]
#[path = "../../../../plugins/standard/src/convert.rs"]
mod convert;
#[cfg(target_arch = "wasm32")]
mod exported;
#[cfg(target_arch = "wasm32")]
#[path = "../../../../plugins/standard/src/mapping.rs"]
mod mapping;
#[cfg(target_arch = "wasm32")]
#[path = "../../../../plugins/standard/src/owner.rs"]
mod owner;
#[cfg(target_arch = "wasm32")]
#[path = "../../../../plugins/standard/src/required.rs"]
mod required;
#[cfg(target_arch = "wasm32")]
#[path = "../../../../plugins/standard/src/settings.rs"]
mod settings;
#[cfg(target_arch = "wasm32")]
mod standard;
#[cfg(target_arch = "wasm32")]
#[path = "../../../../plugins/standard/src/words.rs"]
mod words;

/// The same allocator as in the shipped rules.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: dealsync_rules_sdk::Bump = dealsync_rules_sdk::Bump::new();
