//! Who may do what: users, groups, ports, the agent, keys.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user without a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User and primary group number.
    pub uid: u32,
    /// Further groups, sorted.
    pub groups: Vec<String>,
    /// Login shell.
    pub shell: String,
    /// Home directory.
    pub home: String,
    /// OpenSSH public keys, sorted.
    pub authorized_keys: Vec<String>,
    /// Whether sudo makes it root.
    pub sudo: bool,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Number; `None`: a package makes it.
    pub gid: Option<u32>,
    /// Members beside those who name it among their groups, sorted.
    pub members: Vec<String>,
}

/// A port that others may reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Inbound {
    /// Protocol.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
    /// Network in CIDR form; `None` is everybody.
    pub from: Option<String>,
    /// Why it is open.
    pub why: String,
}

/// Transport protocol.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The BOSH agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// The program.
    pub binary: Program,
    /// Where it reads its settings.
    pub settings: SettingsSource,
    /// monit, if jobs use it.
    pub monit: Option<Program>,
    /// Blobstore clients by provider.
    pub blobstores: BTreeMap<String, Program>,
}

/// A program file on the building host and the hash that it has to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Where it is, resolved against the file that names it.
    pub path: PathBuf,
    /// SHA-256 (hex).
    pub sha256: String,
}

/// Where the agent reads its settings at boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum SettingsSource {
    /// What the infrastructure offers.
    #[default]
    Infrastructure,
    /// Metadata service with user data.
    Http,
    /// Metadata service with attributes.
    InstanceMetadata,
    /// A disk labelled config-2.
    ConfigDrive,
    /// A file in the image or put there by the infrastructure.
    File,
    /// A file on a CD-ROM.
    Cdrom,
    /// guestinfo variables of vSphere.
    VsphereGuestinfo,
    /// Nothing: an agent.json comes with an add-on.
    None,
}

/// Keys on the building host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Signing {
    /// OpenSSH Ed25519 private key.
    pub stemcell_key: Option<PathBuf>,
    /// Secure Boot key and certificate.
    pub secure_boot: Option<SecureBoot>,
    /// Whether keys are made where none are named, and marked as development keys.
    pub development: bool,
}

/// Secure Boot key pair, PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecureBoot {
    /// Private key.
    pub key: PathBuf,
    /// Certificate.
    pub certificate: PathBuf,
}
