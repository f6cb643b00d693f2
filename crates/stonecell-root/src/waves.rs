//! In which order packages are unpacked and configured.
//!
//! Debian Policy 6.5 and 7.2: a `preinst` may use essential packages and what its package
//! `Pre-Depends` on, configured; a `postinst` may use what its package `Depends` on. So the first wave
//! is the essential packages with all they need; every other package waits until its `Pre-Depends`
//! are configured.

use std::collections::{BTreeSet, HashMap};

use thiserror::Error;

use crate::control::{ControlError, Relation};
use crate::package::Package;

/// Why no order exists.
#[derive(Debug, Error)]
pub enum WaveError {
    /// Nothing can go on.
    #[error("the packages {0} wait for each other by Pre-Depends; the set cannot be installed")]
    Stuck(String),
    /// A dependency that nothing in the set satisfies.
    #[error(
        "`{package}` needs `{needs}`, which is not in the locked set; run `stonecell lock` again"
    )]
    Missing {
        /// Who needs it.
        package: String,
        /// The group of alternatives.
        needs: String,
    },
    /// A relation in a control file.
    #[error("a relation of `{package}` cannot be read")]
    Relation {
        /// The package.
        package: String,
        /// Why.
        source: ControlError,
    },
}

/// Who needs whom, as positions in the list of packages.
#[derive(Debug)]
pub(crate) struct Graph {
    depends: Vec<BTreeSet<usize>>,
    pre_depends: Vec<BTreeSet<usize>>,
    essential: BTreeSet<usize>,
}

impl Graph {
    /// Reads the relations of a whole set.
    ///
    /// # Errors
    /// [`WaveError::Missing`] and [`WaveError::Relation`].
    pub(crate) fn new(all: &[Package]) -> Result<Self, WaveError> {
        let relations = |package: &Package, field: &str| {
            package
                .relations(field)
                .map_err(|source| WaveError::Relation { package: package.name.clone(), source })
        };
        // Name, to who has it and with which version; a virtual name may have none.
        let mut names: HashMap<String, Vec<(usize, Option<String>)>> = HashMap::new();
        for (at, package) in all.iter().enumerate() {
            let real = (at, Some(package.version.clone()));
            names.entry(package.name.clone()).or_default().insert(0, real);
            for provided in relations(package, "Provides")?.into_iter().flatten() {
                let version = provided.bound.map(|(_, version)| version);
                names.entry(provided.name).or_default().push((at, version));
            }
        }
        let satisfies = |relation: &Relation| {
            let candidates = names.get(&relation.name)?;
            let fits = |(_, version): &&(usize, Option<String>)| match version {
                Some(version) => relation.allows(version),
                None => relation.bound.is_none(),
            };
            candidates.iter().find(fits).map(|(at, _)| *at)
        };
        let targets = |package: &Package, field: &str| {
            let mut found = BTreeSet::new();
            for group in relations(package, field)? {
                match group.iter().find_map(&satisfies) {
                    Some(at) => found.insert(at),
                    None => {
                        let names: Vec<_> = group.iter().map(|r| r.name.as_str()).collect();
                        return Err(WaveError::Missing {
                            package: package.name.clone(),
                            needs: names.join(" | "),
                        });
                    }
                };
            }
            Ok(found)
        };
        let all_of = |field| {
            all.iter().map(|package| targets(package, field)).collect::<Result<Vec<_>, _>>()
        };
        let essential =
            |package: &Package| package.description.control.get("Essential") == Some("yes");
        Ok(Self {
            depends: all_of("Depends")?,
            pre_depends: all_of("Pre-Depends")?,
            essential: (0..all.len()).filter(|at| all.get(*at).is_some_and(essential)).collect(),
        })
    }

    /// The first wave: the essential packages and all that they need.
    #[must_use]
    pub(crate) fn first_wave(&self) -> BTreeSet<usize> {
        self.closure(&self.essential)
    }

