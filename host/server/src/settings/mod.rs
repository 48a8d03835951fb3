//! A tenant's settings: the file a person writes, checked at the door.
//!
//! `tenant apply` and every other way of changing settings come through
//! [`TenantSettings::parse`]. Whether the fields named exist in the org is asked
//! elsewhere (`check`), since that takes a connection.

mod defaults;
mod mapping;

use std::time::Duration;

use dealsync_core::ids::TenantId;
use dealsync_core::schema::{FieldDef, FieldKind};
use serde::{Deserialize, Serialize};

use crate::salesforce::{Url, is_safe_address};

pub use defaults::shipped_mappings;
pub use mapping::{Mapping, Unmapped};

/// The largest settings file taken, bytes.
pub const SETTINGS_BYTES_MAX: usize = 1 << 20;
pub const MAPPINGS_MAX: usize = 500;
pub const RULES_MAX: usize = 8;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantSettings {
    pub tenant: Tenant,
    #[serde(default)]
    pub connection: Option<Connection>,
    #[serde(default)]
    pub deal_registration: DealRegistration,
    #[serde(default)]
    pub distributor_module: DistributorModule,
    #[serde(default)]
    pub schedule: Schedule,
    #[serde(default)]
    pub mail: Mail,
    #[serde(default, rename = "deal_field")]
    pub deal_fields: Vec<DealField>,
    /// Overrides of, and additions to, the shipped mappings of Opportunity to deal.
    #[serde(default, rename = "mapping")]
    pub mappings: Vec<Mapping>,
    #[serde(default)]
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    pub id: String,
    #[serde(default)]
    pub name: Option<String>,
    /// Where this tenant's users find the portal; used in mails.
    #[serde(default)]
    pub portal_url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    JwtBearer,
    ClientCredentials,
    RefreshToken,
}

/// One Salesforce org. Secrets are named by file or environment variable and kept
/// sealed in the tenant's database; they never stand in the settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    #[serde(default = "prod")]
    pub name: String,
    #[serde(default = "login_url")]
    pub login_url: String,
    pub grant: Grant,
    pub client_id: String,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub audience: Option<String>,
    #[serde(default = "api_version")]
    pub api_version: String,
    #[serde(default)]
    pub private_key: Option<SecretSource>,
    #[serde(default)]
    pub client_secret: Option<SecretSource>,
    #[serde(default)]
    pub refresh_token: Option<SecretSource>,
    /// ISO code of the org's only currency; an org with several says it per record.
    #[serde(default = "dollars")]
    pub currency: String,
    /// Calls a day that dealsync may make in this org.
    #[serde(default)]
    pub daily_api_calls: Option<u32>,
    /// Of those, how many only a person's runs may use.
    #[serde(default)]
    pub manual_reserve: u32,
}

/// Where a secret is read from when settings are applied.
#[derive(Debug, Clone)]
pub enum SecretSource {
    File(String),
    Env(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum NamedSource {
    File(String),
    Env(String),
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> serde::de::Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("{ env = \"NAME\" } or { file = \"path\" }")
    }

    /// A secret that was written down. The text is not repeated.
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<SecretSource, E> {
        Err(E::custom(
            "a secret never stands in the settings: write { env = \"NAME\" } or { file = \"path\" }",
        ))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
        let source = serde::de::value::MapAccessDeserializer::new(map);
        Ok(match NamedSource::deserialize(source)? {
            NamedSource::File(path) => SecretSource::File(path),
            NamedSource::Env(name) => SecretSource::Env(name),
        })
    }
}

/// The integration page's settings (S42 to S46).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DealRegistration {
    /// Switches the import on (S10, S43).
    #[serde(default)]
    pub pull_opportunities: bool,
    /// Looked for in the org where it is not named (S42).
    #[serde(default)]
    pub sync_flag: Option<String>,
    #[serde(default)]
    pub import_flag: Option<String>,
    #[serde(default)]
    pub partner_email: Option<String>,
    #[serde(default)]
    pub distributor_email: Option<String>,
    #[serde(default)]
    pub owner_type: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DistributorModule {
    #[serde(default)]
    pub enabled: bool,
    #[serde(default)]
    pub partner_optional: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Time between full runs; an hour where nothing is said (S35).
    #[serde(default = "hourly")]
    pub full: Every,
    /// Time between incremental runs; none where nothing is said.
    #[serde(default)]
    pub incremental: Option<Every>,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { full: hourly(), incremental: None }
    }
}

