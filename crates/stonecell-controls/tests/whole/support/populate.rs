//! A small Debian-like system in memory that has everything a selection speaks of: each unit, program, file and account. On it
//! no want is "not applicable", so each can be applied, checked and broken.

use std::path::Path;

use stonecell_controls::want::{PackageState, Want};
use stonecell_controls::{Links, MemoryRoot, Ownership, Root, RootMut, Selection};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
games:x:5:60:games:/usr/games:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";
const SHADOW: &str = "root:$y$j9T$abc$def:20000:0:99999:7:::
daemon:*:20000:0:99999:7:::
bin:*:20000:0:99999:7:::
sync:*:20000:0:99999:7:::
games:*:20000:0:99999:7:::
nobody:*:20000:0:99999:7:::
";
const GROUP: &str =
    "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsudo:x:27:\nshadow:x:42:\ngames:x:60:\nnogroup:x:65534:\n";

/// The stacks of Debian 12 as pam-auth-update writes them.
const PAM: [(&str, &str); 8] = [
    (
        "common-auth",
        "auth\t[success=1 default=ignore]\tpam_unix.so nullok\nauth\trequisite\tpam_deny.so\nauth\trequired\tpam_permit.so\n",
    ),
    (
        "common-account",
        "account\t[success=1 new_authtok_reqd=done default=ignore]\tpam_unix.so\naccount\trequisite\tpam_deny.so\naccount\trequired\tpam_permit.so\n",
    ),
    (
        "common-password",
        "password\trequisite\tpam_pwquality.so retry=3\npassword\t[success=1 default=ignore]\tpam_unix.so obscure use_authtok try_first_pass yescrypt\npassword\trequisite\tpam_deny.so\npassword\trequired\tpam_permit.so\n",
    ),
    (
        "common-session",
        "session\t[default=1]\tpam_permit.so\nsession\trequisite\tpam_deny.so\nsession\trequired\tpam_permit.so\nsession\trequired\tpam_unix.so\n",
    ),
    (
        "common-session-noninteractive",
        "session\t[default=1]\tpam_permit.so\nsession\trequisite\tpam_deny.so\nsession\trequired\tpam_permit.so\nsession\trequired\tpam_unix.so\n",
    ),
    (
        "su",
        "auth       sufficient pam_rootok.so\nsession       required   pam_env.so readenv=1\n@include common-auth\n@include common-account\n@include common-session\n",
    ),
    (
        "login",
        "auth       optional   pam_faildelay.so  delay=3000000\nauth       requisite  pam_nologin.so\n@include common-auth\n@include common-account\n@include common-session\n@include common-password\n",
    ),
    (
        "sshd",
        "@include common-auth\naccount    required     pam_nologin.so\n@include common-account\n@include common-session\nsession    required     pam_env.so user_readenv=1\n@include common-password\n",
    ),
];

const DIRECTORIES: [&str; 12] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/etc",
    "/root",
    "/home",
    "/boot",
    "/var/log",
    "/var/lib/dpkg",
    "/tmp",
    "/var/tmp",
    "/usr/local",
];

