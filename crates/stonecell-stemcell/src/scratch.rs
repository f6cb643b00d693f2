//! Directories of the moment. Each is removed when its value is dropped; a signal that ends the program first
//! calls [`abandon`], which knows all of them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

/// Those that exist now. A set of paths stays sound whatever its holder was doing.
static LIVE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Most attempts to remove a directory into which another thread may still be writing.
const ATTEMPTS: u32 = 1000;

/// A private directory that goes with this value.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    dir: Option<tempfile::TempDir>,
}

impl Scratch {
    /// In the system's directory for such things.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new() -> io::Result<Self> {
        Self::beside(&std::env::temp_dir(), "stonecell-")
    }

    /// In `parent`, on whose file system its content will stay.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn beside(parent: &Path, prefix: &str) -> io::Result<Self> {
        // Held while the directory is made: a signal finds it or comes before it.
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
        let path = std::path::absolute(dir.path())?;
        live.insert(path.clone());
        Ok(Self { path, dir: Some(dir) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Removed while the lock is held, so that a signal finds it whole or not at all.
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.dir.take());
        live.remove(&self.path);
    }
}

/// Ends the programs that this one has started and removes every directory of the moment, while other threads may
/// still be at work. The caller ends the program right after.
///
/// # Errors
/// The first directory that cannot be removed.
pub fn abandon() -> io::Result<()> {
    // No new directory from here on: the lock is kept until the program ends.
    let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    stop_children();
    let result = live.iter().try_for_each(|path| remove(path));
    std::mem::forget(live);
    result
}

/// Removes a tree that may grow meanwhile.
fn remove(path: &Path) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..ATTEMPTS {
        last = fs::remove_dir_all(path);
        match &last {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => std::thread::yield_now(),
        }
    }
    last
}

/// Kills this process's children and sees each end, so that none outlives this program. The kernel lists each until
/// it is waited for, so none is a stranger.
fn stop_children() {
    let mut children = Vec::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children
            .extend(list.split_whitespace().filter_map(|word| Pid::from_raw(word.parse().ok()?)));
    }
    for pid in &children {
        // One that has just ended needs no signal.
        let _ = rustix::process::kill_process(*pid, Signal::KILL);
    }
    for pid in children {
        // Left for the thread that started it, which may have taken it already.
        let _ = rustix::io::retry_on_intr(|| {
            waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        });
    }
}
