//! File systems without room. They are tmpfs of a mount namespace that ends with the test.

use std::process::{Command, Stdio};

use super::locked;
use crate::program::{Ended, Place};

/// Runs the program where `dir` is a file system of this many MiB.
fn on_small(place: &Place, dir: &str, mib: u32, arguments: &[&str]) -> Ended {
    let small = place.path(dir);
    std::fs::create_dir_all(&small).unwrap();
    let program = place.real_command(arguments);
    // What is left there is looked at before the namespace and with it the file system ends.
    let script = "mount -t tmpfs -o size=\"$1\" small \"$2\" && shift && small=$1 && shift && \"$@\"; code=$?\n\
                  ls -A \"$small\" >&2; exit $code";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(format!("{mib}m")).arg(&small).arg(program.get_program());
    command.args(program.get_args()).stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Ended::of(&command.output().unwrap())
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn an_output_directory_without_room_is_named_and_stays_empty() {
    let place = locked();
    let ended = on_small(&place, "out", 20, &["build", "DEFINITION", "--out", "OUT", "--quiet"]);
    ended.refused(1, &["No space left on device", "/out/.stonecell-work-", "--out"]);
    assert!(!ended.err.contains("\n.stonecell"), "something was left: {}", ended.err);
    std::fs::remove_dir(place.out()).unwrap();
    place.assert_nothing_left();
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn a_work_directory_without_room_is_named_and_stays_empty() {
    let place = locked();
    let work = place.path("work");
    let arguments =
        ["build", "DEFINITION", "--out", "OUT", "--quiet", "--work-dir", work.to_str().unwrap()];
    let ended = on_small(&place, "work", 60, &arguments);
    ended.refused(1, &["No space left on device", "into the tree", "--work-dir"]);
    assert!(!ended.err.contains("\n.stonecell"), "something was left: {}", ended.err);
    place.assert_nothing_left();
}
