//! Archives byte by byte, with what no honest tool would write.

use tar::{EntryType, Header};

/// A member of a tar: name, type, target, content.
pub(crate) type Member<'a> = (&'a str, EntryType, &'a str, &'a [u8]);

/// A tar with these members; their names are taken as they are.
pub(crate) fn tarball(members: &[Member<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, kind, link, data) in members {
        let mut header = Header::new_gnu();
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        out.extend(header.as_bytes());
        out.extend(*data);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// An ar archive with these members.
pub(crate) fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, data) in members {
        let size = data.len();
        out.extend(format!("{name:<16}0           0     0     100644  {size:<10}`\n").bytes());
        out.extend(*data);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

/// A .deb with this control file and the member `data_name` with these bytes.
pub(crate) fn deb(control: &str, data_name: &str, data: &[u8]) -> Vec<u8> {
    let control = tarball(&[("./control", EntryType::Regular, "", control.as_bytes())]);
    ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), (data_name, data)])
}
