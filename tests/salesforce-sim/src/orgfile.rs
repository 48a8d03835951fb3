//! The org file: who the org is, its custom fields, users, connected apps and limits.
//! Unknown keys are refused, because a typing error here costs an afternoon.

use serde::Deserialize;

use crate::when;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgFile {
    #[serde(default)]
    pub org: OrgSection,
    /// Rows in a page of a query; the server's choice.
    #[serde(default = "page_size")]
    pub page_size: usize,
    /// Rows in a page as soon as a long text field is selected.
    #[serde(default = "long_text_page_size")]
    pub long_text_page_size: usize,
    #[serde(default = "daily_api_limit")]
    pub daily_api_limit: u64,
    /// Query cursors kept; one more drops the oldest.
    #[serde(default = "cursors_max")]
    pub cursors_max: usize,
    /// Where the clock starts; now, when absent.
    #[serde(default)]
    pub clock: Option<String>,
    /// `Object.Field` names the integration user cannot see.
    #[serde(default)]
    pub hidden_fields: Vec<String>,
    #[serde(default)]
    pub session: SessionSection,
    #[serde(default)]
    pub fields: Vec<CustomField>,
    #[serde(default)]
    pub users: Vec<OrgUser>,
    #[serde(default)]
    pub apps: Vec<App>,
}

fn page_size() -> usize {
    2000
}
fn long_text_page_size() -> usize {
    1000
}
fn daily_api_limit() -> u64 {
    100_000
}
fn cursors_max() -> usize {
    200
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrgSection {
    pub id: String,
    pub name: String,
    pub instance: String,
    pub edition: String,
    pub sandbox: bool,
    pub versions: Versions,
}

impl Default for OrgSection {
    fn default() -> Self {
        Self {
            id: "00DHs0000000SIM".to_owned(),
            name: "Simulated Org".to_owned(),
            instance: "SIM1".to_owned(),
            edition: "Developer Edition".to_owned(),
            sandbox: false,
            versions: Versions::default(),
        }
    }
}

/// The API versions served, first and last included.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Versions {
    pub first: u32,
    pub last: u32,
}

impl Default for Versions {
    fn default() -> Self {
        Self { first: 31, last: 66 }
    }
}

/// How long an access token lives.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionSection {
    /// Seconds of the org's clock; for ever, when absent.
    pub seconds: Option<i64>,
    /// Calls after which a token is refused; never, when absent.
    pub calls: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomField {
    pub object: String,
    pub name: String,
    pub label: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub length: Option<u32>,
    pub precision: Option<u32>,
    pub scale: Option<u32>,
    #[serde(default)]
    pub values: Vec<String>,
    /// Other values than those listed are refused.
    #[serde(default)]
    pub restricted: bool,
    /// One of `values`, or `true`/`false` of a checkbox.
    pub default: Option<String>,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub unique: bool,
    #[serde(default)]
    pub case_sensitive: bool,
    #[serde(default)]
    pub external_id: bool,
    #[serde(default)]
    pub calculated: bool,
    pub reference_to: Option<String>,
    /// The name under which the parent's queries reach the rows of a lookup.
    pub child_relationship: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgUser {
    pub username: String,
    pub email: Option<String>,
    pub first: Option<String>,
    pub last: String,
    #[serde(default = "yes")]
    pub active: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub client_id: String,
    pub client_secret: Option<String>,
    /// PEM of the public key or certificate that assertions are checked against;
    /// without it, any key will do.
    pub public_key: Option<String>,
    /// Audiences an assertion may name; without any, all known login hosts and the
    /// simulator's own address.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// The user client credentials run as; the first user, when absent.
    pub run_as: Option<String>,
    #[serde(default)]
    pub refresh_tokens: Vec<String>,
    /// A refresh answers with a new refresh token, and the old one dies.
    #[serde(default)]
    pub rotate_refresh_tokens: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum OrgFileError {
    #[error("the org file is not right: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("the org file is not right: {0}")]
    Value(String),
}

impl OrgFile {
    pub fn parse(text: &str) -> Result<Self, OrgFileError> {
        let file: Self = toml::from_str(text)?;
        let bad = |text: String| Err(OrgFileError::Value(text));
        if !(1..=50_000).contains(&file.page_size) || !(1..=50_000).contains(&file.long_text_page_size) {
            return bad("page sizes are 1 to 50000".to_owned());
        }
        if let Some(clock) = &file.clock
            && when::parse_stamp(clock).is_none()
        {
            return bad(format!("clock = {clock:?} is no time such as 2026-11-02T08:00:00Z"));
        }
        if crate::ids::parse(&file.org.id).is_none_or(|id| id.prefix() != "00D") {
            return bad(format!("org.id = {:?} is no id that begins with 00D", file.org.id));
        }
        if file.org.versions.first > file.org.versions.last {
            return bad("org.versions: first is after last".to_owned());
        }
        if let Some(name) = file.hidden_fields.iter().find(|name| !name.contains('.')) {
            return bad(format!("hidden_fields: {name:?} is not of the form Object.Field"));
        }
        Ok(file)
    }

    /// The users, or one administrator when the file names none.
    pub fn users(&self) -> Vec<OrgUser> {
        if !self.users.is_empty() {
            return self.users.clone();
        }
        vec![OrgUser {
            username: "admin@sim.example.com".to_owned(),
            email: Some("admin@sim.example.com".to_owned()),
            first: Some("Ada".to_owned()),
            last: "Admin".to_owned(),
            active: true,
        }]
    }

    /// The connected apps, or one with well-known credentials when the file names none.
    pub fn apps(&self) -> Vec<App> {
        if !self.apps.is_empty() {
            return self.apps.clone();
        }
        vec![App {
            client_id: "sim-client".to_owned(),
            client_secret: Some("sim-secret".to_owned()),
            public_key: None,
            audiences: Vec::new(),
            run_as: None,
            refresh_tokens: vec!["sim-refresh".to_owned()],
            rotate_refresh_tokens: false,
        }]
    }
}

impl Default for OrgFile {
    fn default() -> Self {
        Self::parse("").expect("an empty org file is valid")
    }
}
