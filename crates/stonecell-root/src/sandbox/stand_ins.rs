//! Programs that maintainer scripts call for nothing, and what answers in their place.
//!
//! They lie in a directory of the sandbox's own `/run`, first in the scripts' `PATH`: the tree never holds them.
//! Each leaves the tree as the program itself would have left it in the end (`tests/against_dpkg.rs`), without
//! its cost (ADR 10).

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

/// The directory as scripts see it.
pub(crate) const PATH: &str = "/run/stonecell-stand-ins";

/// For `sync`: a build that the machine interrupts is begun again, so that waiting for its disks helps nobody. For
/// `depmod`: the kernel's postinst indexes modules most of which are removed afterwards; the index is made then.
const NOTHING: &str = "#!/bin/sh\nexit 0\n";

/// Answers what units of a new root need, without Perl.
const DEB_SYSTEMD_HELPER: &str = include_str!("stand_ins/deb-systemd-helper.sh");
/// Where the tree has the program, and the SHA-256 of those whose way of enabling the stand-in follows: that of
/// Debian 12 and 13. Any other enables by itself.
const HELPER: &str = "usr/bin/deb-systemd-helper";
const KNOWN_HELPERS: [&str; 1] =
    ["a895d5f077651960b6ca4ed9c53f8b36eae422ae170f61c972d0c6579e9f8732"];

/// Says at once that there is nothing to move from an older version.
const DPKG_MAINTSCRIPT_HELPER: &str = include_str!("stand_ins/dpkg-maintscript-helper.sh");

/// Writes them below `run`, the sandbox's own, for the tree `root`.
pub(super) fn write(root: &Path, run: &Path) -> io::Result<()> {
    let name = Path::new(PATH).file_name().unwrap_or_default();
    let directory = run.join(name);
    fs::create_dir(&directory)?;
    let known = u8::from(known_helper(&root.join(HELPER))?);
    let helper = format!("#!/bin/sh\nknown={known}\n{DEB_SYSTEMD_HELPER}");
    let maintscript = format!("#!/bin/sh\n{DPKG_MAINTSCRIPT_HELPER}");
    for (name, text) in [
        ("deb-systemd-helper", helper.as_str()),
        ("depmod", NOTHING),
        ("dpkg-maintscript-helper", maintscript.as_str()),
        ("sync", NOTHING),
    ] {
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create_new(true).mode(0o755).open(directory.join(name))?;
        file.write_all(text.as_bytes())?;
        // Whatever the umask of who builds.
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Is the program there, and one that the stand-in knows?
fn known_helper(path: &Path) -> io::Result<bool> {
    match fs::read(path) {
        Ok(program) => Ok(KNOWN_HELPERS.contains(&hex::encode(Sha256::digest(program)).as_str())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
