//! What the outside of a build tells its inside: paths and choices, as a JSON file in the staging directory.

use std::path::PathBuf;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Everything that the inside needs beside the definition and the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The definition.
    pub definition: PathBuf,
    /// The lock.
    pub lock: PathBuf,
    /// The day against which opt-outs expire.
    pub today: Date,
    /// Package cache: downloads and fast forms.
    pub cache: PathBuf,
    /// Directory of the moment on the disk of the results; removed by the outside.
    pub staging: PathBuf,
    /// Directory that finished results go to, on the same file system.
    pub done: PathBuf,
    /// Directory for the tree; the tmpfs is mounted here.
    pub work: PathBuf,
    /// Put the tree on a tmpfs?
    pub memory: bool,
    /// Infrastructures to wrap for, by name.
    pub iaas: Vec<String>,
    /// Loose disk images to write, by name.
    pub formats: Vec<String>,
    /// OpenSSH private key.
    pub stemcell_key: PathBuf,
    /// Secure Boot private key.
    pub secure_boot_key: PathBuf,
    /// Secure Boot certificate.
    pub secure_boot_certificate: PathBuf,
    /// Are they development keys?
    pub development_keys: bool,
    /// The initrd's program.
    pub init: PathBuf,
}
