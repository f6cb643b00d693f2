//! What a build tells about itself while it runs.
//!
//! Events are plain data, so that the process inside the namespace can send them to the one that talks to
//! the user.

use std::io::Write;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A new phase began; the one before it is over.
    Phase {
        /// For people, for example `unpack packages`.
        name: String,
    },
    /// How far the phase is.
    Amount {
        /// So many are done.
        done: u64,
        /// Of so many.
        total: u64,
        /// What is counted.
        unit: Unit,
    },
    /// What is being worked on.
    Item {
        /// For example a package name.
        name: String,
    },
    /// Something that the user should read.
    Note {
        /// One line.
        text: String,
    },
}

/// What an [`Event::Amount`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Packages, files, controls.
    Items,
}

/// Receives events. Called from several threads.
pub trait Progress: Sync {
    /// Takes one event; must not block for long.
    fn event(&self, event: &Event);

    /// A new phase began.
    fn phase(&self, name: &str) {
        self.event(&Event::Phase { name: name.to_owned() });
    }

    /// Something that the user should read.
    fn note(&self, text: impl Into<String>)
    where
        Self: Sized,
    {
        self.event(&Event::Note { text: text.into() });
    }
}

/// Writes events as JSON lines: the sending end inside the namespace.
#[derive(Debug)]
pub struct JsonLines<W>(Mutex<W>);

impl<W: Write> JsonLines<W> {
    /// Sends to `writer`.
    pub fn new(writer: W) -> Self {
        Self(Mutex::new(writer))
    }
}

impl<W: Write + Send> Progress for JsonLines<W> {
    fn event(&self, event: &Event) {
        // A reader that went away has ended the build already; there is nobody left to tell.
        if let (Ok(mut writer), Ok(mut line)) = (self.0.lock(), serde_json::to_vec(event)) {
            line.push(b'\n');
            let _ = writer.write_all(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_pipe() {
        let lines = JsonLines::new(Vec::new());
        lines.phase("unpack");
        lines.event(&Event::Amount { done: 1, total: 2, unit: Unit::Bytes });
        let text = String::from_utf8(lines.0.into_inner().unwrap()).unwrap();
        let events: Vec<Event> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events[0], Event::Phase { name: "unpack".into() });
        assert_eq!(events[1], Event::Amount { done: 1, total: 2, unit: Unit::Bytes });
    }
}
