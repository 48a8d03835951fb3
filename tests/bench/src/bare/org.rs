//! The far side: log in, ask for pages, ask for the contacts of a page.

use anyhow::{Context, Result};
use reqwest::{Client, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::world;

const API: &str = "services/data/v62.0";
/// The columns that an import with the same settings asks for.
const QUERY: &str = "SELECT Id,SystemModstamp,CreatedDate,IsDeleted,Name,AccountId,Account.Name,\
Sync_with_Portal__c,Export_to_Portal_Deal__c,Portal_Partner_Email__c,Portal_Distributor_Email__c,\
Deal_Owner_Type__c,Amount,CloseDate,StageName,Description,NextStep,LeadSource,Type,Region__c,\
ForecastCategoryName,(SELECT ContactId,Contact.Name,IsPrimary FROM OpportunityContactRoles \
ORDER BY IsPrimary DESC LIMIT 20) FROM Opportunity WHERE Export_to_Portal_Deal__c = true \
ORDER BY SystemModstamp,Id";
const CONTACT_FIELDS: [&str; 5] = ["Id", "FirstName", "LastName", "Email", "Phone"];

#[derive(Deserialize)]
struct Token {
    access_token: String,
    instance_url: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    pub records: Vec<Opportunity>,
    pub next_records_url: Option<String>,
}

#[expect(dead_code, reason = "an import reads these columns too, so they are parsed")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Opportunity {
    pub id: String,
    pub system_modstamp: String,
    pub created_date: String,
    pub is_deleted: bool,
    pub name: String,
    pub account_id: Option<String>,
    pub account: Option<Named>,
    #[serde(rename = "Sync_with_Portal__c")]
    pub sync: bool,
    #[serde(rename = "Export_to_Portal_Deal__c")]
    pub import: bool,
    #[serde(rename = "Portal_Partner_Email__c")]
    pub partner_email: Option<String>,
    #[serde(rename = "Portal_Distributor_Email__c")]
    pub distributor_email: Option<String>,
    #[serde(rename = "Deal_Owner_Type__c")]
    pub owner_type: Option<String>,
    pub amount: Option<f64>,
    pub close_date: Option<String>,
    pub stage_name: Option<String>,
    pub description: Option<String>,
    pub next_step: Option<String>,
    pub lead_source: Option<String>,
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    #[serde(rename = "Region__c")]
    pub region: Option<String>,
    pub forecast_category_name: Option<String>,
    pub opportunity_contact_roles: Option<Roles>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Roles {
    pub records: Vec<Role>,
}

#[expect(dead_code, reason = "an import reads these columns too, so they are parsed")]
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Role {
    pub contact_id: Option<String>,
    pub contact: Option<Named>,
    pub is_primary: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Contact {
    pub id: String,
    pub first_name: Option<String>,
    pub last_name: String,
    pub email: Option<String>,
    pub phone: Option<String>,
}

#[derive(Serialize)]
struct Retrieve<'a> {
    ids: Vec<&'a str>,
    fields: [&'a str; 5],
}

impl Opportunity {
    /// The primary contact, as its role says.
    pub fn contact(&self) -> Option<&str> {
        let roles = self.opportunity_contact_roles.as_ref()?;
        roles.records.iter().find(|role| role.is_primary)?.contact_id.as_deref()
    }
}

/// A session.
pub struct Org {
    client: Client,
    token: String,
    base: String,
}

impl Org {
    pub async fn log_in(url: &str) -> Result<Self> {
        let client = Client::builder().gzip(true).build()?;
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            world::CLIENT_ID,
            world::CLIENT_SECRET
        );
        let request = client
            .post(format!("{url}/services/oauth2/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = request.send().await?.error_for_status()?.bytes().await?;
        let token: Token = serde_json::from_slice(&answer)?;
        Ok(Self { client, token: token.access_token, base: token.instance_url })
    }

    pub async fn first(&self) -> Result<Page> {
        let url = Url::parse_with_params(&format!("{}/{API}/query", self.base), [("q", QUERY)])?;
        self.get(url).await
    }

    pub async fn next(&self, path: &str) -> Result<Page> {
        self.get(Url::parse(&self.base)?.join(path)?).await
    }

    /// The contacts of a page in the order of its rows, each row having one.
    pub async fn contacts(&self, page: &Page) -> Result<Vec<Contact>> {
        let ids: Option<Vec<&str>> = page.records.iter().map(Opportunity::contact).collect();
        let ids = ids.context("every generated Opportunity has a primary contact")?;
        let body = serde_json::to_vec(&Retrieve { ids, fields: CONTACT_FIELDS })?;
        let request = self
            .client
            .post(format!("{}/{API}/composite/sobjects/Contact", self.base))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(body);
        parsed(request).await
    }

    async fn get<T: DeserializeOwned>(&self, url: Url) -> Result<T> {
        parsed(self.client.get(url).bearer_auth(&self.token)).await
    }
}

async fn parsed<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T> {
    let answer = request.send().await?.error_for_status()?.bytes().await?;
    Ok(serde_json::from_slice(&answer)?)
}
