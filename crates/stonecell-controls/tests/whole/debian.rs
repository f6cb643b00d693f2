//! The whole catalogue on a real Debian 12 tree. Needs root (owners and capabilities are real), mmdebstrap and a mirror; the
//! tree is made once and kept below the target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::undo::Undo;
use crate::support::{apply, breaking, catalogue, command_line, context, troubles};
use stonecell_controls::{
    DirectoryRoot, Links, Outcome, Ownership, Root, RootMut, Selection, merge_fstab,
};

const PACKAGES: &str = "systemd-sysv,dbus,openssh-server,sudo,auditd,apparmor,chrony,nftables,libpam-pwquality,\
    linux-image-cloud-amd64,cron,iproute2,procps,udev,login,passwd,libpam-systemd,systemd-resolved";

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).env("LC_ALL", "C").status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {}", arguments.join(" "));
}

/// A fresh copy of the tree, named after the test.
fn copy(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let tree = folder.join("debian-bookworm");
    if !tree.exists() {
        let fresh = folder.join("debian-bookworm.new");
        let fresh_text = fresh.to_str().expect("UTF-8");
        run("rm", &["-rf", fresh_text]);
        let include = format!("--include={PACKAGES}");
        run("mmdebstrap", &["--mode=root", "--variant=minbase", &include, "bookworm", fresh_text]);
        std::fs::rename(&fresh, &tree).expect("the finished tree takes its name");
    }
    let copy = folder.join(name);
    run("rm", &["-rf", copy.to_str().expect("UTF-8")]);
    run(
        "cp",
        &["-a", "--reflink=auto", tree.to_str().expect("UTF-8"), copy.to_str().expect("UTF-8")],
    );
    copy
}

/// What the builder does beside `apply`: partitions in fstab, modules taken out, the command line.
fn prepare(selection: &Selection, tree: &Path) -> DirectoryRoot {
    let requirements = selection.requirements();
    let mut root =
        DirectoryRoot::open(tree).expect("opens").with_command_line(command_line(&requirements));
    let mut fstab = String::from("PARTLABEL=root / erofs ro 0 0\n");
    for mount in requirements.mounts.iter().filter(|mount| mount.fs.is_none()) {
        fstab.push_str(&format!("PARTLABEL=x {} ext4 defaults 0 2\n", mount.target));
    }
    let fstab = merge_fstab(&fstab, &requirements.mounts);
    root.write(Path::new("/etc/fstab"), fstab.as_bytes(), Ownership::PLAIN).expect("writes");
    let mut pending = vec![PathBuf::from("/usr/lib/modules")];
    while let Some(folder) = pending.pop() {
        for name in root.list(&folder).expect("lists").unwrap_or_default() {
            let path = folder.join(&name);
            let text = name.to_string_lossy().replace('-', "_");
            let stem = text.split(".ko").next().unwrap_or_default().to_owned();
            let is_folder = root
                .status(&path, Links::Stay)
                .expect("looks")
                .is_some_and(|status| status.kind == stonecell_controls::Kind::Directory);
            if is_folder {
                pending.push(path);
            } else if text.contains(".ko") && requirements.modules_blocked.contains(&stem) {
                root.remove(&path).expect("removes");
            }
        }
    }
    root
}

/// A file of the tree with all that an image would keep of it.
fn fingerprint(tree: &Path) -> Vec<u8> {
    let output = Command::new("tar")
        .args([
            "--sort=name",
            "--mtime=@0",
            "--xattrs",
            "--xattrs-include=security.*",
            "--numeric-owner",
            "--pax-option=delete=atime,delete=ctime,delete=mtime",
            "-C",
        ])
        .arg(tree)
        .args([
            "-cf",
            "-",
            "etc",
            "usr/lib/systemd",
            "usr/lib/sysctl.d",
            "usr/lib/modprobe.d",
            "usr/bin",
            "usr/sbin",
        ])
        .output()
        .expect("tar runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn the_catalogue_holds_on_debian_after_applying() {
    let tree = copy("applied");
    let selection = catalogue()
        .select(&context("stonecell", &["ssh"], &["qemu"], "bookworm"))
        .unwrap_or_else(|error| panic!("{error}"));
    let mut root = prepare(&selection, &tree);
    let applied = apply(&selection, &mut root);
    println!("{} paths changed", applied.changed().len());

    let verdicts = selection.check(&root);
    let mut counts = [0; 3];
    for verdict in &verdicts {
        match &verdict.outcome {
            Outcome::Pass => counts[0] += 1,
            Outcome::NotApplicable { .. } => counts[1] += 1,
            _ => counts[2] += 1,
        }
    }
    println!("pass {}, not applicable {}, other {}", counts[0], counts[1], counts[2]);
    // Which packages are there is the builder's choice, not mmdebstrap's.
    let found: Vec<String> = troubles(&verdicts)
        .into_iter()
        .filter(|text| !text.contains("package ") && !text.starts_with("SC-KRN"))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));

    let before = fingerprint(&tree);
    let again = apply(&selection, &mut root);
    assert!(again.changed().is_empty(), "{:?}", again.changed());
    assert!(before == fingerprint(&tree), "applying twice changed bytes");
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn two_trees_become_the_same() {
    let selection = catalogue()
        .select(&context("stonecell", &["ssh"], &["qemu"], "bookworm"))
        .expect("selects");
    let results = ["one", "two"].map(|name| {
        let tree = copy(name);
        let mut root = prepare(&selection, &tree);
        apply(&selection, &mut root);
        fingerprint(&tree)
    });
    assert!(results[0] == results[1]);
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn broken_on_debian_the_verdict_turns() {
    let tree = copy("broken");
    let selection = catalogue()
        .select(&context("stonecell", &["ssh"], &["qemu"], "bookworm"))
        .expect("selects");
    let mut root = prepare(&selection, &tree);
    apply(&selection, &mut root);
    let (mut ways, mut green) = (0, Vec::new());
    for control in &selection.controls {
        // Modules and package lists are alike by the hundred; the test in memory breaks each of them.
        for want in control.wants.iter().take(3) {
            let mut only = control.clone();
            only.wants = vec![want.clone()];
            let alone =
                Selection { controls: vec![only], left_out: Vec::new(), ..selection.clone() };
            if !matches!(alone.check(&root).swap_remove(0).outcome, Outcome::Pass) {
                continue;
            }
            for way in breaking::breaks(want) {
                let mut undo = Undo::new(&mut root);
                (way.run)(&mut undo);
                if !matches!(alone.check(&undo).swap_remove(0).outcome, Outcome::Fail { .. }) {
                    green.push(format!("{}: {} ({want:?})", control.id, way.name));
                }
                undo.back();
                ways += 1;
            }
        }
    }
    println!("{ways} ways to break");
    assert!(green.is_empty(), "{}", green.join("\n"));
}
