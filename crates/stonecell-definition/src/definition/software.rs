//! What runs: where packages come from, packages, kernel, units, what is added.

use std::path::PathBuf;

use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use crate::release::{Architecture, Distribution, Release};

/// The distribution that packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Base {
    /// Debian or Ubuntu.
    pub distribution: Distribution,
    /// Code name.
    pub release: Release,
    /// Instruction set.
    pub architecture: Architecture,
    /// Root URL of the archive without a final slash; `None`: the environment or the host decides.
    pub mirror: Option<String>,
    /// Root URL of the security archive; `None`: found as the mirror is.
    pub security_mirror: Option<String>,
    /// File of OpenPGP keys that may sign the archive.
    pub keyring: PathBuf,
    /// Suites in the order of the definition.
    pub suites: Vec<Suite>,
    /// Components in the order of the definition.
    pub components: Vec<String>,
    /// `YYYYMMDDTHHMMSSZ`, appended to the mirror's URL as dated mirrors take it.
    pub snapshot: Option<String>,
}

/// A suite to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Suite {
    /// Name, for example `bookworm-updates`.
    pub name: String,
    /// Whether it lives on the security mirror where there is one: its name ends in `-security`.
    pub security: bool,
}

/// Packages asked for and refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Packages {
    /// To install, sorted.
    pub install: Vec<String>,
    /// Never to be resolved to, sorted.
    pub remove: Vec<String>,
    /// Globs of names that may not be in the image, sorted.
    pub deny: Vec<String>,
    /// Whether recommended packages are installed too.
    pub recommends: bool,
}

impl Packages {
    /// The glob that forbids `name`, if any. What the definition installs by name is never forbidden:
    /// composition has settled that contradiction.
    pub fn denied(&self, name: &str) -> Option<&str> {
        if self.install.iter().any(|installed| installed == name) {
            return None;
        }
        self.deny.iter().map(String::as_str).find(|glob| glob_matches(glob, name))
    }
}

/// The kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// Package name.
    pub package: String,
    /// Parameters added to those of the controls, in order.
    pub command_line: Vec<String>,
    /// Globs of modules to keep, sorted; empty keeps all. With a slash they match the path below the
    /// module directory, else the name.
    pub modules: Vec<String>,
}

/// Units by what happens to them at boot. Full unit names, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Services {
    /// Started.
    pub enable: Vec<String>,
    /// Not started.
    pub disable: Vec<String>,
    /// Cannot be started.
    pub mask: Vec<String>,
}

/// Something added to the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddOn {
    /// Name.
    pub name: String,
    /// What it is for.
    pub why: String,
    /// Packages, sorted.
    pub packages: Vec<String>,
    /// Files, by path.
    pub files: Vec<AddOnFile>,
    /// Units, by name.
    pub units: Vec<AddOnUnit>,
}

/// A file of an add-on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddOnFile {
    /// Absolute path in the image.
    pub path: String,
    /// What is written.
    pub content: Content,
    /// Permission bits, for example 0o644.
    pub mode: u32,
    /// Written before packages are configured, for maintainer scripts that read it.
    pub early: bool,
    /// User name.
    pub owner: String,
    /// Group name.
    pub group: String,
}

/// Where the content of a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A file on the building host, resolved against the file that names it.
    Source(PathBuf),
    /// The text itself.
    Text(String),
    /// A symbolic link with this target.
    Link(String),
}

/// A systemd unit of an add-on, written to /etc/systemd/system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddOnUnit {
    /// Unit name with suffix.
    pub name: String,
    /// What is written; never a link.
    pub content: Content,
    /// Whether it starts at boot.
    pub enable: bool,
}

/// Whether a package or module glob matches. A pattern that is no valid glob matches nothing; loading
/// refuses those.
fn glob_matches(glob: &str, name: &str) -> bool {
    compile(glob).is_ok_and(|glob| glob.is_match(name))
}

/// A compiled glob; `*` stops at `/`.
pub(crate) fn compile(glob: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(glob).literal_separator(true).build()?.compile_matcher())
}
