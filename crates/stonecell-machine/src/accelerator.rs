//! Whether KVM really works here.
//!
//! A device node proves nothing: in a container or a guest without nested virtualisation it may be
//! there and refuse, or hang. So the processor must have the instructions, and a QEMU without
//! devices must have made a virtual machine with them, within a time limit.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::machine::{QEMU, wait_child};

/// What executes a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, through the kernel.
    Kvm,
    /// QEMU's translator; works everywhere, ten times slower or more.
    Tcg,
}

/// How long KVM may take to make an empty machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Finds the accelerator that works on this machine.
pub fn accelerator() -> Accelerator {
    let virtualises = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| has_flag(&text));
    if virtualises && kvm_makes_a_machine() { Accelerator::Kvm } else { Accelerator::Tcg }
}

/// True if the processor has AMD's or Intel's virtualisation.
fn has_flag(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .filter_map(|line| line.strip_prefix("flags"))
        .any(|flags| flags.split_whitespace().any(|flag| matches!(flag, "svm" | "vmx")))
}

/// `KVM_GET_API_VERSION` and `KVM_CREATE_VM`, made by QEMU in a process of its own: a call that never
/// comes back hangs that process, not this one.
fn kvm_makes_a_machine() -> bool {
    let child = Command::new(QEMU)
        .args(["-no-user-config", "-nodefaults", "-display", "none", "-S"])
        .args(["-machine", "none", "-accel", "kvm", "-qmp", "stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    child.is_ok_and(|mut child| {
        let works = quit(&mut child);
        if !works {
            // A process inside a call that hangs cannot be ended; it is left alone then.
            let _ = child.kill();
            let _ = wait_child(&mut child, LIMIT);
        }
        works
    })
}

fn quit(child: &mut Child) -> bool {
    let words = b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n";
    let asked = child.stdin.take().is_some_and(|mut stdin| stdin.write_all(words).is_ok());
    asked && wait_child(child, LIMIT).ok().flatten().is_some_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_decides_first() {
        assert!(has_flag("processor : 0\nflags\t\t: fpu svm sse\n"));
        assert!(has_flag("flags : vmx\n"));
        assert!(!has_flag("flags : fpu sse\nvmx flags : ept\nmodel name : svm vmx\n"));
    }
}