/// A span such as `90s`, `15m`, `1h` or `1d`, from ten seconds to a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Every(pub Duration);

impl TryFrom<String> for Every {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no span of time: write 90s, 15m, 1h or 1d");
        let unit = text.chars().last().ok_or_else(wrong)?;
        let number: u64 = text[..text.len() - unit.len_utf8()].trim().parse().map_err(|_| wrong())?;
        let seconds = match unit {
            's' => Some(number),
            'm' => number.checked_mul(60),
            'h' => number.checked_mul(3_600),
            'd' => number.checked_mul(86_400),
            _ => None,
        }
        .ok_or_else(wrong)?;
        if !(10..=7 * 86_400).contains(&seconds) {
            return Err(format!("{text:?} is out of bounds: from 10s to 7d"));
        }
        Ok(Self(Duration::from_secs(seconds)))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// `Portal <portal@acme.example>`
    #[serde(default)]
    pub from: Option<String>,
    /// `smtp://host:port`, `smtps://host`, or `smtp+starttls://host`.
    #[serde(default)]
    pub smtp: Option<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// Write mails into this folder as .eml files instead of sending them.
    #[serde(default)]
    pub folder: Option<String>,
    /// Further recipients of every import mail (S33).
    #[serde(default)]
    pub also_to: Vec<String>,
}

/// A deal field of the tenant's own, next to those every portal has.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DealField {
    pub name: String,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub kind: Kind,
    #[serde(default)]
    pub scale: u8,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub max_length: Option<u32>,
    #[serde(default)]
    pub choices: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Kind(pub FieldKind);

impl Default for Kind {
    fn default() -> Self {
        Self(FieldKind::Text)
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        FieldKind::from_name(&name).map(Self).ok_or_else(|| {
            let known: Vec<_> = FieldKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("{name:?} is no kind of field{}", crate::hints::did_you_mean(&name, known))
        })
    }
}

/// One of the tenant's own components, after `standard` in the chain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    /// A file, or `sha256:…` of one that was applied before.
    pub component: String,
    #[serde(default = "first_version")]
    pub version: String,
    #[serde(default)]
    pub settings: Option<toml::Table>,
    /// Look-up tables this rule may read, by name.
    #[serde(default)]
    pub tables: std::collections::BTreeMap<String, std::collections::BTreeMap<String, String>>,
}

fn prod() -> String {
    "prod".into()
}
fn login_url() -> String {
    "https://login.salesforce.com".into()
}
fn dollars() -> String {
    "USD".into()
}
fn api_version() -> String {
    "62.0".into()
}
fn hourly() -> Every {
    Every(Duration::from_secs(3_600))
}
fn first_version() -> String {
    "0.1.0".into()
}

/// What is wrong with a settings file, in words for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    pub message: String,
    pub hints: Vec<String>,
}

