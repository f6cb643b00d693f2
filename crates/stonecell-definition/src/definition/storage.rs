//! What lies where: disk layout, and what may change below /etc.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::size::Size;

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
