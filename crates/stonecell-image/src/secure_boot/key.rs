//! Signing keys: reading them from PEM, and making marked ones for development.
//!
//! A private key is only ever in a file and in memory: never in an argument, an error or a `Debug` output.

use std::fmt;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use der::DecodePem;
use der::SecretDocument;
use ring::signature::KeyPair;
use ring::signature::RsaKeyPair;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::tool::Tool;
use crate::tool::ToolError;

const OPENSSL: Tool = Tool { program: "openssl", package: "openssl" };
/// Part of the subject of every key made here; `inspect` and `verify` can look for it.
pub const DEVELOPMENT_MARK: &str = "DEVELOPMENT - DO NOT USE IN PRODUCTION";
/// A subject's common name has at most 64 characters (RFC 5280, ub-common-name).
const MAX_NAME: usize = 18;

/// More bytes than any key or certificate has.
const LARGEST: u64 = 1 << 20;

/// Why a key or certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not a private key in PEM.
    #[error("{path} is not an RSA private key in PEM (BEGIN PRIVATE KEY or BEGIN RSA PRIVATE KEY)")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// An RSA key that is too short or damaged.
    #[error("the key in {path} is refused ({reason}); RSA of 2048 to 4096 bits is needed")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the library said; no key material.
        reason: String,
    },
    /// Not a certificate in PEM.
    #[error("{path} is not an X.509 certificate in PEM")]
    NotACertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: der::Error,
    },
    /// Others can read the private key.
    #[error("private key {path} has mode {mode:04o}, others may read it: run `chmod 0600` on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The certificate belongs to another key.
    #[error("the certificate {certificate} is not that of the key {key}")]
    Mismatch {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
    },
}

/// A private key with its certificate.
pub struct SigningKey {
    pub(super) key: RsaKeyPair,
    pub(super) certificate: Certificate,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.certificate.tbs_certificate.subject.to_string();
        f.debug_struct("SigningKey").field("subject", &subject).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a private key (PKCS #8 or PKCS #1) and its certificate, both PEM, and checks that they belong
    /// together.
    pub fn from_files(key: &Path, certificate: &Path) -> Result<Self, KeyError> {
        let text = Zeroizing::new(read_private(key)?);
        let not_a_key = || KeyError::NotAKey { path: key.to_owned() };
        let (label, document) = SecretDocument::from_pem(&text).map_err(|_| not_a_key())?;
        let pair = match label {
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(document.as_bytes()),
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(document.as_bytes()),
            _ => return Err(not_a_key()),
        };
        let pair = pair.map_err(|rejected| KeyError::Refused {
            path: key.to_owned(),
            reason: rejected.to_string(),
        })?;
        let parsed = read_certificate(certificate)?;
        let public = &parsed.tbs_certificate.subject_public_key_info.subject_public_key;
        if public.raw_bytes() != pair.public_key().as_ref() {
            return Err(KeyError::Mismatch {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            });
        }
        Ok(Self { key: pair, certificate: parsed })
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

/// Reads a certificate in PEM.
pub fn read_certificate(path: &Path) -> Result<Certificate, KeyError> {
    Certificate::from_pem(read(path)?)
        .map_err(|source| KeyError::NotACertificate { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<String, KeyError> {
    let file = File::open(path);
    file.and_then(read_text).map_err(|source| KeyError::Read { path: path.to_owned(), source })
}

/// Reads a file that only its owner may read. The file that is read is the one that was looked at.
fn read_private(path: &Path) -> Result<String, KeyError> {
    let fail = |source| KeyError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    let mode = file.metadata().map_err(fail)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    read_text(file).map_err(fail)
}

/// The text of a file, as long as it has a size that keys and certificates have.
fn read_text(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Where one generated key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevelopmentKey {
    /// Private key, PEM, mode 0600.
    pub key: PathBuf,
    /// Self-signed certificate, PEM.
    pub certificate: PathBuf,
}

/// Why no development keys were made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateKeysError {
    /// A name that a certificate subject or a file name should not have.
    #[error("key name {name:?} must be 1 to 18 of the characters a-z, A-Z, 0-9, '.', '_' and '-'")]
    Name {
        /// The name.
        name: String,
    },
    /// Never overwrite a key.
    #[error("{path} exists; remove it first if the key is no longer needed")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The files could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `openssl` failed.
    #[error("cannot make the key {role}")]
    Openssl {
        /// PK, KEK or db.
        role: &'static str,
        /// What the tool said.
        #[source]
        source: ToolError,
    },
}

/// Makes the platform key, key exchange key and signature database key for development: RSA-2048,
/// self-signed for ten years, `PK.key`, `PK.pem`, `KEK.key` and so on in `dir`. The subject says that they
/// are for development. In the order PK, KEK, db.
pub fn generate_development_keys(
    dir: &Path,
    name: &str,
) -> Result<[DevelopmentKey; 3], GenerateKeysError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(allowed) {
        return Err(GenerateKeysError::Name { name: name.to_owned() });
    }
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| GenerateKeysError::Write { path, source }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(write_error(dir))?;
    let keys = ["PK", "KEK", "db"].map(|role| {
        let key = dir.join(format!("{role}.key"));
        (role, DevelopmentKey { key, certificate: dir.join(format!("{role}.pem")) })
    });
    for path in keys.iter().flat_map(|(_, key)| [&key.key, &key.certificate]) {
        if path.symlink_metadata().is_ok() {
            return Err(GenerateKeysError::Exists { path: path.clone() });
        }
    }
    // Made beside their place and renamed, so that an interrupt leaves no half key.
    let work = tempfile::TempDir::new_in(dir).map_err(write_error(dir))?;
    for (role, made) in &keys {
        let key = work.path().join("key");
        let certificate = work.path().join("certificate");
        let config = work.path().join("config");
        fs::write(&config, request(name, role)).map_err(write_error(&config))?;
        // Exists with its mode before openssl writes to it.
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&key)
            .map_err(write_error(&key))?;
        let mut command = OPENSSL.command();
        command
            .args(["req", "-new", "-x509", "-newkey", "rsa:2048", "-sha256", "-nodes"])
            .args(["-days", "3650", "-config"])
            .arg(&config)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        OPENSSL.run(&mut command).map_err(|source| GenerateKeysError::Openssl { role, source })?;
        for (from, to, mode) in [(&key, &made.key, 0o600), (&certificate, &made.certificate, 0o644)]
        {
            fs::set_permissions(from, fs::Permissions::from_mode(mode))
                .and_then(|()| fs::rename(from, to))
                .map_err(write_error(to))?;
        }
    }
    Ok(keys.map(|(_, key)| key))
}

/// The `openssl req` configuration of one key.
fn request(name: &str, role: &str) -> String {
    format!(
        "[req]\nprompt = no\nstring_mask = utf8only\ndistinguished_name = subject\n\
         x509_extensions = extensions\n[subject]\nCN = {name} {role} {DEVELOPMENT_MARK}\n\
         [extensions]\nbasicConstraints = critical,CA:FALSE\nsubjectKeyIdentifier = hash\n"
    )
}
