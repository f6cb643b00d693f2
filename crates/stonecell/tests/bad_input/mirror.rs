//! Archives that cannot be reached or trusted, and packages that they do not have.

use std::fs;

use crate::archive::Archive;
use crate::keys::Key;
use crate::program::{Ended, Place, names};
use crate::server::{Fault, Server};

const SIGNING: &str = "[signing]\ndevelopment = true\n";

/// A place with a definition that reads an archive behind a server. One package is large enough to break off in.
struct Mirror {
    place: Place,
    archive: Archive,
    server: Server,
}

const LARGE: &str = "large";

impl Mirror {
    fn new(body: &str, fill: impl FnOnce(&mut Archive)) -> Self {
        let place = Place::new();
        let large = format!("[packages]\ninstall = [\"{LARGE}\"]\n");
        let body = if body.is_empty() { large.as_str() } else { body };
        place.define(&format!("[base]\nrelease = \"bookworm\"\n{body}{SIGNING}"));
        let mut archive = Archive::for_place(&place, &[LARGE, "absent"]);
        archive.add(LARGE, "", &[("notes", &"text\n".repeat(60_000))]);
        fill(&mut archive);
        archive.publish();
        let server = Server::new(archive.root.path());
        let base = archive.base(server.url().as_str());
        place.define(&format!("{base}{body}{SIGNING}"));
        Self { place, archive, server }
    }

    fn lock(&self) -> Ended {
        self.place.run(&["lock", "DEFINITION"])
    }

    fn build(&self) -> Ended {
        self.place.run(&["build", "DEFINITION", "--out", "OUT"])
    }

    #[track_caller]
    fn not_locked(&self, code: i32, words: &[&str]) {
        self.lock().refused(code, words);
        assert!(!self.place.path("cell.lock").exists());
        self.place.assert_nothing_left();
    }
}

#[test]
fn an_expired_release_is_refused() {
    let mirror = Mirror::new("", |_| {});
    let until = "Valid-Until: Sat, 21 Nov 2026 00:00:00 UTC\n";
    mirror.archive.publish_as(&mirror.archive.key, until);
    mirror.not_locked(4, &["valid until 2026-11-21T00:00:00Z", "bookworm"]);
}

#[test]
fn a_release_that_another_key_signed_is_refused() {
    let mirror = Mirror::new("", |_| {});
    mirror.archive.publish_as(&Key::new(), "");
    mirror.not_locked(4, &["InRelease", "key"]);
    let path = mirror.archive.path("dists/bookworm/InRelease");
    mirror.archive.publish();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("Origin: Test", "Origin: Best")).unwrap();
    mirror.not_locked(4, &["InRelease", "signature"]);
}

#[test]
fn a_missing_package_is_named_with_what_is_like_it() {
    let body = "[packages]\ninstall = [\"openssh-sever\"]\n";
    let place = Place::new();
    place.define(&format!("[base]\nrelease = \"bookworm\"\n{body}{SIGNING}"));
    let mut archive = Archive::for_place(&place, &["openssh-sever"]);
    archive.add("openssh-server", "", &[]);
    archive.publish();
    place.define(&format!("{}{body}{SIGNING}", archive.base(&archive.file_url())));
    let ended = place.run(&["lock", "DEFINITION"]);
    ended.refused(3, &["no package `openssh-sever`", "did you mean `openssh-server`?"]);
    assert!(!place.path("cell.lock").exists());
}

#[test]
fn an_unsatisfiable_dependency_is_traced() {
    let body = "[packages]\ninstall = [\"app\"]\n";
    let mirror =
        Mirror::new(body, |archive| archive.add("middle", "Depends: absent (>= 2)\n", &[]));
    // `app` is one of the empty packages of the definition; it needs `middle` from now on.
    let mut archive = Archive::for_place(&mirror.place, &["app"]);
    archive.add("app", "Depends: middle\n", &[]);
    archive.add("middle", "Depends: absent (>= 2)\n", &[]);
    archive.publish();
    let base = archive.base(&archive.file_url());
    mirror.place.define(&format!("{base}{body}{SIGNING}"));
    mirror.not_locked(3, &["package `middle` needs `absent (>= 2)`", "app -> middle"]);
}

#[test]
fn a_package_that_is_not_what_the_lock_pins_is_refused() {
    let mirror = Mirror::new("", |_| {});
    mirror.lock().succeeded();
    let deb = mirror.archive.path(&Archive::filename(LARGE));
    let content = fs::read(&deb).unwrap();
    let mut changed = content.clone();
    changed[1000] ^= 1;
    fs::write(&deb, &changed).unwrap();
    mirror.build().refused(4, &["large.deb", "SHA-256"]);
    mirror.place.assert_nothing_left();
    fs::write(&deb, &content[..content.len() / 2]).unwrap();
    mirror.build().refused(4, &["large.deb", "bytes"]);
    mirror.place.assert_nothing_left();
    fs::remove_file(&deb).unwrap();
    mirror.build().refused(4, &["large", "not on the mirror any more", "lock again"]);
    mirror.place.assert_nothing_left();
}

#[test]
fn a_mirror_that_goes_down_in_the_middle_is_taken_up_again() {
    let mirror = Mirror::new("", |_| {});
    mirror.lock().succeeded();
    let deb = Archive::filename(LARGE);
    mirror.server.set(&deb, Fault::Break(100_000));
    // The packages are empty: the build goes on to where it finds no dpkg among them.
    mirror.build().refused(1, &["dpkg"]);
    mirror.place.assert_nothing_left();
    let log = mirror.server.log();
    let first = format!("GET /{deb} HTTP/1.1");
    let requests: Vec<&str> = log.iter().filter_map(|line| line.strip_prefix(&first)).collect();
    let size = fs::metadata(mirror.archive.path(&deb)).unwrap().len();
    let starts = (1..size.div_ceil(100_000)).map(|part| format!(" {part}00000-"));
    let expected: Vec<String> = std::iter::once(String::new()).chain(starts).collect();
    assert!(requests.len() > 3 && requests == expected, "{requests:?}");
}

#[test]
fn a_mirror_that_is_down_is_named_with_the_remedy() {
    let mirror = Mirror::new("", |_| {});
    mirror.lock().succeeded();
    mirror.server.set(&Archive::filename(LARGE), Fault::Status(403));
    mirror.build().refused(4, &["large.deb", "status 403"]);
    mirror.place.assert_nothing_left();
    mirror.server.mend();
    mirror.build().refused(1, &["dpkg"]);
}

#[test]
fn a_mirror_that_hangs_can_be_left() {
    let mirror = Mirror::new("", |_| {});
    mirror.lock().succeeded();
    mirror.server.set(&Archive::filename(LARGE), Fault::Hang);
    let arguments = ["build", "DEFINITION", "--out", "OUT"];
    let child = mirror.place.command(&arguments).stderr(std::process::Stdio::piped()).spawn();
    let child = child.unwrap();
    let wanted = Archive::filename(LARGE);
    while !mirror.server.log().iter().any(|line| line.contains(&wanted)) {
        std::thread::yield_now();
    }
    crate::interrupt::send(&child, "TERM");
    let ended = Ended::of(&child.wait_with_output().unwrap());
    ended.refused(130, &["interrupted"]);
    mirror.place.assert_nothing_left();
    let debs = names(&mirror.place.path("cache/deb"));
    assert!(!debs.is_empty(), "what was fetched stays");
}
