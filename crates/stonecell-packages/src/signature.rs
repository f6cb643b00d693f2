//! Verification of a clear-signed `InRelease` by `gpgv` (ADR 2).
//!
//! [`judge`] decides from gpgv's machine-readable status; [`verify`] runs gpgv on a copy of the file
//! and returns only the text that gpgv wrote out as signed. What surrounds the signed part of the
//! file is never read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// First line of every clear-signed message (RFC 9580, section 7).
const HEAD: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// SHA-256, SHA-384 and SHA-512 in RFC 9580, section 9.5. All others are too weak or unheard of.
const STRONG_DIGESTS: [&str; 3] = ["8", "9", "10"];

/// Text whose signature is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The signed text.
    pub text: String,
    /// Fingerprints (upper-case hex) of the keys that signed it, sorted.
    pub signed_by: Vec<String>,
}

/// Why a signature is not accepted.
#[derive(Debug, Error)]
pub enum SignatureError {
    /// The file is not a clear-signed message at all.
    #[error(
        "the file is not one signed message (it begins with `{beginning}`); something between here \
         and the archive answers in its place"
    )]
    NotSigned {
        /// The first characters of the file.
        beginning: String,
    },
    /// The signature does not belong to the text.
    #[error("the signature by key {key} does not match the text: the file was changed on its way")]
    Bad {
        /// Key id.
        key: String,
    },
    /// No key of the keyring made a signature that counts.
    #[error("no signature that counts: {reasons}; expected one by a key in {keyring}")]
    NotTrusted {
        /// What is wrong with each signature.
        reasons: String,
        /// The keyring that was used.
        keyring: PathBuf,
    },
    /// gpgv's status holds more than one signed text, or none.
    #[error("gpgv saw {count} signed texts in the file where one was expected")]
    Texts {
        /// Signed texts.
        count: usize,
    },
    /// The keyring cannot be read.
    #[error("the keyring {keyring} cannot be read; install the keyring package of the base")]
    Keyring {
        /// Its path.
        keyring: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// gpgv does not run.
    #[error("gpgv cannot be run; install the package `gpgv`")]
    Run {
        /// Why.
        source: io::Error,
    },
    /// A file of the verification cannot be written or read.
    #[error("cannot use {path} to verify a signature")]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The signed text is not UTF-8.
    #[error("the signed text is not UTF-8")]
    NotUtf8,
}

/// What gpgv's status says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// At least one signature counts, and none is bad. Fingerprints, sorted.
    Good(Vec<String>),
    /// A signature does not belong to the text. Key id.
    Bad(String),
    /// No signature counts. What is wrong with each.
    NotTrusted(Vec<String>),
    /// Not exactly one signed text.
    Texts(usize),
}

