//! Partition types and attributes of the Discoverable Partitions Specification (UAPI.2).

use std::path::PathBuf;

use serde::Serialize;
use uuid::Uuid;
use uuid::uuid;

/// Attribute bit 60: mount read-only.
pub const READ_ONLY: u64 = 1 << 60;
/// Attribute bit 63: do not mount by type. The image's fstab says where the state goes; without this bit
/// `systemd-gpt-auto-generator` would have a second opinion.
pub const NO_AUTO: u64 = 1 << 63;

/// What a partition is for, as its type UUID says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionKind {
    /// EFI system partition.
    Esp,
    /// Root file system for x86-64.
    Root,
    /// dm-verity tree of the root file system.
    RootVerity,
    /// `/var`.
    Var,
    /// `/var/tmp`.
    VarTmp,
    /// `/home`.
    Home,
    /// `/srv`.
    Srv,
    /// Any other Linux file system.
    Linux,
    /// A type that Stonecell does not write.
    Other(Uuid),
}

const TYPES: [(PartitionKind, Uuid); 8] = [
    (PartitionKind::Esp, uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")),
    (PartitionKind::Root, uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")),
    (PartitionKind::RootVerity, uuid!("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")),
    (PartitionKind::Var, uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d")),
    (PartitionKind::VarTmp, uuid!("7ec6f557-3bc5-4aca-b293-16ef5df639d1")),
    (PartitionKind::Home, uuid!("933ac7e1-2eb4-4f13-b844-0e14e2aef915")),
    (PartitionKind::Srv, uuid!("3b8f8425-20e0-4f3b-907f-1a25a76f98e8")),
    (PartitionKind::Linux, uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4")),
];

impl PartitionKind {
    /// The type UUID.
    pub fn type_uuid(self) -> Uuid {
        match self {
            Self::Other(uuid) => uuid,
            known => TYPES
                .iter()
                .find_map(|&(kind, uuid)| (kind == known).then_some(uuid))
                .unwrap_or(Uuid::nil()),
        }
    }

    /// The kind that a type UUID stands for.
    pub fn of_type(uuid: Uuid) -> Self {
        TYPES
            .iter()
            .find_map(|&(kind, known)| (uuid == known).then_some(kind))
            .unwrap_or(Self::Other(uuid))
    }

    /// The kind for a mount point; `/var/log` and the like have no type of their own.
    pub fn of_mount(mount: &str) -> Self {
        match mount {
            "/var" => Self::Var,
            "/var/tmp" => Self::VarTmp,
            "/home" => Self::Home,
            "/srv" => Self::Srv,
            _ => Self::Linux,
        }
    }
}

/// A writable file system that the image starts with.
#[derive(Debug, Clone)]
pub struct StateFileSystem {
    /// Where the image's fstab mounts it; decides the partition type.
    pub mount: String,
    /// Label of the partition and of the file system: at most 16 bytes of ASCII, unique.
    pub label: String,
    /// Size in bytes; rounded up to whole MiB.
    pub size: u64,
    /// What it holds at first boot; empty when `None`. Owner and mode of this directory are those of the
    /// top of the file system.
    pub tree: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_type_uuids_are_each_others_inverse() {
        for (kind, uuid) in TYPES {
            assert_eq!(kind.type_uuid(), uuid);
            assert_eq!(PartitionKind::of_type(uuid), kind);
        }
        let other = Uuid::from_u128(1);
        assert_eq!(PartitionKind::of_type(other).type_uuid(), other);
    }
}
