//! A maintainer script that fails.

use super::with_script;

#[test]
#[ignore = "real packages or machines: `make real`"]
fn the_output_of_a_script_that_fails_is_shown() {
    let (place, _archive) = with_script(
        "#!/bin/sh\necho step one\nprintf 'the disk \\033[31mis on fire\\n' >&2\nexit 7\n",
    );
    let ended = place.real(&["build", "DEFINITION", "--out", "OUT"]);
    ended.refused(1, &["extra", "step one", "is on fire", "error: the build failed"]);
    assert!(!ended.err.contains('\u{1b}'), "a script does not steer the terminal: {}", ended.err);
    place.assert_nothing_left();
}
