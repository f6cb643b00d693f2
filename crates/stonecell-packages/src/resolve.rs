//! From what is asked for to the exact set of packages.
//!
//! apt's own solver decides (ADR 1). This module says what apt may see, turns its answer into pinned
//! packages of the verified indexes, and turns its refusals into messages that name the cause.

use std::collections::{BTreeMap, BTreeSet};

use stonecell_definition::lock::LockedPackage;

use crate::apt::{AptError, AptOutcome, AptSuite, simulate};
use crate::apt_output::Planned;
use crate::archive::Archive;
use crate::candidates::{Candidate, Candidates};
use crate::explain;
use crate::index::{self, Stanza, is_package_name};
use crate::progress::{Event, Progress};
use crate::reach::reach;
use crate::refusal::ResolveError;
use crate::rules::Rules;
use crate::synthetic::{Synthetic, synthetic_index};

/// Name of the suite of the caller's own packages, in messages.
const SYNTHETIC: &str = "synthetic";

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Names of packages to install. A virtual package with one provider counts as that one.
    pub install: Vec<String>,
    /// Names or globs that are taken out of `install` and of the essential packages. A dependency that
    /// cannot do without such a package is an error.
    pub remove: Vec<String>,
    /// Names or globs of packages that must not be there. Where a dependency has an alternative, that
    /// one is taken; where it has none, and where a denied package is asked for, it is an error.
    pub deny: Vec<String>,
    /// Packages that are pinned without their dependencies, to read files from.
    pub tools: Vec<String>,
    /// Packages that the caller makes itself. Always part of the solution, never of the lock.
    pub synthetic: Vec<Synthetic>,
    /// Follow `Recommends` too.
    pub recommends: bool,
    /// Install every `Essential: yes` package. Packages do not declare that they need these, so this
    /// is false only for a set that is not configured.
    pub essential: bool,
}

/// The exact packages, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Packages to install, from the archive.
    pub packages: Vec<LockedPackage>,
    /// Packages to read files from.
    pub tools: Vec<LockedPackage>,
    /// The caller's own packages, as given.
    pub synthetic: Vec<Synthetic>,
}

impl Archive {
    /// Finds the exact packages for `request`.
    ///
    /// # Errors
    ///
    /// See [`ResolveError`]; the message names the package and, where there is one, the chain of
    /// dependencies that leads to it.
    pub fn resolve(
        &self,
        request: &Request,
        progress: &dyn Progress,
    ) -> Result<Resolution, ResolveError> {
        progress.report(Event::Phase("resolving packages"));
        let own = synthetic_index(&request.synthetic)?;
        let candidates = self.candidates(&own)?;
        let rules = Rules::new(request)?;
        let roots = self.roots(request, &candidates, &rules)?;
        let allowed = |name: &str| rules.allows(name);
        let recommends = request.recommends;
        let refused = match self.ask(&candidates, &roots, recommends, &allowed)? {
            AptOutcome::Plan(plan) => return self.finish(request, &candidates, &plan),
            AptOutcome::Refused(reasons) => reasons,
        };
        // Would it work with the denied packages? Then they are the cause, and the chain shows how.
        if !rules.is_empty()
            && let AptOutcome::Plan(plan) = self.ask(&candidates, &roots, recommends, &|_| true)?
        {
            let chosen = chosen(&candidates, &plan)?;
            let denied = chosen.keys().find_map(|name| {
                let chain = || explain::chain(&chosen, &roots, name, recommends);
                rules.matching(name, &["remove", "deny"])?;
                rules.denied(name, chain().unwrap_or_else(|| vec![(*name).to_owned()]))
            });
            if let Some(denied) = denied {
                return Err(denied);
            }
        }
        Err(match explain::unsatisfiable(&candidates, &roots, &allowed) {
            Some(explain::Unsatisfiable { chain, clause, there_is }) => {
                ResolveError::Unsatisfiable { clause, there_is, chain }
            }
            None => ResolveError::Conflict { reasons: refused },
        })
    }

