//! VMDK: the text descriptor holds a random content id and the name of the file it was written to.
//!
//! VMware, "Virtual Disk Format 5.0": the sparse header names the sectors of the embedded descriptor.

use std::fs::File;
use std::os::unix::fs::FileExt;

use uuid::Uuid;

use super::FixError;

const SECTOR: u64 = 512;
/// More than any descriptor has.
const MAX_SECTORS: u64 = 256;
/// A content id that means "none".
const NONE: u32 = u32::MAX;
/// Name of the extent. Nobody opens it: the extent is the file itself.
const EXTENT: &str = "image-disk1.vmdk";
const UNEXPECTED: FixError = FixError::Unexpected("VMDK with an embedded descriptor");

/// Replaces the content id and the file name.
pub(super) fn fix(file: &File, identity: Uuid, _epoch: u64) -> Result<(), FixError> {
    let mut header = [0; 512];
    file.read_exact_at(&mut header, 0)?;
    let word = |offset: usize| {
        let field = header.get(offset..).and_then(|rest| rest.first_chunk::<8>());
        field.map_or(0, |field| u64::from_le_bytes(*field))
    };
    // Descriptor offset and size, in sectors.
    let (first, count) = (word(28), word(36));
    if !header.starts_with(b"KDMV") || first == 0 || count == 0 || count > MAX_SECTORS {
        return Err(UNEXPECTED);
    }
    let mut descriptor = vec![0; usize::try_from(count * SECTOR).map_err(|_| UNEXPECTED)?];
    file.read_exact_at(&mut descriptor, first * SECTOR)?;
    let end = descriptor.iter().position(|&byte| byte == 0).unwrap_or(descriptor.len());
    let text = descriptor.get(..end).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let content_id = match Uuid::new_v5(&identity, b"vmdk").as_fields().0 {
        NONE => 1,
        id => id,
    };
    let mut fixed =
        text.and_then(|text| fixed_descriptor(text, content_id)).ok_or(UNEXPECTED)?.into_bytes();
    if fixed.len() > descriptor.len() {
        return Err(UNEXPECTED);
    }
    fixed.resize(descriptor.len(), 0);
    file.write_all_at(&fixed, first * SECTOR)?;
    Ok(())
}

/// The descriptor with another content id and extent name; `None` unless there is one of each.
fn fixed_descriptor(text: &str, content_id: u32) -> Option<String> {
    let (mut ids, mut extents) = (0, 0);
    let mut fixed = String::with_capacity(text.len() + 32);
    for line in text.split_inclusive('\n') {
        if line.starts_with("CID=") {
            ids += 1;
            fixed.push_str(&format!("CID={content_id:08x}\n"));
        } else if let Some((extent, _)) =
            line.split_once('"').filter(|(front, _)| front.starts_with("RW "))
        {
            extents += 1;
            fixed.push_str(&format!("{extent}\"{EXTENT}\"\n"));
        } else {
            fixed.push_str(line);
        }
    }
    (ids == 1 && extents == 1).then_some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_id_and_the_name_change() {
        let text = "# Disk DescriptorFile\nCID=abc\nparentCID=ffffffff\nRW 9 SPARSE \"x y\"\nddb.a = \"1\"\n";
        let fixed = fixed_descriptor(text, 0x12).unwrap();
        assert_eq!(
            fixed,
            "# Disk DescriptorFile\nCID=00000012\nparentCID=ffffffff\nRW 9 SPARSE \"image-disk1.vmdk\"\n\
             ddb.a = \"1\"\n"
        );
        assert_eq!(fixed_descriptor("CID=1\n", 1), None);
    }
}
