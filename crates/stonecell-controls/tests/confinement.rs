//! Nothing leads out of a root, and both implementations of a root mean the same.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use stonecell_controls::{DirectoryRoot, Kind, Links, MemoryRoot, Ownership, Root, RootMut};

/// Owner of what the tests write: only root may give files away.
fn mine(mode: u32) -> Ownership {
    let own = fs::metadata("/proc/self").expect("linux");
    Ownership { mode, uid: own.uid(), gid: own.gid() }
}

#[test]
fn links_stay_inside() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret"), "outside").expect("writes");
    let inside = tempfile::tempdir().expect("a folder");
    let top = &inside.path().join("top");
    fs::create_dir_all(top.join("etc")).expect("makes");
    let secret = outside.path().join("secret");
    symlink(&secret, top.join("etc/absolute")).expect("links");
    let up = format!("{}{}", "../".repeat(20), secret.display());
    symlink(&up, top.join("etc/relative")).expect("links");
    symlink(outside.path(), top.join("out")).expect("links");
    symlink("loop", top.join("loop")).expect("links");

    let mut root = DirectoryRoot::open(top).expect("opens");
    for path in ["/etc/absolute", "/etc/relative", "/out/secret"] {
        assert!(root.read(Path::new(path)).expect("reads").is_none(), "{path}");
        assert!(root.status(Path::new(path), Links::Follow).expect("looks").is_none(), "{path}");
        assert_eq!(root.resolve(Path::new(path)).expect("resolves"), None, "{path}");
    }
    assert!(root.read(Path::new("/loop")).is_err());
    assert!(root.resolve(Path::new("/loop")).is_err());
    // The link itself is replaced; what it named outside stays.
    root.write(Path::new("/etc/absolute"), b"inside", mine(0o600)).expect("writes");
    assert_eq!(fs::read_to_string(&secret).expect("reads"), "outside");
    assert_eq!(fs::read_to_string(top.join("etc/absolute")).expect("reads"), "inside");
    assert!(root.write(Path::new("/../../x"), b"x", mine(0o600)).is_ok());
    assert!(top.join("x").exists() && !top.join("../x").exists());
    root.remove(Path::new("/out")).expect("removes the link");
    assert!(secret.exists());
}

#[test]
fn writing_sets_mode_and_leaves_nothing_beside() {
    let inside = tempfile::tempdir().expect("a folder");
    let mut root = DirectoryRoot::open(inside.path()).expect("opens");
    fs::create_dir(inside.path().join("etc")).expect("makes");
    root.write(Path::new("/etc/x"), b"one", mine(0o640)).expect("writes");
    root.write(Path::new("/etc/x"), b"two", mine(0o4755)).expect("writes");
    let mode = fs::metadata(inside.path().join("etc/x")).expect("is there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o4755);
    assert_eq!(root.list(Path::new("/etc")).expect("lists").expect("is a directory"), ["x"]);
    fs::create_dir(inside.path().join("etc/taken")).expect("makes");
    assert!(root.write(Path::new("/etc/taken"), b"x", mine(0o644)).is_err());
    assert_eq!(
        root.list(Path::new("/etc")).expect("lists").expect("is a directory"),
        ["taken", "x"]
    );
}

#[test]
fn memory_and_disk_mean_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut disk = DirectoryRoot::open(folder.path()).expect("opens");
    let mut memory = MemoryRoot::new();
    fs::create_dir_all(folder.path().join("usr/bin")).expect("makes");
    fs::set_permissions(folder.path().join("usr"), fs::Permissions::from_mode(0o755))
        .expect("sets");
    memory.directory(Path::new("/usr/bin"), mine(0o755)).expect("makes");
    let roots: [&mut dyn RootMut; 2] = [&mut disk, &mut memory];
    let seen = roots.map(|root| {
        if root.link(Path::new("/bin"), Path::new("usr/bin")).is_err() {
            return Vec::new();
        }
        root.write(Path::new("/bin/tool"), b"tool", mine(0o755)).expect("writes");
        root.link(Path::new("/bin/other"), Path::new("/bin/tool")).expect("links");
        root.set_mode(Path::new("/usr/bin/tool"), 0o700).expect("sets");
        ["/bin/tool", "/bin/other", "/bin", "/bin/tool/x", "/none/x", "/", "/bin/../bin/./other"]
            .map(|path| {
                let path = Path::new(path);
                let status = |links| {
                    let status = root.status(path, links).expect("looks");
                    status.map(|status| {
                        (status.kind, if status.kind == Kind::File { status.mode } else { 0 })
                    })
                };
                format!(
                    "{path:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                    status(Links::Follow),
                    status(Links::Stay),
                    root.read(path).expect("reads"),
                    root.list(path).expect("lists"),
                    root.read_link(path).expect("reads"),
                    root.resolve(path).expect("resolves"),
                )
            })
            .to_vec()
    });
    assert!(!seen[0].is_empty(), "the tests run as root or in a user namespace");
    assert_eq!(seen[0], seen[1]);
}
