//! A running machine: its console, its end.

use std::io::{self, Read as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::qmp::{Control, Event};
use crate::spec::{Console, MachineSpec, command_line};

/// The emulator, looked up in PATH.
pub(crate) const QEMU: &str = "qemu-system-x86_64";
/// How long QEMU may take to open its control connection, and to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The guest switched itself off.
    PowerOff,
    /// The guest restarted, and the machine was not to.
    Reset,
    /// The guest's kernel panicked.
    Panic,
    /// We, or whoever has the terminal, ended it.
    Ended,
}

/// Why a machine cannot be run or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// QEMU is not installed.
    #[error("cannot start {QEMU}; install the package qemu-system-x86")]
    Start(#[source] io::Error),
    /// The control socket cannot be made.
    #[error("cannot listen on {path}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU ended instead of running the machine.
    #[error("{QEMU} failed ({status}): {output}")]
    Qemu {
        /// Its exit status.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
    /// Talking to QEMU failed.
    #[error("lost the connection to {QEMU}")]
    Connection(#[source] io::Error),
    /// Something took too long.
    #[error("no {what} within {} s; the console ended with:\n{console}", limit.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// The console's last lines.
        console: String,
    },
    /// The machine ended before it said what was waited for.
    #[error("the machine ended before it said `{what}`; the console ended with:\n{console}")]
    EndedEarly {
        /// What was waited for.
        what: String,
        /// The console's last lines.
        console: String,
    },
}

/// A machine that runs until it ends, is ended, or is dropped.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    control: Control,
    output: Option<ChildStdout>,
    console: Vec<u8>,
    /// Up to where the console was searched.
    searched: usize,
    events: Vec<Event>,
    finished: Option<ExitStatus>,
}

