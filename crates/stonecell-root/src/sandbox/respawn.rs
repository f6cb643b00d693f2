//! The outer side: starts the namespace, maps the ids, passes signals on, waits.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{NAMESPACE, SandboxError, hand_shake, itself, set_up, wait_for_peer};

/// The program to run as the build, inside.
#[derive(Debug, Clone)]
pub struct Inner {
    /// Usually `/proc/self/exe`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to the environment it inherits.
    pub env: Vec<(OsString, OsString)>,
}

/// Runs `inner` in new user, mount, PID, network, IPC and UTS namespaces, as root of them, and waits.
///
/// Its standard input is empty; output and error are inherited. The [`ending_signals`] to this process end
/// the namespace and give [`SandboxError::Interrupted`], so that the caller can remove what it made outside.
/// `stop` tells of signals that came before. If this process is killed, the namespace dies with it.
///
/// # Errors
/// [`SandboxError`] when the namespace cannot be made or was interrupted. A failure of the inner
/// program is in the status.
pub fn respawn(inner: &Inner, stop: &AtomicBool) -> Result<ExitStatus, SandboxError> {
    let (mut ours, theirs) = UnixStream::pair().map_err(set_up("make a socket pair"))?;
    let caught = Arc::new(AtomicI32::new(0));
    let mut signals = Signals::new(ending_signals()).map_err(set_up("catch signals"))?;
    let handle = signals.handle();
    // From here on the watcher sees every signal; those before are in `stop`.
    if stop.load(Ordering::SeqCst) {
        return Err(SandboxError::Interrupted(SIGINT));
    }
    let mut helper = Command::new(itself())
        .arg(NAMESPACE)
        .arg(std::process::id().to_string())
        .arg(&inner.program)
        .args(&inner.args)
        .envs(inner.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(set_up("start the helper"))?;
    let pid = Pid::from_child(&helper);
    let watcher = {
        let caught = Arc::clone(&caught);
        std::thread::spawn(move || {
            for signal in signals.forever() {
                caught.store(signal, Ordering::SeqCst);
                // The helper is not reaped before this thread has ended, so the id is still its own.
                // Failure means that it is gone already, which is what is wanted.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        })
    };
    let entered = enter(&mut helper, &mut ours);
    if entered.is_err() {
        // Without its maps the helper is of no use; it may have ended by itself.
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    // Wait without reaping, stop the watcher, then reap: the watcher can never hit a foreign process.
    let waited = rustix::process::waitid(
        rustix::process::WaitId::Pid(pid),
        rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
    );
    handle.close();
    // The thread only loops over signals and cannot panic.
    let _ = watcher.join();
    let status = helper.wait().map_err(set_up("wait for the helper"))?;
    waited.map_err(|error| set_up("wait for the helper")(error.into()))?;
    match caught.load(Ordering::SeqCst) {
        0 => entered.map(|()| status),
        signal => Err(SandboxError::Interrupted(signal)),
    }
}

/// The signals that end a build: SIGINT, SIGTERM, and SIGHUP unless whoever started this program had it ignored, as
/// nohup(1) does.
#[must_use]
pub fn ending_signals() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut signals = vec![SIGINT, SIGTERM];
    if !ignores(&status, SIGHUP) {
        signals.push(SIGHUP);
    }
    signals
}

/// Does proc(5)'s `status` say that the process ignores this signal?
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let bit = u32::try_from(signal - 1).ok().and_then(|shift| 1_u64.checked_shl(shift));
    bit.is_some_and(|bit| mask & bit != 0)
}

fn enter(helper: &mut Child, stream: &mut UnixStream) -> Result<(), SandboxError> {
    // The helper has moved when it says so; a closed socket means that it has stopped.
    wait_for_peer(stream).map_err(|_| SandboxError::Helper)?;
    map_ids(helper.id())?;
    hand_shake(stream).map_err(|_| SandboxError::Helper)
}

fn map_ids(pid: u32) -> Result<(), SandboxError> {
    if rustix::process::geteuid().is_root() {
        // Identity, as far as this process itself reaches (it may be in a user namespace already).
        for map in ["uid_map", "gid_map"] {
            let own = std::fs::read_to_string(format!("/proc/self/{map}"))
                .map_err(set_up(format!("read /proc/self/{map}")))?;
            std::fs::write(format!("/proc/{pid}/{map}"), identity(&own))
                .map_err(set_up(format!("write the {map} of the namespace")))?;
        }
        return Ok(());
    }
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let user = user_name(uid);
    for (program, file, own) in
        [("newuidmap", "/etc/subuid", uid), ("newgidmap", "/etc/subgid", gid)]
    {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let start = subordinate_range(&text, &user, uid)
            .ok_or_else(|| SandboxError::SubordinateIds { file, user: user.clone() })?;
        let output = Command::new(program)
            .args([pid, 0, own, 1, 1, start, RANGE].map(|number| number.to_string()))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output();
        let detail = match output {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        return Err(SandboxError::IdMap { program, detail });
    }
    Ok(())
}

/// Ids 1 to 65535 of the namespace.
const RANGE: u32 = 65_535;

/// Each `inside outside count` line of our own map, as an identity map.
fn identity(own: &str) -> String {
    own.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (inside, count) = (words.next()?, words.nth(1)?);
            Some(format!("{inside} {inside} {count}\n"))
        })
        .collect()
}

/// The first range of at least [`RANGE`] ids in a subuid(5) file for this user.
fn subordinate_range(text: &str, user: &str, uid: u32) -> Option<u32> {
    let number = uid.to_string();
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next()?;
        let (start, count): (u32, u32) =
            (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        ((name == user || name == number) && count >= RANGE).then_some(start)
    })
}

fn user_name(uid: u32) -> String {
    let number = uid.to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    found.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_map_keeps_every_range_of_the_outer_one() {
        let outer = "         0          0 4294967295\n";
        assert_eq!(identity(outer), "0 0 4294967295\n");
        assert_eq!(identity("0 1000 1\n1 100000 65535\n"), "0 0 1\n1 1 65535\n");
    }

    #[test]
    fn an_ignored_hangup_stays_ignored() {
        assert!(ignores("SigBlk:\t0\nSigIgn:\t0000000000000001\n", SIGHUP));
        assert!(!ignores("SigIgn:\t0000000000000002\n", SIGHUP));
        assert!(!ignores("", SIGHUP));
    }

    #[test]
    fn subordinate_ranges_by_name_and_number_but_not_too_small() {
        let text = "other:1:65536\nann:100000:1000\n1001:200000:65536\n";
        assert_eq!(subordinate_range(text, "ann", 1000), None);
        assert_eq!(subordinate_range(text, "bob", 1001), Some(200_000));
        assert_eq!(subordinate_range("ann:100000:65536", "ann", 1000), Some(100_000));
        assert_eq!(subordinate_range("nonsense\n::\n", "ann", 1000), None);
    }
}
