//! Detached signatures over whole files, and the keys that make them.
//!
//! The format is OpenSSH's SSHSIG (PROTOCOL.sshsig) with an Ed25519 key, so that anyone can check a stemcell
//! with `ssh-keygen -Y verify` and without this program. What is signed is a file, or the list of its pieces
//! ([`crate::digest`]). Files are hashed while they are read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::digest::{self, Context, Digest, SHA256, SHA512};
use ssh_key::private::Ed25519Keypair;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use thiserror::Error;

use crate::digest::{Of, pieces};
use crate::facts::Output;

/// The SSHSIG namespace of a stemcell: a signature made for something else is refused.
pub const NAMESPACE: &str = "stonecell";

/// The comment that marks a key as generated for development.
pub const DEVELOPMENT_COMMENT: &str = "DEVELOPMENT-ONLY stonecell";

/// More bytes than any key or signature has.
const LARGEST_KEY: u64 = 1 << 20;

/// Why a key cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Cannot be read.
    #[error(
        "cannot read signing key {path}: make one with `stonecell keys` or correct the path in [signing]"
    )]
    Read {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read the private key.
    #[error("private key {path} has mode {mode:04o}, others may read it: run `chmod 0600` on it")]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not an OpenSSH key, or encrypted.
    #[error("{path} is not an unencrypted OpenSSH Ed25519 key")]
    Format {
        /// The key file.
        path: PathBuf,
        /// What the parser says.
        source: ssh_key::Error,
    },
    /// A key of another algorithm.
    #[error("{path} is a {algorithm} key, expected ssh-ed25519 (its signatures are deterministic)")]
    Algorithm {
        /// The key file.
        path: PathBuf,
        /// What it is.
        algorithm: String,
    },
    /// Cannot be written.
    #[error("cannot write key {path}")]
    Write {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system gave no randomness, or encoding failed.
    #[error("cannot generate a key")]
    Generate(#[source] ssh_key::Error),
}

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

/// A private key for stemcells.
#[derive(Debug, Clone)]
pub struct SigningKey(PrivateKey);

impl SigningKey {
    /// Reads an unencrypted OpenSSH Ed25519 private key that only its owner may read.
    ///
    /// # Errors
    /// [`KeyError`] when it is missing, exposed, or of another kind.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let read = |source| KeyError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let mode = file.metadata().map_err(read)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = Vec::new();
        file.take(LARGEST_KEY).read_to_end(&mut text).map_err(read)?;
        let format = |source| KeyError::Format { path: path.to_owned(), source };
        let key = PrivateKey::from_openssh(&text).map_err(format)?;
        if key.is_encrypted() {
            return Err(format(ssh_key::Error::Encrypted));
        }
        if key.algorithm() != Algorithm::Ed25519 {
            let algorithm = key.algorithm().to_string();
            return Err(KeyError::Algorithm { path: path.to_owned(), algorithm });
        }
        Ok(Self(key))
    }

    /// Makes a development key and writes it and its `.pub` (0600 and 0644); refuses to overwrite.
    ///
    /// # Errors
    /// [`KeyError`] when no randomness is to be had or a file exists already.
    pub fn generate_development(path: &Path) -> Result<Self, KeyError> {
        let mut key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519)
            .map_err(KeyError::Generate)?;
        key.set_comment(DEVELOPMENT_COMMENT);
        let text = key.to_openssh(LineEnding::LF).map_err(KeyError::Generate)?;
        write_new(path, text.as_bytes(), 0o600)?;
        let key = Self(key);
        write_new(&public_path(path), key.public_text()?.as_bytes(), 0o644)?;
        Ok(key)
    }

    /// Is it marked as generated for development?
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.0.comment() == DEVELOPMENT_COMMENT
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        VerifyingKey(self.0.public_key().clone())
    }

    /// Its public half as a line of OpenSSH, with the comment of the private one.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn public_text(&self) -> Result<String, KeyError> {
        let line = self.0.public_key().to_openssh().map_err(KeyError::Generate)?;
        Ok(format!("{line}\n"))
    }

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

/// A public key that must have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey(PublicKey);

