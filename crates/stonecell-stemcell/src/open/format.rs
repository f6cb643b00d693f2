//! Disk formats: told apart by their bytes, and turned into raw disks by `qemu-img`, which opens no file but the one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{OpenError, io_error, read_up_to};

/// The raw form of a disk: itself when it is raw, else converted into `work`.
pub(super) fn to_raw(disk: &Path, work: &Path) -> Result<PathBuf, OpenError> {
    let format = sniff(disk)
        .map_err(|s| io_error("read", disk, s))?
        .ok_or_else(|| OpenError::Unknown { path: disk.to_owned() })?;
    if format == "raw" {
        return Ok(disk.to_owned());
    }
    if let Some(other) = names_other_files(disk, format).map_err(|s| io_error("read", disk, s))? {
        return Err(OpenError::OtherFiles { path: disk.to_owned(), other });
    }
    let raw = work.join("disk.raw");
    let mut source = serde_json::json!({
        "driver": format,
        "file": { "driver": "file", "filename": disk.to_string_lossy() },
    });
    if let (true, Some(map)) = (matches!(format, "qcow2" | "vmdk"), source.as_object_mut()) {
        map.insert("backing".into(), serde_json::Value::Null);
    }
    let output = Command::new("qemu-img")
        .env("LC_ALL", "C")
        .args(["convert", "-O", "raw", "--"])
        .arg(format!("json:{source}"))
        .arg(plain(&raw))
        .output()
        .map_err(|s| io_error("run qemu-img (package qemu-utils) on", disk, s))?;
    if output.status.success() {
        return Ok(raw);
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(OpenError::Convert { path: disk.to_owned(), format, message })
}

/// Refuses a disk that makes QEMU open further files, which whoever made it has chosen.
///
/// # Errors
/// [`OpenError::OtherFiles`], and others when it cannot be read or is no disk.
pub fn whole(disk: &Path) -> Result<(), OpenError> {
    let format = sniff(disk)
        .map_err(|s| io_error("read", disk, s))?
        .ok_or_else(|| OpenError::Unknown { path: disk.to_owned() })?;
    match names_other_files(disk, format).map_err(|s| io_error("read", disk, s))? {
        Some(other) => Err(OpenError::OtherFiles { path: disk.to_owned(), other }),
        None => Ok(()),
    }
}

/// What in a disk's header makes qemu-img open further files: a stranger's disk must not choose them.
fn names_other_files(disk: &Path, format: &str) -> io::Result<Option<&'static str>> {
    let mut head = [0; 80];
    let mut file = File::open(disk)?;
    read_up_to(&mut file, &mut head)?;
    let field = |at: usize| head.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied();
    Ok(match format {
        // Version 2 ends its header at byte 72; the feature bits follow in version 3.
        "qcow2" => {
            let backing = field(8).map(u64::from_be_bytes) != Some(0);
            let version = field(0).map(u64::from_be_bytes).unwrap_or(0) & 0xffff_ffff;
            let data = field(72).map(u64::from_be_bytes).is_some_and(|bits| bits & 4 != 0);
            match (backing, version > 2 && data) {
                (true, _) => Some("a backing file"),
                (false, true) => Some("an external data file"),
                (false, false) => None,
            }
        }
        // Without a capacity the extents come from the descriptor's text.
        "vmdk" if !head.starts_with(b"KDMV") || field(12) == Some([0; 8]) => Some("extents"),
        _ => None,
    })
}

/// `qemu-img` takes a name with a colon for a protocol; one with a slash before it is a file.
fn plain(path: &Path) -> PathBuf {
    if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) }
}

/// Which format a disk has, by its bytes: a raw disk has a GPT in its second sector.
fn sniff(disk: &Path) -> io::Result<Option<&'static str>> {
    let mut file = File::open(disk)?;
    let mut head = [0; 1024];
    let length = read_up_to(&mut file, &mut head)?;
    let head = head.get(..length).unwrap_or_default();
    let size = file.metadata()?.len();
    Ok(if head.starts_with(b"QFI\xfb") {
        Some("qcow2")
    } else if head.starts_with(b"KDMV") || head.starts_with(b"# Disk DescriptorFile") {
        Some("vmdk")
    } else if head.starts_with(b"conectix")
        || (size >= 512 && tail(&mut file)?.starts_with(b"conectix"))
    {
        Some("vpc")
    } else if head.get(512..520) == Some(b"EFI PART".as_slice()) {
        Some("raw")
    } else {
        None
    })
}

fn tail(file: &mut File) -> io::Result<[u8; 8]> {
    let mut bytes = [0; 8];
    file.seek(SeekFrom::End(-512))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Content, open};
    use super::*;

    /// A disk that is a GPT header and nothing else: enough to be told apart.
    pub(crate) fn tiny_disk(path: &Path) {
        let mut bytes = vec![0; 1 << 20];
        bytes[512..520].copy_from_slice(b"EFI PART");
        bytes[4096] = 7;
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn every_format_comes_back_raw_and_none_may_name_other_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let disk = at("source.raw");
        tiny_disk(&disk);
        let qemu_img = |arguments: &[&str]| {
            let status = Command::new("qemu-img")
                .current_dir(dir.path())
                .args(arguments)
                .stdout(std::process::Stdio::null())
                .status()
                .unwrap();
            assert!(status.success(), "{arguments:?}");
        };
        let forms = [
            ("a.qcow2", ["qcow2", "compat=1.1"]),
            ("b.qcow2", ["qcow2", "compat=0.10"]),
            ("c.vhd", ["vpc", "subformat=fixed,force_size=on"]),
            ("d.vhd", ["vpc", "subformat=dynamic,force_size=on"]),
            ("e.vmdk", ["vmdk", "subformat=streamOptimized"]),
        ];
        for (name, [format, options]) in forms {
            qemu_img(&["convert", "-O", format, "-o", options, "source.raw", name]);
            let work = at(&format!("{name}.work"));
            std::fs::create_dir(&work).unwrap();
            let Content::Disk(raw) = open(&at(name), &work).unwrap().content else { panic!() };
            assert_eq!(std::fs::read(raw).unwrap(), std::fs::read(&disk).unwrap(), "{name}");
        }
        qemu_img(&["create", "-q", "-f", "qcow2", "-b", "source.raw", "-F", "raw", "f.qcow2"]);
        let data = "data_file=secret.data,data_file_raw=on";
        qemu_img(&["create", "-q", "-f", "qcow2", "-o", data, "g.qcow2", "1M"]);
        std::fs::write(at("h.vmdk"), "# Disk DescriptorFile\nRW 1 FLAT \"source.raw\" 0\n")
            .unwrap();
        for name in ["f.qcow2", "g.qcow2", "h.vmdk"] {
            let error = open(&at(name), dir.path()).unwrap_err();
            assert!(matches!(error, OpenError::OtherFiles { .. }), "{name}: {error}");
        }
    }
}
