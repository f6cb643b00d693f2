//! The program as a user types it, as far as that needs no network and no privilege.
#![cfg(test)]

use std::path::PathBuf;
use std::process::{Command, Output};

fn stonecell(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stonecell"))
        .args(arguments)
        .env_remove("STONECELL_CACHE")
        .output()
        .unwrap()
}

fn shipped(name: &str) -> String {
    format!("{}/../../stemcells/{name}.toml", env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A definition of the moment with `extra` lines at its head.
fn definition(dir: &tempfile::TempDir, extra: &str) -> PathBuf {
    let path = dir.path().join("cell.toml");
    let body = "schema = 1\nname = \"cell\"\nversion = \"1.0\"\n";
    let rest = "[base]\ndistribution = \"debian\"\nrelease = \"bookworm\"\n[signing]\ndevelopment = true\n";
    std::fs::write(&path, format!("{body}{extra}\n{rest}")).unwrap();
    path
}

#[test]
fn every_shipped_definition_is_right() {
    for name in ["debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04"] {
        let output = stonecell(&["check", &shipped(name), "--json"]);
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(facts["controls"].as_u64().unwrap() >= 250, "{name}");
    }
}

#[test]
fn a_misspelt_field_is_shown_with_its_line_and_a_suggestion() {
    let dir = tempfile::tempdir().unwrap();
    let path = definition(&dir, "rolles = [\"minimal\"]");
    let output = stonecell(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    let errors = text(&output.stderr);
    assert!(errors.contains("cell.toml:4:1") && errors.contains("roles"), "{errors}");
    let output = stonecell(&["check", path.to_str().unwrap(), "--json"]);
    let error: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["exit_code"], 3);
    assert_eq!(error["places"][0]["line"], 4);
}

#[test]
fn an_expired_opt_out_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = definition(
        &dir,
        "[[controls.opt_out]]\ncontrol = \"SC-KRN-001\"\nreason = \"a reason that is long enough\"\n\
         owner = \"ops@example.invalid\"\nexpires = \"2020-01-01\"",
    );
    let output = stonecell(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("2020-01-01"), "{}", text(&output.stderr));
}

#[test]
fn building_without_a_lock_says_what_to_run_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = definition(&dir, "");
    let out = dir.path().join("out");
    let output = stonecell(&["build", path.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("stonecell lock"), "{}", text(&output.stderr));
    assert!(!out.exists());
}

#[test]
fn development_keys_are_private_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let output = stonecell(&["keys", keys.to_str().unwrap(), "--development"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for name in ["stemcell", "db.key"] {
        let metadata = std::fs::metadata(keys.join(name)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777, 0o600, "{name}");
    }
    assert!(text(&output.stdout).contains("not for production"));
}

#[test]
fn controls_are_listed_with_their_number() {
    let output = stonecell(&["controls", "--json"]);
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let total: u64 =
        facts["families"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
    assert!(total >= 250, "{total}");
    let output = stonecell(&["controls", "SC-KRN-001"]);
    assert!(text(&output.stdout).contains("severity"));
    assert_eq!(stonecell(&["controls", "SC-NONE-999"]).status.code(), Some(1));
}

#[test]
fn foreign_files_are_refused_by_everything_that_reads() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "not a stemcell").unwrap();
    let (file, out) = (file.to_str().unwrap(), dir.path().join("out"));
    for arguments in [
        vec!["inspect", file],
        vec!["diff", file, file],
        vec!["extract", file, out.to_str().unwrap()],
        vec!["boot", file, "--dry-run"],
    ] {
        let output = stonecell(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(text(&output.stderr).contains("error:"), "{arguments:?}");
    }
    assert_eq!(stonecell(&["verify", file]).status.code(), Some(5));
    assert!(!out.exists());
}

#[test]
fn completions_and_man_pages_are_made() {
    let output = stonecell(&["completions", "bash"]);
    assert!(text(&output.stdout).contains("stonecell"));
    let dir = tempfile::tempdir().unwrap();
    assert!(stonecell(&["man", dir.path().to_str().unwrap()]).status.success());
    assert!(dir.path().join("stonecell-build.1").exists());
    assert_eq!(stonecell(&["bild"]).status.code(), Some(2));
}
