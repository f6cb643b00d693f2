//! Making an Authenticode signature, the same bytes each time: RSA PKCS #1 v1.5 has no random part and no
//! signing time is stated.

use cms::cert::CertificateChoices;
use cms::cert::IssuerAndSerialNumber;
use cms::content_info::CmsVersion;
use cms::content_info::ContentInfo;
use cms::signed_data::CertificateSet;
use cms::signed_data::EncapsulatedContentInfo;
use cms::signed_data::SignedData;
use cms::signed_data::SignerIdentifier;
use cms::signed_data::SignerInfo;
use cms::signed_data::SignerInfos;
use der::Any;
use der::Encode;
use der::asn1::ObjectIdentifier;
use der::asn1::OctetString;
use der::asn1::SetOfVec;
use ring::digest::Digest;
use ring::digest::SHA256;
use ring::digest::digest;
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;
use x509_cert::attr::Attribute;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::SigningKey;
use super::content;
use crate::uki::CERTIFICATE_DIRECTORY;
use crate::uki::Pe;
use crate::uki::PeError;
use crate::uki::set_checksum;

/// Certificate tables and the files before them are multiples of this.
const ALIGNMENT: usize = 8;
/// WIN_CERT_REVISION_2_0 and WIN_CERT_TYPE_PKCS_SIGNED_DATA.
const REVISION: u16 = 0x0200;
const PKCS_SIGNED_DATA: u16 = 0x0002;

/// Why a file was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Not a program that can be signed.
    #[error("the program to be signed cannot be used")]
    Pe(#[source] PeError),
    /// One signature is enough.
    #[error("the program is signed already")]
    Signed,
    /// The signature could not be encoded.
    #[error("cannot encode the signature")]
    Encode(#[source] der::Error),
    /// The key did not sign.
    #[error("the key refused to sign")]
    Key,
    /// More than a PE file can hold.
    #[error("the signed program would be larger than 4 GiB")]
    TooLarge,
}

/// Returns the program with a signature at its end.
pub fn sign_pe(program: &[u8], key: &SigningKey) -> Result<Vec<u8>, SignError> {
    let mut image = program.to_vec();
    image.resize(image.len().next_multiple_of(ALIGNMENT), 0);
    let end = image.len();
    let (signature, checksum, directory) = {
        let pe = Pe::parse(&image).map_err(SignError::Pe)?;
        if pe.directory(CERTIFICATE_DIRECTORY) != (0, 0) {
            return Err(SignError::Signed);
        }
        let digest = content::pe_digest(&pe, end).map_err(SignError::Pe)?;
        let signature = signed_data(&digest, key)?;
        (signature, pe.checksum_offset(), pe.directory_offset(CERTIFICATE_DIRECTORY))
    };
    let table = (8 + signature.len()).next_multiple_of(ALIGNMENT);
    let table_size = u32::try_from(table).map_err(|_| SignError::TooLarge)?;
    let place = u32::try_from(end).map_err(|_| SignError::TooLarge)?;
    image.extend_from_slice(&table_size.to_le_bytes());
    image.extend_from_slice(&REVISION.to_le_bytes());
    image.extend_from_slice(&PKCS_SIGNED_DATA.to_le_bytes());
    image.extend_from_slice(&signature);
    image.resize(end + table, 0);
    if let Some(entry) = image.get_mut(directory..directory + 8) {
        let (address, size) = entry.split_at_mut(4);
        address.copy_from_slice(&place.to_le_bytes());
        size.copy_from_slice(&table_size.to_le_bytes());
    }
    set_checksum(&mut image, checksum).map_err(SignError::Pe)?;
    Ok(image)
}

/// The PKCS #7 structure: what was signed, the certificate, the signed attributes and the signature.
fn signed_data(pe_digest: &Digest, signer: &SigningKey) -> Result<Vec<u8>, SignError> {
    let encode = SignError::Encode;
    let indirect = content::indirect_data(pe_digest).map_err(encode)?;
    let message_digest = digest(&SHA256, indirect.value());
    let attributes = SetOfVec::try_from(vec![
        attribute(content::CONTENT_TYPE, Any::encode_from(&content::INDIRECT_DATA))
            .map_err(encode)?,
        attribute(
            content::MESSAGE_DIGEST,
            OctetString::new(message_digest.as_ref()).and_then(|octets| Any::encode_from(&octets)),
        )
        .map_err(encode)?,
    ])
    .map_err(encode)?;

    let to_sign = attributes.to_der().map_err(encode)?;
    let mut signature = vec![0; signer.key.public().modulus_len()];
    // The random numbers blind the computation; the signature does not depend on them.
    signer
        .key
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &to_sign, &mut signature)
        .map_err(|_| SignError::Key)?;

    let certificate = &signer.certificate.tbs_certificate;
    let info = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: certificate.issuer.clone(),
            serial_number: certificate.serial_number.clone(),
        }),
        digest_alg: content::sha256(),
        signed_attrs: Some(attributes),
        signature_algorithm: AlgorithmIdentifierOwned {
            oid: content::RSA_OID,
            parameters: Some(Any::null()),
        },
        signature: OctetString::new(signature).map_err(encode)?,
        unsigned_attrs: None,
    };
    let choice = CertificateChoices::Certificate(signer.certificate.clone());
    let data = SignedData {
        version: CmsVersion::V1,
        digest_algorithms: SetOfVec::try_from(vec![content::sha256()]).map_err(encode)?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: content::INDIRECT_DATA,
            econtent: Some(indirect),
        },
        certificates: Some(CertificateSet::try_from(vec![choice]).map_err(encode)?),
        crls: None,
        signer_infos: SignerInfos::try_from(vec![info]).map_err(encode)?,
    };
    let content = Any::encode_from(&data).map_err(encode)?;
    ContentInfo { content_type: content::SIGNED_DATA, content }.to_der().map_err(encode)
}

fn attribute(oid: ObjectIdentifier, value: der::Result<Any>) -> der::Result<Attribute> {
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value?])? })
}
