//! Packages that are made to do harm, built by the program: refused with their name, and nothing outside is touched.

use std::fs;
use std::process::Command;

use tar::{EntryType, Header};

use crate::archive::Archive;
use crate::program::{Place, names};

const SIGNING: &str = "[signing]\ndevelopment = true\n";

/// A tar with members that no honest tool would write: name, type, target, content.
fn tarball(members: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
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

fn deb(name: &str, data: &[u8], ending: &str) -> Vec<u8> {
    let text = Archive::control(name);
    let control = tarball(&[("./control", EntryType::Regular, "", text.as_bytes())]);
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar", &control),
        (&format!("data.tar{ending}"), data),
    ] {
        let size = bytes.len();
        out.extend(format!("{name:<16}0           0     0     100644  {size:<10}`\n").bytes());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

/// Locks and builds a definition with the package `evil` of these bytes.
fn build(place: &Place, bytes: &[u8]) -> crate::program::Ended {
    let packages = "[packages]\ninstall = [\"evil\"]\n";
    place.define(&format!("[base]\nrelease = \"bookworm\"\n{packages}{SIGNING}"));
    let mut archive = Archive::for_place(place, &["evil"]);
    archive.add_bytes("evil", "", bytes);
    archive.publish();
    place.define(&format!("{}{packages}{SIGNING}", archive.base(&archive.file_url())));
    place.run(&["lock", "DEFINITION"]).succeeded();
    place.run(&["build", "DEFINITION", "--out", "OUT"])
}

#[test]
fn names_outside_of_the_root_are_refused() {
    for name in ["/etc/cron.d/evil", "../../evil", "./usr/../../evil"] {
        let place = Place::new();
        let data = tarball(&[(name, EntryType::Regular, "", b"bad")]);
        let ended = build(&place, &deb("evil", &data, ""));
        ended.refused(1, &[name, "package evil 1 is refused", "error: the build failed"]);
        place.assert_nothing_left();
    }
}

#[test]
fn a_link_that_points_out_leads_nowhere_outside() {
    let place = Place::new();
    let victim = place.path("v");
    fs::create_dir(&victim).unwrap();
    let target = victim.to_str().unwrap();
    let members: [(&str, EntryType, &str, &[u8]); 2] = [
        ("./out", EntryType::Symlink, target, b""),
        ("./out/evil", EntryType::Regular, "", b"bad"),
    ];
    let ended = build(&place, &deb("evil", &tarball(&members), ""));
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert_eq!(names(&victim), Vec::<String>::new());
    place.assert_nothing_left();
    // As a further name of a file outside.
    fs::write(victim.join("file"), "safe").unwrap();
    let outside = format!("{target}/file");
    let data = tarball(&[("./same", EntryType::Link, &outside, b"")]);
    build(&place, &deb("evil", &data, "")).refused(1, &["package evil 1 is refused", &outside]);
    assert_eq!(fs::read(victim.join("file")).unwrap(), b"safe");
    place.assert_nothing_left();
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_disk() {
    let place = Place::new();
    let zeros = vec![0; 200 << 20];
    let plain = place.path("data.tar");
    fs::write(&plain, tarball(&[("./zeros", EntryType::Regular, "", &zeros)])).unwrap();
    let packed = Command::new("zstd").args(["-q", "-c"]).arg(&plain).output().unwrap();
    assert!(packed.status.success());
    let ended = build(&place, &deb("evil", &packed.stdout, ".zst"));
    ended.refused(1, &["package evil 1 is refused", "exhaust the machine"]);
    place.assert_nothing_left();
}
