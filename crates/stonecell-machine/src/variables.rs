//! Secure Boot keys in the variable store of OVMF.
//!
//! The firmware has no keys until someone enrols them, and enrolling through the firmware's own menu
//! cannot be scripted. So the keys are written into the empty store that the package brings, as
//! the firmware itself would write them. Sources: EDK II, `MdeModulePkg/Include/Guid/VariableFormat.h`;
//! UEFI specification 2.10, sections 32.4.1 (signature lists) and 32.6 (variables).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Certificates as DER or PEM.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// Platform key: may change all others. One.
    pub pk: &'a [u8],
    /// Key exchange keys: may change `db`.
    pub kek: &'a [&'a [u8]],
    /// What may start.
    pub db: &'a [&'a [u8]],
}

/// Why keys cannot be enrolled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnrolError {
    /// The file is not a variable store of the expected kind.
    #[error("variable store: {0}; expected the empty OVMF_VARS_4M.fd of the package ovmf")]
    Store(&'static str),
    /// The store has variables already.
    #[error("variable store is not empty; expected the empty OVMF_VARS_4M.fd of the package ovmf")]
    NotEmpty,
    /// A certificate is neither DER nor PEM.
    #[error("{0} certificate: expected X.509 as DER or PEM")]
    Certificate(&'static str),
    /// The keys do not fit.
    #[error("keys need {need} bytes, the variable store has {room}")]
    Full {
        /// Bytes of all variables.
        need: usize,
        /// Bytes of the store.
        room: usize,
    },
}

// GUIDs in the order of their bytes on disk.
const SYSTEM_NV_DATA_FV: [u8; 16] = guid(0xfff1_2b8d, 0x7696, 0x4c8b, 0xa985_2747_075b_4f50);
const AUTHENTICATED_STORE: [u8; 16] = guid(0xaaf3_2c78, 0x947b, 0x439a, 0xa180_2e14_4ec3_7792);
const GLOBAL_VARIABLE: [u8; 16] = guid(0x8be4_df61, 0x93ca, 0x11d2, 0xaa0d_00e0_9803_2b8c);
const IMAGE_SECURITY_DATABASE: [u8; 16] = guid(0xd719_b2cb, 0x3d3a, 0x4596, 0xa3bc_dad0_0e67_656f);
const SECURE_BOOT_ENABLE: [u8; 16] = guid(0xf0a3_0bc7, 0xaf08, 0x4556, 0x99c4_0010_09c9_3a44);
const CERTIFICATE_X509: [u8; 16] = guid(0xa5c0_59a1, 0x94e4, 0x4aa7, 0x87b5_ab15_5c2b_f072);
/// Owner of the signatures: version 5 of `stonecell` in the name space of DNS names; says only who
/// enrolled.
const OWNER: [u8; 16] = guid(0x0500_8519, 0x3cdb, 0x5bb1, 0xb617_54b6_d013_4520);

/// Offset of the store's header: behind the volume's, whose length is written at 48.
const STORE: usize = 72;
/// Offset of the first variable.
const FIRST: usize = STORE + 28;

const NON_VOLATILE: u32 = 1;
const BOOT_SERVICE: u32 = 2;
const RUNTIME: u32 = 4;
const TIME_BASED: u32 = 0x20;

const fn guid(a: u32, b: u16, c: u16, d: u64) -> [u8; 16] {
    let ([a0, a1, a2, a3], [b0, b1], [c0, c1]) =
        (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
    let [d0, d1, d2, d3, d4, d5, d6, d7] = d.to_be_bytes();
    [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7]
}

/// Writes keys into a copy of an empty store and switches Secure Boot on.
///
/// # Errors
/// The store is not an empty one of OVMF, or a certificate cannot be used.
pub fn enrol(empty: &[u8], keys: &Keys<'_>) -> Result<Vec<u8>, EnrolError> {
    let room = check_empty(empty)?;
    let signed = NON_VOLATILE | BOOT_SERVICE | RUNTIME | TIME_BASED;
    let mut variables = Vec::new();
    for (name, vendor, certificates) in [
        ("db", IMAGE_SECURITY_DATABASE, keys.db),
        ("KEK", GLOBAL_VARIABLE, keys.kek),
        // The platform key comes last, as in the firmware's own order: it ends the setup mode.
        ("PK", GLOBAL_VARIABLE, &[keys.pk][..]),
    ] {
        let lists = certificates.iter().map(|certificate| signature_list(name, certificate));
        let data = lists.collect::<Result<Vec<_>, _>>()?.concat();
        if data.is_empty() {
            continue;
        }
        variable(&mut variables, name, &vendor, signed, &data);
    }
    let local = NON_VOLATILE | BOOT_SERVICE;
    variable(&mut variables, "SecureBootEnable", &SECURE_BOOT_ENABLE, local, &[1]);

    let mut store = empty.to_vec();
    match store.get_mut(FIRST..FIRST + variables.len()) {
        Some(place) if variables.len() <= room => place.copy_from_slice(&variables),
        _ => return Err(EnrolError::Full { need: variables.len(), room }),
    }
    Ok(store)
}

/// Checks the headers; the room for variables in bytes.
fn check_empty(store: &[u8]) -> Result<usize, EnrolError> {
    let field = |at: usize, size: usize| {
        store.get(at..at + size).ok_or(EnrolError::Store("file is too short"))
    };
    if field(16, 16)? != SYSTEM_NV_DATA_FV || field(40, 4)? != b"_FVH" {
        return Err(EnrolError::Store("no firmware volume of variables"));
    }
    if field(48, 2)? != [72, 0] {
        return Err(EnrolError::Store("volume header is not of 72 bytes"));
    }
    if field(STORE, 16)? != AUTHENTICATED_STORE || field(STORE + 20, 2)? != [0x5a, 0xfe] {
        return Err(EnrolError::Store("no formatted store of authenticated variables"));
    }
    let size = field(STORE + 16, 4)?.iter().rev().fold(0_usize, |n, &b| n << 8 | usize::from(b));
    let end = STORE.saturating_add(size);
    let room = store.get(FIRST..end).ok_or(EnrolError::Store("size is beyond the file"))?;
    if room.iter().all(|&byte| byte == 0xff) { Ok(room.len()) } else { Err(EnrolError::NotEmpty) }
}

/// Appends a variable: `AUTHENTICATED_VARIABLE_HEADER`, name, data, aligned to four bytes.
fn variable(out: &mut Vec<u8>, name: &str, vendor: &[u8; 16], attributes: u32, data: &[u8]) {
    const START: [u8; 2] = [0xaa, 0x55];
    const ADDED: u8 = 0x3f;
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    // Sizes of names and certificates that were read into memory; more cannot fit any store.
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend(START);
    out.extend([ADDED, 0]);
    out.extend(attributes.to_le_bytes());
    // No counter; a signed update of any time is newer than time zero; no public key index.
    out.extend([0; 8 + 16 + 4]);
    out.extend(size(&name));
    out.extend(size(data));
    out.extend(vendor);
    out.extend(name);
    out.extend(data);
    out.resize(out.len().next_multiple_of(4), 0xff);
}

/// An `EFI_SIGNATURE_LIST` with one certificate.
fn signature_list(what: &'static str, certificate: &[u8]) -> Result<Vec<u8>, EnrolError> {
    let der = der(certificate).ok_or(EnrolError::Certificate(what))?;
    let signature = 16 + der.len();
    let size = |n: usize| u32::try_from(n).map(u32::to_le_bytes);
    let too_long = |_| EnrolError::Certificate(what);
    let mut list = CERTIFICATE_X509.to_vec();
    list.extend(size(28 + signature).map_err(too_long)?);
    list.extend([0; 4]);
    list.extend(size(signature).map_err(too_long)?);
    list.extend(OWNER);
    list.extend(der);
    Ok(list)
}

/// The DER of a certificate that may be PEM.
fn der(certificate: &[u8]) -> Option<Vec<u8>> {
    let der = match std::str::from_utf8(certificate) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => {
            let (_, body) = text.split_once("-----BEGIN CERTIFICATE-----")?;
            let (body, _) = body.split_once("-----END CERTIFICATE-----")?;
            STANDARD.decode(body.split_whitespace().collect::<String>()).ok()?
        }
        _ => certificate.to_vec(),
    };
    // A SEQUENCE whose length is that of the file.
    let [0x30, 0x82, high, low, rest @ ..] = der.as_slice() else { return None };
    (rest.len() == usize::from(u16::from_be_bytes([*high, *low]))).then_some(der)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn empty() -> Vec<u8> {
        let mut store = vec![0xff; 0x1000];
        store[..FIRST].fill(0);
        store[16..32].copy_from_slice(&SYSTEM_NV_DATA_FV);
        store[40..44].copy_from_slice(b"_FVH");
        store[48] = 72;
        store[STORE..STORE + 16].copy_from_slice(&AUTHENTICATED_STORE);
        store[STORE + 16..STORE + 20].copy_from_slice(&0xe00_u32.to_le_bytes());
        store[STORE + 20..STORE + 22].copy_from_slice(&[0x5a, 0xfe]);
        store
    }

    fn certificate() -> Vec<u8> {
        let mut der = vec![0x30, 0x82, 0x01, 0x2c];
        der.resize(304, 7);
        der
    }

    #[test]
    fn guids_are_in_the_order_of_the_disk() {
        assert_eq!(GLOBAL_VARIABLE[..8], [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11]);
        assert_eq!(GLOBAL_VARIABLE[8..], [0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c]);
    }

    #[test]
    fn variables_have_the_layout_of_the_firmware() {
        let der = certificate();
        let keys = Keys { pk: &der, kek: &[&der], db: &[&der, &der] };
        let store = enrol(&empty(), &keys).unwrap();
        let db = &store[FIRST..];
        assert_eq!(db[..8], [0xaa, 0x55, 0x3f, 0, 0x27, 0, 0, 0]);
        let lists = 2 * (28 + 16 + 304_u32);
        assert_eq!(db[36..40], 6_u32.to_le_bytes());
        assert_eq!(db[40..44], lists.to_le_bytes());
        assert_eq!(db[44..60], IMAGE_SECURITY_DATABASE);
        assert_eq!(&db[60..66], b"d\0b\0\0\0");
        assert_eq!(db[66..82], CERTIFICATE_X509);
        assert_eq!(db[82..86], 348_u32.to_le_bytes());
        assert_eq!(db[90..94], 320_u32.to_le_bytes());
        assert_eq!(db[94..110], OWNER);
        assert_eq!(db[110..414], der);
        let next = (66 + lists as usize).next_multiple_of(4);
        assert_eq!(db[next..next + 2], [0xaa, 0x55]);
        assert_eq!(enrol(&store, &keys), Err(EnrolError::NotEmpty));
    }

    #[test]
    fn certificates_may_be_pem() {
        let der = certificate();
        let pem = format!(
            "subject\n-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(&der)
        );
        let with = |cert: &[u8]| enrol(&empty(), &Keys { pk: cert, kek: &[cert], db: &[cert] });
        assert_eq!(with(pem.as_bytes()), with(&der));
        assert_eq!(with(b"-----BEGIN CERTIFICATE-----"), Err(EnrolError::Certificate("db")));
        assert_eq!(with(&der[1..]), Err(EnrolError::Certificate("db")));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let der = certificate();
        let many = [der.as_slice(); 12];
        let result = enrol(&empty(), &Keys { pk: &der, kek: &many, db: &many });
        assert!(matches!(result, Err(EnrolError::Full { .. })));
    }

    proptest! {
        #[test]
        fn no_store_panics(at in 0_usize..FIRST, byte: u8, size in 0_usize..0x1000) {
            let mut store = empty();
            store[at] = byte;
            store.truncate(size);
            let der = certificate();
            let _ = enrol(&store, &Keys { pk: &der, kek: &[], db: &[] });
        }

        #[test]
        fn no_certificate_panics(bytes: Vec<u8>) {
            let _ = der(&bytes);
        }
    }
}
