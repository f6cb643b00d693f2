//! UKI and signature against `sbverify` and `objcopy`-free readers, with the stub of the machine.

#![allow(clippy::tests_outside_test_module, reason = "the whole file is tests")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use stonecell_image::UkiInput;
use stonecell_image::build_uki;
use stonecell_image::generate_development_keys;
use stonecell_image::secure_boot::GenerateKeysError;
use stonecell_image::secure_boot::KeyError;
use stonecell_image::secure_boot::SignError;
use stonecell_image::secure_boot::SignatureError;
use stonecell_image::secure_boot::SigningKey;
use stonecell_image::secure_boot::read_certificate;
use stonecell_image::sign_pe;
use stonecell_image::uki::UkiError;
use stonecell_image::uki::read_uki;
use stonecell_image::verify_signature;
use support::run;
use support::signing_key;
use support::stub;

fn uki(stub: &[u8]) -> Result<Vec<u8>, UkiError> {
    build_uki(&UkiInput {
        stub,
        os_release: "ID=debian\n",
        command_line: "ro roothash=00",
        kernel_version: "6.1.0",
        splash: Some(b"BM"),
        linux: &[b"MZ".as_slice(), &[1; 5000]].concat(),
        initrd: &[2; 12_345],
    })
}

#[test]
fn every_section_comes_back_and_the_stub_keeps_its_own() {
    let stub = stub();
    let image = uki(&stub).unwrap();
    assert!(image == uki(&stub).unwrap(), "two builds differ");
    let (before, after) = (read_uki(&stub).unwrap(), read_uki(&image).unwrap());
    for section in &before.sections {
        let kept = after.sections.iter().find(|other| other.name == section.name).unwrap();
        assert_eq!((kept.address, kept.data), (section.address, section.data), "{}", section.name);
    }
    assert_eq!(after.section(".osrel"), Some(b"ID=debian\n".as_slice()));
    assert_eq!(after.command_line(), Some("ro roothash=00"));
    assert_eq!(after.section(".uname"), Some(b"6.1.0".as_slice()));
    assert_eq!(after.section(".initrd").unwrap(), [2; 12_345]);
    assert_eq!(after.section(".linux").unwrap().len(), 5002);
    assert!(after.section(".sbat").is_some());
    assert!(!after.signed);
    let mut end = 0;
    let mut by_address = after.sections.clone();
    by_address.sort_by_key(|section| section.address);
    for section in &by_address {
        assert!(section.address >= end, "{} overlaps", section.name);
        end = section.address + section.virtual_size;
    }
    assert!(matches!(uki(&image), Err(UkiError::HasSection { .. })));
}

#[test]
fn sbverify_accepts_the_signature_and_every_changed_byte_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let key = signing_key(dir.path());
    let certificate = read_certificate(&key.certificate).unwrap();
    let unsigned = uki(&stub()).unwrap();
    let signed = sign_pe(&unsigned, &key.key).unwrap();
    assert!(signed == sign_pe(&unsigned, &key.key).unwrap(), "two signatures differ");
    let path = dir.path().join("signed.efi");
    fs::write(&path, &signed).unwrap();
    run("sbverify", ["--cert".as_ref(), key.certificate.as_path(), &path]);
    verify_signature(&signed, &certificate).unwrap();
    assert!(matches!(verify_signature(&unsigned, &certificate), Err(SignatureError::Unsigned)));
    assert!(matches!(sign_pe(&signed, &key.key), Err(SignError::Signed)));

    // Everything but the checksum, which no signature covers and nobody reads.
    let checksum = {
        let nt = u32::from_le_bytes(signed[60..64].try_into().unwrap()) as usize;
        nt + 24 + 64..nt + 24 + 68
    };
    let step = 97;
    let head = 0..1024;
    let tail = signed.len() - 2500..signed.len();
    for at in head.chain((1024..signed.len()).step_by(step)).chain(tail) {
        if checksum.contains(&at) {
            continue;
        }
        let mut changed = signed.clone();
        changed[at] ^= 0x10;
        assert!(verify_signature(&changed, &certificate).is_err(), "byte {at} does not count");
    }
}

#[test]
fn another_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let one = signing_key(&dir.path().join("one"));
    let two = signing_key(&dir.path().join("two"));
    let signed = sign_pe(&uki(&stub()).unwrap(), &one.key).unwrap();
    let other = read_certificate(&two.certificate).unwrap();
    assert!(matches!(verify_signature(&signed, &other), Err(SignatureError::Signer { .. })));
}

#[test]
fn a_signature_of_sbsign_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let key = signing_key(dir.path());
    let (plain, signed) = (dir.path().join("plain.efi"), dir.path().join("signed.efi"));
    fs::write(&plain, uki(&stub()).unwrap()).unwrap();
    let private = dir.path().join("keys/db.key");
    run(
        "sbsign",
        [
            "--key".as_ref(),
            private.as_path(),
            "--cert".as_ref(),
            &key.certificate,
            "--output".as_ref(),
            &signed,
            &plain,
        ],
    );
    let certificate = read_certificate(&key.certificate).unwrap();
    verify_signature(&fs::read(&signed).unwrap(), &certificate).unwrap();
}

#[test]
fn development_keys_are_marked_private_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let keys = generate_development_keys(dir.path(), "cell").unwrap();
    for key in &keys {
        assert_eq!(fs::metadata(&key.key).unwrap().permissions().mode() & 0o777, 0o600);
        let subject = read_certificate(&key.certificate).unwrap().tbs_certificate.subject;
        assert!(subject.to_string().contains("DEVELOPMENT - DO NOT USE IN PRODUCTION"));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 6);
    assert!(matches!(
        generate_development_keys(dir.path(), "cell"),
        Err(GenerateKeysError::Exists { .. })
    ));
    assert!(matches!(
        generate_development_keys(dir.path(), "a/CN=b"),
        Err(GenerateKeysError::Name { .. })
    ));
    let mixed = SigningKey::from_files(&keys[0].key, &keys[1].certificate);
    assert!(matches!(mixed, Err(KeyError::Mismatch { .. })));
    let mode = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&keys[0].certificate, 0o600);
    let swapped = SigningKey::from_files(&keys[0].certificate, &keys[0].certificate);
    assert!(matches!(swapped, Err(KeyError::NotAKey { .. })));
    for exposed in [0o640, 0o604, 0o601] {
        mode(&keys[0].key, exposed);
        let refused = SigningKey::from_files(&keys[0].key, &keys[0].certificate);
        assert!(matches!(refused, Err(KeyError::Exposed { .. })), "{exposed:o}");
    }
}
