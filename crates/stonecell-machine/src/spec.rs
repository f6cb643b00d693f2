//! What a machine is, and the QEMU command line that follows from it.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::accelerator::Accelerator;

/// A machine to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineSpec {
    /// How it starts.
    pub boot: Boot,
    /// Its disks, in order.
    pub disks: Vec<Disk>,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Number of processors.
    pub cpus: u32,
    /// What executes it.
    pub accelerator: Accelerator,
    /// With a network card (user mode: outgoing only). `None`: without.
    pub network: Option<Network>,
    /// Where the serial console goes.
    pub console: Console,
    /// SMBIOS OEM strings, by which systemd takes credentials.
    pub oem_strings: Vec<String>,
    /// Run the guest's reset instead of ending.
    pub reboot: bool,
}

/// A network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Network {
    /// Port of the loopback interface that leads to the guest's port 22.
    pub ssh_port: Option<u16>,
}

/// How a machine starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// UEFI firmware, then what the disk holds.
    Uefi {
        /// Code of the firmware; not written.
        code: PathBuf,
        /// This machine's own copy of the variables; written.
        variables: PathBuf,
        /// Only the firmware may write the variables (system management mode). Wanted by, and only
        /// by, the code that enforces Secure Boot.
        secure: bool,
    },
    /// A kernel from this machine, without firmware or boot loader.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// Its initrd.
        initrd: PathBuf,
        /// Its command line.
        command_line: String,
    },
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
    /// Its format; never guessed, since a guest could write another header.
    pub format: Format,
    /// What it is attached to.
    pub bus: Bus,
    /// Writes go to a temporary file and are lost at the end.
    pub snapshot: bool,
}

/// Format of a disk image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The bytes of the disk.
    Raw,
    /// QEMU's own.
    Qcow2,
}

/// A disk controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk.
    Virtio,
    /// virtio-scsi, as Google and OpenStack use it.
    VirtioScsi,
    /// NVMe, as AWS uses it.
    Nvme,
    /// AHCI.
    Sata,
    /// VMware's paravirtual SCSI.
    Pvscsi,
}

/// Where the serial console goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Console {
    /// To our own terminal, both ways; Ctrl-A X ends the machine.
    Terminal,
    /// To [`crate::Machine`], which can wait for a text.
    Captured,
    /// Into a file.
    File(PathBuf),
    /// To a Unix socket that QEMU makes; one client, both ways.
    Socket(PathBuf),
}

/// The arguments of `qemu-system-x86_64` for a machine.
///
/// `control` is a Unix socket that is listening already; QEMU connects to it with its control
/// protocol, so nobody has to wait for QEMU to make one.
pub fn command_line(spec: &MachineSpec, control: &Path) -> Vec<OsString> {
    let mut line = Line::default();
    line.words(["-no-user-config", "-nodefaults", "-display", "none"]);
    let secure = matches!(spec.boot, Boot::Uefi { secure: true, .. });
    let machine = if secure { "q35,smm=on,vmport=off" } else { "q35,smm=off,vmport=off" };
    line.words(["-machine", machine]);
    match spec.accelerator {
        Accelerator::Kvm => line.words(["-accel", "kvm", "-cpu", "host"]),
        // Five levels of page tables make every emulated walk longer, and no guest of this size
        // has use for them. A processor that claims fast string instructions (ERMS, FSRM) is given
        // memory a byte at a time by kernel and C library; emulated, words are three times as fast.
        Accelerator::Tcg => {
            line.words(["-accel", "tcg,thread=multi", "-cpu", "max,la57=off,erms=off,fsrm=off"]);
        }
    }
    line.words(["-m".to_owned(), spec.memory_mib.to_string()]);
    line.words(["-smp".to_owned(), spec.cpus.to_string()]);
    line.words(["-device", "virtio-rng-pci", "-device", "pvpanic-pci"]);
    let reset = if spec.reboot { "reset" } else { "shutdown" };
    line.words(["-action".to_owned(), format!("reboot={reset},panic=shutdown")]);
    boot(&mut line, &spec.boot);
    for (number, disk) in spec.disks.iter().enumerate() {
        attach(&mut line, number, disk, matches!(spec.boot, Boot::Uefi { .. }));
    }
    if let Some(network) = spec.network {
        let forward = network.ssh_port.map(|port| format!(",hostfwd=tcp:127.0.0.1:{port}-:22"));
        line.words(["-netdev".to_owned(), format!("user,id=net{}", forward.unwrap_or_default())]);
        line.words(["-device", "virtio-net-pci,netdev=net,romfile="]);
    }
    match &spec.console {
        Console::Terminal => {
            line.words(["-chardev", "stdio,id=console,mux=on,signal=off"]);
            line.words(["-mon", "chardev=console,mode=readline"]);
        }
        Console::Captured => line.words(["-chardev", "stdio,id=console,signal=off"]),
        Console::File(path) => line.path("-chardev", "file,id=console,path=", path),
        Console::Socket(path) => {
            line.path("-chardev", "socket,id=console,server=on,wait=off,path=", path);
        }
    }
    line.words(["-serial", "chardev:console"]);
    line.path("-chardev", "socket,id=control,path=", control);
    line.words(["-mon", "chardev=control,mode=control"]);
    for text in &spec.oem_strings {
        line.path("-smbios", "type=11,value=", Path::new(text));
    }
    line.0
}

