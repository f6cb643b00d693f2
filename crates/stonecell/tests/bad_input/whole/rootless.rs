//! A user without root, on disk: the tree has directories of subordinate ids, and they go too.

use std::path::Path;
use std::process::Command;

use stonecell_definition::lock::Lock;
use stonecell_packages::Cache;

use super::with_script;
use crate::program::{Ended, names};

fn cache(dir: &Path) -> Cache {
    Cache::open(dir).unwrap()
}

/// A user that no machine has, with subordinate ids that only this test's namespace grants.
const UID: u32 = 4_000_001;

#[test]
#[ignore = "real packages or machines: `make real`"]
fn a_build_on_disk_without_root_leaves_nothing_of_its_ids() {
    // A directory of somebody else with something in it: nobody but its owner or root can empty it.
    let script = "#!/bin/sh\nset -e\nmkdir -m 0700 /var/lib/extra\n: >/var/lib/extra/file\n\
                  chown -R daemon:daemon /var/lib/extra\n";
    let (place, _archive) = with_script(script);
    // Fetches what the shared cache lacks.
    place.build_succeeds();
    std::fs::remove_dir_all(place.out()).unwrap();
    let work = place.path("work");
    std::fs::create_dir(&work).unwrap();
    place.temporary();
    std::fs::create_dir(place.out()).unwrap();
    let text = format!("{UID}:4100000:65536\n");
    std::fs::write(place.path("subids"), text).unwrap();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let user = format!("{passwd}nobody-else:x:{UID}:{UID}::/nonexistent:/bin/false\n");
    std::fs::write(place.path("passwd"), user).unwrap();
    // Everything that the user needs, where the user may read it.
    let (from, to) = (cache(&super::shared_cache()), cache(&place.path("cache")));
    let lock = Lock::from_toml(
        &std::fs::read_to_string(place.path("cell.lock")).unwrap(),
        &place.path("cell.lock"),
    )
    .unwrap();
    for package in lock.package.iter().chain(&lock.tool) {
        let copy = to.deb(&package.sha256);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(from.deb(&package.sha256), copy).unwrap();
    }
    std::fs::copy(env!("CARGO_BIN_EXE_stonecell"), place.path("program")).unwrap();
    std::fs::copy(crate::init::init(), place.path("init")).unwrap();
    let owner = format!("{UID}:{UID}");
    let owned = Command::new("chown").args(["-R", "-h", &owner]).arg(place.dir.path()).status();
    assert!(owned.unwrap().success());
    let mut program = place.command(&["build", "DEFINITION", "--out", "OUT", "--work-dir"]);
    program.arg(&work).env("STONECELL_INIT", place.path("init"));
    let script = format!(
        "mount --bind \"$1\" /etc/subuid && mount --bind \"$1\" /etc/subgid && \
         mount --bind \"$2\" /etc/passwd && shift 2 && \
         exec setpriv --reuid {UID} --regid {UID} --clear-groups -- \"$@\""
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
    command.arg(place.path("subids")).arg(place.path("passwd")).arg(place.path("program"));
    command.args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let ended = Ended::of(&command.output().unwrap());
    ended.succeeded();
    assert_eq!(names(&work), Vec::<String>::new());
    assert_eq!(names(&place.out()), super::OUTPUTS);
    assert_eq!(names(&place.temporary()), Vec::<String>::new());
}
