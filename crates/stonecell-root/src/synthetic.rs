//! Packages that the build makes itself, so that dpkg knows of them as of any other.

use md5::Digest;

use crate::control::{ControlError, Stanza};
use crate::deb::ControlFile;
use crate::package::{Content, Description, Package};
use crate::tarball::{Entry, Kind};

/// A package made by the build, for example the one that provides `linux-initramfs-tool`.
#[derive(Debug, Clone, Default)]
pub struct Synthetic {
    /// Package name.
    pub name: String,
    /// Debian version.
    pub version: String,
    /// `Provides`, empty for none.
    pub provides: String,
    /// `Depends`, empty for none.
    pub depends: String,
    /// One line.
    pub description: String,
    /// `Maintainer`, as `Name <address>`.
    pub maintainer: String,
    /// Its files; their directories are made where they are absent.
    pub files: Vec<SyntheticFile>,
}

/// A file of a [`Synthetic`] package.
#[derive(Debug, Clone)]
pub struct SyntheticFile {
    /// Path without a leading slash.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
}

impl Synthetic {
    /// As a package with all that dpkg expects of one.
    ///
    /// # Errors
    /// [`ControlError`] for a name that is not a package name.
    pub(crate) fn to_package(&self, epoch: i64) -> Result<Package, ControlError> {
        let bytes: usize = self.files.iter().map(|file| file.content.len()).sum();
        let size = (bytes / 1024 + 1).to_string();
        let fields = [
            ("Package", self.name.as_str()),
            ("Version", &self.version),
            ("Architecture", "all"),
            ("Maintainer", &self.maintainer),
            ("Installed-Size", &size),
            ("Depends", &self.depends),
            ("Provides", &self.provides),
            ("Section", "admin"),
            ("Priority", "optional"),
            ("Description", &self.description),
        ];
        let fields = fields.iter().filter(|(_, value)| !value.is_empty());
        let control = Stanza {
            fields: fields.map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        let entry = |path: &str, kind, mode| Entry {
            path: path.to_owned(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            user: "root".into(),
            group: "root".into(),
            mtime: epoch,
        };
        let mut entries = vec![entry("", Kind::Directory, 0o755)];
        let mut contents = vec![Vec::new()];
        let mut sums = String::new();
        let mut files: Vec<&SyntheticFile> = self.files.iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in files {
            for (end, _) in file.path.match_indices('/') {
                let dir = file.path.get(..end).unwrap_or_default();
                if !entries.iter().any(|entry| entry.path == dir) {
                    entries.push(entry(dir, Kind::Directory, 0o755));
                    contents.push(Vec::new());
                }
            }
            sums += &format!("{}  {}\n", hex::encode(md5::Md5::digest(&file.content)), file.path);
            entries.push(entry(
                &file.path,
                Kind::File { size: file.content.len() as u64 },
                file.mode,
            ));
            contents.push(file.content.clone());
        }
        let sums = ControlFile { name: "md5sums".into(), mode: 0o644, data: sums.into_bytes() };
        let description = Description { control, files: vec![sums], entries, pieces: Vec::new() };
        Package::new(description, Content::Memory(contents))
    }
}