fn boot(line: &mut Line, boot: &Boot) {
    match boot {
        Boot::Uefi { code, variables, secure } => {
            if *secure {
                line.words(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
            }
            let drive = "if=pflash,format=raw,unit=0,readonly=on,file=";
            line.path("-drive", drive, code);
            line.path("-drive", "if=pflash,format=raw,unit=1,file=", variables);
        }
        Boot::Kernel { kernel, initrd, command_line } => {
            line.path("-kernel", "", kernel);
            line.path("-initrd", "", initrd);
            line.words(["-append", command_line]);
        }
    }
}

fn attach(line: &mut Line, number: usize, disk: &Disk, firmware: bool) {
    let format = match disk.format {
        Format::Raw => "raw",
        Format::Qcow2 => "qcow2",
    };
    let snapshot = if disk.snapshot { "on" } else { "off" };
    let drive =
        format!("if=none,id=disk{number},format={format},snapshot={snapshot},discard=unmap,file=");
    line.path("-drive", &drive, &disk.path);
    let controller = match disk.bus {
        Bus::VirtioScsi => Some("virtio-scsi-pci"),
        Bus::Pvscsi => Some("pvscsi"),
        Bus::Virtio | Bus::Nvme | Bus::Sata => None,
    };
    if let Some(controller) = controller {
        line.words(["-device".to_owned(), format!("{controller},id=bus{number}")]);
    }
    let device = match disk.bus {
        Bus::Virtio => format!("virtio-blk-pci,drive=disk{number}"),
        Bus::Nvme => format!("nvme,serial=stonecell{number},drive=disk{number}"),
        Bus::Sata => format!("ide-hd,drive=disk{number}"),
        Bus::VirtioScsi | Bus::Pvscsi => {
            format!("scsi-hd,bus=bus{number}.0,drive=disk{number}")
        }
    };
    // Told what to start from, the firmware does not look for more: a second's work in emulation. A kernel that is
    // given has the first place itself.
    let place = if firmware { format!(",bootindex={number}") } else { String::new() };
    line.words(["-device".to_owned(), format!("{device}{place}")]);
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn words<const N: usize>(&mut self, words: [impl Into<OsString>; N]) {
        self.0.extend(words.map(Into::into));
    }

    /// An option whose value ends in a path. QEMU reads a comma as the next key, unless doubled.
    fn path(&mut self, option: &str, before: &str, path: &Path) {
        let mut value = before.as_bytes().to_vec();
        for &byte in path.as_os_str().as_bytes() {
            // `-kernel` and `-initrd` take the path alone, without keys.
            if byte == b',' && !before.is_empty() {
                value.push(byte);
            }
            value.push(byte);
        }
        self.0.push(OsStr::new(option).to_owned());
        self.0.push(OsString::from_vec(value));
    }
}

/// A port of the loopback interface that nothing listens on now.
///
/// # Errors
/// The system has none left.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> MachineSpec {
        MachineSpec {
            boot: Boot::Uefi { code: "/fw/code".into(), variables: "/v,1".into(), secure: true },
            disks: vec![Disk {
                path: "/d,isk=1.raw".into(),
                format: Format::Raw,
                bus: Bus::Virtio,
                snapshot: true,
            }],
            memory_mib: 1024,
            cpus: 2,
            accelerator: Accelerator::Tcg,
            network: Some(Network { ssh_port: Some(2222) }),
            console: Console::Captured,
            oem_strings: vec!["io.systemd.credential:a=b,c".into()],
            reboot: false,
        }
    }

    fn text(spec: &MachineSpec) -> String {
        let words = command_line(spec, Path::new("/run/c"));
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn secure_boot_needs_system_management_mode() {
        let mut spec = machine();
        let secure = text(&spec);
        assert!(secure.contains("q35,smm=on"), "{secure}");
        assert!(secure.contains("-global driver=cfi.pflash01,property=secure,value=on"));
        if let Boot::Uefi { secure, .. } = &mut spec.boot {
            *secure = false;
        }
        let plain = text(&spec);
        assert!(plain.contains("q35,smm=off") && !plain.contains("cfi.pflash01"), "{plain}");
    }

    #[test]
    fn commas_in_paths_do_not_end_the_value() {
        let text = text(&machine());
        assert!(text.contains("discard=unmap,file=/d,,isk=1.raw "), "{text}");
        assert!(text.contains("unit=1,file=/v,,1 "), "{text}");
        assert!(text.contains("value=io.systemd.credential:a=b,,c"), "{text}");
    }

    #[test]
    fn every_bus_attaches_its_disk() {
        for (bus, device) in [
            (Bus::Virtio, "virtio-blk-pci,drive=disk0"),
            (Bus::VirtioScsi, "virtio-scsi-pci,id=bus0 -device scsi-hd,bus=bus0.0,drive=disk0"),
            (Bus::Nvme, "nvme,serial=stonecell0,drive=disk0"),
            (Bus::Sata, "ide-hd,drive=disk0"),
            (Bus::Pvscsi, "pvscsi,id=bus0 -device scsi-hd,bus=bus0.0,drive=disk0"),
        ] {
            let mut spec = machine();
            spec.disks[0].bus = bus;
            assert!(text(&spec).contains(&format!("-device {device},bootindex=0 ")), "{bus:?}");
        }
    }

    #[test]
    fn a_given_kernel_starts_before_any_disk() {
        let mut spec = machine();
        spec.boot = Boot::Kernel {
            kernel: "/k".into(),
            initrd: "/i".into(),
            command_line: "root=/dev/vda".into(),
        };
        assert!(!text(&spec).contains("bootindex"), "{}", text(&spec));
    }

    #[test]
    fn the_network_is_closed_unless_asked_for() {
        let mut spec = machine();
        assert!(text(&spec).contains("user,id=net,hostfwd=tcp:127.0.0.1:2222-:22 "));
        spec.network = None;
        assert!(!text(&spec).contains("net"));
    }

    #[test]
    fn kvm_is_used_only_where_it_was_found() {
        let mut spec = machine();
        let emulated = text(&spec);
        assert!(emulated.contains("-accel tcg,thread=multi -cpu max,la57=off,erms=off,fsrm=off "));
        spec.accelerator = Accelerator::Kvm;
        assert!(text(&spec).contains("-accel kvm -cpu host"));
    }
}
