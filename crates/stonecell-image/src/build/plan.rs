//! What follows from the input without reading anything: names, UUIDs, sizes, the list of partitions.

use sha2::Digest;
use sha2::Sha256;
use uuid::Uuid;

use super::ImageInput;
use crate::disk::DiskSpec;
use crate::disk::EMPTY_LABEL;
use crate::disk::NO_AUTO;
use crate::disk::PartitionKind;
use crate::disk::PartitionSpec;
use crate::disk::READ_ONLY;
use crate::disk::StateFileSystem;
use crate::disk::esp_bytes;
use crate::verity::BLOCK;
use crate::verity::Geometry;
use crate::verity::RootHash;

/// Labels of the partitions that every image has.
pub(super) const ESP: &str = "esp";
pub(super) const ROOT: &str = "root";
pub(super) const VERITY: &str = "root-verity";
const MIB: u64 = 1 << 20;
/// Stands for the root hash until it is known; its two halves differ, as partition UUIDs have to.
pub(super) const UNKNOWN: RootHash = {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    RootHash(bytes)
};

/// Sizes that are known only after the contents were made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// The unsigned UKI.
    pub(super) uki: u64,
    /// The root file system.
    pub(super) root: u64,
    /// The hash tree over it.
    pub(super) verity: u64,
}

/// UUID of the partition with this label. The root and verity partitions have theirs from the root hash.
pub fn partition_uuid(identity: Uuid, label: &str) -> Uuid {
    Uuid::new_v5(&identity, format!("partition/{label}").as_bytes())
}

/// UUID of the file system in the partition with this label.
pub fn file_system_uuid(identity: Uuid, label: &str) -> Uuid {
    Uuid::new_v5(&identity, format!("file-system/{label}").as_bytes())
}

/// UUID in the superblock of the hash tree.
pub(super) fn verity_uuid(identity: Uuid) -> Uuid {
    Uuid::new_v5(&identity, b"verity")
}

/// Salt of the hash tree.
pub(super) fn salt(identity: Uuid) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(b"stonecell dm-verity salt");
    hasher.update(identity.as_bytes());
    hasher.finalize().into()
}

/// Serial number of the EFI system partition's FAT.
pub(super) fn volume_id(identity: Uuid) -> u32 {
    file_system_uuid(identity, ESP).as_fields().0
}

/// The kernel command line with the root hash at its end.
pub(super) fn command_line(given: &str, root_hash: &RootHash) -> String {
    format!("{} roothash={root_hash}", given.trim()).trim_start().to_owned()
}

/// Bytes of a state file system: whole MiB.
pub(super) fn state_bytes(state: &StateFileSystem) -> u64 {
    state.size.checked_next_multiple_of(MIB).unwrap_or(state.size)
}

/// The disk. Offsets do not depend on the root hash.
pub(super) fn disk(input: &ImageInput<'_>, sizes: &Sizes, root_hash: &RootHash) -> DiskSpec {
    let identity = input.identity;
    let esp = input.esp_bytes.unwrap_or_else(|| esp_bytes(sizes.uki, input.ab));
    // A root partition with room to grow needs a verity partition that grows with it.
    let root = sizes.root.max(input.root_bytes.unwrap_or(0));
    let verity = sizes.verity.max(Geometry::new(root.div_ceil(BLOCK)).hash_bytes());
    let mut partitions = vec![
        PartitionSpec {
            label: ESP.to_owned(),
            kind: PartitionKind::Esp,
            uuid: partition_uuid(identity, ESP),
            bytes: esp,
            attributes: 0,
        },
        PartitionSpec {
            label: ROOT.to_owned(),
            kind: PartitionKind::Root,
            uuid: root_hash.root_uuid(),
            bytes: root,
            attributes: READ_ONLY,
        },
        PartitionSpec {
            label: VERITY.to_owned(),
            kind: PartitionKind::RootVerity,
            uuid: root_hash.verity_uuid(),
            bytes: verity,
            attributes: READ_ONLY,
        },
    ];
    if input.ab {
        for (kind, name, bytes) in [
            (PartitionKind::Root, "b/root", root),
            (PartitionKind::RootVerity, "b/root-verity", verity),
        ] {
            partitions.push(PartitionSpec {
                label: EMPTY_LABEL.to_owned(),
                kind,
                uuid: partition_uuid(identity, name),
                bytes,
                attributes: READ_ONLY,
            });
        }
    }
    partitions.extend(input.state.iter().map(|state| PartitionSpec {
        label: state.label.clone(),
        kind: PartitionKind::of_mount(&state.mount),
        uuid: partition_uuid(identity, &state.label),
        bytes: state_bytes(state),
        attributes: NO_AUTO,
    }));
    DiskSpec {
        disk_uuid: Uuid::new_v5(&identity, b"disk"),
        partitions,
        multiple: input.disk_multiple,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_hash_comes_last_on_the_command_line() {
        let hash = RootHash([0xab; 32]);
        let tail = format!("roothash={}", "ab".repeat(32));
        assert_eq!(command_line(" quiet ro\n", &hash), format!("quiet ro {tail}"));
        assert_eq!(command_line("", &hash), tail);
    }

    #[test]
    fn names_give_different_uuids_each_time_the_same() {
        let identity = Uuid::from_u128(5);
        assert_eq!(partition_uuid(identity, "var"), partition_uuid(identity, "var"));
        assert_ne!(partition_uuid(identity, "var"), file_system_uuid(identity, "var"));
        assert_ne!(partition_uuid(identity, "var"), partition_uuid(identity, "home"));
    }
}
