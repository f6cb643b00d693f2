//! Copying out of archives: with a digest, without zeros, and telling how far it is.

use std::fs::File;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use crate::progress::{Event, Progress};

/// Largest disk that is unwrapped.
const DISK_LIMIT: u64 = 256 << 30;

/// What follows the end of a tar is padding.
pub(super) fn only_zeros(rest: &mut impl Read) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = rest.read(&mut buffer)?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(()),
            Some(bytes) if bytes.iter().all(|byte| *byte == 0) => {}
            Some(_) => return Err(io::Error::other("bytes after the end of the archive")),
        }
    }
}

/// Reports how much of a file was read, once every 16 MiB.
pub(super) struct Counted<'a, R> {
    pub(super) inner: R,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) progress: Progress<'a>,
}

impl<R: BufRead> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count(read);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
        self.count(amount);
    }
}

impl<R> Counted<'_, R> {
    fn count(&mut self, bytes: usize) {
        let before = self.done >> 24;
        self.done += bytes as u64;
        if self.done >> 24 != before {
            (self.progress)(Event::Bytes { done: self.done, total: self.total });
        }
    }
}

pub(super) fn copy_hashed(from: &mut impl Read, to: &Path) -> io::Result<String> {
    let mut file = File::create(to)?;
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        hash.update(bytes);
        file.write_all(bytes)?;
    }
    Ok(hex::encode(hash.finish()))
}

/// Copies, leaving holes where there are zeros.
pub(super) fn copy_sparse(from: &mut impl Read, to: &Path) -> io::Result<()> {
    let mut file = File::create(to)?;
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let read = read_up_to(from, &mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        if bytes.iter().fold(0, |sum, byte| sum | byte) == 0 {
            file.seek(SeekFrom::Current(i64::try_from(read).unwrap_or(0)))?;
        } else {
            file.write_all(bytes)?;
        }
        size += read as u64;
        if size > DISK_LIMIT {
            return Err(io::Error::other(format!("disk is larger than {DISK_LIMIT} bytes")));
        }
    }
    file.set_len(size)
}

/// Fills `buffer` as far as `from` has bytes; gives how many.
///
/// # Errors
/// When reading fails.
pub fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
