//! Mails as text, and the two ways they leave: through an SMTP server, or into a
//! folder as `.eml` files. What is due and what became of it is `notify`'s.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

/// How long a mail server may take for one command.
pub const SMTP_TIMEOUT: Duration = Duration::from_secs(20);
/// Characters of a value as it stands in a mail; the rest is cut.
pub const MAIL_VALUE_CHARS_MAX: usize = 255;
/// Deals listed in one digest; the rest is counted.
pub const DIGEST_DEALS_MAX: usize = 500;

/// A mail that can be sent any number of times and is the same one each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Stable name of the mail: letters, digits and hyphens. Names the file, and
    /// is the left half of the Message-ID.
    pub id: String,
    pub to: String,
    pub to_name: String,
    pub subject: String,
    pub body: String,
    /// Microseconds since 1970-01-01T00:00:00Z: when it was written, not sent.
    pub written_at: i64,
}

/// What a mail says of one deal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DealNews {
    pub deal: String,
    pub name: String,
    pub account: String,
    /// With its currency, where that is known: `15000.00 EUR`.
    pub amount: String,
    pub close_date: String,
    pub owner_name: String,
    pub owner_email: String,
}

/// Where and as whom a tenant's mails go out.
#[derive(Debug, Clone)]
pub struct Office {
    from: Mailbox,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Smtp(Box<AsyncSmtpTransport<Tokio1Executor>>),
    Folder(PathBuf),
}

/// What an [`Office`] is made of. `folder` wins where both are named.
#[derive(Debug, Clone, Default)]
pub struct OfficeOptions {
    /// `Portal <portal@acme.example>`
    pub from: Option<String>,
    /// `smtp://host:port`, `smtps://host`, or `smtp+starttls://host`.
    pub smtp: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub folder: Option<PathBuf>,
}

/// Why a mail could not go out.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The settings must change first.
    #[error("{message}")]
    Settings { message: String },
    /// This recipient or mail is refused for good.
    #[error("the mail server refused it: {message}")]
    Refused { message: String },
    /// It may work later.
    #[error("{message}")]
    Later { message: String },
}

impl MailError {
    fn settings(message: impl Into<String>) -> Self {
        Self::Settings { message: message.into() }
    }

    /// False where trying again cannot help.
    pub fn may_pass(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

impl Office {
    /// Returns `None` where the tenant set up no mail at all. Refuses an address or
    /// a server that cannot be, and a password over an open connection.
    pub fn open(options: &OfficeOptions) -> Result<Option<Self>, MailError> {
        let way = match (&options.folder, &options.smtp) {
            (Some(folder), _) => Way::Folder(folder.clone()),
            (None, Some(url)) => Way::Smtp(Box::new(smtp(url, options)?)),
            (None, None) => return Ok(None),
        };
        let from = options.from.as_deref().unwrap_or("dealsync <dealsync@localhost>");
        let from = from.parse().map_err(|error| {
            MailError::settings(format!("from = {from:?} in [mail] is no address: {error}"))
        })?;
        Ok(Some(Self { from, way }))
    }

    /// Sends one mail. Sending it again sends the same mail: same Message-ID, and
    /// in a folder the same file.
    pub async fn send(&self, letter: &Letter) -> Result<(), MailError> {
        let message = self.message(letter)?;
        match &self.way {
            Way::Smtp(transport) => {
                transport.send(message).await.map(drop).map_err(|error| smtp_error(&error))
            }
            Way::Folder(folder) => {
                let (folder, name) = (folder.clone(), format!("{}.eml", letter.id));
                let bytes = message.formatted();
                let written = tokio::task::spawn_blocking(move || write_whole(&folder, &name, &bytes)).await;
                match written {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => Err(MailError::Later { message: format!("the mail folder: {error}") }),
                    Err(_) => Err(MailError::Later { message: "writing the mail was cut off".to_owned() }),
                }
            }
        }
    }

    /// Headers are lettre's typed ones: whatever a name or a deal's title holds, it
    /// cannot begin a header of its own.
    fn message(&self, letter: &Letter) -> Result<Message, MailError> {
        let refused = |message: String| MailError::Refused { message };
        let address: Address =
            letter.to.trim().parse().map_err(|error| refused(format!("{:?}: {error}", letter.to)))?;
        let name = one_line(&letter.to_name);
        let to = Mailbox::new(Some(name).filter(|name| !name.is_empty()), address);
        let id = format!("<{}@{}>", letter.id, self.from.email.domain());
        let written = Duration::from_micros(u64::try_from(letter.written_at).unwrap_or_default());
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(one_line(&letter.subject))
            .message_id(Some(id))
            .date(SystemTime::UNIX_EPOCH + written)
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .singlepart(SinglePart::plain(letter.body.clone()))
            .map_err(|error| refused(error.to_string()))
    }
}

/// The mail to a deal's owner (S33).
pub fn to_owner(id: &str, news: &DealNews, portal: &Portal, written_at: i64) -> Letter {
    let mut body = greeting(&news.owner_name);
    body.push_str("a deal was imported from Salesforce, and you are its owner.\n\n");
    push_deal(&mut body, news, portal);
    sign(&mut body, portal);
    Letter {
        id: id.to_owned(),
        to: news.owner_email.clone(),
        to_name: news.owner_name.clone(),
        subject: format!("Deal imported: {}", news.name),
        body,
        written_at,
    }
}

/// The mail to somebody the settings name besides the owner.
pub fn to_other(id: &str, recipient: &str, news: &DealNews, portal: &Portal, written_at: i64) -> Letter {
    let mut body = greeting("");
    let owner = one_line(&format!("{} ({})", news.owner_name, news.owner_email));
    body.push_str(&format!("a deal of {owner} was imported from Salesforce.\n\n"));
    push_deal(&mut body, news, portal);
    sign(&mut body, portal);
    Letter {
        id: id.to_owned(),
        to: recipient.to_owned(),
        to_name: String::new(),
        subject: format!("Deal imported: {}", news.name),
        body,
        written_at,
    }
}

/// One mail about many deals of one owner, for a backfill (S2). `total` counts
/// also those that `news` leaves out.
pub fn digest(
    id: &str,
    owner: (&str, &str),
    news: &[DealNews],
    total: u64,
    portal: &Portal,
    written_at: i64,
) -> Letter {
    let (to, to_name) = owner;
    let count = match total {
        1 => "1 deal was".to_owned(),
        n => format!("{n} deals were"),
    };
    let mut body = greeting(to_name);
    body.push_str(&format!("{count} imported from Salesforce. You are the owner.\n\n"));
    let shown = &news[..news.len().min(DIGEST_DEALS_MAX)];
    for one in shown {
        push_deal(&mut body, one, portal);
        body.push('\n');
    }
    if let Some(more) = total.checked_sub(shown.len() as u64).filter(|more| *more > 0) {
        body.push_str(&format!("  and {more} more; the portal lists them all.\n\n"));
    }
    sign(&mut body, portal);
    Letter {
        id: id.to_owned(),
        to: to.to_owned(),
        to_name: to_name.to_owned(),
        subject: format!("{count} imported from Salesforce"),
        body,
        written_at,
    }
}

/// Who writes, and where the deals can be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Portal {
    pub name: String,
    pub url: Option<String>,
}

fn greeting(name: &str) -> String {
    match one_line(name) {
        name if name.is_empty() => "Hello,\n\n".to_owned(),
        name => format!("Hello {name},\n\n"),
    }
}

fn push_deal(body: &mut String, news: &DealNews, portal: &Portal) {
    let rows = [
        ("Deal", &news.name),
        ("Account", &news.account),
        ("Amount", &news.amount),
        ("Close date", &news.close_date),
    ];
    for (label, value) in rows {
        if !value.trim().is_empty() {
            body.push_str(&format!("  {label:<11} {}\n", one_line(value)));
        }
    }
    if let Some(url) = &portal.url {
        body.push_str(&format!("  {:<11} {}/deals/{}\n", "Open it", url.trim_end_matches('/'), news.deal));
    }
}

fn sign(body: &mut String, portal: &Portal) {
    body.push_str(&format!("\n-- \n{}\n", one_line(&portal.name)));
}

/// A value as it may stand in a header or a line: no line breaks or other control
/// characters, and bounded.
fn one_line(text: &str) -> String {
    let plain: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match plain.char_indices().nth(MAIL_VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &plain[..at]),
        None => plain,
    }
}

