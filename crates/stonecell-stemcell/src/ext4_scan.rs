//! What the ext4 reader does not show, read from the inode tables: extended attributes, and which files have
//! several names.
//!
//! Offsets are those of the kernel's `Documentation/filesystems/ext4`. Paths of the few inodes found come from
//! `debugfs`.

mod attributes;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ext4_view::Ext4Read;

/// Where the superblock is.
const SUPERBLOCK: u64 = 1024;
/// Inodes below this are the file system's own, but for the second, the top directory.
const FIRST_INODE: u64 = 11;
const REGULAR: u16 = 0o100_000;
const DIRECTORY: u16 = 0o040_000;

/// Extended attributes by full name.
pub type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// What was found, by inode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Extended attributes of those inodes that have any.
    pub attributes: BTreeMap<u64, Attributes>,
    /// Regular files with more than one name.
    pub linked: BTreeSet<u64>,
    /// How many directories there are: a walk that meets more meets one twice.
    pub directories: usize,
}

pub use names::names;

/// Reads the inode tables of the file system in `window`.
///
/// # Errors
/// When they cannot be read or contradict each other.
pub fn scan(window: &mut dyn Ext4Read) -> io::Result<Unseen> {
    let superblock = bytes(window, SUPERBLOCK, 1024)?;
    let count = u64::from(u32_at(&superblock, 0)?);
    let block = 1024_u64 << u32_at(&superblock, 0x18)?.min(6);
    let first_block = u64::from(u32_at(&superblock, 0x14)?);
    let per_group = u64::from(u32_at(&superblock, 0x28)?);
    let inode_size = u64::from(u16_at(&superblock, 0x58)?);
    let wide = u32_at(&superblock, 0x60)? & 0x80 != 0;
    let descriptor_size = if wide { u64::from(u16_at(&superblock, 0xfe)?) } else { 32 };
    let sizes_are_sound = (128..=4096).contains(&inode_size)
        && (32..=1024).contains(&descriptor_size)
        && per_group > 0
        && per_group <= 8 * block;
    if !sizes_are_sound {
        return Err(damaged());
    }
    let mut unseen = Unseen::default();
    for group in 0..count.div_ceil(per_group) {
        let at = (first_block + 1) * block + group * descriptor_size;
        let descriptor = bytes(window, at, descriptor_size)?;
        let high = |offset| if wide { u32_at(&descriptor, offset) } else { Ok(0) };
        let table = u64::from(u32_at(&descriptor, 8)?) | u64::from(high(0x28)?) << 32;
        // Inodes at the end of the table that were never used are not initialised.
        let unused = u64::from(u16_at(&descriptor, 0x1c)?);
        let here = per_group.min(count - group * per_group).saturating_sub(unused);
        let start = table.checked_mul(block).ok_or_else(damaged)?;
        for index in 0..here {
            let number = group * per_group + index + 1;
            if number >= FIRST_INODE || number == 2 {
                let inode = bytes(window, start + index * inode_size, inode_size)?;
                unseen.take(number, &inode, block, window)?;
            }
        }
    }
    Ok(unseen)
}

impl Unseen {
    fn take(
        &mut self,
        number: u64,
        inode: &[u8],
        block: u64,
        window: &mut dyn Ext4Read,
    ) -> io::Result<()> {
        let (mode, links) = (u16_at(inode, 0)?, u16_at(inode, 0x1a)?);
        if links == 0 {
            return Ok(());
        }
        let mut found = attributes::in_inode(inode)?;
        let own_block = u64::from(u32_at(inode, 0x68)?) | u64::from(u16_at(inode, 0x76)?) << 32;
        if own_block != 0 {
            let at = own_block.checked_mul(block).ok_or_else(damaged)?;
            found.extend(attributes::in_block(&bytes(window, at, block)?)?);
        }
        if !found.is_empty() {
            self.attributes.insert(number, found);
        }
        match mode & 0o170_000 {
            REGULAR if links > 1 => {
                self.linked.insert(number);
            }
            DIRECTORY => self.directories += 1,
            _ => {}
        }
        Ok(())
    }

    /// Every inode that was found.
    #[must_use]
    pub fn inodes(&self) -> BTreeSet<u64> {
        self.attributes.keys().chain(&self.linked).copied().collect()
    }
}

fn bytes(window: &mut dyn Ext4Read, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    window.read(at, &mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(damaged)?;
    Ok(u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(damaged)?;
    Ok(u32::from_le_bytes(*field))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the inode tables are damaged")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn image(fill: &dyn Fn(&std::path::Path)) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("plain"), "x").unwrap();
        fill(&tree);
        let image = dir.path().join("image");
        let made = Command::new("mke2fs")
            .args(["-q", "-t", "ext4", "-d"])
            .args([&tree, &image])
            .arg("8M")
            .output()
            .unwrap();
        assert!(made.status.success());
        fs::read(image).unwrap()
    }

    #[test]
    fn attributes_lists_and_names_are_found() {
        // The top directory and `lost+found`.
        let nothing = Unseen { directories: 2, ..Unseen::default() };
        assert_eq!(scan(&mut image(&|_| {})).unwrap(), nothing);
        let long = "v".repeat(600);
        let list = [
            [2, 0, 0, 0].as_slice(),
            &[1, 0, 7, 0, 255, 255, 255, 255],
            &[2, 0, 4, 0, 42, 0, 0, 0],
            &[4, 0, 5, 0, 255, 255, 255, 255],
            &[16, 0, 5, 0, 255, 255, 255, 255],
            &[32, 0, 1, 0, 255, 255, 255, 255],
        ]
        .concat();
        let bytes = image(&|tree| {
            fs::hard_link(tree.join("plain"), tree.join("again")).unwrap();
            let flags = rustix::fs::XattrFlags::empty();
            for (name, attribute, value) in [
                ("short", "user.note", b"kept".as_slice()),
                ("long", "user.note", long.as_bytes()),
                ("list", "system.posix_acl_access", &list),
            ] {
                fs::write(tree.join(name), name).unwrap();
                rustix::fs::setxattr(tree.join(name), attribute, value, flags).unwrap();
            }
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        // As a partition: behind something else.
        fs::write(file.path(), [vec![0; 4096], bytes.clone()].concat()).unwrap();
        let unseen = scan(&mut bytes.clone()).unwrap();
        let names = names(file.as_file(), 4096, &unseen.inodes()).unwrap();
        let mut found: BTreeMap<String, Attributes> = BTreeMap::new();
        let mut linked = Vec::new();
        for (path, inode) in names {
            let path = String::from_utf8(path).unwrap();
            if unseen.linked.contains(&inode) {
                linked.push(path.clone());
            }
            found.insert(path, unseen.attributes.get(&inode).cloned().unwrap_or_default());
        }
        assert_eq!(linked, ["/again", "/plain"]);
        let one = |name: &str, value: &[u8]| BTreeMap::from([(name.into(), value.to_vec())]);
        assert_eq!(found["/short"], one("user.note", b"kept"));
        assert_eq!(found["/long"], one("user.note", long.as_bytes()));
        assert_eq!(found["/list"], one("system.posix_acl_access", &list));
    }

    proptest! {
        #[test]
        fn foreign_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 3000..9000)) {
            // Few groups, so that the test is quick.
            bytes[1026..1028].fill(0);
            let _ = scan(&mut bytes);
        }
    }
}
