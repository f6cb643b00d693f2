//! passwd(5), shadow(5), group(5) and gshadow(5): fields between colons, one account a line.

use super::{join, split};

/// The fields of a line; `None` for a line that is none of an account (empty, comment, or `+` and `-` of NIS).
pub(crate) fn fields(line: &str) -> Option<Vec<&str>> {
    if line.trim().is_empty() || line.starts_with(['#', '+', '-']) {
        return None;
    }
    Some(line.split(':').collect())
}

/// Field `index` of the account `name`.
pub(crate) fn get<'t>(text: &'t str, name: &str, index: usize) -> Option<&'t str> {
    text.lines()
        .filter_map(fields)
        .find(|fields| fields.first() == Some(&name))
        .and_then(|fields| fields.get(index).copied())
}

/// Replaces field `index` of every account for which `change` gives a new value (called with name and old value).
pub(crate) fn change_field(
    text: &str,
    index: usize,
    change: &dyn Fn(&str, &str) -> Option<String>,
) -> String {
    let mut lines = split(text);
    for line in &mut lines {
        let Some(all) = fields(line) else { continue };
        let (Some(name), Some(old)) = (all.first(), all.get(index)) else { continue };
        if let Some(new) = change(name, old)
            && new != *old
        {
            let fresh: Vec<&str> = all
                .iter()
                .enumerate()
                .map(|(at, field)| if at == index { &new } else { *field })
                .collect();
            *line = fresh.join(":");
        }
    }
    join(&lines)
}

/// Removes the lines of the account `name`.
pub(crate) fn remove(text: &str, name: &str) -> String {
    let mut lines = split(text);
    lines.retain(|line| fields(line).is_none_or(|fields| fields.first() != Some(&name)));
    join(&lines)
}

/// Removes a user from the member lists (the last field) of all groups.
pub(crate) fn remove_member(text: &str, last: usize, name: &str) -> String {
    change_field(text, last, &|_, members| {
        let kept: Vec<&str> = members.split(',').filter(|member| *member != name).collect();
        Some(kept.join(","))
    })
}

/// Whether a password field lets nobody in by password: locked, or no hash at all.
pub(crate) fn is_locked(password: &str) -> bool {
    password.starts_with(['!', '*'])
}

/// Whether a password field holds no hash, locked or not.
pub(crate) fn holds_no_hash(password: &str) -> bool {
    is_locked(password) && password.trim_start_matches('!').trim_start_matches('*').is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{change_field, fields, get, holds_no_hash, remove, remove_member};

    #[test]
    fn members_and_accounts_leave() {
        assert_eq!(remove_member("a:x:1:b,c\nd:x:2:c\n", 3, "c"), "a:x:1:b\nd:x:2:\n");
        assert_eq!(remove("a:x:1\n+a::\nb:x:2\n", "a"), "+a::\nb:x:2\n");
    }

    #[test]
    fn a_locked_hash_is_still_a_hash() {
        assert!(
            holds_no_hash("*") && holds_no_hash("!") && holds_no_hash("!*") && holds_no_hash("!!")
        );
        assert!(!holds_no_hash("!$y$j9T$x") && !holds_no_hash("") && !holds_no_hash("$y$j9T$x"));
    }

    proptest! {
        #[test]
        fn changing_a_field_is_read_back(text in "([a-c](:[a-z*!]{0,3}){0,4}\n|# x\n|\n){0,6}", value in "[a-z!*]{1,5}") {
            let edit = |text: &str| change_field(text, 1, &|name, _| (name == "a").then(|| value.clone()));
            let once = edit(&text);
            prop_assert_eq!(edit(&once), once.clone());
            if text.lines().filter_map(fields).any(|fields| fields.first() == Some(&"a") && fields.len() > 1) {
                let found = once.lines().filter_map(fields).find(|fields| fields.first() == Some(&"a") && fields.len() > 1);
                prop_assert_eq!(found.and_then(|fields| fields.get(1).copied().map(str::to_owned)), Some(value.clone()));
            }
            for (old, new) in text.lines().zip(once.lines()) {
                prop_assert!(old == new || old.starts_with("a:"));
            }
            prop_assert!(get(&remove(&text, "a"), "a", 0).is_none());
        }
    }
}
