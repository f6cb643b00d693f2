//! The catalogue: every control that Stonecell knows, as read from `controls/*.toml`.

mod fault;
mod fields;
mod parse;
mod rules;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use fault::nearest;
pub use fault::{CatalogueErrors, Fault};

use crate::want::Want;

/// Profiles that a control can belong to; the first one is the default of a definition.
pub const PROFILES: [&str; 8] = [
    "stonecell",
    "cis-l1",
    "cis-l2",
    "stig",
    "anssi-minimal",
    "anssi-intermediary",
    "anssi-enhanced",
    "anssi-high",
];

/// Documents that a control can refer to.
pub const REFERENCES: [&str; 7] = [
    "cis-debian-12",
    "stig-ubuntu-22-04",
    "stig-ubuntu-24-04",
    "anssi-bp-028",
    "nist-800-53",
    "kspp",
    "bosh",
];

const EMBEDDED: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// How much harm the fault does that the control stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    High,
}

/// A value that a definition may change, used in strings of the wants as `${name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parameter {
    pub default: String,
    pub why: String,
}

/// One decision: what is wanted, why, for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Control {
    pub id: String,
    pub title: String,
    pub why: String,
    pub severity: Severity,
    pub profiles: Vec<String>,
    /// Only for these roles; for all of them when empty.
    pub roles: Vec<String>,
    pub except_roles: Vec<String>,
    pub except_why: Option<String>,
    /// Only on these platforms; on all of them when empty.
    pub platforms: Vec<String>,
    /// Only for these releases; for all of them when empty.
    pub releases: Vec<String>,
    pub references: BTreeMap<String, Vec<String>>,
    pub parameters: BTreeMap<String, Parameter>,
    #[serde(rename = "want")]
    pub wants: Vec<Want>,
}

/// One file of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Family {
    /// The stem of the file's name.
    pub name: String,
    pub title: String,
    #[serde(rename = "control")]
    pub controls: Vec<Control>,
}

/// All families, sorted by name; controls in the order of their files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Catalogue {
    #[serde(rename = "family")]
    pub families: Vec<Family>,
}

impl Catalogue {
    /// Reads a catalogue from files given as (name, text).
    ///
    /// # Errors
    /// All faults of all files, each with file and line.
    pub fn parse<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Self, CatalogueErrors> {
        parse::catalogue(files)
    }

    /// The catalogue that this program carries.
    ///
    /// # Errors
    /// Only when the program was built from a faulty catalogue; a test of this crate keeps that from shipping.
    pub fn embedded() -> Result<Self, CatalogueErrors> {
        Self::parse(EMBEDDED)
    }

    /// Every control, in catalogue order: families by name, then the order of the file.
    pub fn controls(&self) -> impl Iterator<Item = &Control> {
        self.families.iter().flat_map(|family| &family.controls)
    }

    /// The control with this id.
    #[must_use]
    pub fn control(&self, id: &str) -> Option<&Control> {
        self.controls().find(|control| control.id == id)
    }

    /// Number of controls by family name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.families.iter().map(|family| (family.name.clone(), family.controls.len())).collect()
    }
}
