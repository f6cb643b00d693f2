//! fstab(5): six fields a line, spaces written as `\040`.

use super::{join, split};
use crate::requirements::MountWant;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) fs: String,
    pub(crate) options: Vec<String>,
    rest: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// Decodes `\040` and the like; what is no escape stays.
fn decode(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\'
            && let Some((digits, behind)) = after.split_at_checked(3)
            && let Some(byte) =
                std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 8).ok())
        {
            bytes.push(byte);
            rest = behind;
            continue;
        }
        bytes.push(first);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(field: &str) -> String {
    field.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

fn parse_line(line: &str, number: usize) -> Option<Mount> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let mut fields = line.split_whitespace();
    let (source, target, fs) = (fields.next()?, fields.next()?, fields.next()?);
    let options = fields.next().unwrap_or("defaults");
    Some(Mount {
        source: decode(source),
        target: decode(target),
        fs: fs.to_owned(),
        options: options
            .split(',')
            .filter(|option| !option.is_empty())
            .map(str::to_owned)
            .collect(),
        rest: fields.collect::<Vec<_>>().join(" "),
        line: number,
    })
}

/// All mounts of a table.
pub(crate) fn parse(text: &str) -> Vec<Mount> {
    text.lines().enumerate().filter_map(|(index, line)| parse_line(line, index + 1)).collect()
}

/// The option that takes another back: `noexec` and `exec`.
pub(crate) fn opposite(option: &str) -> Option<String> {
    const PAIRS: [&str; 7] = ["exec", "suid", "dev", "atime", "auto", "user", "symfollow"];
    match option {
        "ro" => return Some("rw".to_owned()),
        "rw" => return Some("ro".to_owned()),
        _ => {}
    }
    if PAIRS.contains(&option) {
        return Some(format!("no{option}"));
    }
    option.strip_prefix("no").filter(|rest| PAIRS.contains(rest)).map(str::to_owned)
}

/// Whether an option is in force among others: the later one of two that contradict each other counts, `defaults` stands for
/// `rw,suid,dev,exec`.
pub(crate) fn in_force(options: &[String], wanted: &str) -> bool {
    let name = wanted.split_once('=').map(|(name, _)| format!("{name}="));
    let opposite = opposite(wanted);
    for option in options.iter().rev() {
        if option == wanted {
            return true;
        }
        let undone = Some(option) == opposite.as_ref()
            || (option == "defaults" && matches!(wanted, "ro" | "nosuid" | "nodev" | "noexec"))
            || name.as_ref().is_some_and(|name| option.starts_with(name.as_str()));
        if undone {
            return false;
        }
    }
    false
}

/// The options of a mount with those wanted put in force; the others stay.
fn with_options(options: &[String], want: &MountWant) -> Vec<String> {
    let mut result = options.to_vec();
    let size = want.size.as_ref().map(|size| format!("size={size}"));
    for wanted in want.options.iter().chain(&size) {
        if in_force(&result, wanted) {
            continue;
        }
        let name = wanted.split_once('=').map(|(name, _)| format!("{name}="));
        let opposite = opposite(wanted);
        result.retain(|option| {
            option != wanted
                && Some(option) != opposite.as_ref()
                && !name.as_ref().is_some_and(|name| option.starts_with(name.as_str()))
        });
        result.push(wanted.clone());
    }
    if result.len() > 1 {
        result.retain(|option| option != "defaults");
    }
    result
}

/// Brings wanted mounts into a table: options are added to the line of the target; a missing line is added when the want
/// names a file system. A want without one and without a line is left alone: only the builder knows the partition.
#[must_use]
pub fn merge(text: &str, wants: &[MountWant]) -> String {
    let mut lines = split(text);
    for want in wants {
        let place = lines
            .iter()
            .position(|line| parse_line(line, 0).is_some_and(|mount| mount.target == want.target));
        match (place.and_then(|place| lines.get_mut(place)), &want.fs) {
            (Some(line), _) => {
                if let Some(mut mount) = parse_line(line, 0) {
                    let options = with_options(&mount.options, want);
                    if options != mount.options {
                        mount.options = options;
                        *line = render(&mount);
                    }
                }
            }
            (None, Some(fs)) => {
                lines.push(render(&Mount {
                    source: fs.clone(),
                    target: want.target.clone(),
                    fs: fs.clone(),
                    options: with_options(&[], want),
                    rest: "0 0".to_owned(),
                    line: 0,
                }));
            }
            (None, None) => {}
        }
    }
    join(&lines)
}

fn render(mount: &Mount) -> String {
    let rest = if mount.rest.is_empty() { "0 0" } else { &mount.rest };
    let (source, target) = (encode(&mount.source), encode(&mount.target));
    format!("{source} {target} {} {} {rest}", mount.fs, mount.options.join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode, encode, in_force, merge, parse};
    use crate::requirements::MountWant;

    fn want(target: &str, fs: Option<&str>, options: &[&str]) -> MountWant {
        MountWant {
            target: target.to_owned(),
            fs: fs.map(str::to_owned),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            size: None,
        }
    }

    #[test]
    fn options_join_the_line_of_the_target() {
        let text = "# table\nUUID=1 /var ext4 defaults 0 2\n";
        let merged = merge(
            text,
            &[want("/var", None, &["nodev", "nosuid"]), want("/tmp", Some("tmpfs"), &["noexec"])],
        );
        assert_eq!(
            merged,
            "# table\nUUID=1 /var ext4 nodev,nosuid 0 2\ntmpfs /tmp tmpfs noexec 0 0\n"
        );
        assert_eq!(merge(text, &[want("/home", None, &["nodev"])]), text);
    }

    #[test]
    fn the_later_of_two_contradicting_options_counts() {
        let options = |text: &str| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
        assert!(in_force(&options("exec,noexec"), "noexec"));
        assert!(!in_force(&options("noexec,exec"), "noexec"));
        assert!(!in_force(&options("noexec,defaults"), "noexec"));
        assert!(in_force(&options("size=1,size=2"), "size=2"));
        assert!(!in_force(&options("size=2,size=1"), "size=2"));
    }

    proptest! {
        #[test]
        fn merging_puts_in_force_and_is_idempotent(
            options in "(defaults|exec|noexec|dev|size=1)(,(defaults|exec|noexec|dev|size=1)){0,4}",
            other in "(# [a-z ]{0,9}|proc /proc proc nosuid 0 0|)",
        ) {
            let text = format!("{other}\nx /t ext4 {options} 0 2\n");
            let mut wanted = want("/t", None, &["noexec", "nodev"]);
            wanted.size = Some("7".to_owned());
            let wants = [wanted];
            let merged = merge(&text, &wants);
            prop_assert_eq!(merge(&merged, &wants), merged.clone());
            prop_assert_eq!(merged.lines().next(), Some(other.as_str()));
            let mounts = parse(&merged);
            let mount = mounts.iter().find(|mount| mount.target == "/t").expect("still there");
            for option in ["noexec", "nodev", "size=7"] {
                prop_assert!(in_force(&mount.options, option), "{:?}", mount.options);
            }
        }

        #[test]
        fn fields_survive(field in "[a-z \\\\\t0-9]{1,12}") {
            prop_assert_eq!(decode(&encode(&field)), field);
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,80}") {
            parse(&text);
            let _ = merge(&text, &[want("/t", Some("tmpfs"), &["nodev"])]);
        }
    }
}
