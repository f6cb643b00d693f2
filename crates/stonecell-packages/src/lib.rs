//! Debian-family archive client: signed indexes, resolution, lock, parallel fetch, cache.
//!
//! The order of use is [`mirrors`] (where is the archive), [`Archive::open`] (which packages exist;
//! every byte from here on hangs on a signature made by a key of the caller's keyring),
//! [`Archive::resolve`] (which of them the request needs, by apt's own solver), [`Archive::lock`]
//! (pin them) and, at any later time and from any mirror, [`fetch`] (the files themselves).
//!
//! Decisions are pure functions over text ([`index`], [`release`], [`signature`], [`depends`],
//! [`version`], [`apt_output`]); processes and the network are in thin modules around them.

mod apt;
pub mod apt_output;
mod archive;
mod cache;
mod candidates;
mod decompress;
pub mod depends;
mod download;
mod explain;
mod fetch;
mod forward_proxy;
mod host_apt;
mod http;
pub mod index;
mod locking;
mod mirrors;
mod part;
mod progress;
mod proxy;
mod reach;
mod refusal;
pub mod release;
mod resolve;
mod rules;
pub mod signature;
mod small;
mod synthetic;
pub mod version;

pub use archive::{Archive, ArchiveError};
pub use cache::{Cache, CacheError, default_cache_dir};
pub use download::TransferError;
pub use fetch::{FetchError, FetchOptions, fetch};
pub use host_apt::{HostAptError, read_host_apt};
pub use http::ConnectionSettings;
pub use mirrors::{
    Base, Distribution, HostApt, HostEntry, MirrorError, MirrorRequest, Sources, SuiteSource,
    mirrors,
};
pub use progress::{Event, Progress, Silent};
pub use proxy::ProxySettings;
pub use refusal::ResolveError;
pub use resolve::{Request, Resolution};
pub use synthetic::Synthetic;
