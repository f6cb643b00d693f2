//! Writes a planned wave into the tree: directories in order, then everything else in parallel.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

use rayon::prelude::*;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use thiserror::Error;

use crate::layout::{PackagePlan, Place, Plan};
use crate::package::{Content, Package, Piece};
use crate::tarball::Kind;
use crate::tree::{Tree, times};

/// Why a wave could not be written.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// A name in the tree.
    #[error("cannot write `/{path}` into the tree (from `{package}`)")]
    Write {
        /// The path.
        path: String,
        /// The package.
        package: String,
        /// The reason, for example a full disk.
        source: io::Error,
    },
    /// The stored form changed after it was checked.
    #[error(
        "cannot read the stored form of `{package}`; delete the cache's directory `fast` and build again"
    )]
    Content {
        /// The package.
        package: String,
        /// The reason.
        source: io::Error,
    },
}

/// Writes all that `plan` says.
///
/// # Errors
/// The first [`UnpackError`].
pub(crate) fn write(tree: &Tree, all: &[Package], plan: &Plan) -> Result<(), UnpackError> {
    for dir in &plan.dirs {
        make_dir(tree, dir).map_err(|source| UnpackError::Write {
            path: dir.path.clone(),
            package: "directories".into(),
            source,
        })?;
    }
    let jobs: Vec<(&Package, &PackagePlan, &Piece)> = plan
        .packages
        .iter()
        .filter_map(|here| Some((all.get(here.package)?, here)))
        .flat_map(|(package, here)| {
            package.description.pieces.iter().map(move |piece| (package, here, piece))
        })
        .collect();
    jobs.par_iter()
        .with_max_len(1)
        .try_for_each(|(package, here, piece)| write_piece(tree, package, here, piece))?;
    for here in &plan.packages {
        let Some(package) = all.get(here.package) else { continue };
        let failed = |path: &str| {
            let (path, package) = (path.to_owned(), package.name.clone());
            move |source| UnpackError::Write { path, package, source }
        };
        if let Content::Memory(contents) = &package.content {
            for (index, places) in &here.files {
                let content = contents.get(*index).map(Vec::as_slice).unwrap_or_default();
                write_file(tree, places, &mut &*content, content.len() as u64)
                    .map_err(|(path, source)| failed(&path)(source))?;
            }
        }
        for (place, target) in &here.symlinks {
            make_symlink(tree, place, target).map_err(failed(&place.path))?;
        }
        for (path, existing) in &here.hardlinks {
            tree.remove_file(path)
                .and_then(|()| tree.hardlink(existing, path))
                .map_err(failed(path))?;
        }
    }
    Ok(())
}

fn make_dir(tree: &Tree, dir: &Place) -> io::Result<()> {
    tree.make_dir(&dir.path, dir.mode)?;
    let fd = tree.openat(&dir.path, OFlags::RDONLY | OFlags::DIRECTORY, 0)?;
    set_owner(&fd, dir)?;
    rustix::fs::futimens(&fd, &times(dir.mtime))?;
    Ok(())
}

fn make_symlink(tree: &Tree, place: &Place, target: &str) -> io::Result<()> {
    match tree.symlink(target, &place.path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            tree.remove_file(&place.path)?;
            tree.symlink(target, &place.path)?;
        }
        other => other?,
    }
    let (dir, name) = place.path.rsplit_once('/').unwrap_or(("", &place.path));
    let dir = tree.openat(dir, OFlags::PATH | OFlags::DIRECTORY, 0)?;
    if (place.uid, place.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(place.uid), Gid::from_raw(place.gid));
        rustix::fs::chownat(&dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(rustix::fs::utimensat(&dir, name, &times(place.mtime), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Owner first: chown(2) clears setuid and setgid bits.
fn set_owner(fd: &impl std::os::fd::AsFd, place: &Place) -> io::Result<()> {
    if (place.uid, place.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(place.uid), Gid::from_raw(place.gid));
        rustix::fs::fchown(fd, Some(uid), Some(gid))?;
    }
    Ok(rustix::fs::fchmod(fd, Mode::from_raw_mode(place.mode))?)
}

fn write_piece(
    tree: &Tree,
    package: &Package,
    here: &PackagePlan,
    piece: &Piece,
) -> Result<(), UnpackError> {
    let Content::Stored { file, start } = &package.content else { return Ok(()) };
    let unreadable = |source| UnpackError::Content { package: package.name.clone(), source };
    let mut frame = vec![0; usize::try_from(piece.length).unwrap_or(usize::MAX)];
    std::fs::File::open(file)
        .and_then(|file| file.read_exact_at(&mut frame, start + piece.offset))
        .map_err(unreadable)?;
    let mut content =
        zstd::stream::read::Decoder::with_buffer(frame.as_slice()).map_err(unreadable)?;
    for index in piece.first..piece.end {
        let Some(Kind::File { size }) = package.description.entries.get(index).map(|e| &e.kind)
        else {
            continue;
        };
        let places = here.files.get(&index).map(Vec::as_slice).unwrap_or_default();
        write_file(tree, places, &mut content, *size).map_err(|(path, source)| {
            UnpackError::Write { path, package: package.name.clone(), source }
        })?;
    }
    Ok(())
}

/// Copies `size` bytes to every place; to none, they are skipped.
fn write_file(
    tree: &Tree,
    places: &[Place],
    content: &mut impl Read,
    size: u64,
) -> Result<(), (String, io::Error)> {
    let first = places.first().map(|place| place.path.clone()).unwrap_or_default();
    let mut files = Vec::with_capacity(places.len());
    for place in places {
        let file = create(tree, &place.path).map_err(|error| (place.path.clone(), error))?;
        files.push((place, std::fs::File::from(file)));
    }
    let mut buffer = vec![0; usize::try_from(size.clamp(1, 256 << 10)).unwrap_or(1)];
    let mut left = size;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..want).unwrap_or_default();
        content.read_exact(part).map_err(|error| (first.clone(), error))?;
        for (place, file) in &mut files {
            file.write_all(part).map_err(|error| (place.path.clone(), error))?;
        }
        left -= part.len() as u64;
    }
    for (place, file) in &files {
        set_owner(file, place)
            .and_then(|()| Ok(rustix::fs::futimens(file, &times(place.mtime))?))
            .map_err(|error| (place.path.clone(), error))?;
    }
    Ok(())
}

/// A new file; whatever had the name before (a script's file, or one taken over) goes.
fn create(tree: &Tree, path: &str) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    match tree.openat(path, flags, 0o600) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            tree.remove_file(path)?;
            tree.openat(path, flags, 0o600)
        }
        other => other,
    }
}