/// Judges the lines that gpgv writes to its status file (`doc/DETAILS` of GnuPG).
///
/// A signature counts when its group has both `GOODSIG` and `VALIDSIG` and a strong digest. A key
/// that is expired, revoked or unknown does not count but does no harm beside one that does:
/// archives sign with the old and the new key at once.
pub fn judge(status: &str) -> Verdict {
    let mut texts = 0;
    let mut signed_by = Vec::new();
    let mut reasons = Vec::new();
    let mut good = false;
    for line in status.lines() {
        let Some(rest) = line.strip_prefix("[GNUPG:] ") else { continue };
        let mut words = rest.split(' ');
        let keyword = words.next().unwrap_or_default();
        let subject = words.next().unwrap_or_default();
        match keyword {
            "PLAINTEXT" => texts += 1,
            "NEWSIG" => good = false,
            "GOODSIG" => good = true,
            "BADSIG" => return Verdict::Bad(subject.to_owned()),
            "EXPSIG" => reasons.push(format!("the signature by key {subject} has expired")),
            "EXPKEYSIG" => reasons.push(format!("key {subject} has expired")),
            "REVKEYSIG" => reasons.push(format!("key {subject} was revoked")),
            "NO_PUBKEY" => reasons.push(format!("key {subject} is not in the keyring")),
            // ERRSIG comes with a reason code; 9 is the missing key, which NO_PUBKEY names.
            "ERRSIG" if words.clone().nth(4) != Some("9") => {
                reasons.push(format!("the signature by key {subject} cannot be checked"));
            }
            "VALIDSIG" if good => {
                // fingerprint date timestamp expiry version reserved public-key hash ...
                let digest = words.nth(6).unwrap_or_default();
                let is_fingerprint = (40..=64).contains(&subject.len())
                    && subject.bytes().all(|byte| byte.is_ascii_hexdigit());
                if !STRONG_DIGESTS.contains(&digest) {
                    reasons.push(format!("key {subject} signed with a weak digest ({digest})"));
                } else if is_fingerprint {
                    signed_by.push(subject.to_ascii_uppercase());
                }
                good = false;
            }
            _ => {}
        }
    }
    if texts != 1 {
        return Verdict::Texts(texts);
    }
    if signed_by.is_empty() {
        return Verdict::NotTrusted(reasons);
    }
    signed_by.sort();
    signed_by.dedup();
    Verdict::Good(signed_by)
}

/// Verifies the clear-signed `message` with the keys of `keyring`.
///
/// # Errors
///
/// Every outcome but a good signature.
pub fn verify(message: &[u8], keyring: &Path) -> Result<Verified, SignatureError> {
    check_form(message)?;
    let keyring_error = |source| SignatureError::Keyring { keyring: keyring.to_owned(), source };
    // gpgv looks for a relative name in its own directory, so it gets the absolute one.
    let keyring_path = fs::canonicalize(keyring).map_err(keyring_error)?;
    fs::File::open(&keyring_path).map_err(keyring_error)?;
    let dir = tempfile::tempdir()
        .map_err(|source| SignatureError::File { path: std::env::temp_dir(), source })?;
    let (input, output) = (dir.path().join("InRelease"), dir.path().join("Release"));
    fs::write(&input, message)
        .map_err(|source| SignatureError::File { path: input.clone(), source })?;
    let run = Command::new("gpgv")
        .env("LC_ALL", "C")
        .env("GNUPGHOME", dir.path())
        .args(["--quiet", "--status-fd", "1", "--weak-digest", "SHA1", "--keyring"])
        .arg(&keyring_path)
        .arg("--output")
        .args([&output, &input])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| SignatureError::Run { source })?;
    // The exit code is not asked: one unknown key beside a good one makes it 2.
    match judge(&String::from_utf8_lossy(&run.stdout)) {
        Verdict::Good(signed_by) => {
            let text = fs::read(&output)
                .map_err(|source| SignatureError::File { path: output.clone(), source })?;
            let text = String::from_utf8(text).map_err(|_| SignatureError::NotUtf8)?;
            Ok(Verified { text, signed_by })
        }
        Verdict::Bad(key) => Err(SignatureError::Bad { key }),
        Verdict::Texts(count) => Err(SignatureError::Texts { count }),
        Verdict::NotTrusted(mut reasons) => {
            if reasons.is_empty() {
                // Without a status the reason is only in what gpgv prints, a broken keyring say.
                let words = String::from_utf8_lossy(&run.stderr);
                reasons.push(words.lines().next().unwrap_or("gpgv gave no reason").to_owned());
            }
            let reasons = reasons.join(", ");
            Err(SignatureError::NotTrusted { reasons, keyring: keyring.to_owned() })
        }
    }
}

