//! A cpio archive in the `newc` form, as the kernel unpacks an initrd.
//!
//! Owner root, one link, the given time: nothing of the building machine. Source: kernel,
//! `Documentation/driver-api/early-userspace/buffer-format.rst`.

/// Type bits of a mode.
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive in the making.
#[derive(Debug)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    next_inode: u32,
    time: u32,
}

/// Why an entry cannot be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name} of {size} bytes is too large for a cpio archive (limit 4 GiB)")]
pub struct TooLarge {
    name: String,
    size: usize,
}

impl Archive {
    /// Begins an archive; `time` is the time of every entry, in seconds since 1970.
    pub(crate) fn new(time: u32) -> Self {
        Self { bytes: Vec::new(), next_inode: 1, time }
    }

    /// A directory; its parent must have been written.
    pub(crate) fn directory(&mut self, name: &str, permissions: u32) -> Result<(), TooLarge> {
        self.entry(name, DIRECTORY | permissions, (0, 0), &[])
    }

    /// A file.
    pub(crate) fn file(
        &mut self,
        name: &str,
        permissions: u32,
        content: &[u8],
    ) -> Result<(), TooLarge> {
        self.entry(name, FILE | permissions, (0, 0), content)
    }

    /// A character device.
    pub(crate) fn character_device(
        &mut self,
        name: &str,
        permissions: u32,
        number: (u32, u32),
    ) -> Result<(), TooLarge> {
        self.entry(name, CHARACTER_DEVICE | permissions, number, &[])
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, TooLarge> {
        self.next_inode = 0;
        self.time = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        Ok(self.bytes)
    }

    fn entry(
        &mut self,
        name: &str,
        mode: u32,
        device: (u32, u32),
        content: &[u8],
    ) -> Result<(), TooLarge> {
        let too_large = |_| TooLarge { name: name.to_owned(), size: content.len() };
        let size = u32::try_from(content.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        let links = if mode & DIRECTORY != 0 { 2 } else { 1 };
        let fields = [
            self.next_inode,
            mode,
            0,
            0,
            links,
            self.time,
            size,
            0,
            0,
            device.0,
            device.1,
            name_size,
            0,
        ];
        self.next_inode += 1;
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn cpio_reads_it_back() {
        let mut archive = Archive::new(1_700_000_000);
        archive.directory("dev", 0o755).unwrap();
        archive.character_device("dev/null", 0o666, (1, 3)).unwrap();
        archive.file("init", 0o755, b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 512, 0);
        let mut cpio = Command::new("cpio")
            .args(["-itvn", "--quiet"])
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        cpio.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        let lines: Vec<Vec<&str>> =
            output.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0][..4], ["drwxr-xr-x", "2", "0", "0"]);
        assert_eq!(lines[1][..6], ["crw-rw-rw-", "1", "0", "0", "1,", "3"]);
        assert_eq!(lines[2][..5], ["-rwxr-xr-x", "1", "0", "0", "5"]);
        assert_eq!(lines[2][5..], ["Nov", "14", "2023", "init"]);
    }
}
