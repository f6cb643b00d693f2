//! Every package of every suite, found by its name and by what it provides.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::depends::{self, Alternative, Relation};
use crate::index::Stanza;
use crate::version;

/// One version of a package in one suite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Position of the suite.
    pub(crate) suite: usize,
    /// apt takes packages from its suite only when told to.
    pub(crate) not_automatic: bool,
    pub(crate) stanza: Stanza<'a>,
}

/// All candidates. Positions are stable and in the order of the suites.
#[derive(Debug, Default)]
pub(crate) struct Candidates<'a> {
    pub(crate) all: Vec<Candidate<'a>>,
    by_name: HashMap<&'a str, Vec<usize>>,
    providers: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Candidates<'a> {
    /// Adds the packages of a suite.
    pub(crate) fn add(&mut self, suite: usize, not_automatic: bool, stanzas: Vec<Stanza<'a>>) {
        for stanza in stanzas {
            let at = self.all.len();
            self.by_name.entry(stanza.name).or_default().push(at);
            let provided = depends::clauses(stanza.provides).flat_map(depends::alternatives);
            for alternative in provided {
                self.providers.entry(alternative.name).or_default().push(at);
            }
            self.all.push(Candidate { suite, not_automatic, stanza });
        }
    }

    /// Positions of the versions of the real package `name`.
    pub(crate) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Positions of the packages that provide `name`.
    pub(crate) fn providers(&self, name: &str) -> &[usize] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names of all real packages, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().copied()
    }

    /// The candidates at these positions.
    pub(crate) fn get<'s>(
        &'s self,
        positions: &'s [usize],
    ) -> impl Iterator<Item = (usize, &'s Candidate<'a>)> {
        positions.iter().filter_map(|at| Some((*at, self.all.get(*at)?)))
    }

    /// The version of `name` that apt would take with nothing else said: the highest of the automatic
    /// suites, else the highest of the others.
    pub(crate) fn best(&self, name: &str) -> Option<(usize, &Candidate<'a>)> {
        self.get(self.named(name)).max_by(|(left_at, left), (right_at, right)| {
            right
                .not_automatic
                .cmp(&left.not_automatic)
                .then_with(|| version::compare(left.stanza.version, right.stanza.version))
                // Of equal versions the first suite's counts.
                .then_with(|| right_at.cmp(left_at))
        })
    }

    /// The exact version, from the first suite that has it.
    pub(crate) fn exact(
        &self,
        name: &str,
        wanted: &str,
        architecture: &str,
    ) -> Option<&Candidate<'a>> {
        self.get(self.named(name)).map(|(_, candidate)| candidate).find(|candidate| {
            candidate.stanza.architecture == architecture
                && version::compare(candidate.stanza.version, wanted) == Ordering::Equal
        })
    }

    /// Whether `candidate` satisfies `alternative`, by its name or by what it provides.
    pub(crate) fn satisfies(candidate: &Stanza<'_>, alternative: &Alternative<'_>) -> bool {
        if candidate.name == alternative.name {
            return alternative.allows(candidate.version);
        }
        depends::clauses(candidate.provides).flat_map(depends::alternatives).any(|provided| {
            provided.name == alternative.name
                && match (alternative.bound, provided.bound) {
                    (None, _) => true,
                    (Some(_), Some((Relation::Equal, version))) => alternative.allows(version),
                    (Some(_), _) => false,
                }
        })
    }

    /// Positions of everything that satisfies `alternative`, real packages first.
    pub(crate) fn satisfying(&self, alternative: &Alternative<'_>) -> Vec<usize> {
        let named = self.get(self.named(alternative.name));
        named
            .chain(self.get(self.providers(alternative.name)))
            .filter(|(_, candidate)| Self::satisfies(&candidate.stanza, alternative))
            .map(|(at, _)| at)
            .collect()
    }
}
