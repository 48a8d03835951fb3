//! From a file that somebody sent to a component that may run: every check that
//! needs no running, in the order in which it is cheapest to say no.

use aws_lc_rs::digest::{SHA256, digest as sha256};
use wasmtime::component::InstancePre;

use crate::bindings::{self, IMPORTS_ALLOWED, INTERFACE_VERSION, mapping, ownership, settings, validation};
use crate::engine::Shared;
use crate::inspect::{self, Form};
use crate::instance::{self, State};
use crate::limits::Limits;

pub(crate) type RulesLinker = wasmtime::component::Linker<State>;

/// Why a file is not accepted as rules. Every text says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "the file has {bytes} bytes; at most {allowed} are accepted. \
         Build it with `--release` and strip debug information (`wasm-tools strip`)"
    )]
    TooLarge { bytes: usize, allowed: usize },
    #[error(
        "this is no WebAssembly file. Send the .wasm file that `cargo build --target wasm32-unknown-unknown` makes"
    )]
    NotWasm,
    #[error(
        "the file is cut off or damaged ({problem}). Build it again and compare the sizes on both sides; \
         a file that is complete and uses a WebAssembly proposal beyond 2.0 must be built without it"
    )]
    Invalid { problem: String },
    #[error(
        "this is machine code compiled from WebAssembly, which is never accepted: \
         nobody can check what it does. Send the .wasm file it was made from"
    )]
    Precompiled,
    #[error(
        "this WebAssembly module does not say which interfaces it speaks. \
         Build it with the rules SDK, whose macro `export!` embeds them"
    )]
    NoInterfaces,
    #[error(
        "the module cannot be turned into a component ({problem}). Build it with the SDK of this version"
    )]
    NotEncodable { problem: String },
    #[error(
        "it imports {import}: rules have no files, network, clock, randomness or environment. \
         Build for the target wasm32-unknown-unknown instead of wasm32-wasip1 or wasm32-wasip2 \
         (`rustup target add wasm32-unknown-unknown`); the current time is in the context of the call"
    )]
    Wasi { import: String },
    #[error(
        "it imports {import}, which does not exist here. Rules may import \
         dealsync:rules/host, directory and tables, version {INTERFACE_VERSION}"
    )]
    UnknownImport { import: String },
    #[error(
        "it does not export {export}. A component exports dealsync:rules/settings@{INTERFACE_VERSION} and \
         at least one of mapping, validation and ownership"
    )]
    MissingExport { export: String },
    #[error(
        "it was built against other types than this host has ({problem}). \
         Build it again with wit/rules.wit, version {INTERFACE_VERSION}"
    )]
    WrongTypes { problem: String },
    #[error("it has {what} {have}; at most {allowed} are accepted. Split it, or leave unused code out")]
    TooComplex { what: &'static str, have: u64, allowed: u64 },
    #[error("it cannot be compiled ({problem})")]
    CannotCompile { problem: String },
    #[error("it does not start ({problem}). Work belongs into `configure` and the rules, not into start-up")]
    CannotStart { problem: String },
}

/// The kinds of rule a component holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds {
    pub mapping: bool,
    pub validation: bool,
    pub ownership: bool,
}

/// A checked component, compiled and linked, ready to be started.
pub struct Component {
    pub(crate) pre: InstancePre<State>,
    pub(crate) exports: Exports,
    limits: Limits,
    digest: String,
    imports: Vec<String>,
    size: usize,
}

/// Where to find what the component exports.
pub(crate) struct Exports {
    pub settings: settings::GuestIndices,
    pub mapping: Option<mapping::GuestIndices>,
    pub validation: Option<validation::GuestIndices>,
    pub ownership: Option<ownership::GuestIndices>,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("digest", &self.digest)
            .field("kinds", &self.kinds())
            .field("imports", &self.imports)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Component {
    /// SHA-256 of the file as it was sent, in hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn kinds(&self) -> Kinds {
        Kinds {
            mapping: self.exports.mapping.is_some(),
            validation: self.exports.validation.is_some(),
            ownership: self.exports.ownership.is_some(),
        }
    }

