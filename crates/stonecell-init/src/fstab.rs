//! The mount table of the verified root, as far as it is ours to carry out: ext4 by the UUID of its file system, and
//! tmpfs. Every other line, and every line with an option that a program of the system has to understand, is left to
//! systemd, which reads the same table.

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The ext4 file system with this UUID.
    Ext4([u8; 16]),
    /// Memory.
    Tmpfs,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What.
    pub source: Source,
    /// Where: absolute, without empty components, `.` and `..`.
    pub target: String,
    /// `ro`.
    pub read_only: bool,
    /// `nosuid`.
    pub no_suid: bool,
    /// `nodev`.
    pub no_dev: bool,
    /// `noexec`.
    pub no_exec: bool,
    /// The options of the file system itself, with commas between.
    pub data: String,
}

/// The lines that are ours, in the order of the file.
pub fn parse(text: &str) -> Vec<Mount> {
    entries(text).filter_map(line).collect()
}

/// Are there lines that are not ours?
pub fn leaves_some(text: &str) -> bool {
    entries(text).any(|entry| line(entry).is_none())
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn line(line: &str) -> Option<Mount> {
    let mut fields = line.split_whitespace();
    let (what, target, kind, options) =
        (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let source = match kind {
        "ext4" => Source::Ext4(uuid(what.strip_prefix("UUID=")?)?),
        "tmpfs" => Source::Tmpfs,
        _ => return None,
    };
    let plain = target.strip_prefix('/')?.split('/').all(|part| !matches!(part, "" | "." | ".."));
    // A backslash begins an octal escape.
    if !plain || target.contains('\\') {
        return None;
    }
    let mut mount = Mount {
        source,
        target: target.to_owned(),
        read_only: false,
        no_suid: false,
        no_dev: false,
        no_exec: false,
        data: String::new(),
    };
    for option in options.split(',') {
        match option {
            "defaults" | "rw" => {}
            "ro" => mount.read_only = true,
            "nosuid" => mount.no_suid = true,
            "nodev" => mount.no_dev = true,
            "noexec" => mount.no_exec = true,
            _ if of_the_file_system(option) => {
                if !mount.data.is_empty() {
                    mount.data.push(',');
                }
                mount.data.push_str(option);
            }
            _ => return None,
        }
    }
    // The kernel's default lets everybody write.
    if mount.source == Source::Tmpfs && !mount.data.split(',').any(|o| o.starts_with("mode=")) {
        let comma = if mount.data.is_empty() { "" } else { "," };
        mount.data = format!("mode=0755{comma}{}", mount.data);
    }
    Some(mount)
}

/// Options that the kernel takes as they are (tmpfs(5), ext4(5)).
fn of_the_file_system(option: &str) -> bool {
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    matches!(name, "mode" | "size" | "nr_inodes" | "uid" | "gid" | "data" | "commit" | "errors")
}

fn uuid(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    hex::decode_to_slice(text.replace('-', ""), &mut bytes).ok()?;
    Some(bytes)
}

/// Bytes at the start of a partition that [`ext4_uuid`] wants.
pub const EXT4_START: usize = 1024 + 0x78;

/// The UUID of the ext4 file system that begins with these bytes. Source: kernel,
/// `Documentation/filesystems/ext4/super.rst`.
pub fn ext4_uuid(start: &[u8]) -> Option<[u8; 16]> {
    let superblock = start.get(1024..EXT4_START)?;
    if superblock.get(0x38..0x3a)? != [0x53, 0xef] {
        return None;
    }
    superblock.get(0x68..0x78)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    #[test]
    fn reads_state_and_memory() {
        let text = format!(
            "# state\nUUID={UUID} /var ext4 nodev,nosuid,rw 0 0\n\
             tmpfs /tmp tmpfs mode=1777,nodev,noexec,nosuid,size=25% 0 0\n"
        );
        let [var, tmp] = parse(&text).try_into().unwrap();
        assert_eq!(
            var,
            Mount {
                source: Source::Ext4(uuid(UUID).unwrap()),
                target: "/var".into(),
                read_only: false,
                no_suid: true,
                no_dev: true,
                no_exec: false,
                data: String::new(),
            }
        );
        assert_eq!((tmp.source, tmp.target.as_str()), (Source::Tmpfs, "/tmp"));
        assert_eq!((tmp.data.as_str(), tmp.no_exec), ("mode=1777,size=25%", true));
    }

    #[test]
    fn memory_is_roots_unless_the_table_says_otherwise() {
        let data = |line| parse(line)[0].data.clone();
        assert_eq!(data("tmpfs /run tmpfs noexec 0 0"), "mode=0755");
        assert_eq!(data("tmpfs /run tmpfs size=20% 0 0"), "mode=0755,size=20%");
        assert_eq!(data("tmpfs /tmp tmpfs size=20%,mode=1777 0 0"), "size=20%,mode=1777");
    }

    #[test]
    fn leaves_the_rest_to_systemd() {
        for line in [
            "LABEL=x /data ext4 rw 0 0",
            "UUID=00 /data ext4 rw 0 0",
            "/dev/vdb /data xfs rw 0 0",
            "tmpfs /a tmpfs noauto 0 0",
            "tmpfs /a tmpfs x-systemd.automount 0 0",
            "tmpfs /a/../b tmpfs rw 0 0",
            "tmpfs a tmpfs rw 0 0",
            "tmpfs / tmpfs rw 0 0",
            "tmpfs /a\\040b tmpfs rw 0 0",
            "tmpfs /a tmpfs",
        ] {
            assert_eq!(parse(line), [], "{line}");
            assert!(leaves_some(line), "{line}");
        }
        assert!(!leaves_some("# a comment\n\ntmpfs /tmp tmpfs rw 0 0\n"));
        assert!(leaves_some("tmpfs /tmp tmpfs rw 0 0\nLABEL=x none swap sw 0 0\n"));
    }

    #[test]
    fn finds_the_uuid_of_a_file_system() {
        let mut start = vec![0; EXT4_START];
        start[1024 + 0x68..].copy_from_slice(&uuid(UUID).unwrap());
        assert_eq!(ext4_uuid(&start), None);
        start[1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(ext4_uuid(&start), uuid(UUID));
        assert_eq!(ext4_uuid(&start[..EXT4_START - 1]), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, bytes: Vec<u8>) {
            let _ = parse(&text);
            let _ = ext4_uuid(&bytes);
        }
    }
}
