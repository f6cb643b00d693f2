//! Matching a device's modalias against a module's alias pattern, as `fnmatch(3)` does for modprobe.
//!
//! Patterns use `*`, `?` and `[...]` (sets, ranges, `!` or `^` for not). A dash equals an underscore
//! outside of brackets, because depmod writes aliases so.

/// True if the whole of `text` matches `pattern`. Linear in memory; no recursion.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last star, one byte further in the text.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
        } else if let Some(width) = one(pattern.get(p..).unwrap_or_default(), byte) {
            p += width;
            t += 1;
        } else if let Some((after, from)) = star {
            p = after;
            t = from + 1;
            star = Some((after, t));
        } else {
            return false;
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&c| c == b'*'))
}

/// How many bytes of the pattern one matching byte of text uses up.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => match set(pattern) {
            Some((contains, width)) => contains(byte).then_some(width),
            None => (byte == b'[').then_some(1),
        },
        c => (plain(c) == plain(byte)).then_some(1),
    }
}

fn plain(c: u8) -> u8 {
    if c == b'-' { b'_' } else { c }
}

/// Reads `[...]` at the start of the pattern; `None` if it never closes.
fn set(pattern: &[u8]) -> Option<(impl Fn(u8) -> bool + '_, usize)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = 1 + usize::from(negated);
    // A `]` in the first place stands for itself.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|&c| c == b']')?;
    let members = pattern.get(start..end)?;
    let contains = move |byte: u8| {
        let mut rest = members;
        let mut found = false;
        while let Some((&low, after)) = rest.split_first() {
            if let [b'-', high, tail @ ..] = after {
                found |= (low..=*high).contains(&byte);
                rest = tail;
            } else {
                found |= low == byte;
                rest = after;
            }
        }
        found != negated
    };
    Some((contains, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matches_real_aliases() {
        let nvme = "pci:v*d*sv*sd*bc01sc08i02*";
        assert!(matches(nvme, "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02"));
        assert!(!matches(nvme, "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc06i01"));
        assert!(matches("virtio:d00000002v*", "virtio:d00000002v00001AF4"));
        assert!(matches("acpi*:VMBUS:*", "acpi:VMBUS:"));
        assert!(matches(
            "cpu:type:x86,ven*fam*mod*:feature:*0089*",
            "cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0089,00C0"
        ));
        assert!(matches("fs-erofs", "fs_erofs"));
    }

    #[test]
    fn sets_are_those_of_fnmatch() {
        assert!(matches("a[0-9bc]d", "a5d") && matches("a[0-9bc]d", "acd"));
        assert!(!matches("a[0-9bc]d", "add") && !matches("a[!0-9]d", "a5d"));
        assert!(matches("a[^0-9]d", "axd") && matches("[]x]", "]"));
        assert!(matches("a[b", "a[b") && !matches("a[b]", "a"));
    }

    /// The definition, without cleverness.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                naive(rest, text) || text.split_first().is_some_and(|(_, t)| naive(pattern, t))
            }
            ([b'?', p @ ..], [_, t @ ..]) => naive(p, t),
            ([a, p @ ..], [b, t @ ..]) => a == b && naive(p, t),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn no_pattern_panics(pattern in ".{0,40}", text in ".{0,40}") {
            matches(&pattern, &text);
        }
    }
}
