//! Many files at once: a fixed number of threads, one queue, reports in the caller's thread.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use stonecell_definition::lock::{Lock, LockedPackage};
use thiserror::Error;
use url::Url;

use crate::cache::Cache;
use crate::download::{Downloader, Object, Stop, TransferError, Watch};
use crate::http::ConnectionSettings;
use crate::index::is_plain_path;
use crate::mirrors::{Sources, join};
use crate::progress::{Event, Progress};

/// How often the caller's wish to stop is looked at.
pub(crate) const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// New bytes of a file that are worth a report.
const REPORT_EVERY: u64 = 256 * 1024;

/// How packages are fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOptions {
    /// Proxies, patience, attempts.
    pub connection: ConnectionSettings,
    /// Files fetched at once.
    pub connections: usize,
    /// Take a cached package of the right size without reading it. Meant for a caller that hashes the
    /// packages itself while it reads them.
    pub trust_cached: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { connection: ConnectionSettings::default(), connections: 8, trust_cached: false }
    }
}

/// Why the packages of a lock cannot be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The lock names a suite that has no mirror.
    #[error(
        "package {package} of the lock comes from suite `{suite}`, which the definition does not \
         have; lock again"
    )]
    Suite {
        /// Name of the package.
        package: String,
        /// Name of the suite.
        suite: String,
    },
    /// The lock's values are not usable.
    #[error("package {package} of the lock has an unusable {field}; lock again")]
    Lock {
        /// Name of the package.
        package: String,
        /// The field that is wrong.
        field: &'static str,
    },
    /// The mirror does not have the package any more.
    #[error(
        "package {package} is not on the mirror any more ({url}); lock again, or use a dated snapshot \
         mirror"
    )]
    Gone {
        /// File name of the package.
        package: String,
        /// Where it was looked for.
        url: String,
    },
    /// A transfer failed.
    #[error("cannot fetch package {package}")]
    Transfer {
        /// File name of the package.
        package: String,
        /// Why.
        source: TransferError,
    },
}

/// Brings every package and tool of `lock` into the cache and returns their paths, first the packages
/// and then the tools, each in the order of the lock.
///
/// Every path holds exactly the bytes that the lock names (see [`FetchOptions::trust_cached`]). When
/// `cancel` becomes true, the call returns within a fraction of a second. What has arrived stays in
/// the cache either way.
///
/// # Errors
///
/// The first package that cannot be had.
pub fn fetch(
    lock: &Lock,
    sources: &Sources,
    cache: &Cache,
    options: &FetchOptions,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Vec<PathBuf>, FetchError> {
    let bases: BTreeMap<&str, &Url> =
        sources.suites.iter().map(|suite| (suite.name.as_str(), &suite.base_url)).collect();
    let objects: Vec<Object> = lock
        .package
        .iter()
        .chain(&lock.tool)
        .map(|package| object(package, &bases, cache))
        .collect::<Result<_, _>>()?;
    let paths = objects.iter().map(|object| object.path.clone()).collect();
    progress.report(Event::Phase("fetching packages"));
    download_all(objects, options, progress, cancel).map_err(|(package, source)| match source {
        TransferError::NotFound { url } => FetchError::Gone { package, url },
        source => FetchError::Transfer { package, source },
    })?;
    Ok(paths)
}

fn object(
    package: &LockedPackage,
    bases: &BTreeMap<&str, &Url>,
    cache: &Cache,
) -> Result<Object, FetchError> {
    let unusable = |field| FetchError::Lock { package: package.name.clone(), field };
    let base = bases.get(package.suite.as_str()).ok_or_else(|| FetchError::Suite {
        package: package.name.clone(),
        suite: package.suite.clone(),
    })?;
    let mut sha256 = [0; 32];
    hex::decode_to_slice(&package.sha256, &mut sha256).map_err(|_| unusable("sha256"))?;
    if !is_plain_path(&package.filename) {
        return Err(unusable("filename"));
    }
    let url = join(base, &package.filename).ok_or_else(|| unusable("filename"))?;
    let name = package.filename.rsplit('/').next().unwrap_or_default().to_owned();
    let path = cache.deb(&hex::encode(sha256));
    Ok(Object { urls: vec![url], name, size: package.size, sha256, path })
}

/// What a worker tells the caller's thread.
enum Message {
    Bytes { object: usize, done: u64 },
    Retry { object: usize, reason: String },
    Finished { object: usize, result: Result<(), TransferError> },
}

/// Downloads every object; the error comes with the name of the object.
pub(crate) fn download_all(
    objects: Vec<Object>,
    options: &FetchOptions,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<(), (String, TransferError)> {
    if objects.is_empty() {
        return Ok(());
    }
    let downloader = Downloader::new(&options.connection)
        .map_err(|error| (String::from("(none)"), TransferError::from(error)))?;
    let objects = Arc::new(objects);
    let stop = Arc::new(Stop::default());
    let queue: Arc<Mutex<VecDeque<usize>>> = Arc::new(Mutex::new((0..objects.len()).collect()));
    let (sender, receiver) = mpsc::channel();
    let threads = options.connections.clamp(1, objects.len());
    let trust_cached = options.trust_cached;
    // The threads own what they use and are not waited for: a call that is cancelled returns at once,
    // and they end at their next look at `stop`.
    for _ in 0..threads {
        let (downloader, objects) = (downloader.clone(), Arc::clone(&objects));
        let (stop, queue, sender) = (Arc::clone(&stop), Arc::clone(&queue), sender.clone());
        thread::spawn(move || work(&downloader, &objects, &queue, trust_cached, &stop, &sender));
    }
    drop(sender);
    let result = follow(&objects, &receiver, progress, cancel);
    if result.is_err() {
        stop.stop();
        downloader.client.shut_down();
    }
    result
}

fn work(
    downloader: &Downloader,
    objects: &[Object],
    queue: &Mutex<VecDeque<usize>>,
    trust_cached: bool,
    stop: &Stop,
    sender: &Sender<Message>,
) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((at, object)) = next.and_then(|at| Some((at, objects.get(at)?))) else { return };
        let watch = Reporter { object: at, reported: Mutex::new(0), size: object.size, sender };
        let result = downloader.download(object, trust_cached, stop, &watch);
        let failed = result.is_err();
        // Nobody listens any more when the caller was cancelled; then the work ends too.
        if sender.send(Message::Finished { object: at, result }).is_err() || failed {
            return;
        }
    }
}

