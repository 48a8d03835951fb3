//! Reads a whole WebAssembly file without compiling any of it: is it complete and
//! valid, does it stay within what compiling may cost, and what does it import?

use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::bindings::IMPORTS_ALLOWED;
use crate::component::Refused;
use crate::limits::Limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Component,
    /// A core module that carries its interfaces in a custom section.
    Module,
}

/// What the sandbox runs: WebAssembly 2.0 with the component model, without what
/// would cost determinism or bring types we have no use for.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::COMPONENT_MODEL
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::EXTENDED_CONST
}

pub(crate) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Form, Refused> {
    if !bytes.starts_with(b"\0asm") {
        return Err(Refused::NotWasm);
    }
    let invalid = |error: wasmparser::BinaryReaderError| Refused::Invalid { problem: error.to_string() };
    let mut validator = Validator::new_with_features(features());
    let mut allocations = wasmparser::FuncValidatorAllocations::default();
    let mut form = None;
    let mut depth = 0usize;
    let mut has_interfaces = false;
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        match &payload {
            Payload::Version { encoding, .. } => {
                depth += 1;
                form.get_or_insert(match encoding {
                    Encoding::Component => Form::Component,
                    Encoding::Module => Form::Module,
                });
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::TypeSection(types) => counts.types += u64::from(types.count()),
            Payload::ComponentTypeSection(types) => counts.types += u64::from(types.count()),
            Payload::FunctionSection(functions) => counts.functions += u64::from(functions.count()),
            Payload::CodeSectionEntry(body) => {
                counts.longest = counts.longest.max(body.range().end - body.range().start);
            }
            Payload::CustomSection(section) => {
                has_interfaces |= section.name().starts_with("component-type");
                counts.custom += section.data().len();
            }
            // An outermost module's imports; a component's own are checked by name below.
            Payload::ImportSection(section) if depth == 1 => {
                for import in section.clone().into_imports() {
                    allowed_module_import(import.map_err(invalid)?.module)?;
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section.clone() {
                    allowed_import(import.map_err(invalid)?.name.name)?;
                }
            }
            _ => {}
        }
        counts.check(limits)?;
        if let wasmparser::ValidPayload::Func(function, body) =
            validator.payload(&payload).map_err(invalid)?
        {
            let mut function = function.into_validator(std::mem::take(&mut allocations));
            function.validate(&body).map_err(invalid)?;
            allocations = function.into_allocations();
        }
    }
    let code = bytes.len().saturating_sub(counts.custom);
    if code > limits.code_bytes_max {
        return Err(Refused::TooLarge { bytes: code, allowed: limits.code_bytes_max });
    }
    match form {
        None => Err(Refused::NotWasm),
        Some(Form::Module) if !has_interfaces => Err(Refused::NoInterfaces),
        Some(form) => Ok(form),
    }
}

#[derive(Default)]
struct Counts {
    functions: u64,
    types: u64,
    longest: u64,
    /// Bytes in custom sections, nested ones included.
    custom: usize,
}

impl Counts {
    fn check(&self, limits: &Limits) -> Result<(), Refused> {
        let within = |what, have: u64, allowed: u64| {
            if have > allowed { Err(Refused::TooComplex { what, have, allowed }) } else { Ok(()) }
        };
        within("functions:", self.functions, u64::from(limits.functions_max))?;
        within("types:", self.types, u64::from(limits.types_max))?;
        within("a function of so many bytes:", self.longest, limits.function_bytes_max as u64)
    }
}

/// Imports of a component, by their full name.
pub(crate) fn allowed_import(name: &str) -> Result<(), Refused> {
    let interface = name.split('@').next().unwrap_or(name);
    if IMPORTS_ALLOWED.contains(&interface) {
        Ok(())
    } else if name.starts_with("wasi:") {
        Err(Refused::Wasi { import: name.to_owned() })
    } else {
        Err(Refused::UnknownImport { import: name.to_owned() })
    }
}

/// Imports of a bare module: those of the old WASI are the frequent mistake, and
/// what it links by other names, `env` say, nobody here provides.
fn allowed_module_import(module: &str) -> Result<(), Refused> {
    if module.starts_with("wasi") {
        return Err(Refused::Wasi { import: module.to_owned() });
    }
    let interface = module.split('@').next().unwrap_or(module);
    if IMPORTS_ALLOWED.contains(&interface) {
        Ok(())
    } else {
        Err(Refused::UnknownImport { import: module.to_owned() })
    }
}
