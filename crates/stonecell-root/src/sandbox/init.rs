//! PID 1 of the namespace: makes its mounts private, starts the build, reaps everything.

use std::ffi::OsString;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Pid, WaitOptions};

use super::{HELPER_FAILED, SandboxError, follow_parent, hand_shake, mounts, set_up};

/// Arguments: the inner program and its arguments. Standard input is a socket to the helper.
pub(super) fn main(inner: &[OsString]) -> Result<ExitCode, SandboxError> {
    let Some((program, args)) = inner.split_first() else { return Err(SandboxError::Helper) };
    follow_parent()?;
    // The helper answers only while it lives, so from here on its death is ours.
    let stdin = rustix::io::dup(rustix::stdio::stdin())
        .map_err(|error| set_up("use standard input")(error.into()))?;
    hand_shake(UnixStream::from(stdin)).map_err(|_| SandboxError::Helper)?;

    mounts::make_private()?;
    mounts::own_proc("/proc")?;
    rustix::system::sethostname(b"stonecell")
        .map_err(|error| set_up("set the host name")(error.into()))?;
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .spawn()
        .map_err(set_up(format!("start `{}`", program.display())))?;
    let child = Pid::from_child(&child);
    loop {
        // Orphans of the whole namespace come here; only the build's own end ends the loop.
        let waited = rustix::process::wait(WaitOptions::empty())
            .map_err(|error| set_up("wait for the build")(error.into()))?;
        if let Some((pid, status)) = waited
            && pid == child
        {
            let code = status
                .exit_status()
                .or_else(|| status.terminating_signal().map(|signal| 128 + signal));
            let code = code.and_then(|code| u8::try_from(code).ok()).unwrap_or(HELPER_FAILED);
            return Ok(ExitCode::from(code));
        }
    }
}