/// Refuses what is plainly not one signed message, to give a clearer error than gpgv's.
fn check_form(message: &[u8]) -> Result<(), SignatureError> {
    let heads = message
        .split(|byte| *byte == b'\n')
        .filter(|line| line.trim_ascii_end() == HEAD.as_bytes())
        .count();
    if message.starts_with(HEAD.as_bytes()) && heads == 1 {
        return Ok(());
    }
    let beginning = message.get(..message.len().min(40)).unwrap_or_default();
    Err(SignatureError::NotSigned { beginning: beginning.escape_ascii().to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: &str = "4CB50190207B4758A3F73A796ED0E7B82643E131";
    const TWO: &str = "B8E5F13176D2A7A75220028078DBA3BC47EF2265";

    fn good(fingerprint: &str, digest: u8) -> String {
        format!(
            "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 6ED0E7B82643E131 Somebody\n[GNUPG:] VALIDSIG \
             {fingerprint} 2026-07-11 1783765031 0 4 0 1 {digest} 01 {fingerprint}\n"
        )
    }

    fn judged(lines: &str) -> Verdict {
        judge(&format!("[GNUPG:] PLAINTEXT 74 0 \n{lines}"))
    }

    #[test]
    fn good_signatures_count() {
        assert_eq!(judged(&good(ONE, 8)), Verdict::Good(vec![ONE.into()]));
        let both = format!("{}{}", good(TWO, 10), good(ONE, 8));
        assert_eq!(judged(&both), Verdict::Good(vec![ONE.into(), TWO.into()]));
        let unknown = "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG AB 1 8 01 1783765031 9 -\n\
            [GNUPG:] NO_PUBKEY AB\n";
        let beside = format!("{unknown}{}", good(ONE, 8));
        assert_eq!(judged(&beside), Verdict::Good(vec![ONE.into()]));
        assert_eq!(
            judged(unknown),
            Verdict::NotTrusted(vec!["key AB is not in the keyring".into()])
        );
    }

    #[test]
    fn everything_else_does_not() {
        for (keyword, words) in
            [("EXPSIG", "has expired"), ("EXPKEYSIG", "has expired"), ("REVKEYSIG", "was revoked")]
        {
            match judged(&good(ONE, 8).replace("GOODSIG", keyword)) {
                Verdict::NotTrusted(reasons) => assert!(reasons[0].contains(words), "{reasons:?}"),
                other => panic!("{keyword}: {other:?}"),
            }
        }
        for weak in [1, 2, 3, 11] {
            assert!(matches!(judged(&good(ONE, weak)), Verdict::NotTrusted(_)), "digest {weak}");
        }
        let bad = format!("{}[GNUPG:] NEWSIG\n[GNUPG:] BADSIG CD Somebody\n", good(ONE, 8));
        assert_eq!(judged(&bad), Verdict::Bad("CD".into()));
        assert_eq!(judge(&good(ONE, 8)), Verdict::Texts(0));
        assert_eq!(
            judged(&format!("[GNUPG:] PLAINTEXT 74 0 \n{}", good(ONE, 8))),
            Verdict::Texts(2)
        );
        // A valid signature of one group does not make up for the missing GOODSIG of another.
        let split = format!("[GNUPG:] GOODSIG AB x\n{}", good(ONE, 8).replace("GOODSIG", "X"));
        assert_eq!(judged(&split), Verdict::NotTrusted(vec![]));
    }

    #[test]
    fn form_is_checked_first() {
        let page = check_form(b"<html>sign in</html>").expect_err("not signed").to_string();
        assert!(page.contains("<html>sign in"), "{page}");
        let twice = format!("{HEAD}\nx\n{HEAD}\ny\n");
        assert!(check_form(twice.as_bytes()).is_err());
        assert!(check_form(format!("{HEAD}\nx\n").as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn no_status_without_validsig_is_good(
            status in "((\\[GNUPG:\\] )(NEWSIG|GOODSIG|PLAINTEXT|EXPSIG)( [A-F0-9]{0,40})?\n){0,8}",
        ) {
            prop_assert!(!matches!(judge(&status), Verdict::Good(_)));
        }

        #[test]
        fn any_status_is_judged(status in ".*") {
            judge(&status);
        }
    }
}
