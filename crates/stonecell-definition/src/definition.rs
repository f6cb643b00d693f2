//! A composed definition: everything that decides what is built, as plain data.
//!
//! Lists whose order means nothing are sorted, so that equal definitions are equal values however
//! they are spread over files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use globset::{GlobBuilder, GlobMatcher};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::iaas::Iaas;
use crate::release::{Architecture, Distribution, Release};
use crate::schema::Kind;
use crate::size::Size;

/// Names of the control profiles, sorted; the catalogue knows the same.
pub const PROFILES: [&str; 8] = [
    "anssi-enhanced",
    "anssi-high",
    "anssi-intermediary",
    "anssi-minimal",
    "cis-l1",
    "cis-l2",
    "stig",
    "stonecell",
];

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

/// The hardening profile and the exceptions from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Controls {
    /// Name of the profile.
    pub profile: String,
    /// Controls left out, by id.
    pub opt_outs: Vec<OptOut>,
    /// Parameters changed, by control and name.
    pub parameters: Vec<ParameterValue>,
}

/// A control that is left out for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptOut {
    /// Id.
    pub control: String,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// First day on which it no longer holds.
    pub expires: Date,
}

/// A parameter of a control with another value than the catalogue's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ParameterValue {
    /// Id of the control.
    pub control: String,
    /// Name of the parameter.
    pub name: String,
    /// Value.
    pub value: String,
    /// Why.
    pub reason: String,
}

/// Disk layout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Room for a second root and verity partition.
    pub ab: bool,
    /// EFI system partition.
    pub esp_size: Size,
    /// Root partition; `None` is as large as the file system in it.
    pub root_size: Option<Size>,
    /// What happens on a block that does not match its hash.
    pub verity_corruption: VerityCorruption,
    /// Writable partitions, by mount point.
    pub partitions: Vec<Partition>,
}

/// What dm-verity does on corruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum VerityCorruption {
    /// Stop the machine.
    Panic,
    /// Start the machine again.
    Restart,
    /// Fail the read.
    IoError,
}

/// A writable file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Absolute path.
    pub mount: String,
    /// Size.
    pub size: Size,
    /// Mount options added to those of the controls, sorted.
    pub options: Vec<String>,
    /// File system.
    pub fs: FileSystem,
}

/// File systems for writable partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum FileSystem {
    /// ext4.
    #[default]
    Ext4,
}

/// A path below /etc that is not in the verified root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MutablePath {
    /// Absolute path below /etc.
    pub path: String,
    /// How long its content lives.
    pub kind: Mutability,
}

/// How long a changeable path keeps its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Mutability {
    /// Until the machine stops: a link to /run.
    Run,
    /// For the machine's life: a link to /var/lib/stonecell/etc.
    Kept,
    /// Until the machine stops: a directory in memory, empty at each boot.
    Empty,
    /// For the machine's life: an account file, which follows from etc.accounts.
    #[serde(skip_deserializing)]
    Accounts,
}

/// What etc.accounts makes changeable, sorted.
pub const ACCOUNT_FILES: [&str; 4] = ["/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow"];

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

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Output {
    /// Infrastructures, sorted.
    pub iaas: Vec<Iaas>,
    /// Plain disk images, sorted.
    pub formats: Vec<DiskFormat>,
    /// Light stemcells, by infrastructure.
    pub light: Vec<Light>,
}

/// A plain disk image.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum DiskFormat {
    /// Raw bytes of the disk.
    Raw,
    /// QEMU's format, compressed.
    Qcow2,
    /// Virtual PC, fixed size.
    Vhd,
    /// Hyper-V.
    Vhdx,
    /// VMware, stream optimised.
    Vmdk,
}

impl DiskFormat {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
        }
    }
}

/// A stemcell that refers to an image which is already in a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Light {
    /// Infrastructure.
    pub iaas: Iaas,
    /// What it refers to.
    pub reference: LightReference,
}

/// How a light stemcell names its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LightReference {
    /// AWS: image id by region.
    Ami(BTreeMap<String, String>),
    /// Google.
    ImageUrl(String),
    /// Azure marketplace.
    Image {
        /// Offer.
        offer: String,
        /// Publisher.
        publisher: String,
        /// SKU.
        sku: String,
        /// Version.
        version: String,
    },
    /// OpenStack.
    ImageId(String),
    /// OCI reference.
    Reference(String),
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

/// Whether a package or module glob matches. A pattern that is no valid glob matches nothing; loading
/// refuses those.
pub(crate) fn glob_matches(glob: &str, name: &str) -> bool {
    compile(glob).is_ok_and(|glob| glob.is_match(name))
}

/// A compiled glob; `*` stops at `/`.
pub(crate) fn compile(glob: &str) -> Result<GlobMatcher, globset::Error> {
    Ok(GlobBuilder::new(glob).literal_separator(true).build()?.compile_matcher())
}
