//! A resolution as a lock.

use stonecell_definition::lock::{LOCK_SCHEMA, Lock, LockedIndex};

use crate::archive::Archive;
use crate::release::rfc3339;
use crate::resolve::Resolution;

impl Archive {
    /// Pins `resolution`. `definition` is the SHA-256 (hex) of what in the definition decided it. The
    /// epoch is the date of the newest index.
    pub fn lock(&self, resolution: &Resolution, definition: &str) -> Lock {
        let index = self.suites.iter().map(|suite| LockedIndex {
            suite: suite.name.clone(),
            origin: suite.release.origin.clone(),
            date: rfc3339(suite.release.date),
            sha256: suite.sha256.clone(),
            signed_by: suite.signed_by.clone(),
        });
        Lock {
            schema: LOCK_SCHEMA,
            definition: definition.to_owned(),
            epoch: self.suites.iter().map(|suite| suite.release.date).max().unwrap_or_default(),
            architecture: self.architecture.clone(),
            index: index.collect(),
            package: resolution.packages.clone(),
            tool: resolution.tools.clone(),
        }
    }
}
