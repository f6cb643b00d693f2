//! Finding OVMF, the UEFI firmware for virtual machines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::spec::Boot;

/// Code and empty variables by the names of Debian's package `ovmf` (and of Ubuntu's, and of older
/// ones). The 2 MB builds have too little room for Secure Boot keys of today.
const SECURE: [(&str, &str); 1] = [("OVMF/OVMF_CODE_4M.secboot.fd", "OVMF/OVMF_VARS_4M.fd")];
const PLAIN: [(&str, &str); 2] =
    [("OVMF/OVMF_CODE_4M.fd", "OVMF/OVMF_VARS_4M.fd"), ("OVMF/OVMF_CODE.fd", "OVMF/OVMF_VARS.fd")];
/// Where packages put them.
const SHARE: &str = "/usr/share";

/// A firmware on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The code.
    pub code: PathBuf,
    /// Variables that hold no keys.
    pub variables: PathBuf,
    /// The code enforces Secure Boot.
    pub secure: bool,
}

/// Why there is no firmware.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// The package is not installed.
    #[error("no OVMF firmware in {SHARE} ({wanted}); install the package ovmf")]
    None {
        /// The files that were looked for.
        wanted: String,
    },
    /// A file cannot be read or written.
    #[error("cannot copy the firmware's variables from {from} to {to}")]
    Copy {
        /// The empty variables.
        from: PathBuf,
        /// The machine's.
        to: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Firmware {
    /// The firmware of this machine, one that enforces Secure Boot if `secure`.
    ///
    /// # Errors
    /// None is installed.
    pub fn find(secure: bool) -> Result<Self, FirmwareError> {
        Self::find_in(Path::new(SHARE), secure)
    }

    fn find_in(share: &Path, secure: bool) -> Result<Self, FirmwareError> {
        let names: &[(&str, &str)] = if secure { &SECURE } else { &PLAIN };
        let mut pairs = names.iter().map(|(code, vars)| (share.join(code), share.join(vars)));
        match pairs.find(|(code, variables)| code.is_file() && variables.is_file()) {
            Some((code, variables)) => Ok(Self { code, variables, secure }),
            None => Err(FirmwareError::None {
                wanted: names.iter().map(|(code, _)| *code).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Copies the empty variables to `variables` for one machine, and says how that machine boots.
    ///
    /// # Errors
    /// The copy cannot be made.
    pub fn boot(&self, variables: &Path) -> Result<Boot, FirmwareError> {
        let bytes = fs::read(&self.variables).and_then(|bytes| fs::write(variables, bytes));
        bytes.map_err(|source| FirmwareError::Copy {
            from: self.variables.clone(),
            to: variables.into(),
            source,
        })?;
        let (code, secure) = (self.code.clone(), self.secure);
        Ok(Boot::Uefi { code, variables: variables.into(), secure })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_whole_pair_or_says_what_to_install() {
        let share = tempfile::tempdir().unwrap();
        let none = Firmware::find_in(share.path(), true).unwrap_err();
        assert!(none.to_string().contains("install the package ovmf"), "{none}");
        fs::create_dir(share.path().join("OVMF")).unwrap();
        fs::write(share.path().join("OVMF/OVMF_CODE_4M.fd"), "code").unwrap();
        assert!(Firmware::find_in(share.path(), false).is_err());
        fs::write(share.path().join("OVMF/OVMF_VARS_4M.fd"), "vars").unwrap();
        let found = Firmware::find_in(share.path(), false).unwrap();
        assert!(!found.secure && found.code.ends_with("OVMF_CODE_4M.fd"));
        assert!(Firmware::find_in(share.path(), true).is_err());
        let copy = share.path().join("copy");
        assert!(matches!(found.boot(&copy).unwrap(), Boot::Uefi { secure: false, .. }));
        assert_eq!(fs::read(copy).unwrap(), b"vars");
    }
}
