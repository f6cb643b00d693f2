//! What a build tells about itself while it runs.
//!
//! Events are plain data; how they are shown is the caller's affair.

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    fn note(&self, text: &str) {
        self.event(&Event::Note { text: text.to_owned() });
    }
}
