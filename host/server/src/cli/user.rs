//! `dealsync user …`: the portal's users, who own what is imported.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use dealsync_core::ids::UserId;
use dealsync_core::people::{User as Person, UserKind, UserStatus};
use serde::{Deserialize, Serialize};

use super::out::CliError;
use super::table::{left, list, print_json, whole};
use super::users_csv::{self, CSV_BYTES_MAX, Problems, UserLine};
use super::{Context, TenantArg, plural, read_file};
use crate::store::{ImportedUsers, NewUser, UserFilter};

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum User {
    /// Imports users from a CSV file: all of it, or nothing.
    ///
    /// The first line names the columns: email, first, last, type (internal, partner,
    /// distributor), and if wanted status, organisation, group, deal_registration
    /// (yes, no) and external_id. A user who is known already is updated.
    Import {
        file: PathBuf,
        #[command(flatten)]
        tenant: TenantArg,
        #[arg(skip)]
        #[serde(default)]
        read: Option<String>,
    },
    /// Lists users by address.
    List {
        #[command(flatten)]
        tenant: TenantArg,
        #[arg(long, value_enum)]
        status: Option<Status>,
        #[arg(long = "type", value_enum)]
        kind: Option<Kind>,
        /// Part of the address, name or organisation.
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
    },
    /// Changes a user; what waits for that user is tried again by the next run.
    Set {
        /// Address, id or external id.
        email: String,
        #[command(flatten)]
        tenant: TenantArg,
        #[arg(long, value_enum)]
        status: Status,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Status {
    Active,
    /// Invited, not activated yet.
    Pending,
    /// The organisation is not active.
    Inactive,
    /// Switched off by an administrator.
    Disabled,
}

impl Status {
    fn status(self) -> UserStatus {
        match self {
            Self::Active => UserStatus::Active,
            Self::Pending => UserStatus::Pending,
            Self::Inactive => UserStatus::Inactive,
            Self::Disabled => UserStatus::Disabled,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Kind {
    Internal,
    Partner,
    Distributor,
}

impl Kind {
    fn kind(self) -> UserKind {
        match self {
            Self::Internal => UserKind::Internal,
            Self::Partner => UserKind::Partner,
            Self::Distributor => UserKind::Distributor,
        }
    }
}

impl User {
    /// Reads the file here, and tells what is wrong with it before anything is sent.
    pub fn load(&mut self) -> Result<(), CliError> {
        let Self::Import { file, read, .. } = self else { return Ok(()) };
        let bytes = read_file(file, CSV_BYTES_MAX)?;
        users_csv::parse(&bytes).map_err(|problems| refused(&file.display().to_string(), &problems))?;
        *read = String::from_utf8(bytes).ok();
        Ok(())
    }

    pub async fn execute(&self, cx: &Context<'_>) -> Result<(), CliError> {
        match self {
            Self::Import { file, tenant, read } => {
                let text = read.as_deref().unwrap_or_default();
                let users = users_csv::parse(text.as_bytes())
                    .map_err(|problems| refused(&file.display().to_string(), &problems))?;
                import(cx, tenant, users).await
            }
            Self::List { tenant, status, kind, search } => {
                let filter = UserFilter {
                    kind: kind.map(Kind::kind),
                    status: status.map(Status::status),
                    search: search.clone(),
                    limit: None,
                };
                let users = cx.tenant(tenant.name()).await?.users(filter).await?;
                print_users(cx, &users);
                Ok(())
            }
            Self::Set { email, tenant, status } => set(cx, tenant, email, status.status()).await,
        }
    }
}

fn refused(file: &str, problems: &Problems) -> CliError {
    let mut message =
        format!("{file} has {}; nothing was imported", plural(problems.count as u64, "problem", "problems"));
    for problem in &problems.shown {
        message.push_str(&format!("\n  {problem}"));
    }
    if let Some(more) = problems.count.checked_sub(problems.shown.len()).filter(|more| *more > 0) {
        message.push_str(&format!("\n  and {more} more"));
    }
    CliError::user(message).hint("correct the file and import it again")
}

async fn import(cx: &Context<'_>, tenant: &TenantArg, lines: Vec<UserLine>) -> Result<(), CliError> {
    let users = lines.into_iter().map(|line| new_user(cx, line)).collect();
    let imported = cx.tenant(tenant.name()).await?.import_users(users, cx.now()).await?;
    print_imported(cx, &imported);
    Ok(())
}

fn new_user(cx: &Context<'_>, line: UserLine) -> NewUser {
    NewUser {
        id: UserId(cx.app.fresh_id()),
        email: line.email,
        first_name: line.first,
        last_name: line.last,
        kind: line.kind,
        status: line.status,
        organisation: line.organisation,
        group: line.group,
        may_register_deals: line.deal_registration,
        external_id: line.external_id,
    }
}

fn print_imported(cx: &Context<'_>, imported: &ImportedUsers) {
    if cx.json {
        let duplicates: Vec<_> = imported
            .duplicates
            .iter()
            .map(|(email, count)| serde_json::json!({ "email": email, "users": count }))
            .collect();
        return print_json(
            cx.out,
            &serde_json::json!({
                "created": imported.created,
                "updated": imported.updated,
                "unchanged": imported.unchanged,
                "duplicates": duplicates,
                "woken": imported.woken,
            }),
        );
    }
    cx.out.line(&format!(
        "{} created, {} updated, {} unchanged",
        imported.created, imported.updated, imported.unchanged
    ));
    for (email, count) in &imported.duplicates {
        cx.out.note(&format!(
            "warning: {count} users have {email}; no deal can be imported for that address until all but one are disabled"
        ));
    }
    print_woken(cx, imported.woken);
}

fn print_woken(cx: &Context<'_>, woken: u64) {
    if woken > 0 {
        let records = plural(woken, "parked record", "parked records");
        cx.out.note(&format!("{records} waited for this and will be tried by the next run"));
    }
}

async fn set(cx: &Context<'_>, tenant: &TenantArg, who: &str, status: UserStatus) -> Result<(), CliError> {
    let store = cx.tenant(tenant.name()).await?;
    let woken = store.set_user_status(who, status, cx.now()).await?;
    let user = store.user(who).await?;
    if cx.json {
        print_json(cx.out, &Item::from(&user));
    } else {
        cx.out.line(&format!("{} is {}", user.email, user.status));
        print_woken(cx, woken);
    }
    Ok(())
}

#[derive(Serialize)]
struct Item<'a> {
    id: String,
    email: &'a str,
    first: &'a str,
    last: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    organisation: &'a str,
    group: &'a str,
    deal_registration: bool,
    external_id: Option<&'a str>,
}

impl<'a> From<&'a Person> for Item<'a> {
    fn from(user: &'a Person) -> Self {
        Self {
            id: user.id.to_string(),
            email: &user.email,
            first: &user.first_name,
            last: &user.last_name,
            kind: user.kind.name(),
            status: user.status.name(),
            organisation: &user.organisation,
            group: &user.group,
            deal_registration: user.may_register_deals,
            external_id: user.external_id.as_deref(),
        }
    }
}

fn print_users(cx: &Context<'_>, users: &[Person]) {
    let items: Vec<Item<'_>> = users.iter().map(Item::from).collect();
    let columns = [
        whole("EMAIL"),
        left("NAME"),
        whole("TYPE"),
        whole("STATUS"),
        left("ORGANISATION"),
        left("GROUP"),
        whole("DEALS"),
    ];
    list(cx.out, cx.json, &items, &columns, "no such users", |item| {
        vec![
            item.email.to_owned(),
            format!("{} {}", item.first, item.last),
            item.kind.to_owned(),
            item.status.to_owned(),
            item.organisation.to_owned(),
            item.group.to_owned(),
            if item.deal_registration { "yes" } else { "no" }.to_owned(),
        ]
    });
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_bad_file_is_refused_before_anything_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users.csv");
        std::fs::write(&file, "email,first,last,type\nx,A,B,partner\ny@z.example,A,B,robot\n").unwrap();
        let mut command = User::Import { file: file.clone(), tenant: TenantArg::default(), read: None };
        let error = command.load().unwrap_err();
        let message = error.message.replace(&file.display().to_string(), "users.csv");
        expect![[r#"
            users.csv has 2 problems; nothing was imported
              line 2, column 1 (email): "x" is not an e-mail address
              line 3, column 4 (type): "robot" is not known; use one of internal, partner, distributor"#]]
        .assert_eq(&message);
    }
}
