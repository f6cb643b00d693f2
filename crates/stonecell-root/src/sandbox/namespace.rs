//! The helper that becomes the parent of PID 1.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use super::unshare::{Scope, unshare};
use super::{
    INIT, SandboxError, exit_code, follow_parent, hand_shake, itself, set_up, wait_for_peer,
};

/// Arguments: process id of the outer process, the inner program and its arguments. Standard input is
/// a socket to the outer process.
pub(super) fn main(args: &[OsString]) -> Result<ExitCode, SandboxError> {
    let Some((parent, inner)) = args.split_first() else { return Err(SandboxError::Helper) };
    follow_parent()?;
    let alive = rustix::process::getppid().map(|pid| pid.as_raw_pid().to_string());
    if alive.as_deref() != parent.to_str() {
        // The outer process died before the signal was asked for.
        return Err(SandboxError::Helper);
    }
    let stdin = rustix::io::dup(rustix::stdio::stdin())
        .map_err(|error| set_up("use standard input")(error.into()))?;
    let mut outer = UnixStream::from(stdin);
    unshare(Scope::Build).map_err(set_up(
        "unshare(2) was refused; user namespaces must be permitted (sysctl user.max_user_namespaces, \
         kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
    ))?;
    // Changing the user namespace may clear the signal.
    follow_parent()?;
    std::io::Write::write_all(&mut outer, b"+").map_err(|_| SandboxError::Helper)?;
    hand_shake(&outer).map_err(|_| SandboxError::Helper)?;
    drop(outer);

    let (ours, theirs) = UnixStream::pair().map_err(set_up("make a socket pair"))?;
    let mut init = Command::new(itself())
        .arg(INIT)
        .args(inner)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(set_up("start the namespace's first process"))?;
    // If it stops here it has said why; its status says the rest.
    let mut ours = ours;
    if wait_for_peer(&mut ours).is_ok() {
        let _ = hand_shake(&ours);
    }
    init.wait().map(exit_code).map_err(set_up("wait for the namespace"))
}
