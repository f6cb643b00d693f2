//! The signed indexes of every suite, downloaded, verified and unpacked.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};
use thiserror::Error;
use url::Url;

use crate::cache::Cache;
use crate::decompress::{Compression, DecompressError, decompress};
use crate::download::{Object, TransferError};
use crate::fetch::{FetchOptions, download_all};
use crate::mirrors::{Sources, SuiteSource, join, snapshot_time};
use crate::progress::{Event, Progress};
use crate::release::{self, Release, ReleaseError};
use crate::signature::{self, SignatureError};
use crate::small::fetch_small;

/// Largest `InRelease` that is read, in bytes. Debian's has 150 kB.
const LARGEST_RELEASE: u64 = 16 << 20;

/// Largest unpacked index, in bytes. Debian's largest has 60 MB.
const LARGEST_INDEX: u64 = 1 << 30;

/// Verified indexes.
#[derive(Debug)]
pub struct Archive {
    pub(crate) suites: Vec<Suite>,
    pub(crate) architecture: String,
}

/// One suite with the text of its indexes.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) release: Release,
    /// SHA-256 (hex) of the InRelease file as downloaded.
    pub(crate) sha256: String,
    pub(crate) signed_by: Vec<String>,
    /// Unpacked `Packages` files.
    pub(crate) indexes: Vec<String>,
}

/// Why the archive cannot be read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// A file of the suite cannot be had.
    #[error("cannot read the indexes of suite `{suite}`")]
    Transfer {
        /// Name of the suite, or of the file when several are fetched at once.
        suite: String,
        /// Why.
        source: TransferError,
    },
    /// The signature is not accepted.
    #[error("the InRelease file of suite `{suite}` is not accepted")]
    Signature {
        /// Name of the suite.
        suite: String,
        /// Why.
        source: SignatureError,
    },
    /// The signed text is not acceptable.
    #[error("the InRelease file of suite `{suite}` is not accepted")]
    Release {
        /// Name of the suite.
        suite: String,
        /// Why.
        source: ReleaseError,
    },
    /// The suite has no index for a component and architecture.
    #[error(
        "suite `{suite}` has no packages of component `{component}` for {architecture}; it has the \
         architectures {architectures}"
    )]
    NoIndex {
        /// Name of the suite.
        suite: String,
        /// The component asked for.
        component: String,
        /// The architecture asked for.
        architecture: String,
        /// The architectures that there are.
        architectures: String,
    },
    /// An index is larger than any that is believed.
    #[error("index {path} of suite `{suite}` has {size} bytes; at most {LARGEST_INDEX} are read")]
    IndexTooLarge {
        /// Name of the suite.
        suite: String,
        /// Path below the suite's directory.
        path: String,
        /// Bytes.
        size: u64,
    },
    /// An index does not unpack to what was signed.
    #[error("index {path} of suite `{suite}` cannot be used")]
    Unpack {
        /// Name of the suite.
        suite: String,
        /// Path below the suite's directory.
        path: String,
        /// Why.
        source: DecompressError,
    },
    /// An index in the cache cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An index is not text.
    #[error("index {path} of suite `{suite}` is not UTF-8")]
    NotUtf8 {
        /// Name of the suite.
        suite: String,
        /// Path below the suite's directory.
        path: String,
    },
}

/// An index that a suite needs.
struct Wanted {
    /// Position of the suite.
    suite: usize,
    /// Path below the suite's directory, without the end for the compression.
    path: String,
    compression: Compression,
    /// The compressed file.
    object: Object,
    /// Unpacked size and checksum.
    unpacked: release::ReleaseFile,
}

impl Archive {
    /// Downloads what the cache lacks and verifies everything: the signature of each suite with its
    /// keyring, its name, its time against `now` (seconds since 1970; for a dated snapshot mirror
    /// against its date), and the size and SHA-256 of each index, packed and unpacked.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be had or is not accepted.
    pub fn open(
        sources: &Sources,
        cache: &Cache,
        options: &FetchOptions,
        now: i64,
        progress: &dyn Progress,
        cancel: &AtomicBool,
    ) -> Result<Self, ArchiveError> {
        progress.report(Event::Phase("reading the signed indexes"));
        let mut suites = Vec::new();
        let mut wanted = Vec::new();
        let messages = messages(sources, options, progress, cancel)?;
        for (source, message) in sources.suites.iter().zip(messages) {
            let suite = verify(source, &message, now)?;
            let missing = |component: &str| ArchiveError::NoIndex {
                suite: source.name.clone(),
                component: component.to_owned(),
                architecture: sources.architecture.clone(),
                architectures: suite.release.architectures.join(", "),
            };
            for component in &source.components {
                let of = |architecture: &str| {
                    let path = format!("{component}/binary-{architecture}/Packages");
                    want(source, suites.len(), &suite.release, path, cache)
                };
                wanted.push(of(&sources.architecture)?.ok_or_else(|| missing(component))?);
                if suite.release.separate_all {
                    wanted.extend(of("all")?);
                }
            }
            suites.push(suite);
        }
        let objects = wanted.iter().map(|wanted| wanted.object.clone()).collect();
        // An index is small beside what is done with it, so a damaged one is always found.
        let options = FetchOptions { trust_cached: false, ..options.clone() };
        download_all(objects, &options, progress, cancel)
            .map_err(|(suite, source)| ArchiveError::Transfer { suite, source })?;
        for wanted in &wanted {
            if let Some(suite) = suites.get_mut(wanted.suite) {
                let text = unpack(wanted, &suite.name)?;
                suite.indexes.push(text);
            }
        }
        Ok(Self { suites, architecture: sources.architecture.clone() })
    }
}

