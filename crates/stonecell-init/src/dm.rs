//! Requests to `/dev/mapper/control`, as bytes.
//!
//! Source: kernel, `include/uapi/linux/dm-ioctl.h` (version 4). Only the calling of `ioctl` is unsafe;
//! that one line is in the program, this is what it hands over.

use crate::verity::Target;

/// Bytes of `struct dm_ioctl`; also the size in the request number.
pub const HEADER_SIZE: usize = 312;
/// Room for the header, one target and its parameters (a salt has at most 512 digits).
pub const REQUEST_SIZE: usize = 2048;
/// Bytes of `struct dm_target_spec`.
const SPEC_SIZE: usize = 40;

const READ_ONLY: u32 = 1 << 0;

/// What is asked of the device mapper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Makes a device without a table.
    Create {
        /// See `dmsetup(8)`; systemd and `veritysetup status` read its form.
        uuid: &'a str,
    },
    /// Loads a read-only verity table with one target.
    Load(&'a Target),
    /// Puts the loaded table into force.
    Resume,
}

impl Request<'_> {
    /// The number of the ioctl, `_IOWR(0xfd, n, struct dm_ioctl)`.
    pub const fn opcode(&self) -> u32 {
        const BASE: u32 = 0xc138_fd00;
        match self {
            Self::Create { .. } => BASE | 3,
            Self::Resume => BASE | 6,
            Self::Load(_) => BASE | 9,
        }
    }

    /// The buffer for a device called `name`; `None` if a string does not fit.
    pub fn bytes(&self, name: &str) -> Option<[u8; REQUEST_SIZE]> {
        let mut bytes = [0; REQUEST_SIZE];
        put(&mut bytes, 0, &4_u32.to_le_bytes())?;
        put(&mut bytes, 12, &u32::try_from(REQUEST_SIZE).ok()?.to_le_bytes())?;
        put(&mut bytes, 16, &u32::try_from(HEADER_SIZE).ok()?.to_le_bytes())?;
        put_text(&mut bytes, 48, 128, name)?;
        match self {
            Self::Create { uuid } => put_text(&mut bytes, 176, 129, uuid)?,
            Self::Resume => {}
            Self::Load(target) => {
                put(&mut bytes, 20, &1_u32.to_le_bytes())?;
                put(&mut bytes, 28, &READ_ONLY.to_le_bytes())?;
                put(&mut bytes, HEADER_SIZE + 8, &target.sectors.to_le_bytes())?;
                put_text(&mut bytes, HEADER_SIZE + 24, 16, "verity")?;
                let at = HEADER_SIZE + SPEC_SIZE;
                put_text(&mut bytes, at, REQUEST_SIZE - at, &target.parameters)?;
                let next = SPEC_SIZE + target.parameters.len() + 1;
                let next = u32::try_from(next.next_multiple_of(8)).ok()?;
                put(&mut bytes, HEADER_SIZE + 20, &next.to_le_bytes())?;
            }
        }
        Some(bytes)
    }
}

/// The device number that the kernel wrote into an answer, as major and minor.
pub fn device(answer: &[u8; REQUEST_SIZE]) -> (u32, u32) {
    // `huge_encode_dev`: twelve bits of major between the low eight and the rest of the minor.
    let [a, b, c, d, ..] = answer.get(40..48).and_then(|b| b.try_into().ok()).unwrap_or([0; 8]);
    let dev = u32::from_le_bytes([a, b, c, d]);
    ((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xf_ff00))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at.checked_add(value.len())?)?.copy_from_slice(value);
    Some(())
}

/// Writes a string that must leave room for its zero byte.
fn put_text(bytes: &mut [u8], at: usize, size: usize, text: &str) -> Option<()> {
    if text.len() >= size || text.contains('\0') {
        return None;
    }
    put(bytes, at, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_layout_of_the_kernel() {
        let target = Target { sectors: 2048, parameters: "1 a b".into() };
        let request = Request::Load(&target);
        let bytes = request.bytes("root").unwrap();
        assert_eq!(request.opcode(), 0xc138_fd09);
        assert_eq!(bytes[..4], [4, 0, 0, 0]);
        assert_eq!(bytes[12..16], 2048_u32.to_le_bytes());
        assert_eq!(bytes[28..32], [1, 0, 0, 0], "read-only");
        assert_eq!(&bytes[48..53], b"root\0");
        assert_eq!(bytes[320..328], 2048_u64.to_le_bytes());
        assert_eq!(bytes[332..336], 48_u32.to_le_bytes());
        assert_eq!(&bytes[336..343], b"verity\0");
        assert_eq!(&bytes[352..358], b"1 a b\0");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(Request::Resume.bytes(&"x".repeat(128)), None);
        assert_eq!(Request::Create { uuid: "a\0b" }.bytes("root"), None);
        let target = Target { sectors: 1, parameters: "x".repeat(REQUEST_SIZE) };
        assert_eq!(Request::Load(&target).bytes("root"), None);
    }

    #[test]
    fn device_numbers_are_split_as_the_kernel_packs_them() {
        let mut answer = [0; REQUEST_SIZE];
        answer[40..44].copy_from_slice(&((254_u32 << 8) | 5 | (1 << 20)).to_le_bytes());
        assert_eq!(device(&answer), (254, 261));
    }
}
