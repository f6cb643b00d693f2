//! Counting the bytes that differ.

/// How many bytes differ, and where the first of them is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Differing {
    /// Offset of the first byte that differs; `None` when none does.
    pub first: Option<u64>,
    /// Number of bytes that differ; what only one of the two has differs.
    pub count: u64,
}

impl Differing {
    /// Takes in what the two have at `offset`.
    pub fn add(&mut self, offset: u64, a: &[u8], b: &[u8]) {
        if a == b {
            return;
        }
        let both = a.len().min(b.len());
        if let Some(same) = a.iter().zip(b).position(|(x, y)| x != y) {
            self.first.get_or_insert(offset + same as u64);
            self.count += a.iter().zip(b).filter(|(x, y)| x != y).count() as u64;
        }
        self.add_missing(offset + both as u64, a.len().abs_diff(b.len()) as u64);
    }

    /// Takes in `count` bytes from `offset` on that only one of the two has.
    pub fn add_missing(&mut self, offset: u64, count: u64) {
        if count > 0 {
            self.first.get_or_insert(offset);
            self.count += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_and_the_first_is_kept() {
        let mut differing = Differing::default();
        differing.add(0, b"same", b"same");
        assert_eq!(differing, Differing::default());
        differing.add(4, b"abcd", b"abxy");
        differing.add(8, b"x", b"y");
        assert_eq!(differing, Differing { first: Some(6), count: 3 });
        differing.add(9, b"tail", b"ta");
        assert_eq!(differing, Differing { first: Some(6), count: 5 });
        let mut shorter = Differing::default();
        shorter.add(10, b"ab", b"abcd");
        assert_eq!(shorter, Differing { first: Some(12), count: 2 });
        shorter.add_missing(20, 0);
        assert_eq!(shorter.count, 2);
    }
}