    /// What it can ask the host, by interface: complete, since nothing else is linked.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Bytes of the file as it was sent.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// SHA-256 in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    sha256(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The imports there are. What is not in here cannot be reached.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<RulesLinker> {
    let mut linker = RulesLinker::new(engine);
    bindings::Full::add_to_linker::<_, wasmtime::component::HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}

pub(crate) fn load(
    shared: &Shared,
    bytes: &[u8],
    digest: &str,
    limits: Limits,
) -> Result<Component, Refused> {
    if bytes.len() > limits.component_bytes_max {
        return Err(Refused::TooLarge { bytes: bytes.len(), allowed: limits.component_bytes_max });
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(Refused::Precompiled);
    }
    let form = inspect::inspect(bytes, &limits)?;
    let compiled = match shared.cache.as_ref().and_then(|cache| cache.get(&shared.wasm, digest)) {
        Some(compiled) => compiled,
        None => compile(shared, bytes, form, digest, &limits)?,
    };
    let imports = imports(shared, &compiled)?;
    let pre = shared
        .linker
        .instantiate_pre(&compiled)
        .map_err(|error| Refused::WrongTypes { problem: format!("{error:#}") })?;
    let exports = exports(shared, &compiled, &pre)?;
    let component = Component { pre, exports, limits, digest: digest.to_owned(), imports, size: bytes.len() };
    instance::probe(shared, &component)?;
    Ok(component)
}

fn compile(
    shared: &Shared,
    bytes: &[u8],
    form: Form,
    digest: &str,
    limits: &Limits,
) -> Result<wasmtime::component::Component, Refused> {
    let encoded;
    let component = match form {
        Form::Component => bytes,
        Form::Module => {
            encoded = encode(bytes)?;
            // What was made from the module is held to the same limits.
            inspect::inspect(&encoded, limits)?;
            &encoded
        }
    };
    let compiled = wasmtime::component::Component::from_binary(&shared.wasm, component)
        .map_err(|error| Refused::CannotCompile { problem: format!("{error:#}") })?;
    if let Some(cache) = &shared.cache {
        cache.put(digest, &compiled);
    }
    Ok(compiled)
}

/// Turns what cargo makes into a component, by the interfaces embedded in it.
fn encode(module: &[u8]) -> Result<Vec<u8>, Refused> {
    let not_encodable = |problem: String| Refused::NotEncodable { problem };
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.validate(true).module(module).map_err(|error| not_encodable(format!("{error:#}")))?;
    encoder.encode().map_err(|error| not_encodable(format!("{error:#}")))
}

fn imports(shared: &Shared, compiled: &wasmtime::component::Component) -> Result<Vec<String>, Refused> {
    let mut imports = Vec::new();
    for (name, _) in compiled.component_type().imports(&shared.wasm) {
        inspect::allowed_import(name)?;
        let interface = name.split('@').next().unwrap_or(name);
        if IMPORTS_ALLOWED.contains(&interface) && interface != IMPORTS_ALLOWED[0] {
            imports.push(name.to_owned());
        }
    }
    Ok(imports)
}

fn exports(
    shared: &Shared,
    compiled: &wasmtime::component::Component,
    pre: &InstancePre<State>,
) -> Result<Exports, Refused> {
    let wrong = |error: wasmtime::Error| Refused::WrongTypes { problem: format!("{error:#}") };
    let ty = compiled.component_type();
    let has = |interface: &str| {
        let prefix = format!("dealsync:rules/{interface}@");
        ty.exports(&shared.wasm).any(|(name, _)| name.starts_with(&prefix))
    };
    if !has("settings") {
        return Err(Refused::MissingExport { export: "dealsync:rules/settings".to_owned() });
    }
    let exports = Exports {
        settings: settings::GuestIndices::new(pre).map_err(wrong)?,
        mapping: has("mapping").then(|| mapping::GuestIndices::new(pre)).transpose().map_err(wrong)?,
        validation: has("validation")
            .then(|| validation::GuestIndices::new(pre))
            .transpose()
            .map_err(wrong)?,
        ownership: has("ownership").then(|| ownership::GuestIndices::new(pre)).transpose().map_err(wrong)?,
    };
    if exports.mapping.is_none() && exports.validation.is_none() && exports.ownership.is_none() {
        return Err(Refused::MissingExport { export: "any kind of rule".to_owned() });
    }
    Ok(exports)
}
