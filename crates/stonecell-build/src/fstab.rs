//! `/etc/fstab` of the image before the controls add their options: one line a state partition, by the UUID of
//! its file system.
//!
//! The root itself has no line: `/init` mounted it and nothing may remount it.

use std::fmt::Write;

/// A partition of the image that holds state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateMount {
    /// Absolute mount point, for example `/var/log`.
    pub target: String,
    /// File system type, for example `ext4`.
    pub fs: String,
    /// File system UUID, lower case with dashes.
    pub uuid: String,
    /// Options that the definition adds.
    pub options: Vec<String>,
}

/// Writes the file: state partitions sorted by mount point, so that a parent comes before its child, then `more`.
#[must_use]
pub fn render(state: &[StateMount], more: &[String]) -> String {
    let mut sorted: Vec<&StateMount> = state.iter().collect();
    sorted.sort_by(|a, b| a.target.cmp(&b.target));
    let mut text =
        String::from("# Written by stonecell: state partitions, then what the controls ask for.\n");
    for mount in sorted {
        let StateMount { target, fs, uuid, options } = mount;
        let options = if options.is_empty() { "defaults".to_owned() } else { options.join(",") };
        // ext4 replays its journal when it is mounted; a separate fsck at boot would only cost time.
        let _ = writeln!(text, "UUID={uuid} {target} {fs} {options} 0 0");
    }
    for line in more {
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_parents_first() {
        let mount = |target: &str, uuid: &str, options: &[&str]| StateMount {
            target: target.into(),
            fs: "ext4".into(),
            uuid: uuid.into(),
            options: options.iter().map(ToString::to_string).collect(),
        };
        let text = render(
            &[mount("/var/log", "b", &[]), mount("/var", "a", &["nodev", "noexec"])],
            &["tmpfs /x tmpfs defaults 0 0".into()],
        );
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "UUID=a /var ext4 nodev,noexec 0 0",
                "UUID=b /var/log ext4 defaults 0 0",
                "tmpfs /x tmpfs defaults 0 0",
            ]
        );
    }
}
