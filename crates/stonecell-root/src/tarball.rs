//! A tar stream as dpkg reads it, made safe before anything touches a disk.
//!
//! dpkg accepts ustar and the two GNU long-name records and nothing else (lib/dpkg/tarfn.c); so do
//! we. Every name is checked here: relative, no `..`, no control characters. Header fields are
//! decoded by the `tar` crate; the walk is ours, so that every length has a limit.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file of so many bytes.
    File {
        /// Bytes of content.
        size: u64,
    },
    /// A symbolic link; the target is any text.
    Symlink {
        /// Where it points, as written.
        target: String,
    },
    /// Another name of an earlier entry of the same package.
    Hardlink {
        /// Checked path of that entry, without a leading slash.
        target: String,
    },
}

/// One entry of a data or control tar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Relative path without `./` and without a trailing slash; empty for the root itself.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Numeric owner, used when the root has no user called `user`.
    pub uid: u32,
    /// Numeric group, used when the root has no group called `group`.
    pub gid: u32,
    /// Owner by name; dpkg prefers it.
    pub user: String,
    /// Group by name; dpkg prefers it.
    pub group: String,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// Bounds against archives that are made to exhaust the machine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most entries.
    pub entries: usize,
    /// Most bytes of all contents together.
    pub bytes: u64,
}

/// Why a tar is refused.
#[derive(Debug, Error)]
pub enum TarError {
    /// The stream (or its compression) ended or failed.
    #[error(
        "cannot read the tar stream after {entries} entries; the archive is truncated or damaged"
    )]
    Read {
        /// Entries read so far.
        entries: usize,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The header checksum is wrong.
    #[error("the tar header after {entries} entries is damaged: {what}")]
    Header {
        /// Entries read so far.
        entries: usize,
        /// Which field.
        what: &'static str,
    },
    /// A type that dpkg or an image does not allow.
    #[error("`{path}` has the tar type {kind:?}, which a package for an image may not contain")]
    Type {
        /// The entry.
        path: String,
        /// The type byte.
        kind: char,
    },
    /// A name that leaves the root or cannot be recorded.
    #[error("`{path}` is refused: {why}")]
    Path {
        /// The entry as written.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// More entries than the limit.
    #[error("more than {0} entries: this looks like an archive made to exhaust the machine")]
    TooMany(usize),
    /// More bytes than the limit.
    #[error("more than {0} bytes unpacked: this looks like an archive made to exhaust the machine")]
    TooLarge(u64),
    /// The visitor failed.
    #[error("cannot store `{path}`")]
    Visit {
        /// The entry.
        path: String,
        /// Its reason.
        source: io::Error,
    },
}

const BLOCK: usize = 512;
/// Longest file name or link target, PATH_MAX.
const LONGEST_NAME: u64 = 4096;

/// Reads every entry and hands it, with its content, to `visit` in order.
///
/// `visit` need not read the content; what it leaves is skipped.
///
/// # Errors
/// [`TarError`] for damaged input, for anything outside `limits`, and for what `visit` returns.
pub fn read<R: Read>(
    mut input: R,
    limits: Limits,
    mut visit: impl FnMut(&Entry, &mut dyn Read) -> io::Result<()>,
) -> Result<(), TarError> {
    let (mut entries, mut bytes) = (0_usize, 0_u64);
    let (mut long_name, mut long_link) = (None, None);
    loop {
        let mut block = [0_u8; BLOCK];
        let read_error = |source| TarError::Read { entries, source };
        input.read_exact(&mut block).map_err(read_error)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let damaged = |what| TarError::Header { entries, what };
        let header = tar::Header::from_byte_slice(&block);
        if header.cksum().ok() != Some(checksum(&block)) {
            return Err(damaged("wrong checksum"));
        }
        let size = header.entry_size().map_err(|_| damaged("size"))?;
        let kind = header.entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            if size > LONGEST_NAME {
                return Err(damaged("long name"));
            }
            let mut text = vec![0; usize::try_from(size).map_err(|_| damaged("long name"))?];
            input.read_exact(&mut text).map_err(read_error)?;
            skip(&mut input, padding(size)).map_err(read_error)?;
            while text.last() == Some(&0) {
                text.pop();
            }
            if kind.is_gnu_longname() {
                long_name = Some(text)
            } else {
                long_link = Some(text)
            }
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| header.path_bytes().into_owned());
        let link = long_link
            .take()
            .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let path = checked_path(&name)?;
        entries += 1;
        if entries > limits.entries {
            return Err(TarError::TooMany(limits.entries));
        }
        let kind = match kind.as_byte() {
            b'5' => Kind::Directory,
            // Old tars mark a directory by a trailing slash; dpkg-deb does not write them.
            0 | b'0' | b'7' => Kind::File { size },
            b'2' => Kind::Symlink { target: checked_link(&path, &link)? },
            b'1' => Kind::Hardlink { target: checked_path(&link)? },
            other => return Err(TarError::Type { path, kind: char::from(other) }),
        };
        let content = if let Kind::File { size } = kind { size } else { 0 };
        bytes = bytes.saturating_add(content);
        if bytes > limits.bytes {
            return Err(TarError::TooLarge(limits.bytes));
        }
        let damaged = |what| TarError::Header { entries, what };
        let number = |value: io::Result<u64>, what| {
            value.ok().and_then(|n| u32::try_from(n).ok()).ok_or_else(|| damaged(what))
        };
        let name_of = |bytes: Option<&[u8]>| {
            bytes.and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default().to_owned()
        };
        let entry = Entry {
            path,
            kind,
            mode: header.mode().map_err(|_| damaged("mode"))? & 0o7777,
            uid: number(header.uid(), "owner")?,
            gid: number(header.gid(), "group")?,
            user: name_of(header.username_bytes()),
            group: name_of(header.groupname_bytes()),
            mtime: header
                .mtime()
                .ok()
                .and_then(|t| i64::try_from(t).ok())
                .ok_or_else(|| damaged("time"))?,
        };
        let mut body = (&mut input).take(content);
        visit(&entry, &mut body)
            .map_err(|source| TarError::Visit { path: entry.path.clone(), source })?;
        let left = body.limit();
        let rest = size - content + left + padding(size);
        skip(&mut input, rest).map_err(|source| TarError::Read { entries, source })?;
    }
}

