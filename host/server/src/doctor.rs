//! The doctor: holds a tenant's settings against the live org and says what is
//! wrong and where to mend it, before a run does.

use dealsync_core::ids::TenantId;
use dealsync_core::reason::{Code, Reason};
use dealsync_core::schema::Schema;
use serde::{Deserialize, Serialize};

use crate::app::{App, AppError, PULL_LANE};
use crate::connect::{Describes, spent};
use crate::ready::{Fields, may_flow};
use crate::salesforce::{Class, Client, source_schema};
use crate::settings::TenantSettings;

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    pub message: String,
    pub fix: Option<String>,
}

impl Check {
    fn good(name: &str, message: impl Into<String>) -> Self {
        Self { name: name.into(), ok: true, message: message.into(), fix: None }
    }

    fn bad(name: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), ok: false, message: message.into(), fix: Some(fix.into()) }
    }

    fn failed(name: &str, error: &AppError) -> Self {
        Self {
            name: name.into(),
            ok: false,
            message: error.message.clone(),
            fix: Some(error.hints.join(" ")),
        }
    }
}

impl App {
    /// Checks login, org, version, permissions, every field and value the settings
    /// name, and the rules' own settings. Goes on after a failure as far as it can.
    pub async fn doctor(&self, tenant: &TenantId) -> Result<Vec<Check>, AppError> {
        let store = self.store().tenant(tenant).await?;
        let settings = self.settings(&store).await?;
        let mut checks = Vec::new();
        let client = match self.client(&store).await {
            Ok(client) => client.classed(Class::Manual),
            Err(error) => return Ok(vec![Check::failed("connection", &error)]),
        };
        match client.login().await {
            Ok(session) => {
                checks.push(Check::good("login", format!("logged in to {}", session.instance_url)))
            }
            Err(error) => return Ok(vec![Check::failed("login", &error.into())]),
        }
        match self.expect_org(&store, &settings, &client, false).await {
            Ok(org) => checks.push(Check::good("org", org.as_str())),
            Err(error) => checks.push(Check::failed("org", &error)),
        }
        version(&client, &settings, &mut checks).await;
        let Some(describes) = objects(&client, &mut checks).await else { return Ok(checks) };
        let source = source_schema(describes.objects());
        mappings(&settings, &describes, &source, &mut checks);
        match Fields::find(&settings, &describes) {
            Err(error) => checks.push(Check::failed("deal registration", &error)),
            Ok(fields) => {
                let text = format!("sync flag {}, import flag {}", fields.sync_flag, fields.import_flag);
                checks.push(Check::good("deal registration", text));
                checks.push(match self.chain(&settings, &fields, &source) {
                    Ok(_) => Check::good("rules", "every rule accepts its settings"),
                    Err(error) => Check::failed("rules", &error),
                });
            }
        }
        calls(&client, &settings, &mut checks).await;
        self.keep_describes(&store, &settings, &client).await?;
        store.keep_spent(PULL_LANE, spent(&client)).await?;
        Ok(checks)
    }
}

async fn version(client: &Client, settings: &TenantSettings, checks: &mut Vec<Check>) {
    let wanted = settings.connection.as_ref().map_or("", |connection| &connection.api_version);
    match client.versions().await {
        Err(error) => checks.push(Check::failed("API version", &error.into())),
        Ok(versions) if versions.iter().any(|version| version.version == wanted) => {
            checks.push(Check::good("API version", wanted));
        }
        Ok(versions) => {
            let newest = versions.last().map_or("none", |version| &version.version);
            let fix = format!("set api_version = \"{newest}\" in [connection]");
            checks.push(Check::bad("API version", format!("the org does not speak {wanted}"), fix));
        }
    }
}

/// Reads the describes anew, since somebody has just been told to grant something.
async fn objects(client: &Client, checks: &mut Vec<Check>) -> Option<Describes> {
    for object in ["Opportunity", "Account", "Contact", "User", "OpportunityContactRole"] {
        match client.describe_anew(object).await {
            Ok(describe) if describe.queryable => {}
            Ok(_) => {
                let reason = Reason::new(Code::ObjectNotAvailable, &[("object", object)]);
                checks.push(Check::bad(&format!("read {object}"), reason.message, reason.fix));
            }
            Err(error) => checks.push(Check::failed(&format!("read {object}"), &error.into())),
        }
    }
    let describes = Describes::read(client).await.ok()?;
    checks.push(Check::good("objects", "Opportunity, Account, Contact and contact roles can be read"));
    Some(describes)
}

fn mappings(settings: &TenantSettings, describes: &Describes, source: &Schema, checks: &mut Vec<Check>) {
    let target = settings.deal_schema();
    let mut good = 0;
    for mapping in &settings.mappings {
        let Some(from) = &mapping.from else { continue };
        let name = format!("mapping of {}", mapping.to);
        let Some(field) = source.ix(from).and_then(|ix| source.field(ix)) else {
            let near =
                crate::hints::did_you_mean(from, source.fields().iter().map(|field| field.name.as_str()));
            let reason = Reason::new(Code::FieldNotVisible, &[("field", from), ("object", "Opportunity")]);
            checks.push(Check::bad(&name, format!("{}{near}", reason.message), reason.fix));
            continue;
        };
        let to = target.ix(&mapping.to).and_then(|ix| target.field(ix));
        if to.is_some_and(|to| !may_flow(field.kind, to.kind)) {
            let text =
                format!("{from} holds {} values, {} does not take them", field.kind.name(), mapping.to);
            checks.push(Check::bad(&name, text, "map another field"));
            continue;
        }
        let unmapped: Vec<&str> = unmapped(describes, from, mapping);
        if unmapped.is_empty() {
            good += 1;
        } else {
            let text = format!("no portal value for: {}", unmapped.join(", "));
            checks.push(Check::bad(
                &name,
                text,
                "add them to the mapping's values, or choose what unmapped values do",
            ));
        }
    }
    if good > 0 {
        checks.push(Check::good("mappings", format!("{good} of your own are sound")));
    }
}

/// Live values of a picklist that a value map would refuse.
fn unmapped<'a>(describes: &'a Describes, from: &str, mapping: &crate::settings::Mapping) -> Vec<&'a str> {
    use crate::settings::Unmapped;
    if mapping.values.is_empty() || !matches!(mapping.unmapped, None | Some(Unmapped::Refuse)) {
        return Vec::new();
    }
    let Some(field) = describes.opportunity.field(from) else { return Vec::new() };
    let live = field.picklist_values.iter().filter(|value| value.active).map(|value| value.value.as_str());
    live.filter(|value| !mapping.values.contains_key(*value)).collect()
}

async fn calls(client: &Client, settings: &TenantSettings, checks: &mut Vec<Check>) {
    let Ok(limits) = client.limits().await else { return };
    let ours = client.budget().counters().total();
    let share = settings.connection.as_ref().and_then(|connection| connection.daily_api_calls);
    let share = share.map_or_else(|| "no cap".to_owned(), |share| format!("cap {share}"));
    checks.push(Check::good(
        "API calls",
        format!(
            "{ours} of ours today ({share}); {} of the org's {} left",
            limits.daily_calls_left, limits.daily_calls_max
        ),
    ));
}
