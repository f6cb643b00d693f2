//! The lock file: every package that a build installs, pinned.
//!
//! `stonecell lock` writes it after it has verified the archive's signatures; `stonecell build` uses
//! exactly what it says and never asks the archive which version is newest. It is TOML, sorted, and
//! meant to be committed beside the definition and read in a review.

use serde::{Deserialize, Serialize};

/// The version of the lock format that this program reads and writes.
pub const LOCK_SCHEMA: u32 = 1;

/// A resolved and pinned package set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Format version, [`LOCK_SCHEMA`].
    pub schema: u32,
    /// SHA-256 (hex) of the canonical form of everything in the definition that decides the package
    /// set: base, packages asked for, packages removed. A build refuses a lock whose value differs.
    pub definition: String,
    /// Seconds since 1970 of the newest index used: the `SOURCE_DATE_EPOCH` of every build.
    pub epoch: i64,
    /// Debian architecture, for example `amd64`.
    pub architecture: String,
    /// The signed indexes that were read, in the order of the definition.
    pub index: Vec<LockedIndex>,
    /// What goes into the root, sorted by name. Includes the kernel.
    pub package: Vec<LockedPackage>,
    /// Packages whose files the build reads but does not install (the UEFI stub), sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool: Vec<LockedPackage>,
}

/// One signed suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedIndex {
    /// Short name that packages refer to, for example `bookworm-security`.
    pub suite: String,
    /// `Origin` of the Release file, for example `Debian`.
    pub origin: String,
    /// `Date` of the Release file, RFC 3339, UTC.
    pub date: String,
    /// SHA-256 (hex) of the InRelease file as downloaded.
    pub sha256: String,
    /// Fingerprints (upper-case hex) of the keys whose signatures were good.
    pub signed_by: Vec<String>,
}

/// One pinned package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPackage {
    /// Package name.
    pub name: String,
    /// Full Debian version, with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Source package name and version, `name (version)` as dpkg writes it when they differ from the
    /// binary's; resolved here to always be present.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// Suite it came from: [`LockedIndex::suite`].
    pub suite: String,
    /// Path below the mirror's root, for example `pool/main/b/bash/bash_5.2.15-2+b7_amd64.deb`.
    pub filename: String,
    /// Bytes of the .deb.
    pub size: u64,
    /// SHA-256 (hex) of the .deb.
    pub sha256: String,
    /// `Essential: yes` or required to unpack and configure the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub essential: bool,
}
