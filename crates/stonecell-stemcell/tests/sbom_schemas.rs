//! SPDX and CycloneDX documents against the validators of their own projects.
//!
//! The validators are Python packages, installed once at a pinned version into a virtual environment below
//! the target directory.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stonecell_stemcell::facts::{Facts, Index, Source};
use stonecell_stemcell::sbom::{cyclonedx, spdx};

/// Pinned, so that a new release does not decide about our documents unseen.
const VALIDATORS: [&str; 2] =
    ["cyclonedx-python-lib[json-validation]==11.5.0", "spdx-tools==0.8.3"];

/// Prints what is wrong and fails; the CycloneDX check is strict (no unknown fields).
const CYCLONEDX: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(error) if error else 0)
";
const SPDX: &str = "
import sys
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
messages = validate_full_spdx_document(parse_file(sys.argv[1]))
sys.exit('\\n'.join(m.validation_message for m in messages) if messages else 0)
";

/// A Python with the validators.
fn python() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sbom-validators");
    let python = environment.join("bin/python3");
    let marker = environment.join("installed");
    if fs::read_to_string(&marker).ok().as_deref() != Some(&VALIDATORS.join("\n")) {
        let made = Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&environment)
            .output()
            .unwrap_or_else(|error| panic!("python3: {error}; see system-packages.txt"));
        assert!(
            made.status.success(),
            "python3 -m venv failed (package python3-venv, see system-packages.txt):\n{}{}",
            String::from_utf8_lossy(&made.stdout),
            String::from_utf8_lossy(&made.stderr)
        );
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(VALIDATORS)
            .output()
            .unwrap();
        assert!(
            installed.status.success(),
            "pip cannot install the SBOM validators (is a package index reachable?):\n{}",
            String::from_utf8_lossy(&installed.stderr)
        );
        fs::write(&marker, VALIDATORS.join("\n")).unwrap();
    }
    python
}

/// What a validator says about a file; empty when it is content.
fn complaint(script: &str, file: &Path) -> String {
    let output = Command::new(python()).args(["-c", script]).arg(file).output().unwrap();
    if output.status.success() { String::new() } else { String::from_utf8(output.stderr).unwrap() }
}

fn facts() -> Facts {
    let source = |path: &str| Source { path: path.into(), sha256: "cd".repeat(32) };
    let mut bare = support::package("bare", "1");
    for field in [&mut bare.maintainer, &mut bare.summary, &mut bare.homepage, &mut bare.license] {
        field.clear();
    }
    let mut other = support::package("libstdc++6", "1:12.2.0-14+deb12u1~x");
    other.source = "gcc-12".into();
    other.source_version = "12.2.0-14+deb12u1".into();
    Facts {
        name: "debian-12".into(),
        version: "1.0".into(),
        distribution: "debian".into(),
        release: "bookworm".into(),
        release_version: "12".into(),
        epoch: 1_700_000_000,
        root_hash: "ef".repeat(32),
        packages: vec![
            bare,
            support::package("bash", "5.2.15-2+b7"),
            other,
            support::package("own", "1"),
        ],
        tools: vec![support::package("systemd-boot-efi", "252")],
        indexes: vec![Index {
            suite: "bookworm".into(),
            sha256: "12".repeat(32),
            date: "2026-01-01T00:00:00Z".into(),
        }],
        sources: vec![source("debian-12.toml")],
        lock_sha256: "34".repeat(32),
        builder_version: "0.1.0".into(),
        builder_files: vec![source("stonecell-init")],
        development_keys: false,
    }
}

#[test]
fn the_official_validators_accept_both_documents_and_refuse_broken_ones() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, document: &serde_json::Value| {
        let path = dir.path().join(name);
        fs::write(&path, serde_json::to_vec_pretty(document).unwrap()).unwrap();
        path
    };
    let mut bill = cyclonedx::document(&facts());
    assert_eq!(complaint(CYCLONEDX, &write("sbom.cdx.json", &bill)), "");
    bill["components"][1]["hashes"][0]["content"] = "no digest".into();
    assert_ne!(complaint(CYCLONEDX, &write("broken.cdx.json", &bill)), "");

    let mut bill = spdx::document(&facts());
    assert_eq!(complaint(SPDX, &write("sbom.spdx.json", &bill)), "");
    bill["packages"][1]["externalRefs"][0]["referenceLocator"] = "no purl".into();
    assert_ne!(complaint(SPDX, &write("broken.spdx.json", &bill)), "");
}
