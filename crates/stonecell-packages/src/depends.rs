//! Relationship fields: `Depends`, `Pre-Depends`, `Recommends`, `Provides`.
//!
//! Source: Debian Policy 7.1. Binary indexes carry no architecture lists or build profiles; where
//! they do appear they are skipped. Text that is not a relationship is skipped too: this reading only
//! narrows what apt sees and explains what apt decided, it decides nothing itself.

use std::cmp::Ordering;

use crate::version;

/// One alternative of a clause: a package name with an optional version bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternative<'a> {
    /// Package name without architecture qualifier.
    pub name: &'a str,
    /// Relation and version.
    pub bound: Option<(Relation, &'a str)>,
}

/// Relation of a version bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `<<`
    Earlier,
    /// `<=` (and the obsolete `<`)
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=` (and the obsolete `>`)
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Alternative<'_> {
    /// Whether `version` is within the bound.
    pub fn allows(&self, version: &str) -> bool {
        let Some((relation, bound)) = self.bound else { return true };
        let order = version::compare(version, bound);
        match relation {
            Relation::Earlier => order == Ordering::Less,
            Relation::EarlierOrEqual => order != Ordering::Greater,
            Relation::Equal => order == Ordering::Equal,
            Relation::LaterOrEqual => order != Ordering::Less,
            Relation::Later => order == Ordering::Greater,
        }
    }
}

/// The clauses of a field. All of them must hold; a clause holds when one of its alternatives does.
pub fn clauses(field: &str) -> impl Iterator<Item = &str> {
    field.split(',').map(str::trim).filter(|clause| !clause.is_empty())
}

/// The alternatives of a clause, in the packager's order of preference.
pub fn alternatives(clause: &str) -> impl Iterator<Item = Alternative<'_>> {
    clause.split('|').filter_map(alternative)
}

fn alternative(text: &str) -> Option<Alternative<'_>> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '<' | ':'));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    if name.is_empty() {
        return None;
    }
    let bound = rest
        .split_once('(')
        .and_then(|(_, inner)| inner.split_once(')'))
        .and_then(|(inner, _)| bound(inner.trim()));
    Some(Alternative { name, bound })
}

fn bound(text: &str) -> Option<(Relation, &str)> {
    let relations = [
        ("<<", Relation::Earlier),
        ("<=", Relation::EarlierOrEqual),
        (">=", Relation::LaterOrEqual),
        (">>", Relation::Later),
        ("=", Relation::Equal),
        ("<", Relation::EarlierOrEqual),
        (">", Relation::LaterOrEqual),
    ];
    relations.into_iter().find_map(|(sign, relation)| {
        text.strip_prefix(sign).map(|version| (relation, version.trim()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_clauses_and_alternatives() {
        let field = "libc6 (>= 2.34), initramfs-tools (>= 0.120) | linux-initramfs-tool, perl:any";
        let all: Vec<Vec<_>> =
            clauses(field).map(|clause| alternatives(clause).collect()).collect();
        assert_eq!(
            all,
            [
                vec![Alternative { name: "libc6", bound: Some((Relation::LaterOrEqual, "2.34")) }],
                vec![
                    Alternative {
                        name: "initramfs-tools",
                        bound: Some((Relation::LaterOrEqual, "0.120"))
                    },
                    Alternative { name: "linux-initramfs-tool", bound: None },
                ],
                vec![Alternative { name: "perl", bound: None }],
            ]
        );
    }

    #[test]
    fn bounds_hold_as_written() {
        for (bound, version, holds) in [
            ("a (<< 2)", "1", true),
            ("a (<< 2)", "2", false),
            ("a (<= 2)", "2", true),
            ("a (= 2-1)", "2-1", true),
            ("a (= 2-1)", "2-2", false),
            ("a (>= 2)", "2~rc1", false),
            ("a(>>2)", "2.1", true),
            ("a", "0", true),
        ] {
            let alternative = alternatives(bound).next().expect("one alternative");
            assert_eq!(alternative.allows(version), holds, "{bound} with {version}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(field in ".*", version in ".*") {
            for clause in clauses(&field) {
                for alternative in alternatives(clause) {
                    prop_assert!(!alternative.name.is_empty());
                    alternative.allows(&version);
                }
            }
        }
    }
}
