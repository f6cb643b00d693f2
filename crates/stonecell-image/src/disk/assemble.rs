//! Filling one sparse raw file: contents at the offsets of the layout, then the table.

use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use super::GptError;
use super::Layout;
use super::Partition;
use super::gpt;
use crate::sparse;

/// Label of a slot that waits for the next image (Discoverable Partitions Specification).
pub const EMPTY_LABEL: &str = "_empty";

/// Why the disk could not be written.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The raw file could not be created.
    #[error("cannot create the disk {path} of {bytes} bytes")]
    Create {
        /// The raw file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A partition that the layout lacks.
    #[error("the layout has no partition {label:?}")]
    Missing {
        /// The label.
        label: String,
    },
    /// A content larger than its partition.
    #[error("{bytes} bytes do not fit partition {label:?} of {room} bytes; give it a larger size")]
    TooLarge {
        /// Label of the partition.
        label: String,
        /// Bytes of content.
        bytes: u64,
        /// Bytes of the partition.
        room: u64,
    },
    /// A content could not be copied.
    #[error("cannot copy into partition {label:?}")]
    Copy {
        /// Label of the partition.
        label: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The table could not be written.
    #[error("cannot write the partition table")]
    Table(#[source] GptError),
}

/// A raw disk that is being filled. Every method may be called from any thread, in any order.
#[derive(Debug)]
pub struct RawDisk {
    file: File,
}

impl RawDisk {
    /// Creates the raw file as one hole.
    pub fn create(path: &Path, bytes: u64) -> Result<Self, AssembleError> {
        let create = || {
            let file =
                OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
            file.set_len(bytes)?;
            Ok(file)
        };
        let file = create().map_err(|source| AssembleError::Create {
            path: path.to_owned(),
            bytes,
            source,
        })?;
        Ok(Self { file })
    }

    /// The file, for a writer that knows its offset.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Copies a file into a partition; holes and zeros stay holes.
    pub fn put_file(&self, partition: &Partition, content: &Path) -> Result<(), AssembleError> {
        let copy_error = |source| AssembleError::Copy { label: partition.label.clone(), source };
        let content = File::open(content).map_err(copy_error)?;
        fits(partition, content.metadata().map_err(copy_error)?.len())?;
        sparse::copy_into(&content, &self.file, partition.offset).map_err(copy_error)?;
        Ok(())
    }

    /// Copies bytes into a partition; zeros stay holes.
    pub fn put_bytes(&self, partition: &Partition, content: &[u8]) -> Result<(), AssembleError> {
        fits(partition, content.len() as u64)?;
        sparse::write_nonzero(content, &self.file, partition.offset)
            .map_err(|source| AssembleError::Copy { label: partition.label.clone(), source })?;
        Ok(())
    }

    /// Writes the protective MBR, the table and its backup.
    pub fn put_table(&self, layout: &Layout) -> Result<(), AssembleError> {
        gpt::write(&self.file, layout).map_err(AssembleError::Table)
    }
}

fn fits(partition: &Partition, bytes: u64) -> Result<(), AssembleError> {
    if bytes > partition.bytes {
        let label = partition.label.clone();
        return Err(AssembleError::TooLarge { label, bytes, room: partition.bytes });
    }
    Ok(())
}