impl Machine {
    /// Starts a machine. `directory` is for its control socket and must outlive it; its path must be
    /// short (a socket's path has at most 107 bytes).
    ///
    /// # Errors
    /// QEMU is missing, or refuses the machine.
    pub fn start(spec: &MachineSpec, directory: &Path) -> Result<Self, MachineError> {
        let path = directory.join("control");
        let listener = UnixListener::bind(&path)
            .map_err(|source| MachineError::Listen { path: path.clone(), source })?;
        let captured = spec.console == Console::Captured;
        let terminal = spec.console == Console::Terminal;
        let mut child = Command::new(QEMU)
            .args(command_line(spec, &path))
            .stdin(if terminal { Stdio::inherit() } else { Stdio::null() })
            .stdout(if captured { Stdio::piped() } else { Stdio::inherit() })
            .stderr(Stdio::piped())
            .spawn()
            .map_err(MachineError::Start)?;
        let output = child.stdout.take();
        let stream = accept(&listener, &mut child);
        let control =
            stream.and_then(|stream| Control::new(stream).map_err(MachineError::Connection));
        match control {
            Ok(control) => Ok(Self {
                child,
                control,
                output,
                console: Vec::new(),
                searched: 0,
                events: Vec::new(),
                finished: None,
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Waits until the captured console has said `text` since the last such call.
    ///
    /// # Errors
    /// The time is over or the machine ended.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<(), MachineError> {
        let deadline = Instant::now() + limit;
        loop {
            let unsearched = self.console.get(self.searched..).unwrap_or_default();
            if let Some(at) = find(unsearched, text.as_bytes()) {
                self.searched += at + text.len();
                return Ok(());
            }
            let what = text.to_owned();
            match self.read_console(deadline).map_err(MachineError::Connection)? {
                Some(0) => {
                    return Err(MachineError::EndedEarly { what, console: self.last_lines() });
                }
                Some(_) => {}
                None => {
                    let console = self.last_lines();
                    return Err(MachineError::Timeout { what, limit, console });
                }
            }
        }
    }

    /// Everything that the captured console has said so far.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&self.console).into_owned()
    }

    /// Waits for the machine's end, reading its console meanwhile.
    ///
    /// # Errors
    /// The time is over (the machine runs on), or QEMU failed.
    pub fn wait(&mut self, limit: Duration) -> Result<End, MachineError> {
        let deadline = Instant::now() + limit;
        let timeout = |machine: &Self| MachineError::Timeout {
            what: "end of the machine".to_owned(),
            limit,
            console: machine.last_lines(),
        };
        loop {
            match self.read_console(deadline).map_err(MachineError::Connection)? {
                Some(0) => break,
                Some(_) => {}
                None => return Err(timeout(self)),
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let Some(status) = self.reap(left).map_err(MachineError::Connection)? else {
            return Err(timeout(self));
        };
        self.take_events()?;
        if !status.success() {
            return Err(MachineError::Qemu { status, output: self.complaint() });
        }
        Ok(end(&self.events))
    }

    /// Asks the guest to switch itself off, as a power button does, and waits for it.
    ///
    /// # Errors
    /// See [`Machine::wait`].
    pub fn power_off(&mut self, limit: Duration) -> Result<End, MachineError> {
        self.command("system_powerdown")?;
        self.wait(limit)
    }

    /// Ends the machine at once, as pulling the plug does.
    ///
    /// # Errors
    /// QEMU does not end.
    pub fn kill(&mut self) -> Result<(), MachineError> {
        self.command("quit")?;
        self.wait(PATIENCE).map(|_| ())
    }

    fn command(&mut self, command: &str) -> Result<(), MachineError> {
        self.take_events()?;
        match self.control.execute(command) {
            // It has ended by itself meanwhile.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(MachineError::Connection),
        }
    }

    fn take_events(&mut self) -> Result<(), MachineError> {
        let events = self.control.events().map_err(MachineError::Connection)?;
        self.events.extend(events);
        Ok(())
    }

    /// Reads what the console says next: its size, 0 at the end, `None` if the time is over first.
    fn read_console(&mut self, deadline: Instant) -> io::Result<Option<usize>> {
        let Some(output) = &mut self.output else { return Ok(Some(0)) };
        if !readable(&*output, deadline)? {
            return Ok(None);
        }
        let mut buffer = [0; 4096];
        let size = output.read(&mut buffer)?;
        self.console.extend(buffer.iter().take(size));
        if size == 0 {
            self.output = None;
        }
        Ok(Some(size))
    }

    fn reap(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        if self.finished.is_none() {
            self.finished = wait_child(&mut self.child, limit)?;
        }
        Ok(self.finished)
    }

    fn complaint(&mut self) -> String {
        complaint(&mut self.child)
    }

    fn last_lines(&self) -> String {
        let text = self.console();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.finished.is_none() {
            // Nobody is left to be told of an error here.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What the events say of the end. A panic is the end's cause even if the kernel restarts after it.
fn end(events: &[Event]) -> End {
    if events.contains(&Event::Panicked) {
        return End::Panic;
    }
    let reason = events.iter().rev().find_map(|event| match event {
        Event::Shutdown(reason) => Some(reason.as_str()),
        Event::Panicked => None,
    });
    match reason {
        Some("guest-shutdown") => End::PowerOff,
        Some("guest-reset" | "subsystem-reset") => End::Reset,
        Some("guest-panic") => End::Panic,
        _ => End::Ended,
    }
}

/// Waits for QEMU to connect, or to end.
fn accept(
    listener: &UnixListener,
    child: &mut Child,
) -> Result<std::os::unix::net::UnixStream, MachineError> {
    let process = pidfd(child).map_err(MachineError::Connection)?;
    let deadline = Instant::now() + PATIENCE;
    let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(&process, PollFlags::IN)];
    let ready = poll_until(&mut fds, deadline).map_err(MachineError::Connection)?;
    let [listening, _] = &fds;
    if listening.revents().contains(PollFlags::IN) {
        return listener.accept().map(|(stream, _)| stream).map_err(MachineError::Connection);
    }
    if !ready {
        let what = "control connection".to_owned();
        return Err(MachineError::Timeout { what, limit: PATIENCE, console: String::new() });
    }
    let status = child.wait().map_err(MachineError::Connection)?;
    Err(MachineError::Qemu { status, output: complaint(child) })
}

/// What QEMU wrote to its standard error. The process has ended, so this does not wait.
fn complaint(child: &mut Child) -> String {
    let mut output = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_end(&mut output);
    }
    String::from_utf8_lossy(&output).trim_end().to_owned()
}

/// Waits for a child's end; `None` if the time is over first.
pub(crate) fn wait_child(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let process = pidfd(child)?;
    if readable(process, Instant::now() + limit)? { child.wait().map(Some) } else { Ok(None) }
}

fn pidfd(child: &Child) -> io::Result<rustix::fd::OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn readable(fd: impl AsFd, deadline: Instant) -> io::Result<bool> {
    poll_until(&mut [PollFd::new(&fd, PollFlags::IN)], deadline)
}

fn poll_until(fds: &mut [PollFd<'_>], deadline: Instant) -> io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(fds, Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    if what.is_empty() {
        return Some(0);
    }
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_panic_is_the_cause_of_the_end() {
        let off = Event::Shutdown("guest-shutdown".into());
        let reset = Event::Shutdown("guest-reset".into());
        assert_eq!(end(std::slice::from_ref(&off)), End::PowerOff);
        assert_eq!(end(std::slice::from_ref(&reset)), End::Reset);
        assert_eq!(end(&[Event::Panicked, reset]), End::Panic);
        assert_eq!(end(&[Event::Shutdown("host-qmp-quit".into())]), End::Ended);
        assert_eq!(end(&[]), End::Ended);
    }

    #[test]
    fn a_child_that_stays_does_not_hold_us() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        assert!(wait_child(&mut child, Duration::ZERO).unwrap().is_none());
        child.kill().unwrap();
        let status = wait_child(&mut child, PATIENCE).unwrap().unwrap();
        assert_eq!(status.signal(), Some(9));
    }

    #[test]
    fn finds_text() {
        assert_eq!(find(b"a login: ", b"login:"), Some(2));
        assert_eq!(find(b"logi", b"login:"), None);
    }
}
