//! Secrets at rest: sealed with AES-256-GCM under a host key that is not in the
//! database. Where they are kept is the store's business.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dealsync_core::ids::TenantId;

/// The environment variable that may hold the key, base64 of 32 bytes.
pub const KEY_VARIABLE: &str = "DEALSYNC_KEY";
const KEY_BYTES: usize = 32;
/// Longer files hold no key.
const KEY_FILE_BYTES_MAX: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the key file {} cannot be read or made: {source}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{origin} holds no key: base64 of {KEY_BYTES} bytes is needed, as `openssl rand -base64 32` prints"
    )]
    NotAKey { origin: String },
    #[error("the system gave no randomness for a new key")]
    NoRandomness,
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "the secret {name:?} was sealed with another key; start with the key it was sealed with, or enter the secret again"
    )]
    WrongKey { name: String },
    #[error("the secret {name:?} is damaged; enter it again")]
    Damaged { name: String },
    #[error("the system gave no randomness to seal a secret with")]
    NoRandomness,
}

/// The key of this installation. Clones share it; nothing prints it.
#[derive(Clone)]
pub struct HostKey {
    keys: Arc<Keys>,
}

struct Keys {
    sealing: LessSafeKey,
    /// Tells keys apart without telling anything of them.
    mark: [u8; 4],
    rules_cache: [u8; KEY_BYTES],
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostKey(…)")
    }
}

impl HostKey {
    /// Finds the key: in the file that was named, else in `variable` (what
    /// [`KEY_VARIABLE`] holds), else in `host.key` in the data folder, which is made
    /// if it is missing, readable by its owner alone.
    pub fn load(file: Option<&Path>, variable: Option<&str>, folder: &Path) -> Result<Self, KeyError> {
        if let Some(path) = file {
            return Self::from_file(path);
        }
        if let Some(text) = variable {
            return Self::from_text(text, || format!("the variable {KEY_VARIABLE}"));
        }
        let path = folder.join("host.key");
        match Self::make(folder, &path) {
            Ok(key) => Ok(key),
            Err(KeyError::File { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Self::from_file(&path)
            }
            Err(error) => Err(error),
        }
    }

    fn from_file(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(failed)?.len();
        let origin = || path.display().to_string();
        if size > KEY_FILE_BYTES_MAX as u64 {
            return Err(KeyError::NotAKey { origin: origin() });
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::from_text(&text, origin)
    }

    fn from_text(text: &str, origin: impl Fn() -> String) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text.trim()).ok();
        let key: Option<[u8; KEY_BYTES]> = bytes.and_then(|bytes| bytes.try_into().ok());
        key.map(|key| Self::new(&key)).ok_or_else(|| KeyError::NotAKey { origin: origin() })
    }

    /// Makes the file under another name and links it into place, so that nobody
    /// ever reads half a key and of two makers one wins.
    fn make(folder: &Path, path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        if path.exists() {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut key = [0; KEY_BYTES];
        rand::fill(&mut key).map_err(|_| KeyError::NoRandomness)?;
        // Temporary files are readable by their owner alone.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        writeln!(file, "{}", STANDARD.encode(key)).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist_noclobber(path).map_err(|error| failed(error.error))?;
        Ok(Self::new(&key))
    }

    /// A key from its bytes.
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let sealing = UnboundKey::new(&AES_256_GCM, &derive(key, "dealsync secrets 1"))
            .expect("a derived key is as long as the cipher wants");
        let [a, b, c, d, ..] = derive(key, "dealsync key mark 1");
        Self {
            keys: Arc::new(Keys {
                sealing: LessSafeKey::new(sealing),
                mark: [a, b, c, d],
                rules_cache: derive(key, "dealsync rules cache 1"),
            }),
        }
    }

    /// The key under which compiled rules are cached on disk.
    pub fn rules_cache_key(&self) -> [u8; 32] {
        self.keys.rules_cache
    }

