//! What an Authenticode signature covers: the digest of a PE file, and the structure around it
//! (Microsoft, "Windows Authenticode Portable Executable Signature Format", 2008).

use der::Any;
use der::Decode;
use der::Reader;
use der::Tag;
use der::asn1::ObjectIdentifier;
use der::asn1::OctetStringRef;
use ring::digest::Context;
use ring::digest::Digest;
use ring::digest::SHA256;
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::uki::CERTIFICATE_DIRECTORY;
use crate::uki::Pe;
use crate::uki::PeError;

/// SPC_INDIRECT_DATA_OBJID.
pub(super) const INDIRECT_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
/// SHA-256 (RFC 5754).
pub(super) const SHA256_OID: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// RSA encryption (RFC 3370), the signature algorithm that Authenticode names.
pub(super) const RSA_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RSA with SHA-256 in one identifier (RFC 4055); some signers write it instead.
pub(super) const RSA_SHA256_OID: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// PKCS #7 signedData.
pub(super) const SIGNED_DATA: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
/// PKCS #9 contentType and messageDigest.
pub(super) const CONTENT_TYPE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
pub(super) const MESSAGE_DIGEST: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");

/// The value of `SpcIndirectDataContent` before the 32 bytes of the digest: `SpcAttributeTypeAndOptionalValue`
/// with SPC_PE_IMAGE_DATAOBJ, no flags and an empty file name, then `DigestInfo` of SHA-256.
const BEFORE_DIGEST: [u8; 44] = [
    0x30, 0x17, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x01, 0x0f, 0x30, 0x09,
    0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
    0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
];

/// Algorithm identifier of SHA-256 with the NULL that Authenticode has beside it.
pub(super) fn sha256() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: SHA256_OID, parameters: Some(Any::null()) }
}

/// `SpcIndirectDataContent` for the digest of a PE file.
pub(super) fn indirect_data(digest: &Digest) -> der::Result<Any> {
    let mut value = BEFORE_DIGEST.to_vec();
    value.extend_from_slice(digest.as_ref());
    Any::new(Tag::Sequence, value)
}

/// The SHA-256 digest inside a `SpcIndirectDataContent`; `None` for another algorithm.
pub(super) fn digest_in(content: &Any) -> der::Result<Option<Vec<u8>>> {
    content.sequence(|reader| {
        let _image_data = Any::decode(reader)?;
        let info = Any::decode(reader)?;
        info.sequence(|reader| {
            let algorithm = AlgorithmIdentifierOwned::decode(reader)?;
            let digest: OctetStringRef<'_> = reader.decode()?;
            Ok((algorithm.oid == SHA256_OID).then(|| digest.as_bytes().to_vec()))
        })
    })
}

/// The Authenticode digest: the file without its checksum, its certificate directory entry and its
/// certificate table. `end` is where that table is or will be.
pub(super) fn pe_digest(pe: &Pe<'_>, end: usize) -> Result<Digest, PeError> {
    let part = |start: usize, end: usize| {
        pe.data.get(start..end).ok_or(PeError::Bad { what: "range to be signed" })
    };
    let checksum = pe.checksum_offset();
    let directory = pe.directory_offset(CERTIFICATE_DIRECTORY);
    let headers = pe.size_of_headers as usize;
    let mut context = Context::new(&SHA256);
    context.update(part(0, checksum)?);
    context.update(part(checksum + 4, directory)?);
    context.update(part(directory + 8, headers)?);
    let mut hashed = headers;
    let mut sections: Vec<_> =
        pe.sections.iter().filter(|section| !section.data.is_empty()).collect();
    sections.sort_by_key(|section| section.file_offset);
    for section in sections {
        // Firmware hashes the sections one after the other and then what is left of the file, counted from
        // the sum of their sizes. With a gap or an overlap that would leave bytes out.
        if section.file_offset as usize != hashed {
            return Err(PeError::Bad { what: "gap or overlap of sections" });
        }
        context.update(section.data);
        hashed += section.data.len();
    }
    context.update(part(hashed, end)?);
    Ok(context.finish())
}
