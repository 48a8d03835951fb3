//! A tenant's connection as a run needs it: a client with its secrets, its budget
//! and its describes; and the check that the login still leads to the same org.

use std::sync::Arc;

use dealsync_core::ids::SfId;

use crate::app::{App, AppError, PULL_LANE, org_changed};
use crate::salesforce::{
    Budget, Client, ConnectionSettings, DescribeCache, Error, Grant, ObjectDescribe, Secret, Secrets,
    SourceObjects,
};
use crate::settings::{self, TenantSettings};
use crate::store::{ConnectionState, DescribeCache as StoredDescribes, TenantStore};

/// The describes that the import reads.
#[derive(Debug, Clone)]
pub struct Describes {
    pub opportunity: Arc<ObjectDescribe>,
    pub account: Arc<ObjectDescribe>,
    pub contact: Arc<ObjectDescribe>,
    pub owner: Arc<ObjectDescribe>,
}

impl Describes {
    /// Reads them; from memory or the store where they are fresh.
    pub async fn read(client: &Client) -> Result<Self, AppError> {
        Ok(Self {
            opportunity: client.describe("Opportunity").await?,
            account: client.describe("Account").await?,
            contact: client.describe("Contact").await?,
            owner: client.describe("User").await?,
        })
    }

    pub fn objects(&self) -> SourceObjects<'_> {
        SourceObjects {
            opportunity: &self.opportunity,
            account: Some(&self.account),
            owner: Some(&self.owner),
            contact: Some(&self.contact),
        }
    }

    /// True where amounts have a currency each.
    pub fn multi_currency(&self) -> bool {
        self.opportunity.field("CurrencyIsoCode").is_some()
    }
}

/// The describes of a connection are stored together.
const ALL_OBJECTS: &str = "*";

/// A client for the tenant's connection, with what is stored of it.
pub(crate) async fn client(
    app: &App,
    store: &TenantStore,
    settings: &TenantSettings,
) -> Result<Client, AppError> {
    let connection = settings.connection.as_ref().ok_or_else(|| {
        AppError::new("this tenant has no Salesforce connection")
            .hint("add [connection] to its settings and apply them")
    })?;
    let known = store.connection(&connection.name).await?;
    let spent = store.lane(PULL_LANE).await.ok().and_then(|lane| lane.spent);
    let counters = spent.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let budget = Budget::resumed(connection.daily_api_calls, connection.manual_reserve, counters);
    let secrets = Secrets {
        client_secret: secret(store, "client_secret").await?,
        private_key_pem: secret(store, "private_key").await?,
        refresh_token: secret(store, "refresh_token").await?,
    };
    let seed = seed(store.id().as_str());
    let client = Client::new(
        connection_settings(connection),
        secrets,
        app.transport(),
        app.shared_clock(),
        Arc::new(budget),
        seed,
    )?;
    if let Some(org) = known.org {
        client.expect_org(org).await;
    }
    if let Some(cache) = store.describe(&connection.name, ALL_OBJECTS).await? {
        client.use_describes(DescribeCache::from_json(&cache.json));
    }
    let store = store.clone();
    Ok(client.on_rotated(Arc::new(move |token: Secret| {
        let store = store.clone();
        Box::pin(async move {
            let sealed = store.put_secret("refresh_token", token.reveal()).await;
            sealed.map_err(|error| error.to_string())
        })
    })))
}

async fn secret(store: &TenantStore, name: &'static str) -> Result<Option<Secret>, AppError> {
    Ok(store.secret(name).await?.map(Secret::new))
}

/// The same tenant's pauses fall the same way on every run, two tenants' do not.
fn seed(tenant: &str) -> u64 {
    tenant
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn connection_settings(connection: &settings::Connection) -> ConnectionSettings {
    ConnectionSettings {
        login_url: connection.login_url.clone(),
        grant: match connection.grant {
            settings::Grant::JwtBearer => Grant::JwtBearer,
            settings::Grant::ClientCredentials => Grant::ClientCredentials,
            settings::Grant::RefreshToken => Grant::RefreshToken,
        },
        client_id: connection.client_id.clone(),
        username: connection.username.clone(),
        audience: connection.audience.clone(),
        api_version: connection.api_version.clone(),
        daily_calls_max: connection.daily_api_calls,
        manual_reserve: connection.manual_reserve,
    }
}

impl App {
    /// Logs in and compares the org with the one the tenant's links belong to. A
    /// first login is remembered; a changed org is refused until a person confirms.
    pub(crate) async fn expect_org(
        &self,
        store: &TenantStore,
        settings: &TenantSettings,
        client: &Client,
        confirmed: bool,
    ) -> Result<SfId, AppError> {
        let name = connection_name(settings);
        let known = store.connection(name).await?;
        let session = match client.session().await {
            Err(Error::OrgChanged { .. }) if confirmed => {
                client.expect_any_org().await;
                client.login().await?
            }
            session => session?,
        };
        match known.org {
            Some(expected) if expected == session.org_id => {}
            Some(expected) if !confirmed => return Err(org_changed(expected, session.org_id)),
            _ => {
                let instance_url = Some(session.instance_url.clone());
                let state = ConnectionState { org: Some(session.org_id), instance_url };
                store.save_connection(name, state).await?;
                client.expect_org(session.org_id).await;
                if known.org.is_some() {
                    // How far the old org was read says nothing about this one.
                    store.forget_cursor(PULL_LANE).await?;
                }
            }
        }
        Ok(session.org_id)
    }

    /// Stores the describes, so that a restart does not read them anew.
    pub(crate) async fn keep_describes(
        &self,
        store: &TenantStore,
        settings: &TenantSettings,
        client: &Client,
    ) -> Result<(), AppError> {
        let name = connection_name(settings);
        let json = client.describes().to_json();
        if store.describe(name, ALL_OBJECTS).await?.is_none_or(|stored| stored.json != json) {
            let fetched_at = self.clock().now_micros();
            store.save_describe(name, ALL_OBJECTS, StoredDescribes { fetched_at, json }).await?;
        }
        Ok(())
    }
}

/// What the connection spent of the day's calls, as it is stored.
pub(crate) fn spent(client: &Client) -> String {
    serde_json::to_string(&client.budget().counters()).expect("counters are plain numbers")
}

pub(crate) fn connection_name(settings: &TenantSettings) -> &str {
    settings.connection.as_ref().map_or("prod", |connection| &connection.name)
}
