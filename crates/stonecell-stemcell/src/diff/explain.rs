//! Why two outputs that should hold the same bytes do not: which files in them differ and what of each, which
//! parts of the boot file, which members, and which partitions where no file tells.
//!
//! Unlike [`super::diff`] it minds times and the bytes between files, and looks into the content.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use stonecell_image::disk::Partition;
use stonecell_image::source::Source;
use stonecell_image::uki::read_uki;

use super::{DiffError, Differing, FileState, state};
use crate::disk::{Disk, DiskError};
use crate::files::{self, FilesError};
use crate::open::{Content, Opened};
use crate::printable::printable;
use crate::scratch::Scratch;

/// Most bytes of one file that are compared; what differs only later is called so.
const KEPT: u64 = 16 << 20;
/// Most files that are looked into.
const COMPARED: usize = 100;
/// Most characters of a line that are shown.
const SHOWN: usize = 72;
/// Bytes of a partition that are compared at a time.
const CHUNK: usize = 1 << 20;

/// What differs in two stemcells or disks, a line each, the most telling first. Empty when only their wrapping
/// does (compression, gaps between partitions).
///
/// # Errors
/// [`DiffError`] that says which of the two cannot be read.
pub fn explain(first: &Path, second: &Path) -> Result<Vec<String>, DiffError> {
    let (first, second) = (Side::open(first)?, Side::open(second)?);
    let mut told = Vec::new();
    if first.opened.content != Content::Light && second.opened.content != Content::Light {
        of_files(&first, &second, &mut told)?;
    }
    if let (Content::Disk(a), Content::Disk(b)) = (&first.opened.content, &second.opened.content) {
        let a = Disk::open(a).map_err(|source| first.disk_error(source))?;
        let b = Disk::open(b).map_err(|source| second.disk_error(source))?;
        let boot_a = a.boot_file().map_err(|source| first.disk_error(source))?;
        let boot_b = b.boot_file().map_err(|source| second.disk_error(source))?;
        of_boot_file(&boot_a, &boot_b, &mut told);
        of_partitions(&a, &b, &mut told).map_err(|source| first.disk_error(source))?;
    }
    of_members(&first.opened.texts, &second.opened.texts, &mut told);
    Ok(told)
}

/// Where two contents begin to differ: the line of a text, else the byte.
#[must_use]
pub fn place(first: &[u8], second: &[u8]) -> String {
    let at = first.iter().zip(second).take_while(|(x, y)| x == y).count();
    let text = |bytes| std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    if let (Some(a), Some(b)) = (text(first), text(second)) {
        let (mut a, mut b) = (a.lines(), b.lines());
        let mut number = 1;
        loop {
            match (a.next(), b.next()) {
                (x, y) if x == y && x.is_some() => number += 1,
                (None, None) => break,
                (x, y) => return format!("line {number}: {} against {}", line(x), line(y)),
            }
        }
    }
    format!("content from byte {at} on ({} and {} bytes)", first.len(), second.len())
}

fn line(line: Option<&str>) -> String {
    match line {
        None => "nothing".to_owned(),
        Some(line) if line.chars().count() > SHOWN => {
            format!("`{}...`", printable(&line.chars().take(SHOWN).collect::<String>()))
        }
        Some(line) => format!("`{}`", printable(line)),
    }
}

/// One of the two, opened.
struct Side {
    path: PathBuf,
    opened: Opened,
    _work: Scratch,
}

/// What is compared of a file, and its time.
type Files = BTreeMap<String, (FileState, i64)>;

impl Side {
    fn open(path: &Path) -> Result<Self, DiffError> {
        let work =
            Scratch::new().map_err(|source| DiffError::Io { path: path.to_owned(), source })?;
        let opened = crate::open::open(path, work.path())?;
        Ok(Self { path: path.to_owned(), opened, _work: work })
    }

    fn disk_error(&self, source: DiskError) -> DiffError {
        DiffError::Disk { path: self.path.clone(), source }
    }

    fn files_error(&self, source: FilesError) -> DiffError {
        DiffError::Files { path: self.path.clone(), source }
    }

    /// Every file with its digest.
    fn files(&self) -> Result<Files, DiffError> {
        let mut found = Files::new();
        let mut buffer = vec![0; 1 << 16];
        files::walk::<FilesError>(&self.opened.content, &mut |item, data| {
            let path = String::from_utf8_lossy(&item.path).into_owned();
            found.insert(path, (state(item, data, &mut buffer, |_| {})?, item.time));
            Ok(())
        })
        .map_err(|source| self.files_error(source))?;
        Ok(found)
    }

    /// The beginnings of these files.
    fn contents(&self, wanted: &BTreeSet<&str>) -> Result<BTreeMap<String, Vec<u8>>, DiffError> {
        let mut found = BTreeMap::new();
        files::walk::<FilesError>(&self.opened.content, &mut |item, data| {
            let path = String::from_utf8_lossy(&item.path).into_owned();
            if wanted.contains(path.as_str()) {
                let mut bytes = Vec::new();
                data.take(KEPT).read_to_end(&mut bytes).map_err(FilesError::Tar)?;
                found.insert(path, bytes);
            }
            Ok(())
        })
        .map_err(|source| self.files_error(source))?;
        Ok(found)
    }
}

