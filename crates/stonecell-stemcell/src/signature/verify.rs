//! Checking signatures.

use std::fs::File;
use std::path::{Path, PathBuf};

use ring::digest::{self, SHA512};
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};
use thiserror::Error;

use super::{VerifyingKey, digest_of, read_small, signed_data};
use crate::digest::{Of, pieces};

/// Why a signature is not good.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not SSHSIG armour.
    #[error("{path} is not an SSH signature")]
    Format {
        /// The signature file.
        path: PathBuf,
        /// What the parser says.
        source: ssh_key::Error,
    },
    /// Made for another purpose.
    #[error(
        "the signature was made for namespace {0:?}, expected \"stonecell\" or \"stonecell-pieces\""
    )]
    Namespace(String),
    /// Signed by somebody else.
    #[error("signed by {found}, but {expected} is the key that must have signed")]
    OtherKey {
        /// Fingerprint in the signature.
        found: String,
        /// Fingerprint asked for.
        expected: String,
    },
    /// The bytes are not those that were signed.
    #[error("{path} is not what was signed: its bytes have changed")]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl VerifyingKey {
    /// Checks a bare Ed25519 signature (64 bytes) over `message`.
    #[must_use]
    pub fn verify_bytes(&self, message: &[u8], signature: &[u8]) -> bool {
        use ::signature::Verifier;
        ssh_key::Signature::new(Algorithm::Ed25519, signature)
            .is_ok_and(|signature| self.0.key_data().verify(message, &signature).is_ok())
    }
}

/// Checks `signature` (a file with SSHSIG armour) over `path`. With `expected`, the signer must be that key;
/// without, any key is accepted and returned: the caller must say that nobody vouched for it.
///
/// # Errors
/// [`SignatureError`] that says what is wrong.
pub fn verify_file(
    path: &Path,
    signature: &Path,
    expected: Option<&VerifyingKey>,
) -> Result<VerifyingKey, SignatureError> {
    verify_known(path, signature, expected, None)
}

/// As [`verify_file`], for a file whose SHA-256, of the one or the other, is known already.
///
/// # Errors
/// As [`verify_file`].
pub fn verify_known(
    path: &Path,
    signature: &Path,
    expected: Option<&VerifyingKey>,
    known: Option<(Of, &[u8])>,
) -> Result<VerifyingKey, SignatureError> {
    use ::signature::Verifier;
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| SignatureError::Read { path, source }
    };
    let armour = read_small(signature).map_err(read(signature))?;
    let parsed = SshSig::from_pem(armour.as_bytes())
        .map_err(|source| SignatureError::Format { path: signature.to_owned(), source })?;
    let of = Of::of_namespace(parsed.namespace())
        .ok_or_else(|| SignatureError::Namespace(parsed.namespace().to_owned()))?;
    let signer = VerifyingKey(PublicKey::from(parsed.public_key().clone()));
    if let Some(expected) = expected
        && expected.0.key_data() != signer.0.key_data()
    {
        return Err(SignatureError::OtherKey {
            found: signer.fingerprint(),
            expected: expected.fingerprint(),
        });
    }
    // Ours are over SHA-256; `ssh-keygen -Y sign` takes SHA-512 unless told otherwise.
    let message = match (parsed.hash_alg(), of, known) {
        (HashAlg::Sha256, of, Some((same, digest))) if of == same => {
            signed_data(of, b"sha256", digest)
        }
        (HashAlg::Sha256, of, _) => signed_data(of, b"sha256", &of.take(path).map_err(read(path))?),
        (_, Of::File, _) => {
            signed_data(of, b"sha512", digest_of(path, &SHA512).map_err(read(path))?.as_ref())
        }
        (_, Of::Pieces, _) => {
            let list = File::open(path).and_then(|file| pieces(&file)).map_err(read(path))?;
            signed_data(of, b"sha512", digest::digest(&SHA512, list.as_bytes()).as_ref())
        }
    };
    if parsed.public_key().verify(&message, parsed.signature()).is_ok() {
        Ok(signer)
    } else {
        Err(SignatureError::Changed { path: path.to_owned() })
    }
}

/// What the file's signature is over: the whole of it when there is none that can be read.
#[must_use]
pub fn claimed_digest(signature: &Path) -> Of {
    std::fs::read_to_string(signature)
        .ok()
        .and_then(|armour| SshSig::from_pem(armour.as_bytes()).ok())
        .and_then(|parsed| Of::of_namespace(parsed.namespace()))
        .unwrap_or(Of::File)
}

/// The key that a signature names, without checking anything.
///
/// # Errors
/// [`SignatureError`] when there is no signature or it cannot be read.
pub fn claimed_signer(signature: &Path) -> Result<VerifyingKey, SignatureError> {
    let armour = read_small(signature)
        .map_err(|source| SignatureError::Read { path: signature.to_owned(), source })?;
    let parsed = SshSig::from_pem(armour.as_bytes())
        .map_err(|source| SignatureError::Format { path: signature.to_owned(), source })?;
    Ok(VerifyingKey(PublicKey::from(parsed.public_key().clone())))
}
