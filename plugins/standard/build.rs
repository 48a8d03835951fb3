//! Gives the component all the memory it uses for a batch from its start, so that
//! the host has not to grow and shrink it for each: that costs more than the rules do.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("wasm32") {
        println!("cargo::rustc-link-arg-cdylib=--initial-memory={}", 4 << 20);
    }
}
