//! One file into the cache: tried again when the connection breaks, verified while it streams.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use url::Url;

use crate::http::{Body, Client, ConnectionSettings, RequestError};
use crate::part::{Part, is_complete};
use crate::proxy::ProxyError;

/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Bytes read at a time.
pub(crate) const CHUNK: usize = 128 * 1024;

/// A file that is wanted: where it may be, what it must be, where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    /// Addresses, the preferred first; the next one is asked when one does not have the file.
    pub(crate) urls: Vec<Url>,
    /// Name for reports.
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
    /// SHA-256.
    pub(crate) sha256: [u8; 32],
    /// Final path.
    pub(crate) path: PathBuf,
}

/// Why a file cannot be had.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The mirror does not have it.
    #[error("{url} does not exist on the mirror; check the mirror's address")]
    NotFound {
        /// The address.
        url: String,
    },
    /// The mirror cannot be reached, or breaks off, again and again.
    #[error(
        "cannot get {url} after {attempts} attempts: {reason}; what has arrived is kept and the next \
         run goes on from there"
    )]
    Unreachable {
        /// The address.
        url: String,
        /// Attempts without a new byte.
        attempts: u32,
        /// What was wrong with the last one.
        reason: String,
    },
    /// The file is not the one that the index or the lock names.
    #[error(
        "{url} has SHA-256 {actual}, expected {expected}; the mirror's copy is damaged or changed"
    )]
    Checksum {
        /// The address.
        url: String,
        /// Expected (hex).
        expected: String,
        /// Found (hex).
        actual: String,
    },
    /// The file has another size.
    #[error(
        "{url} has {actual} bytes, expected {expected}; the mirror's copy is damaged or changed"
    )]
    Size {
        /// The address.
        url: String,
        /// Expected bytes.
        expected: u64,
        /// Bytes found.
        actual: u64,
    },
    /// A small file is larger than it may be.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// Largest size.
        limit: u64,
    },
    /// A file of the cache cannot be written or read.
    #[error("cannot {action} {path}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The proxy setting cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A thread ended without saying how.
    #[error("a download thread ended without a result; this is a defect of stonecell")]
    Thread,
    /// The caller asked to stop.
    #[error("interrupted; what has arrived is kept")]
    Cancelled,
}

/// Tells waiting and working threads to stop.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// From now on every transfer ends with [`TransferError::Cancelled`].
    pub(crate) fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits for `pause` at most.
    pub(crate) fn pause(&self, pause: Duration) -> Result<(), TransferError> {
        let stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopped, _) = self
            .changed
            .wait_timeout_while(stopped, pause, |stopped| !*stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if *stopped { Err(TransferError::Cancelled) } else { Ok(()) }
    }

    fn check(&self) -> Result<(), TransferError> {
        let stopped = *self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        if stopped { Err(TransferError::Cancelled) } else { Ok(()) }
    }
}

/// Receives what a transfer reports.
pub(crate) trait Watch {
    /// The file has so many bytes on the disk.
    fn bytes(&self, done: u64);
    /// An attempt failed and another one follows.
    fn retry(&self, reason: &str);
}

/// Makes transfers.
#[derive(Debug, Clone)]
pub(crate) struct Downloader {
    pub(crate) client: Client,
    pub(crate) settings: ConnectionSettings,
}

impl Downloader {
    pub(crate) fn new(settings: &ConnectionSettings) -> Result<Self, ProxyError> {
        Ok(Self { client: Client::new(settings)?, settings: settings.clone() })
    }

    /// Fetches a file whose size and checksum are not known beforehand into memory.
    pub(crate) fn small(
        &self,
        url: &Url,
        limit: u64,
        stop: &Stop,
        watch: &dyn Watch,
    ) -> Result<Vec<u8>, TransferError> {
        let mut attempts = Attempts::new(&self.settings);
        loop {
            let failure = match self.client.open(url, 0) {
                Ok(body) => {
                    let mut content = Vec::new();
                    match body.reader.take(limit + 1).read_to_end(&mut content) {
                        Ok(read) if read as u64 > limit => {
                            return Err(TransferError::TooLarge { url: url.to_string(), limit });
                        }
                        Ok(read) if body.length.is_none_or(|length| length == read as u64) => {
                            return Ok(content);
                        }
                        Ok(_) => "the connection ended early".to_owned(),
                        Err(error) => error.to_string(),
                    }
                }
                Err(RequestError::NotFound) => {
                    return Err(TransferError::NotFound { url: url.to_string() });
                }
                Err(error) if error.is_transient() => error.to_string(),
                Err(error) => return Err(attempts.give_up(url, error.to_string())),
            };
            attempts.again(url, failure, stop, watch)?;
        }
    }

