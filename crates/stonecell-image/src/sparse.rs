//! Holes of files: where they are, and copying into the disk without them.
//!
//! [`next_data`] skips them (`SEEK_DATA`, `SEEK_HOLE`). A copy also leaves out blocks that hold only zeros
//! (a fresh ext4 journal is 16 MiB of them); the rest goes through a buffer. The target range must read as
//! zeros before (a freshly truncated file does).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::fs::seek;
use rustix::io::Errno;

/// One read or write; a multiple of [`BLOCK`].
const BUFFER: usize = 1 << 20;
/// Zeros are looked for in units of the page size of the file systems that hold images.
const BLOCK: usize = 4096;

/// Copies the whole of `source` to `offset` of `target`. Returns the number of bytes written.
pub fn copy_into(source: &File, target: &File, offset: u64) -> io::Result<u64> {
    let size = source.metadata()?.len();
    let mut written = 0;
    let mut buffer = vec![0; BUFFER];
    let mut position = 0;
    while let Some(data) = next_data(source, position..size)? {
        let mut at = data.start;
        while at < data.end {
            let length = (data.end - at).min(BUFFER as u64);
            let chunk = usize::try_from(length).ok().and_then(|n| buffer.get_mut(..n));
            let chunk = chunk.ok_or_else(|| io::Error::other("copy buffer too small"))?;
            source.read_exact_at(chunk, at)?;
            written += write_nonzero(chunk, target, offset + at)?;
            at += length;
        }
        position = data.end;
    }
    Ok(written)
}

/// Writes `bytes` at `offset` of `target`, leaving out blocks of zeros. Returns the number of bytes written.
pub fn write_nonzero(bytes: &[u8], target: &File, offset: u64) -> io::Result<u64> {
    let mut written = 0;
    let mut run: Option<(usize, usize)> = None;
    let mut flush = |run: Option<(usize, usize)>| -> io::Result<()> {
        if let Some((start, end)) = run {
            let part = bytes.get(start..end).unwrap_or_default();
            target.write_all_at(part, offset + start as u64)?;
            written += part.len() as u64;
        }
        Ok(())
    };
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        let start = index * BLOCK;
        if is_zero(block) {
            flush(run.take())?;
        } else {
            run = Some((run.map_or(start, |(first, _)| first), start + block.len()));
        }
    }
    flush(run)?;
    Ok(written)
}

/// Whether every byte is zero. Compared in wide steps, because most of a disk is zeros.
fn is_zero(block: &[u8]) -> bool {
    let (wide, tail) = block.as_chunks::<32>();
    wide.iter().all(|chunk| *chunk == [0; 32]) && tail.iter().all(|&byte| byte == 0)
}

/// The first range in `within` that is not a hole of `file`; `None` when there is nothing but holes. Moves the file's
/// own position.
///
/// # Errors
/// When the file system cannot tell, or the file shrinks meanwhile.
pub fn next_data(file: &File, within: Range<u64>) -> io::Result<Option<Range<u64>>> {
    if within.is_empty() {
        return Ok(None);
    }
    let start = match seek(file, SeekFrom::Data(within.start)) {
        Ok(start) if start < within.end => start,
        // Nothing but a hole up to the end of the file.
        Ok(_) | Err(Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let end = seek(file, SeekFrom::Hole(start))?.min(within.end);
    Ok(Some(start..end))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_are_not_written() {
        let source = tempfile::tempfile().unwrap();
        source.set_len(8 << 20).unwrap();
        source.write_all_at(&[7; 10], 5 << 20).unwrap();
        source.write_all_at(&[0; 1 << 20], 6 << 20).unwrap();
        let target = tempfile::tempfile().unwrap();
        target.set_len(16 << 20).unwrap();
        assert_eq!(copy_into(&source, &target, 1 << 20).unwrap(), 4096);
        assert!(target.metadata().unwrap().blocks() * 512 < 64 << 10);
        let mut seen = [0; 10];
        target.read_exact_at(&mut seen, 6 << 20).unwrap();
        assert_eq!(seen, [7; 10]);
    }

    #[test]
    fn ranges_of_data_lie_within_what_is_asked_for() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_all_at(&[7; 8192], 1 << 20).unwrap();
        file.write_all_at(&[7; 4096], 3 << 20).unwrap();
        let next = |within| next_data(&file, within).unwrap();
        assert_eq!(next(0..4 << 20), Some(1 << 20..(1 << 20) + 8192));
        assert_eq!(next(0..(1 << 20) + 10), Some(1 << 20..(1 << 20) + 10));
        assert_eq!(next((1 << 20) + 5..4 << 20), Some((1 << 20) + 5..(1 << 20) + 8192));
        assert_eq!(next((1 << 20) + 8192..3 << 20), None);
        assert_eq!(next((3 << 20) + 4096..4 << 20), None);
        assert_eq!(next(5 << 20..6 << 20), None);
        assert_eq!(next(7..7), None);
    }

    proptest! {
        #[test]
        fn the_copy_equals_the_source(
            pieces in prop::collection::vec((0_u64..40_000, 1_usize..9000, any::<u8>()), 0..8),
            offset in 0_u64..10_000,
        ) {
            let source = tempfile::tempfile().unwrap();
            source.set_len(50_000).unwrap();
            for (at, length, value) in pieces {
                source.write_all_at(&vec![value; length], at).unwrap();
            }
            let target = tempfile::tempfile().unwrap();
            target.set_len(offset + 50_000).unwrap();
            copy_into(&source, &target, offset).unwrap();
            let mut wanted = vec![0; 50_000];
            source.read_exact_at(&mut wanted, 0).unwrap();
            let mut got = vec![0; 50_000];
            target.read_exact_at(&mut got, offset).unwrap();
            prop_assert_eq!(got, wanted);
        }
    }
}
