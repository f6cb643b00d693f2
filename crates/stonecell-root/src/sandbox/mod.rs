//! One namespace around a build, and a smaller one around each program of the image.
//!
//! ```text
//! outer process ──► namespace helper ──► PID 1 of the namespace ──► inner program ──► in-root helper ──► dpkg
//! (network,         (waits for its       (reaps; owns the mounts;   (the build)       (pivots into the
//!  no privilege)     id maps)             dies with the helper)                        tree)
//! ```
//!
//! Each arrow is this program started again with a hidden first word, because a user namespace can be
//! made only by a process with one thread, and a PID namespace only by a parent of its first process.
//! A program that uses this crate calls [`dispatch`] as the first thing in `main`.
//!
//! The parent-death signal joins the chain: whichever link dies, all that follow die, and with PID 1
//! the kernel ends every process of the namespace and drops its mounts. Nothing has to be cleaned up.

mod in_root;
mod init;
mod mounts;
mod namespace;
mod respawn;
mod stand_ins;
mod unshare;

pub use in_root::{InRoot, Outcome, run_in_root};
pub use respawn::{Inner, ending_signals, respawn};
pub(crate) use stand_ins::PATH as STAND_INS;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use stonecell_definition::with_causes;
use thiserror::Error;

/// Why a sandbox could not be made.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// A system call of the setting-up failed.
    #[error("cannot set up the build's namespace: {what}")]
    SetUp {
        /// Which step, with its remedy where there is one.
        what: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The helper stopped before the namespace was ready; it has said why on standard error.
    #[error(
        "the build's namespace could not be entered (the reason is in the lines above); \
             check that user namespaces are permitted: /proc/sys/user/max_user_namespaces, \
             kernel.unprivileged_userns_clone, AppArmor"
    )]
    Helper,
    /// No subordinate ids for an unprivileged user.
    #[error(
        "{file} grants user `{user}` no range of at least 65535 ids; as root, run: \
             usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
    )]
    SubordinateIds {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
        /// Who asks.
        user: String,
    },
    /// newuidmap or newgidmap refused or is absent.
    #[error("{program} did not set the id map ({detail}); install the package `uidmap`")]
    IdMap {
        /// Which program.
        program: &'static str,
        /// What it said.
        detail: String,
    },
    /// The build was asked to stop.
    #[error("interrupted by signal {0}; nothing was left behind")]
    Interrupted(i32),
    /// A program in the root could not be started.
    #[error("cannot run `{program}` in `{root}`")]
    Run {
        /// The program.
        program: String,
        /// The tree.
        root: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

const NAMESPACE: &str = "__stonecell-namespace";
const INIT: &str = "__stonecell-init";
const IN_ROOT: &str = "__stonecell-in-root";
/// What a helper exits with when it cannot do its work.
const HELPER_FAILED: u8 = 125;

/// Does the work of a helper if this process was started as one. Call it first in `main`, before any
/// thread exists, and return the code if there is one.
#[must_use]
pub fn dispatch() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let word = args.next()?;
    let rest: Vec<OsString> = args.collect();
    let result = match word.to_str()? {
        NAMESPACE => namespace::main(&rest),
        INIT => init::main(&rest),
        IN_ROOT => in_root::main(&rest),
        _ => return None,
    };
    Some(result.unwrap_or_else(|error| {
        // A helper has no caller but the terminal: this is the edge where the chain is printed.
        // If standard error is closed there is nobody left to tell.
        let _ = writeln!(io::stderr(), "stonecell: {}", with_causes(&error));
        ExitCode::from(HELPER_FAILED)
    }))
}

fn set_up(what: impl Into<String>) -> impl FnOnce(io::Error) -> SandboxError {
    |source| SandboxError::SetUp { what: what.into(), source }
}

/// Tells the other side of a handshake to go on, and waits until it says the same.
fn hand_shake(mut stream: impl Read + Write) -> io::Result<()> {
    stream.write_all(b"+")?;
    wait_for_peer(&mut stream)
}

fn wait_for_peer(stream: &mut impl Read) -> io::Result<()> {
    stream.read_exact(&mut [0])
}

/// Dies when the parent does.
fn follow_parent() -> Result<(), SandboxError> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| set_up("ask for the parent-death signal")(error.into()))
}

/// This program, to be started again as a helper.
fn itself() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(HELPER_FAILED))
}
