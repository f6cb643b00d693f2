//! The outer container of a .deb: a System V `ar` archive with short names.
//!
//! Only what deb(5) allows: the global magic, 60-byte headers, members padded to two bytes. Long
//! names and symbol tables are refused, because dpkg-deb never writes them.

use thiserror::Error;

/// Why bytes are not an `ar` archive.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArError {
    /// The first eight bytes differ.
    #[error("not an ar archive: it does not start with `!<arch>`")]
    Magic,
    /// A member header is cut short.
    #[error("member header at byte {0} is truncated")]
    HeaderTruncated(usize),
    /// A member header does not end with the two magic bytes.
    #[error("member header at byte {0} is damaged")]
    HeaderDamaged(usize),
    /// A member says that it is longer than the file.
    #[error("member `{name}` says {size} bytes, but only {left} follow: the file is truncated")]
    MemberTruncated {
        /// Its name.
        name: String,
        /// What its header says.
        size: usize,
        /// What there is.
        left: usize,
    },
}

/// One file inside the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Name without padding and without the trailing slash of GNU ar.
    pub name: &'a str,
    /// Content.
    pub data: &'a [u8],
}

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// Lists the members of an archive in order.
///
/// # Errors
/// [`ArError`] for anything that deb(5) does not allow.
pub fn members(bytes: &[u8]) -> Result<Vec<Member<'_>>, ArError> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(ArError::Magic)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let (header, body) = rest.split_at_checked(HEADER).ok_or(ArError::HeaderTruncated(at))?;
        let text = std::str::from_utf8(header).map_err(|_| ArError::HeaderDamaged(at))?;
        let damaged = || ArError::HeaderDamaged(at);
        if text.get(58..60) != Some("`\n") {
            return Err(damaged());
        }
        let name = text.get(..16).ok_or_else(damaged)?.trim_end_matches(' ');
        let name = name.strip_suffix('/').unwrap_or(name);
        let size: usize = text
            .get(48..58)
            .and_then(|field| field.trim_end_matches(' ').parse().ok())
            .ok_or_else(damaged)?;
        let (data, after) = body.split_at_checked(size).ok_or_else(|| {
            ArError::MemberTruncated { name: name.to_owned(), size, left: body.len() }
        })?;
        found.push(Member { name, data });
        // A member of odd length is followed by one newline, which may miss at the end of the file.
        rest = if size % 2 == 1 { after.get(1..).unwrap_or_default() } else { after };
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        for (name, data) in members {
            out.extend(
                format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, "100644", data.len())
                    .bytes(),
            );
            out.extend(*data);
            if data.len() % 2 == 1 {
                out.push(b'\n');
            }
        }
        out
    }

    #[test]
    fn members_come_in_order_with_odd_lengths_padded() {
        let bytes = archive(&[("debian-binary", b"2.0\n"), ("odd", b"abc"), ("last/", b"x")]);
        let names: Vec<_> =
            members(&bytes).unwrap().iter().map(|m| (m.name, m.data.len())).collect();
        assert_eq!(names, [("debian-binary", 4), ("odd", 3), ("last", 1)]);
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_list() {
        let bytes = archive(&[("debian-binary", b"2.0\n"), ("data", b"0123456789")]);
        assert_eq!(members(&bytes[..4]), Err(ArError::Magic));
        assert!(matches!(members(&bytes[..20]), Err(ArError::HeaderTruncated(8))));
        let cut = members(&bytes[..bytes.len() - 1]);
        assert!(matches!(cut, Err(ArError::MemberTruncated { left: 9, .. })), "{cut:?}");
    }

    #[test]
    fn a_damaged_length_is_named_by_its_place() {
        let mut bytes = archive(&[("debian-binary", b"2.0\n")]);
        bytes[8 + 48] = b'x';
        assert_eq!(members(&bytes), Err(ArError::HeaderDamaged(8)));
    }
}
