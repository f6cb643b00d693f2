//! Parallel, deterministic gzip.
//!
//! The input is cut into blocks; each becomes one gzip member (RFC 1952 allows any number, and `tar`, Go and
//! Python read them as one stream). Members are made by all processors and written in order, with no time and no
//! name in their headers. A block of zeros, of which disk images are full, is compressed once.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use rayon::prelude::*;

/// Bytes of input a member holds.
const BLOCK: usize = 1 << 20;
/// Blocks that are compressed together: bounds memory to a few tens of MiB.
const BATCH: usize = 16;

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Store: for what is compressed already.
    Store,
    /// Fast.
    Fast,
}

impl Level {
    fn compression(self) -> Compression {
        match self {
            Self::Store => Compression::none(),
            Self::Fast => Compression::fast(),
        }
    }
}

/// Compresses what is written to it into `inner`.
#[derive(Debug)]
pub struct ParallelGzip<W: Write> {
    inner: W,
    level: Level,
    pending: Vec<u8>,
    zeros: Vec<u8>,
}

impl<W: Write> ParallelGzip<W> {
    /// Starts a stream.
    ///
    /// # Errors
    /// Never in practice: compressing to memory.
    pub fn new(inner: W, level: Level) -> io::Result<Self> {
        let zeros = member(&[0; BLOCK], Level::Fast)?;
        Ok(Self { inner, level, pending: Vec::with_capacity(BLOCK * BATCH), zeros })
    }

    /// Writes what is left and gives the inner writer back.
    ///
    /// # Errors
    /// When the inner writer fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_pending()?;
        Ok(self.inner)
    }

    /// Takes `count` zeros, as fast as they can be: whole blocks of them are not even looked at.
    ///
    /// # Errors
    /// When the inner writer fails.
    pub fn write_zeros(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let into_block = self.pending.len() % BLOCK;
            if into_block == 0 && count >= BLOCK as u64 {
                self.write_pending()?;
                while let Some(left) = count.checked_sub(BLOCK as u64) {
                    self.inner.write_all(&self.zeros)?;
                    count = left;
                }
            } else {
                let room = BLOCK - into_block;
                let taken = usize::try_from(count).map_or(room, |count| count.min(room));
                self.pending.resize(self.pending.len() + taken, 0);
                count -= taken as u64;
                if self.pending.len() == BLOCK * BATCH {
                    self.write_pending()?;
                }
            }
        }
        Ok(())
    }

    fn write_pending(&mut self) -> io::Result<()> {
        let (level, zeros) = (self.level, &self.zeros);
        let members: Vec<io::Result<Option<Vec<u8>>>> = self
            .pending
            .par_chunks(BLOCK)
            .map(|block| {
                if block.len() == BLOCK && is_zero(block) {
                    Ok(None)
                } else {
                    member(block, level).map(Some)
                }
            })
            .collect();
        for member in members {
            match member? {
                Some(bytes) => self.inner.write_all(&bytes)?,
                None => self.inner.write_all(zeros)?,
            }
        }
        self.pending.clear();
        Ok(())
    }
}

impl<W: Write> Write for ParallelGzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (BLOCK * BATCH).saturating_sub(self.pending.len());
        let taken = bytes.len().min(room);
        self.pending.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        if self.pending.len() == BLOCK * BATCH {
            self.write_pending()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Members are cut by size alone, so that the output does not depend on how it was written.
        Ok(())
    }
}

fn member(block: &[u8], level: Level) -> io::Result<Vec<u8>> {
    let mut encoder: GzEncoder<Vec<u8>> = GzBuilder::new()
        .mtime(0)
        .operating_system(255)
        .write(Vec::with_capacity(block.len() / 2), level.compression());
    encoder.write_all(block)?;
    encoder.finish()
}

fn is_zero(block: &[u8]) -> bool {
    block.chunks(4096).all(|part| part.iter().fold(0, |sum, byte| sum | byte) == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn compress(pieces: &[&[u8]], level: Level) -> Vec<u8> {
        let mut gzip = ParallelGzip::new(Vec::new(), level).unwrap();
        for piece in pieces {
            gzip.write_all(piece).unwrap();
        }
        gzip.finish().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn reads_back_whatever_the_pieces(cut in 0_usize..3_000_000, seed in any::<u8>()) {
            let mut data = vec![seed; 3_000_000];
            for (byte, value) in data.iter_mut().skip(2_500_000).zip((0..251).cycle()) {
                *byte = value;
            }
            let (left, right) = data.split_at(cut);
            let packed = compress(&[left, right], Level::Fast);
            prop_assert_eq!(&packed, &compress(&[&data], Level::Fast));
            let mut back = Vec::new();
            MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut back).unwrap();
            prop_assert!(back == data);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn zeros_told_are_zeros_written(
            pieces in prop::collection::vec((0_usize..3_000_000, any::<bool>()), 1..6),
        ) {
            let mut told = ParallelGzip::new(Vec::new(), Level::Fast).unwrap();
            let mut written = ParallelGzip::new(Vec::new(), Level::Fast).unwrap();
            for (length, zero) in pieces {
                let bytes = vec![if zero { 0 } else { 7 }; length];
                written.write_all(&bytes).unwrap();
                if zero {
                    told.write_zeros(length as u64).unwrap();
                } else {
                    told.write_all(&bytes).unwrap();
                }
            }
            prop_assert!(told.finish().unwrap() == written.finish().unwrap());
        }
    }

    #[test]
    fn zeros_cost_little_even_when_storing() {
        let zeros = vec![0; 40 << 20];
        assert!(compress(&[&zeros], Level::Store).len() < 1 << 20);
    }
}
