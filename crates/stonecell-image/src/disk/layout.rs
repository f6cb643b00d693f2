//! Where each partition lies: one after the other, on whole MiB, room for both partition tables.

use std::collections::BTreeSet;

use serde::Serialize;
use uuid::Uuid;

use super::PartitionKind;

/// Partitions start and end on multiples of this; the first one leaves it to the primary table, the backup
/// table has as much at the end.
pub(super) const ALIGNMENT: u64 = 1 << 20;
/// Longest partition label, in UTF-16 units (UEFI specification 5.3.3).
const LABEL_UNITS: usize = 36;
/// Entries in the table as everyone writes it.
const MAX_PARTITIONS: usize = 128;

/// The disk that is wanted.
#[derive(Debug, Clone)]
pub struct DiskSpec {
    /// GUID of the disk.
    pub disk_uuid: Uuid,
    /// The partitions in their order on the disk.
    pub partitions: Vec<PartitionSpec>,
    /// The disk is a multiple of this many bytes; itself a positive multiple of 1 MiB. Google wants whole GiB.
    pub multiple: u64,
}

/// One partition that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionSpec {
    /// Name in the table; at most 36 UTF-16 units. Empty slots for the next image are all named `_empty`.
    pub label: String,
    /// What it is for.
    pub kind: PartitionKind,
    /// GUID of the partition.
    pub uuid: Uuid,
    /// Size in bytes that is needed; the partition gets whole MiB.
    pub bytes: u64,
    /// [`super::READ_ONLY`], [`super::NO_AUTO`].
    pub attributes: u64,
}

/// One partition in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Name in the table.
    pub label: String,
    /// What it is for.
    pub kind: PartitionKind,
    /// GUID of the partition.
    pub uuid: Uuid,
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
    /// [`super::READ_ONLY`], [`super::NO_AUTO`].
    pub attributes: u64,
}

/// The whole disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// GUID of the disk.
    pub disk_uuid: Uuid,
    /// Size of the disk.
    pub disk_bytes: u64,
    /// The partitions in their order on the disk.
    pub partitions: Vec<Partition>,
}

impl Layout {
    /// The partition with this label.
    pub fn partition(&self, label: &str) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.label == label)
    }
}

/// Why no such disk can be laid out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// More partitions than the table holds.
    #[error("{count} partitions, but a partition table holds 128")]
    TooMany {
        /// Partitions asked for.
        count: usize,
    },
    /// A label that the table cannot hold.
    #[error("partition label {label:?} is empty or longer than 36 UTF-16 units")]
    Label {
        /// The label.
        label: String,
    },
    /// Two partitions with one label.
    #[error("two partitions are labelled {label:?}")]
    DuplicateLabel {
        /// The label.
        label: String,
    },
    /// Two partitions with one GUID.
    #[error("two partitions have the UUID {uuid}")]
    DuplicateUuid {
        /// The GUID.
        uuid: Uuid,
    },
    /// A partition of no bytes.
    #[error("partition {label:?} has no size")]
    Empty {
        /// Its label.
        label: String,
    },
    /// A multiple that is not whole MiB.
    #[error("the disk size multiple of {multiple} bytes is not a positive multiple of 1 MiB")]
    Multiple {
        /// The multiple.
        multiple: u64,
    },
    /// The sizes add up to more than a disk can have.
    #[error("the partitions add up to more than 2^62 bytes")]
    TooLarge,
}