    fn candidates<'a>(&'a self, own: &'a str) -> Result<Candidates<'a>, ResolveError> {
        let mut candidates = Candidates::default();
        for (at, suite) in self.suites.iter().enumerate() {
            for text in &suite.indexes {
                let stanzas = index::parse(text)
                    .map_err(|source| ResolveError::Index { suite: suite.name.clone(), source })?;
                let mut stanzas = stanzas;
                stanzas.retain(|stanza| {
                    stanza.architecture == self.architecture || stanza.architecture == "all"
                });
                candidates.add(at, suite.release.not_automatic, stanzas);
            }
        }
        let own = index::parse(own)
            .map_err(|source| ResolveError::Index { suite: SYNTHETIC.to_owned(), source })?;
        candidates.add(self.suites.len(), false, own);
        Ok(candidates)
    }

    /// Everything that apt is asked for by name, sorted.
    fn roots(
        &self,
        request: &Request,
        candidates: &Candidates<'_>,
        rules: &Rules<'_>,
    ) -> Result<Vec<String>, ResolveError> {
        let mut roots = BTreeSet::new();
        for name in &request.install {
            if rules.matching(name, &["remove"]).is_some() {
                continue;
            }
            roots.insert(self.real_name(name, candidates, &|name| rules.allows(name))?);
        }
        if request.essential {
            let essential = candidates.names().filter(|name| {
                candidates.best(name).is_some_and(|(_, best)| best.stanza.essential)
            });
            let kept = essential.filter(|name| rules.matching(name, &["remove"]).is_none());
            roots.extend(kept.map(String::from));
        }
        for root in &roots {
            let how = if request.install.contains(root) { "asked for" } else { "essential" };
            if let Some(denied) = rules.denied(root, vec![format!("{root} ({how})")]) {
                return Err(denied);
            }
        }
        roots.extend(request.synthetic.iter().map(|package| package.name.clone()));
        Ok(roots.into_iter().collect())
    }

    /// The real package for a name that was asked for.
    fn real_name(
        &self,
        name: &str,
        candidates: &Candidates<'_>,
        allowed: &dyn Fn(&str) -> bool,
    ) -> Result<String, ResolveError> {
        if !is_package_name(name) {
            return Err(ResolveError::Name { name: name.to_owned() });
        }
        if !candidates.named(name).is_empty() {
            return Ok(name.to_owned());
        }
        let providers: BTreeSet<&str> = candidates
            .get(candidates.providers(name))
            .map(|(_, candidate)| candidate.stanza.name)
            .filter(|name| allowed(name))
            .collect();
        let mut providers = providers.into_iter().map(String::from);
        match (providers.next(), providers.next()) {
            (None, _) => Err(self.missing(name, candidates)),
            (Some(only), None) => Ok(only),
            (Some(first), Some(second)) => {
                let providers = [first, second].into_iter().chain(providers).collect();
                Err(ResolveError::Virtual { name: name.to_owned(), providers })
            }
        }
    }

    fn missing(&self, name: &str, candidates: &Candidates<'_>) -> ResolveError {
        let mut similar: Vec<(f64, &str)> = candidates
            .names()
            .map(|other| (strsim::jaro_winkler(name, other), other))
            .filter(|(likeness, _)| *likeness >= 0.9)
            .collect();
        similar.sort_by(|left, right| right.0.total_cmp(&left.0).then_with(|| left.1.cmp(right.1)));
        let suites: Vec<&str> = self.suites.iter().map(|suite| suite.name.as_str()).collect();
        ResolveError::Missing {
            name: name.to_owned(),
            suites: suites.join(", "),
            similar: similar.into_iter().take(3).map(|(_, name)| format!("`{name}`")).collect(),
        }
    }

