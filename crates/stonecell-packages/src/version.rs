//! Order of Debian version strings, as `dpkg --compare-versions` has it.
//!
//! Source: deb-version(7). The comparison never fails: a string that is not a valid version still
//! has a place in the order, as in dpkg. The crates that do this bring a regular-expression engine
//! and big integers with them; the rule is thirty lines and is tested against dpkg itself.

use std::cmp::Ordering;

/// Compares two versions `[epoch:]upstream[-revision]`.
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left_upstream, left_revision) = split(left);
    let (right_epoch, right_upstream, right_revision) = split(right);
    compare_numbers(left_epoch.as_bytes(), right_epoch.as_bytes())
        .then_with(|| compare_part(left_upstream.as_bytes(), right_upstream.as_bytes()))
        .then_with(|| compare_part(left_revision.as_bytes(), right_revision.as_bytes()))
}

/// Epoch, upstream version and revision; a missing epoch is `0`, a missing revision is empty.
fn split(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Compares alternating runs of non-digits and digits.
fn compare_part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = take(left, |byte| !byte.is_ascii_digit());
        let (right_text, right_rest) = take(right, |byte| !byte.is_ascii_digit());
        let (left_number, left_rest) = take(left_rest, |byte| byte.is_ascii_digit());
        let (right_number, right_rest) = take(right_rest, |byte| byte.is_ascii_digit());
        let order = compare_text(left_text, right_text)
            .then_with(|| compare_numbers(left_number, right_number));
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    Ordering::Equal
}

fn take(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !wanted(*byte)).unwrap_or(bytes.len());
    bytes.split_at(end)
}

/// Compares by [`weight`]; a text that ends weighs as much as a digit.
fn compare_text(left: &[u8], right: &[u8]) -> Ordering {
    let length = left.len().max(right.len());
    let weights = |bytes: &[u8], at: usize| bytes.get(at).map_or(0, |byte| weight(*byte));
    (0..length)
        .map(|at| weights(left, at).cmp(&weights(right, at)))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// `~` before the end, the end before letters, letters before everything else.
fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        byte if byte.is_ascii_digit() => 0,
        byte if byte.is_ascii_alphabetic() => i32::from(byte),
        byte => i32::from(byte) + 256,
    }
}

/// Compares decimal digits of any length.
fn compare_numbers(left: &[u8], right: &[u8]) -> Ordering {
    let trim = |digits: &'_ [u8]| {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.split_at(zeros).1.to_vec()
    };
    let (left, right) = (trim(left), trim(right));
    left.len().cmp(&right.len()).then_with(|| left.cmp(&right))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn dpkg(left: &str, relation: &str, right: &str) -> bool {
        Command::new("dpkg")
            .args(["--compare-versions", left, relation, right])
            .status()
            .expect("dpkg runs")
            .success()
    }

    #[test]
    fn order_is_the_manual_page_s() {
        let sorted = [
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0",
            "1.0-1",
            "1.0-1+b1",
            "1.0-2",
            "1.0-10",
            "1.0+dfsg-1",
            "1.2",
            "1.10",
            "2.0a",
            "2.0b",
            "1:0.1",
        ];
        for (at, lower) in sorted.iter().enumerate() {
            for higher in sorted.iter().skip(at + 1) {
                assert_eq!(compare(lower, higher), Ordering::Less, "{lower} < {higher}");
                assert_eq!(compare(higher, lower), Ordering::Greater, "{higher} > {lower}");
            }
        }
        assert_eq!(compare("1.02", "1.2"), Ordering::Equal);
        assert_eq!(compare("0:1", "1"), Ordering::Equal);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn agrees_with_dpkg(
            left in "([0-9]:)?[0-9][0-9a-c.+~]{0,6}(-[0-9a-c.+~]{1,4})?",
            right in "([0-9]:)?[0-9][0-9a-c.+~]{0,6}(-[0-9a-c.+~]{1,4})?",
        ) {
            let expected = if dpkg(&left, "lt", &right) {
                Ordering::Less
            } else if dpkg(&left, "gt", &right) {
                Ordering::Greater
            } else {
                Ordering::Equal
            };
            prop_assert_eq!(compare(&left, &right), expected);
        }

        #[test]
        fn any_text_has_a_place(left in ".*", right in ".*") {
            prop_assert_eq!(compare(&left, &right), compare(&right, &left).reverse());
        }
    }
}
