//! The kinds of wanted state. One value of [`Want`] is all that is ever said about a piece of a system: the builder makes it
//! so ([`crate::Selection::apply`]) and the audit looks whether it is so ([`crate::Selection::check`]).
//!
//! The fields are documented in `docs/controls.md`; here stand only the shapes.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Permission bits (the twelve of `chmod`). Written as an octal string (`"0644"`) or a TOML octal integer (`0o644`).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode(pub u32);

impl Mode {
    /// All that a mode may hold: set-user-id, set-group-id, sticky and three times rwx.
    pub const ALL: u32 = 0o7777;
}

impl std::fmt::Display for Mode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:04o}", self.0)
    }
}

impl std::fmt::Debug for Mode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self}")
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Number(u32),
        }
        let bits = match Either::deserialize(source)? {
            Either::Number(bits) => Some(bits),
            Either::Text(text) => u32::from_str_radix(&text, 8).ok(),
        };
        bits.filter(|bits| *bits <= Self::ALL)
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected an octal mode between \"0000\" and \"7777\""))
    }
}

/// One string or a list of strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    /// The strings as a slice, whichever way they were written.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

fn root_name() -> String {
    "root".to_owned()
}

macro_rules! want_struct {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type),* }
    };
}

want_struct!(/// A kernel parameter below `/proc/sys`, in dotted form; `*` is allowed as systemd allows it.
    Sysctl { key: String, value: String });
