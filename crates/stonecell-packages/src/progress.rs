//! What long work reports while it runs.

/// One report.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A new phase begins, for example `reading the signed indexes`.
    Phase(&'a str),
    /// Downloads go on. Sent after every quarter of a megabyte and at the end of every file.
    Bytes {
        /// File that moved, for example `bash_5.2.15-2+b7_amd64.deb`.
        item: &'a str,
        /// Bytes of all files that are on the disk.
        done: u64,
        /// Bytes of all files together.
        total: u64,
        /// Files that are complete and verified.
        files_done: usize,
        /// Files together.
        files_total: usize,
    },
    /// A transfer failed and is tried again after a pause.
    Retry {
        /// File that is tried again.
        item: &'a str,
        /// Why.
        reason: &'a str,
    },
}

/// Receives reports. Called on the thread that called the operation, never concurrently.
pub trait Progress {
    /// Takes one report.
    fn report(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>)> Progress for F {
    fn report(&self, event: Event<'_>) {
        self(event);
    }
}

/// Ignores every report.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _event: Event<'_>) {}
}
