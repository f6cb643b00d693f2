//! What the host's own apt reads, asked from apt itself.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::mirrors::{HostApt, HostEntry};

/// Why the host's configuration is not known.
#[derive(Debug, Error)]
pub enum HostAptError {
    /// apt-get does not run.
    #[error("apt-get cannot be run to read this machine's mirrors")]
    Run {
        /// Why.
        source: io::Error,
    },
    /// apt-get fails.
    #[error("apt-get cannot read this machine's mirrors: {reason}")]
    Failed {
        /// apt's first error.
        reason: String,
    },
}

/// Asks apt which suites it would update, without network and without privilege.
///
/// # Errors
///
/// When apt is not there or refuses.
pub fn read_host_apt() -> Result<HostApt, HostAptError> {
    let output = Command::new("apt-get")
        .env("LC_ALL", "C")
        .args(["update", "--print-uris"])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| HostAptError::Run { source })?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let reason = words.lines().next().unwrap_or("it gave no reason").to_owned();
        return Err(HostAptError::Failed { reason });
    }
    // A machine without the file has no distribution that could be matched.
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    Ok(HostApt {
        id: os_release_value(&os_release, "ID"),
        codename: os_release_value(&os_release, "VERSION_CODENAME"),
        entries: entries(&String::from_utf8_lossy(&output.stdout)),
    })
}

/// A value of os-release(5) without its quotes.
fn os_release_value(text: &str, key: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
        .unwrap_or_default()
}

/// Suites in lines such as `'http://mirror.invalid/debian/dists/bookworm/InRelease' name 0`.
fn entries(text: &str) -> Vec<HostEntry> {
    text.lines()
        .filter_map(|line| {
            let url = line.strip_prefix('\'')?.split_once('\'')?.0;
            let (base, suite) = url.strip_suffix("/InRelease")?.split_once("/dists/")?;
            let known = ["http://", "https://", "file:/"];
            known
                .iter()
                .any(|scheme| base.starts_with(scheme))
                .then(|| HostEntry { base: base.to_owned(), suite: suite.to_owned() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_read_from_apt_s_list() {
        let text = "'http://mirror.invalid/debian/dists/bookworm/InRelease' a 0 \n\
            'http://mirror.invalid/debian/dists/bookworm/main/binary-amd64/Packages.xz' b 0 \n\
            'cdrom://disc/dists/bookworm/InRelease' c 0 \nnoise\n\
            'file:/srv/ubuntu/dists/jammy-updates/InRelease' d 0 \n";
        let entry = |base: &str, suite: &str| HostEntry { base: base.into(), suite: suite.into() };
        assert_eq!(
            entries(text),
            [
                entry("http://mirror.invalid/debian", "bookworm"),
                entry("file:/srv/ubuntu", "jammy-updates"),
            ]
        );
    }

    #[test]
    fn os_release_is_read() {
        let text = "PRETTY_NAME=\"x\"\nVERSION_CODENAME=bookworm\nID=\"debian\"\nID_LIKE=z\n";
        assert_eq!(os_release_value(text, "ID"), "debian");
        assert_eq!(os_release_value(text, "VERSION_CODENAME"), "bookworm");
        assert_eq!(os_release_value(text, "MISSING"), "");
    }
}
