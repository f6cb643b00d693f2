//! Bills of materials: what is installed, in the two formats that scanners read.
//!
//! Both are written from the same facts and carry the lock's time and name-based UUIDs, so that two builds
//! from one lock write the same bytes.

pub mod cyclonedx;
pub mod spdx;

use jiff::Timestamp;
use uuid::Uuid;

use crate::facts::Facts;

/// Namespace of the UUIDs in bills of materials (version 5 of the DNS namespace and `stonecell.invalid`).
fn document_uuid(facts: &Facts, format: &str) -> Uuid {
    let namespace = Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"stonecell.invalid");
    let name = format!(
        "{format} {} {} {} {}",
        facts.name, facts.version, facts.lock_sha256, facts.root_hash
    );
    Uuid::new_v5(&namespace, name.as_bytes())
}

/// The epoch as RFC 3339, second precision, UTC.
fn created(facts: &Facts) -> String {
    Timestamp::from_second(facts.epoch).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
