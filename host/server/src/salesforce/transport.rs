//! One HTTP exchange, and nothing about what it means. The seam at which a test
//! hands in an in-process server; retries, sessions and errors of Salesforce are
//! the client's work.

use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::time::Duration;

use reqwest::header::HeaderMap;
pub use reqwest::{Method, Url};

/// The largest answer taken, after inflating. A page has at most 2,000 rows.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Salesforce itself gives a query 120 seconds before it ends it.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(150);
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(600);

/// What is sent. Headers that hold secrets are marked sensitive, so that printing
/// the request does not show them.
pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query can hold names and ids; the body can hold secrets.
        write!(f, "Request({} {})", self.method, self.url.path())
    }
}

/// What came back, whole.
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Response {
    /// A header's value where it is readable text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing was sent, so repeating is harmless.
    #[error("cannot connect: {0}")]
    NotConnected(String),
    /// The far side may have done what was asked.
    #[error("the connection broke before the answer was complete: {0}")]
    Broken(String),
    /// The far side may have done what was asked.
    #[error("no answer in time")]
    TimedOut,
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("plain http is for this machine only; use https for {host}")]
    PlainHttp { host: String },
}

impl TransportError {
    /// True where the request cannot have had an effect.
    pub fn unsent(&self) -> bool {
        matches!(self, Self::NotConnected(_) | Self::PlainHttp { .. })
    }
}

/// The future of one exchange.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send + 'a>>;

/// Sends a request once. Follows no redirect: a redirect would carry the access
/// token to another host.
pub trait Transport: Send + Sync + fmt::Debug {
    fn send(&self, request: Request) -> Exchange<'_>;
}

/// True where `url` is https, or plain http to this very machine.
pub fn is_safe_address(url: &Url) -> bool {
    match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare.ends_with(".localhost")
        || bare.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || bare.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

fn refuse_plain_http(url: &Url) -> Result<(), TransportError> {
    if is_safe_address(url) {
        return Ok(());
    }
    Err(TransportError::PlainHttp { host: url.host_str().unwrap_or("this address").to_owned() })
}

/// The network: TLS by rustls, gzip, connections kept alive.
#[derive(Debug, Clone)]
pub struct HttpTransport {
    client: reqwest::Client,
    answer_bytes_max: usize,
}

impl HttpTransport {
    /// Refuses where the machine's TLS roots cannot be used.
    pub fn new() -> Result<Self, TransportError> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .timeout(EXCHANGE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .gzip(true)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| TransportError::NotConnected(told(error)))?;
        Ok(Self { client, answer_bytes_max: ANSWER_BYTES_MAX })
    }

    /// The same with another limit for one answer.
    pub fn answer_bytes_max(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        refuse_plain_http(&request.url)?;
        let mut builder = self.client.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let mut answer = builder.send().await.map_err(sort)?;
        let status = answer.status().as_u16();
        let headers = std::mem::take(answer.headers_mut());
        let expected = answer.content_length().unwrap_or(0).min(self.answer_bytes_max as u64);
        let mut body = Vec::with_capacity(expected as usize);
        while let Some(chunk) = answer.chunk().await.map_err(sort)? {
            if body.len() + chunk.len() > self.answer_bytes_max {
                return Err(TransportError::TooLarge { limit: self.answer_bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.exchange(request))
    }
}

fn sort(error: reqwest::Error) -> TransportError {
    if error.is_connect() {
        let host = error.url().and_then(Url::host_str).unwrap_or("the host").to_owned();
        TransportError::NotConnected(format!("{host}: {}", told(error)))
    } else if error.is_timeout() {
        TransportError::TimedOut
    } else {
        TransportError::Broken(told(error))
    }
}

/// The chain of causes without the address, whose query can hold names and ids.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// A server in this process, called without a network.
#[derive(Debug, Clone)]
pub struct InProcess {
    router: axum::Router,
    answer_bytes_max: usize,
}

impl InProcess {
    pub fn new(router: axum::Router) -> Self {
        Self { router, answer_bytes_max: ANSWER_BYTES_MAX }
    }

    /// The same with another limit for one answer.
    pub fn answer_bytes_max(mut self, bytes: usize) -> Self {
        self.answer_bytes_max = bytes;
        self
    }

    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        use axum::handler::Handler as _;

        refuse_plain_http(&request.url)?;
        let target = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let mut call = axum::extract::Request::builder().method(request.method).uri(target);
        if let Some(headers) = call.headers_mut() {
            *headers = request.headers;
            if let Some(host) = request.url.host_str().and_then(|host| host.parse().ok()) {
                headers.insert("host", host);
            }
        }
        let call = call
            .body(axum::body::Body::from(request.body.unwrap_or_default()))
            .map_err(|error| TransportError::NotConnected(error.to_string()))?;
        let answer = axum::routing::any_service(self.router.clone()).call(call, ()).await;
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, self.answer_bytes_max).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            if cause.contains("length limit") {
                TransportError::TooLarge { limit: self.answer_bytes_max }
            } else {
                TransportError::Broken(error.to_string())
            }
        })?;
        Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body: body.into() })
    }
}

impl Transport for InProcess {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.exchange(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for (address, safe) in [
            ("https://acme.my.salesforce.com", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost", true),
            ("http://acme.localhost:1", true),
            ("http://acme.my.salesforce.com", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost.evil.example", false),
            ("ftp://localhost", false),
        ] {
            let url = Url::parse(address).expect("a URL");
            assert_eq!(is_safe_address(&url), safe, "{address}");
        }
    }

    #[tokio::test]
    async fn the_network_refuses_plain_http_before_it_connects() {
        let transport = HttpTransport::new().expect("TLS roots");
        let url = Url::parse("http://acme.example/services/data").expect("a URL");
        let request = Request { method: Method::GET, url, headers: HeaderMap::new(), body: None };
        let error = transport.send(request).await.expect_err("plain http");
        assert_eq!(error, TransportError::PlainHttp { host: "acme.example".to_owned() });
    }
}
