//! Locking and fetching: the part of a build that talks to the network.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use stonecell_definition::lock::{Lock, LockedPackage};
use stonecell_packages::{
    Archive, ArchiveError, Base, Cache, CacheError, ConnectionSettings, Distribution, FetchError,
    FetchOptions, HostAptError, MirrorError, MirrorRequest, ProxySettings, Request, ResolveError,
    Sources, Synthetic, fetch, mirrors, read_host_apt,
};
use thiserror::Error;

use crate::progress::{Event, Progress, Unit};
use crate::project::Project;

/// Package that carries the UEFI stub; read, never installed.
pub const STUB_PACKAGE: &str = "systemd-boot-efi";
/// The package that this program makes, so that the kernel's dependency on an initramfs tool is met
/// without one.
pub const INITRD_PACKAGE: &str = "stonecell-initrd";

/// Why packages cannot be pinned or had.
#[derive(Debug, Error)]
pub enum AcquireError {
    /// No mirror is known.
    #[error("no mirror to read packages from")]
    Mirror(#[from] MirrorError),
    /// The host's apt configuration cannot be read.
    #[error("cannot read this host's apt configuration for a mirror")]
    HostApt(#[from] HostAptError),
    /// The cache cannot be used.
    #[error("the package cache cannot be used")]
    Cache(#[from] CacheError),
    /// The archive cannot be read or trusted.
    #[error("the archive cannot be read")]
    Archive(#[from] ArchiveError),
    /// The packages cannot be resolved.
    #[error("the packages cannot be resolved")]
    Resolve(#[from] ResolveError),
    /// A package cannot be had.
    #[error("the packages cannot be fetched")]
    Fetch(#[from] FetchError),
    /// A snapshot of no mirror.
    #[error(
        "base.snapshot is a time of the mirror in base.mirror, which the definition does not name: give both"
    )]
    SnapshotWithoutMirror,
}

/// The synthetic packages of every build.
#[must_use]
pub fn synthetic(version: &str) -> Vec<Synthetic> {
    vec![Synthetic {
        name: INITRD_PACKAGE.to_owned(),
        version: version.to_owned(),
        provides: vec!["linux-initramfs-tool".to_owned()],
    }]
}

/// Where every suite of the definition is read from: the definition, else `STONECELL_MIRROR`, else the
/// host's apt configuration.
///
/// # Errors
/// [`AcquireError`] when there is none.
pub fn sources(project: &Project) -> Result<Sources, AcquireError> {
    use stonecell_definition::release::Distribution as Family;
    let base = &project.definition.base;
    let release = base.release.name();
    let standard = |name: &str| {
        name == release
            || name == format!("{release}-updates")
            || name == format!("{release}-security")
    };
    let archive = Base {
        distribution: match base.distribution {
            Family::Debian => Distribution::Debian,
            Family::Ubuntu => Distribution::Ubuntu,
        },
        release: release.to_owned(),
        architecture: base.architecture.name().to_owned(),
        components: base.components.clone(),
        extra_suites: base
            .suites
            .iter()
            .filter(|suite| !standard(&suite.name))
            .map(|suite| suite.name.clone())
            .collect(),
        keyring: base.keyring.clone(),
    };
    if base.snapshot.is_some() && base.mirror.is_none() {
        return Err(AcquireError::SnapshotWithoutMirror);
    }
    let dated = |mirror: &Option<String>| match (mirror, &base.snapshot) {
        (Some(mirror), Some(time)) => Some(format!("{mirror}/{time}")),
        (mirror, _) => mirror.clone(),
    };
    let (main, security) = (dated(&base.mirror), dated(&base.security_mirror));
    let environment = std::env::var("STONECELL_MIRROR").ok();
    let host = if main.is_none() && environment.is_none() { Some(read_host_apt()?) } else { None };
    let mut sources = mirrors(
        &archive,
        &MirrorRequest {
            definition: main.as_deref(),
            definition_security: security.as_deref(),
            environment: environment.as_deref(),
            host: host.as_ref(),
        },
    )?;
    sources.suites.retain(|suite| base.suites.iter().any(|wanted| wanted.name == suite.name));
    Ok(sources)
}

/// How to connect, from the environment's proxy variables.
fn options(jobs: usize, trust_cached: bool) -> FetchOptions {
    FetchOptions {
        connection: ConnectionSettings {
            proxies: ProxySettings::from_variables(|name| std::env::var(name).ok()),
            ..ConnectionSettings::default()
        },
        connections: jobs.max(1),
        trust_cached,
    }
}

/// Verifies the archive, resolves the definition, and pins every package.
///
/// # Errors
/// [`AcquireError`].
pub fn lock(
    project: &Project,
    cache: &Path,
    jobs: usize,
    now: i64,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Lock, AcquireError> {
    let definition = &project.definition;
    let cache = Cache::open(cache)?;
    let report = |event: stonecell_packages::Event<'_>| forward(progress, &event);
    let archive =
        Archive::open(&sources(project)?, &cache, &options(jobs, false), now, &report, cancel)?;
    let mut install: Vec<String> =
        definition.wanted_packages().into_iter().map(str::to_owned).collect();
    install.extend(project.requirements.packages_present.iter().cloned());
    install.sort();
    install.dedup();
    let mut deny = definition.packages.deny.clone();
    deny.extend(project.requirements.packages_absent.iter().cloned());
    deny.sort();
    deny.dedup();
    let request = Request {
        install,
        remove: definition.packages.remove.clone(),
        deny,
        tools: vec![STUB_PACKAGE.to_owned()],
        synthetic: synthetic(&definition.version),
        recommends: definition.packages.recommends,
        essential: true,
    };
    let resolution = archive.resolve(&request, &report)?;
    Ok(archive.lock(&resolution, &project.lock_identity()))
}

/// A pinned package and its file.
pub type Fetched = (LockedPackage, PathBuf);

/// Brings what the lock names into the cache: packages, then tools.
///
/// # Errors
/// [`AcquireError`].
pub fn acquire(
    project: &Project,
    lock: &Lock,
    cache: &Path,
    jobs: usize,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<(Vec<Fetched>, Vec<Fetched>), AcquireError> {
    let cache = Cache::open(cache)?;
    let all = || lock.package.iter().chain(&lock.tool);
    let complete = all().all(|package| {
        std::fs::metadata(cache.deb(&package.sha256)).is_ok_and(|file| file.len() == package.size)
    });
    // Where everything is cached, no mirror need be known: an air-gapped rebuild works.
    let paths: Vec<PathBuf> = if complete {
        all().map(|package| cache.deb(&package.sha256)).collect()
    } else {
        let report = |event: stonecell_packages::Event<'_>| forward(progress, &event);
        fetch(lock, &sources(project)?, &cache, &options(jobs, true), &report, cancel)?
    };
    let mut pairs: Vec<Fetched> = all().cloned().zip(paths).collect();
    let tools = pairs.split_off(lock.package.len().min(pairs.len()));
    Ok((pairs, tools))
}

fn forward(progress: &dyn Progress, event: &stonecell_packages::Event<'_>) {
    match event {
        stonecell_packages::Event::Phase(name) => {
            progress.event(&Event::Phase { name: (*name).to_owned() });
        }
        stonecell_packages::Event::Bytes { done, total, .. } => {
            progress.event(&Event::Amount { done: *done, total: *total, unit: Unit::Bytes });
        }
        stonecell_packages::Event::Retry { item, reason } => {
            progress.event(&Event::Note { text: format!("{item}: {reason}; trying again") });
        }
        _ => {}
    }
}
