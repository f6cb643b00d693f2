//! The image's `/etc/fstab`: which partition is mounted where (fstab(5)).

/// One line that mounts a partition of the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// For example `UUID=…` or `PARTLABEL=var`.
    pub source: String,
    /// Absolute path.
    pub target: String,
    /// For example `ext4`.
    pub fs: String,
}

/// The lines with an ext4 file system, sorted by target: a parent comes before its child. The rest (tmpfs,
/// bind mounts) has no bytes on the disk.
#[must_use]
pub fn state_mounts(text: &str) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().map(unescape);
            Some(Mount { source: fields.next()?, target: fields.next()?, fs: fields.next()? })
        })
        .filter(|mount| mount.fs == "ext4" && mount.target.starts_with('/'))
        .collect();
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    mounts
}

/// `\040` stands for a space, `\011` for a tabulator, `\134` for a backslash.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ext4_lines_count_and_parents_come_first() {
        let text = "# UUID=z /z ext4\nUUID=b /var/log ext4 nodev 0 0\ntmpfs /tmp tmpfs size=1g\n\
                    \nUUID=a\t/var  ext4\nshort /x\nUUID=c /a\\040b ext4 - 0 0\n";
        let found = state_mounts(text);
        let targets: Vec<&str> = found.iter().map(|mount| mount.target.as_str()).collect();
        assert_eq!(targets, ["/a b", "/var", "/var/log"]);
        assert_eq!(found[1].source, "UUID=a");
    }
}
