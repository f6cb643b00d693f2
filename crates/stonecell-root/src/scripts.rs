//! Runs maintainer scripts and dpkg itself inside the root, with one fixed environment.

use std::os::unix::process::ExitStatusExt;

use thiserror::Error;

use crate::database::ADMIN;
use crate::package::Package;
use crate::sandbox::{InRoot, Outcome, STAND_INS, SandboxError, run_in_root};
use crate::tree::Tree;

/// Why the root could not be configured.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// A script or dpkg failed.
    #[error("{what} failed with {status}; its last lines were:\n{output}")]
    Failed {
        /// `the preinst of NAME`, `the post-installation script of NAME`, ...
        what: String,
        /// `exit code N` or `signal N`.
        status: String,
        /// What it printed last.
        output: String,
    },
    /// It could not be run.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// The last lines that an error shows.
const SHOWN: usize = 40;

/// The environment of every program in the root.
#[must_use]
pub(crate) fn environment(epoch: i64) -> Vec<(String, String)> {
    let epoch = epoch.to_string();
    let path = format!("{STAND_INS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let fixed = [
        ("PATH", path.as_str()),
        ("HOME", "/root"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("SOURCE_DATE_EPOCH", &epoch),
        // systemd's tools: this is not a running system.
        ("SYSTEMD_OFFLINE", "1"),
        // initramfs-tools and others ask before they touch a boot loader.
        ("INITRD", "No"),
    ];
    fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Runs `preinst install` of a package whose control files are in the database, as dpkg does.
/// `dpkg_version` is that of the root's dpkg: scripts ask it for features.
///
/// # Errors
/// [`ScriptError`].
pub(crate) fn preinst(
    tree: &Tree,
    package: &Package,
    dpkg_version: &str,
    epoch: i64,
) -> Result<(), ScriptError> {
    let mut env = environment(epoch);
    let own = [
        ("DPKG_MAINTSCRIPT_PACKAGE", package.name.as_str()),
        ("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1"),
        ("DPKG_MAINTSCRIPT_ARCH", &package.architecture),
        ("DPKG_MAINTSCRIPT_NAME", "preinst"),
        ("DPKG_MAINTSCRIPT_DEBUG", "0"),
        ("DPKG_ADMINDIR", "/var/lib/dpkg"),
        ("DPKG_ROOT", ""),
        ("DPKG_RUNNING_VERSION", dpkg_version),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let script = format!("/{ADMIN}/info/{}.preinst", package.info_stem());
    let argv = [script, "install".to_owned()];
    let outcome = run_in_root(&InRoot { root: tree.path(), argv: &argv, env: &env }, &mut |_| ())?;
    check(&format!("the preinst script of `{}`", package.name), &outcome)
}

/// Runs `dpkg` of the root. Each line it prints goes to `on_line`.
///
/// # Errors
/// [`ScriptError`]; a failed script is named as dpkg named it.
pub(crate) fn dpkg(
    tree: &Tree,
    args: &[&str],
    epoch: i64,
    on_line: &mut dyn FnMut(&str),
) -> Result<(), ScriptError> {
    let argv: Vec<String> =
        ["dpkg", "--abort-after=1"].iter().chain(args).map(|word| (*word).to_owned()).collect();
    let env = environment(epoch);
    let outcome = run_in_root(&InRoot { root: tree.path(), argv: &argv, env: &env }, on_line)?;
    let what = culprit(&outcome.tail).unwrap_or_else(|| format!("`{}`", argv.join(" ")));
    check(&what, &outcome)
}

/// dpkg says ` installed NAME package post-installation script subprocess returned error ...` below a
/// line that names the package.
fn culprit(lines: &[String]) -> Option<String> {
    lines.iter().find_map(|line| {
        let rest = line.trim().strip_prefix("installed ")?;
        let (package, rest) = rest.split_once(" package ")?;
        let (script, result) = rest.split_once(" subprocess ")?;
        Some(format!("the {script} of `{package}` ({result})"))
    })
}

fn check(what: &str, outcome: &Outcome) -> Result<(), ScriptError> {
    if outcome.status.success() {
        return Ok(());
    }
    let status = match (outcome.status.code(), outcome.status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    let skip = outcome.tail.len().saturating_sub(SHOWN);
    let output: Vec<String> = outcome.tail.iter().skip(skip).map(|l| format!("  {l}")).collect();
    Err(ScriptError::Failed { what: what.to_owned(), status, output: output.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failing_script_is_taken_from_what_dpkg_says() {
        let lines = [
            "Setting up bad (1) ...",
            "dpkg: error processing package bad (--configure):",
            " installed bad package post-installation script subprocess returned error exit status 3",
        ]
        .map(str::to_owned);
        assert_eq!(
            culprit(&lines).unwrap(),
            "the post-installation script of `bad` (returned error exit status 3)"
        );
        assert_eq!(culprit(&[]), None);
    }
}
