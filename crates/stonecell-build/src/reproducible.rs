//! Comparing the outputs of two builds: which files differ, where, and what in them does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use stonecell_stemcell::diff::{Differing, explain, place};
use stonecell_stemcell::open::read_up_to;

use crate::BuildError;
use crate::formats;
use crate::inner::io_at;

/// Most differences inside of one output that are told; the rest is counted.
const TOLD: usize = 60;
/// Bytes of the largest output that is compared as a text: provenance, signatures, keys.
const SMALL: u64 = 64 << 20;

/// Names what differs between two directories of outputs; empty when they hold the same bytes. A line for each output,
/// indented ones below it for the files and parts in it.
///
/// # Errors
/// [`BuildError::Io`] when a file cannot be read, [`BuildError::Explain`] when an output cannot be opened,
/// [`BuildError::Interrupted`] when `cancel` is set meanwhile.
pub fn compare(
    first: &Path,
    second: &Path,
    cancel: &AtomicBool,
) -> Result<Vec<String>, BuildError> {
    let names = |dir: &Path| -> Result<BTreeSet<String>, BuildError> {
        fs::read_dir(dir)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()))
                    .collect()
            })
            .map_err(io_at("read", dir))
    };
    let (a, b) = (names(first)?, names(second)?);
    let mut found: Vec<String> =
        a.symmetric_difference(&b).map(|name| format!("{name}: only one build made it")).collect();
    // Outputs hold the same disk in several forms: what was told once is not told again.
    let mut told: BTreeMap<Vec<String>, &String> = BTreeMap::new();
    for name in a.intersection(&b) {
        let (x, y) = (first.join(name), second.join(name));
        let Some(what) = difference(&x, &y, cancel)? else { continue };
        if !can_be_opened(name) {
            found.push(format!("{name}: {}", small(&x, &y)?.unwrap_or(what)));
            continue;
        }
        found.push(format!("{name}: {what}"));
        let inside = explain(&x, &y).map_err(BuildError::Explain)?;
        if let Some(before) = told.get(&inside) {
            found.push(format!("  the same in it as in {before}"));
            continue;
        }
        found.extend(inside.iter().take(TOLD).map(|line| format!("  {line}")));
        if let Some(more) = inside.len().checked_sub(TOLD).filter(|more| *more > 0) {
            found.push(format!("  and {more} more"));
        }
        if inside.is_empty() {
            found.push("  nothing in it: only how it is packed".to_owned());
        }
        told.insert(inside, name);
    }
    Ok(found)
}

/// Is this an output that can be looked into: a disk or a stemcell?
fn can_be_opened(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| ending == "tgz" || formats::is_ending(ending))
}

/// Where two small files differ, by line if they are texts; `None` for large ones.
fn small(first: &Path, second: &Path) -> Result<Option<String>, BuildError> {
    let size = |path: &Path| fs::metadata(path).map(|file| file.len()).map_err(io_at("read", path));
    if size(first)? > SMALL || size(second)? > SMALL {
        return Ok(None);
    }
    let read = |path: &Path| fs::read(path).map_err(io_at("read", path));
    Ok(Some(place(&read(first)?, &read(second)?)))
}

/// The first byte that differs, and how many differ.
fn difference(
    first: &Path,
    second: &Path,
    cancel: &AtomicBool,
) -> Result<Option<String>, BuildError> {
    let open = |path: &Path| {
        File::open(path)
            .map(|file| BufReader::with_capacity(1 << 20, file))
            .map_err(io_at("read", path))
    };
    let (mut a, mut b) = (open(first)?, open(second)?);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let (mut offset, mut differing) = (0, Differing::default());
    loop {
        if cancel.load(Ordering::SeqCst) {
            return Err(BuildError::Interrupted);
        }
        let x = read_up_to(&mut a, &mut left).map_err(io_at("read", first))?;
        let y = read_up_to(&mut b, &mut right).map_err(io_at("read", second))?;
        let (x, y) = (left.get(..x).unwrap_or_default(), right.get(..y).unwrap_or_default());
        differing.add(offset, x, y);
        if x.is_empty() && y.is_empty() {
            break;
        }
        offset += x.len().max(y.len()) as u64;
    }
    let Differing { first, count } = differing;
    Ok(first.map(|first| format!("{count} bytes differ, the first at {first}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_file_and_the_place() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(&a).unwrap();
        fs::create_dir_all(&b).unwrap();
        fs::write(a.join("same"), "x").unwrap();
        fs::write(b.join("same"), "x").unwrap();
        fs::write(a.join("disk"), b"01234\x0056789").unwrap();
        fs::write(b.join("disk"), b"01234\x00x67890").unwrap();
        fs::write(a.join("text"), "one\ntwo\n").unwrap();
        fs::write(b.join("text"), "one\n2\n").unwrap();
        fs::write(a.join("alone"), "").unwrap();
        let cancel = AtomicBool::new(false);
        assert_eq!(
            compare(&a, &b, &cancel).unwrap(),
            [
                "alone: only one build made it",
                "disk: content from byte 6 on (11 and 12 bytes)",
                "text: line 2: `two` against `2`",
            ]
        );
        let counted = difference(&a.join("disk"), &b.join("disk"), &cancel).unwrap();
        assert_eq!(counted.unwrap(), "2 bytes differ, the first at 6");
        fs::remove_file(a.join("alone")).unwrap();
        fs::copy(a.join("disk"), b.join("disk")).unwrap();
        fs::copy(a.join("text"), b.join("text")).unwrap();
        assert!(compare(&a, &b, &cancel).unwrap().is_empty());
        cancel.store(true, Ordering::SeqCst);
        assert!(matches!(compare(&a, &b, &cancel), Err(BuildError::Interrupted)));
    }
}
