//! Delivers what the outbox holds: who is told of an imported deal, and what
//! becomes of a mail that does not go out. Mails were written into the outbox with
//! the deals they tell of, so each goes out at least once, under a stable id.

use std::path::Path;
use std::time::Duration;

use dealsync_core::deal::Values;
use dealsync_core::ids::{DealId, RunId, TenantId};
use dealsync_core::people::Directory as _;
use dealsync_core::reason::{Code, Reason};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::{App, AppError};
use crate::mail::{self, DealNews, Letter, MailError, Office, OfficeOptions, Portal};
use crate::settings::TenantSettings;
use crate::store::{DEAL_IMPORTED, DealRow, IMPORT_DIGEST, NewMail, OutboxItem, StoreError, TenantStore};

/// Mails taken from the outbox at a time.
const BATCH: usize = 50;
/// Kind of a mail to somebody the settings name besides the owner.
const COPY: &str = "deal-imported-copy";
/// Waits after the first, second, … failed attempt, minutes; then it is given up.
const RETRY_MINUTES: [i64; 7] = [1, 5, 15, 60, 180, 360, 720];
/// Mails that wait longer than this, as they do where no mail was set up, are not
/// sent any more, microseconds: the news is old.
const AGE_MAX: i64 = 3 * 24 * 3_600 * 1_000_000;
/// The lane under which the log keeps what is wrong with mail.
const LOG_LANE: &str = "mail";

/// What a round of delivery did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    pub sent: u64,
    /// Failed for now; they are tried again.
    pub postponed: u64,
    pub given_up: u64,
    /// Due, but there was no time left.
    pub time_is_up: bool,
}

/// Sends the tenant's mails that are due, for at most `time`. A mail that fails is
/// tried again later and later, and in the end told in the log as MAIL_FAILED.
/// Does nothing where the tenant set up no mail.
pub async fn deliver_due(app: &App, tenant: &TenantId, time: Duration) -> Result<Delivered, AppError> {
    // Two rounds at once would read the same mails and send them twice.
    let Some(_turn) = app.try_turn(tenant, LOG_LANE) else { return Ok(Delivered::default()) };
    let store = app.store().tenant(tenant).await?;
    let Some(version) = store.settings().await? else { return Ok(Delivered::default()) };
    let settings = TenantSettings::parse(&version.toml)?;
    let Some(office) = open_office(app.data(), &store, &settings).await? else {
        return Ok(Delivered::default());
    };
    let until = app.clock().now_micros().saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    let round = Round { app, store, settings, office };
    let mut delivered = Delivered::default();
    loop {
        let due = round.store.outbox_due(app.clock().now_micros(), BATCH).await?;
        if due.is_empty() {
            return Ok(delivered);
        }
        for item in &due {
            if app.clock().now_micros() >= until {
                delivered.time_is_up = true;
                return Ok(delivered);
            }
            round.deliver(item, &mut delivered).await?;
        }
    }
}

/// True where the tenant's settings say how mail leaves.
pub fn is_set_up(settings: &TenantSettings) -> bool {
    settings.mail.smtp.is_some() || settings.mail.folder.is_some()
}

async fn open_office(
    data: &Path,
    store: &TenantStore,
    settings: &TenantSettings,
) -> Result<Option<Office>, AppError> {
    let mail = &settings.mail;
    if !is_set_up(settings) {
        return Ok(None);
    }
    let options = OfficeOptions {
        from: mail.from.clone(),
        smtp: mail.smtp.clone(),
        username: mail.username.clone(),
        password: store.secret("mail_password").await?,
        // A relative folder lies in the data folder, wherever the service was started.
        folder: mail.folder.as_ref().map(|folder| data.join(folder)),
    };
    Office::open(&options).map_err(|error| {
        AppError::new(error.to_string()).hint("correct [mail] in the settings and apply them again")
    })
}

/// One tenant's delivery.
struct Round<'a> {
    app: &'a App,
    store: TenantStore,
    settings: TenantSettings,
    office: Office,
}

