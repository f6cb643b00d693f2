//! The files of an image, read without mounting anything: the erofs root, and the ext4 file systems that are
//! mounted on it.
//!
//! Every byte is foreign. The readers are crates that check lengths; this module bounds what is held in
//! memory and gives both file systems one shape.

mod root;
mod state;

use std::collections::BTreeMap;

use thiserror::Error;

pub use root::Root;
pub use state::{State, Window};

/// Why a file system could not be read.
#[derive(Debug, Error)]
pub enum TreeError {
    /// The erofs image is damaged.
    #[error("the root file system is damaged at {path}: {problem}")]
    Erofs {
        /// Where.
        path: String,
        /// What the reader says.
        problem: String,
    },
    /// An ext4 image is damaged.
    #[error("the file system on {mount} is damaged at {path}: {problem}")]
    Ext4 {
        /// Mount point.
        mount: String,
        /// Where.
        path: String,
        /// What the reader says.
        problem: String,
    },
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File {
        /// Bytes.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// Its target, as written.
        target: Vec<u8>,
    },
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A FIFO.
    Fifo,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Absolute path.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes by full name.
    pub attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Equal for the names of one file.
    pub inode: u64,
    /// Number of names; of an ext4 file with several, at least two.
    pub links: u32,
    /// Time of the last change, seconds since 1970.
    pub time: i64,
}

/// More entries than any root file system has: a small image can describe an endless one.
const MAX_ENTRIES: usize = 4_000_000;
/// Longest path, as for the kernel.
const MAX_PATH: usize = 4096;
/// A few of them, each in the other or twice in the next, make a tree of millions.
const TWICE: &str = "a directory that is in two places";

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::*;

    fn sample(dir: &Path) -> PathBuf {
        let tree = dir.join("tree");
        std::fs::create_dir_all(tree.join("usr/bin")).unwrap();
        std::fs::write(tree.join("usr/bin/a"), "text ".repeat(50_000)).unwrap();
        std::fs::write(tree.join("small"), "small").unwrap();
        std::fs::hard_link(tree.join("small"), tree.join("other")).unwrap();
        std::os::unix::fs::symlink("usr/bin/a", tree.join("link")).unwrap();
        let mode = std::fs::Permissions::from_mode(0o4750);
        std::fs::set_permissions(tree.join("usr/bin/a"), mode).unwrap();
        tree
    }

    fn run(program: &str, arguments: &[&str]) {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn erofs(dir: &Path) -> PathBuf {
        let (tree, image) = (sample(dir), dir.join("image"));
        run("mkfs.erofs", &["-zlz4hc", "-T0", image.to_str().unwrap(), tree.to_str().unwrap()]);
        image
    }

    fn ext4(dir: &Path) -> PathBuf {
        let (tree, image) = (sample(dir), dir.join("image"));
        let (from, to) = (tree.to_str().unwrap(), image.to_str().unwrap());
        run("mke2fs", &["-q", "-t", "ext4", "-d", from, to, "8M"]);
        image
    }

    fn opened(image: &Path) -> State {
        let disk = std::fs::File::open(image).unwrap();
        let size = disk.metadata().unwrap().len();
        State::open("/var", Window { disk, start: 0, size }).unwrap()
    }

    #[test]
    fn a_directory_that_is_in_two_places_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let image = ext4(dir.path());
        run("debugfs", &["-w", "-R", "link <2> usr/bin/again", image.to_str().unwrap()]);
        let error = opened(&image).entries().unwrap_err().to_string();
        assert!(error.contains("/usr/bin/again") && error.contains(TWICE), "{error}");

        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("tree/usr/twin")).unwrap();
        let mut image = std::fs::read(erofs(dir.path())).unwrap();
        let entries = Root::read(image.as_slice(), image.len() as u64).unwrap().entries().unwrap();
        let inode = |path: &[u8]| entries.iter().find(|e| e.path == path).unwrap().inode;
        // A directory entry: inode, offset of the name, type 2.
        let wanted = inode(b"/usr/twin").to_le_bytes();
        let places: Vec<usize> = image
            .windows(12)
            .enumerate()
            .filter(|(_, entry)| entry.starts_with(&wanted) && entry.ends_with(&[2, 0]))
            .map(|(at, _)| at)
            .collect();
        for at in places {
            image[at..at + 8].copy_from_slice(&inode(b"/usr/bin").to_le_bytes());
        }
        let root = Root::read(image.as_slice(), image.len() as u64).unwrap();
        let error = root.entries().unwrap_err().to_string();
        assert!(error.contains("/usr/twin") && error.contains(TWICE), "{error}");
    }

    #[test]
    fn reads_what_mkfs_erofs_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let image = std::fs::read(erofs(dir.path())).unwrap();
        let root = Root::read(image.as_slice(), image.len() as u64).unwrap();
        let entries = root.entries().unwrap();
        let names: Vec<_> =
            entries.iter().map(|e| String::from_utf8_lossy(&e.path).into_owned()).collect();
        assert_eq!(names, ["/", "/link", "/other", "/small", "/usr", "/usr/bin", "/usr/bin/a"]);
        assert_eq!(entries[1].kind, Kind::Link { target: b"usr/bin/a".to_vec() });
        assert_eq!(entries[2].inode, entries[3].inode);
        assert_eq!(entries[6].mode, 0o4750);
        let mut text = String::new();
        root.open(&entries[6]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text ".repeat(50_000));
        assert_eq!(root.file("/small").unwrap().unwrap(), b"small");
        assert_eq!(root.file("/none").unwrap(), None);
    }

    #[test]
    fn reads_what_mke2fs_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let state = opened(&ext4(dir.path()));
        let entries = state.entries().unwrap();
        assert_eq!(entries[0].path, b"/var");
        let big = entries.iter().find(|e| e.path == b"/var/usr/bin/a").unwrap();
        assert_eq!(big.mode, 0o4750);
        let mut text = String::new();
        state.open_file(big).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text ".repeat(50_000));
    }

    #[test]
    fn noise_is_an_error_not_a_panic() {
        let noise: Vec<u8> =
            (0..8192_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
        assert!(Root::read(noise.as_slice(), 32768).is_err());
    }
}
