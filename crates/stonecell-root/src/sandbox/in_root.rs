//! Runs a program of the image inside the image's tree, with as little as it needs.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use rustix::thread::CapabilitySet;

use super::unshare::{Scope, unshare};
use super::{IN_ROOT, SandboxError, follow_parent, itself, mounts, set_up};

/// A program to run in a root.
#[derive(Debug, Clone)]
pub struct InRoot<'a> {
    /// The tree.
    pub root: &'a std::path::Path,
    /// Program (looked up in `PATH` of `env`, inside) and arguments.
    pub argv: &'a [String],
    /// The whole environment.
    pub env: &'a [(String, String)],
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// Its status.
    pub status: ExitStatus,
    /// The last lines of its output and error, in order.
    pub tail: Vec<String>,
}

const TAIL: usize = 200;

/// Runs a program in `root` of a namespace made by [`super::respawn`] and waits for it. Each line of
/// its output is handed to `on_line` as it comes.
///
/// It sees the tree as `/`, private /proc, /dev, /tmp and /run, no network, no terminal, an empty
/// standard input, and the environment given.
///
/// # Errors
/// [`SandboxError::Run`] when it cannot be started; its own failure is in the status.
pub fn run_in_root(
    program: &InRoot<'_>,
    on_line: &mut dyn FnMut(&str),
) -> Result<Outcome, SandboxError> {
    let failed = |source| SandboxError::Run {
        program: program.argv.join(" "),
        root: program.root.to_owned(),
        source,
    };
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    let mut command = Command::new(itself());
    command
        .arg(IN_ROOT)
        .arg(program.root)
        .args(program.argv)
        .env_clear()
        .envs(program.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // The command holds the writing end; without dropping it the pipe never ends.
    drop(command);
    let mut tail = std::collections::VecDeque::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line.map_err(failed)?).trim_end().to_owned();
        on_line(&line);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
    let status = child.wait().map_err(failed)?;
    Ok(Outcome { status, tail: tail.into() })
}

/// What maintainer scripts need: to own and change files, to become another user, to chroot.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SYS_CHROOT);

/// Arguments: the tree, the program and its arguments.
pub(super) fn main(args: &[OsString]) -> Result<ExitCode, SandboxError> {
    let [root, program, rest @ ..] = args else { return Err(SandboxError::Helper) };
    follow_parent()?;
    unshare(Scope::Mounts).map_err(set_up("unshare the mounts"))?;
    mounts::make_private()?;
    mounts::pivot_into(&PathBuf::from(root))?;
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: rustix::io::Errno| set_up(what)(error.into())
    };
    rustix::process::setsid().map_err(failed("start a session"))?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    for capability in CapabilitySet::all().difference(KEPT).iter() {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // A capability that this kernel does not know.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(failed("drop capabilities")(error)),
        }
    }
    let source = Command::new(program).args(rest).exec();
    Err(SandboxError::Run {
        program: program.to_string_lossy().into_owned(),
        root: PathBuf::from(OsStr::new("/")),
        source,
    })
}
