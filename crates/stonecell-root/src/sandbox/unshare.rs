//! The one unsafe call of this crate: unshare(2).
#![expect(
    unsafe_code,
    reason = "rustix marks unshare unsafe because of CLONE_FILES, never used here"
)]

use std::io;

use rustix::thread::UnshareFlags;

/// Namespaces that never concern file descriptors.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    /// User, mount, PID, network, IPC and UTS.
    Build,
    /// Mount only.
    Mounts,
}

/// Moves this process into new namespaces.
pub(super) fn unshare(scope: Scope) -> io::Result<()> {
    let flags = match scope {
        Scope::Build => {
            UnshareFlags::NEWUSER
                | UnshareFlags::NEWNS
                | UnshareFlags::NEWPID
                | UnshareFlags::NEWNET
                | UnshareFlags::NEWIPC
                | UnshareFlags::NEWUTS
        }
        Scope::Mounts => UnshareFlags::NEWNS,
    };
    // SAFETY: the only hazard of unshare is CLONE_FILES, which splits the descriptor table between
    // threads. `Scope` cannot express it, so every descriptor stays valid in every thread.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}
