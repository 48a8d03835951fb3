//! The portal's users of a tenant: importing them, and what a change of one wakes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use dealsync_core::ids::UserId;
use dealsync_core::people::{User, UserKind, UserStatus, normal_email};
use rusqlite::{Connection, Row, Transaction, params};

use super::sqlite::values::{blob, kind_at, status_at, uuid_at};
use super::{MemoryDirectory, StoreError, TenantStore, Work, lock, parked};

/// Users shown at once.
const USERS_MAX: usize = 100_000;

/// What a record waits for that names an address no user answers to, or one who
/// may not own deals.
pub fn user_key(email: &str) -> String {
    format!("user:{}", normal_email(email))
}

/// A user as an import brings it. `id` is used if the user is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    pub id: UserId,
    pub email: String,
    pub first_name: String,
    pub last_name: String,
    pub kind: UserKind,
    pub status: UserStatus,
    pub organisation: String,
    pub group: String,
    pub may_register_deals: bool,
    pub external_id: Option<String>,
}

/// What an import of users did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportedUsers {
    pub created: u64,
    pub updated: u64,
    pub unchanged: u64,
    /// Addresses of the import that more than one user has, with how many: none of
    /// them can own a deal by address until they are told apart.
    pub duplicates: Vec<(String, u64)>,
    /// Records set aside that are tried again because of it.
    pub woken: u64,
}

/// Which users to list; empty means all.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    pub kind: Option<UserKind>,
    pub status: Option<UserStatus>,
    /// Part of the address, name or organisation.
    pub search: Option<String>,
    pub limit: Option<usize>,
}

impl TenantStore {
    /// Imports users, all or none. A row is the user with its external id, else
    /// the one user with its address and type; several such are told apart by name
    /// and organisation; a row that is none of them becomes a new user.
    pub async fn import_users(&self, users: Vec<NewUser>, now: i64) -> Result<ImportedUsers, StoreError> {
        let imported = self.change(move |_, transaction| import(transaction, &users, now)).await?;
        self.forget_directory();
        Ok(imported)
    }

    /// Users by address.
    pub async fn users(&self, filter: UserFilter) -> Result<Vec<User>, StoreError> {
        self.on(move |_, connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{SELECT_USER}
                 WHERE (?1 IS NULL OR kind = ?1) AND (?2 IS NULL OR status = ?2)
                   AND (?3 IS NULL OR instr(lower(email || ' ' || first_name || ' ' || last_name || ' ' || organisation),
                        lower(?3)) > 0)
                 ORDER BY email_norm, id LIMIT ?4"
            ))?;
            let rows = statement.query_map(
                params![
                    filter.kind.map(UserKind::name),
                    filter.status.map(UserStatus::name),
                    filter.search,
                    filter.limit.unwrap_or(USERS_MAX).min(USERS_MAX) as i64,
                ],
                user_at,
            )?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The one user of an address, an id or an external id; else which was
    /// probably meant, or which ids to choose from.
    pub async fn user(&self, who: &str) -> Result<User, StoreError> {
        let who = who.to_owned();
        self.on(move |_, connection| the_user(connection, &who)).await
    }

    /// Sets a user's status and wakes the records that wait for the user.
    /// Returns how many.
    pub async fn set_user_status(&self, who: &str, status: UserStatus, now: i64) -> Result<u64, StoreError> {
        let who = who.to_owned();
        let woken = self
            .change(move |_, transaction| {
                let user = the_user(transaction, &who)?;
                if user.status == status {
                    return Ok(0);
                }
                transaction.execute(
                    "UPDATE user SET status = ?2 WHERE id = ?1",
                    params![blob(user.id.0), status.name()],
                )?;
                parked::touch(transaction, &[user_key(&user.email)], now)
            })
            .await?;
        self.forget_directory();
        Ok(woken)
    }

