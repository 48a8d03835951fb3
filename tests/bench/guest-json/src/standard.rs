//! The shipped rules put together from their modules, as `plugins/standard` does
//! it: that crate itself cannot be linked, since it exports a component of its own.

use dealsync_rules_sdk::prelude::*;

use crate::mapping::{self, Mapping};
use crate::owner::OwnerRules;
use crate::required::{self, Required};
use crate::settings;

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
