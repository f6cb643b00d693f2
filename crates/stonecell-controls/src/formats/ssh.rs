//! `sshd_config` and `ssh_config`: `Key value`, keys in any case, the first value counts, `Match` and `Host` blocks reach to
//! the next one, `Include` puts other files in its place (sshd_config(5)).

use super::{join, split};

/// Keys whose lines add up instead of the first one counting.
const ADDING: [&str; 5] = ["acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers"];

/// One active line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Lower case.
    pub(crate) key: String,
    pub(crate) value: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// Key and value of a line; `None` for comments and empty lines.
pub(crate) fn parse_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|sign: char| sign.is_whitespace() || sign == '=').unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim();
    Some((key.to_ascii_lowercase(), normal(rest)))
}

/// A value with single spaces and without quotes or a trailing comment.
pub(crate) fn normal(value: &str) -> String {
    let mut words = Vec::new();
    for word in value.split_whitespace() {
        if word.starts_with('#') {
            break;
        }
        words.push(word.trim_matches('"'));
    }
    words.join(" ")
}

/// All active lines in order.
pub(crate) fn words(text: &str) -> Vec<Word> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            parse_line(line).map(|(key, value)| Word { key, value, line: index + 1 })
        })
        .collect()
}

/// Whether the lines of this key add up.
pub(crate) fn adds_up(key: &str) -> bool {
    ADDING.contains(&key.to_ascii_lowercase().as_str())
}

/// Whether a key opens a conditional block.
pub(crate) fn opens_block(key: &str) -> bool {
    key == "match" || key == "host"
}

/// The value in force outside of blocks, in this text alone.
#[cfg(test)]
pub(crate) fn get(text: &str, key: &str) -> Option<String> {
    let key = key.to_ascii_lowercase();
    let all: Vec<Word> =
        words(text).into_iter().take_while(|word| !opens_block(&word.key)).collect();
    let mut values = all.into_iter().filter(|word| word.key == key).map(|word| word.value);
    if adds_up(&key) {
        let values: Vec<String> = values.collect();
        return (!values.is_empty()).then(|| values.join(" "));
    }
    values.next()
}

/// Sets a key outside of blocks: in the place of its active lines, else of its first commented line, else before the first
/// block or at the end. With `at_top` the line becomes the first one, so that no `Include` comes before it.
pub(crate) fn set(text: &str, key: &str, value: &str, at_top: bool) -> String {
    let mut lines = split(text);
    let wanted = format!("{key} {value}");
    let lower = key.to_ascii_lowercase();
    let block = lines
        .iter()
        .position(|line| parse_line(line).is_some_and(|(key, _)| opens_block(&key)))
        .unwrap_or(lines.len());
    let active: Vec<usize> = (0..block)
        .filter(|index| {
            lines.get(*index).and_then(|line| parse_line(line)).is_some_and(|(key, _)| key == lower)
        })
        .collect();
    if at_top {
        for index in active.iter().rev() {
            lines.remove(*index);
        }
        lines.insert(0, wanted);
        return join(&lines);
    }
    if let Some((first, others)) = active.split_first() {
        // Later lines of one key say nothing, or add up to more than was wanted.
        for index in others.iter().rev() {
            lines.remove(*index);
        }
        if let Some(line) = lines.get_mut(*first)
            && parse_line(line) != Some((lower, normal(value)))
        {
            *line = wanted;
        }
        return join(&lines);
    }
    let commented = (0..block).find(|index| {
        lines
            .get(*index)
            .and_then(|line| line.trim_start().strip_prefix('#'))
            .filter(|rest| !rest.starts_with('#'))
            .and_then(parse_line)
            .is_some_and(|(key, _)| key == lower)
    });
    match commented.and_then(|index| lines.get_mut(index)) {
        Some(line) => *line = wanted,
        None => lines.insert(block, wanted),
    }
    join(&lines)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::laws;
    use super::{get, set};

    #[test]
    fn replaces_active_then_commented_then_appends_before_a_block() {
        assert_eq!(
            set("A 1\nx11forwarding yes\n", "X11Forwarding", "no", false),
            "A 1\nX11Forwarding no\n"
        );
        assert_eq!(set("#X11Forwarding yes\n", "X11Forwarding", "no", false), "X11Forwarding no\n");
        assert_eq!(
            set("Match User a\n  X11Forwarding yes\n", "X11Forwarding", "no", false),
            "X11Forwarding no\nMatch User a\n  X11Forwarding yes\n"
        );
        assert_eq!(set("Include x\nA 1\n", "A", "2", true), "A 2\nInclude x\n");
    }

    #[test]
    fn the_first_value_counts() {
        assert_eq!(get("a 1\nA 2\n", "A").as_deref(), Some("1"));
        assert_eq!(get("A=\"1\" # why\n", "a").as_deref(), Some("1"));
        assert_eq!(get("Match all\nA 1\n", "a"), None);
        assert_eq!(get("AllowGroups a\nAllowGroups b\n", "allowgroups").as_deref(), Some("a b"));
    }

    proptest! {
        #[test]
        fn laws_hold(text in "((Key|key|#Key|Other|Match|# text|)[ =]?[a-z \"]{0,6}\n){0,8}", value in "[a-z0-9@,-]{1,8}") {
            let touched = text.lines().filter(|line| line.trim_start().to_lowercase().starts_with("key")).count().max(1);
            laws::hold(&text, &|text| set(text, "Key", &value, false), &|text| get(text, "Key"), &value, touched);
        }
    }
}