impl SettingsError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl TenantSettings {
    /// Parses and checks a settings file. Refuses unknown keys (with the one that
    /// was probably meant), names that cannot be, and an import switched on
    /// without a connection or flag fields (S40).
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        if text.len() > SETTINGS_BYTES_MAX {
            return Err(SettingsError::new("the settings file is larger than 1 MiB"));
        }
        let settings: Self = toml::from_str(text).map_err(|error| explain(text, &error))?;
        settings.check()?;
        Ok(settings)
    }

    pub fn id(&self) -> TenantId {
        self.tenant.id.parse().expect("checked at the door")
    }

    pub fn display_name(&self) -> &str {
        self.tenant.name.as_deref().unwrap_or(&self.tenant.id)
    }

    /// ISO code of amounts that do not bring their own.
    pub fn currency(&self) -> &str {
        self.connection.as_ref().map_or("USD", |connection| &connection.currency)
    }

    fn check(&self) -> Result<(), SettingsError> {
        self.tenant.id.parse::<TenantId>().map_err(|error| SettingsError::new(error.to_string()))?;
        self.check_import()?;
        self.check_connection()?;
        self.check_mappings()?;
        if self.rules.len() > RULES_MAX {
            return Err(SettingsError::new(format!("at most {RULES_MAX} rules make a chain")));
        }
        for rule in &self.rules {
            if rule.name == "standard" || rule.name.is_empty() || rule.name.len() > 60 {
                return Err(SettingsError::new(format!("{:?} cannot be the name of a rule", rule.name))
                    .hint("choose a name of 1 to 60 characters other than `standard`"));
            }
        }
        self.check_mail()
    }

    fn check_import(&self) -> Result<(), SettingsError> {
        let deal = &self.deal_registration;
        if !deal.pull_opportunities {
            return Ok(());
        }
        if self.connection.is_none() {
            return Err(SettingsError::new("pull_opportunities is on, but there is no [connection]")
                .hint("the import needs the Salesforce connection to be set up first"));
        }
        if deal.import_flag.is_none() {
            return Err(SettingsError::new(
                "FLAG_FIELD_UNSET: import is on, but no import-flag field is chosen",
            )
            .hint("set import_flag in [deal_registration] to a checkbox of the Opportunity"));
        }
        if deal.partner_email.is_none() {
            return Err(SettingsError::new("import is on, but partner_email names no field").hint(
                "set partner_email in [deal_registration] to an Email or Text field of the Opportunity",
            ));
        }
        let module = self.distributor_module.enabled;
        if !module && (deal.distributor_email.is_some()) {
            return Err(SettingsError::new("distributor_email is set, but the Distributor module is off")
                .hint("set enabled = true in [distributor_module], or remove distributor_email"));
        }
        Ok(())
    }

    fn check_connection(&self) -> Result<(), SettingsError> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let is_safe = |url: &Url| is_safe_address(url);
        if !Url::parse(&connection.login_url).as_ref().is_ok_and(is_safe) {
            return Err(SettingsError::new(format!("{:?} cannot be logged in at", connection.login_url))
                .hint(
                    "write login_url as https://login.salesforce.com, or your org's own address; \
                 plain http is for this machine only",
                ));
        }
        let missing = match connection.grant {
            Grant::JwtBearer if connection.username.is_none() => Some("username"),
            Grant::JwtBearer if connection.private_key.is_none() => Some("private_key"),
            Grant::ClientCredentials if connection.client_secret.is_none() => Some("client_secret"),
            Grant::RefreshToken if connection.refresh_token.is_none() => Some("refresh_token"),
            _ => None,
        };
        if let Some(key) = missing {
            return Err(SettingsError::new(format!("[connection] lacks {key}, which this grant needs")));
        }
        let digits = connection.api_version.strip_suffix(".0").and_then(|major| major.parse::<u32>().ok());
        if !digits.is_some_and(|major| (31..=99).contains(&major)) {
            return Err(SettingsError::new(format!("{:?} is no API version", connection.api_version))
                .hint("write it as \"62.0\""));
        }
        if connection.currency.len() != 3
            || !connection.currency.bytes().all(|byte| byte.is_ascii_uppercase())
        {
            return Err(SettingsError::new(format!("{:?} is no currency", connection.currency))
                .hint("write its ISO code, such as \"EUR\""));
        }
        if connection.daily_api_calls.is_some_and(|calls| calls <= connection.manual_reserve) {
            return Err(SettingsError::new(
                "manual_reserve leaves nothing of daily_api_calls for scheduled runs",
            ));
        }
        Ok(())
    }

    fn check_mappings(&self) -> Result<(), SettingsError> {
        if self.mappings.len() > MAPPINGS_MAX {
            return Err(SettingsError::new(format!("at most {MAPPINGS_MAX} mappings")));
        }
        let schema = self.deal_schema();
        let mut seen = std::collections::HashSet::new();
        for mapping in &self.mappings {
            if schema.ix(&mapping.to).is_none() {
                let known = schema.fields().iter().map(|field| field.name.as_str());
                let hint = crate::hints::did_you_mean(&mapping.to, known);
                return Err(SettingsError::new(format!("no deal field is called {:?}{hint}", mapping.to))
                    .hint("a field of your own is declared with [[deal_field]]"));
            }
            if !seen.insert(&mapping.to) {
                return Err(SettingsError::new(format!("two mappings write {:?}", mapping.to)));
            }
            mapping.check()?;
        }
        // What a rule of the tenant's own fills in is known record by record only.
        if self.deal_registration.pull_opportunities
            && self.rules.is_empty()
            && let Some(label) = self.unfed().first()
        {
            return Err(SettingsError::new(format!("REQUIRED_MAPPING_MISSING: no mapping feeds {label}"))
                .hint("every deal needs it: add a [[mapping]], or do not remove the shipped one"));
        }
        Ok(())
    }

    /// Labels of the required deal fields that no mapping writes when a deal is made.
    pub fn unfed(&self) -> Vec<String> {
        let shipped = shipped_mappings();
        let feeds = |mapping: &Mapping| !mapping.remove && mapping.on_create != Some(false);
        let fed = |name: &str| match self.mappings.iter().find(|mapping| mapping.to == name) {
            Some(own) => feeds(own),
            None => shipped.iter().any(|mapping| mapping.to == name),
        };
        let schema = self.deal_schema();
        let unfed = schema.fields().iter().filter(|field| field.required && !fed(&field.name));
        unfed.map(|field| field.label.clone()).collect()
    }

    fn check_mail(&self) -> Result<(), SettingsError> {
        for address in &self.mail.also_to {
            if !address.contains('@') {
                return Err(SettingsError::new(format!("{address:?} in also_to is no address")));
            }
        }
        if self.mail.smtp.is_some() && self.mail.from.is_none() {
            return Err(SettingsError::new("[mail] has smtp but no from address"));
        }
        Ok(())
    }

    /// The deal fields of this tenant: the shipped ones and its own.
    pub fn deal_schema(&self) -> dealsync_core::schema::Schema {
        dealsync_core::deal::deal_schema(self.deal_fields.iter().map(|field| {
            let mut def =
                FieldDef::new(&field.name, field.label.as_deref().unwrap_or(&field.name), field.kind.0)
                    .scale(field.scale)
                    .choices(field.choices.iter().map(String::as_str));
            def.required = field.required;
            def.max_length = field.max_length;
            def
        }))
    }
}

