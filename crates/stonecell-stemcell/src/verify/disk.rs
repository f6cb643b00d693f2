//! The checks of a disk: partition tables, boot file, root against its hash tree, state file systems.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use stonecell_definition::with_causes;
use stonecell_image::uki::read_uki;
use stonecell_image::{RootHash, verify_signature, verity};
use x509_cert::Certificate;

use super::Checks;
use crate::disk::{Disk, root_hash};
use crate::tree::Kind;
use crate::{parts, signer};

/// What the checks found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Is the root the one that its hash tree promises?
    pub(super) root_sound: bool,
    /// Digests of the disk's parts.
    pub(super) parts: BTreeMap<String, String>,
}

/// Checks a raw disk.
pub(super) fn check(
    path: &Path,
    description: Option<&Value>,
    certificate: Option<&Certificate>,
    checks: &mut Checks,
) -> Found {
    let disk = match Disk::open(path) {
        Ok(disk) => disk,
        Err(error) => {
            checks.fail("partition tables", with_causes(&error));
            return Found::default();
        }
    };
    let count = disk.view().partitions.len();
    checks.pass("partition tables", format!("both good and alike, {count} partitions"));
    let hash = boot_file(&disk, description, certificate, checks);
    let root_sound = hash.is_some_and(|hash| root(&disk, hash, checks));
    if root_sound {
        checks.result("state file systems", state(&disk));
    }
    match parts::of_disk(disk.file(), disk.view()) {
        Ok(parts) => Found { root_sound, parts },
        Err(error) => {
            checks.fail("parts", error.to_string());
            Found { root_sound, parts: BTreeMap::new() }
        }
    }
}

/// The signature of the boot file, and the root hash in its command line.
fn boot_file(
    disk: &Disk,
    description: Option<&Value>,
    certificate: Option<&Certificate>,
    checks: &mut Checks,
) -> Option<RootHash> {
    let program = match disk.boot_file() {
        Ok(program) => program,
        Err(error) => {
            checks.fail("boot file", with_causes(&error));
            return None;
        }
    };
    checks.result("boot file", authenticode(&program, certificate));
    let command_line = read_uki(&program).map_err(|error| with_causes(&error)).and_then(|uki| {
        let line = uki.command_line().ok_or("the boot file holds no command line")?;
        Ok(line.to_owned())
    });
    let judged = command_line.and_then(|line| judge_command_line(&line, description));
    let hash = judged.as_ref().ok().copied();
    checks.result("command line", judged.map(|hash| format!("names the root hash {hash}")));
    hash
}

fn authenticode(program: &[u8], certificate: Option<&Certificate>) -> Result<String, String> {
    let carried = signer::certificate(program);
    let (expected, vouched) = match (certificate, &carried) {
        (Some(expected), _) => (expected, ""),
        (None, Some(carried)) => (carried, "; no certificate to compare with"),
        (None, None) => return Err("the boot file is not signed".to_owned()),
    };
    verify_signature(program, expected).map_err(|error| with_causes(&error))?;
    Ok(format!("signed by {}{vouched}", signer::subject(expected)))
}

fn judge_command_line(line: &str, description: Option<&Value>) -> Result<RootHash, String> {
    let hash = root_hash(line).ok_or("it does not have exactly one root hash")?;
    if let Some(description) = description {
        if description["root_hash"] != *hash.to_string() {
            let told = description["root_hash"].as_str().unwrap_or("none");
            return Err(format!("its root hash is {hash}, but stonecell.json tells {told}"));
        }
        if description["command_line"] != *line {
            return Err("it is not the one that stonecell.json tells".to_owned());
        }
    }
    Ok(hash)
}

/// The partitions' UUIDs and every byte of the root.
fn root(disk: &Disk, hash: RootHash, checks: &mut Checks) -> bool {
    let partitions = match disk.root_partitions() {
        Ok(partitions) => partitions,
        Err(error) => {
            checks.fail("root UUIDs", with_causes(&error));
            return false;
        }
    };
    let (root, tree) = partitions;
    let good = root.uuid == hash.root_uuid() && tree.uuid == hash.verity_uuid();
    checks.result(
        "root UUIDs",
        if good {
            Ok("the two halves of the root hash".to_owned())
        } else {
            Err(format!("{} and {} are not the halves of the root hash", root.uuid, tree.uuid))
        },
    );
    let verdict = (|| {
        let data = disk.part(root).map_err(|error| with_causes(&error))?;
        let tree = disk.part(tree).map_err(|error| with_causes(&error))?;
        verity::verify(&data, &tree, &hash).map_err(|error| with_causes(&error))?;
        let bytes = disk.root_bytes().map_err(|error| with_causes(&error))?;
        Ok(format!("{bytes} bytes, all as the root hash promises"))
    })();
    let sound = verdict.is_ok();
    checks.result("root file system", verdict);
    sound
}

/// Every file of every state file system can be read.
fn state(disk: &Disk) -> Result<String, String> {
    let root = disk.root().map_err(|error| with_causes(&error))?;
    let states = disk.states(&root).map_err(|error| with_causes(&error))?;
    let mut told = Vec::new();
    for state in &states {
        let entries = state.entries().map_err(|error| with_causes(&error))?;
        for entry in entries.iter().filter(|entry| matches!(entry.kind, Kind::File { .. })) {
            let mut file = state.open_file(entry).map_err(|error| with_causes(&error))?;
            std::io::copy(&mut file, &mut std::io::sink())
                .map_err(|error| format!("{}: {error}", String::from_utf8_lossy(&entry.path)))?;
        }
        told.push(format!("{} ({} files)", state.mount, entries.len()));
    }
    Ok(if told.is_empty() { "none".to_owned() } else { told.join(", ") })
}