    /// All users as of now, for one run. Cheap where none has changed.
    pub async fn directory(&self) -> Result<Arc<MemoryDirectory>, StoreError> {
        self.on(|tenant, connection| {
            // The connection is held: nobody changes a user meanwhile.
            if let Some(known) = lock(&tenant.directory).clone() {
                return Ok(known);
            }
            let made = Arc::new(MemoryDirectory::new(all_users(connection)?));
            *lock(&tenant.directory) = Some(made.clone());
            Ok(made)
        })
        .await
    }

    fn forget_directory(&self) {
        lock(&self.inner.directory).take();
    }
}

fn import(transaction: &Transaction<'_>, users: &[NewUser], now: i64) -> Work<ImportedUsers> {
    check_external_ids(users)?;
    let known = Known::new(all_users(transaction)?);
    let mut imported = ImportedUsers::default();
    let mut taken = HashSet::new();
    let mut touched = BTreeSet::new();
    let mut addresses = BTreeSet::new();
    // Rows that name their user by external id go first, so that a row without
    // one cannot take the user from them.
    let (named, others): (Vec<&NewUser>, Vec<_>) = users.iter().partition(|user| known.named(user).is_some());
    for new in named.into_iter().chain(others) {
        addresses.insert(normal_email(&new.email));
        let found = known.named(new).or_else(|| known.alike(new, &taken));
        let Some(old) = found else {
            write(transaction, new.id, new, Some(now))?;
            touched.insert(user_key(&new.email));
            imported.created += 1;
            continue;
        };
        taken.insert(old.id);
        if same(old, new) {
            imported.unchanged += 1;
            continue;
        }
        write(transaction, old.id, new, None)?;
        touched.extend([user_key(&old.email), user_key(&new.email)]);
        imported.updated += 1;
    }
    imported.duplicates = duplicates(transaction, &addresses)?;
    let touched: Vec<String> = touched.into_iter().collect();
    imported.woken = parked::touch(transaction, &touched, now)?;
    Ok(imported)
}

fn check_external_ids(users: &[NewUser]) -> Work<()> {
    let mut seen = HashSet::new();
    for id in users.iter().filter_map(|user| user.external_id.as_ref()) {
        if !seen.insert(id) {
            let text =
                format!("two users have the external id {id:?}; give each its own, nothing was imported");
            return Err(StoreError::Invalid(text).into());
        }
    }
    Ok(())
}

/// The users there were before the import.
struct Known {
    users: Vec<User>,
    by_external_id: HashMap<String, usize>,
    by_email: HashMap<(String, UserKind), Vec<usize>>,
}

impl Known {
    fn new(users: Vec<User>) -> Self {
        let mut by_external_id = HashMap::new();
        let mut by_email: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, user) in users.iter().enumerate() {
            by_external_id.extend(user.external_id.clone().map(|id| (id, at)));
            by_email.entry((normal_email(&user.email), user.kind)).or_default().push(at);
        }
        Self { users, by_external_id, by_email }
    }

    fn named(&self, new: &NewUser) -> Option<&User> {
        let at = self.by_external_id.get(new.external_id.as_ref()?)?;
        Some(&self.users[*at])
    }

    /// The user of the row's address and type; of several, the one of the same
    /// name, then of the same organisation, then the first that is left.
    fn alike(&self, new: &NewUser, taken: &HashSet<UserId>) -> Option<&User> {
        let all = self.by_email.get(&(normal_email(&new.email), new.kind))?;
        let free = all.iter().map(|at| &self.users[*at]).filter(|user| {
            let another = user.external_id.is_some() && new.external_id.is_some();
            !taken.contains(&user.id) && !another
        });
        let free: Vec<&User> = free.collect();
        if all.len() == 1 {
            return free.first().copied();
        }
        let named = |user: &&&User| user.first_name == new.first_name && user.last_name == new.last_name;
        let mut of_name = free.iter().filter(named).peekable();
        let first = of_name.peek().copied().copied();
        of_name.find(|user| user.organisation == new.organisation).copied().or(first)
    }
}