    fn ask(
        &self,
        candidates: &Candidates<'_>,
        roots: &[String],
        recommends: bool,
        allowed: &dyn Fn(&str) -> bool,
    ) -> Result<AptOutcome, AptError> {
        let own = AptSuite { release: None, stanzas: Vec::new() };
        let suite = |release| AptSuite { release: Some(release), stanzas: Vec::new() };
        let mut suites: Vec<AptSuite<'_>> =
            self.suites.iter().map(|s| suite(&s.release)).chain([own]).collect();
        for at in reach(candidates, roots, recommends, allowed) {
            let Some(candidate) = candidates.all.get(at) else { continue };
            if let Some(suite) = suites.get_mut(candidate.suite) {
                suite.stanzas.push(candidate.stanza.text);
            }
        }
        simulate(&suites, &self.architecture, recommends, roots)
    }

    fn finish(
        &self,
        request: &Request,
        candidates: &Candidates<'_>,
        plan: &[Planned],
    ) -> Result<Resolution, ResolveError> {
        let chosen = chosen(candidates, plan)?;
        let essential = essential_closure(&chosen);
        let mut packages: Vec<LockedPackage> = plan
            .iter()
            .filter_map(|planned| find(candidates, planned))
            .filter_map(|candidate| {
                let suite = self.suites.get(candidate.suite)?;
                Some(locked(candidate, &suite.name, essential.contains(candidate.stanza.name)))
            })
            .collect();
        packages.sort();
        let mut tools = Vec::new();
        for name in &request.tools {
            let real = self.real_name(name, candidates, &|_| true)?;
            let best = candidates.best(&real).map(|(_, best)| best);
            let suite = best.and_then(|best| self.suites.get(best.suite));
            let (Some(best), Some(suite)) = (best, suite) else {
                return Err(self.missing(name, candidates));
            };
            tools.push(locked(best, &suite.name, false));
        }
        tools.sort();
        tools.dedup();
        Ok(Resolution { packages, tools, synthetic: request.synthetic.clone() })
    }
}

fn find<'s, 'a>(candidates: &'s Candidates<'a>, planned: &Planned) -> Option<&'s Candidate<'a>> {
    candidates.exact(&planned.name, &planned.version, &planned.architecture)
}

/// The stanzas of a plan by package name.
fn chosen<'a>(
    candidates: &Candidates<'a>,
    plan: &[Planned],
) -> Result<BTreeMap<&'a str, Stanza<'a>>, ResolveError> {
    plan.iter()
        .map(|planned| match find(candidates, planned) {
            Some(candidate) => Ok((candidate.stanza.name, candidate.stanza)),
            None => Err(ResolveError::Unknown {
                name: planned.name.clone(),
                version: planned.version.clone(),
                architecture: planned.architecture.clone(),
            }),
        })
        .collect()
}

/// The essential packages and all that they need, within the chosen set.
fn essential_closure<'a>(chosen: &BTreeMap<&'a str, Stanza<'a>>) -> BTreeSet<&'a str> {
    let is_essential = |(name, stanza): (&&'a str, &Stanza<'a>)| stanza.essential.then_some(*name);
    let mut waiting: Vec<&str> = chosen.iter().filter_map(is_essential).collect();
    let mut closure = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if let Some((name, stanza)) = chosen.get_key_value(name)
            && closure.insert(*name)
        {
            waiting.extend(explain::needs(chosen, stanza, false));
        }
    }
    closure
}

fn locked(candidate: &Candidate<'_>, suite: &str, essential: bool) -> LockedPackage {
    let stanza = &candidate.stanza;
    LockedPackage {
        name: stanza.name.to_owned(),
        version: stanza.version.to_owned(),
        architecture: stanza.architecture.to_owned(),
        source: stanza.source.to_owned(),
        source_version: stanza.source_version.to_owned(),
        suite: suite.to_owned(),
        filename: stanza.filename.to_owned(),
        size: stanza.size,
        sha256: hex::encode(stanza.sha256),
        essential,
    }
}
