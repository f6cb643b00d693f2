//! `--check-reproducible`: of a build that is, and of one that is not on purpose.

use super::{locked, with_script};
use crate::program::names;

#[test]
#[ignore = "real packages or machines: `make real`"]
fn two_builds_of_one_lock_are_the_same() {
    let place = locked();
    let arguments = ["build", "DEFINITION", "--out", "OUT", "--check-reproducible"];
    let ended = place.real(&arguments);
    assert!(ended.succeeded().err.contains("build again"), "{}", ended.err);
    assert_eq!(names(&place.out()), super::OUTPUTS);
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn what_differs_is_named_down_to_the_line() {
    let script = "#!/bin/sh\nset -e\nmkdir -p /usr/share/extra\n\
                  printf 'constant\\nid %s\\n' \"$(cat /proc/sys/kernel/random/uuid)\" >/usr/share/extra/text\n\
                  head -c 64 /dev/urandom >/usr/share/extra/noise\n";
    let (place, _archive) = with_script(script);
    let arguments = ["build", "DEFINITION", "--out", "OUT", "--check-reproducible"];
    let ended = place.real(&arguments);
    ended.refused(
        6,
        &[
            "two builds from one lock differ",
            "cell-1.0.raw: ",
            "/usr/share/extra/text: line 2: `id ",
            "/usr/share/extra/noise: content from byte ",
            "boot file, section .cmdline: line 1: ",
            "cell-1.0.raw.sig: line ",
        ],
    );
    assert!(!ended.err.contains("/usr/bin/"), "only what differs is named: {}", ended.err);
    place.assert_nothing_left();
}
