//! Signals to commands that read, and how the other tests send theirs.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use crate::program::{Ended, Place, names};

/// Sends a signal to this process alone.
pub(crate) fn send(child: &Child, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// A disk whose conversion does not end: `qemu-img` is a program that says its process id and waits. Gives the
/// disk; the FIFO `started` then has the id.
fn endless_disk(place: &Place) -> String {
    let bin = place.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = bin.join("qemu-img");
    std::fs::write(&program, "#!/bin/sh\necho $$ >\"$STARTED\"\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("started")).status().unwrap().success());
    let disk = place.path("disk.qcow2");
    let mut header = b"QFI\xfb\x00\x00\x00\x03".to_vec();
    header.resize(65_536, 0);
    std::fs::write(&disk, header).unwrap();
    disk.to_str().unwrap().to_owned()
}

#[test]
fn readers_leave_nothing_behind() {
    for (command, signal) in
        [("inspect", "INT"), ("verify", "TERM"), ("diff", "INT"), ("extract", "TERM")]
    {
        let place = Place::new();
        let disk = endless_disk(&place);
        let tree = place.path("tree");
        let mut arguments = vec![command, &disk];
        match command {
            "diff" => arguments.push(&disk),
            "extract" => arguments.push(tree.to_str().unwrap()),
            _ => {}
        }
        place.temporary();
        let before = names(place.dir.path());
        let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
        let child = place
            .command(&arguments)
            .env("PATH", path)
            .env("STARTED", place.path("started"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Ends when the converter has opened the other side, so it is at work.
        let converter = std::fs::read_to_string(place.path("started")).unwrap();
        send(&child, signal);
        let ended = Ended::of(&child.wait_with_output().unwrap());
        ended.refused(130, &["error: interrupted; nothing was left behind"]);
        assert_eq!(names(&place.temporary()), Vec::<String>::new(), "{command}");
        assert_eq!(names(place.dir.path()), before, "{command}");
        // Killed before the program ended; at most it waits to be reaped by whoever reaps orphans here.
        let state = std::fs::read_to_string(format!("/proc/{}/stat", converter.trim()));
        assert!(state.is_err() || state.is_ok_and(|state| state.contains(") Z ")), "{command}");
    }
}
