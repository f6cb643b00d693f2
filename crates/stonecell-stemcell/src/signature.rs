//! Detached signatures over whole files, and the keys that make them.
//!
//! The format is OpenSSH's SSHSIG (PROTOCOL.sshsig) with an Ed25519 key, so that anyone can check a stemcell
//! with `ssh-keygen -Y verify` and without this program. What is signed is a file, or the list of its pieces
//! ([`crate::digest`]). Files are hashed while they are read.

mod key;
mod sign;
mod verify;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ring::digest::{self, Context, Digest};

use crate::digest::Of;

pub use key::{DEVELOPMENT_COMMENT, KeyError, SigningKey, VerifyingKey, public_path};
pub use sign::SignError;
pub use verify::{SignatureError, claimed_digest, claimed_signer, verify_file, verify_known};

/// The SSHSIG namespace of a stemcell: a signature made for something else is refused.
pub const NAMESPACE: &str = "stonecell";

/// More bytes than any key or signature has.
const LARGEST_KEY: u64 = 1 << 20;

/// The text of a key or a signature; of a longer file only the beginning, which is neither.
fn read_small(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST_KEY).read_to_string(&mut text)?;
    Ok(text)
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
}