    /// Seals a secret for one tenant and one name; it opens for no other.
    pub fn seal(&self, tenant: &TenantId, name: &str, secret: &[u8]) -> Result<Vec<u8>, SecretError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| SecretError::NoRandomness)?;
        let mut sealed = Vec::with_capacity(secret.len() + HEADER_BYTES + AES_256_GCM.tag_len());
        sealed.push(FORMAT);
        sealed.extend(self.keys.mark);
        sealed.extend(nonce);
        let mut body = secret.to_vec();
        self.keys
            .sealing
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound_to(tenant, name), &mut body)
            .map_err(|_| SecretError::NoRandomness)?;
        sealed.extend(body);
        Ok(sealed)
    }

    /// Opens what [`HostKey::seal`] made. Tells another key from a damaged text.
    pub fn open(&self, tenant: &TenantId, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SecretError> {
        let damaged = || SecretError::Damaged { name: name.to_owned() };
        if sealed.len() < HEADER_BYTES || sealed[0] != FORMAT {
            return Err(damaged());
        }
        if sealed[1..5] != self.keys.mark {
            return Err(SecretError::WrongKey { name: name.to_owned() });
        }
        let nonce = Nonce::try_assume_unique_for_key(&sealed[5..HEADER_BYTES]).map_err(|_| damaged())?;
        let mut body = sealed[HEADER_BYTES..].to_vec();
        let plain = self
            .keys
            .sealing
            .open_in_place(nonce, bound_to(tenant, name), &mut body)
            .map_err(|_| damaged())?;
        Ok(plain.to_vec())
    }
}

/// Layout of a sealed secret: format, mark of the key, nonce, then the text.
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 1 + 4 + NONCE_LEN;

fn bound_to(tenant: &TenantId, name: &str) -> Aad<Vec<u8>> {
    Aad::from([tenant.as_str().as_bytes(), b"\0", name.as_bytes()].concat())
}

fn derive(key: &[u8; KEY_BYTES], label: &str) -> [u8; KEY_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), label.as_bytes());
    tag.as_ref().try_into().expect("SHA-256 makes 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        name.parse().unwrap()
    }

    #[test]
    fn a_secret_opens_for_its_own_tenant_and_name_alone() {
        let key = HostKey::new(&[7; 32]);
        let sealed = key.seal(&tenant("acme"), "refresh-token", b"5Aep861").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"5Aep861"));
        assert_eq!(key.open(&tenant("acme"), "refresh-token", &sealed).unwrap(), b"5Aep861");
        for (who, name) in [("globex", "refresh-token"), ("acme", "client-secret")] {
            let error = key.open(&tenant(who), name, &sealed).unwrap_err();
            assert!(matches!(error, SecretError::Damaged { .. }), "{error}");
        }
    }

    #[test]
    fn another_key_is_told_from_a_damaged_secret() {
        let sealed = HostKey::new(&[7; 32]).seal(&tenant("acme"), "x", b"secret").unwrap();
        let error = HostKey::new(&[8; 32]).open(&tenant("acme"), "x", &sealed).unwrap_err();
        assert!(error.to_string().contains("sealed with another key"), "{error}");
        let mut cut = sealed.clone();
        cut.truncate(20);
        assert!(matches!(
            HostKey::new(&[7; 32]).open(&tenant("acme"), "x", &cut),
            Err(SecretError::Damaged { .. })
        ));
        assert!(matches!(
            HostKey::new(&[7; 32]).open(&tenant("acme"), "x", &[]),
            Err(SecretError::Damaged { .. })
        ));
    }

    #[test]
    fn the_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let made = HostKey::load(None, None, folder.path()).unwrap();
        let found = HostKey::load(None, None, folder.path()).unwrap();
        assert_eq!(made.rules_cache_key(), found.rules_cache_key());
        assert_eq!(format!("{made:?}"), "HostKey(…)");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join("host.key")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_by_where_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let error = HostKey::load(None, Some("short"), folder.path()).unwrap_err();
        assert!(error.to_string().starts_with("the variable DEALSYNC_KEY holds no key"), "{error}");
        let missing = folder.path().join("nowhere");
        assert!(matches!(HostKey::load(Some(&missing), None, folder.path()), Err(KeyError::File { .. })));
    }
}
