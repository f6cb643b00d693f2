//! The tables of a definition or role file. The comments here are the descriptions in the JSON Schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::text::*;
use crate::definition::{
    DiskFormat, FileSystem, Mutability, Protocol, SettingsSource, VerityCorruption,
};
use crate::iaas::Iaas;
use crate::release::{Architecture, Distribution, Release};

/// A definition, a role, or a part of a definition that others include.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    /// Version of this format.
    #[schemars(range(min = 1, max = 1))]
    pub(crate) schema: i64,
    /// Name of the stemcell; becomes part of file names.
    pub(crate) name: Option<At<Name>>,
    /// Version of the stemcell.
    pub(crate) version: Option<At<Version>>,
    /// What it is, in a few words.
    pub(crate) title: Option<At<Line>>,
    /// What the role is for and what it removes, in a sentence or two.
    pub(crate) description: Option<String>,
    /// Files whose tables are taken first; this file's decisions win over theirs.
    pub(crate) include: Vec<At<RelativeFile>>,
    /// Roles to compose, by name: `roles/NAME.toml` beside this file or beside its directory.
    pub(crate) roles: Vec<At<Name>>,
    /// Roles whose decisions this role may change; without it two roles that disagree are an error.
    pub(crate) refines: Vec<At<Name>>,
    /// The distribution to build from.
    pub(crate) base: Option<At<Base>>,
    /// Packages of the image.
    pub(crate) packages: Packages,
    /// Kernel, its parameters and its modules.
    pub(crate) kernel: Kernel,
    /// Units that systemd starts, or may not start.
    pub(crate) services: Services,
    /// The hardening controls.
    pub(crate) controls: Controls,
    /// Disk layout.
    pub(crate) image: Image,
    /// Parts of /etc that change at run time.
    pub(crate) etc: Etc,
    /// Users of the image. None has a password.
    pub(crate) user: Vec<At<User>>,
    /// Groups of the image.
    pub(crate) group: Vec<At<Group>>,
    /// Programs that may run with their owner's rights.
    pub(crate) setuid: Setuid,
    /// Host firewall; inbound is closed but for what is listed.
    pub(crate) firewall: Firewall,
    /// The agent that manages the machine.
    pub(crate) agent: Option<At<Agent>>,
    /// Additions: encryption, antivirus, file-integrity monitoring, site configuration.
    pub(crate) add_on: Vec<At<AddOn>>,
    /// Keys that sign the stemcell and its kernel.
    pub(crate) signing: Signing,
    /// What is written.
    pub(crate) output: Output,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Base {
    /// The distribution.
    pub(crate) distribution: Option<At<Distribution>>,
    /// Code name of the release.
    pub(crate) release: Option<At<Release>>,
    /// Instruction set.
    pub(crate) architecture: Option<At<Architecture>>,
    /// Root of the archive. Absent: the environment or the host decides.
    pub(crate) mirror: Option<At<Url>>,
    /// Root of the security archive. Absent: found as the mirror is.
    pub(crate) security_mirror: Option<At<Url>>,
    /// OpenPGP keys that may sign the archive.
    pub(crate) keyring: Option<At<HostFile>>,
    /// Suites to read, in order. Absent: the release, its updates and its security updates.
    pub(crate) suites: Option<Vec<At<Suite>>>,
    /// Components to read, in order.
    pub(crate) components: Option<Vec<At<Component>>>,
    /// Take the archive as it was at this time; the mirror has to be a dated one.
    pub(crate) snapshot: Option<At<Snapshot>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Packages {
    /// Packages to install, with what they depend on.
    pub(crate) install: Vec<At<PackageName>>,
    /// Packages that are not installed even where another one asks for them.
    pub(crate) remove: Vec<At<PackageName>>,
    /// Names that may never be in the image; the build fails if one is.
    pub(crate) deny: Vec<At<PackageGlob>>,
    /// Install recommended packages too.
    pub(crate) recommends: Option<At<bool>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Kernel {
    /// Package of the kernel.
    pub(crate) package: Option<At<PackageName>>,
    /// Kernel parameters added to those of the controls, in order.
    pub(crate) command_line: Vec<At<Parameter>>,
    /// Modules on the disk.
    pub(crate) modules: Modules,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Modules {
    /// Modules to keep, with what they need; all others are not in the image. No list at all keeps all.
    pub(crate) allow: Vec<At<ModuleGlob>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Services {
    /// Units to start at boot. A name without a suffix is a service.
    pub(crate) enable: Vec<At<UnitName>>,
    /// Units not to start at boot.
    pub(crate) disable: Vec<At<UnitName>>,
    /// Units that nothing can start.
    pub(crate) mask: Vec<At<UnitName>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Controls {
    /// Control profile.
    pub(crate) profile: Option<At<Name>>,
    /// Controls that are left out, each with who answers for it and until when.
    pub(crate) opt_out: Vec<At<OptOut>>,
    /// Values of controls that are changed.
    pub(crate) parameter: Vec<At<ParameterValue>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct OptOut {
    /// The control.
    pub(crate) control: At<ControlId>,
    /// Why it is left out.
    pub(crate) reason: At<Reason>,
    /// Who answers for it.
    pub(crate) owner: At<Owner>,
    /// First day on which the opt-out no longer holds.
    pub(crate) expires: At<Date>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct ParameterValue {
    /// The control.
    pub(crate) control: At<ControlId>,
    /// The parameter of the control.
    pub(crate) name: At<Key>,
    /// Its value, as text.
    pub(crate) value: At<Line>,
    /// Why it is changed.
    pub(crate) reason: At<Reason>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Image {
    /// Leave room for the next image beside this one.
    pub(crate) ab: Option<At<bool>>,
    /// Size of the EFI system partition.
    pub(crate) esp_size: Option<At<SizeText>>,
    /// Size of the root partition; "auto" is as large as the root file system.
    pub(crate) root_size: Option<At<SizeOrAuto>>,
    /// What the kernel does when a block of the root does not match its hash.
    pub(crate) verity_corruption: Option<At<VerityCorruption>>,
    /// Writable file systems beside the root.
    pub(crate) partition: Vec<At<Partition>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Partition {
    /// Where it is mounted.
    pub(crate) mount: At<AbsolutePath>,
    /// Its size.
    pub(crate) size: At<SizeText>,
    /// Mount options added to those of the controls.
    #[serde(default)]
    pub(crate) options: Vec<At<MountOptions>>,
    /// Its file system.
    #[serde(default)]
    pub(crate) fs: FileSystem,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Etc {
    /// Paths below /etc that are not part of the verified root.
    pub(crate) mutable: Vec<At<MutablePath>>,
    /// Keep the account files on /var, so that useradd, usermod and their kind work in the machine.
    pub(crate) accounts: Option<At<bool>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct MutablePath {
    /// The path.
    pub(crate) path: At<AbsolutePath>,
    /// How long it keeps what is written to it.
    pub(crate) kind: Mutability,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct User {
    /// Login name.
    pub(crate) name: At<UserName>,
    /// Number; 1000 and up for people and jobs, 100 to 999 for services.
    #[schemars(range(min = 100, max = 59999))]
    pub(crate) uid: At<i64>,
    /// Further groups, of packages or of this definition.
    #[serde(default)]
    pub(crate) groups: Vec<At<UserName>>,
    /// Says that a group which amounts to root is meant: disk, docker, kmem, lxd, root, shadow, sudo.
    #[serde(default)]
    pub(crate) privileged: bool,
    /// Login shell.
    pub(crate) shell: Option<At<AbsolutePath>>,
    /// Home directory.
    pub(crate) home: Option<At<AbsolutePath>>,
    /// OpenSSH public keys that may log in.
    #[serde(default)]
    pub(crate) authorized_keys: Vec<At<AuthorizedKey>>,
    /// May become root by sudo, without a password, since nobody has one.
    #[serde(default)]
    pub(crate) sudo: bool,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Group {
    /// Name.
    pub(crate) name: At<UserName>,
    /// Number. Absent: the group is one that a package makes.
    #[schemars(range(min = 100, max = 59999))]
    pub(crate) gid: Option<At<i64>>,
    /// Further members: users of packages or of this definition.
    #[serde(default)]
    pub(crate) members: Vec<At<UserName>>,
    /// Says that members of a group which amounts to root are meant.
    #[serde(default)]
    pub(crate) privileged: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Setuid {
    /// Programs that keep their setuid or setgid bit or file capabilities; all others lose them.
    pub(crate) allow: Vec<At<AbsolutePath>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Firewall {
    /// Ports that others may reach.
    pub(crate) inbound: Vec<At<Inbound>>,
    /// Ports that no role may open.
    pub(crate) deny: Vec<At<ClosedPort>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Inbound {
    /// Port.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: At<i64>,
    /// Protocol.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Who may reach it. Absent: everybody.
    pub(crate) from: Option<At<Cidr>>,
    /// Why it is open.
    pub(crate) why: At<Line>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct ClosedPort {
    /// Port.
    #[schemars(range(min = 1, max = 65535))]
    pub(crate) port: At<i64>,
    /// Protocol.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Why it stays closed.
    pub(crate) why: At<Line>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Agent {
    /// The BOSH agent, a program for the image's architecture.
    pub(crate) binary: At<HostFile>,
    /// SHA-256 of the agent.
    pub(crate) sha256: At<Sha256>,
    /// Where the agent reads its settings. "infrastructure" follows from what is wrapped.
    #[serde(default)]
    pub(crate) settings: SettingsSource,
    /// The monit program, if jobs use it.
    pub(crate) monit: Option<At<HostFile>>,
    /// SHA-256 of monit.
    pub(crate) monit_sha256: Option<At<Sha256>>,
    /// Blobstore clients, by the provider that they serve.
    #[serde(default)]
    pub(crate) blobstore: Vec<At<Blobstore>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Blobstore {
    /// Provider: dav, gcs, s3, azure-storage.
    pub(crate) provider: At<Name>,
    /// The client.
    pub(crate) binary: At<HostFile>,
    /// SHA-256 of the client.
    pub(crate) sha256: At<Sha256>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct AddOn {
    /// Name.
    pub(crate) name: At<Name>,
    /// What it is for.
    pub(crate) why: At<Line>,
    /// Packages to install.
    #[serde(default)]
    pub(crate) packages: Vec<At<PackageName>>,
    /// Files to write.
    #[serde(default)]
    pub(crate) files: Vec<At<AddOnFile>>,
    /// systemd units to write.
    #[serde(default)]
    pub(crate) units: Vec<At<AddOnUnit>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct AddOnFile {
    /// Where it is written.
    pub(crate) path: At<AbsolutePath>,
    /// File to copy. One of source, content and link is given.
    pub(crate) source: Option<At<HostFile>>,
    /// The content itself.
    pub(crate) content: Option<String>,
    /// Target of a symbolic link.
    pub(crate) link: Option<At<LinkTarget>>,
    /// Permissions.
    pub(crate) mode: Option<At<Mode>>,
    /// Write it before packages are configured, for maintainer scripts that read it.
    #[serde(default)]
    pub(crate) early: bool,
    /// Owner.
    pub(crate) owner: Option<At<UserName>>,
    /// Group.
    pub(crate) group: Option<At<UserName>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct AddOnUnit {
    /// Name of the unit, with its suffix.
    pub(crate) name: At<UnitName>,
    /// File to copy. One of source and content is given.
    pub(crate) source: Option<At<HostFile>>,
    /// The content itself.
    pub(crate) content: Option<String>,
    /// Start it at boot.
    #[serde(default)]
    pub(crate) enable: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Signing {
    /// OpenSSH Ed25519 private key that signs the stemcell.
    pub(crate) stemcell_key: Option<At<HostFile>>,
    /// Key and certificate that sign the kernel for Secure Boot.
    pub(crate) secure_boot: Option<At<SecureBoot>>,
    /// Make keys where none are named. They are marked as development keys and trusted by nobody.
    pub(crate) development: Option<At<bool>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct SecureBoot {
    /// Private key, PEM.
    pub(crate) key: At<HostFile>,
    /// Certificate, PEM.
    pub(crate) certificate: At<HostFile>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Output {
    /// Infrastructures to wrap the image for.
    pub(crate) iaas: Option<Vec<At<Iaas>>>,
    /// Plain disk images to write beside the stemcells.
    pub(crate) formats: Option<Vec<At<DiskFormat>>>,
    /// Stemcells without an image, for images that are already in a cloud.
    pub(crate) light: Vec<At<Light>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Light {
    /// The infrastructure that has the image.
    pub(crate) iaas: At<Iaas>,
    /// AWS: image id by region.
    pub(crate) ami: Option<At<BTreeMap<String, String>>>,
    /// Google: address of the image.
    pub(crate) image_url: Option<At<Line>>,
    /// Azure: the image in the marketplace.
    pub(crate) image: Option<At<AzureImage>>,
    /// OpenStack: id of the image.
    pub(crate) image_id: Option<At<Line>>,
    /// Warden: OCI reference of the image, by digest.
    pub(crate) reference: Option<At<Line>>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct AzureImage {
    /// Offer.
    pub(crate) offer: Line,
    /// Publisher.
    pub(crate) publisher: Line,
    /// SKU.
    pub(crate) sku: Line,
    /// Version.
    pub(crate) version: Line,
}
