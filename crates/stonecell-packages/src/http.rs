//! One request: an open body of `http`, `https` or `file`, from a byte offset on.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, RustlsConnector, TcpConnector,
};
use url::Url;

use crate::forward_proxy::ForwardProxyConnector;
use crate::proxy::{ProxyError, ProxySettings};

/// How connections are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Proxies.
    pub proxies: ProxySettings,
    /// How long to wait for a connection, and for each next piece of a body.
    pub patience: Duration,
    /// Failed attempts in a row, without one new byte, after which a transfer is given up.
    pub attempts: u32,
    /// Pause before the second attempt; it doubles with each further one, up to half a minute.
    pub first_pause: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            proxies: ProxySettings::default(),
            patience: Duration::from_secs(30),
            attempts: 5,
            first_pause: Duration::from_millis(500),
        }
    }
}

/// Makes requests. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: Agent,
    https: Agent,
}

/// The body of an answer.
pub(crate) struct Body {
    /// Offset in the file of the first byte that `reader` gives.
    pub(crate) start: u64,
    /// Bytes that `reader` gives, when the server said so.
    pub(crate) length: Option<u64>,
    /// The bytes.
    pub(crate) reader: Box<dyn Read + Send>,
}

/// Why a body cannot be had.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// The server does not have it.
    #[error("there is no such file")]
    NotFound,
    /// The server does not want to give it.
    #[error("the server answers with status {0}")]
    Status(u16),
    /// The range asked for lies beyond the end.
    #[error("the server has fewer bytes than are here already")]
    RangeBeyondEnd,
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Connection(Box<ureq::Error>),
    /// A local mirror cannot be read.
    #[error("the local mirror cannot be read: {0}")]
    Local(io::Error),
    /// The scheme is none of those that are known.
    #[error("only http, https and file mirrors are known")]
    Scheme,
}

impl RequestError {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Connection(error) => !matches!(
                **error,
                ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl | ureq::Error::Tls(_)
            ),
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
            _ => false,
        }
    }
}

impl Client {
    /// A client with these settings.
    pub(crate) fn new(settings: &ConnectionSettings) -> Result<Self, ProxyError> {
        Ok(Self { http: agent("http", settings)?, https: agent("https", settings)? })
    }

    /// Opens `url` from byte `offset` on. The server may ignore the offset: see [`Body::start`].
    pub(crate) fn open(&self, url: &Url, offset: u64) -> Result<Body, RequestError> {
        match url.scheme() {
            "http" => request(&self.http, url, offset),
            "https" => request(&self.https, url, offset),
            "file" => open_file(url, offset),
            _ => Err(RequestError::Scheme),
        }
    }

    /// Breaks every connection, so that no thread waits for a server any more.
    pub(crate) fn shut_down(&self) {
        self.http.clone().shutdown();
        self.https.clone().shutdown();
    }
}

fn agent(scheme: &str, settings: &ConnectionSettings) -> Result<Agent, ProxyError> {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .proxy(settings.proxies.of_scheme(scheme)?)
        .tls_config(tls)
        .http_status_as_error(false)
        .user_agent(concat!("stonecell/", env!("CARGO_PKG_VERSION")))
        .max_idle_connections(64)
        .max_idle_connections_per_host(64)
        .timeout_resolve(Some(settings.patience))
        .timeout_connect(Some(settings.patience))
        .timeout_recv_response(Some(settings.patience))
        .timeout_per_read(Some(settings.patience))
        .build();
    let connector = ForwardProxyConnector
        .chain(ConnectProxyConnector::default())
        .chain(TcpConnector::default())
        .chain(RustlsConnector::default());
    Ok(Agent::with_parts(config, connector, DefaultResolver::default()))
}

fn request(agent: &Agent, url: &Url, offset: u64) -> Result<Body, RequestError> {
    // A body must arrive as it is: an encoding of the transfer would shift offsets.
    let mut request = agent.get(url.as_str()).header(header::ACCEPT_ENCODING, "identity");
    if offset > 0 {
        request = request.header(header::RANGE, format!("bytes={offset}-"));
    }
    let response = request.call().map_err(|error| RequestError::Connection(Box::new(error)))?;
    let (start, length) = match response.status() {
        StatusCode::OK => (0, content_length(response.headers())),
        StatusCode::PARTIAL_CONTENT => {
            let start = range_start(response.headers()).ok_or(RequestError::Status(206))?;
            (start, content_length(response.headers()))
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(RequestError::NotFound),
        StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => {
            return Err(RequestError::RangeBeyondEnd);
        }
        status => return Err(RequestError::Status(status.as_u16())),
    };
    Ok(Body { start, length, reader: Box::new(response.into_body().into_reader()) })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// The offset in `Content-Range: bytes 100-199/200`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

fn open_file(url: &Url, offset: u64) -> Result<Body, RequestError> {
    let path: PathBuf = url.to_file_path().map_err(|()| RequestError::Scheme)?;
    let local = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => RequestError::NotFound,
        _ => RequestError::Local(source),
    };
    let mut file = fs::File::open(path).map_err(local)?;
    let size = file.metadata().map_err(local)?.len();
    let start = if offset <= size { offset } else { 0 };
    file.seek(SeekFrom::Start(start)).map_err(local)?;
    Ok(Body { start, length: Some(size - start), reader: Box::new(file) })
}
