//! Packages that the caller makes itself, written so that apt and the index reader see them.

use sha2::{Digest, Sha256};

use crate::index::{is_package_name, is_version};
use crate::refusal::ResolveError;

/// A package that is not in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthetic {
    /// Package name.
    pub name: String,
    /// Version.
    pub version: String,
    /// What it provides, as `Provides` writes it: `linux-initramfs-tool` or `x (= 1.0)`.
    pub provides: Vec<String>,
}

/// An index of the caller's own packages. File, size and checksum are there for the form only: a
/// synthetic package is never fetched.
pub(crate) fn synthetic_index(packages: &[Synthetic]) -> Result<String, ResolveError> {
    let mut text = String::new();
    for package in packages {
        let error = |field| ResolveError::Synthetic { name: package.name.clone(), field };
        if !is_package_name(&package.name) {
            return Err(error("name"));
        }
        if !is_version(&package.version) {
            return Err(error("version"));
        }
        let provides = package.provides.join(", ");
        if provides.contains('\n') {
            return Err(error("list of what it provides"));
        }
        let provides =
            if provides.is_empty() { provides } else { format!("Provides: {provides}\n") };
        text.push_str(&format!(
            "Package: {0}\nVersion: {1}\nArchitecture: all\nMaintainer: Stonecell\n{provides}\
             Filename: synthetic/{0}\nSize: 1\nSHA256: {2}\n\n",
            package.name,
            package.version,
            hex::encode(Sha256::digest(b"")),
        ));
    }
    Ok(text)
}
