//! Checking an Authenticode signature against one certificate, as firmware does with an entry of `db`.
//!
//! Stricter than firmware: parts of the structure that no signature covers (the copy of the certificate,
//! algorithm identifiers, padding) have one accepted form, so that no byte of the file can change unseen.

use cms::cert::CertificateChoices;
use cms::content_info::CmsVersion;
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use cms::signed_data::SignerIdentifier;
use cms::signed_data::SignerInfo;
use der::Any;
use der::Decode;
use der::Encode;
use der::Header;
use der::Reader;
use der::SliceReader;
use der::asn1::ObjectIdentifier;
use der::asn1::OctetStringRef;
use ring::digest::SHA256;
use ring::digest::digest;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use ring::signature::UnparsedPublicKey;
use x509_cert::Certificate;

use super::content;
use crate::uki::CERTIFICATE_DIRECTORY;
use crate::uki::Pe;
use crate::uki::PeError;

/// Why a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// Not a program.
    #[error("the signed program cannot be used")]
    Pe(#[source] PeError),
    /// No signature.
    #[error("the program is not signed")]
    Unsigned,
    /// The certificate table is not one whole signature at the end of the file.
    #[error("the certificate table is damaged: {reason}")]
    Table {
        /// What is wrong.
        reason: &'static str,
    },
    /// The signature is not PKCS #7.
    #[error("the signature cannot be read")]
    Decode(#[source] der::Error),
    /// Another kind of signature.
    #[error("the signature has an unexpected {what}")]
    Unexpected {
        /// What is unexpected.
        what: &'static str,
    },
    /// Signed with another certificate.
    #[error("the program is signed with another certificate than {expected}")]
    Signer {
        /// Subject of the certificate asked for.
        expected: String,
    },
    /// The file was changed.
    #[error(
        "the program was changed after it was signed: its digest is {actual}, signed was {signed}"
    )]
    Digest {
        /// Digest in the signature, hexadecimal.
        signed: String,
        /// Digest of the file, hexadecimal.
        actual: String,
    },
    /// The signature was changed or made by another key.
    #[error("the signature does not belong to the key of {expected}")]
    Signature {
        /// Subject of the certificate asked for.
        expected: String,
    },
}

/// Checks that `program` is signed with the key of `certificate` and unchanged since.
pub fn verify_signature(program: &[u8], certificate: &Certificate) -> Result<(), SignatureError> {
    let pe = Pe::parse(program).map_err(SignatureError::Pe)?;
    let (start, signature) = certificate_table(&pe)?;
    let decode = SignatureError::Decode;
    let info = ContentInfo::from_der(signature).map_err(decode)?;
    expect(info.content_type == content::SIGNED_DATA, "content type")?;
    let data: SignedData = info.content.decode_as().map_err(decode)?;
    expect(data.encap_content_info.econtent_type == content::INDIRECT_DATA, "signed content")?;
    let indirect = data.encap_content_info.econtent.as_ref();
    let indirect = indirect.ok_or(SignatureError::Unexpected { what: "lack of content" })?;
    let [signer] = data.signer_infos.0.as_slice() else {
        return Err(SignatureError::Unexpected { what: "number of signers" });
    };

    expect(data.version == CmsVersion::V1, "version")?;
    expect(data.digest_algorithms.as_slice() == [content::sha256()], "digest algorithm")?;
    expect(data.crls.is_none(), "revocation list")?;
    let copies = data.certificates.as_ref().map_or(&[][..], |set| set.0.as_slice());
    match copies {
        [CertificateChoices::Certificate(copy)] if copy == certificate => {}
        _ => return Err(SignatureError::Signer { expected: subject(certificate) }),
    }

    let actual = content::pe_digest(&pe, start).map_err(SignatureError::Pe)?;
    let signed = content::digest_in(indirect).map_err(decode)?;
    let signed = signed.ok_or(SignatureError::Unexpected { what: "digest algorithm" })?;
    if signed != actual.as_ref() {
        let (signed, actual) = (hex::encode(signed), hex::encode(actual));
        return Err(SignatureError::Digest { signed, actual });
    }
    check_signer(signer, indirect, certificate)
}

