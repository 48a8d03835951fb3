//! Compiled code on disk. A file is used only where its MAC proves that this host
//! wrote exactly these bytes for this component, this wasmtime and these settings;
//! anything else is ignored and compiled anew. Nothing a tenant sends comes here.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_lc_rs::hmac;
use wasmtime::component::Component;

/// Where compiled code is kept.
#[derive(Clone)]
pub struct CacheSettings {
    /// A folder of its own; made if missing.
    pub dir: PathBuf,
    /// Secret of this installation. Whoever knows it can run code in this process.
    pub mac_key: [u8; 32],
    /// Size of all files together; the ones unused for longest go first.
    pub bytes_max: u64,
}

impl std::fmt::Debug for CacheSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheSettings").field("dir", &self.dir).field("bytes_max", &self.bytes_max).finish()
    }
}

const MAGIC: &[u8; 8] = b"dealsyn1";
const MAC_BYTES: usize = 32;
static TEMP_FILES: AtomicU64 = AtomicU64::new(0);

/// A folder of compiled components.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    mac_key: hmac::Key,
    bytes_max: u64,
    /// wasmtime's full version and the hash of the engine's settings.
    engine_id: String,
}

impl Cache {
    pub fn open(settings: &CacheSettings, engine_id: String) -> std::io::Result<Self> {
        fs::create_dir_all(&settings.dir)?;
        Ok(Self {
            dir: settings.dir.clone(),
            mac_key: hmac::Key::new(hmac::HMAC_SHA256, &settings.mac_key),
            bytes_max: settings.bytes_max,
            engine_id,
        })
    }

    /// The compiled form of a component, where a trustworthy one is stored.
    pub fn get(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let path = self.path(digest);
        let file = fs::read(&path).ok()?;
        let Some(code) = self.proven(digest, &file) else {
            tracing::warn!(file = %path.display(), "compiled code does not match its seal and is ignored");
            return None;
        };
        let component = deserialize(engine, code)?;
        mark_used(&path);
        Some(component)
    }

    /// Stores what was compiled. A full disk costs the cache, not the component.
    pub fn put(&self, digest: &str, component: &Component) {
        let stored = component.serialize().map_err(|error| error.to_string()).and_then(|code| {
            self.write(digest, &code).and_then(|()| self.shrink()).map_err(|error| error.to_string())
        });
        if let Err(error) = stored {
            tracing::warn!(%error, "compiled code could not be kept");
        }
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}-{}.bin", self.engine_id))
    }

    fn mac(&self, digest: &str, code: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.mac_key);
        for part in [digest.as_bytes(), self.engine_id.as_bytes()] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        context.update(code);
        context.sign()
    }

    fn proven<'a>(&self, digest: &str, file: &'a [u8]) -> Option<&'a [u8]> {
        let rest = file.strip_prefix(MAGIC)?;
        let (mac, code) = rest.split_at_checked(MAC_BYTES)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(self.mac(digest, code).as_ref(), mac).ok()?;
        Some(code)
    }

    fn write(&self, digest: &str, code: &[u8]) -> std::io::Result<()> {
        let number = TEMP_FILES.fetch_add(1, Ordering::Relaxed);
        let temp = self.dir.join(format!("{}-{number}.tmp", std::process::id()));
        let written = fs::File::create(&temp).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(self.mac(digest, code).as_ref())?;
            file.write_all(code)?;
            fs::rename(&temp, self.path(digest))
        });
        if written.is_err() {
            let _ = fs::remove_file(&temp);
        }
        written
    }

    fn shrink(&self) -> std::io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let facts = entry.metadata()?;
            if facts.is_file() {
                files.push((facts.modified()?, facts.len(), entry.path()));
            }
        }
        remove_oldest(files, self.bytes_max)
    }
}

/// For the order of removal; a folder that cannot be written to is no reason to fail.
#[expect(clippy::disallowed_methods, reason = "file times are compared with those the machine sets")]
fn mark_used(path: &Path) {
    let marked = fs::File::options().append(true).open(path);
    let _ = marked.and_then(|file| file.set_modified(SystemTime::now()));
}

fn remove_oldest(mut files: Vec<(SystemTime, u64, PathBuf)>, bytes_max: u64) -> std::io::Result<()> {
    files.sort();
    let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, path) in &files {
        if total <= bytes_max {
            break;
        }
        remove(path)?;
        total -= size;
    }
    Ok(())
}

fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The one place where bytes become machine code without being compiled here.
#[expect(unsafe_code, reason = "the MAC has proven that this host serialised exactly these bytes")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: `code` is unmodified output of `Component::serialize` of the same
    // wasmtime version and engine settings: `Cache::proven` has checked its MAC,
    // which covers both, with a key only this installation has.
    unsafe { Component::deserialize(engine, code) }.ok()
}