    /// Fetches `object` to its path. With `trust_cached`, a file of the right size that is already
    /// there is taken as it is; otherwise it is read and verified, and fetched again when damaged.
    pub(crate) fn download(
        &self,
        object: &Object,
        trust_cached: bool,
        stop: &Stop,
        watch: &dyn Watch,
    ) -> Result<(), TransferError> {
        if is_complete(object, trust_cached)? {
            watch.bytes(object.size);
            return Ok(());
        }
        let Some(mut part) = Part::lock(object, stop)? else {
            watch.bytes(object.size);
            return Ok(());
        };
        let mut attempts = Attempts::new(&self.settings);
        let mut urls = object.urls.iter();
        let Some(mut url) = urls.next() else { return Ok(()) };
        let mut started_over = false;
        loop {
            stop.check()?;
            watch.bytes(part.have);
            let before = part.have;
            if part.have < object.size || object.size == 0 {
                match self.attempt(object, url, &mut part, stop, watch) {
                    Ok(()) => {}
                    Err(Attempt::Final(error)) => return Err(error),
                    Err(Attempt::Elsewhere(error)) => {
                        url = urls.next().ok_or(error)?;
                        continue;
                    }
                    Err(Attempt::Again(reason)) => {
                        // A shutdown by the caller looks like a broken connection here.
                        stop.check()?;
                        if part.have > before {
                            attempts = Attempts::new(&self.settings);
                        }
                        attempts.again(url, reason, stop, watch)?;
                        continue;
                    }
                }
            }
            let actual = part.digest();
            if actual == object.sha256 {
                return part.keep(&object.path);
            }
            // A part that another run left may be what is wrong; the second time it is the mirror.
            part.clear()?;
            if started_over || before == 0 {
                return Err(TransferError::Checksum {
                    url: url.to_string(),
                    expected: hex::encode(object.sha256),
                    actual: hex::encode(actual),
                });
            }
            started_over = true;
        }
    }

    /// One request, written to the part until its end.
    fn attempt(
        &self,
        object: &Object,
        url: &Url,
        part: &mut Part,
        stop: &Stop,
        watch: &dyn Watch,
    ) -> Result<(), Attempt> {
        let body = match self.client.open(url, part.have) {
            Ok(body) => body,
            Err(RequestError::NotFound) => {
                return Err(Attempt::Elsewhere(TransferError::NotFound { url: url.to_string() }));
            }
            Err(RequestError::RangeBeyondEnd) => {
                part.clear().map_err(Attempt::Final)?;
                return Err(Attempt::Again(RequestError::RangeBeyondEnd.to_string()));
            }
            Err(error) if error.is_transient() => return Err(Attempt::Again(error.to_string())),
            Err(error) => {
                let reason = error.to_string();
                return Err(Attempt::Final(TransferError::Unreachable {
                    url: url.to_string(),
                    attempts: 1,
                    reason,
                }));
            }
        };
        let Body { start, length, mut reader } = body;
        if start != part.have {
            // The server ignores ranges: what it sends is the file from its beginning.
            part.clear().map_err(Attempt::Final)?;
            if start != 0 {
                return Err(Attempt::Again("the server sends another range".to_owned()));
            }
        }
        let size_error = |actual| {
            Attempt::Final(TransferError::Size {
                url: url.to_string(),
                expected: object.size,
                actual,
            })
        };
        if let Some(length) = length {
            let actual = part.have.saturating_add(length);
            if actual != object.size {
                part.clear().map_err(Attempt::Final)?;
                return Err(size_error(actual));
            }
        }
        let mut buffer = vec![0; CHUNK];
        while part.have <= object.size {
            stop.check().map_err(Attempt::Final)?;
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Attempt::Again(error.to_string())),
            };
            part.append(buffer.get(..read).unwrap_or_default()).map_err(Attempt::Final)?;
            watch.bytes(part.have.min(object.size));
        }
        if part.have > object.size {
            let actual = part.have;
            part.clear().map_err(Attempt::Final)?;
            return Err(size_error(actual));
        }
        if part.have < object.size {
            return Err(Attempt::Again("the connection ended early".to_owned()));
        }
        Ok(())
    }
}

/// How an attempt failed.
enum Attempt {
    /// Nothing helps.
    Final(TransferError),
    /// Another address may have it.
    Elsewhere(TransferError),
    /// The same request may succeed later.
    Again(String),
}

/// Counts attempts and waits between them.
struct Attempts {
    made: u32,
    allowed: u32,
    pause: Duration,
}

impl Attempts {
    fn new(settings: &ConnectionSettings) -> Self {
        Self { made: 0, allowed: settings.attempts, pause: settings.first_pause }
    }

    fn again(
        &mut self,
        url: &Url,
        reason: String,
        stop: &Stop,
        watch: &dyn Watch,
    ) -> Result<(), TransferError> {
        if self.made + 1 >= self.allowed {
            return Err(self.give_up(url, reason));
        }
        self.made += 1;
        watch.retry(&reason);
        stop.pause(self.pause)?;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }

    fn give_up(&self, url: &Url, reason: String) -> TransferError {
        TransferError::Unreachable { url: url.to_string(), attempts: self.made + 1, reason }
    }
}

pub(crate) fn disk(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TransferError {
    let path = path.to_owned();
    move |source| TransferError::Disk { action, path, source }
}
