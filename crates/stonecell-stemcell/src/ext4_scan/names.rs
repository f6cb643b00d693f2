//! Names of inodes, as `debugfs ncheck` tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;

/// The top directory.
const TOP: u64 = 2;

/// Absolute paths of inodes in the file system that starts at `offset` of `disk`.
///
/// # Errors
/// When `debugfs` cannot be run or does not know one of them.
pub fn names(
    disk: &File,
    offset: u64,
    inodes: &BTreeSet<u64>,
) -> io::Result<BTreeMap<Vec<u8>, u64>> {
    let mut found = BTreeMap::new();
    if inodes.is_empty() {
        return Ok(found);
    }
    let numbers: Vec<String> = inodes.iter().map(u64::to_string).collect();
    // The open file itself, whatever its path holds: `?` starts options here.
    let device = format!("/proc/{}/fd/{}?offset={offset}", std::process::id(), disk.as_raw_fd());
    let output = Command::new("debugfs")
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["-R", &format!("ncheck {}", numbers.join(" "))])
        .arg(device)
        .output()
        .map_err(|error| io::Error::other(format!("debugfs (package e2fsprogs): {error}")))?;
    for line in output.stdout.split(|byte| *byte == b'\n') {
        let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
        let (number, path) = line.split_at(tab);
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
        if let (Some(number), Some(path)) = (number, path.get(1..)) {
            // Some versions begin with two slashes.
            let plain = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
            let path = [b"/", path.get(plain..).unwrap_or_default()].concat();
            found.insert(path, number);
        }
    }
    // `ncheck` looks for names in directories, and the top is in none.
    if inodes.contains(&TOP) {
        found.insert(b"/".to_vec(), TOP);
    }
    let known: BTreeSet<u64> = found.values().copied().collect();
    match inodes.difference(&known).next() {
        None => Ok(found),
        Some(lost) => Err(io::Error::other(format!("inode {lost} has no name"))),
    }
}
