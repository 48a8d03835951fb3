//! `dealsync deal …`: what was imported (S55, S56), and what a person may do to it.

use clap::{Subcommand, ValueEnum};
use dealsync_core::answers::Assignment;
use dealsync_core::deal::{Values, show};
use dealsync_core::ids::{AccountId, ContactId, DealId};
use dealsync_core::owner::check_owner;
use dealsync_core::people::Directory;
use dealsync_core::value::{Decimal, timestamp_text};
use serde::{Deserialize, Serialize};

use super::out::CliError;
use super::table::{left, list, minute, one_line, print_json, right, whole};
use super::{Context, TenantArg, salesforce_id};
use crate::store::{DealFilter, DealOrder, DealRow, DealView, FreshOwner, Named, TenantStore};

/// Deals read to sort by something else than their date.
const SORTED_DEALS_MAX: usize = 200_000;
const PAGE: usize = 1_000;

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum Deal {
    /// Lists deals, the newest first.
    List {
        #[command(flatten)]
        tenant: TenantArg,
        #[arg(long, value_enum, default_value_t = Sort::Created)]
        sort: Sort,
        /// Smallest or oldest first.
        #[arg(long)]
        asc: bool,
        /// Only deals of this user: address, id or external id.
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
        /// Part of the deal's name or the account's.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
    },
    /// Shows a deal: values, people, its Salesforce record, and who changed what.
    Show {
        /// The deal's id, or the id or address of its Salesforce record.
        id: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Gives a deal to another user.
    Reown {
        /// The deal's id, or the id or address of its Salesforce record.
        id: String,
        /// Address, id or external id of the new owner.
        #[arg(long, value_name = "USER")]
        to: String,
        #[command(flatten)]
        tenant: TenantArg,
    },
    /// Deletes a deal. Its Salesforce record stays as it is, and is not imported again.
    Remove {
        /// The deal's id, or the id or address of its Salesforce record.
        id: String,
        #[command(flatten)]
        tenant: TenantArg,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Sort {
    Created,
    Name,
    Amount,
}

impl Deal {
    pub async fn execute(&self, cx: &Context<'_>) -> Result<(), CliError> {
        match self {
            Self::List { tenant, sort, asc, owner, search, limit } => {
                let store = cx.tenant(tenant.name()).await?;
                let owner = match owner {
                    Some(who) => Some(store.user(who).await?.id),
                    None => None,
                };
                let filter = DealFilter { owner, search: search.clone(), ..DealFilter::default() };
                let deals = read_sorted(&store, filter, *sort, *asc, *limit).await?;
                print_deals(cx, &deals);
                Ok(())
            }
            Self::Show { id, tenant } => {
                let store = cx.tenant(tenant.name()).await?;
                let mut view = find(&store, id).await?;
                name_owners(&mut view, &*store.directory().await?);
                print_deal(cx, &view);
                Ok(())
            }
            Self::Reown { id, to, tenant } => reown(cx, tenant, id, to).await,
            Self::Remove { id, tenant, .. } => {
                let store = cx.tenant(tenant.name()).await?;
                let view = find(&store, id).await?;
                store.remove_deal(view.row.id, &cx.actor, cx.now()).await?;
                cx.out.line(&format!("deal {} removed", name(&view.row)));
                if view.row.sf_id.is_some() {
                    cx.out.note("its Salesforce record stays, and is not imported again");
                }
                Ok(())
            }
        }
    }
}

async fn read_sorted(
    store: &TenantStore,
    filter: DealFilter,
    sort: Sort,
    asc: bool,
    limit: usize,
) -> Result<Vec<DealRow>, CliError> {
    let (order, read) = match sort {
        Sort::Created if asc => (DealOrder::OldestFirst, limit),
        Sort::Created => (DealOrder::NewestFirst, limit),
        _ => (DealOrder::NewestFirst, SORTED_DEALS_MAX),
    };
    let mut deals: Vec<DealRow> = Vec::new();
    let mut after = None;
    while deals.len() < read {
        let page = store.deals(filter.clone(), order, PAGE.min(read - deals.len()), after).await?;
        deals.extend(page.deals);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    sort_deals(&mut deals, sort, asc);
    deals.truncate(limit);
    Ok(deals)
}

fn sort_deals(deals: &mut [DealRow], sort: Sort, asc: bool) {
    match sort {
        Sort::Created => return,
        Sort::Name => deals.sort_by_cached_key(|deal| name(deal).to_lowercase()),
        Sort::Amount => deals.sort_by_cached_key(amount),
    }
    if !asc {
        deals.reverse();
    }
}

/// The amount in the smallest unit there is, so that amounts compare as numbers.
fn amount(deal: &DealRow) -> i128 {
    let amount = Decimal::parse(&value(&deal.fields, "amount")).unwrap_or(Decimal::new(0, 0));
    i128::from(amount.unscaled) * 10i128.pow(18u32.saturating_sub(u32::from(amount.scale)))
}

/// A deal by its own id or by its record's.
async fn find(store: &TenantStore, id: &str) -> Result<DealView, CliError> {
    match id.trim().parse::<DealId>() {
        Ok(id) => Ok(store.deal(id).await?),
        Err(_) => {
            let sf_id = salesforce_id(id).map_err(|_| {
                CliError::user(format!("{id:?} is no id of a deal or of a Salesforce record"))
                    .hint("ids are shown by: dealsync deal list --json")
            })?;
            Ok(store.deal_of(sf_id).await?)
        }
    }
}

/// The history keeps owners by id; people know them by address.
fn name_owners(view: &mut DealView, users: &dyn Directory) {
    let changes = view.changes.iter_mut().filter_map(|change| change.changes.as_array_mut());
    for change in changes.flatten().filter(|change| change["field"] == "owner") {
        for side in ["old", "new"] {
            let user = change[side].as_str().and_then(|id| id.parse().ok()).and_then(|id| users.by_id(id));
            if let Some(user) = user {
                change[side] = user.email.clone().into();
            }
        }
    }
}

/// The new owner passes the same check as at an import.
async fn reown(cx: &Context<'_>, tenant: &TenantArg, id: &str, to: &str) -> Result<(), CliError> {
    let store = cx.tenant(tenant.name()).await?;
    let view = find(&store, id).await?;
    let user = store.user(to).await?;
    let module = match store.settings().await? {
        Some(version) => crate::settings::TenantSettings::parse(&version.toml)
            .is_ok_and(|settings| settings.distributor_module.enabled),
        None => false,
    };
    let directory = store.directory().await?;
    let assignment = Assignment { owner: user.id, partner: None, distributor: None };
    check_owner(assignment, module, &*directory).map_err(|reason| {
        let said = reason.message.strip_prefix("Not imported: ").unwrap_or(&reason.message);
        CliError::user(format!("{}: {said}", reason.code)).hint(reason.fix)
    })?;
    let fresh = FreshOwner { account: AccountId(cx.app.fresh_id()), contact: ContactId(cx.app.fresh_id()) };
    store.reown(view.row.id, user.id, fresh, &cx.actor, cx.now()).await?;
    cx.out.line(&format!("{} now belongs to {}", name(&view.row), user.email));
    Ok(())
}

#[derive(Serialize)]
struct Item<'a> {
    id: String,
    name: String,
    account: Option<&'a str>,
    contact: Option<&'a str>,
    amount: String,
    currency: String,
    stage: String,
    close_date: String,
    owner: &'a str,
    partner: Option<&'a str>,
    distributor: Option<&'a str>,
    status: &'a str,
    source: &'a str,
    created: String,
    updated: String,
    salesforce_id: Option<String>,
    salesforce_object: Option<&'static str>,
    link: Option<&'static str>,
    fields: &'a Values,
}

impl<'a> From<&'a DealRow> for Item<'a> {
    fn from(deal: &'a DealRow) -> Self {
        let email = |person: &'a Option<Named>| person.as_ref().map(|person| person.email.as_str());
        Self {
            id: deal.id.to_string(),
            name: name(deal),
            account: deal.account.as_ref().map(|account| account.name.as_str()),
            contact: deal.contact.as_ref().map(|contact| contact.name.as_str()),
            amount: value(&deal.fields, "amount"),
            currency: value(&deal.fields, "currency"),
            stage: value(&deal.fields, "stage"),
            close_date: value(&deal.fields, "close_date"),
            owner: &deal.owner.email,
            partner: email(&deal.partner),
            distributor: email(&deal.distributor),
            status: &deal.status,
            source: &deal.source,
            created: timestamp_text(deal.created_at),
            updated: timestamp_text(deal.updated_at),
            salesforce_id: deal.sf_id.map(|id| id.to_string()),
            salesforce_object: deal.object.map(|object| object.name()),
            link: deal.link_state.map(|state| state.name()),
            fields: &deal.fields,
        }
    }
}

fn name(deal: &DealRow) -> String {
    value(&deal.fields, "name")
}

fn value(fields: &Values, name: &str) -> String {
    match fields.get(name) {
        None | Some(serde_json::Value::Null) => String::new(),
        some => show(some),
    }
}

fn print_deals(cx: &Context<'_>, deals: &[DealRow]) {
    let items: Vec<Item<'_>> = deals.iter().map(Item::from).collect();
    let columns = [
        whole("CREATED"),
        left("DEAL"),
        left("ACCOUNT"),
        right("AMOUNT"),
        left("STAGE"),
        whole("CLOSE DATE"),
        left("OWNER"),
    ];
    list(cx.out, cx.json, &items, &columns, "no deals", |item| {
        vec![
            minute(dealsync_core::value::parse_timestamp(&item.created)),
            item.name.clone(),
            item.account.unwrap_or_default().to_owned(),
            format!("{} {}", item.amount, item.currency).trim().to_owned(),
            item.stage.clone(),
            item.close_date.clone(),
            item.owner.to_owned(),
        ]
    });
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    deal: Item<'a>,
    account_salesforce_id: Option<String>,
    contact_salesforce_id: Option<String>,
    agreed: Option<&'a Values>,
    agreed_salesforce: Option<&'a Values>,
    history: Vec<ChangeItem<'a>>,
}

#[derive(Serialize)]
struct ChangeItem<'a> {
    at: String,
    by: Option<&'a str>,
    run: Option<String>,
    changes: &'a serde_json::Value,
}

fn print_deal(cx: &Context<'_>, view: &DealView) {
    if cx.json {
        let history = view.changes.iter().map(|change| ChangeItem {
            at: timestamp_text(change.at),
            by: change.actor.as_deref(),
            run: change.run.map(|run| run.to_string()),
            changes: &change.changes,
        });
        return print_json(
            cx.out,
            &Whole {
                deal: Item::from(&view.row),
                account_salesforce_id: view.account_sf_id.map(|id| id.to_string()),
                contact_salesforce_id: view.contact_sf_id.map(|id| id.to_string()),
                agreed: view.base.as_ref(),
                agreed_salesforce: view.base_source.as_ref(),
                history: history.collect(),
            },
        );
    }
    for line in deal_lines(view) {
        cx.out.line(&line);
    }
}

fn deal_lines(view: &DealView) -> Vec<String> {
    let row = &view.row;
    let mut lines = vec![one_line(&name(row))];
    let mut put = |label: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("  {label:<20}  {}", one_line(&text)));
        }
    };
    put("id", row.id.to_string());
    put("owner", with_address(&row.owner));
    put("partner", row.partner.as_ref().map(with_address).unwrap_or_default());
    put("distributor", row.distributor.as_ref().map(with_address).unwrap_or_default());
    put("account", row.account.as_ref().map(|named| named.name.clone()).unwrap_or_default());
    put("contact", row.contact.as_ref().map(with_address).unwrap_or_default());
    put("status", format!("{}, {}", row.status, row.source));
    put("created", minute(Some(row.created_at)));
    if let Some(sf_id) = row.sf_id {
        let object = row.object.map_or("record", |object| object.name());
        let state = row.link_state.map_or("", |state| state.name());
        put("Salesforce", format!("{object} {sf_id}, {state}"));
    }
    for (field, value) in row.fields.iter().filter(|(field, _)| *field != "name") {
        put(field, show(Some(value)));
    }
    for change in &view.changes {
        let by = change.actor.as_deref().unwrap_or("Salesforce");
        lines.push(format!("  {}  changed by {}", minute(Some(change.at)), one_line(by)));
        for one in change.changes.as_array().into_iter().flatten() {
            let field = one["field"].as_str().unwrap_or("?");
            let text = format!("{field}: {} -> {}", show(one.get("old")), show(one.get("new")));
            lines.push(format!("    {}", one_line(&text)));
        }
    }
    lines
}

