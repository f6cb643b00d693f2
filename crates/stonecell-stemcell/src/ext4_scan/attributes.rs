//! Extended attributes as ext4 keeps them: behind the fields of an inode, and in a block of their own.

use std::io;

use super::{Attributes, damaged, u16_at, u32_at};

const MAGIC: u32 = 0xea02_0000;
/// Length of the fields of the first inode version.
const OLD_INODE: usize = 128;
/// Length of the header of an attribute block.
const BLOCK_HEADER: usize = 32;

/// Those inside of an inode; none when there is no room or nothing.
pub(super) fn in_inode(inode: &[u8]) -> io::Result<Attributes> {
    if inode.len() <= OLD_INODE + 2 {
        return Ok(Attributes::new());
    }
    let start = OLD_INODE + usize::from(u16_at(inode, OLD_INODE)?);
    match inode.get(start..) {
        Some(area) if u32_at(area, 0).is_ok_and(|magic| magic == MAGIC) => {
            let area = area.get(4..).ok_or_else(damaged)?;
            // Values are counted from the first entry.
            entries(area, area)
        }
        _ => Ok(Attributes::new()),
    }
}

/// Those in a block, whose values are counted from its start.
pub(super) fn in_block(block: &[u8]) -> io::Result<Attributes> {
    if u32_at(block, 0)? != MAGIC {
        return Err(damaged());
    }
    entries(block.get(BLOCK_HEADER..).ok_or_else(damaged)?, block)
}

fn entries(mut list: &[u8], values: &[u8]) -> io::Result<Attributes> {
    let mut found = Attributes::new();
    // Four zeros, or the end of the room, end the list.
    while list.len() >= 4 && u32_at(list, 0)? != 0 {
        let [name_length, index] = *list.first_chunk::<2>().ok_or_else(damaged)?;
        let offset = usize::from(u16_at(list, 2)?);
        let size = usize::try_from(u32_at(list, 8)?).map_err(io::Error::other)?;
        let name_end = 16 + usize::from(name_length);
        let name = list.get(16..name_end).ok_or_else(damaged)?;
        // A value in an inode of its own is a feature that no image of ours has.
        if u32_at(list, 4)? != 0 {
            return Err(damaged());
        }
        let end = offset.checked_add(size).ok_or_else(damaged)?;
        let value = values.get(offset..end).ok_or_else(damaged)?;
        let (prefix, value): (&[u8], Vec<u8>) = match index {
            1 => (b"user.", value.to_vec()),
            2 => (b"system.posix_acl_access", access_list(value)?),
            3 => (b"system.posix_acl_default", access_list(value)?),
            4 => (b"trusted.", value.to_vec()),
            6 => (b"security.", value.to_vec()),
            7 => (b"system.", value.to_vec()),
            _ => return Err(damaged()),
        };
        found.insert([prefix, name].concat(), value);
        list = list.get(name_end.next_multiple_of(4)..).ok_or_else(damaged)?;
    }
    Ok(found)
}

/// An access control list, from ext4's short form (version 1: no id where none is needed) to that of the
/// system calls (version 2: eight bytes an entry).
fn access_list(value: &[u8]) -> io::Result<Vec<u8>> {
    const USER: u16 = 2;
    const GROUP: u16 = 8;
    if u32_at(value, 0)? != 1 {
        return Err(damaged());
    }
    let mut out = 2_u32.to_le_bytes().to_vec();
    let mut rest = value.get(4..).ok_or_else(damaged)?;
    while !rest.is_empty() {
        let tag = u16_at(rest, 0)?;
        out.extend_from_slice(rest.get(..4).ok_or_else(damaged)?);
        let length = if matches!(tag, USER | GROUP) {
            out.extend_from_slice(rest.get(4..8).ok_or_else(damaged)?);
            8
        } else {
            out.extend_from_slice(&u32::MAX.to_le_bytes());
            4
        };
        rest = rest.get(length..).ok_or_else(damaged)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 36..400)) {
            bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
            let _ = in_block(&bytes);
            let _ = in_inode(&[vec![0; 128], bytes.clone()].concat());
            let _ = access_list(&bytes);
        }
    }
}
