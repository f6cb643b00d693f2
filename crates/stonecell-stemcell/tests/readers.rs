//! The stemcell is read by the programs that others use: `tar`, Python's `tarfile`, `gzip`, `ssh-keygen`.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

mod support;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use stonecell_stemcell::outputs::with;
use support::{Change, make, run};

const MEMBERS: [&str; 7] = [
    "stemcell.MF",
    "packages.txt",
    "dev_tools_file_list.txt",
    "sbom.spdx.json",
    "sbom.cdx.json",
    "stonecell.json",
    "image",
];

#[test]
fn tar_and_python_list_the_members_and_the_disk_comes_out_whole() {
    let made = make(&Change::default());
    let listed = run("tar", &["-tzf".as_ref(), made.tgz().as_os_str()]);
    let listed = String::from_utf8(listed).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), MEMBERS);

    let script = "import sys, tarfile\nfor m in tarfile.open(sys.argv[1], 'r:gz'): print(m.name)";
    let listed = run("python3", &["-c".as_ref(), script.as_ref(), made.tgz().as_os_str()]);
    assert_eq!(String::from_utf8(listed).unwrap().lines().collect::<Vec<_>>(), MEMBERS);

    run("gzip", &["-t".as_ref(), made.tgz().as_os_str()]);
    let out = made.dir.path().join("unpacked");
    fs::create_dir(&out).unwrap();
    run("tar", &["-xzf".as_ref(), made.tgz().as_os_str(), "-C".as_ref(), out.as_os_str()]);
    let image = out.join("image");
    run("tar", &["-xzf".as_ref(), image.as_os_str(), "-C".as_ref(), out.as_os_str()]);
    run("cmp", &[out.join("root.img").as_os_str(), made.raw().as_os_str()]);
}

#[test]
fn the_signature_is_checked_by_ssh_keygen_alone() {
    let made = make(&Change::default());
    let public = fs::read_to_string(made.out().join("tiny-1.0.pub")).unwrap();
    let signers = made.dir.path().join("signers");
    fs::write(&signers, format!("maker {public}")).unwrap();
    let check = |of: &Path, namespace: &str, input: Stdio| {
        Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", "maker", "-n", namespace, "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(with(of, ".sig"))
            .stdin(input)
            .output()
            .unwrap()
            .status
            .success()
    };
    let whole = |path: &Path| Stdio::from(File::open(path).unwrap());
    assert!(check(&made.tgz(), "stonecell", whole(&made.tgz())));
    assert!(!check(&made.tgz(), "stonecell", whole(&made.raw())));

    let pieces = || {
        let mut split = Command::new("split")
            .args(["-b", "1M", "--filter=sha256sum"])
            .arg(made.raw())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let list = std::io::read_to_string(split.stdout.take().unwrap()).unwrap();
        assert!(split.wait().unwrap().success());
        let path = made.dir.path().join("pieces");
        fs::write(&path, list).unwrap();
        whole(&path)
    };
    assert!(check(&made.raw(), "stonecell-pieces", pieces()));
    assert!(!check(&made.raw(), "stonecell", pieces()), "a list is not a file");
    assert!(!check(&made.raw(), "stonecell-pieces", whole(&made.raw())));
}
