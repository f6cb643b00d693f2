//! A composed definition: everything that decides what is built, as plain data.
//!
//! Lists whose order means nothing are sorted, so that equal definitions are equal values however
//! they are spread over files.

mod access;
mod hardening;
mod output;
mod software;
mod storage;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::iaas::Iaas;
use crate::schema::Kind;

pub use access::{
    Agent, Group, Inbound, Program, Protocol, SecureBoot, SettingsSource, Signing, User,
};
pub use hardening::{Controls, OptOut, PROFILES, ParameterValue};
pub use output::{DiskFormat, Light, LightReference, Output};
pub(crate) use software::compile;
pub use software::{AddOn, AddOnFile, AddOnUnit, Base, Content, Kernel, Packages, Services, Suite};
pub use storage::{
    ACCOUNT_FILES, FileSystem, Image, Mutability, MutablePath, Partition, VerityCorruption,
};

/// Everything that decides what is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// Name of the stemcell, a DNS label.
    pub name: String,
    /// Version, dotted numbers.
    pub version: String,
    /// What it is, for people; the name when the file gives none.
    pub title: String,
    /// Roles composed, in the order of the definition.
    pub roles: Vec<String>,
    /// The distribution.
    pub base: Base,
    /// Packages, without the kernel and those of add-ons.
    pub packages: Packages,
    /// Kernel.
    pub kernel: Kernel,
    /// Units.
    pub services: Services,
    /// Hardening profile and its exceptions.
    pub controls: Controls,
    /// Disk layout.
    pub image: Image,
    /// What changes below /etc at run time, by path.
    pub etc_mutable: Vec<MutablePath>,
    /// Users, by name.
    pub users: Vec<User>,
    /// Groups, by name.
    pub groups: Vec<Group>,
    /// Programs that keep setuid, setgid or file capabilities, sorted.
    pub setuid: Vec<String>,
    /// Open ports, by protocol, port and source.
    pub firewall: Vec<Inbound>,
    /// The agent, if any: its presence makes the platform "bosh".
    pub agent: Option<Agent>,
    /// Add-ons, by name.
    pub add_ons: Vec<AddOn>,
    /// Keys.
    pub signing: Signing,
    /// What is written.
    pub output: Output,
    /// The files that it was composed from, in the order of composition.
    pub sources: Vec<SourceFile>,
}

/// A file that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceFile {
    /// As opened; relative to nothing but the caller's own directory.
    pub path: PathBuf,
    /// What it was read as.
    pub kind: Kind,
    /// SHA-256 (hex) of its text.
    pub sha256: String,
}

impl Definition {
    /// Names of every package that is asked for: packages, kernel, add-ons. Sorted.
    pub fn wanted_packages(&self) -> BTreeSet<&str> {
        let add_ons = self.add_ons.iter().flat_map(|add_on| &add_on.packages);
        let names = self.packages.install.iter().chain(add_ons).chain([&self.kernel.package]);
        names.map(String::as_str).collect()
    }

    /// The platforms that a stemcell for `iaas` is: the infrastructure's name, and `bosh` where there
    /// is an agent. Controls select by these.
    pub fn platforms(&self, iaas: Iaas) -> Vec<&'static str> {
        let bosh = self.agent.is_some().then_some("bosh");
        [Some(iaas.name()), bosh].into_iter().flatten().collect()
    }

    /// SHA-256 (hex) of the canonical form of everything that decides the package set, for
    /// [`crate::lock::Lock::definition`].
    ///
    /// Mirrors and the keyring are not part of it: the same packages may come from another mirror.
    pub fn lock_digest(&self) -> String {
        let mut hash = Sha256::new_with_prefix("stonecell package set, version 1\n");
        // No value can hold a line break: `NAME VALUE` lines are unambiguous.
        let mut put = |name: &str, value: &str| {
            hash.update(format!("{name} {value}\n"));
        };
        put("distribution", self.base.distribution.name());
        put("release", self.base.release.name());
        put("architecture", self.base.architecture.name());
        self.base.suites.iter().for_each(|suite| put("suite", &suite.name));
        self.base.components.iter().for_each(|component| put("component", component));
        self.base.snapshot.iter().for_each(|snapshot| put("snapshot", snapshot));
        self.wanted_packages().into_iter().for_each(|package| put("install", package));
        self.packages.remove.iter().for_each(|package| put("remove", package));
        self.packages.deny.iter().for_each(|glob| put("deny", glob));
        put("recommends", if self.packages.recommends { "yes" } else { "no" });
        hex::encode(hash.finalize())
    }
}
