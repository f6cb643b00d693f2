//! `/etc/fstab` of the image: state partitions by their UUID, temporary file systems, and the options that
//! the mount controls ask for, merged into one line a mount point.
//!
//! The root itself has no line: `/init` mounted it and nothing may remount it.

use std::collections::BTreeMap;
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

/// What a control or a role wants of a mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Absolute mount point.
    pub target: String,
    /// File system type of an API or temporary file system; `None` for a state partition.
    pub fs: Option<String>,
    /// Mount options.
    pub options: Vec<String>,
}

#[derive(Debug, Default)]
struct Line {
    source: String,
    fs: String,
    options: Vec<String>,
}

/// Writes the file. Lines are sorted by mount point, so that a parent comes before its child.
///
/// A wanted option on a mount point that is neither a state partition nor given a file system type applies
/// to nothing in this image and is left out: the control that asked for it reports so at audit.
#[must_use]
pub fn render(state: &[StateMount], wanted: &[Wanted]) -> String {
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    for mount in state {
        let line = lines.entry(&mount.target).or_default();
        line.source = format!("UUID={}", mount.uuid);
        line.fs.clone_from(&mount.fs);
        merge(&mut line.options, &mount.options);
    }
    for want in wanted {
        if let Some(fs) = &want.fs {
            let line = lines.entry(&want.target).or_default();
            if line.source.is_empty() {
                line.source.clone_from(fs);
                line.fs.clone_from(fs);
            }
        }
        if let Some(line) = lines.get_mut(want.target.as_str()) {
            merge(&mut line.options, &want.options);
        }
    }
    let mut text = String::from("# Written by stonecell. State partitions and temporary file systems.\n");
    for (target, line) in lines {
        let options =
            if line.options.is_empty() { "defaults".to_owned() } else { line.options.join(",") };
        // ext4 replays its journal when it is mounted; a separate fsck at boot would only cost time.
        let _ = writeln!(text, "{} {target} {} {options} 0 0", line.source, line.fs);
    }
    text
}

/// Adds options that are not there yet; `key=value` replaces an earlier value of the same key.
fn merge(options: &mut Vec<String>, more: &[String]) {
    for option in more {
        let key = option.split('=').next().unwrap_or(option);
        let same = options.iter_mut().find(|have| have.split('=').next() == Some(key));
        match same {
            Some(have) => have.clone_from(option),
            None => options.push(option.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn merges_options_and_sorts_parents_first() {
        let state = [
            StateMount {
                target: "/var/log".into(),
                fs: "ext4".into(),
                uuid: "b".into(),
                options: vec![],
            },
            StateMount {
                target: "/var".into(),
                fs: "ext4".into(),
                uuid: "a".into(),
                options: options(&["nodev"]),
            },
        ];
        let wanted = [
            Wanted { target: "/var".into(), fs: None, options: options(&["nosuid", "nodev"]) },
            Wanted {
                target: "/tmp".into(),
                fs: Some("tmpfs".into()),
                options: options(&["size=25%", "mode=1777"]),
            },
            Wanted { target: "/tmp".into(), fs: Some("tmpfs".into()), options: options(&["size=50%"]) },
            Wanted { target: "/nowhere".into(), fs: None, options: options(&["nodev"]) },
        ];
        let text = render(&state, &wanted);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "tmpfs /tmp tmpfs size=50%,mode=1777 0 0",
                "UUID=a /var ext4 nodev,nosuid 0 0",
                "UUID=b /var/log ext4 defaults 0 0",
            ]
        );
    }
}