/// Places the partitions one after the other on whole MiB.
pub fn layout(spec: &DiskSpec) -> Result<Layout, LayoutError> {
    if spec.partitions.len() > MAX_PARTITIONS {
        return Err(LayoutError::TooMany { count: spec.partitions.len() });
    }
    if spec.multiple == 0 || !spec.multiple.is_multiple_of(ALIGNMENT) {
        return Err(LayoutError::Multiple { multiple: spec.multiple });
    }
    let mut labels = BTreeSet::new();
    let mut uuids = BTreeSet::new();
    let mut next = ALIGNMENT;
    let mut partitions = Vec::with_capacity(spec.partitions.len());
    for partition in &spec.partitions {
        let label = &partition.label;
        if label.is_empty() || label.encode_utf16().count() > LABEL_UNITS {
            return Err(LayoutError::Label { label: label.clone() });
        }
        if label != super::assemble::EMPTY_LABEL && !labels.insert(label) {
            return Err(LayoutError::DuplicateLabel { label: label.clone() });
        }
        if !uuids.insert(partition.uuid) {
            return Err(LayoutError::DuplicateUuid { uuid: partition.uuid });
        }
        if partition.bytes == 0 {
            return Err(LayoutError::Empty { label: label.clone() });
        }
        let bytes = rounded(partition.bytes, ALIGNMENT)?;
        partitions.push(Partition {
            label: label.clone(),
            kind: partition.kind,
            uuid: partition.uuid,
            offset: next,
            bytes,
            attributes: partition.attributes,
        });
        next = rounded(next.checked_add(bytes).ok_or(LayoutError::TooLarge)?, ALIGNMENT)?;
    }
    let disk_bytes = rounded(next + ALIGNMENT, spec.multiple)?;
    Ok(Layout { disk_uuid: spec.disk_uuid, disk_bytes, partitions })
}

fn rounded(bytes: u64, multiple: u64) -> Result<u64, LayoutError> {
    match bytes.checked_next_multiple_of(multiple) {
        Some(rounded) if rounded <= 1 << 62 => Ok(rounded),
        _ => Err(LayoutError::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(sizes: &[u64], multiple: u64) -> DiskSpec {
        let partitions = sizes
            .iter()
            .zip(1_u128..)
            .map(|(&bytes, n)| PartitionSpec {
                label: format!("p{n}"),
                kind: PartitionKind::Linux,
                uuid: Uuid::from_u128(n),
                bytes,
                attributes: 0,
            })
            .collect();
        DiskSpec { disk_uuid: Uuid::nil(), partitions, multiple }
    }

    proptest! {
        #[test]
        fn partitions_are_aligned_apart_and_inside(
            sizes in prop::collection::vec(1_u64..1 << 40, 0..20),
            multiple in 1_u64..3000,
        ) {
            let multiple = multiple << 20;
            let layout = layout(&spec(&sizes, multiple)).unwrap();
            let mut free_from = ALIGNMENT;
            for (partition, wanted) in layout.partitions.iter().zip(&sizes) {
                prop_assert!(partition.offset >= free_from);
                prop_assert_eq!(partition.offset % ALIGNMENT, 0);
                prop_assert_eq!(partition.bytes % ALIGNMENT, 0);
                prop_assert!(partition.bytes >= *wanted && partition.bytes < wanted + ALIGNMENT);
                free_from = partition.offset + partition.bytes;
            }
            prop_assert_eq!(layout.partitions.len(), sizes.len());
            prop_assert!(free_from + ALIGNMENT <= layout.disk_bytes);
            prop_assert_eq!(layout.disk_bytes % multiple, 0);
            prop_assert!(layout.disk_bytes < free_from + ALIGNMENT + multiple);
        }

        #[test]
        fn any_sizes_are_laid_out_or_refused(
            sizes in prop::collection::vec(any::<u64>(), 0..140), multiple in any::<u64>(),
        ) {
            let _ = layout(&spec(&sizes, multiple));
        }
    }

    #[test]
    fn contradictions_are_named() {
        let mut two = spec(&[1, 1], ALIGNMENT);
        two.partitions[1].label = "p1".into();
        assert_eq!(layout(&two), Err(LayoutError::DuplicateLabel { label: "p1".into() }));
        let mut two = spec(&[1, 1], ALIGNMENT);
        two.partitions[1].uuid = Uuid::from_u128(1);
        assert_eq!(layout(&two), Err(LayoutError::DuplicateUuid { uuid: Uuid::from_u128(1) }));
        assert_eq!(layout(&spec(&[0], ALIGNMENT)), Err(LayoutError::Empty { label: "p1".into() }));
        assert_eq!(layout(&spec(&[1], 5)), Err(LayoutError::Multiple { multiple: 5 }));
        assert_eq!(layout(&spec(&[1; 129], ALIGNMENT)), Err(LayoutError::TooMany { count: 129 }));
        assert_eq!(layout(&spec(&[u64::MAX], ALIGNMENT)), Err(LayoutError::TooLarge));
        let mut long = spec(&[1], ALIGNMENT);
        long.partitions[0].label = "x".repeat(37);
        assert!(matches!(layout(&long), Err(LayoutError::Label { .. })));
    }
}
