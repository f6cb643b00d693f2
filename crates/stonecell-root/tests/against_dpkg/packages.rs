//! The real packages, fetched by apt, and a bad one of our own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stonecell_definition::lock::LockedPackage;

use crate::Result;
use crate::locked::locked;

/// Beside essential and required packages: services, triggers, alternatives, users, Pre-Depends on
/// something that is not essential, debconf, and a library that sets off ldconfig.
const WANTED: [&str; 7] =
    ["apt", "ca-certificates", "cron", "dbus", "nano", "openssh-server", "systemd-sysv"];

/// Downloads the package set with an apt that thinks nothing is installed.
pub(crate) fn fetch(work: &Path) -> Result<()> {
    for dir in ["debs/partial", "lists/partial"] {
        std::fs::create_dir_all(work.join(dir))?;
    }
    std::fs::write(work.join("status"), "")?;
    let option = |name: &str, path: &str| format!("{name}={}", work.join(path).display());
    let options = [
        option("Dir::State::status", "status"),
        option("Dir::State::lists", "lists"),
        option("Dir::Cache::archives", "debs"),
        option("Dir::State::extended_states", "extended_states"),
        option("Dir::Cache::pkgcache", "pkgcache.bin"),
        option("Dir::Cache::srcpkgcache", "srcpkgcache.bin"),
        "APT::Install-Recommends=false".into(),
        "APT::Sandbox::User=root".into(),
        "Acquire::Languages=none".into(),
        "Acquire::Retries=3".into(),
    ];
    let apt = |words: &[&str]| -> Result<()> {
        let mut command = Command::new("apt-get");
        command.env("LC_ALL", "C").stdin(Stdio::null()).arg("-qq");
        for option in &options {
            command.args(["-o", option]);
        }
        let output = command.args(words).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("apt-get {words:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
    };
    apt(&["update"])?;
    // Only what this run resolves to may lie there; what is known is not fetched again.
    let output = Command::new("dpkg").arg("--print-architecture").output()?;
    let architecture = String::from_utf8(output.stdout)?.trim().to_owned();
    // apt's own word `native` matches nothing when the status file is empty.
    let patterns = ["essential", "priority(required)"]
        .map(|what| format!("?and(?{what},?or(?architecture({architecture}),?architecture(all)))"));
    let patterns = patterns.iter().map(String::as_str);
    let words: Vec<&str> =
        ["-y", "-d", "install"].into_iter().chain(patterns).chain(WANTED).collect();
    apt(&words)?;
    apt(&["autoclean"])
}

/// The packages that were fetched, sorted.
pub(crate) fn read(work: &Path) -> Result<Vec<(LockedPackage, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(work.join("debs"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        found.push((locked(&path)?, path));
    }
    found.sort();
    Ok(found)
}

/// A package whose postinst fails, built by dpkg-deb.
pub(crate) fn bad(work: &Path) -> Result<(LockedPackage, PathBuf)> {
    let dir = tempfile::tempdir()?;
    let debian = dir.path().join("DEBIAN");
    std::fs::create_dir(&debian)?;
    std::fs::write(
        debian.join("control"),
        "Package: stonecell-bad\nVersion: 1\nArchitecture: all\nMaintainer: x <x@stonecell.invalid>\nDescription: x\n",
    )?;
    let mut script = std::fs::File::create(debian.join("postinst"))?;
    script.write_all(b"#!/bin/sh\necho this is why >&2\nexit 42\n")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(debian.join("postinst"), mode)?;
    drop(script);
    let path = work.join("bad.deb");
    let status = Command::new("dpkg-deb")
        .arg("--build")
        .arg(dir.path())
        .arg(&path)
        .stdout(Stdio::null())
        .status()?;
    assert!(status.success());
    Ok((locked(&path)?, path))
}
