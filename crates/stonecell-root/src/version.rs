//! Order of Debian versions (Debian Policy 5.6.12, deb-version(7)).

use std::cmp::Ordering;

/// Compares two versions as `dpkg --compare-versions` does.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, rest_a) = epoch(a);
    let (epoch_b, rest_b) = epoch(b);
    let (upstream_a, revision_a) = rest_a.rsplit_once('-').unwrap_or((rest_a, ""));
    let (upstream_b, revision_b) = rest_b.rsplit_once('-').unwrap_or((rest_b, ""));
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| part(upstream_a.as_bytes(), upstream_b.as_bytes()))
        .then_with(|| part(revision_a.as_bytes(), revision_b.as_bytes()))
}

fn epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
        None => (0, version),
    }
}

/// `~` before the end, the end before letters, letters before everything else.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(b),
        Some(b) => i32::from(b) + 256,
    }
}

fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let digits = |s: &[u8]| s.iter().take_while(|byte| byte.is_ascii_digit()).count();
    while !a.is_empty() || !b.is_empty() {
        loop {
            let text = |s: &[u8]| s.first().is_some_and(|byte| !byte.is_ascii_digit());
            if !text(a) && !text(b) {
                break;
            }
            match weight(a.first().copied()).cmp(&weight(b.first().copied())) {
                Ordering::Equal => {
                    a = a.get(1..).unwrap_or_default();
                    b = b.get(1..).unwrap_or_default();
                }
                other => return other,
            }
        }
        let (number_a, rest_a) = a.split_at(digits(a));
        let (number_b, rest_b) = b.split_at(digits(b));
        let significant =
            |s: &[u8]| s.iter().copied().skip_while(|byte| *byte == b'0').collect::<Vec<u8>>();
        let (number_a, number_b) = (significant(number_a), significant(number_b));
        let order = number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(&number_b));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_manual() {
        let rising = ["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0a", "1.0+x", "1.0.1", "1.010", "1:0.1"];
        for pair in rising.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("0:1.00-0", "1.0-0"), Ordering::Equal);
        assert_eq!(compare("5.2.15-2+b7", "5.2.15-2"), Ordering::Greater);
        assert_eq!(compare("6.1-9", "6.1-10"), Ordering::Less);
        assert_eq!(compare("1.0-1", "1.0"), Ordering::Greater);
    }
}