/// Checks a name and brings it into the form of [`Entry::path`].
///
/// # Errors
/// [`TarError::Path`] for an absolute name, `..`, an empty component, a control character, text
/// that is not UTF-8, or more than PATH_MAX bytes.
pub fn checked_path(name: &[u8]) -> Result<String, TarError> {
    let refuse = |why| TarError::Path {
        path: String::from_utf8_lossy(name).escape_debug().to_string(),
        why,
    };
    let text = std::str::from_utf8(name).map_err(|_| refuse("the name is not UTF-8"))?;
    if text.len() as u64 >= LONGEST_NAME {
        return Err(refuse("the name is longer than 4095 bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err(refuse("the name contains a control character"));
    }
    if text.starts_with('/') {
        return Err(refuse("the name is absolute; it must start with `./`"));
    }
    let mut path = String::with_capacity(text.len());
    for component in text.trim_end_matches('/').split('/') {
        match component {
            "." if path.is_empty() => {}
            "" if text.is_empty() => return Err(refuse("the name is empty")),
            "" | "." => return Err(refuse("the name contains an empty component")),
            ".." => return Err(refuse("the name contains `..`")),
            other => {
                if !path.is_empty() {
                    path.push('/');
                }
                path.push_str(other);
            }
        }
    }
    Ok(path)
}

fn checked_link(path: &str, target: &[u8]) -> Result<String, TarError> {
    let refuse = |why| TarError::Path { path: path.to_owned(), why };
    let text = std::str::from_utf8(target).map_err(|_| refuse("its target is not UTF-8"))?;
    if text.is_empty() || text.len() as u64 >= LONGEST_NAME || text.contains('\0') {
        return Err(refuse("its target is empty, too long or contains a zero byte"));
    }
    Ok(text.to_owned())
}

/// Sum of all header bytes with the checksum field read as spaces (POSIX.1-1988, ustar).
fn checksum(block: &[u8; BLOCK]) -> u32 {
    block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum()
}

fn padding(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn skip(input: &mut impl Read, bytes: u64) -> io::Result<()> {
    let skipped = io::copy(&mut input.take(bytes), &mut io::sink())?;
    if skipped < bytes { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

#[cfg(test)]
#[expect(dead_code, reason = "the tests of whole packages use more of it")]
#[path = "../tests/crafted/mod.rs"]
mod crafted;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::crafted::tarball;
    use super::*;

    const LIMITS: Limits = Limits { entries: 10, bytes: 1000 };

    fn paths(bytes: &[u8]) -> Result<Vec<String>, TarError> {
        let mut found = Vec::new();
        read(bytes, LIMITS, |entry, _| {
            found.push(entry.path.clone());
            Ok(())
        })?;
        Ok(found)
    }

    use tar::EntryType as T;

    #[test]
    fn plain_entries_lose_their_dot_slash() {
        let bytes = tarball(&[
            ("./", T::Directory, "", b""),
            ("./usr/", T::Directory, "", b""),
            ("./usr/a", T::Regular, "", b"hello"),
            ("./usr/b", T::Link, "./usr/a", b""),
            ("./usr/c", T::Symlink, "../x", b""),
        ]);
        assert_eq!(paths(&bytes).unwrap(), ["", "usr", "usr/a", "usr/b", "usr/c"]);
    }

    #[test]
    fn names_that_leave_the_root_are_refused() {
        for name in ["/etc/passwd", "../x", "./a/../../x", "a//b", "a/./b", "a\nb"] {
            let bytes = tarball(&[(name, T::Regular, "", b"")]);
            assert!(matches!(paths(&bytes), Err(TarError::Path { .. })), "{name:?}");
        }
        let bytes = tarball(&[("a", T::Link, "../../etc/shadow", b"")]);
        assert!(matches!(paths(&bytes), Err(TarError::Path { .. })));
    }

    #[test]
    fn devices_and_pax_records_are_refused_as_dpkg_does() {
        for kind in [T::Char, T::Block, T::Fifo, T::XHeader, T::XGlobalHeader] {
            let bytes = tarball(&[("x", kind, "", b"")]);
            assert!(matches!(paths(&bytes), Err(TarError::Type { .. })), "{kind:?}");
        }
    }

    #[test]
    fn both_limits_hold() {
        let many: Vec<_> = (0..11).map(|_| ("x", T::Regular, "", &b""[..])).collect();
        assert!(matches!(paths(&tarball(&many)), Err(TarError::TooMany(10))));
        let large = [("x", T::Regular, "", &[0; 600][..]), ("y", T::Regular, "", &[0; 600][..])];
        assert!(matches!(paths(&tarball(&large)), Err(TarError::TooLarge(1000))));
    }

    #[test]
    fn a_truncated_or_damaged_stream_is_an_error() {
        let bytes = tarball(&[("x", T::Regular, "", &[7; 600])]);
        assert!(matches!(paths(&bytes[..700]), Err(TarError::Read { .. })));
        let mut damaged = bytes;
        damaged[3] ^= 1;
        assert!(matches!(paths(&damaged), Err(TarError::Header { what: "wrong checksum", .. })));
    }

    proptest! {
        #[test]
        fn no_accepted_path_can_climb(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(path) = checked_path(&name) {
                prop_assert!(!path.starts_with('/'));
                prop_assert!(path.is_empty() || path.split('/').all(|c| !["", ".", ".."].contains(&c)));
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = paths(&bytes);
        }
    }
}