/// Takes the workers' messages until all is done, something fails or the caller wants to stop.
fn follow(
    objects: &[Object],
    receiver: &mpsc::Receiver<Message>,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<(), (String, TransferError)> {
    let total = objects.iter().map(|object| object.size).sum();
    let mut done = vec![0; objects.len()];
    let mut files_done = 0;
    let name = |at: usize| objects.get(at).map_or("", |object| object.name.as_str());
    while files_done < objects.len() {
        if cancel.load(Ordering::Relaxed) {
            return Err((String::from("(any)"), TransferError::Cancelled));
        }
        let at = match receiver.recv_timeout(CANCEL_INTERVAL) {
            Ok(Message::Bytes { object, done: bytes }) => {
                if let Some(slot) = done.get_mut(object) {
                    *slot = bytes;
                }
                object
            }
            Ok(Message::Retry { object, reason }) => {
                progress.report(Event::Retry { item: name(object), reason: &reason });
                continue;
            }
            Ok(Message::Finished { object, result }) => {
                result.map_err(|error| (name(object).to_owned(), error))?;
                files_done += 1;
                object
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => {
                return Err((String::from("(any)"), TransferError::Thread));
            }
        };
        progress.report(Event::Bytes {
            item: name(at),
            done: done.iter().sum(),
            total,
            files_done,
            files_total: objects.len(),
        });
    }
    Ok(())
}

/// Passes on the bytes of one file, not too often.
struct Reporter<'a> {
    object: usize,
    reported: Mutex<u64>,
    size: u64,
    sender: &'a Sender<Message>,
}

impl Watch for Reporter<'_> {
    fn bytes(&self, done: u64) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if done == self.size || done < *reported || done - *reported >= REPORT_EVERY {
            *reported = done;
            // A caller that was cancelled does not listen; the transfer sees `stop` instead.
            let _ = self.sender.send(Message::Bytes { object: self.object, done });
        }
    }

    fn retry(&self, reason: &str) {
        let reason = reason.to_owned();
        let _ = self.sender.send(Message::Retry { object: self.object, reason });
    }
}
