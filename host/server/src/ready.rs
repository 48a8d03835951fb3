//! What a run needs before it can read its first page: settings, a logged-in
//! client, the configured chain, the users.

use std::sync::Arc;

use dealsync_core::ids::{SfId, TenantId};
use dealsync_core::people::Directory;
use dealsync_core::plan::{Policy, field_policies};
use dealsync_core::reason::{Code, Reason};
use dealsync_core::schema::{FieldKind, Schema};
use dealsync_rules::{Chain, Member};
use serde_json::json;

use crate::app::{App, AppError};
use crate::connect::Describes;
use crate::run::Request;
use crate::salesforce::{Client, PullFields, source_schema};
use crate::settings::{Mapping, TenantSettings, shipped_mappings};
use crate::store::TenantStore;

/// The flow of the import.
pub const FLOW: &str = "opportunity-to-deal";

/// Everything a run of the import holds on to.
#[derive(Debug)]
pub struct Ready {
    pub tenant: TenantId,
    pub settings: Arc<TenantSettings>,
    pub client: Client,
    pub org: SfId,
    pub chain: Chain,
    pub policy: Policy,
    pub fields: PullFields,
    pub directory: Arc<dyn Directory>,
}

/// The Opportunity fields the settings name, with the sync flag found by itself
/// where it is not named (S42).
#[derive(Debug, Clone)]
pub struct Fields {
    pub sync_flag: String,
    pub import_flag: String,
    pub partner_email: String,
    pub distributor_email: Option<String>,
    pub owner_type: Option<String>,
}

impl Ready {
    /// Logs in, checks that the org is the one known, reads the describes (from
    /// the cache where they are fresh), and configures the chain.
    pub async fn assemble(app: &App, store: &TenantStore, request: &Request) -> Result<Self, AppError> {
        let settings = app.settings(store).await?;
        if !settings.deal_registration.pull_opportunities {
            return Err(AppError::new("the import is switched off")
                .hint("set pull_opportunities = true in [deal_registration] and apply the settings"));
        }
        let client = app.client(store).await?.classed(request.class());
        let org = app.expect_org(store, &settings, &client, request.confirmed).await?;
        let describes = Describes::read(&client).await?;
        let fields = Fields::find(&settings, &describes)?;
        let source = source_schema(describes.objects());
        expect_mapped(&settings, &source)?;
        let chain = app.chain(&settings, &fields, &source)?;
        let policy = Policy {
            fields: field_policies(&chain.draft_columns(), chain.target(), &chain.plan().writes),
            import_flag: label(&describes, &fields.import_flag),
            sync_flag: label(&describes, &fields.sync_flag),
            partner_email: label(&describes, &fields.partner_email),
            partner_email_field: fields.partner_email.clone(),
            distributor_module: settings.distributor_module.enabled,
        };
        let directory = store.directory().await?;
        let fields = PullFields {
            sync_flag: fields.sync_flag,
            import_flag: fields.import_flag,
            partner_email: fields.partner_email,
            distributor_email: fields.distributor_email,
            owner_type: fields.owner_type,
            currency: describes.multi_currency(),
        };
        Ok(Self { tenant: settings.id(), settings, client, org, chain, policy, fields, directory })
    }
}

fn label(objects: &Describes, field: &str) -> String {
    objects.opportunity.field(field).map_or_else(|| field.to_owned(), |field| field.label.clone())
}

impl Fields {
    /// Finds the fields in the org. Refuses a name the org does not show, with the
    /// nearest one, and a flag that is no checkbox.
    pub fn find(settings: &TenantSettings, objects: &Describes) -> Result<Self, AppError> {
        let deal = &settings.deal_registration;
        let sync_flag = match &deal.sync_flag {
            Some(name) => name.clone(),
            None => detect_sync_flag(objects)?,
        };
        let import_flag = deal.import_flag.clone().ok_or_else(|| {
            AppError::new("import is on, but no import-flag field is chosen")
                .hint("set import_flag in [deal_registration]")
        })?;
        let partner_email = deal.partner_email.clone().ok_or_else(|| {
            AppError::new("import is on, but partner_email names no field")
                .hint("set it in [deal_registration]")
        })?;
        let module = settings.distributor_module.enabled;
        let fields = Self {
            sync_flag,
            import_flag,
            partner_email,
            distributor_email: deal.distributor_email.clone().filter(|_| module),
            // Without the module the type is still read, to say DIST_MODULE_OFF.
            owner_type: deal.owner_type.clone(),
        };
        for flag in [&fields.sync_flag, &fields.import_flag] {
            expect_field(objects, flag, &["boolean"], "a checkbox")?;
        }
        let text = ["email", "string", "textarea"];
        expect_field(objects, &fields.partner_email, &text, "an Email or Text field")?;
        if let Some(name) = &fields.distributor_email {
            expect_field(objects, name, &text, "an Email or Text field")?;
        }
        if let Some(name) = &fields.owner_type {
            expect_field(objects, name, &["picklist", "string"], "a picklist")?;
        }
        Ok(fields)
    }
}

