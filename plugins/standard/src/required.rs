//! Required fields of the draft, after every mapping had its say (S17).
//!
//! A field that a mapping could not fill because its source was not there to be
//! read is passed over: why it was not there (no account, no primary contact) is
//! said by the host, and one record gets one reason.

use dealsync_rules_sdk::{CauseId, Cell, Findings, OnNull, Row, Setup, Source, Target};

use crate::mapping::{Feed, Mapping, label};

#[derive(Debug)]
pub struct Required {
    target: Target,
    label: String,
    /// Position among the mappings.
    mapping: Option<usize>,
    contact_name: Option<&'static str>,
    cause: CauseId,
    /// Where to add a mapping.
    place: &'static str,
}

pub fn prepare(mappings: &[Mapping], setup: &mut Setup<'_>) -> Vec<Required> {
    let place = mapping_place(setup.flow());
    let mut required = Vec::new();
    for def in setup.target_fields() {
        let mapping = mappings.iter().position(|mapping| {
            setup.target_def(mapping.target).is_some_and(|target| std::ptr::eq(target, def))
        });
        let refuses_empty = mapping.is_some_and(|at| mappings[at].on_null == OnNull::Refuse);
        if !def.required && !refuses_empty {
            continue;
        }
        let Some(target) = setup.target_at(&def.name, "mappings") else { continue };
        let read: Vec<Source> = mapping.iter().filter_map(|at| source(&mappings[*at])).collect();
        required.push(Required {
            target,
            label: label(def),
            mapping,
            contact_name: match def.name.as_str() {
                "contact_first_name" => Some("first"),
                "contact_last_name" => Some("last"),
                _ => None,
            },
            cause: setup.cause(format!("required.{}", def.name), &read),
            place,
        });
    }
    required
}

fn source(mapping: &Mapping) -> Option<Source> {
    match &mapping.feed {
        Feed::From(from) => Some(from.source),
        Feed::Fixed(_) => None,
    }
}

fn mapping_place(flow: &str) -> &'static str {
    match flow {
        "opportunity-to-deal" | "deal-to-opportunity" => "Add the mapping on the Deal to Opportunity tab.",
        "lead-to-deal" | "deal-to-lead" => "Add the mapping on the Deal to Lead tab.",
        _ => "Add a mapping that feeds it.",
    }
}

impl Required {
    #[inline]
    pub fn check(&self, row: Row<'_>, is_new: bool, mappings: &[Mapping], out: &mut Findings<'_>) {
        let cell = row.draft().cell(self.target);
        if cell.is_blank() {
            self.report(row, cell, is_new, mappings, out);
        }
    }

    #[cold]
    fn report(
        &self,
        row: Row<'_>,
        cell: Cell<'_>,
        is_new: bool,
        mappings: &[Mapping],
        out: &mut Findings<'_>,
    ) {
        let mapping = self.mapping.map(|at| &mappings[at]).filter(|mapping| mapping.applies(is_new));
        let Some(mapping) = mapping else {
            if is_new || cell != Cell::Absent {
                self.unmapped(out);
            }
            return;
        };
        if cell == Cell::Absent {
            return;
        }
        out.because(self.cause).about(self.target);
        if let Some(which) = self.contact_name {
            out.error(
                "CONTACT_NAME_MISSING",
                format!("Primary Contact has no {which} name."),
                "Fill it in, or map a default for it.",
            );
            return;
        }
        let label = &self.label;
        match &mapping.feed {
            Feed::From(from) if row.cell(from.source).is_blank() => out.error(
                "REQUIRED_VALUE_EMPTY",
                format!("{label} is required; {} is empty.", from.label),
                format!("Fill {}, or set a default on the mapping.", from.label),
            ),
            Feed::From(from) => out.error(
                "REQUIRED_VALUE_EMPTY",
                format!("{label} is required; the mapping of {} leaves it empty.", from.label),
                format!("Change the mapping of {}, or set a default on it.", from.label),
            ),
            Feed::Fixed(_) => out.error(
                "REQUIRED_VALUE_EMPTY",
                format!("{label} is required; its fixed value is empty."),
                "Give the mapping a value.",
            ),
        }
    }

    fn unmapped(&self, out: &mut Findings<'_>) {
        let message = format!("No mapping feeds {}.", self.label);
        out.because(self.cause).about(self.target).error("REQUIRED_MAPPING_MISSING", message, self.place);
    }
}