fn smtp(url: &str, options: &OfficeOptions) -> Result<AsyncSmtpTransport<Tokio1Executor>, MailError> {
    let place = SmtpPlace::parse(url)?;
    let with_password = options.username.is_some();
    if place.scheme == Scheme::Plain && with_password && !is_loopback(&place.host) {
        return Err(MailError::settings(format!(
            "{url} would send the password in the clear; use smtps:// or smtp+starttls://"
        )));
    }
    let tls = || {
        TlsParameters::new(place.host.clone()).map_err(|error| MailError::Settings {
            message: format!("{:?} cannot be checked by certificate: {error}", place.host),
        })
    };
    let tls = match place.scheme {
        Scheme::Plain => Tls::None,
        Scheme::Tls => Tls::Wrapper(tls()?),
        Scheme::StartTls => Tls::Required(tls()?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&place.host)
        .port(place.port)
        .tls(tls)
        .hello_name(ClientId::Domain("dealsync.localdomain".to_owned()))
        .timeout(Some(SMTP_TIMEOUT));
    if let Some(username) = &options.username {
        let password = options.password.clone().unwrap_or_default();
        builder = builder.credentials(Credentials::new(username.clone(), password));
    }
    Ok(builder.build())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Plain,
    Tls,
    StartTls,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct SmtpPlace {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl SmtpPlace {
    fn parse(url: &str) -> Result<Self, MailError> {
        let wrong = || {
            MailError::settings(format!(
                "{url:?} is no mail server; write smtp://host:port, smtps://host or smtp+starttls://host"
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (scheme, port) = match scheme {
            "smtp" => (Scheme::Plain, 25),
            "smtps" => (Scheme::Tls, 465),
            "smtp+starttls" => (Scheme::StartTls, 587),
            _ => return Err(wrong()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['@', '/', '?', '#', ' ']) {
            return Err(wrong());
        }
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, port),
            Some((host, port)) => (host, port.trim_start_matches(':').parse().map_err(|_| wrong())?),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
                None => (rest, port),
            },
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { scheme, host: host.to_owned(), port })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A refusal of the mail itself is final; of our login, or of the moment, is not:
/// somebody may set it right while the mail waits.
fn smtp_error(error: &lettre::transport::smtp::Error) -> MailError {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    let code = error.status().map(u16::from);
    match code {
        Some(550..=559) => MailError::Refused { message: one_line(&message) },
        _ => MailError::Later { message: one_line(&message) },
    }
}

/// Writes a file so that nobody ever sees half of it.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::Builder::new().prefix(".part-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.persist(folder.join(name)).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
#[path = "mail_tests.rs"]
mod tests;
