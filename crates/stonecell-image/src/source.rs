//! Bytes that are read at offsets: a file, a part of a file (a partition), or memory.
//!
//! The readers of this crate work on this trait, so that the same code reads a partition inside a disk
//! image, a file of its own and the byte slices of the tests and fuzz targets.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Random access to a fixed number of bytes, from several threads at once.
pub trait Source: Sync {
    /// Number of bytes.
    fn size(&self) -> u64;

    /// Fills `buffer` from `offset`; an error when that goes past the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Reads `length` bytes at `offset`, after checking that so many are there.
    fn read_vec(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size() => {}
            _ => return Err(past_end(offset, length, self.size())),
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

fn past_end(offset: u64, length: u64, size: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("{length} bytes at {offset} end after the last byte at {size}"),
    )
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..))
            .and_then(|rest| rest.get(..buffer.len()))
            .ok_or_else(|| past_end(offset, buffer.len() as u64, self.size()))?;
        buffer.copy_from_slice(from);
        Ok(())
    }
}

impl Source for Vec<u8> {
    fn size(&self) -> u64 {
        self.as_slice().size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.as_slice().read_at(buffer, offset)
    }
}

/// `length` bytes of a file from `offset`.
#[derive(Debug)]
pub struct FilePart<'a> {
    file: &'a File,
    offset: u64,
    length: u64,
}

impl<'a> FilePart<'a> {
    /// The whole file, as long as it is now.
    pub fn whole(file: &'a File) -> io::Result<Self> {
        Ok(Self { file, offset: 0, length: file.metadata()?.len() })
    }

    /// A part of the file; an error when the file is shorter.
    pub fn new(file: &'a File, offset: u64, length: u64) -> io::Result<Self> {
        let size = file.metadata()?.len();
        match offset.checked_add(length) {
            Some(end) if end <= size => Ok(Self { file, offset, length }),
            _ => Err(past_end(offset, length, size)),
        }
    }
}

impl Source for FilePart<'_> {
    fn size(&self) -> u64 {
        self.length
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match offset.checked_add(buffer.len() as u64) {
            Some(end) if end <= self.length => {
                self.file.read_exact_at(buffer, self.offset + offset)
            }
            _ => Err(past_end(offset, buffer.len() as u64, self.length)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_stop_at_the_end_of_the_part() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"0123456789", 0).unwrap();
        let part = FilePart::new(&file, 2, 4).unwrap();
        assert_eq!(part.read_vec(1, 3).unwrap(), b"345");
        assert!(part.read_vec(1, 4).is_err());
        assert!(part.read_vec(u64::MAX, 2).is_err());
        assert!(FilePart::new(&file, 8, 3).is_err());
        assert!(b"ab".as_slice().read_vec(1, 2).is_err());
    }
}