fn same(old: &User, new: &NewUser) -> bool {
    old.email == new.email
        && old.first_name == new.first_name
        && old.last_name == new.last_name
        && old.kind == new.kind
        && old.status == new.status
        && old.organisation == new.organisation
        && old.group == new.group
        && old.may_register_deals == new.may_register_deals
        && (new.external_id.is_none() || old.external_id == new.external_id)
}

/// Writes a user under an id. A row without an external id leaves the one there is.
fn write(connection: &Connection, id: UserId, new: &NewUser, created: Option<i64>) -> Work<()> {
    let sql = match created {
        Some(_) => {
            "INSERT INTO user (id, email, email_norm, first_name, last_name, kind, status, organisation,
                group_name, may_register_deals, external_id, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        }
        None => {
            "UPDATE user SET email = ?2, email_norm = ?3, first_name = ?4, last_name = ?5, kind = ?6, status = ?7,
                organisation = ?8, group_name = ?9, may_register_deals = ?10,
                external_id = COALESCE(?11, external_id), created_at = COALESCE(?12, created_at)
             WHERE id = ?1"
        }
    };
    connection.prepare_cached(sql)?.execute(params![
        blob(id.0),
        new.email.trim(),
        normal_email(&new.email),
        new.first_name,
        new.last_name,
        new.kind.name(),
        new.status.name(),
        new.organisation,
        new.group,
        new.may_register_deals,
        new.external_id,
        created,
    ])?;
    Ok(())
}

fn duplicates(connection: &Connection, addresses: &BTreeSet<String>) -> Work<Vec<(String, u64)>> {
    let mut statement = connection.prepare_cached("SELECT COUNT(*) FROM user WHERE email_norm = ?1")?;
    let mut found = BTreeMap::new();
    for address in addresses {
        let count: i64 = statement.query_row([address], |row| row.get(0))?;
        if count > 1 {
            found.insert(address.clone(), count.unsigned_abs());
        }
    }
    Ok(found.into_iter().collect())
}

fn the_user(connection: &Connection, who: &str) -> Work<User> {
    let id = uuid::Uuid::parse_str(who.trim()).ok().map(blob);
    let mut statement = connection.prepare_cached(&format!(
        "{SELECT_USER} WHERE id = ?1 OR email_norm = ?2 OR external_id = ?3 ORDER BY id"
    ))?;
    let found: Vec<User> = statement
        .query_map(params![id, normal_email(who), who.trim()], user_at)?
        .collect::<Result<_, _>>()?;
    match <[User; 1]>::try_from(found) {
        Ok([user]) => Ok(user),
        Err(none) if none.is_empty() => {
            let known = all_users(connection)?;
            let near = crate::hints::nearest(who, known.iter().map(|user| user.email.as_str()));
            let did_you_mean = near.map(str::to_owned);
            Err(StoreError::NotFound { what: "user", name: who.to_owned(), did_you_mean }.into())
        }
        Err(several) => {
            let ids: Vec<String> =
                several.iter().map(|user| format!("{} ({})", user.id, user.name())).collect();
            let (count, ids) = (several.len(), ids.join(", "));
            Err(StoreError::Several { what: "user", name: who.to_owned(), count, ids }.into())
        }
    }
}

fn all_users(connection: &Connection) -> Work<Vec<User>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT_USER} ORDER BY email_norm, id"))?;
    let users = statement.query_map([], user_at)?.collect::<Result<_, _>>()?;
    Ok(users)
}

const SELECT_USER: &str = "SELECT id, email, first_name, last_name, kind, status, organisation, group_name,
    may_register_deals, external_id FROM user";

fn user_at(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: UserId(uuid_at(row, 0)?),
        email: row.get(1)?,
        first_name: row.get(2)?,
        last_name: row.get(3)?,
        kind: kind_at(row, 4)?,
        status: status_at(row, 5)?,
        organisation: row.get(6)?,
        group: row.get(7)?,
        may_register_deals: row.get(8)?,
        external_id: row.get(9)?,
    })
}
