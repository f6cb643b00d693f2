//! Sizes as people write them: `512M`, `1G`.

use std::fmt;

use serde::Serialize;

/// A number of bytes, always whole mebibytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Size(u64);

/// Largest size that a definition may ask for: 16 TiB, the limit of ext4 with 4 KiB blocks.
const LARGEST: u64 = 16 << 40;

impl Size {
    /// `count` MiB.
    pub const fn mebibytes(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Reads `COUNT` and one of `M`, `G`, `T` (powers of 1024).
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is not a size; expected a number and M, G or T, as in \"512M\"");
        let digits = text.strip_suffix(['M', 'G', 'T']).ok_or_else(wrong)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let shift = match text.as_bytes().last() {
            Some(b'M') => 20,
            Some(b'G') => 30,
            _ => 40,
        };
        let too_large = || format!("{text:?} is more than the largest size, 16T");
        let count: u64 =
            digits.parse().map_err(|_| if digits.is_empty() { wrong() } else { too_large() })?;
        match count.checked_mul(1 << shift) {
            Some(0) => Err(wrong()),
            Some(bytes) if bytes <= LARGEST => Ok(Self(bytes)),
            _ => Err(too_large()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = self.0 >> 20;
        if mebibytes.is_multiple_of(1024) {
            write!(f, "{}G", mebibytes / 1024)
        } else {
            write!(f, "{mebibytes}M")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(Size::parse("1G"), Ok(Size::mebibytes(1024)));
        assert_eq!(Size::parse("512M").map(Size::bytes), Ok(512 << 20));
        assert_eq!(Size::parse("1G").map(|size| size.to_string()), Ok("1G".to_owned()));
        assert_eq!(Size::parse("1500M").map(|size| size.to_string()), Ok("1500M".to_owned()));
    }

    #[test]
    fn what_is_not_a_size_is_refused() {
        for text in
            ["", "G", "1", "1K", "0M", "-1G", "1.5G", "1g", "17T", "99999999999999999999G", "+1G"]
        {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }
}
