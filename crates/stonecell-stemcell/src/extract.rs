//! Writing the root file system of an image as a directory.
//!
//! Like `tar`: root keeps owners, devices and every attribute; anybody else gets a copy that belongs to them,
//! without devices and privileged attributes, and a note that says so. Everything is written into a private
//! directory beside the wanted one, which is renamed into place at the end.

mod confined;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::files::{self, FilesError, Item, What};
use crate::open::OpenError;
use crate::outputs;
use crate::progress::{Event, Progress};
use crate::scratch::Scratch;
use crate::tree::Kind;
use confined::Confined;

/// Why a root could not be extracted. Nothing is left behind.
#[derive(Debug, Error)]
pub enum ExtractError {
    /// The stemcell cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The files in it cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The directory holds something.
    #[error("{path} is not empty: name a directory that does not exist yet")]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A file operation outside of the extracted tree failed.
    #[error("cannot {action} {path}")]
    Io {
        /// For example `make`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the tree could not be written.
    #[error("cannot {action} {path} of the image")]
    Entry {
        /// For example `write`.
        action: &'static str,
        /// Absolute path in the image.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Extracted {
    /// Where.
    pub directory: PathBuf,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links, further names of files, devices.
    pub others: u64,
    /// Bytes of the regular files.
    pub bytes: u64,
    /// What is not as in the image, one line each.
    pub notes: Vec<String>,
}

/// Writes the root of the stemcell or disk `path` as `dir`, which must not exist or be empty.
///
/// # Errors
/// [`ExtractError`] that names the file.
pub fn extract(path: &Path, dir: &Path, progress: Progress<'_>) -> Result<Extracted, ExtractError> {
    extract_as(path, dir, rustix::process::geteuid().is_root(), progress)
}

fn extract_as(
    path: &Path,
    dir: &Path,
    keep_owners: bool,
    progress: Progress<'_>,
) -> Result<Extracted, ExtractError> {
    let fail = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ExtractError::Io { action, path, source }
    };
    let path = outputs::one(path).map_err(fail("read", path))?;
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(ExtractError::NotEmpty { path: dir.to_owned() });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(fail("read", dir)(error)),
    }
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary =
        |action, prefix: &str| Scratch::beside(parent, prefix).map_err(fail(action, parent));
    let work = temporary("make a work directory in", ".stonecell-unpack-")?;
    progress(Event::Phase("unpack the image"));
    let opened = crate::open::open_telling(&path, work.path(), progress)?;

    progress(Event::Phase("write the files"));
    let partial = temporary("make a directory in", ".stonecell-partial-")?;
    let tree = partial.path().join("root");
    fs::create_dir(&tree).map_err(fail("make", &tree))?;
    let mut writer = Writer {
        confined: Confined::open(&tree).map_err(fail("open", &tree))?,
        keep_owners,
        directories: Vec::new(),
        skipped: BTreeMap::new(),
        done: Extracted { directory: dir.to_owned(), ..Extracted::default() },
    };
    files::walk(&opened.content, &mut |item, data| writer.item(item, data))?;
    let done = writer.finish()?;
    fs::rename(&tree, dir).map_err(fail("put the tree in place at", dir))?;
    Ok(done)
}

struct Writer {
    confined: Confined,
    keep_owners: bool,
    /// Attributes of directories are set last: their files change their times, and their modes may forbid
    /// to write.
    directories: Vec<Item>,
    /// Number of things that this user cannot make, by what they are.
    skipped: BTreeMap<&'static str, u64>,
    done: Extracted,
}

impl Writer {
    fn item(&mut self, item: &Item, data: &mut dyn Read) -> Result<(), ExtractError> {
        match &item.what {
            What::Own(Kind::Directory) => {
                if item.path != b"/" {
                    self.confined.make_directory(&item.path).map_err(at("make", item))?;
                }
                self.done.directories += 1;
                self.directories.push(item.clone());
                return Ok(());
            }
            What::Own(Kind::File { size }) => {
                let file = self.confined.make_file(&item.path).map_err(at("make", item))?;
                let mut limited = data.take(*size);
                let written = io::copy(&mut limited, &mut &file).map_err(at("write", item))?;
                if written != *size {
                    let short = io::Error::other(format!("{written} of {size} bytes are there"));
                    return Err(at("read", item)(short));
                }
                self.done.files += 1;
                self.done.bytes += written;
            }
            What::Own(Kind::Link { target }) => {
                self.confined.make_link(&item.path, target).map_err(at("make", item))?;
                self.done.others += 1;
            }
            What::Own(Kind::Fifo | Kind::Character(..) | Kind::Block(..)) => {
                if !self.keep_owners && item.what != What::Own(Kind::Fifo) {
                    *self.skipped.entry("devices were left out").or_default() += 1;
                    return Ok(());
                }
                self.confined.make_node(item).map_err(at("make", item))?;
                self.done.others += 1;
            }
            What::Same { first } => {
                self.confined.make_same(first, &item.path).map_err(at("link", item))?;
                self.done.others += 1;
                return Ok(());
            }
        }
        self.attributes(item)
    }

