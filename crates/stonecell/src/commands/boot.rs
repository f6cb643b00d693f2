//! `stonecell boot`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use stonecell_machine::variables::{self, Keys};
use stonecell_machine::{
    Boot, Bus, Console, Disk, End, Firmware, Format, Machine, MachineSpec, Network, accelerator,
    command_line, free_port,
};
use stonecell_stemcell::open::{self, Content};
use stonecell_stemcell::scratch::Scratch;

use super::abandon_on_signal;
use crate::cli::BootArgs;
use crate::failure::{Class, Failure};
use crate::terminal::Terminal;

/// No machine runs longer than this unwatched: 136 years in seconds.
const BOUND: u64 = u32::MAX as u64;

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Class::Failed, error)
}

pub(super) fn run(args: &BootArgs, terminal: &Terminal) -> Result<(), Failure> {
    abandon_on_signal()?;
    let work = Scratch::new().map_err(failed)?;
    let image = image(&args.path)?;
    let disk = disk(args, &image, work.path())?;
    let firmware = Firmware::find(args.secure_boot).map_err(failed)?;
    let boot = firmware.boot(&work.path().join("variables.fd")).map_err(failed)?;
    if let (Boot::Uefi { variables, .. }, true) = (&boot, args.secure_boot) {
        let certificate = certificate(args, &image)?;
        let empty = std::fs::read(variables).map_err(failed)?;
        let keys = Keys { pk: &certificate, kek: &[&certificate], db: &[&certificate] };
        let enrolled = variables::enrol(&empty, &keys).map_err(failed)?;
        std::fs::write(variables, enrolled).map_err(failed)?;
    }
    let port = args.ssh.then(free_port).transpose().map_err(failed)?;
    let spec = MachineSpec {
        boot,
        disks: vec![disk],
        memory_mib: args.memory,
        cpus: args.cpus,
        accelerator: accelerator(),
        network: Some(Network { ssh_port: port }),
        console: Console::Terminal,
        oem_strings: Vec::new(),
        reboot: false,
    };
    if args.dry_run {
        let words: Vec<String> = command_line(&spec, &work.path().join("control"))
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        terminal.facts(&json!({ "command": words }), || words.join(" ") + "\n");
        return Ok(());
    }
    if let Some(port) = port {
        eprintln!("when it is up: ssh -p {port} USER@127.0.0.1");
    }
    let mut machine = Machine::start(&spec, work.path()).map_err(failed)?;
    let patience = Duration::from_secs(args.timeout.unwrap_or(BOUND));
    match machine.wait(patience).map_err(failed)? {
        End::PowerOff | End::Reset | End::Ended => Ok(()),
        End::Panic => Err(failed("the machine's kernel panicked; the console above says why")),
    }
}

/// The stemcell or disk itself, or the best one in an output directory: raw, then qcow2, then a stemcell.
fn image(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let mut names: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(failed)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    names.sort();
    ["raw", "qcow2", "tgz"]
        .iter()
        .find_map(|wanted| {
            names.iter().find(|name| name.extension().is_some_and(|found| found == *wanted))
        })
        .cloned()
        .ok_or_else(|| failed(format!("{} holds no disk image and no stemcell", path.display())))
}

/// The disk as QEMU takes it; never written unless the user gave a place for the machine's state.
fn disk(args: &BootArgs, image: &Path, work: &Path) -> Result<Disk, Failure> {
    let base = match image.extension().and_then(|extension| extension.to_str()) {
        Some("qcow2") => {
            open::whole(image).map_err(failed)?;
            image.to_owned()
        }
        _ => match open::open(image, work).map_err(failed)?.content {
            Content::Disk(disk) => disk,
            Content::RootTar(_) => {
                return Err(failed("a container's root file system has no boot loader to boot"));
            }
            Content::Light => {
                return Err(failed("a light stemcell has no disk; its image is in the cloud"));
            }
        },
    };
    let base = std::path::absolute(&base).map_err(failed)?;
    let format =
        if base.extension().is_some_and(|e| e == "qcow2") { Format::Qcow2 } else { Format::Raw };
    let Some(state) = &args.state else {
        return Ok(Disk { path: base, format, bus: Bus::Virtio, snapshot: true });
    };
    if !state.exists() {
        let output = std::process::Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F"])
            .arg(if format == Format::Qcow2 { "qcow2" } else { "raw" })
            .arg("-b")
            .arg(&base)
            .arg(state)
            .output()
            .map_err(failed)?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
    }
    Ok(Disk { path: state.clone(), format: Format::Qcow2, bus: Bus::Virtio, snapshot: false })
}

/// The certificate to trust: given, or the one that the build put beside the image.
fn certificate(args: &BootArgs, image: &Path) -> Result<Vec<u8>, Failure> {
    if let Some(path) = &args.certificate {
        return std::fs::read(path).map_err(failed);
    }
    let beside = image.parent().unwrap_or_else(|| Path::new("."));
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(if beside.as_os_str().is_empty() { Path::new(".") } else { beside })
            .map_err(failed)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "crt"))
            .collect();
    found.sort();
    match found.as_slice() {
        [one] => std::fs::read(one).map_err(failed),
        [] => Err(failed("no certificate beside the image: name one with --certificate")),
        _ => Err(failed("several certificates beside the image: name one with --certificate")),
    }
}
