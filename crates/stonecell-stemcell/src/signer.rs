//! The certificate that a signed program carries: who claims to have signed it.
//!
//! Reading it proves nothing; [`stonecell_image::verify_signature`] does.

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use der::{Decode, SliceReader};
use stonecell_image::secure_boot::DEVELOPMENT_MARK;
use x509_cert::Certificate;

/// Offsets in a PE32+ program (PE/COFF specification): of the headers, and from there of the place and
/// length of the certificate table.
const HEADERS_AT: usize = 0x3c;
const CERTIFICATES_AT: usize = 24 + 112 + 4 * 8;

/// The first certificate in the signature of `program`; `None` when there is none that can be read.
#[must_use]
pub fn certificate(program: &[u8]) -> Option<Certificate> {
    let headers = u32_at(program, HEADERS_AT)?;
    if program.get(headers..headers.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let start = u32_at(program, headers.checked_add(CERTIFICATES_AT)?)?;
    let length = u32_at(program, headers.checked_add(CERTIFICATES_AT + 4)?)?;
    // Eight bytes of length, revision and type come before the signature.
    let table = program.get(start..start.checked_add(length)?)?.get(8..)?;
    let info = ContentInfo::decode(&mut SliceReader::new(table).ok()?).ok()?;
    let data: SignedData = info.content.decode_as().ok()?;
    data.certificates?.0.into_vec().into_iter().find_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    })
}

/// Its subject, as RFC 4514 writes names.
#[must_use]
pub fn subject(certificate: &Certificate) -> String {
    certificate.tbs_certificate.subject.to_string()
}

/// Was the key made for development?
#[must_use]
pub fn is_development(certificate: &Certificate) -> bool {
    subject(certificate).contains(DEVELOPMENT_MARK)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<usize> {
    let field = bytes.get(offset..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*field)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_bytes_do_not_panic(mut bytes in prop::collection::vec(any::<u8>(), 64..600)) {
            bytes[0x3c..0x40].copy_from_slice(&[64, 0, 0, 0]);
            prop_assert!(certificate(&bytes).is_none());
            if let Some(mark) = bytes.get_mut(64..68) {
                mark.copy_from_slice(b"PE\0\0");
            }
            let _ = certificate(&bytes);
        }
    }
}
