//! What reading a stemcell tells about itself while it runs.

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A new phase began; the one before it is over.
    Phase(&'a str),
    /// So much of the file was read.
    Bytes {
        /// Bytes read.
        done: u64,
        /// Bytes of the file.
        total: u64,
    },
}

/// Where events go.
pub type Progress<'a> = &'a dyn Fn(Event<'_>);