impl Round<'_> {
    async fn deliver(&self, item: &OutboxItem, delivered: &mut Delivered) -> Result<(), AppError> {
        let now = self.app.clock().now_micros();
        if now.saturating_sub(item.created_at) > AGE_MAX {
            delivered.given_up += 1;
            return Ok(self.store.outbox_failed(item, "too old to be news", None).await?);
        }
        let letter = match self.letter(item).await? {
            Ok(letter) => letter,
            Err(why) => {
                delivered.given_up += 1;
                return Ok(self.store.outbox_failed(item, why, None).await?);
            }
        };
        match self.office.send(&letter).await {
            Ok(()) => {
                delivered.sent += 1;
                self.store.outbox_sent(item, now).await?;
            }
            Err(error) => self.failed(item, &letter, &error, delivered).await?,
        }
        Ok(())
    }

    async fn failed(
        &self,
        item: &OutboxItem,
        letter: &Letter,
        error: &MailError,
        delivered: &mut Delivered,
    ) -> Result<(), AppError> {
        let now = self.app.clock().now_micros();
        let wait = RETRY_MINUTES.get(item.attempts as usize).filter(|_| error.may_pass());
        let next = wait.map(|minutes| now + minutes * 60_000_000);
        let text = error.to_string();
        self.store.outbox_failed(item, &text, next).await?;
        if next.is_some() {
            delivered.postponed += 1;
            tracing::warn!(attempts = item.attempts + 1, "A mail could not be delivered; it is tried again");
            return Ok(());
        }
        delivered.given_up += 1;
        let reason = Reason::new(Code::MailFailed, &[("email", &letter.to), ("text", &text)]);
        let run = self.store.runs(1).await?.first().map_or(RunId(uuid::Uuid::nil()), |run| run.id);
        Ok(self.store.log_run(LOG_LANE, run, reason, now).await?)
    }

    /// The mail of an outbox row, or why there is none any more.
    async fn letter(&self, item: &OutboxItem) -> Result<Result<Letter, &'static str>, AppError> {
        let id = letter_id(item);
        match item.kind.as_str() {
            DEAL_IMPORTED => {
                let Some(row) = self.deal(item.deal).await? else { return Ok(Err("the deal is gone")) };
                self.put_copies(item).await?;
                let news = news(&row);
                Ok(Ok(mail::to_owner(&id, &news, &self.portal(), item.created_at)))
            }
            IMPORT_DIGEST => self.digest(&id, item).await,
            kind if kind.starts_with(COPY) => {
                let Some(copy) = payload::<Copy>(item) else { return Ok(Err("unknown contents")) };
                let Some(row) = self.deal(copy.deal.parse().ok()).await? else {
                    return Ok(Err("the deal is gone"));
                };
                Ok(Ok(mail::to_other(&id, &copy.to, &news(&row), &self.portal(), item.created_at)))
            }
            _ => Ok(Err("unknown kind of mail")),
        }
    }

    /// Mails to the further recipients are rows of their own, so that one of them
    /// who cannot be reached does not repeat the others'.
    async fn put_copies(&self, item: &OutboxItem) -> Result<(), AppError> {
        for to in &self.settings.mail.also_to {
            let deal = item.deal.map(|deal| deal.to_string()).unwrap_or_default();
            let copy = Copy { to: to.clone(), deal };
            let mail = NewMail {
                id: item.id,
                kind: format!("{COPY}-{}", short_name(to)),
                user: None,
                payload: Some(serde_json::to_string(&copy).map_err(AppError::bug)?),
            };
            self.store.outbox_put(mail, item.created_at).await?;
        }
        Ok(())
    }

    async fn digest(&self, id: &str, item: &OutboxItem) -> Result<Result<Letter, &'static str>, AppError> {
        let Some(digest) = payload::<Digest>(item) else { return Ok(Err("unknown contents")) };
        let directory = self.store.directory().await?;
        let Some(owner) = item.user.and_then(|user| directory.by_id(user)) else {
            return Ok(Err("the owner is gone"));
        };
        let mut all = Vec::new();
        for deal in &digest.deals {
            if let Some(row) = self.deal(deal.parse().ok()).await? {
                all.push(news(&row));
            }
        }
        let to = (owner.email.as_str(), &*owner.name());
        Ok(Ok(mail::digest(id, to, &all, digest.count, &self.portal(), item.created_at)))
    }

    async fn deal(&self, id: Option<DealId>) -> Result<Option<DealRow>, AppError> {
        let Some(id) = id else { return Ok(None) };
        match self.store.deal(id).await {
            Ok(view) => Ok(Some(view.row)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn portal(&self) -> Portal {
        Portal { name: self.settings.display_name().to_owned(), url: self.settings.tenant.portal_url.clone() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Copy {
    to: String,
    deal: String,
}

#[derive(Debug, Deserialize)]
struct Digest {
    count: u64,
    deals: Vec<String>,
}

fn payload<T: serde::de::DeserializeOwned>(item: &OutboxItem) -> Option<T> {
    serde_json::from_str(item.payload.as_deref()?).ok()
}

fn news(row: &DealRow) -> DealNews {
    let amount = [text(&row.fields, "amount"), text(&row.fields, "currency")].join(" ");
    let account = row.account.as_ref().map(|account| account.name.clone());
    DealNews {
        deal: row.id.to_string(),
        name: text(&row.fields, "name"),
        account: account.unwrap_or_else(|| text(&row.fields, "account_name")),
        amount: amount.trim().to_owned(),
        close_date: text(&row.fields, "close_date"),
        owner_name: row.owner.name.clone(),
        owner_email: row.owner.email.clone(),
    }
}

fn text(fields: &Values, name: &str) -> String {
    match fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// The left half of the row's message id: kind, id and tenant.
fn letter_id(item: &OutboxItem) -> String {
    let id = item.message_id.trim_start_matches('<');
    let id = id.split('@').next().unwrap_or(id);
    id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect()
}

/// A stable name for an address, fit for an id.
fn short_name(address: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, address.to_lowercase().as_bytes());
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
