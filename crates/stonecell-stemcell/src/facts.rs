//! What the builder tells about a stemcell: plain data that manifest, SBOM and provenance are written from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::digest::Of;

/// The image as a whole.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// Name of the definition, for example `debian-12`.
    pub name: String,
    /// Version, for example `1.0`.
    pub version: String,
    /// `debian` or `ubuntu`.
    pub distribution: String,
    /// Release code name, for example `bookworm`.
    pub release: String,
    /// `VERSION_ID` of the release, for example `12`.
    pub release_version: String,
    /// Seconds since 1970: the lock's epoch, the only time that outputs carry.
    pub epoch: i64,
    /// Root hash of the verity tree, 64 hex digits.
    pub root_hash: String,
    /// What is installed, sorted by name.
    pub packages: Vec<Package>,
    /// What the build read without installing it (the UEFI stub).
    pub tools: Vec<Package>,
    /// The signed indexes.
    pub indexes: Vec<Index>,
    /// Definition, includes and roles: path as the user wrote it, SHA-256 hex.
    pub sources: Vec<Source>,
    /// SHA-256 hex of the lock file.
    pub lock_sha256: String,
    /// Version of this program.
    pub builder_version: String,
    /// SHA-256 hex of this program and of the initrd's program.
    pub builder_files: Vec<Source>,
    /// Was it signed with development keys?
    pub development_keys: bool,
}

/// One package.
#[derive(Debug, Clone, Serialize)]
pub struct Package {
    /// Binary package.
    pub name: String,
    /// Version with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Source package.
    pub source: String,
    /// Its version.
    pub source_version: String,
    /// SHA-256 hex of the .deb; empty for a package that the build made itself.
    pub sha256: String,
    /// Path below the mirror.
    pub filename: String,
    /// Maintainer field.
    pub maintainer: String,
    /// First line of the description.
    pub summary: String,
    /// Home page, may be empty.
    pub homepage: String,
    /// SPDX expression from a machine-readable copyright file, or empty.
    pub license: String,
}

/// One signed index.
#[derive(Debug, Clone, Serialize)]
pub struct Index {
    /// Suite, for example `bookworm-security`.
    pub suite: String,
    /// SHA-256 hex of InRelease.
    pub sha256: String,
    /// RFC 3339.
    pub date: String,
}

/// One file with its digest.
#[derive(Debug, Clone, Serialize)]
pub struct Source {
    /// Name as the user wrote it.
    pub path: String,
    /// SHA-256 hex.
    pub sha256: String,
}

/// A finished output.
#[derive(Debug, Clone, Serialize)]
pub struct Output {
    /// Where it lies.
    pub path: PathBuf,
    /// What its digest is of.
    pub of: Of,
    /// SHA-256 hex of that.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 hex of its parts by name (see [`crate::parts`]), so that a change can be placed.
    pub parts: BTreeMap<String, String>,
}

impl Package {
    /// The package URL (purl specification, type `deb`).
    #[must_use]
    pub fn purl(&self, distribution: &str, release_version: &str) -> String {
        let encode = |text: &str| {
            text.bytes().fold(String::new(), |mut out, byte| {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                        out.push(char::from(byte));
                    }
                    _ => out.push_str(&format!("%{byte:02X}")),
                }
                out
            })
        };
        let mut upstream = String::new();
        if self.source != self.name || self.source_version != self.version {
            upstream =
                format!("&upstream={}%40{}", encode(&self.source), encode(&self.source_version));
        }
        format!(
            "pkg:deb/{distribution}/{}@{}?arch={}&distro={distribution}-{release_version}{upstream}",
            encode(&self.name),
            encode(&self.version),
            self.architecture,
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Facts {
        Facts {
            name: "debian-12".into(),
            version: "1.0".into(),
            distribution: "debian".into(),
            release: "bookworm".into(),
            release_version: "12".into(),
            epoch: 0,
            root_hash: "00".into(),
            packages: vec![],
            tools: vec![],
            indexes: vec![],
            sources: vec![],
            lock_sha256: "a".into(),
            builder_version: "0.1.0".into(),
            builder_files: vec![],
            development_keys: true,
        }
    }

    pub(crate) fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            architecture: "amd64".into(),
            source: name.into(),
            source_version: version.into(),
            sha256: "ab".repeat(32),
            filename: format!("pool/{name}.deb"),
            maintainer: "Somebody <somebody@mirror.invalid>".into(),
            summary: "what it is".into(),
            homepage: "https://mirror.invalid/".into(),
            license: "MIT".into(),
        }
    }

    #[test]
    fn a_package_url_names_its_source_when_it_differs() {
        let package = Package {
            source: "gcc-12".into(),
            source_version: "12.2.0-14".into(),
            ..package("libstdc++6", "1:12.2.0-14")
        };
        assert_eq!(
            package.purl("debian", "12"),
            "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14?arch=amd64&distro=debian-12\
             &upstream=gcc-12%4012.2.0-14"
        );
    }
}
