//! Why a package is there, or cannot be: chains of dependencies to show to a person.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::candidates::{Candidate, Candidates};
use crate::depends;
use crate::index::Stanza;

/// The shortest chain from one of `roots` to `target` within the set of chosen packages, both ends
/// included. `None` when nothing that was asked for leads there.
pub(crate) fn chain(
    chosen: &BTreeMap<&str, Stanza<'_>>,
    roots: &[String],
    target: &str,
    recommends: bool,
) -> Option<Vec<String>> {
    let mut from: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut waiting = VecDeque::new();
    for root in roots {
        if let Some((name, _)) = chosen.get_key_value(root.as_str()) {
            from.entry(name).or_insert(None);
            waiting.push_back(*name);
        }
    }
    while let Some(name) = waiting.pop_front() {
        if name == target {
            let mut chain = vec![name.to_owned()];
            let mut at = name;
            while let Some(Some(parent)) = from.get(at) {
                chain.push((*parent).to_owned());
                at = parent;
            }
            chain.reverse();
            return Some(chain);
        }
        let Some(stanza) = chosen.get(name) else { continue };
        for next in needs(chosen, stanza, recommends) {
            from.entry(next).or_insert_with(|| {
                waiting.push_back(next);
                Some(name)
            });
        }
    }
    None
}

/// The chosen packages that `stanza` needs: for each clause the first alternative that was chosen.
pub(crate) fn needs<'a>(
    chosen: &BTreeMap<&'a str, Stanza<'a>>,
    stanza: &Stanza<'_>,
    recommends: bool,
) -> BTreeSet<&'a str> {
    let recommended = if recommends { stanza.recommends } else { "" };
    [stanza.pre_depends, stanza.depends, recommended]
        .into_iter()
        .flat_map(depends::clauses)
        .flat_map(|clause| {
            let alternatives = depends::alternatives(clause);
            let mut found = Vec::new();
            for alternative in alternatives {
                if let Some((name, _)) = chosen.get_key_value(alternative.name) {
                    found.push(*name);
                } else {
                    found.extend(
                        chosen
                            .iter()
                            .filter(|(_, other)| Candidates::satisfies(other, &alternative))
                            .map(|(name, _)| *name),
                    );
                }
                if !found.is_empty() {
                    break;
                }
            }
            found
        })
        .collect()
}

/// A dependency that nothing in the archive can satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsatisfiable {
    /// From a package that was asked for to the one that has the dependency.
    pub(crate) chain: Vec<String>,
    /// The clause, as the package writes it.
    pub(crate) clause: String,
    /// What there is in its place, in words.
    pub(crate) there_is: String,
}

/// Looks for the first dependency below `roots` that no candidate satisfies. Conflicts are not looked
/// at; for those apt's own words must do.
pub(crate) fn unsatisfiable(
    candidates: &Candidates<'_>,
    roots: &[String],
    allowed: &dyn Fn(&str) -> bool,
) -> Option<Unsatisfiable> {
    let mut seen: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    let mut waiting = VecDeque::new();
    for root in roots {
        if let Some((at, _)) = candidates.best(root) {
            seen.entry(at).or_insert(None);
            waiting.push_back(at);
        }
    }
    while let Some(at) = waiting.pop_front() {
        let Some(Candidate { stanza, .. }) = candidates.all.get(at) else { continue };
        for field in [stanza.pre_depends, stanza.depends] {
            for clause in depends::clauses(field) {
                let satisfying: Vec<usize> = depends::alternatives(clause)
                    .flat_map(|alternative| candidates.satisfying(&alternative))
                    .filter(|at| candidates.all.get(*at).is_some_and(|c| allowed(c.stanza.name)))
                    .collect();
                let Some(next) = satisfying.first() else {
                    return Some(Unsatisfiable {
                        chain: path(candidates, &seen, at),
                        clause: clause.to_owned(),
                        there_is: there_is(candidates, clause),
                    });
                };
                // Only a dependency with no choice is followed: the others may be avoidable.
                let name = |at: &usize| candidates.all.get(*at).map(|c| c.stanza.name);
                let only = satisfying.iter().all(|other| name(other) == name(next));
                let best = name(next).and_then(|name| candidates.best(name)).map(|(at, _)| at);
                if let Some(best) = best.filter(|_| only) {
                    seen.entry(best).or_insert_with(|| {
                        waiting.push_back(best);
                        Some(at)
                    });
                }
            }
        }
    }
    None
}

fn path(
    candidates: &Candidates<'_>,
    seen: &BTreeMap<usize, Option<usize>>,
    end: usize,
) -> Vec<String> {
    let mut chain = Vec::new();
    let mut at = Some(end);
    while let Some(position) = at {
        chain.extend(candidates.all.get(position).map(|c| c.stanza.name.to_owned()));
        at = seen.get(&position).copied().flatten();
    }
    chain.reverse();
    chain
}

fn there_is(candidates: &Candidates<'_>, clause: &str) -> String {
    let found: Vec<String> = depends::alternatives(clause)
        .filter_map(|alternative| candidates.best(alternative.name))
        .map(|(_, candidate)| format!("{} {}", candidate.stanza.name, candidate.stanza.version))
        .collect();
    if found.is_empty() {
        String::from("the archive has no such package")
    } else {
        format!("the archive has {}", found.join(", "))
    }
}
