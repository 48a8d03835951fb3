//! The rules every tenant starts with: field mappings, required values, and who
//! owns a new deal.
//!
//! Everything here is a pure function of the settings and the batch. Whether an
//! account and a contact exist, and whether the owner may really own, is judged
//! again by the host, whatever is answered here.

mod convert;
mod mapping;
mod owner;
mod required;
mod settings;
mod words;

use dealsync_rules_sdk::prelude::*;

use crate::mapping::Mapping;
use crate::owner::OwnerRules;
use crate::required::Required;

/// One flow's mappings, its required fields, and the owner's fields if it has any.
#[derive(Debug)]
pub struct Standard {
    mappings: Vec<Mapping>,
    required: Vec<Required>,
    owner: Option<OwnerRules>,
}

impl Rules for Standard {
    fn configure(setup: &mut Setup<'_>) -> Result<Self, Vec<Problem>> {
        let settings = settings::parse(setup.settings())?;
        let mappings = mapping::prepare(&settings.mappings, setup);
        let required = required::prepare(&mappings, setup);
        let owner = OwnerRules::prepare(&settings, setup);
        Ok(Self { mappings, required, owner })
    }

    fn map(&self, _: &Context, row: Row<'_>, out: &mut Edits<'_>) {
        let is_new = row.is_new();
        for mapping in &self.mappings {
            if mapping.applies(is_new) {
                mapping.apply(row, is_new, out);
            }
        }
    }

    fn validate(&self, _: &Context, row: Row<'_>, out: &mut Findings<'_>) {
        let is_new = row.is_new();
        for required in &self.required {
            required.check(row, is_new, &self.mappings, out);
        }
    }

    fn resolve_batch(
        &self,
        _: &Context,
        rows: &Rows<'_>,
        directory: &impl Directory,
        _: &impl Tables,
        out: &mut Decisions<'_>,
    ) {
        if let Some(owner) = &self.owner {
            owner.resolve(rows, directory, out);
        }
    }
}

dealsync_rules_sdk::export_rules!(Standard);

/// Instances live for one batch, so nothing is gained by giving memory back.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: dealsync_rules_sdk::Bump = dealsync_rules_sdk::Bump::new();
