//! Readers and editors for the formats of `/etc`, each a pure function of text.
//!
//! An editor changes the lines that it must and keeps every other line byte for byte; editing twice is editing once; and
//! after an edit the reader of the same module gives the value that was set. Property tests hold each module to that.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod fstab;
pub(crate) mod ini;
pub(crate) mod keyed;
pub(crate) mod modprobe;
pub(crate) mod pam;
pub(crate) mod ssh;
pub(crate) mod sysctl;
pub(crate) mod unit;

/// The lines of a text without their ends, and whether the last one ended.
fn split(text: &str) -> Vec<String> {
    text.split_inclusive('\n')
        .map(|line| line.strip_suffix('\n').unwrap_or(line).to_owned())
        .collect()
}

/// Puts lines together again; a file that was not empty keeps or gets its final newline.
fn join(lines: &[String]) -> String {
    let mut text = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
pub(crate) mod laws {
    //! The three laws of an editor, as one function used by the property tests of the modules.

    use super::split;

    /// Checks an edit: it is idempotent, the reader gives the value, and at most `touched` old lines are gone.
    pub(crate) fn hold(
        text: &str,
        edit: &dyn Fn(&str) -> String,
        read: &dyn Fn(&str) -> Option<String>,
        value: &str,
        touched: usize,
    ) {
        let once = edit(text);
        assert_eq!(edit(&once), once, "editing twice is editing once");
        assert_eq!(read(&once).as_deref(), Some(value), "the reader gives what was set: {once:?}");
        let (old, new) = (split(text), split(&once));
        let gone = old.len() - kept(&old, &new);
        assert!(
            gone <= touched,
            "{gone} lines changed, at most {touched} may: {text:?} -> {once:?}"
        );
    }

    /// Length of the longest common subsequence: the lines that were kept, in order.
    fn kept(old: &[String], new: &[String]) -> usize {
        let mut row = vec![0; new.len() + 1];
        for line in old {
            let mut diagonal = 0;
            for (at, other) in new.iter().enumerate() {
                let above = row[at + 1];
                row[at + 1] = if line == other { diagonal + 1 } else { above.max(row[at]) };
                diagonal = above;
            }
        }
        row[new.len()]
    }
}
