//! The files of an output directory: stemcells and disks, and what lies beside them for their proof.

use std::io;
use std::path::{Path, PathBuf};

/// Endings of what belongs to an output and is none itself.
const PROOF: [&str; 4] = [".sig", ".pub", ".crt", ".intoto.json"];
/// Endings of what can be opened.
const DISKS: [&str; 4] = [".raw", ".qcow2", ".vhd", ".vmdk"];

/// Stemcells and disks in a directory, sorted. Everything else that is not proof counts as one too, so that
/// nothing lies there unchecked.
///
/// # Errors
/// When it cannot be read.
pub fn of_directory(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_file() && !PROOF.iter().any(|ending| name.ends_with(ending)) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// The file that stands for a path: itself, or of a directory its disk, or else its only stemcell.
///
/// # Errors
/// When it cannot be read or there is no single such file.
pub fn one(path: &Path) -> io::Result<PathBuf> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(path.to_owned());
    }
    let all = of_directory(path)?;
    let disk = all.iter().find(|path| {
        let name = path.to_string_lossy();
        DISKS.iter().any(|ending| name.ends_with(ending))
    });
    match (disk, all.as_slice()) {
        (Some(disk), _) => Ok(disk.clone()),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(io::Error::other("the directory holds no stemcell and no disk image")),
        (None, _) => {
            Err(io::Error::other("the directory holds several stemcells and no disk: name one"))
        }
    }
}

/// Files beside `path` with this ending, sorted; none when the directory cannot be read.
#[must_use]
pub fn beside(path: &Path, ending: &str) -> Vec<PathBuf> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut found: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

/// `path` with `ending` appended to its name.
#[must_use]
pub fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
