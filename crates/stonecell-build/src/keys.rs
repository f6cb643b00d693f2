//! Which keys sign a stemcell: those that the definition names, or development keys made on its request.
//!
//! Development keys live in one directory of the user (0700) and are made once, so that two builds by one
//! user are signed alike. Everything that they sign says so.

use std::path::{Path, PathBuf};

use stonecell_definition::Definition;
use stonecell_image::secure_boot;
use stonecell_stemcell::signature;
use thiserror::Error;

/// Why there is no key to sign with.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The definition names none and does not ask for development keys.
    #[error(
        "the definition names no {0}: set it in [signing], or set `development = true` for keys that \
         only serve to try things out"
    )]
    Missing(&'static str),
    /// The stemcell key cannot be used.
    #[error("cannot use the stemcell key")]
    Stemcell(#[from] signature::KeyError),
    /// The Secure Boot key cannot be used.
    #[error("cannot use the Secure Boot key")]
    SecureBoot(#[from] secure_boot::KeyError),
    /// Development keys cannot be made.
    #[error("cannot make development keys")]
    Generate(#[from] secure_boot::GenerateKeysError),
    /// The directory for them cannot be made.
    #[error("cannot make {path} for development keys")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no home to put them into.
    #[error("no place for development keys: set HOME or XDG_DATA_HOME")]
    NoHome,
}

/// Where the keys of a build lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFiles {
    /// OpenSSH Ed25519 private key.
    pub stemcell: PathBuf,
    /// Secure Boot private key (PEM).
    pub secure_boot_key: PathBuf,
    /// Its certificate (PEM).
    pub secure_boot_certificate: PathBuf,
    /// Is any of them a development key?
    pub development: bool,
}

/// The directory for development keys: `$XDG_DATA_HOME/stonecell/development-keys`.
#[must_use]
pub fn development_directory(data_home: Option<&str>, home: Option<&str>) -> Option<PathBuf> {
    let data = match data_home.filter(|path| path.starts_with('/')) {
        Some(path) => PathBuf::from(path),
        None => Path::new(home.filter(|path| !path.is_empty())?).join(".local/share"),
    };
    Some(data.join("stonecell/development-keys"))
}

/// Makes what is missing of a set of development keys in `dir`.
///
/// # Errors
/// [`KeysError`].
pub fn make_development(dir: &Path) -> Result<KeyFiles, KeysError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| KeysError::Directory { path: dir.to_owned(), source })?;
    let files = KeyFiles {
        stemcell: dir.join("stemcell"),
        secure_boot_key: dir.join("db.key"),
        secure_boot_certificate: dir.join("db.pem"),
        development: true,
    };
    if !files.stemcell.exists() {
        signature::SigningKey::generate_development(&files.stemcell)?;
    }
    if !files.secure_boot_key.exists() {
        secure_boot::generate_development_keys(dir, "stonecell")?;
    }
    Ok(files)
}

/// The key files of a definition; development keys are made when it asks for them.
///
/// # Errors
/// [`KeysError`].
pub fn choose(definition: &Definition, development: Option<&Path>) -> Result<KeyFiles, KeysError> {
    let signing = &definition.signing;
    let made = if signing.development
        && (signing.stemcell_key.is_none() || signing.secure_boot.is_none())
    {
        Some(make_development(development.ok_or(KeysError::NoHome)?)?)
    } else {
        None
    };
    let stemcell = signing.stemcell_key.clone().or_else(|| Some(made.as_ref()?.stemcell.clone()));
    let named = signing.secure_boot.as_ref();
    let key = named
        .map(|named| named.key.clone())
        .or_else(|| Some(made.as_ref()?.secure_boot_key.clone()));
    let certificate = named
        .map(|named| named.certificate.clone())
        .or_else(|| Some(made.as_ref()?.secure_boot_certificate.clone()));
    let files = KeyFiles {
        stemcell: stemcell.ok_or(KeysError::Missing("stemcell_key"))?,
        secure_boot_key: key.ok_or(KeysError::Missing("secure_boot key"))?,
        secure_boot_certificate: certificate
            .ok_or(KeysError::Missing("secure_boot certificate"))?,
        development: made.is_some(),
    };
    // Read them now: a build must not run for seconds to find that it cannot sign.
    signature::SigningKey::read(&files.stemcell)?;
    secure_boot::SigningKey::from_files(&files.secure_boot_key, &files.secure_boot_certificate)?;
    Ok(files)
}