fn of_files(first: &Side, second: &Side, told: &mut Vec<String>) -> Result<(), DiffError> {
    let (a, b) = (first.files()?, second.files()?);
    let changed: BTreeSet<&str> = a
        .iter()
        .filter(|(path, (state, _))| {
            b.get(*path).is_some_and(|(other, _)| {
                other.kind == "file" && state.kind == "file" && other.sha256 != state.sha256
            })
        })
        .map(|(path, _)| path.as_str())
        .take(COMPARED)
        .collect();
    let (old, new) = (first.contents(&changed)?, second.contents(&changed)?);
    for path in a.keys().chain(b.keys().filter(|path| !a.contains_key(*path))) {
        let what = match (a.get(path), b.get(path)) {
            (Some(_), None) => vec!["only in the first".to_owned()],
            (None, Some(_)) => vec!["only in the second".to_owned()],
            (Some(x), Some(y)) if x != y => {
                let mut what = attributes(x, y);
                if let (Some(x), Some(y)) = (old.get(path), new.get(path)) {
                    what.push(place(x, y));
                } else if x.0.sha256 != y.0.sha256 {
                    what.push("content".to_owned());
                }
                what
            }
            _ => continue,
        };
        told.push(format!("{}: {}", printable(path), what.join("; ")));
    }
    Ok(())
}

/// What differs of a file beside its content.
fn attributes((a, time_a): &(FileState, i64), (b, time_b): &(FileState, i64)) -> Vec<String> {
    let (time_a, time_b) = (&time_a.to_string(), &time_b.to_string());
    let (size_a, size_b) = (&a.size.to_string(), &b.size.to_string());
    let mut what = Vec::new();
    for (name, x, y) in [
        ("kind", &a.kind, &b.kind),
        ("mode", &a.mode, &b.mode),
        ("owner", &a.owner, &b.owner),
        ("size", size_a, size_b),
        ("time", time_a, time_b),
    ] {
        if x != y {
            what.push(format!("{name} {} against {}", printable(x), printable(y)));
        }
    }
    let names: BTreeSet<&String> = a.attributes.keys().chain(b.attributes.keys()).collect();
    for name in names {
        if a.attributes.get(name) != b.attributes.get(name) {
            what.push(format!("attribute {}", printable(name)));
        }
    }
    what
}

fn of_boot_file(a: &[u8], b: &[u8], told: &mut Vec<String>) {
    if a == b {
        return;
    }
    let (Ok(x), Ok(y)) = (read_uki(a), read_uki(b)) else {
        told.push(format!("boot file: {}", place(a, b)));
        return;
    };
    let names: BTreeSet<&str> =
        x.sections.iter().chain(&y.sections).map(|section| section.name.as_str()).collect();
    let before = told.len();
    for name in names {
        let (x, y) = (x.section(name).unwrap_or_default(), y.section(name).unwrap_or_default());
        if x != y {
            told.push(format!("boot file, section {}: {}", printable(name), place(x, y)));
        }
    }
    if told.len() == before {
        told.push("boot file: its headers or its signature only".to_owned());
    }
}

/// The table, and the bytes of partitions that both have alike in it.
fn of_partitions(a: &Disk, b: &Disk, told: &mut Vec<String>) -> Result<(), DiskError> {
    let (x, y) = (a.view(), b.view());
    if x != y {
        told.push("partition table: its entries differ".to_owned());
    }
    for partition in &x.partitions {
        let Some(other) = y.by_label(&partition.label) else { continue };
        let Differing { first, count } = bytes(a, partition, b, other)?;
        if let Some(first) = first {
            let label = printable(&partition.label);
            told.push(format!("partition {label}: {count} bytes, the first at {first} in it"));
        }
    }
    Ok(())
}

/// What differs of the bytes of two partitions.
fn bytes(a: &Disk, x: &Partition, b: &Disk, y: &Partition) -> Result<Differing, DiskError> {
    let (a, b) = (a.part(x)?, b.part(y)?);
    let (size, mut offset) = (x.bytes.min(y.bytes), 0);
    let mut differing = Differing::default();
    let (mut left, mut right) = (vec![0; CHUNK], vec![0; CHUNK]);
    let failed = |source| DiskError::Io { path: PathBuf::from(&x.label), source };
    while offset < size {
        let length = usize::try_from(size - offset).unwrap_or(CHUNK).min(CHUNK);
        left.truncate(length);
        right.truncate(length);
        a.read_at(&mut left, offset).map_err(failed)?;
        b.read_at(&mut right, offset).map_err(failed)?;
        differing.add(offset, &left, &right);
        offset += length as u64;
    }
    differing.add_missing(size, x.bytes.abs_diff(y.bytes));
    Ok(differing)
}

fn of_members(
    a: &BTreeMap<String, Vec<u8>>,
    b: &BTreeMap<String, Vec<u8>>,
    told: &mut Vec<String>,
) {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for name in names {
        match (a.get(name), b.get(name)) {
            (Some(x), Some(y)) if x != y => {
                told.push(format!("member {}: {}", printable(name), place(x, y)));
            }
            (Some(_), Some(_)) => {}
            _ => told.push(format!("member {}: only in one of them", printable(name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_a_line_or_a_byte() {
        assert_eq!(place(b"a\nb\nc\n", b"a\nx\nc\n"), "line 2: `b` against `x`");
        assert_eq!(place(b"a\n", b"a\nb\n"), "line 2: nothing against `b`");
        assert_eq!(place(b"a\n", b"a"), "content from byte 1 on (2 and 1 bytes)");
        assert_eq!(place(b"a\0b", b"a\0c"), "content from byte 2 on (3 and 3 bytes)");
        assert_eq!(place(b"\xffa", b"\xffb"), "content from byte 1 on (2 and 2 bytes)");
        let long = "x".repeat(100);
        assert!(place(long.as_bytes(), b"y").contains(&format!("`{}...`", "x".repeat(SHOWN))));
    }
}
