//! sysctl.d(5) as systemd-sysctl reads it: `key = value`, `-key` keeps a key out of globs, the last line of a key counts,
//! and a key that is named counts more than any glob.

use std::path::{Path, PathBuf};

use globset::GlobBuilder;

/// One assignment and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// With slashes, as below `/proc/sys`; may be a glob.
    path: String,
    /// `None` for `-key`, which only keeps the key out of globs.
    pub(crate) value: Option<String>,
    pub(crate) file: PathBuf,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// A key as a path below `/proc/sys`: the first separator decides which of `.` and `/` separates.
pub(crate) fn path(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key.as_bytes().get(at) == Some(&b'.') => key
            .chars()
            .map(|sign| match sign {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The assignments of one file.
pub(crate) fn parse(text: &str, file: &Path) -> Vec<Assignment> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim().to_owned())),
            None => (line, None),
        };
        // A leading dash lets a failure pass when there is a value, and excludes from globs when there is none.
        let excludes = key.starts_with('-');
        let key = key.strip_prefix('-').unwrap_or(key).trim();
        if key.is_empty() || (value.is_none() && !excludes) {
            continue;
        }
        found.push(Assignment { path: path(key), value, file: file.to_owned(), line: index + 1 });
    }
    found
}

/// What holds for a key after all files, in their order of precedence.
pub(crate) fn effective<'a>(assignments: &'a [Assignment], key: &str) -> Option<&'a Assignment> {
    let wanted = path(key);
    if let Some(named) = assignments.iter().rfind(|one| one.path == wanted) {
        return named.value.is_some().then_some(named);
    }
    assignments.iter().rfind(|one| {
        one.value.is_some()
            && is_glob(&one.path)
            && GlobBuilder::new(&one.path)
                .literal_separator(true)
                .build()
                .is_ok_and(|glob| glob.compile_matcher().is_match(&wanted))
    })
}

/// For `net.ipvN.conf.all.X` and `.default.X`: an assignment to every interface that says something else. The kernel gives
/// each interface its own copy, so such a line undoes the setting on interfaces.
pub(crate) fn undone_by<'a>(
    assignments: &'a [Assignment],
    key: &str,
    value: &str,
) -> Option<&'a Assignment> {
    let wanted = path(key);
    let (front, last) = wanted.rsplit_once('/')?;
    let family = front.strip_suffix("/all").or_else(|| front.strip_suffix("/default"))?;
    if !family.starts_with("net/ipv") {
        return None;
    }
    let every = format!("{family}/*/{last}");
    assignments
        .iter()
        .rfind(|one| one.path == every)
        .filter(|one| one.value.as_deref().is_some_and(|other| normal(other) != normal(value)))
}

/// A value with single spaces, as the kernel compares lists.
pub(crate) fn normal(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{effective, parse, path, undone_by};

    fn value(text: &str, key: &str) -> Option<String> {
        effective(&parse(text, Path::new("/f")), key).and_then(|one| one.value.clone())
    }

    #[test]
    fn keys_may_be_written_in_two_ways() {
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net/ipv4/conf/eth0.1/x"), "net/ipv4/conf/eth0.1/x");
        assert_eq!(path("net.ipv4.conf.eth0/1.x"), "net/ipv4/conf/eth0.1/x");
        assert_eq!(path("plain"), "plain");
    }

    #[test]
    fn the_last_line_of_a_key_counts_and_names_beat_globs() {
        assert_eq!(value("a.b = 1\na/b=2\n", "a.b").as_deref(), Some("2"));
        assert_eq!(value("a.b = 1\na.* = 2\n", "a.b").as_deref(), Some("1"));
        assert_eq!(value("a.* = 2\n", "a.b").as_deref(), Some("2"));
        assert_eq!(value("a.* = 2\n-a.b\n", "a.b"), None);
        assert_eq!(value("-a.b = 3\n", "a.b").as_deref(), Some("3"));
        assert_eq!(value("# a.b = 1\n; a.b = 2\n", "a.b"), None);
    }

    #[test]
    fn a_line_for_every_interface_undoes_all() {
        let all =
            parse("net.ipv4.conf.all.rp_filter=1\nnet.ipv4.conf.*.rp_filter=2\n", Path::new("/f"));
        assert_eq!(
            undone_by(&all, "net.ipv4.conf.all.rp_filter", "1").map(|one| one.line),
            Some(2)
        );
        assert_eq!(undone_by(&all, "net.ipv4.conf.all.rp_filter", "2"), None);
        assert_eq!(undone_by(&all, "net.ipv4.conf.all.log_martians", "1"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}", key in "\\PC{0,8}") {
            effective(&parse(&text, Path::new("/f")), &key);
            undone_by(&parse(&text, Path::new("/f")), &key, "1");
        }
    }
}
