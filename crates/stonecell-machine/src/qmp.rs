//! QEMU's control protocol, as little of it as ending a machine needs.
//!
//! JSON objects, one a line. Source: QEMU, `docs/interop/qmp-spec.rst`.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::Deserialize;

/// A line longer than this is not of the events we read.
const LONGEST: usize = 1 << 20;

/// What QEMU tells that we care about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The machine ends, for this reason (`guest-shutdown`, `guest-reset`, `guest-panic`, ...).
    Shutdown(String),
    /// The guest's kernel said that it panics.
    Panicked,
}

#[derive(Deserialize)]
struct Message {
    event: Option<String>,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize, Default)]
struct Data {
    reason: Option<String>,
}

/// The connection that QEMU opened to us.
#[derive(Debug)]
pub(crate) struct Control {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Control {
    /// Leaves the negotiation mode. QEMU answers all commands in order, so no answer is waited for.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        // No write of ours fills a socket's buffer; a QEMU that hangs must not hang us.
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        let mut control = Self { stream, unread: Vec::new() };
        control.execute("qmp_capabilities")?;
        Ok(control)
    }

    /// Sends a command without arguments.
    pub(crate) fn execute(&mut self, command: &str) -> io::Result<()> {
        self.stream.write_all(format!("{{\"execute\":\"{command}\"}}\n").as_bytes())
    }

    /// The events that have come since the last call; waits for none.
    pub(crate) fn events(&mut self) -> io::Result<Vec<Event>> {
        self.stream.set_nonblocking(true)?;
        let result = self.read_all();
        self.stream.set_nonblocking(false)?;
        result?;
        let mut events = Vec::new();
        while let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            events.extend(event(&line));
        }
        if self.unread.len() > LONGEST {
            self.unread.clear();
        }
        Ok(events)
    }

    fn read_all(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(size) => self.unread.extend(buffer.iter().take(size)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // QEMU is gone; what it said before is here.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

fn event(line: &[u8]) -> Option<Event> {
    let message: Message = serde_json::from_slice(line).ok()?;
    match message.event?.as_str() {
        "SHUTDOWN" => Some(Event::Shutdown(message.data.reason.unwrap_or_default())),
        "GUEST_PANICKED" => Some(Event::Panicked),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_events_of_qemu() {
        let (ours, mut qemus) = UnixStream::pair().unwrap();
        let mut control = Control::new(ours).unwrap();
        let mut hello = [0; 64];
        let size = qemus.read(&mut hello).unwrap();
        assert_eq!(&hello[..size], b"{\"execute\":\"qmp_capabilities\"}\n");
        qemus.write_all(b"{\"QMP\":{}}\r\n{\"return\":{}}\r\n{\"event\":\"GUEST_PAN").unwrap();
        assert_eq!(control.events().unwrap(), []);
        qemus.write_all(b"ICKED\",\"data\":{\"action\":\"run\"}}\r\nrubbish\n").unwrap();
        qemus
            .write_all(
                b"{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-reset\"}}\n",
            )
            .unwrap();
        drop(qemus);
        let events = control.events().unwrap();
        assert_eq!(events, [Event::Panicked, Event::Shutdown("guest-reset".into())]);
    }
}
