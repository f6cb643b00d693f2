//! Whole builds of real packages that are interrupted, run out of room, differ, or meet a package that fails; each
//! ends as the documentation says and leaves nothing behind.
//!
//! The packages are those of the host's mirror; a local archive stands beside it as the security suite and brings
//! one more.

mod differing;
mod failing;
mod full;
mod interrupted;
mod rootless;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::archive::Archive;
use crate::program::{Ended, Place};

/// The smallest definition that makes a disk, and nothing else.
const BODY: &str = "roles = [\"minimal\"]\n";
const REST: &str = "[signing]\ndevelopment = true\n[output]\niaas = []\nformats = [\"raw\"]\n";

/// Outputs of a build, sorted.
const OUTPUTS: [&str; 5] =
    ["cell-1.0.crt", "cell-1.0.intoto.json", "cell-1.0.pub", "cell-1.0.raw", "cell-1.0.raw.sig"];

/// A place with the smallest definition and its lock, which is made once.
fn locked() -> Place {
    static LOCK: OnceLock<Vec<u8>> = OnceLock::new();
    let place = Place::new();
    define(&place, "[base]\nrelease = \"bookworm\"\n", "");
    let lock = LOCK.get_or_init(|| {
        place.real(&["lock", "DEFINITION", "--quiet"]).succeeded();
        std::fs::read(place.path("cell.lock")).unwrap()
    });
    std::fs::write(place.path("cell.lock"), lock).unwrap();
    place
}

fn define(place: &Place, base: &str, packages: &str) {
    place.define(&format!("{BODY}{base}{packages}{REST}"));
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../roles");
    let copied = Command::new("cp").arg("-rT").arg(roles).arg(place.path("roles")).status();
    assert!(copied.unwrap().success());
}

/// A place with a lock of the smallest definition and the package `extra`, whose script after the installation is
/// this; and the archive that it comes from.
fn with_script(script: &str) -> (Place, Archive) {
    let place = Place::new();
    let mut archive = Archive::new("bookworm-security");
    archive.add("extra", "", &[("postinst", script)]);
    archive.publish();
    // The keys of Debian and of the local archive, one after the other, are a keyring too.
    let keyring = place.path("both.gpg");
    let debian = std::fs::read("/usr/share/keyrings/debian-archive-keyring.gpg").unwrap();
    let own = std::fs::read(archive.key.keyring()).unwrap();
    std::fs::write(&keyring, [debian, own].concat()).unwrap();
    let base = format!(
        "[base]\nrelease = \"bookworm\"\nsecurity_mirror = \"{}\"\nkeyring = \"{}\"\n",
        archive.file_url(),
        keyring.display()
    );
    define(&place, &base, "[packages]\ninstall = [\"extra\"]\n");
    place.real(&["lock", "DEFINITION", "--quiet"]).succeeded();
    (place, archive)
}

impl Place {
    /// The program with the cache that all whole builds share and the mirror of the host.
    fn real_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("STONECELL_CACHE", shared_cache());
        for name in ["http_proxy", "https_proxy", "no_proxy", "STONECELL_MIRROR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    fn real(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.real_command(arguments).output().unwrap())
    }

    /// Builds, and finds every output in place and nothing else.
    #[track_caller]
    fn build_succeeds(&self) {
        self.real(&["build", "DEFINITION", "--out", "OUT"]).succeeded();
        assert_eq!(crate::program::names(&self.out()), OUTPUTS);
    }
}

/// The cache of whoever runs the tests: packages are fetched once.
fn shared_cache() -> PathBuf {
    let variable = |name: &str| std::env::var(name).ok();
    stonecell_packages::default_cache_dir(
        variable("STONECELL_CACHE").as_deref(),
        variable("XDG_CACHE_HOME").as_deref(),
        variable("HOME").as_deref(),
    )
    .unwrap()
}
