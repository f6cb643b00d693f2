//! Disk formats of the clouds, made by `qemu-img` from the raw disk and then made the same each time.
//!
//! `qemu-img` puts the time, a random UUID or a random number into some formats; these are replaced by
//! values that follow from the identity and the epoch. What was found by converting twice is written down in
//! `docs/image.md`.

mod vhd;
mod vmdk;

use std::ffi::OsString;
use std::fs;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use uuid::Uuid;

use crate::tool::Tool;
use crate::tool::ToolError;

const QEMU_IMG: Tool = Tool { program: "qemu-img", package: "qemu-utils" };

/// A disk format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskFormat {
    /// The bytes of the disk, sparse.
    Raw,
    /// qcow2 of version 3, not compressed: quick to make, for QEMU.
    Qcow2,
    /// qcow2 of version 3 with zstd-compressed clusters.
    Qcow2Zstd,
    /// qcow2 of version 2 (`compat=0.10`), compressed with zlib, which every OpenStack reads.
    Qcow2Compat010,
    /// VHD of fixed size with the exact size of the disk, for Azure.
    VhdFixed,
    /// VHD that grows, for CloudStack on Xen.
    VhdDynamic,
    /// VMDK with compressed grains in one stream, for OVF.
    VmdkStream,
}

impl DiskFormat {
    /// Format name and options for `qemu-img`.
    fn options(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Raw => ("raw", &[]),
            Self::Qcow2 => ("qcow2", &["-o", "compat=1.1"]),
            Self::Qcow2Zstd => ("qcow2", &["-c", "-o", "compat=1.1,compression_type=zstd"]),
            Self::Qcow2Compat010 => ("qcow2", &["-c", "-o", "compat=0.10"]),
            Self::VhdFixed => ("vpc", &["-o", "subformat=fixed,force_size=on"]),
            Self::VhdDynamic => ("vpc", &["-o", "subformat=dynamic,force_size=on"]),
            Self::VmdkStream => {
                ("vmdk", &["-o", "subformat=streamOptimized,adapter_type=lsilogic"])
            }
        }
    }
}

/// Why there is no converted disk.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// `qemu-img` failed.
    #[error("cannot convert {raw} to {format:?}")]
    Convert {
        /// The raw disk.
        raw: PathBuf,
        /// The format.
        format: DiskFormat,
        /// What the tool said.
        #[source]
        source: ToolError,
    },
    /// The new file could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `qemu-img` wrote something else than expected.
    #[error("{path} is not the {what} that qemu-img was to write")]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
}

/// Converts the raw disk. `out` is replaced when it exists; the caller renames it to its final name.
pub fn convert(
    raw: &Path,
    out: &Path,
    format: DiskFormat,
    identity: Uuid,
    epoch: u64,
) -> Result<(), ConvertError> {
    let (name, options) = format.options();
    let mut command = QEMU_IMG.command();
    command
        .args(["convert", "-f", "raw", "-O", name])
        .args(options)
        .arg(plain_path(raw))
        .arg(plain_path(out));
    QEMU_IMG.run(&mut command).map_err(|source| ConvertError::Convert {
        raw: raw.to_owned(),
        format,
        source,
    })?;
    let fix: fn(&fs::File, Uuid, u64) -> Result<(), FixError> = match format {
        DiskFormat::VhdFixed | DiskFormat::VhdDynamic => vhd::fix,
        DiskFormat::VmdkStream => vmdk::fix,
        _ => return Ok(()),
    };
    let file_error = |source| ConvertError::File { path: out.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).open(out).map_err(file_error)?;
    fix(&file, identity, epoch).map_err(|error| match error {
        FixError::Io(source) => file_error(source),
        FixError::Unexpected(what) => ConvertError::Unexpected { path: out.to_owned(), what },
    })
}

/// `qemu-img` takes a name with a colon for a protocol; one with a slash before it is a file.
fn plain_path(path: &Path) -> OsString {
    if path.is_absolute() {
        return path.as_os_str().to_owned();
    }
    Path::new(".").join(path).into_os_string()
}

/// Why the varying parts could not be replaced.
#[derive(Debug)]
enum FixError {
    Io(io::Error),
    Unexpected(&'static str),
}

impl From<io::Error> for FixError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
