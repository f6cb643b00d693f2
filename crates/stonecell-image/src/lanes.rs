//! SHA-256 of many messages of one length, sixteen at a time.
//!
//! One message keeps one arithmetic unit busy; sixteen side by side fill the registers of AVX-512. The blocks of
//! a hash tree and the pieces of a disk are many and alike, and a processor without SHA instructions hashes
//! them several times faster this way (ADR 10). Elsewhere, and for what is left over, each message is hashed by
//! itself. The result is SHA-256 either way.

use ring::digest::{Context, SHA256};

/// Messages side by side.
const LANES: usize = 16;

/// The digests of `prefix` + message for each `length` bytes of `messages`; a shorter last one is hashed as it
/// is.
#[must_use]
pub fn digests(prefix: &[u8], messages: &[u8], length: usize) -> Vec<[u8; 32]> {
    let length = length.max(1);
    let mut found = Vec::with_capacity(messages.len().div_ceil(length));
    for group in messages.chunks(length.saturating_mul(LANES)) {
        match wide::digests(prefix, group, length) {
            Some(digests) => found.extend(digests),
            None => found.extend(group.chunks(length).map(|message| single(prefix, message))),
        }
    }
    found
}

fn single(prefix: &[u8], message: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(prefix);
    context.update(message);
    let mut digest = [0; 32];
    for (to, from) in digest.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    digest
}

#[cfg(not(target_arch = "x86_64"))]
mod wide {
    pub(super) fn digests(_: &[u8], _: &[u8], _: usize) -> Option<Vec<[u8; 32]>> {
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod wide;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn side_by_side_is_one_after_the_other(
            prefix in prop::collection::vec(any::<u8>(), 0..140),
            length in 1_usize..300, count in 0_usize..40, rest in 0_usize..300, seed in any::<u8>(),
        ) {
            let bytes = length * count + rest.min(length - 1);
            let messages: Vec<u8> =
                (0..bytes).map(|at| (at * 31 + at / 251).to_le_bytes()[0] ^ seed).collect();
            let wanted: Vec<[u8; 32]> =
                messages.chunks(length).map(|message| single(&prefix, message)).collect();
            prop_assert_eq!(digests(&prefix, &messages, length), wanted);
        }
    }
}
