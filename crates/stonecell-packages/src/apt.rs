//! A run of `apt-get --simulate` that knows nothing but what it is given (ADR 1).
//!
//! The run has its own configuration, state, cache and lists in a directory that lives as long as the
//! run. `APT_CONFIG` names a file that is read before the host's and that points every directory,
//! that of the host's configuration parts included, into this one. The lists are written in the form
//! in which apt keeps them, so that nothing is fetched and nothing has to be signed again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use thiserror::Error;

use crate::apt_output::{self, PlanError, Planned};
use crate::release::Release;

/// A suite as apt is to see it.
pub(crate) struct AptSuite<'a> {
    /// Properties that decide apt's preferences; `None` for the caller's own packages.
    pub(crate) release: Option<&'a Release>,
    /// Stanzas.
    pub(crate) stanzas: Vec<&'a str>,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum AptOutcome {
    /// What would be installed.
    Plan(Vec<Planned>),
    /// apt's reasons against it.
    Refused(Vec<String>),
}

/// Why apt could not be asked.
#[derive(Debug, Error)]
pub enum AptError {
    /// apt-get does not run.
    #[error("apt-get cannot be run; install the package `apt`")]
    Run {
        /// Why.
        source: io::Error,
    },
    /// A file for apt cannot be written.
    #[error("cannot write {path} for apt")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The temporary directory has a name that apt's configuration cannot hold.
    #[error("the temporary directory {path} has a quote in its name; set TMPDIR to another one")]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// The plan is not understood.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Asks apt what it would install for `names` on an empty system.
pub(crate) fn simulate(
    suites: &[AptSuite<'_>],
    architecture: &str,
    recommends: bool,
    names: &[String],
) -> Result<AptOutcome, AptError> {
    let directory =
        TempDir::new().map_err(|source| AptError::Write { path: std::env::temp_dir(), source })?;
    let root = directory.path();
    let config = root.join("apt.conf");
    write(&config, &configuration(root, architecture, recommends)?)?;
    for part in ["state", "lists/partial", "cache/archives/partial", "etc/parts", "log"] {
        let path = root.join(part);
        fs::create_dir_all(&path).map_err(|source| AptError::Write { path, source })?;
    }
    write(&root.join("status"), "")?;
    let mut list = String::new();
    for (at, suite) in suites.iter().enumerate() {
        list.push_str(&format!("deb [trusted=yes] http://stonecell.invalid/{at} suite main\n"));
        let name = format!("stonecell.invalid_{at}_dists_suite_");
        let packages = format!("{name}main_binary-{architecture}_Packages");
        let lists = root.join("lists");
        let text: String = suite.stanzas.iter().flat_map(|text| [*text, "\n\n"]).collect();
        write(&lists.join(packages), &text)?;
        write(&lists.join(format!("{name}Release")), &release_text(suite.release))?;
    }
    write(&root.join("etc/sources.list"), &list)?;
    let output = Command::new("apt-get")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .env("APT_CONFIG", &config)
        .args(["--simulate", "--quiet", "--assume-yes", "install", "--"])
        .args(names)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| AptError::Run { source })?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(AptOutcome::Plan(apt_output::plan(&stdout)?));
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Ok(AptOutcome::Refused(apt_output::refusal(&stdout, &stderr)))
}

/// The whole configuration. `Dir::Etc::parts` and `Dir::Etc::main` keep the host's files out.
fn configuration(root: &Path, architecture: &str, recommends: bool) -> Result<String, AptError> {
    let error = || AptError::Directory { path: root.to_owned() };
    let root = root.to_str().filter(|root| !root.contains(['"', '\n', '\\'])).ok_or_else(error)?;
    Ok(format!(
        r#"Dir "{root}";
Dir::State "{root}/state";
Dir::State::lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Etc "{root}/etc";
Dir::Etc::main "{root}/etc/none";
Dir::Etc::parts "{root}/etc/parts";
Dir::Etc::sourcelist "{root}/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Log "{root}/log";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Solver "internal";
APT::Install-Recommends "{recommends}";
APT::Install-Suggests "false";
APT::Immediate-Configure "false";
APT::Force-LoopBreak "true";
Acquire::Languages "none";
"#
    ))
}

/// The lines of a Release file that apt's preferences look at.
fn release_text(release: Option<&Release>) -> String {
    let Some(release) = release else { return String::from("Suite: stonecell\n") };
    let flag = |name: &str, set| if set { format!("{name}: yes\n") } else { String::new() };
    [
        format!("Origin: {}\n", release.origin),
        format!("Suite: {}\nCodename: {}\n", release.suite, release.codename),
        flag("NotAutomatic", release.not_automatic),
        flag("ButAutomaticUpgrades", release.but_automatic_upgrades),
    ]
    .concat()
}

fn write(path: &Path, content: &str) -> Result<(), AptError> {
    fs::write(path, content).map_err(|source| AptError::Write { path: path.to_owned(), source })
}
