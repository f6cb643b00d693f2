//! The first program of the machine.
//!
//! It runs as process 1 out of the initrd: loads the modules that the machine's devices name, finds
//! the root and verity partitions by the UUIDs that follow from `roothash=`, opens dm-verity, mounts
//! erofs on it, mounts the state partitions of the same disk and becomes systemd. It starts no other program, reads no configuration but the
//! signed command line, and knows no secret. Whatever goes wrong ends in one line on the console
//! and a panic of the kernel (or a restart, if the command line asks for it).

mod boot;
mod devices;
mod kmsg;
mod mapper;
mod modules;
mod state;
mod switch;

use std::process::ExitCode;

use rustix::system::{RebootCommand, reboot};
use stonecell_init::cmdline::OnCorruption;

fn main() -> ExitCode {
    let mut on_failure = OnCorruption::default();
    let Err(error) = boot::run(&mut on_failure);
    kmsg::error(&error);
    if on_failure == OnCorruption::Restart
        && let Err(errno) = reboot(RebootCommand::Restart)
    {
        kmsg::error(&boot::BootError::Restart(errno));
    }
    // The end of process 1 is a kernel panic; `panic=` says what comes then.
    ExitCode::FAILURE
}
