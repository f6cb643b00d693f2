//! What the tests of booted images share: the program, the machine, and the report that the probe in it prints.

mod init;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use stonecell_machine::{Boot, Bus, Console, Disk, Format, MachineSpec, Network, accelerator};

/// Longest that a boot may take: a bound, not a promise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// The program under test.
pub(crate) const STONECELL: &str = env!("CARGO_BIN_EXE_stonecell");

pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).env("STONECELL_INIT", init::init()).stdin(Stdio::null());
    command.output().unwrap()
}

/// What the program printed; it must succeed.
#[track_caller]
pub(crate) fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A machine with these disks, none of which it changes; `ssh_port` leads to its SSH server.
pub(crate) fn machine(boot: Boot, disks: &[&Path], ssh_port: Option<u16>) -> MachineSpec {
    let disk = |path: &&Path| Disk {
        path: path.to_path_buf(),
        format: Format::Raw,
        bus: Bus::Virtio,
        snapshot: true,
    };
    MachineSpec {
        boot,
        disks: disks.iter().map(disk).collect(),
        memory_mib: 1024,
        cpus: 2,
        accelerator: accelerator(),
        network: Some(Network { ssh_port }),
        console: Console::Captured,
        oem_strings: Vec::new(),
        reboot: false,
    }
}

/// The lines of one section of the probe's report.
pub(crate) fn section<'a>(report: &'a str, name: &str) -> Vec<&'a str> {
    let marker = format!("@@ {name}");
    report
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .skip_while(|line| *line != marker)
        .skip(1)
        .take_while(|line| !line.starts_with("@@ "))
        .map(str::trim)
        // The kernel shares the console.
        .filter(|line| !line.is_empty() && !line.starts_with('['))
        .collect()
}
