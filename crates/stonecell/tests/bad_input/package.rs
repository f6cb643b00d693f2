//! Packages that are made to do harm, built by the program: refused with their name, and nothing outside is touched.

use std::fs;
use std::process::Command;

use tar::EntryType;

use crate::archive::Archive;
use crate::crafted::{Member, deb, tarball};
use crate::program::{Place, names};

const SIGNING: &str = "[signing]\ndevelopment = true\n";

/// The package `evil` with these data.
fn evil(ending: &str, data: &[u8]) -> Vec<u8> {
    deb(&Archive::control("evil"), &format!("data.tar{ending}"), data)
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
        let ended = build(&place, &evil("", &data));
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
    let members: [Member<'_>; 2] = [
        ("./out", EntryType::Symlink, target, b""),
        ("./out/evil", EntryType::Regular, "", b"bad"),
    ];
    let ended = build(&place, &evil("", &tarball(&members)));
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert_eq!(names(&victim), Vec::<String>::new());
    place.assert_nothing_left();
    // As a further name of a file outside.
    fs::write(victim.join("file"), "safe").unwrap();
    let outside = format!("{target}/file");
    let data = tarball(&[("./same", EntryType::Link, &outside, b"")]);
    build(&place, &evil("", &data)).refused(1, &["package evil 1 is refused", &outside]);
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
    let ended = build(&place, &evil(".zst", &packed.stdout));
    ended.refused(1, &["package evil 1 is refused", "exhaust the machine"]);
    place.assert_nothing_left();
}
