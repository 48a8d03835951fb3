//! Applying a tenant's settings: parse, check, seal secrets, keep components.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest as sha256};
use dealsync_core::ids::TenantId;
use dealsync_rules::Limits;
use serde::{Deserialize, Serialize};

use crate::app::{App, AppError, DEAL_REGISTRATION, secret_sources};
use crate::settings::{SecretSource, TenantSettings};
use crate::store::{SETTINGS_KEY, StoreError, TenantStore};

/// A settings file with everything it names, read where the person is: the service
/// itself opens none of these files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Apply {
    pub toml: String,
    /// Contents of the files named in it, by the name as written.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Values of the environment variables named in it.
    pub env: BTreeMap<String, String>,
    /// Who applies, for the history.
    pub actor: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub tenant: String,
    pub created: bool,
    pub version: i64,
    pub warnings: Vec<String>,
}

impl Apply {
    /// Names of the files and variables a settings file needs, for whoever reads them.
    pub fn needs(toml: &str) -> Result<(Vec<String>, Vec<String>), AppError> {
        let settings = TenantSettings::parse(toml)?;
        let mut files = Vec::new();
        let mut env = Vec::new();
        for (_, source) in secret_sources(&settings) {
            match source {
                SecretSource::File(name) => files.push(name.clone()),
                SecretSource::Env(name) => env.push(name.clone()),
            }
        }
        let components = settings.rules.iter().map(|rule| rule.component.clone());
        files.extend(components.filter(|name| !name.starts_with("sha256:")));
        Ok((files, env))
    }
}

impl App {
    /// Checks everything first and stores it then, so that a mistake changes nothing.
    pub async fn apply(&self, apply: Apply) -> Result<Applied, AppError> {
        let settings = TenantSettings::parse(&apply.toml)?;
        let secrets = self.secrets(&settings, &apply)?;
        let mut toml = apply.toml.clone();
        let mut components = Vec::new();
        for rule in &settings.rules {
            if rule.component.starts_with("sha256:") {
                self.component(&settings.id(), &rule.component)?;
                continue;
            }
            let bytes = file(&apply, &rule.component)?;
            let loaded = self.engine().load(bytes, Limits::compiled()).map_err(|refused| {
                AppError::new(format!("the rule {:?} is refused: {refused}", rule.name)).hint(format!(
                    "nothing was changed; look at the file by itself with: dealsync rules check {}",
                    rule.component
                ))
            })?;
            let reference = format!("sha256:{}", loaded.digest());
            toml = toml.replace(&format!("\"{}\"", rule.component), &format!("\"{reference}\""));
            components.push((reference, bytes));
        }
        TenantSettings::parse(&toml)?;
        let id = settings.id();
        let now = self.clock().now_micros();
        let created = match self.store().create_tenant(&id, now).await {
            Ok(_) => true,
            Err(StoreError::TenantExists(_)) => false,
            Err(error) => return Err(error.into()),
        };
        for (reference, bytes) in components {
            self.keep_component(&id, &reference, bytes)?;
        }
        let store = self.store().tenant(&id).await?;
        for (name, secret) in secrets {
            put_if_new(&store, name, &secret).await?;
        }
        self.forget_client(&id);
        let version = store.save_settings(&toml, &apply.actor, now).await?;
        for lane in crate::app::LANES {
            store.ensure_lane(lane, DEAL_REGISTRATION, now).await?;
        }
        // Records that waited for a setting or mapping are looked at again.
        store.touch_keys(vec![SETTINGS_KEY.into()], now).await?;
        Ok(Applied { tenant: id.to_string(), created, version, warnings: warnings(&settings) })
    }

    fn secrets(
        &self,
        settings: &TenantSettings,
        apply: &Apply,
    ) -> Result<Vec<(&'static str, String)>, AppError> {
        let mut secrets = Vec::new();
        for (name, source) in secret_sources(settings) {
            let secret = match source {
                SecretSource::File(path) => String::from_utf8(file(apply, path)?.to_vec()).map_err(|_| {
                    AppError::new(format!("the file {path} is no text, so it holds no secret"))
                })?,
                SecretSource::Env(variable) => apply
                    .env
                    .get(variable)
                    .ok_or_else(|| AppError::new(format!("the environment variable {variable} is not set")))?
                    .clone(),
            };
            let secret = secret.trim().to_owned();
            if secret.is_empty() {
                return Err(AppError::new(format!("the secret {name} is empty")));
            }
            secrets.push((name, secret));
        }
        Ok(secrets)
    }

    fn keep_component(&self, tenant: &TenantId, reference: &str, bytes: &[u8]) -> Result<(), AppError> {
        let path = self.component_path(tenant, reference).expect("a digest of ours");
        let folder = path.parent().expect("a file lies in a folder");
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            std::io::Write::write_all(&mut file, bytes)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|error| AppError::new(format!("the component cannot be stored: {error}")))
    }
}

fn file<'a>(apply: &'a Apply, name: &str) -> Result<&'a [u8], AppError> {
    let bytes = apply.files.get(name).ok_or_else(|| AppError::new(format!("the file {name} is missing")))?;
    Ok(bytes)
}

/// Seals a secret, unless it is the one that was applied last: what was renewed since
/// then, as refresh tokens are, must not fall back to what stands in the file.
async fn put_if_new(store: &TenantStore, name: &str, secret: &str) -> Result<(), AppError> {
    let digest = sha256(&SHA256, secret.as_bytes());
    let applied: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let note = format!("{name}.applied");
    if store.secret(&note).await?.as_deref() != Some(&applied) {
        store.put_secret(name, secret).await?;
        store.put_secret(&note, &applied).await?;
    }
    Ok(())
}

/// What is legal and still worth saying.
fn warnings(settings: &TenantSettings) -> Vec<String> {
    let mut warnings = Vec::new();
    if settings.connection.is_none() {
        warnings.push("no [connection]: nothing is synced until there is one".to_owned());
    } else if !settings.deal_registration.pull_opportunities {
        warnings.push("pull_opportunities is off: nothing is imported".to_owned());
    }
    if settings.deal_registration.pull_opportunities
        && settings.mail.smtp.is_none()
        && settings.mail.folder.is_none()
    {
        warnings
            .push("[mail] names no server and no folder: owners are not told of imported deals".to_owned());
    }
    if settings.deal_registration.pull_opportunities {
        let unfed = settings.unfed().into_iter();
        warnings.extend(unfed.map(|label| format!("no mapping feeds {label}: one of the rules has to")));
    }
    warnings
}
