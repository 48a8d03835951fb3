//! Write rules for dealsync without seeing how records are packed.
//!
//! A component of rules is one type that implements [`Rules`] and one line,
//! `export_rules!(MyRules);`. Built for `wasm32-unknown-unknown` it is what a
//! tenant uploads; under `cargo test` it is plain Rust, and [`testing`] feeds it
//! records.
//!
//! ```
//! use dealsync_rules_sdk::prelude::*;
//!
//! struct UpperRegion;
//!
//! impl Rules for UpperRegion {
//!     fn configure(setup: &mut Setup<'_>) -> Result<Self, Vec<Problem>> {
//!         setup.read("Region__c");
//!         setup.write("region", &["Region__c"]);
//!         Ok(Self)
//!     }
//!
//!     fn map(&self, _: &Context, row: Row<'_>, out: &mut Edits<'_>) {
//!         if let Some(region) = row.text("Region__c") {
//!             out.set("region", region.to_uppercase());
//!         }
//!     }
//! }
//!
//! dealsync_rules_sdk::export_rules!(UpperRegion);
//! ```
//!
//! What rules are checked for after the call, and by what limits, is the host's
//! business and described in `wit/README.md`.

pub mod bindings;
#[cfg(target_arch = "wasm32")]
mod bump;
mod cell;
mod date;
mod decimal;
mod field;
mod look_up;
mod out;
mod row;
mod rules;
mod run;
mod setup;
pub mod testing;

#[cfg(target_arch = "wasm32")]
pub use bump::Bump;
pub use cell::Cell;
pub use date::{date_text, parse_date, parse_timestamp, timestamp_text};
pub use look_up::{Directory, Keys, Tables};
pub use out::{CauseKey, Decisions, Edits, Findings, spread};
pub use row::{Draft, Field, Key, Row, Rows, Side, Source, Target};
pub use rules::Rules;
pub use setup::{CauseId, Policy, Setup, did_you_mean};

pub use bindings::dealsync::rules::directory::{User, UserKind, UserStatus};
pub use bindings::dealsync::rules::types::{Batch, Cause, Context, Decimal, Value, Work};
pub use bindings::exports::dealsync::rules::mapping::{Copies, Edit, Mapped, Refusal};
pub use bindings::exports::dealsync::rules::ownership::{
    Assignment, Decision, Decisions as DecisionList, Outcome, Refused, Warning,
};
pub use bindings::exports::dealsync::rules::settings::{
    Conflict, FieldDef, FieldKind, OnNull, Pinned, Plan, Problem, Write,
};
pub use bindings::exports::dealsync::rules::validation::{Finding, Findings as FindingList, Severity};

/// Writes a line to the run's log. The host keeps the first 50 lines of a batch
/// and the first 1,024 bytes of each.
pub fn log(message: &str) {
    run::log(message);
}

/// What nearly every rule needs.
pub mod prelude {
    pub use crate::{
        Cell, Context, Decimal, Decisions, Directory, Draft, Edits, Findings, Problem, Row, Rows, Rules,
        Setup, Source, Tables, Target, Value,
    };
}

#[doc(hidden)]
pub mod macros {
    #[cfg(target_arch = "wasm32")]
    pub use crate::run::Slot;
    pub use crate::run::report_panics;
}

/// Makes a type that implements [`Rules`] the component. Does nothing in a
/// native build, so that several components fit into one test binary.
#[macro_export]
macro_rules! export_rules {
    ($rules:ty) => {
        #[cfg(target_arch = "wasm32")]
        mod exported {
            use super::*;
            use $crate::bindings::exports::dealsync::rules as generated;

            struct Component;

            std::thread_local! {
                static SLOT: $crate::macros::Slot<$rules> = const { $crate::macros::Slot::new() };
            }

            impl generated::settings::Guest for Component {
                fn configure(pinned: $crate::Pinned) -> Result<$crate::Plan, Vec<$crate::Problem>> {
                    $crate::macros::report_panics();
                    SLOT.with(|slot| slot.configure(pinned))
                }
            }

            impl generated::mapping::Guest for Component {
                fn map_batch(ctx: $crate::Context, work: $crate::Work) -> $crate::Mapped {
                    SLOT.with(|slot| slot.map(&ctx, &work))
                }
            }

            impl generated::validation::Guest for Component {
                fn validate_batch(ctx: $crate::Context, work: $crate::Work) -> $crate::FindingList {
                    SLOT.with(|slot| slot.validate(&ctx, &work))
                }
            }

            impl generated::ownership::Guest for Component {
                fn resolve_batch(ctx: $crate::Context, work: $crate::Work) -> $crate::DecisionList {
                    SLOT.with(|slot| slot.resolve(&ctx, &work))
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        }
    };
}
