//! `[section]` and `key=value`; the last line of a key in its section counts.

use super::keyed::{Between, take_apart, unquoted, with_value};
use super::{join, split};

/// The section that a line opens.
fn opens(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::trim)
}

/// The value in force and its line (from 1).
pub(crate) fn get(text: &str, section: &str, key: &str) -> Option<(String, usize)> {
    let mut current = None;
    let mut found = None;
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = opens(line) {
            current = Some(name);
        } else if current == Some(section)
            && let Some(parts) = take_apart(line, Between::Equals)
            && parts.key == key
        {
            found = Some((unquoted(parts.value).to_owned(), index + 1));
        }
    }
    found
}

/// Sets a key in a section: in its last line there, else in a commented line there, else at the section's end; the section
/// is added when it is missing.
pub(crate) fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut lines = split(text);
    if let Some((_, line)) = get(text, section, key) {
        if let Some(line) = lines.get_mut(line - 1)
            && let Some(parts) = take_apart(line, Between::Equals)
            && unquoted(parts.value) != unquoted(value)
        {
            *line = with_value(parts, value);
        }
        return join(&lines);
    }
    let mut inside = false;
    let mut end = None;
    let mut commented = None;
    for (index, line) in lines.iter().enumerate() {
        if let Some(name) = opens(line) {
            inside = name == section;
        }
        if inside {
            if !line.trim().is_empty() {
                end = Some(index + 1);
            }
            let rest = line.trim_start().strip_prefix(['#', ';']).map(str::trim_start);
            if commented.is_none()
                && let Some(parts) = rest.and_then(|rest| take_apart(rest, Between::Equals))
                && parts.key == key
            {
                commented = Some((index, with_value(parts, value)));
            }
        }
    }
    match (commented, end) {
        (Some((index, fresh)), _) => {
            if let Some(line) = lines.get_mut(index) {
                *line = fresh;
            }
        }
        (None, Some(end)) => lines.insert(end, format!("{key}={value}")),
        (None, None) => {
            lines.push(format!("[{section}]"));
            lines.push(format!("{key}={value}"));
        }
    }
    join(&lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::laws;
    use super::{get, set};

    #[test]
    fn stays_in_its_section() {
        let text = "[a]\nk=1\n\n[b]\n#k=2\n";
        assert_eq!(set(text, "a", "k", "3"), "[a]\nk=3\n\n[b]\n#k=2\n");
        assert_eq!(set(text, "b", "k", "3"), "[a]\nk=1\n\n[b]\nk=3\n");
        assert_eq!(set(text, "a", "m", "3"), "[a]\nk=1\nm=3\n\n[b]\n#k=2\n");
        assert_eq!(set(text, "c", "k", "3"), "[a]\nk=1\n\n[b]\n#k=2\n[c]\nk=3\n");
        assert_eq!(get(text, "b", "k"), None);
    }

    proptest! {
        #[test]
        fn laws_hold(text in "(\\[[ab]\\]|k=[a-z]{0,3}|#k=1|other = 2|)(\n(\\[[ab]\\]|k = [a-z]{0,3}|;k=1|x|)){0,8}\n", value in "[a-z0-9]{1,8}") {
            laws::hold(&text, &|text| set(text, "a", "k", &value), &|text| get(text, "a", "k").map(|found| found.0), &value, 1);
        }
    }
}
