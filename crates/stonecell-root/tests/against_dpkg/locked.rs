//! A package file of this machine as if a lock had pinned it.

use std::error::Error;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use stonecell_definition::lock::LockedPackage;
use stonecell_root::{control, deb};

/// The package at `path`, as a lock states it; its version and its source's are taken to be the same.
pub(crate) fn locked(path: &Path) -> Result<LockedPackage, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let files = deb::open(&bytes)?.control_files()?;
    let text = files.iter().find(|file| file.name == "control").ok_or("no control file")?;
    let control = control::parse(&text.data)?.into_iter().next().ok_or("empty control file")?;
    let field = |name: &str| control.get(name).unwrap_or_default().to_owned();
    Ok(LockedPackage {
        name: field("Package"),
        version: field("Version"),
        architecture: field("Architecture"),
        source: field("Source"),
        source_version: field("Version"),
        suite: "local".into(),
        filename: path.to_string_lossy().into_owned(),
        size: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(&bytes)),
        essential: field("Essential") == "yes",
    })
}
