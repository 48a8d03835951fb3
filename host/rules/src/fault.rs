//! Why a call failed, by type and never by guessing: what the host cut off, what
//! the component did to itself, and what was no fault of the component.

use dealsync_core::answers::FaultKind;
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};

/// A call that gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub kind: FaultKind,
    pub message: String,
}

impl Failure {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub fn contract(message: impl Into<String>) -> Self {
        Self::new(FaultKind::ContractBroken, message)
    }

    /// True where no row is to blame, so that looking for one is pointless.
    pub fn is_the_hosts(&self) -> bool {
        matches!(self.kind, FaultKind::HostBusy | FaultKind::HostBug)
    }
}

/// Raised by our own limiter and imports; travels through the component as a trap.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("it asked for {wanted} bytes of memory; {allowed} are allowed")]
    Memory { wanted: usize, allowed: usize },
    #[error("it asked for a table of {wanted} entries; {allowed} are allowed")]
    Table { wanted: usize, allowed: usize },
    #[error("it looked up {wanted} keys; {allowed} are allowed {per}")]
    LookupKeys { wanted: usize, allowed: usize, per: &'static str },
    #[error("it called the host more than {0} times in one call")]
    ImportCalls(u32),
    #[error("the directory is not available to configure")]
    NoDirectory,
}

impl Stop {
    fn kind(&self) -> FaultKind {
        match self {
            Stop::Memory { .. } | Stop::Table { .. } => FaultKind::MemoryExceeded,
            Stop::LookupKeys { .. } | Stop::ImportCalls(_) | Stop::NoDirectory => FaultKind::ContractBroken,
        }
    }
}

/// What a panic hook reported before the trap.
#[derive(Debug, Clone)]
pub(crate) struct Panic {
    pub message: String,
    pub place: String,
}

/// Names the failure. `panic` is what the component said about itself before.
pub(crate) fn classify(error: &Error, panic: Option<Panic>, message_bytes_max: usize) -> Failure {
    let failure = if let Some(stop) = error.downcast_ref::<Stop>() {
        Failure::new(stop.kind(), stop.to_string())
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        trapped(*trap, error, panic)
    } else if error.is::<PoolConcurrencyLimitError>() {
        Failure::new(FaultKind::HostBusy, "every place in the sandbox is taken")
    } else if is_output_too_large(error) {
        Failure::new(FaultKind::OutputTooLarge, "it returned more data than one call may")
    } else {
        // What remains is an answer the canonical ABI could not read: text that is
        // not UTF-8, a list outside memory, an unknown case.
        Failure::contract(error.root_cause().to_string())
    };
    Failure { message: cut(failure.message, message_bytes_max), ..failure }
}

fn trapped(trap: Trap, error: &Error, panic: Option<Panic>) -> Failure {
    let kind = match trap {
        Trap::OutOfFuel => FaultKind::FuelExhausted,
        Trap::Interrupt => FaultKind::WallClockExceeded,
        Trap::StackOverflow => FaultKind::StackExhausted,
        // Compilers keep large frames in linear memory, below everything else:
        // recursion runs out of that stack by leaving memory.
        Trap::MemoryOutOfBounds if is_recursion(error) => FaultKind::StackExhausted,
        _ if panic.is_some() => FaultKind::Panicked,
        _ => FaultKind::Trapped,
    };
    let message = match (panic, place_of(error)) {
        (Some(panic), _) if kind == FaultKind::Panicked => format!("{} at {}", panic.message, panic.place),
        (_, Some(place)) => format!("{trap} in {place}"),
        (_, None) => trap.to_string(),
    };
    Failure::new(kind, message)
}

/// True where the innermost frames are calls of one function by itself, or nearly so.
fn is_recursion(error: &Error) -> bool {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return false };
    let frames: Vec<u32> = backtrace.frames().iter().map(|frame| frame.func_index()).collect();
    let most = frames.iter().map(|one| frames.iter().filter(|other| *other == one).count()).max();
    frames.len() >= 16 && most.unwrap_or(0) * 2 >= frames.len()
}

/// The innermost frame that has a name, with file and line where the component
/// kept its line tables.
fn place_of(error: &Error) -> Option<String> {
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    backtrace.frames().iter().find_map(|frame| {
        let symbol = frame.symbols().iter().find(|symbol| symbol.file().is_some());
        match symbol {
            Some(symbol) => {
                let name = symbol.name().or(frame.func_name()).unwrap_or("an unnamed function");
                let file = symbol.file()?;
                let file = file.rsplit(['/', '\\']).next().unwrap_or(file);
                Some(format!("{name} ({file}:{})", symbol.line().unwrap_or(0)))
            }
            None => frame.func_name().map(str::to_owned),
        }
    })
}

/// wasmtime keeps this error's type to itself, so its text is all there is; the
/// test of the 100 MB answer fails when the text changes.
fn is_output_too_large(error: &Error) -> bool {
    error.root_cause().to_string().starts_with("too much data is being copied")
}

/// Cuts a text to so many bytes, on a character boundary, with a mark.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let mark = "… (cut)";
    let mut end = bytes_max.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(mark);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_so() {
        let text = cut("é".repeat(1_000), 100);
        assert!(text.len() <= 100 && text.ends_with("… (cut)"), "{text}");
        assert_eq!(cut("short".to_owned(), 100), "short");
    }
}