/// Builds the system for a selection.
pub(crate) fn populated(selection: &Selection) -> MemoryRoot {
    let mut root = MemoryRoot::new();
    for directory in DIRECTORIES {
        root.directory(Path::new(directory), Ownership { mode: 0o755, uid: 0, gid: 0 })
            .expect("makes");
    }
    for (link, target) in [("/bin", "usr/bin"), ("/sbin", "usr/sbin"), ("/lib", "usr/lib")] {
        root.link(Path::new(link), Path::new(target)).expect("links");
    }
    let requirements = selection.requirements();
    root.set_command_line(Some(super::command_line(&requirements)));
    put(&mut root, "/etc/passwd", PASSWD);
    put(&mut root, "/etc/shadow", SHADOW);
    put(&mut root, "/etc/group", GROUP);
    put(
        &mut root,
        "/usr/lib/sysctl.d/50-default.conf",
        "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.all.rp_filter\n",
    );
    put(
        &mut root,
        "/usr/lib/sysctl.d/99-protect-links.conf",
        "fs.protected_fifos = 1\nfs.protected_regular = 0\n",
    );
    put(
        &mut root,
        "/etc/audit/rules.d/audit.rules",
        "-D\n-b 8192\n--backlog_wait_time 60000\n-f 1\n",
    );
    for (service, text) in PAM {
        put(&mut root, &format!("/etc/pam.d/{service}"), text);
    }
    let mut fstab = String::from("UUID=x / erofs ro 0 1\n");
    for mount in requirements.mounts.iter().filter(|mount| mount.fs.is_none()) {
        fstab.push_str(&format!("PARTLABEL=x {} ext4 defaults 0 2\n", mount.target));
    }
    put(&mut root, "/etc/fstab", &fstab);
    let mut status = String::from("Package: base-files\nStatus: install ok installed\n\n");
    for package in &requirements.packages_present {
        status.push_str(&format!("Package: {package}\nStatus: install ok installed\n\n"));
    }
    put(&mut root, "/var/lib/dpkg/status", &status);

    let wants = || selection.controls.iter().flat_map(|control| &control.wants);
    let mut kernel = String::new();
    for want in wants() {
        match want {
            Want::Unit(want) => unit(&mut root, &want.name),
            Want::UnitSetting(want) => unit(&mut root, &want.unit),
            Want::Setting(want) => empty(&mut root, &want.path, 0o644),
            Want::Line(want) => empty(&mut root, &want.path, 0o644),
            Want::KernelConfig(want) if want.value != "n" => {
                kernel.push_str(&format!("{}={}\n", want.option, want.value));
            }
            Want::Account(want) if want.user != "*system" => account(&mut root, &want.user),
            Want::Attributes(want) => {
                let owners = [(&want.owner, "/etc/passwd"), (&want.group, "/etc/group")];
                for (name, file) in owners {
                    if let Some(name) = name {
                        named(&mut root, name, file);
                    }
                }
            }
            Want::File(want) => {
                named(&mut root, &want.owner, "/etc/passwd");
                named(&mut root, &want.group, "/etc/group");
            }
            Want::Package(want) => assert!(
                want.state != PackageState::Present || !want.name.contains('*'),
                "a package to install has one name"
            ),
            _ => {}
        }
    }
    put(&mut root, "/boot/config-1-test", &kernel);
    // At last, because a directory that files lie in must not become a file.
    for want in wants() {
        if let Want::Attributes(want) = want {
            let path = want.path.replace('*', "x");
            let holds = wants().any(|other| {
                path_of(other).is_some_and(|other| other.starts_with(&format!("{path}/")))
            });
            let mode = want.mode.or(want.mode_max).map_or(0o644, |mode| mode.0);
            if holds || mode & 0o1000 != 0 {
                if root.status(Path::new(&path), Links::Follow).expect("looks").is_none() {
                    root.directory(Path::new(&path), Ownership { mode: 0o755, uid: 0, gid: 0 })
                        .expect("makes");
                }
            } else {
                empty(&mut root, &path, 0o644);
            }
        }
    }
    for want in wants() {
        if let Want::AuditRule(want) = want {
            let mut words = want.rule.split_whitespace();
            while let Some(word) = words.next() {
                let path = match word {
                    "-w" => words.next(),
                    "-F" => words.next().and_then(|field| field.strip_prefix("path=")),
                    _ => None,
                };
                if let Some(path) = path {
                    empty(&mut root, path.trim_end_matches('/'), 0o755);
                }
            }
        }
    }
    root
}

fn path_of(want: &Want) -> Option<String> {
    match want {
        Want::Setting(want) => Some(want.path.clone()),
        Want::File(want) => Some(want.path.clone()),
        Want::Link(want) => Some(want.path.clone()),
        Want::Line(want) => Some(want.path.clone()),
        Want::Absent(want) => Some(want.path.replace('*', "x")),
        Want::Attributes(want) => Some(want.path.replace('*', "x")),
        Want::AuditRule(_) => Some("/etc/audit/rules.d/x".to_owned()),
        _ => None,
    }
}

fn put(root: &mut MemoryRoot, path: &str, text: &str) {
    root.write(Path::new(path), text.as_bytes(), Ownership::PLAIN).expect("writes");
}

fn empty(root: &mut MemoryRoot, path: &str, mode: u32) {
    if !super::is_there(root, path) {
        root.write(Path::new(path), b"", Ownership { mode, uid: 0, gid: 0 }).expect("writes");
    }
}

fn unit(root: &mut MemoryRoot, name: &str) {
    let name = match name.split_once('@') {
        Some((front, behind)) => {
            format!("{front}@.{}", behind.rsplit_once('.').map_or("service", |parts| parts.1))
        }
        None => name.to_owned(),
    };
    let path = format!("/usr/lib/systemd/system/{name}");
    if !super::is_there(root, &path) {
        put(
            root,
            &path,
            "[Unit]\nDescription=x\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n",
        );
    }
}

fn account(root: &mut MemoryRoot, name: &str) {
    let text = root.text(Path::new("/etc/passwd")).expect("reads").expect("is there");
    if text.lines().any(|line| line.starts_with(&format!("{name}:"))) {
        return;
    }
    let uid = 100 + text.lines().count();
    put(root, "/etc/passwd", &format!("{text}{name}:x:{uid}:1::/:/bin/sh\n"));
    let shadow = root.text(Path::new("/etc/shadow")).expect("reads").expect("is there");
    put(root, "/etc/shadow", &format!("{shadow}{name}:$y$j9T$a$b:20000::::::\n"));
}

/// Makes sure that a user or group has a number.
fn named(root: &mut MemoryRoot, name: &str, file: &str) {
    let text = root.text(Path::new(file)).expect("reads").expect("is there");
    if text.lines().any(|line| line.starts_with(&format!("{name}:"))) {
        return;
    }
    let id = 200 + text.lines().count();
    let rest =
        if file == "/etc/passwd" { format!("{id}::/:/usr/sbin/nologin") } else { String::new() };
    put(root, file, &format!("{text}{name}:x:{id}:{rest}\n"));
}
