//! Field definitions, built by hand in tests.

use crate::{FieldDef, FieldKind};

impl FieldDef {
    /// A field that takes anything of its kind. The label is the name.
    pub fn new(name: &str, kind: FieldKind) -> Self {
        Self {
            name: name.to_owned(),
            label: name.to_owned(),
            kind,
            scale: 0,
            required: false,
            max_length: None,
            choices: Vec::new(),
        }
    }

    pub fn label(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Digits after the point, for a decimal.
    pub fn scale(mut self, scale: u8) -> Self {
        self.scale = scale;
        self
    }

    /// Characters, for text.
    pub fn max_length(mut self, characters: u32) -> Self {
        self.max_length = Some(characters);
        self
    }

    pub fn choices(mut self, choices: &[&str]) -> Self {
        self.choices = choices.iter().map(|choice| (*choice).to_owned()).collect();
        self
    }
}