want_struct!(/// A word of the kernel command line.
    CommandLine { parameter: String, #[serde(default, skip_serializing_if = "is_false")] absent: bool });
want_struct!(/// A kernel module that must not be loadable and not be on the disk.
    Module { name: String, state: ModuleState });
want_struct!(/// A package (glob) that must be installed or must not be.
    Package { name: String, state: PackageState });
want_struct!(/// What systemd does with a unit at boot.
    Unit { name: String, state: UnitState, #[serde(default, skip_serializing_if = "is_false")] if_present: bool });
want_struct!(/// A setting of a unit, after merging its drop-ins.
    UnitSetting { unit: String, section: String, key: String, value: Texts,
        #[serde(default, skip_serializing_if = "is_false")] if_present: bool });
want_struct!(/// A setting of a systemd program, in `/etc/systemd/FILE` and its drop-ins.
    SystemdSetting { file: String, section: String, key: String, value: Texts });
want_struct!(/// A setting in a configuration file of one of four shapes.
    Setting { path: String, format: SettingFormat,
        #[serde(default, skip_serializing_if = "Option::is_none")] section: Option<String>,
        key: String, value: String,
        #[serde(default, skip_serializing_if = "is_false")] if_present: bool });
want_struct!(/// A whole file.
    File { path: String, content: String, mode: Mode,
        #[serde(default = "root_name")] owner: String,
        #[serde(default = "root_name")] group: String });
want_struct!(/// A symbolic link.
    Link { path: String, target: String });
want_struct!(/// Paths (glob) that must not exist.
    Absent { path: String });
want_struct!(/// Mode and owner of what exists at a path (glob).
    Attributes { path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")] mode: Option<Mode>,
        #[serde(default, skip_serializing_if = "Option::is_none")] mode_max: Option<Mode>,
        #[serde(default, skip_serializing_if = "Option::is_none")] owner: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] group: Option<String>,
        #[serde(default, skip_serializing_if = "is_false")] if_present: bool });
want_struct!(/// A line that a file must have (`line`), or a pattern that no line may match (`absent` with `pattern`).
    Line { path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")] line: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] pattern: Option<String>,
        #[serde(default, skip_serializing_if = "is_false")] absent: bool,
        #[serde(default, skip_serializing_if = "is_false")] if_present: bool });
want_struct!(/// Mount options of a file system in `/etc/fstab`.
    Mount { target: String,
        #[serde(default, skip_serializing_if = "Option::is_none")] fs: Option<String>,
        options: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] size: Option<String> });
want_struct!(/// A rule of the audit system in auditctl's syntax; `{arch}` stands for b64 and b32.
    AuditRule { rule: String, key: String });
want_struct!(/// A line of a PAM stack and its place, or arguments that a module must not have.
    Pam { service: String,
        #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")] kind: Option<PamType>,
        #[serde(default, skip_serializing_if = "Option::is_none")] control: Option<String>,
        module: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] args: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] position: Option<PamPosition>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] absent_args: Vec<String>,
        #[serde(default, skip_serializing_if = "is_false")] if_present: bool });
want_struct!(/// State of an account, or of every system account (`*system`).
    Account { user: String,
        #[serde(default, skip_serializing_if = "Option::is_none")] shell: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")] locked: Option<bool>,
        #[serde(default, skip_serializing_if = "Option::is_none")] exists: Option<bool>,
        #[serde(default, skip_serializing_if = "Option::is_none")] password: Option<PasswordState> });
want_struct!(/// No set-user-id, set-group-id or file capability outside the allow-list of the build.
    SpecialBits {});
want_struct!(/// A property that nothing in the tree may have.
    TreeScan { deny: ScanRule });
want_struct!(/// An option of the shipped kernel's configuration.
    KernelConfig { option: String, value: String, #[serde(default, skip_serializing_if = "is_false")] advisory: bool });

/// The only state a module want knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModuleState {
    Blocked,
}

/// Installed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageState {
    Absent,
    Present,
}

/// Started at boot, not started, or not startable at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitState {
    Enabled,
    Disabled,
    Masked,
}

impl UnitState {
    /// The word used in the catalogue.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Masked => "masked",
        }
    }
}

/// How a configuration file writes `key` and `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingFormat {
    /// `Key value`, keys in any case, the first one counts, `Match` blocks and `Include`: OpenSSH.
    Ssh,
    /// `KEY value`, the last one counts: login.defs.
    Space,
    /// `key = value`, the last one counts: auditd.conf, pwquality.conf, files in /etc/default.
    Equals,
    /// `[section]` and `key = value`.
    Ini,
}

/// The four stacks of PAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PamType {
    Auth,
    Account,
    Password,
    Session,
}

impl PamType {
    /// The word used in PAM's files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Account => "account",
            Self::Password => "password",
            Self::Session => "session",
        }
    }
}

/// Where in its stack a PAM line must stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PamPosition {
    /// Before everything that can end the stack.
    First,
    /// Behind everything else of its type.
    Last,
    /// Somewhere before the named module.
    Before(String),
    /// Behind the named module, with nothing between that could end the stack.
    After(String),
    /// In the place of the line with the same type and module.
    Replace,
}

impl std::fmt::Display for PamPosition {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::First => out.write_str("first"),
            Self::Last => out.write_str("last"),
            Self::Before(module) => write!(out, "before:{module}"),
            Self::After(module) => write!(out, "after:{module}"),
            Self::Replace => out.write_str("replace"),
        }
    }
}

impl Serialize for PamPosition {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PamPosition {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let text = String::deserialize(source)?;
        match text.as_str() {
            "first" => Ok(Self::First),
            "last" => Ok(Self::Last),
            "replace" => Ok(Self::Replace),
            other => match other.split_once(':') {
                Some(("before", module)) if !module.is_empty() => {
                    Ok(Self::Before(module.to_owned()))
                }
                Some(("after", module)) if !module.is_empty() => Ok(Self::After(module.to_owned())),
                _ => Err(D::Error::custom(
                    "expected \"first\", \"last\", \"before:MODULE\", \"after:MODULE\" or \"replace\"",
                )),
            },
        }
    }
}

/// The only password state a want knows: no password opens the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordState {
    None,
}

/// What `tree_scan` can look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanRule {
    /// Files that everyone may write, directories that everyone may write and that are not sticky.
    WorldWritable,
    /// Files whose owner or group has no name.
    Unowned,
    /// Scripts with set-user-id or set-group-id.
    SetuidScript,
    /// Accounts whose password is the empty string.
    EmptyPassword,
    /// Two users or two groups with one number or one name.
    DuplicateIds,
    /// Programs, libraries and their settings that a group or everyone may write, or that root does not own.
    GroupWritableSystem,
    /// `+` lines of NIS in passwd, shadow, group and gshadow.
    LegacyPlusEntries,
    /// `.rhosts`, `.shosts`, `.netrc`, `hosts.equiv` and `shosts.equiv`.
    Rhosts,
    /// Private keys in PEM form.
    PrivateKeys,
}

impl ScanRule {
    /// Every rule, for tests that must not forget one.
    pub const ALL: [Self; 9] = [
        Self::WorldWritable,
        Self::Unowned,
        Self::SetuidScript,
        Self::EmptyPassword,
        Self::DuplicateIds,
        Self::GroupWritableSystem,
        Self::LegacyPlusEntries,
        Self::Rhosts,
        Self::PrivateKeys,
    ];
}

/// One wanted state. The tag in TOML and JSON is `kind`, in snake_case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Want {
    Sysctl(Sysctl),
    CommandLine(CommandLine),
    Module(Module),
    Package(Package),
    Unit(Unit),
    UnitSetting(UnitSetting),
    SystemdSetting(SystemdSetting),
    Setting(Setting),
    File(File),
    Link(Link),
    Absent(Absent),
    Attributes(Attributes),
    Line(Line),
    Mount(Mount),
    AuditRule(AuditRule),
    Pam(Pam),
    Account(Account),
    SpecialBits(SpecialBits),
    TreeScan(TreeScan),
    KernelConfig(KernelConfig),
}

impl Want {
    /// The tag of this want.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sysctl(_) => "sysctl",
            Self::CommandLine(_) => "command_line",
            Self::Module(_) => "module",
            Self::Package(_) => "package",
            Self::Unit(_) => "unit",
            Self::UnitSetting(_) => "unit_setting",
            Self::SystemdSetting(_) => "systemd_setting",
            Self::Setting(_) => "setting",
            Self::File(_) => "file",
            Self::Link(_) => "link",
            Self::Absent(_) => "absent",
            Self::Attributes(_) => "attributes",
            Self::Line(_) => "line",
            Self::Mount(_) => "mount",
            Self::AuditRule(_) => "audit_rule",
            Self::Pam(_) => "pam",
            Self::Account(_) => "account",
            Self::SpecialBits(_) => "special_bits",
            Self::TreeScan(_) => "tree_scan",
            Self::KernelConfig(_) => "kernel_config",
        }
    }
}