/// Turns a parser's error into line, column and the key that was probably meant.
fn explain(text: &str, error: &toml::de::Error) -> SettingsError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text.as_bytes()[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    let message = error.message();
    let mut explained = SettingsError::new(format!("line {line}, column {column}: {message}"));
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let mut names = message.split('`').skip(1).step_by(2);
        if let Some(unknown) = names.next() {
            let known: Vec<&str> = names.collect();
            if let Some(near) = crate::hints::nearest(unknown, known.iter().copied()) {
                explained = explained.hint(format!("did you mean `{near}`?"));
            }
        }
    }
    explained
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "[tenant]\nid = \"acme\"\n";

    #[test]
    fn an_unknown_key_is_answered_with_the_one_that_was_meant() {
        let error =
            TenantSettings::parse("[tenant]\nid = \"acme\"\n[deal_registration]\nimprt_flag = \"X__c\"\n")
                .unwrap_err();
        assert!(error.message.starts_with("line 4, column 1: unknown field `imprt_flag`"), "{error}");
        assert_eq!(error.hints, ["did you mean `import_flag`?"]);
    }

    #[test]
    fn import_without_connection_or_flag_is_refused() {
        let error =
            TenantSettings::parse(&format!("{MINIMAL}[deal_registration]\npull_opportunities = true\n"))
                .unwrap_err();
        assert!(error.message.contains("no [connection]"), "{error}");
        let connection = "[connection]\ngrant = \"client-credentials\"\nclient_id = \"x\"\nclient_secret = { env = \"S\" }\n";
        let error = TenantSettings::parse(&format!(
            "{MINIMAL}{connection}[deal_registration]\npull_opportunities = true\n"
        ))
        .unwrap_err();
        assert!(error.message.contains("FLAG_FIELD_UNSET"), "{error}");
    }

    #[test]
    fn a_mapping_to_an_unknown_deal_field_is_refused() {
        let error =
            TenantSettings::parse(&format!("{MINIMAL}[[mapping]]\nto = \"ammount\"\nfrom = \"Amount\"\n"))
                .unwrap_err();
        assert!(error.message.contains("did you mean \"amount\"?"), "{error}");
    }

    #[test]
    fn spans_of_time_are_bounded() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3_600), ("1d", 86_400)] {
            assert_eq!(Every::try_from(text.to_owned()).unwrap().0.as_secs(), seconds);
        }
        for text in ["", "h", "1w", "9s", "8d", "-1h", "18446744073709551615h"] {
            assert!(Every::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
