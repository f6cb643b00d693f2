//! The packages that a request does not want, by name or glob.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::refusal::ResolveError;
use crate::resolve::Request;

/// The patterns of `remove` and `deny`.
pub(crate) struct Rules<'a> {
    set: GlobSet,
    /// List and pattern, in the order of the set.
    patterns: Vec<(&'static str, &'a str)>,
}

impl<'a> Rules<'a> {
    pub(crate) fn new(request: &'a Request) -> Result<Self, ResolveError> {
        let remove = request.remove.iter().map(|pattern| ("remove", pattern.as_str()));
        let deny = request.deny.iter().map(|pattern| ("deny", pattern.as_str()));
        let patterns: Vec<_> = remove.chain(deny).collect();
        let mut builder = GlobSetBuilder::new();
        let error =
            |pattern: &str, source| ResolveError::Pattern { pattern: pattern.to_owned(), source };
        for (_, pattern) in &patterns {
            builder.add(Glob::new(pattern).map_err(|source| error(pattern, source))?);
        }
        let set = builder.build().map_err(|source| error("(all)", source))?;
        Ok(Self { set, patterns })
    }

    /// List and pattern of the first rule in `lists` that `name` matches.
    pub(crate) fn matching(&self, name: &str, lists: &[&str]) -> Option<(&'static str, &'a str)> {
        let matches = self.set.matches(name);
        matches
            .into_iter()
            .filter_map(|at| self.patterns.get(at).copied())
            .find(|(list, _)| lists.contains(list))
    }

    pub(crate) fn allows(&self, name: &str) -> bool {
        !self.set.is_match(name)
    }

    pub(crate) fn denied(&self, name: &str, chain: Vec<String>) -> Option<ResolveError> {
        let (list, rule) = self.matching(name, &["remove", "deny"])?;
        Some(ResolveError::Denied { name: name.to_owned(), rule: rule.to_owned(), list, chain })
    }

    /// Whether there is no rule at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }
}
