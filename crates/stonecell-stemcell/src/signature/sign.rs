//! Making signatures.

use std::path::{Path, PathBuf};

use ring::digest::SHA256;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, LineEnding, SshSig};
use thiserror::Error;

use super::{SigningKey, digest_of, signed_data};
use crate::digest::Of;
use crate::facts::Output;

/// Why a signature could not be made.
#[derive(Debug, Error)]
pub enum SignError {
    /// The file cannot be read.
    #[error("cannot read {path} to sign it")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The digest of an output is malformed.
    #[error("the digest of {path} is not 64 hexadecimal digits")]
    Digest {
        /// The file.
        path: PathBuf,
    },
    /// The cryptography failed.
    #[error("cannot sign {path}")]
    Sign {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ssh_key::Error,
    },
}

impl SigningKey {
    /// The bare Ed25519 signature (64 bytes) over `message`.
    ///
    /// # Errors
    /// Only when the key is not Ed25519, which [`SigningKey::read`] rules out.
    pub fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, ssh_key::Error> {
        use ::signature::Signer;
        use ssh_key::private::KeypairData;
        match self.0.key_data() {
            KeypairData::Ed25519(pair) => {
                let signature: ssh_key::Signature =
                    Ed25519Keypair::try_sign(pair, message).map_err(|_| ssh_key::Error::Crypto)?;
                Ok(signature.as_bytes().to_vec())
            }
            _ => Err(ssh_key::Error::AlgorithmUnknown),
        }
    }

    /// The armoured signature over a file.
    ///
    /// # Errors
    /// [`SignError`] when the file cannot be read.
    pub fn sign_file(&self, path: &Path) -> Result<String, SignError> {
        let digest = digest_of(path, &SHA256)
            .map_err(|source| SignError::Read { path: path.to_owned(), source })?;
        self.sign_digest(Of::File, digest.as_ref())
            .map_err(|source| SignError::Sign { path: path.to_owned(), source })
    }

    /// The armoured signature over an output, from the digest that was taken while it was written.
    ///
    /// # Errors
    /// [`SignError::Digest`] when that is not 64 hexadecimal digits.
    pub fn sign_output(&self, output: &Output) -> Result<String, SignError> {
        let mut digest = [0; 32];
        hex::decode_to_slice(&output.sha256, &mut digest)
            .map_err(|_| SignError::Digest { path: output.path.clone() })?;
        self.sign_digest(output.of, &digest)
            .map_err(|source| SignError::Sign { path: output.path.clone(), source })
    }

    /// Signs a SHA-256 digest: the provenance needs that one too, so a file is hashed once.
    fn sign_digest(&self, of: Of, digest: &[u8]) -> Result<String, ssh_key::Error> {
        use ::signature::Signer;
        let message = signed_data(of, b"sha256", digest);
        let signature = self.0.try_sign(&message).map_err(|_| ssh_key::Error::Crypto)?;
        let public = self.0.public_key().key_data().clone();
        SshSig::new(public, of.namespace(), HashAlg::Sha256, signature)?.to_pem(LineEnding::LF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_signatures_verify() {
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::generate_development(&dir.path().join("key")).unwrap();
        let signature = key.sign_bytes(b"message").unwrap();
        assert!(key.public().verify_bytes(b"message", &signature));
        assert!(!key.public().verify_bytes(b"massage", &signature));
        assert!(!key.public().verify_bytes(b"message", &signature[..10]));
    }
}
