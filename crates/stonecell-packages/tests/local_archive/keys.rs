//! OpenPGP keys that live as long as a test.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A GnuPG home with one key.
pub(crate) struct Key {
    home: TempDir,
    /// `--faked-system-time` of everything that is done with the key.
    time: Option<&'static str>,
}

impl Key {
    pub(crate) fn new() -> Self {
        Self::generate(None, "never")
    }

    /// A key that was made and used on one day in 2020 and was valid for that day.
    pub(crate) fn expired() -> Self {
        Self::generate(Some("20200101T000000"), "1d")
    }

    fn generate(time: Option<&'static str>, validity: &str) -> Self {
        let key = Self { home: TempDir::new().expect("temporary directory"), time };
        let user = "Test Archive <archive@mirror.invalid>";
        key.gpg(&["--quick-gen-key", user, "ed25519", "sign", validity], b"");
        key
    }

    /// Puts the key's own revocation into the keyring.
    pub(crate) fn revoke(&self) {
        let directory = self.home.path().join("openpgp-revocs.d");
        let entry = fs::read_dir(directory).expect("revocations").next().expect("one").expect("it");
        let text = fs::read_to_string(entry.path()).expect("text");
        // GnuPG puts a colon before the armour so that nobody revokes a key by accident.
        self.gpg(&["--import"], text.replace(":-----BEGIN", "-----BEGIN").as_bytes());
    }

    /// The public key as a keyring file.
    pub(crate) fn keyring(&self) -> PathBuf {
        let path = self.home.path().join("keyring.gpg");
        fs::write(&path, self.gpg(&["--export"], b"")).expect("writable");
        path
    }

    pub(crate) fn clearsign(&self, text: &str, options: &[&str]) -> Vec<u8> {
        self.gpg(&[options, &["--clearsign"]].concat(), text.as_bytes())
    }

    fn gpg(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let input_path = self.home.path().join("input");
        fs::write(&input_path, input).expect("writable");
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path());
        command.args(["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]);
        if let Some(time) = self.time {
            command.args(["--faked-system-time", time]);
        }
        let output = command
            .args(arguments)
            .stdin(fs::File::open(&input_path).expect("readable"))
            .stderr(Stdio::piped())
            .output()
            .expect("gpg runs");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {arguments:?}: {words}");
        output.stdout
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // The agent of this home would otherwise outlive the test for a while.
        let kill = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "gpg-agent"])
            .status();
        assert!(kill.is_ok(), "gpgconf runs");
    }
}
