//! Sixteen messages in the registers of AVX-512 (FIPS 180-4, each word sixteenfold).
#![expect(unsafe_code, reason = "AVX-512 after the processor was asked, and its loads and stores")]

use std::arch::x86_64::{
    __m512i, _mm512_add_epi32, _mm512_loadu_si512, _mm512_rol_epi32, _mm512_ror_epi32,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::LANES;

const BLOCK: usize = 64;
/// For `_mm512_ternarylogic_epi32`: the truth tables of exclusive or, choice and majority.
const XOR: i32 = 0x96;
const CHOICE: i32 = 0xca;
const MAJORITY: i32 = 0xe8;

/// The digests of sixteen whole messages; `None` when there are fewer or the processor does better otherwise.
pub(super) fn digests(prefix: &[u8], messages: &[u8], length: usize) -> Option<Vec<[u8; 32]>> {
    // One message with SHA instructions is as fast as many without.
    let good = std::arch::is_x86_feature_detected!("avx512f")
        && !std::arch::is_x86_feature_detected!("sha");
    if !good || messages.len() != length.checked_mul(LANES)? {
        return None;
    }
    // SAFETY: the processor has just said that it has AVX-512F, all that the function is compiled for.
    Some(unsafe { sixteen(prefix, messages, length) })
}

#[target_feature(enable = "avx512f")]
fn sixteen(prefix: &[u8], messages: &[u8], length: usize) -> Vec<[u8; 32]> {
    let total = prefix.len() + length;
    // The byte 0x80, the length in bits as eight bytes, and zeros between them.
    let blocks = (total + 9).div_ceil(BLOCK);
    let mut state = [_mm512_setzero_si512(); 8];
    for (words, word) in state.iter_mut().zip(START) {
        *words = broadcast(word);
    }
    let mut assembled = [[0; BLOCK]; LANES];
    for number in 0..blocks {
        let start = number * BLOCK;
        let last = number + 1 == blocks;
        let mut rows = [_mm512_setzero_si512(); LANES];
        let each = rows.iter_mut().zip(messages.chunks_exact(length)).zip(&mut assembled);
        for ((row, message), place) in each {
            let inside = start.checked_sub(prefix.len()).and_then(|at| message.get(at..));
            *row = swapped(match inside.and_then(|rest| rest.first_chunk::<BLOCK>()) {
                Some(block) => load(block),
                None => {
                    assemble(place, prefix, message, start, last);
                    load(place)
                }
            });
        }
        state = compress(state, transposed(rows));
    }
    let mut words = [[0; LANES]; 8];
    for (place, word) in words.iter_mut().zip(state) {
        *place = store(word);
    }
    (0..LANES)
        .map(|lane| {
            let mut digest = [0; 32];
            for (bytes, words) in digest.as_chunks_mut::<4>().0.iter_mut().zip(&words) {
                *bytes = words.get(lane).copied().unwrap_or_default().to_be_bytes();
            }
            digest
        })
        .collect()
}

/// A block that is not wholly inside of the message: with the prefix, the padding or both.
fn assemble(block: &mut [u8; BLOCK], prefix: &[u8], message: &[u8], start: usize, last: bool) {
    let total = prefix.len() + message.len();
    for (at, byte) in (start..).zip(block.iter_mut()) {
        let known = match at.checked_sub(prefix.len()) {
            None => prefix.get(at),
            Some(inside) => message.get(inside),
        };
        *byte = known.copied().unwrap_or(if at == total { 0x80 } else { 0 });
    }
    if last && let Some(end) = block.last_chunk_mut::<8>() {
        *end = (total as u64 * 8).to_be_bytes();
    }
}

#[target_feature(enable = "avx512f")]
fn broadcast(word: u32) -> __m512i {
    _mm512_set1_epi32(word.cast_signed())
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; BLOCK]) -> __m512i {
    // SAFETY: the reference is to 64 readable bytes, and this load asks for no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn store(words: __m512i) -> [u32; LANES] {
    let mut place = [0; LANES];
    // SAFETY: `place` is 64 writable bytes, and this store asks for no alignment.
    unsafe { _mm512_storeu_si512(place.as_mut_ptr().cast(), words) };
    place
}