/// Refuses a mapping of the tenant's own that reads what the org does not show.
fn expect_mapped(settings: &TenantSettings, source: &Schema) -> Result<(), AppError> {
    for mapping in settings.mappings.iter().filter(|mapping| !mapping.remove) {
        let Some(from) = mapping.from.as_deref().filter(|from| source.ix(from).is_none()) else { continue };
        let (object, field) = from.split_once('.').unwrap_or(("Opportunity", from));
        let error =
            AppError::coded(Reason::new(Code::FieldNotVisible, &[("field", field), ("object", object)]));
        let near = crate::hints::nearest(from, source.fields().iter().map(|field| field.name.as_str()));
        return Err(error.hint(match near {
            Some(near) => format!("the mapping of {} reads it; did you mean `{near}`?", mapping.to),
            None => {
                format!("the mapping of {} reads it: map another field, or remove the mapping", mapping.to)
            }
        }));
    }
    Ok(())
}

fn expect_field(objects: &Describes, name: &str, types: &[&str], what: &str) -> Result<(), AppError> {
    let Some(field) = objects.opportunity.field(name) else {
        let known = objects.opportunity.fields.iter().map(|field| field.name.as_str());
        let near = crate::hints::nearest(name, known);
        let values = [("field", name), ("object", "Opportunity")];
        let error = AppError::coded(Reason::new(Code::FieldNotVisible, &values));
        return Err(match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        });
    };
    if !types.contains(&field.kind.as_str()) {
        return Err(AppError::new(format!("{name} is of type {}, and {what} is needed", field.kind))
            .hint("choose another field in [deal_registration]"));
    }
    Ok(())
}

/// The one checkbox that says "Sync with …" (S42).
fn detect_sync_flag(objects: &Describes) -> Result<String, AppError> {
    let mut found = objects
        .opportunity
        .fields
        .iter()
        .filter(|field| field.kind == "boolean" && field.label.to_lowercase().starts_with("sync with"));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only.name.clone()),
        (None, _) => Err(AppError::new("no checkbox of the Opportunity is called \"Sync with …\"")
            .hint("create it in Salesforce, or name the field as sync_flag in [deal_registration]")),
        (Some(one), Some(two)) => {
            Err(AppError::new(format!("both {} and {} look like the sync flag", one.name, two.name))
                .hint("name the right one as sync_flag in [deal_registration]"))
        }
    }
}

/// The settings `standard` reads: the shipped mappings with the tenant's own over
/// them. A shipped mapping whose field the org does not show is left out, unless
/// the deal needs it.
pub fn standard_settings(settings: &TenantSettings, fields: &Fields, source: &Schema) -> serde_json::Value {
    let target = settings.deal_schema();
    let needed = |to: &str| target.ix(to).and_then(|ix| target.field(ix)).is_some_and(|def| def.required);
    let own = |to: &str| settings.mappings.iter().find(|mapping| mapping.to == to);
    let shown = |mapping: &Mapping| mapping.from.as_deref().is_none_or(|from| source.ix(from).is_some());
    let mut mappings: Vec<Mapping> = shipped_mappings()
        .into_iter()
        .filter(|mapping| own(&mapping.to).is_none() && (shown(mapping) || needed(&mapping.to)))
        .collect();
    if own("currency").is_none() {
        mappings.push(currency(settings, source));
    }
    mappings.extend(settings.mappings.iter().filter(|mapping| !mapping.remove).cloned());
    json!({
        "mappings": mappings,
        "partner_email": fields.partner_email,
        "distributor_email": fields.distributor_email,
        "owner_type": fields.owner_type,
        "distributor_module": settings.distributor_module,
    })
}

/// An amount is never without its currency: the record's where the org has
/// several, else the one the settings say the org has.
fn currency(settings: &TenantSettings, source: &Schema) -> Mapping {
    match source.ix("CurrencyIsoCode") {
        Some(_) => Mapping::field("currency", "CurrencyIsoCode"),
        None => Mapping::fixed("currency", settings.currency()),
    }
}

/// The chain of a tenant: `standard`, then its own components in order.
pub(crate) fn members(
    app: &App,
    settings: &TenantSettings,
    fields: &Fields,
    source: &Schema,
) -> Result<Vec<Member>, AppError> {
    let mut members = vec![Member {
        name: "standard".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        component: app.standard()?,
        settings_json: standard_settings(settings, fields, source).to_string(),
        is_standard: true,
        tables: Vec::new(),
    }];
    for rule in &settings.rules {
        let table = rule.settings.clone().unwrap_or_default();
        members.push(Member {
            name: rule.name.clone(),
            version: rule.version.clone(),
            component: app.component(&settings.id(), &rule.component)?,
            settings_json: serde_json::to_string(&table).map_err(AppError::bug)?,
            is_standard: false,
            tables: rule
                .tables
                .iter()
                .map(|(name, rows)| (name.clone(), rows.clone().into_iter().collect()))
                .collect(),
        });
    }
    Ok(members)
}

/// True where a deal field takes what a Salesforce field holds at all; used by the
/// doctor, since the rules say the same only record by record.
pub fn may_flow(from: FieldKind, to: FieldKind) -> bool {
    use FieldKind::*;
    from == to
        || matches!(to, Text | Choice)
        || matches!((from, to), (Integer | Number | Decimal, Integer | Number | Decimal) | (Text | Choice, _))
}
