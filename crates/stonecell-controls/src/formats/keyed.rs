//! `KEY value` (login.defs(5)) and `key = value` (auditd.conf(5), pwquality.conf(5), files in /etc/default): one setting a
//! line, `#` begins a comment, the last line of a key counts.

use super::{join, split};

/// What stands between key and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    Space,
    Equals,
}

/// One line taken apart; the pieces put together give the line again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    pub(super) before: &'a str,
    pub(super) key: &'a str,
    pub(super) between: &'a str,
    pub(super) value: &'a str,
}

pub(super) fn take_apart(line: &str, between: Between) -> Option<Parts<'_>> {
    let start = line.len() - line.trim_start().len();
    let (before, rest) = line.split_at(start);
    let is_end = |sign: char| sign.is_whitespace() || (between == Between::Equals && sign == '=');
    let end = rest.find(is_end).unwrap_or(rest.len());
    let (key, rest) = rest.split_at(end);
    if key.is_empty() || key.starts_with(['#', ';', '[']) {
        return None;
    }
    let separator = match between {
        Between::Space => rest.len() - rest.trim_start().len(),
        Between::Equals => {
            let after = rest.trim_start().strip_prefix('=')?.trim_start();
            rest.len() - after.len()
        }
    };
    let (between, value) = rest.split_at(separator);
    Some(Parts { before, key, between, value: value.trim_end() })
}

/// A value as the program sees it: without the quotes that shells and others allow around it.
pub(super) fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

/// The value in force and its line (from 1).
pub(crate) fn get(text: &str, key: &str, between: Between) -> Option<(String, usize)> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| take_apart(line, between).map(|parts| (index, parts)))
        .filter(|(_, parts)| parts.key == key)
        .last()
        .map(|(index, parts)| (unquoted(parts.value).to_owned(), index + 1))
}

/// The same line with another value.
pub(super) fn with_value(parts: Parts<'_>, value: &str) -> String {
    let between = if parts.between.is_empty() { " " } else { parts.between };
    format!("{}{}{between}{value}", parts.before, parts.key)
}

/// Sets a key: in its last active line, else in its first commented one, else in a new line at the end, written the way the
/// other lines of the file are.
pub(crate) fn set(text: &str, key: &str, value: &str, between: Between) -> String {
    let mut lines = split(text);
    let active = lines
        .iter()
        .rposition(|line| take_apart(line, between).is_some_and(|parts| parts.key == key));
    if let Some(line) = active.and_then(|index| lines.get_mut(index)) {
        if let Some(parts) = take_apart(line, between)
            && unquoted(parts.value) != unquoted(value)
        {
            *line = with_value(parts, value);
        }
        return join(&lines);
    }
    let uncommented = |line: &str| -> Option<String> {
        let rest = line.trim_start().strip_prefix('#')?.trim_start();
        let parts = take_apart(rest, between).filter(|parts| parts.key == key)?;
        // Prose that begins with the key is not a setting that was commented out.
        let prose = between == Between::Space && parts.value.split_whitespace().nth(1).is_some();
        (!prose).then(|| with_value(parts, value))
    };
    if let Some(index) = lines.iter().position(|line| uncommented(line).is_some())
        && let Some(line) = lines.get_mut(index)
        && let Some(fresh) = uncommented(line)
    {
        *line = fresh;
        return join(&lines);
    }
    let style = lines
        .iter()
        .find_map(|line| take_apart(line, between))
        .map(|parts| parts.between.to_owned());
    let separator = match (style, between) {
        (Some(style), _) if !style.is_empty() => style,
        (_, Between::Space) => "\t".to_owned(),
        (_, Between::Equals) => " = ".to_owned(),
    };
    lines.push(format!("{key}{separator}{value}"));
    join(&lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::laws;
    use super::{Between, get, set};

    #[test]
    fn the_last_line_counts_and_styles_are_kept() {
        assert_eq!(get("A 1\nA\t2\n", "A", Between::Space), Some(("2".to_owned(), 2)));
        assert_eq!(set("A=1\n", "B", "2", Between::Equals), "A=1\nB=2\n");
        assert_eq!(set("A = 1\n# B = 3\n", "B", "2", Between::Equals), "A = 1\nB = 2\n");
        assert_eq!(set("#UMASK\t\t022\n", "UMASK", "077", Between::Space), "UMASK\t\t077\n");
        assert_eq!(
            set("# UMASK is the default\n", "UMASK", "077", Between::Space),
            "# UMASK is the default\nUMASK\t077\n"
        );
        assert_eq!(get("ENABLED=\"1\"\n", "ENABLED", Between::Equals), Some(("1".to_owned(), 1)));
    }

    proptest! {
        #[test]
        fn laws_hold_with_spaces(text in "((KEY|#KEY|# KEY|Other|# text|)[ \t]?[a-z0-9 ]{0,6}\n){0,8}", value in "[a-z0-9]{1,8}") {
            laws::hold(&text, &|text| set(text, "KEY", &value, Between::Space),
                &|text| get(text, "KEY", Between::Space).map(|found| found.0), &value, 1);
        }

        #[test]
        fn laws_hold_with_equals(text in "((KEY|#KEY|# KEY|Other|# text|)( = |=| )?[a-z0-9 ]{0,6}\n){0,8}", value in "[a-z0-9]{1,8}") {
            laws::hold(&text, &|text| set(text, "KEY", &value, Between::Equals),
                &|text| get(text, "KEY", Between::Equals).map(|found| found.0), &value, 1);
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,60}", key in "[A-Z]{1,3}") {
            let edited = set(&text, &key, "v", Between::Equals);
            prop_assert_eq!(get(&edited, &key, Between::Equals).map(|found| found.0), Some("v".to_owned()));
        }
    }
}
