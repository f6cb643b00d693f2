//! Signals in the middle of a build, sent when it says that a phase has begun.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use super::locked;
use crate::interrupt::send;

#[test]
#[ignore = "real packages or machines: `make real`"]
fn a_signal_in_any_phase_leaves_nothing_and_the_next_build_works() {
    let place = locked();
    for (phase, signal) in [
        ("unpack and configure packages", "INT"),
        ("apply definition and controls", "TERM"),
        ("select kernel modules and make the initrd", "INT"),
        ("make the disk", "TERM"),
    ] {
        let mut child = place
            .real_command(&["build", "DEFINITION", "--out", "OUT"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while said.lines().last() != Some(phase) {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{phase}: it ended: {said}");
        }
        send(&child, signal);
        // The pipe ends when the last process that holds it has ended: none is left.
        lines.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{phase}: {said}");
        assert!(said.contains("error: interrupted"), "{phase}: {said}");
        place.assert_nothing_left();
    }
    place.build_succeeds();
}