/// The attributes speak of the content, and the signature over them is that of the certificate's key.
fn check_signer(
    signer: &SignerInfo,
    indirect: &Any,
    certificate: &Certificate,
) -> Result<(), SignatureError> {
    let decode = SignatureError::Decode;
    let tbs = &certificate.tbs_certificate;
    let expected = || subject(certificate);
    match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(id)
            if id.issuer == tbs.issuer && id.serial_number == tbs.serial_number => {}
        _ => return Err(SignatureError::Signer { expected: expected() }),
    }
    expect(signer.version == CmsVersion::V1, "signer version")?;
    expect(signer.digest_alg == content::sha256(), "digest algorithm")?;
    let algorithm = &signer.signature_algorithm;
    let rsa = [content::RSA_OID, content::RSA_SHA256_OID].contains(&algorithm.oid);
    expect(rsa && algorithm.parameters == Some(Any::null()), "signature algorithm")?;
    expect(signer.unsigned_attrs.is_none(), "unsigned attribute")?;
    let attributes = signer.signed_attrs.as_ref();
    let attributes = attributes.ok_or(SignatureError::Unexpected { what: "lack of attributes" })?;
    let value = |oid: ObjectIdentifier| {
        let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
        match (found.next().map(|attribute| attribute.values.as_slice()), found.next()) {
            (Some([value]), None) => Ok(value),
            _ => Err(SignatureError::Unexpected { what: "set of attributes" }),
        }
    };
    let content_type: ObjectIdentifier =
        value(content::CONTENT_TYPE)?.decode_as().map_err(decode)?;
    expect(content_type == content::INDIRECT_DATA, "content type attribute")?;
    let message_digest = value(content::MESSAGE_DIGEST)?;
    let message_digest: OctetStringRef<'_> = message_digest.decode_as().map_err(decode)?;
    let wanted = digest(&SHA256, indirect.value());
    expect(message_digest.as_bytes() == wanted.as_ref(), "message digest")?;

    let public = tbs.subject_public_key_info.subject_public_key.raw_bytes();
    let signed = attributes.to_der().map_err(decode)?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public)
        .verify(&signed, signer.signature.as_bytes())
        .map_err(|_| SignatureError::Signature { expected: expected() })
}

fn subject(certificate: &Certificate) -> String {
    certificate.tbs_certificate.subject.to_string()
}

fn expect(holds: bool, what: &'static str) -> Result<(), SignatureError> {
    if holds { Ok(()) } else { Err(SignatureError::Unexpected { what }) }
}

/// Where the certificate table begins, and the PKCS #7 bytes in it. The table has to be one entry that ends
/// with the file and has only zeros after the signature.
fn certificate_table<'a>(pe: &Pe<'a>) -> Result<(usize, &'a [u8]), SignatureError> {
    let wrong = |reason| SignatureError::Table { reason };
    let (start, size) = pe.directory(CERTIFICATE_DIRECTORY);
    if (start, size) == (0, 0) {
        return Err(SignatureError::Unsigned);
    }
    let (start, size) = (start as usize, size as usize);
    let table = pe.data.get(start..).filter(|table| table.len() == size);
    let table = table.ok_or_else(|| wrong("it does not end with the file"))?;
    let (header, rest) =
        table.split_first_chunk::<8>().ok_or_else(|| wrong("it is shorter than its header"))?;
    let [a, b, c, d, revision @ .., type_low, type_high] = header;
    // The length of the entry is written with its padding by some and without by others.
    let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    if length > size || length.next_multiple_of(8) != size {
        return Err(wrong("it has more than one entry"));
    }
    if *revision != [0x00, 0x02] || [*type_low, *type_high] != [0x02, 0x00] {
        return Err(wrong("the entry is not a PKCS #7 signature"));
    }
    let der = der_length(rest).ok_or_else(|| wrong("the signature is cut short"))?;
    let (signature, padding) =
        rest.split_at_checked(der).ok_or_else(|| wrong("the signature is cut short"))?;
    if (length != size && length != 8 + der)
        || padding.len() > 7
        || padding.iter().any(|&byte| byte != 0)
    {
        return Err(wrong("there is something after the signature"));
    }
    Ok((start, signature))
}

/// Bytes of the DER element at the start of `bytes`, with its header.
fn der_length(bytes: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(bytes).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    let own = usize::try_from(reader.position()).ok()?;
    own.checked_add(usize::try_from(header.length).ok()?)
}