impl VerifyingKey {
    /// Reads an OpenSSH public key file.
    ///
    /// # Errors
    /// [`KeyError`] when it is missing or not an Ed25519 public key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text =
            read_small(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        let key = PublicKey::from_openssh(&text)
            .map_err(|source| KeyError::Format { path: path.to_owned(), source })?;
        if key.algorithm() != Algorithm::Ed25519 {
            let algorithm = key.algorithm().to_string();
            return Err(KeyError::Algorithm { path: path.to_owned(), algorithm });
        }
        Ok(Self(key))
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Is it marked as generated for development?
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.0.comment() == DEVELOPMENT_COMMENT
    }

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

/// The text of a key or a signature; of a longer file only the beginning, which is neither.
fn read_small(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST_KEY).read_to_string(&mut text)?;
    Ok(text)
}

/// Where the public half of a private key file lies.
#[must_use]
pub fn public_path(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// What an SSHSIG signs (PROTOCOL.sshsig): magic, namespace, reserved, hash name, hash; each string with its
/// length as 32 bits, big-endian.
fn signed_data(of: Of, hash: &[u8], digest: &[u8]) -> Vec<u8> {
    let mut data = b"SSHSIG".to_vec();
    for string in [of.namespace().as_bytes(), b"", hash, digest] {
        // The longest is a digest of 64 bytes.
        data.extend_from_slice(&u32::try_from(string.len()).unwrap_or(0).to_be_bytes());
        data.extend_from_slice(string);
    }
    data
}

/// Hashes a file while it is read.
pub(crate) fn digest_of(
    path: &Path,
    algorithm: &'static digest::Algorithm,
) -> std::io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Context::new(algorithm);
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = file.read(&mut buffer)?;
        match buffer.get(..read) {
            Some([]) | None => return Ok(hash.finish()),
            Some(bytes) => hash.update(bytes),
        }
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    let write = |source| KeyError::Write { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(write)?;
    file.write_all(bytes).map_err(write)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn ssh_keygen_accepts_what_we_sign_and_we_refuse_a_changed_byte() {
        let dir = tempfile::tempdir().unwrap();
        let key_path = dir.path().join("key");
        let key = SigningKey::generate_development(&key_path).unwrap();
        assert!(key.is_development());
        let file = dir.path().join("stemcell.tgz");
        std::fs::write(&file, b"bytes").unwrap();
        let signature = dir.path().join("stemcell.tgz.sig");
        let armour = SigningKey::read(&key_path).unwrap().sign_file(&file).unwrap();
        std::fs::write(&signature, &armour).unwrap();

        let public = std::fs::read_to_string(public_path(&key_path)).unwrap();
        // Also when it is read back: outputs get their public half from the private one.
        assert_eq!(SigningKey::read(&key_path).unwrap().public_text().unwrap(), public);
        let signers = dir.path().join("signers");
        std::fs::write(&signers, format!("us namespaces=\"stonecell\" {public}")).unwrap();
        let status = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", "us", "-n", NAMESPACE, "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(&signature)
            .stdin(File::open(&file).unwrap())
            .status()
            .unwrap();
        assert!(status.success());

        let trusted = VerifyingKey::read(&public_path(&key_path)).unwrap();
        assert_eq!(
            verify_file(&file, &signature, Some(&trusted)).unwrap().fingerprint(),
            trusted.fingerprint()
        );
        // Made by ssh-keygen with its default hash.
        std::fs::remove_file(&signature).unwrap();
        let status = Command::new("ssh-keygen")
            .args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"])
            .args([&key_path, &file])
            .status()
            .unwrap();
        assert!(status.success());
        verify_file(&file, &signature, Some(&trusted)).unwrap();
        std::fs::write(&file, b"bytez").unwrap();
        assert!(matches!(
            verify_file(&file, &signature, Some(&trusted)),
            Err(SignatureError::Changed { .. })
        ));
        let other = SigningKey::generate_development(&dir.path().join("other")).unwrap();
        assert!(matches!(
            verify_file(&file, &signature, Some(&other.public())),
            Err(SignatureError::OtherKey { .. })
        ));
    }

    #[test]
    fn refuses_exposed_missing_and_foreign_keys() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(matches!(SigningKey::read(&path), Err(KeyError::Read { .. })));
        SigningKey::generate_development(&path).unwrap();
        assert!(matches!(SigningKey::generate_development(&path), Err(KeyError::Write { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(SigningKey::read(&path), Err(KeyError::Exposed { mode: 0o644, .. })));
        std::fs::write(&path, "nonsense").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(SigningKey::read(&path), Err(KeyError::Format { .. })));
    }

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