    /// Owner first: changing it clears set-id bits and capabilities. Mode after the attributes: it may forbid
    /// the owner to write them.
    fn attributes(&mut self, item: &Item) -> Result<(), ExtractError> {
        let handle = self.confined.open_entry(&item.path).map_err(at("open", item))?;
        if self.keep_owners {
            handle.set_owner(item.uid, item.gid).map_err(at("set the owner of", item))?;
        } else if item.uid != 0 || item.gid != 0 {
            *self.skipped.entry("owners other than root were not kept").or_default() += 1;
        }
        for (name, value) in &item.attributes {
            let privileged = !name.starts_with(b"user.");
            if privileged && !self.keep_owners {
                *self
                    .skipped
                    .entry("privileged attributes (capabilities) were not kept")
                    .or_default() += 1;
                continue;
            }
            handle.set_attribute(name, value).map_err(at("set an attribute of", item))?;
        }
        if !matches!(item.what, What::Own(Kind::Link { .. })) {
            handle.set_mode(item.mode).map_err(at("set the mode of", item))?;
        }
        handle.set_time(item.time).map_err(at("set the time of", item))
    }

    fn finish(mut self) -> Result<Extracted, ExtractError> {
        // Deepest first, so that a mode that forbids entering comes after everything below it.
        while let Some(item) = self.directories.pop() {
            self.attributes(&item)?;
        }
        self.done.notes = self
            .skipped
            .iter()
            .map(|(what, count)| format!("{what}: {count} (run as root to keep them)"))
            .collect();
        Ok(self.done)
    }
}

fn at(action: &'static str, item: &Item) -> impl FnOnce(io::Error) -> ExtractError + use<> {
    let path = String::from_utf8_lossy(&item.path).into_owned();
    move |source| ExtractError::Entry { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, EntryType, Header};

    use super::*;

    /// A stemcell whose image is a tar of these members: name, type, content or target.
    fn stemcell(dir: &Path, members: &[(&str, EntryType, &str)]) -> PathBuf {
        type Tar = Builder<GzEncoder<Vec<u8>>>;
        let packed = |fill: &dyn Fn(&mut Tar)| {
            let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
            fill(&mut tar);
            tar.into_inner().unwrap().finish().unwrap()
        };
        let image = packed(&|tar| {
            for (name, kind, text) in members {
                let mut header = Header::new_gnu();
                header.set_entry_type(*kind);
                header.set_mode(0o640);
                header.set_uid(7);
                header.set_gid(8);
                header.set_mtime(9);
                // Written as it is: the tar crate itself refuses some of these names.
                header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
                if kind.is_file() {
                    header.set_size(text.len() as u64);
                } else {
                    header.set_size(0);
                    header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
                }
                if *kind == EntryType::Char {
                    header.set_device_major(1).unwrap();
                    header.set_device_minor(3).unwrap();
                }
                header.set_cksum();
                tar.append(&header, if kind.is_file() { text.as_bytes() } else { b"" }).unwrap();
            }
        });
        let path = dir.join("stemcell.tgz");
        let bytes = packed(&|tar| {
            let mut header = Header::new_ustar();
            header.set_size(image.len() as u64);
            tar.append_data(&mut header, "image", image.as_slice()).unwrap();
        });
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn a_hostile_tar_writes_nothing_outside_and_leaves_nothing() {
        use EntryType::{Link, Regular, Symlink};
        let hostile: [&[(&str, EntryType, &str)]; 6] = [
            &[("out", Symlink, ".."), ("out/victim", Regular, "bad")],
            &[("victim", Symlink, "../victim"), ("victim", Regular, "bad")],
            &[("../victim", Regular, "bad")],
            &[("/victim", Regular, "bad")],
            &[("out", Symlink, ".."), ("same", Link, "out/victim")],
            &[("file", Regular, "a"), ("file", Regular, "b")],
        ];
        for members in hostile {
            let dir = tempfile::tempdir().unwrap();
            let path = stemcell(dir.path(), members);
            fs::write(dir.path().join("victim"), "safe").unwrap();
            let to = dir.path().join("to");
            assert!(extract(&path, &to, &|_| {}).is_err(), "{members:?}");
            assert_eq!(fs::read(dir.path().join("victim")).unwrap(), b"safe");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "{members:?}");
        }
    }

    #[test]
    fn without_privilege_the_copy_is_ones_own_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let members = [
            ("file", EntryType::Regular, "text"),
            ("null", EntryType::Char, ""),
            ("link", EntryType::Symlink, "file"),
        ];
        let path = stemcell(dir.path(), &members);
        let to = dir.path().join("to");
        let done = extract_as(&path, &to, false, &|_| {}).unwrap();
        let file = fs::metadata(to.join("file")).unwrap();
        assert_eq!(file.uid(), rustix::process::geteuid().as_raw());
        assert_eq!((file.mode() & 0o7777, file.mtime()), (0o640, 9));
        assert!(!to.join("null").exists());
        assert_eq!(done.notes.len(), 2, "{:?}", done.notes);
        assert_eq!((done.files, done.directories, done.others, done.bytes), (1, 1, 1, 4));
    }
}
