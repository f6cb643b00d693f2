//! The keys: read, made for development, told apart.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey, PublicKey};
use thiserror::Error;

use super::{LARGEST_KEY, read_small};

/// The comment that marks a key as generated for development.
pub const DEVELOPMENT_COMMENT: &str = "DEVELOPMENT-ONLY stonecell";

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

/// A private key for stemcells.
#[derive(Debug, Clone)]
pub struct SigningKey(pub(super) PrivateKey);

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
}

/// A public key that must have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey(pub(super) PublicKey);

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
}

/// Where the public half of a private key file lies.
#[must_use]
pub fn public_path(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyError> {
    let write = |source| KeyError::Write { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(write)?;
    file.write_all(bytes).map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