/// A person as shown: the address may be missing from a contact.
fn with_address(person: &Named) -> String {
    match person.email.as_str() {
        "" => person.name.clone(),
        email => format!("{} ({email})", person.name),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;
    use crate::store::DealChange;

    fn deal(name: &str, amount: &str) -> DealRow {
        let fields = json!({ "name": name, "amount": amount });
        DealRow {
            id: DealId(uuid::Uuid::from_u128(7)),
            fields: fields.as_object().expect("an object").clone(),
            owner: Named {
                id: uuid::Uuid::nil(),
                name: "Dana Reed".into(),
                email: "dana@acme.example".into(),
            },
            partner: None,
            distributor: None,
            account: None,
            contact: None,
            status: "open".into(),
            source: "imported".into(),
            created_at: 1_795_313_640_000_000,
            created_run: None,
            sf_created_at: None,
            updated_at: 1_795_313_640_000_000,
            sf_id: Some("006D000000IRFma".parse().unwrap()),
            object: Some(dealsync_core::link::RemoteObject::Opportunity),
            link_state: Some(dealsync_core::link::LinkState::Linked),
        }
    }

    #[test]
    fn amounts_sort_as_numbers() {
        let mut deals = [deal("a", "900.00"), deal("b", "15000"), deal("c", ""), deal("d", "1000.5")];
        sort_deals(&mut deals, Sort::Amount, false);
        let names: Vec<String> = deals.iter().map(name).collect();
        assert_eq!(names, ["b", "d", "a", "c"]);
    }

    #[test]
    fn a_deal_shows_its_values_its_record_and_who_changed_what() {
        let mut row = deal("Globex renewal", "15000.00");
        let contact =
            Named { id: uuid::Uuid::nil(), name: "Jo Doe".into(), email: "jo@globex.example".into() };
        row.contact = Some(contact);
        let view = DealView {
            row,
            base: None,
            base_source: None,
            account_sf_id: None,
            contact_sf_id: None,
            changes: vec![DealChange {
                at: 1_795_313_640_000_000,
                run: None,
                actor: None,
                changes: json!([{ "field": "amount", "old": "1.00", "new": "15000.00" }]),
            }],
        };
        expect![[r#"
            Globex renewal
              id                    00000000-0000-0000-0000-000000000007
              owner                 Dana Reed (dana@acme.example)
              contact               Jo Doe (jo@globex.example)
              status                open, imported
              created               2026-11-22 02:14
              Salesforce            Opportunity 006D000000IRFmaIAH, linked
              amount                15000.00
              2026-11-22 02:14  changed by Salesforce
                amount: 1.00 -> 15000.00"#]]
        .assert_eq(&deal_lines(&view).join("\n"));
    }
}