    /// `of` and all that it needs, directly or not.
    #[must_use]
    pub(crate) fn closure(&self, of: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut found = of.clone();
        let mut todo: Vec<usize> = of.iter().copied().collect();
        while let Some(at) = todo.pop() {
            let needs = [&self.depends, &self.pre_depends].map(|list| list.get(at));
            for need in needs.into_iter().flatten().flatten() {
                if found.insert(*need) {
                    todo.push(*need);
                }
            }
        }
        found
    }

    /// Those of `waiting` whose `Pre-Depends` are all configured.
    #[must_use]
    pub(crate) fn ready(
        &self,
        waiting: &BTreeSet<usize>,
        configured: &BTreeSet<usize>,
    ) -> BTreeSet<usize> {
        let met =
            |at: &&usize| self.pre_depends.get(**at).is_none_or(|set| set.is_subset(configured));
        waiting.iter().filter(met).copied().collect()
    }

    /// What must be configured now, because one of `waiting` pre-depends on it and it can be: all it
    /// needs is unpacked.
    #[must_use]
    pub(crate) fn blocking(
        &self,
        waiting: &BTreeSet<usize>,
        unpacked: &BTreeSet<usize>,
        configured: &BTreeSet<usize>,
    ) -> BTreeSet<usize> {
        let needed = waiting.iter().filter_map(|at| self.pre_depends.get(*at)).flatten();
        let mut found = BTreeSet::new();
        for at in needed.filter(|at| !configured.contains(at)) {
            let closure = self.closure(&BTreeSet::from([*at]));
            if closure.is_subset(unpacked) {
                found.extend(closure.difference(configured));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Stanza;
    use crate::package::{Content, Description};

    fn package(name: &str, fields: &[(&str, &str)]) -> Package {
        let first = [("Package", name), ("Version", "2"), ("Architecture", "all")];
        let fields = first.iter().chain(fields);
        let control =
            Stanza { fields: fields.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() };
        let description = Description { control, files: vec![], entries: vec![], pieces: vec![] };
        Package::new(description, Content::Memory(vec![])).unwrap()
    }

    #[test]
    fn the_first_wave_is_what_essential_packages_need() {
        let all = [
            package("sh", &[("Essential", "yes"), ("Pre-Depends", "libc (>= 2)")]),
            package("libc", &[("Depends", "gcc-base | other")]),
            package("gcc-base", &[]),
            package("nginx", &[("Depends", "libc")]),
        ];
        assert_eq!(Graph::new(&all).unwrap().first_wave(), BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn a_package_waits_until_its_pre_depends_are_configured() {
        let all = [
            package("e", &[("Essential", "yes")]),
            package("systemd", &[("Depends", "libx")]),
            package("libx", &[]),
            package("systemd-sysv", &[("Pre-Depends", "systemd")]),
        ];
        let graph = Graph::new(&all).unwrap();
        let waiting = BTreeSet::from([1, 2, 3]);
        let configured = BTreeSet::from([0]);
        assert_eq!(graph.ready(&waiting, &configured), BTreeSet::from([1, 2]));
        let waiting = BTreeSet::from([3]);
        let unpacked = BTreeSet::from([0, 1]);
        assert!(graph.blocking(&waiting, &unpacked, &configured).is_empty(), "libx is missing");
        let unpacked = BTreeSet::from([0, 1, 2]);
        assert_eq!(graph.blocking(&waiting, &unpacked, &configured), BTreeSet::from([1, 2]));
    }

    #[test]
    fn provided_names_satisfy_with_their_own_version_only() {
        let provider = package("x", &[("Provides", "virtual, versioned (= 5)")]);
        let needs = |text: &str| {
            Graph::new(&[provider.clone(), package("y", &[("Depends", text)])]).map(|_| ())
        };
        assert!(needs("virtual").is_ok());
        assert!(needs("versioned (>= 5)").is_ok());
        assert!(needs("virtual (>= 1)").is_err());
        let message = needs("nothing | none").unwrap_err().to_string();
        assert!(message.contains("`y`") && message.contains("nothing | none"), "{message}");
    }
}