/// Fetches the InRelease file of every suite.
fn messages(
    sources: &Sources,
    options: &FetchOptions,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Vec<Vec<u8>>, ArchiveError> {
    let items: Vec<(String, Url)> = sources
        .suites
        .iter()
        .map(|source| {
            let path = format!("dists/{}/InRelease", source.dist_path);
            // A URL that has no path cannot be extended; asking for it as it is names it in the error.
            let url = join(&source.base_url, &path).unwrap_or_else(|| source.base_url.clone());
            (source.name.clone(), url)
        })
        .collect();
    fetch_small(&items, LARGEST_RELEASE, &options.connection, progress, cancel)
        .map_err(|(suite, source)| ArchiveError::Transfer { suite, source })
}

/// Verifies the InRelease file of a suite.
fn verify(source: &SuiteSource, message: &[u8], now: i64) -> Result<Suite, ArchiveError> {
    let name = source.name.clone();
    let verified = signature::verify(message, &source.keyring)
        .map_err(|source| ArchiveError::Signature { suite: name.clone(), source })?;
    let at = snapshot_time(&source.base_url).unwrap_or(now);
    let release = release::parse(&verified.text)
        .and_then(|release| release::check(&release, &name, at).map(|()| release))
        .map_err(|source| ArchiveError::Release { suite: name.clone(), source })?;
    Ok(Suite {
        name,
        release,
        sha256: hex::encode(Sha256::digest(message)),
        signed_by: verified.signed_by,
        indexes: Vec::new(),
    })
}

/// The smallest form of an index that the suite lists, or `None`.
fn want(
    source: &SuiteSource,
    suite: usize,
    release: &Release,
    path: String,
    cache: &Cache,
) -> Result<Option<Wanted>, ArchiveError> {
    let Some(unpacked) = release.files.get(&path).copied() else { return Ok(None) };
    if unpacked.size > LARGEST_INDEX {
        let size = unpacked.size;
        return Err(ArchiveError::IndexTooLarge { suite: source.name.clone(), path, size });
    }
    let packed = Compression::ALL.into_iter().find_map(|compression| {
        let file = release.files.get(&format!("{path}{}", compression.suffix()))?;
        Some((compression, *file))
    });
    let Some((compression, file)) = packed else { return Ok(None) };
    let sha256 = hex::encode(file.sha256);
    let dist = format!("dists/{}", source.dist_path);
    let directory = path.strip_suffix("/Packages").unwrap_or_default();
    // The name by checksum stays valid while the mirror is being updated; not every mirror has it.
    let by_hash = format!("{dist}/{directory}/by-hash/SHA256/{sha256}");
    let by_name = format!("{dist}/{path}{}", compression.suffix());
    let urls = [Some(by_hash).filter(|_| release.by_hash), Some(by_name)]
        .into_iter()
        .flatten()
        .filter_map(|path| join(&source.base_url, &path))
        .collect();
    let object = Object {
        urls,
        name: format!("{} {path}", source.name),
        size: file.size,
        sha256: file.sha256,
        path: cache.index(&sha256),
    };
    Ok(Some(Wanted { suite, path, compression, object, unpacked }))
}

fn unpack(wanted: &Wanted, suite: &str) -> Result<String, ArchiveError> {
    let path = &wanted.object.path;
    let file =
        File::open(path).map_err(|source| ArchiveError::Read { path: path.clone(), source })?;
    let expected = wanted.unpacked;
    let content = decompress(file, wanted.compression, expected.size, &expected.sha256);
    let content = content.map_err(|source| ArchiveError::Unpack {
        suite: suite.to_owned(),
        path: wanted.path.clone(),
        source,
    })?;
    String::from_utf8(content)
        .map_err(|_| ArchiveError::NotUtf8 { suite: suite.to_owned(), path: wanted.path.clone() })
}
