//! State file systems: ext4 made by `mke2fs`, without a mount and the same bytes each time.
//!
//! `mke2fs -d` copies the host's change and access times, and 1.47.0 ignores the owner and mode of the
//! tree's own top directory. `debugfs` then sets every inode's times to the epoch and the top directory's
//! owner and mode. Features are named one by one, so that the host's `mke2fs.conf` has no say.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;

use uuid::Uuid;

use crate::tool::Tool;
use crate::tool::ToolError;

const MKE2FS: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };
const DEBUGFS: Tool = Tool { program: "debugfs", package: "e2fsprogs" };

/// All of them are known to Linux 5.15 and to e2fsprogs 1.46.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,\
                        sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// Replaces `/etc/mke2fs.conf`, which differs between releases.
const CONFIG: &str = "[defaults]\n\tblocksize = 4096\n\tinode_size = 256\n\tinode_ratio = 16384\n\
                      [fs_types]\n\text4 = {\n\t}\n\tsmall = {\n\t}\n\tfloppy = {\n\t}\n\tbig = {\n\t}\n\thuge = {\n\t}\n";
/// The top directory and the first inode that is not reserved (`lost+found`).
const ROOT_INODE: u32 = 2;
const FIRST_INODE: u32 = 11;
/// Where the superblock is, and in it the counts of inodes and of free ones.
const SUPERBLOCK: u64 = 1024;

/// What `build_ext4` needs.
#[derive(Debug)]
pub struct Ext4Input<'a> {
    /// The image to write; replaced when it exists, sparse.
    pub image: &'a Path,
    /// Size in bytes, a multiple of 4096.
    pub size: u64,
    /// At most 16 bytes.
    pub label: &'a str,
    /// UUID of the file system; the hash seed follows from it.
    pub uuid: Uuid,
    /// What to put in; owners, modes and extended attributes are kept.
    pub tree: Option<&'a Path>,
    /// Seconds since 1970 that every inode and the superblock get.
    pub epoch: u64,
    /// Directory for files of the moment.
    pub work_dir: &'a Path,
}

/// Why there is no state file system.
#[derive(Debug, thiserror::Error)]
pub enum Ext4Error {
    /// A label that the superblock cannot hold.
    #[error("label {label:?} is longer than the 16 bytes of ext4")]
    Label {
        /// The label.
        label: String,
    },
    /// A file could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A tool failed; most often the tree does not fit.
    #[error("cannot make the ext4 file system {label} of {size} bytes")]
    Tool {
        /// Label of the file system.
        label: String,
        /// Its size.
        size: u64,
        /// What the tool said.
        #[source]
        source: ToolError,
    },
}

/// Makes an ext4 file system in a file of its own.
pub fn build_ext4(input: &Ext4Input<'_>) -> Result<(), Ext4Error> {
    if input.label.len() > 16 {
        return Err(Ext4Error::Label { label: input.label.to_owned() });
    }
    let config = temporary_file(input.work_dir, CONFIG.as_bytes())?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(input.image)
        .map_err(at(input.image))?;
    file.set_len(input.size).map_err(at(input.image))?;
    let uuid = input.uuid.hyphenated().to_string();
    let seed = Uuid::new_v5(&input.uuid, b"hash seed");
    let mut command = MKE2FS.command();
    command
        .env("MKE2FS_CONFIG", config.path())
        .env("E2FSPROGS_FAKE_TIME", input.epoch.to_string())
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0"])
        .args(["-O", FEATURES, "-L", input.label, "-U", &uuid])
        .args(["-E", &format!("hash_seed={seed},root_owner=0:0,lazy_journal_init=1")]);
    if let Some(tree) = input.tree {
        command.arg("-d").arg(tree);
    }
    command.arg(input.image);
    let tool_error =
        |source| Ext4Error::Tool { label: input.label.to_owned(), size: input.size, source };
    MKE2FS.run(&mut command).map_err(tool_error)?;

    let top = input.tree.map(|tree| std::fs::metadata(tree).map_err(at(tree))).transpose()?;
    let top = top.map(|meta| (meta.mode(), meta.uid(), meta.gid()));
    let last = last_inode(&file).map_err(at(input.image))?;
    let script = temporary_file(input.work_dir, fixes(input.epoch, last, top).as_bytes())?;
    let mut command = DEBUGFS.command();
    let mut script_arg = OsString::from("-f");
    script_arg.push(script.path());
    command
        .env("E2FSPROGS_FAKE_TIME", input.epoch.to_string())
        .arg("-w")
        .arg(script_arg)
        .arg(input.image);
    DEBUGFS.run(&mut command).map_err(tool_error)?;
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Ext4Error {
    let path = path.to_owned();
    move |source| Ext4Error::File { path, source }
}

fn temporary_file(dir: &Path, content: &[u8]) -> Result<tempfile::NamedTempFile, Ext4Error> {
    let file = tempfile::NamedTempFile::new_in(dir).map_err(at(dir))?;
    file.as_file().write_all_at(content, 0).map_err(at(file.path()))?;
    Ok(file)
}

/// The number of the last inode in use. `mke2fs -d` hands them out without gaps.
fn last_inode(image: &File) -> io::Result<u32> {
    let mut counts = [0; 20];
    image.read_exact_at(&mut counts, SUPERBLOCK)?;
    let [total, _, _, _, free] = counts.as_chunks::<4>().0 else {
        return Err(io::Error::other("superblock counts are not five words"));
    };
    Ok(u32::from_le_bytes(*total).saturating_sub(u32::from_le_bytes(*free)))
}

/// The `debugfs` script: times of every inode, owner and mode (`st_mode`) of the top directory.
fn fixes(epoch: u64, last: u32, top: Option<(u32, u32, u32)>) -> String {
    let mut script = String::new();
    for inode in std::iter::once(ROOT_INODE).chain(FIRST_INODE..=last) {
        for field in ["atime", "ctime", "mtime", "crtime"] {
            // A `String` takes every write.
            let _ = writeln!(script, "sif <{inode}> {field} @{epoch}");
        }
    }
    if let Some((mode, uid, gid)) = top {
        let _ = writeln!(script, "sif <{ROOT_INODE}> mode 0{mode:o}");
        let _ = writeln!(script, "sif <{ROOT_INODE}> uid {uid}");
        let _ = writeln!(script, "sif <{ROOT_INODE}> gid {gid}");
    }
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_names_each_inode_and_the_top() {
        let script = fixes(7, 12, Some((0o41777, 0, 43)));
        assert_eq!(script.lines().count(), 4 * 3 + 3);
        assert!(script.contains("sif <12> ctime @7\n"));
        assert!(script.contains("sif <2> mode 041777\n"));
        assert!(script.contains("sif <2> gid 43\n"));
    }
}
