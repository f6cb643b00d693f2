//! Comparing the outputs of two builds: which files differ, and where in them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use stonecell_stemcell::open::read_up_to;

use crate::BuildError;
use crate::inner::io_at;

/// Names what differs between two directories of outputs; empty when they hold the same bytes.
///
/// # Errors
/// [`BuildError::Io`] when a file cannot be read.
pub fn compare(first: &Path, second: &Path) -> Result<Vec<String>, BuildError> {
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
    for name in a.intersection(&b) {
        if let Some(what) = difference(&first.join(name), &second.join(name))? {
            found.push(format!("{name}: {what}"));
        }
    }
    Ok(found)
}

/// The first byte that differs, and how many differ.
fn difference(first: &Path, second: &Path) -> Result<Option<String>, BuildError> {
    let open = |path: &Path| {
        File::open(path)
            .map(|file| BufReader::with_capacity(1 << 20, file))
            .map_err(io_at("read", path))
    };
    let (mut a, mut b) = (open(first)?, open(second)?);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let (mut offset, mut start, mut count) = (0_u64, None, 0_u64);
    loop {
        let x = read_up_to(&mut a, &mut left).map_err(io_at("read", first))?;
        let y = read_up_to(&mut b, &mut right).map_err(io_at("read", second))?;
        let (x, y) = (left.get(..x).unwrap_or_default(), right.get(..y).unwrap_or_default());
        if x != y {
            let same = x.iter().zip(y).take_while(|(x, y)| x == y).count();
            start.get_or_insert(offset + same as u64);
            count += x.iter().zip(y).filter(|(x, y)| x != y).count() as u64;
            count += x.len().abs_diff(y.len()) as u64;
        }
        if x.is_empty() && y.is_empty() {
            break;
        }
        offset += x.len().max(y.len()) as u64;
    }
    Ok(start.map(|start| format!("{count} bytes differ, the first at {start}")))
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
        fs::write(a.join("disk"), "0123456789").unwrap();
        fs::write(b.join("disk"), "01234x67890").unwrap();
        fs::write(a.join("alone"), "").unwrap();
        assert_eq!(
            compare(&a, &b).unwrap(),
            ["alone: only one build made it", "disk: 2 bytes differ, the first at 5",]
        );
        fs::remove_file(a.join("alone")).unwrap();
        fs::copy(a.join("disk"), b.join("disk")).unwrap();
        assert!(compare(&a, &b).unwrap().is_empty());
    }
}