/// Words are big-endian in a message.
#[target_feature(enable = "avx512f")]
fn swapped(words: __m512i) -> __m512i {
    let mask = broadcast(0x00ff_00ff);
    _mm512_ternarylogic_epi32::<CHOICE>(
        mask,
        _mm512_rol_epi32::<8>(words),
        _mm512_ror_epi32::<8>(words),
    )
}

/// Row by message becomes row by word.
#[target_feature(enable = "avx512f")]
fn transposed(r: [__m512i; 16]) -> [__m512i; 16] {
    let mut quads = r;
    for (from, to) in r.as_chunks::<4>().0.iter().zip(quads.as_chunks_mut::<4>().0) {
        let [a, b, c, d] = *from;
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (hi_ab, hi_cd) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        *to = [
            _mm512_unpacklo_epi64(ab, cd),
            _mm512_unpackhi_epi64(ab, cd),
            _mm512_unpacklo_epi64(hi_ab, hi_cd),
            _mm512_unpackhi_epi64(hi_ab, hi_cd),
        ];
    }
    // `quads[4 * i + j]` has word `4 * q + j` of messages `4 * i` to `4 * i + 3` in its quarter `q`.
    let mut out = quads;
    for j in 0..4 {
        let (a, b, c, d) = (quads[j], quads[4 + j], quads[8 + j], quads[12 + j]);
        let even = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d));
        let odd = (_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d));
        out[j] = _mm512_shuffle_i32x4::<0x88>(even.0, even.1);
        out[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd.0, odd.1);
        out[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even.0, even.1);
        out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd.0, odd.1);
    }
    out
}

/// Sixteen rounds, unrolled: the schedule's places are then constants.
macro_rules! rounds {
    ($s:ident, $w:ident, $k:ident, $extend:expr; $($t:literal)*) => {
        $(
            if $extend {
                $w[$t] = extended($w[$t], $w[($t + 1) % 16], $w[($t + 9) % 16], $w[($t + 14) % 16]);
            }
            $s = round($s, _mm512_add_epi32($w[$t], broadcast($k[$t])));
        )*
    };
}

#[target_feature(enable = "avx512f")]
fn compress(state: [__m512i; 8], mut w: [__m512i; 16]) -> [__m512i; 8] {
    let mut s = state;
    for (number, k) in K.as_chunks::<16>().0.iter().enumerate() {
        rounds!(s, w, k, number > 0; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    let mut sum = state;
    for (sum, add) in sum.iter_mut().zip(s) {
        *sum = _mm512_add_epi32(*sum, add);
    }
    sum
}

#[target_feature(enable = "avx512f")]
fn extended(w0: __m512i, w1: __m512i, w9: __m512i, w14: __m512i) -> __m512i {
    let s0 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<7>(w1),
        _mm512_ror_epi32::<18>(w1),
        _mm512_srli_epi32::<3>(w1),
    );
    let s1 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<17>(w14),
        _mm512_ror_epi32::<19>(w14),
        _mm512_srli_epi32::<10>(w14),
    );
    _mm512_add_epi32(_mm512_add_epi32(w0, s0), _mm512_add_epi32(w9, s1))
}

#[target_feature(enable = "avx512f")]
fn round([a, b, c, d, e, f, g, h]: [__m512i; 8], word: __m512i) -> [__m512i; 8] {
    let s1 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<6>(e),
        _mm512_ror_epi32::<11>(e),
        _mm512_ror_epi32::<25>(e),
    );
    let choice = _mm512_ternarylogic_epi32::<CHOICE>(e, f, g);
    let t1 = _mm512_add_epi32(_mm512_add_epi32(h, word), _mm512_add_epi32(s1, choice));
    let s0 = _mm512_ternarylogic_epi32::<XOR>(
        _mm512_ror_epi32::<2>(a),
        _mm512_ror_epi32::<13>(a),
        _mm512_ror_epi32::<22>(a),
    );
    let majority = _mm512_ternarylogic_epi32::<MAJORITY>(a, b, c);
    let t2 = _mm512_add_epi32(s0, majority);
    [_mm512_add_epi32(t1, t2), a, b, c, _mm512_add_epi32(d, t1), e, f, g]
}

/// The first words of the fractional parts of the square roots of the first eight primes.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Of the cube roots of the first 64.
#[rustfmt::skip]
const K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];
