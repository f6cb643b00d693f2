//! A package ready to be unpacked: its control data, its list of entries, and where its content is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::control::{self, ControlError, Relation, Stanza};
use crate::deb::ControlFile;
use crate::tarball::{Entry, Kind};

/// Everything about a package but the content of its files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The `control` file's only stanza.
    pub control: Stanza,
    /// The other files of the control archive, sorted by name; `md5sums` is always among them.
    pub files: Vec<ControlFile>,
    /// The data archive's entries in order.
    pub entries: Vec<Entry>,
    /// Where the content of the regular files is: each piece holds whole files, in entry order.
    pub pieces: Vec<Piece>,
}

/// A run of consecutive entries whose contents are compressed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// First entry with content in it.
    pub first: usize,
    /// One past the last.
    pub end: usize,
    /// Byte offset of the zstd frame after the head of the stored form.
    pub offset: u64,
    /// Bytes of the frame.
    pub length: u64,
}

/// Where contents come from.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// The stored form: the file and where its first frame starts.
    Stored {
        /// The file.
        file: PathBuf,
        /// Offset of the frames in it.
        start: u64,
    },
    /// Made by the build: the content of each entry, in entry order.
    Memory(Vec<Vec<u8>>),
}

/// A package with its content.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// Name, from the control file.
    pub name: String,
    /// Version.
    pub version: String,
    /// `amd64`, `all`, ...
    pub architecture: String,
    /// The rest.
    pub description: Description,
    /// Its files' contents.
    pub content: Content,
}

/// A configuration file as `conffiles` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conffile {
    /// Path without a leading slash.
    pub path: String,
    /// `remove-on-upgrade` (dpkg 1.20.6): not shipped, only ever removed.
    pub remove_on_upgrade: bool,
}

impl Package {
    /// Puts a package together and checks what later becomes part of file names.
    ///
    /// # Errors
    /// [`ControlError`] when a mandatory field is missing or not as Debian Policy 5.6 demands.
    pub(crate) fn new(description: Description, content: Content) -> Result<Self, ControlError> {
        let field = |name: &'static str| {
            description.control.get(name).map(str::to_owned).ok_or(ControlError::Missing(name))
        };
        let (name, version, architecture) =
            (field("Package")?, field("Version")?, field("Architecture")?);
        if !control::is_package_name(&name) {
            return Err(ControlError::Value { field: "Package", value: name });
        }
        if !control::is_package_name(&architecture) {
            return Err(ControlError::Value { field: "Architecture", value: architecture });
        }
        Ok(Self { name, version, architecture, description, content })
    }

    /// The file of the control archive called `name`.
    #[must_use]
    pub(crate) fn file(&self, name: &str) -> Option<&ControlFile> {
        self.description.files.iter().find(|file| file.name == name)
    }

    /// What dpkg calls the package's files in `info/`: with the architecture for `Multi-Arch: same`.
    #[must_use]
    pub(crate) fn info_stem(&self) -> String {
        if self.description.control.get("Multi-Arch") == Some("same") {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.clone()
        }
    }

    /// The groups of a relation field; an absent field has none.
    ///
    /// # Errors
    /// [`ControlError::Relation`].
    pub(crate) fn relations(&self, field: &str) -> Result<Vec<Vec<Relation>>, ControlError> {
        self.description.control.get(field).map_or_else(|| Ok(Vec::new()), control::relations)
    }

    /// The configuration files in the order of the list.
    #[must_use]
    pub(crate) fn conffiles(&self) -> Vec<Conffile> {
        let text = self.file("conffiles").map(|file| String::from_utf8_lossy(&file.data));
        let lines = text.as_deref().unwrap_or_default().lines().map(str::trim_end);
        lines
            .filter_map(|line| {
                let (flag, path) = match line.split_once(' ') {
                    Some(("remove-on-upgrade", path)) => (true, path),
                    _ => (false, line),
                };
                let path = path.strip_prefix('/')?;
                Some(Conffile { path: path.to_owned(), remove_on_upgrade: flag })
            })
            .collect()
    }

    /// Bytes of all regular files.
    #[must_use]
    pub(crate) fn unpacked_size(&self) -> u64 {
        let size = |entry: &Entry| if let Kind::File { size } = entry.kind { size } else { 0 };
        self.description.entries.iter().map(size).sum()
    }
}
