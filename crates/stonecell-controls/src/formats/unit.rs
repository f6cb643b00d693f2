//! systemd's own format (systemd.syntax(7)): sections, `Key=value`, continued lines, an empty value that resets a list.

/// One assignment and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) section: String,
    pub(crate) key: String,
    pub(crate) value: String,
    /// Counted from 1; where the assignment begins.
    pub(crate) line: usize,
}

/// Keys whose assignments add up until an empty one takes all back. For them a wanted value must be preceded by a reset.
const LISTS: [&str; 44] = [
    "AmbientCapabilities",
    "BindPaths",
    "BindReadOnlyPaths",
    "CapabilityBoundingSet",
    "DeviceAllow",
    "Environment",
    "EnvironmentFile",
    "ExecCondition",
    "ExecPaths",
    "ExecReload",
    "ExecStart",
    "ExecStartPost",
    "ExecStartPre",
    "ExecStop",
    "ExecStopPost",
    "InaccessiblePaths",
    "IPAddressAllow",
    "IPAddressDeny",
    "ListenDatagram",
    "ListenFIFO",
    "ListenNetlink",
    "ListenSequentialPacket",
    "ListenSpecial",
    "ListenStream",
    "LoadCredential",
    "LogExtraFields",
    "NoExecPaths",
    "OnCalendar",
    "PassEnvironment",
    "ReadOnlyPaths",
    "ReadWritePaths",
    "RestrictAddressFamilies",
    "RestrictFileSystems",
    "RestrictNamespaces",
    "RestrictNetworkInterfaces",
    "SetCredential",
    "SocketBindAllow",
    "SocketBindDeny",
    "SupplementaryGroups",
    "SystemCallArchitectures",
    "SystemCallFilter",
    "SystemCallLog",
    "TemporaryFileSystem",
    "UnsetEnvironment",
];

/// Whether assignments of this key add up.
pub(crate) fn is_list(key: &str) -> bool {
    LISTS.contains(&key)
}

/// All assignments of a file, in order.
pub(crate) fn parse(text: &str) -> Vec<Assignment> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut whole = line.trim_start().to_owned();
        if whole.is_empty() || whole.starts_with(['#', ';']) {
            continue;
        }
        while let Some(open) = whole.strip_suffix('\\') {
            let mut longer = open.to_owned();
            longer.push(' ');
            // Comments between continued lines are left out, as systemd does.
            match lines
                .by_ref()
                .map(|(_, next)| next)
                .find(|next| !next.trim_start().starts_with(['#', ';']))
            {
                Some(next) => longer.push_str(next.trim_start()),
                None => {
                    whole = longer;
                    break;
                }
            }
            whole = longer;
        }
        let whole = whole.trim();
        if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = whole.split_once('=') {
            found.push(Assignment {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: unquoted(value.trim()).to_owned(),
                line: index + 1,
            });
        }
    }
    found
}

fn unquoted(value: &str) -> &str {
    value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|inner| !inner.contains('"'))
        .unwrap_or(value)
}

/// What a sequence of assignments of one key comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effective {
    /// Nothing was assigned: the program's default holds.
    Unset,
    /// The values in force; empty after a reset.
    Values(Vec<String>),
}

/// The values of `key` in force after all `assignments` (already merged in order of precedence).
pub(crate) fn effective<'a>(
    assignments: impl Iterator<Item = &'a Assignment>,
    section: &str,
    key: &str,
) -> Effective {
    let mut state = Effective::Unset;
    for assignment in assignments.filter(|one| one.section == section && one.key == key) {
        let mut values = match state {
            Effective::Values(values) if is_list(key) => values,
            _ => Vec::new(),
        };
        if assignment.value.is_empty() {
            values.clear();
        } else {
            values.push(assignment.value.clone());
        }
        state = Effective::Values(values);
    }
    state
}

/// Lines that make `values` the values in force, whatever was assigned before.
pub(crate) fn render(key: &str, values: &[String]) -> String {
    let mut text = String::new();
    let reset = is_list(key) || values.is_empty();
    if reset {
        text.push_str(key);
        text.push_str("=\n");
    }
    for value in values.iter().filter(|value| !(reset && value.is_empty())) {
        text.push_str(key);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Effective, effective, parse, render};

    #[test]
    fn lists_add_up_and_scalars_do_not() {
        let text = "[Service]\nUMask=0022\nUMask=0077\nSystemCallFilter=@a\nSystemCallFilter=\\\n # no\n @b\n";
        let all = parse(text);
        let of = |key| effective(all.iter(), "Service", key);
        assert_eq!(of("UMask"), Effective::Values(vec!["0077".to_owned()]));
        assert_eq!(
            of("SystemCallFilter"),
            Effective::Values(vec!["@a".to_owned(), "@b".to_owned()])
        );
        assert_eq!(of("PrivateTmp"), Effective::Unset);
        assert_eq!(effective(all.iter(), "Unit", "UMask"), Effective::Unset);
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_in_force(before in "(SystemCallFilter|UMask)=[a-z]{0,4}\n", key in "SystemCallFilter|UMask", value in "[a-z@~-]{1,9}") {
            let text = format!("[Service]\n{before}{}", render(&key, std::slice::from_ref(&value)));
            prop_assert_eq!(effective(parse(&text).iter(), "Service", &key), Effective::Values(vec![value]));
        }

        #[test]
        fn any_text_is_read(text in "\\PC{0,80}") {
            parse(&text);
        }
    }
}
