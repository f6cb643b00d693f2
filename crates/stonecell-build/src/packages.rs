//! What is installed, for manifest, SBOM and provenance: the lock joined with the dpkg database.

use std::collections::BTreeMap;

use stonecell_definition::lock::{Lock, LockedPackage};
use stonecell_stemcell::facts::{Index, Package};

use crate::tree::RootTree;

/// Packages of the lock with what the database of the root says of them, and the packages that only the
/// database has (those that the build made itself); sorted by name.
#[must_use]
pub fn installed(tree: &RootTree, lock: &Lock, status: &str) -> Vec<Package> {
    let stanzas = stanzas(status);
    let mut packages: Vec<Package> = lock
        .package
        .iter()
        .map(|locked| {
            let stanza = stanzas.get(locked.name.as_str());
            let field = |name: &str| {
                stanza.and_then(|stanza| stanza.get(name)).copied().unwrap_or("").to_owned()
            };
            Package {
                maintainer: field("Maintainer"),
                summary: field("Description"),
                homepage: field("Homepage"),
                license: license(tree, &locked.name),
                ..of_lock(locked)
            }
        })
        .collect();
    for (name, stanza) in &stanzas {
        if !lock.package.iter().any(|locked| locked.name == *name) {
            let field = |name: &str| stanza.get(name).copied().unwrap_or("").to_owned();
            packages.push(Package {
                name: (*name).to_owned(),
                version: field("Version"),
                architecture: field("Architecture"),
                source: (*name).to_owned(),
                source_version: field("Version"),
                sha256: String::new(),
                filename: String::new(),
                maintainer: field("Maintainer"),
                summary: field("Description"),
                homepage: String::new(),
                license: "Apache-2.0".to_owned(),
            });
        }
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    packages
}

/// A package that is only read.
#[must_use]
pub fn of_lock(locked: &LockedPackage) -> Package {
    Package {
        name: locked.name.clone(),
        version: locked.version.clone(),
        architecture: locked.architecture.clone(),
        source: locked.source.clone(),
        source_version: locked.source_version.clone(),
        sha256: locked.sha256.clone(),
        filename: locked.filename.clone(),
        maintainer: String::new(),
        summary: String::new(),
        homepage: String::new(),
        license: String::new(),
    }
}

/// The signed indexes of a lock.
#[must_use]
pub fn indexes(lock: &Lock) -> Vec<Index> {
    lock.index
        .iter()
        .map(|index| Index {
            suite: index.suite.clone(),
            sha256: index.sha256.clone(),
            date: index.date.clone(),
        })
        .collect()
}

/// Single-line fields of each stanza by package name.
fn stanzas(status: &str) -> BTreeMap<&str, BTreeMap<&str, &str>> {
    status
        .split("\n\n")
        .filter_map(|stanza| {
            let fields: BTreeMap<&str, &str> = stanza
                .lines()
                .filter(|line| !line.starts_with([' ', '\t']))
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name, value.trim()))
                .collect();
            Some((*fields.get("Package")?, fields))
        })
        .collect()
}

/// The licence of a machine-readable copyright file (DEP-5) when all its paragraphs name one and the same
/// that SPDX knows under a plain name; empty otherwise, which the SBOM says as NOASSERTION.
fn license(tree: &RootTree, package: &str) -> String {
    let Ok(text) = tree.read(&format!("/usr/share/doc/{package}/copyright")) else {
        return String::new();
    };
    if !text.starts_with("Format:") {
        return String::new();
    }
    let mut names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("License:"))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    match names.as_slice() {
        [one] => spdx(one).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

/// Debian's short name of a licence to SPDX's identifier.
fn spdx(name: &str) -> Option<&'static str> {
    Some(match name {
        "GPL-2" => "GPL-2.0-only",
        "GPL-2+" => "GPL-2.0-or-later",
        "GPL-3" => "GPL-3.0-only",
        "GPL-3+" => "GPL-3.0-or-later",
        "LGPL-2" => "LGPL-2.0-only",
        "LGPL-2+" => "LGPL-2.0-or-later",
        "LGPL-2.1" => "LGPL-2.1-only",
        "LGPL-2.1+" => "LGPL-2.1-or-later",
        "LGPL-3+" => "LGPL-3.0-or-later",
        "Apache-2.0" => "Apache-2.0",
        "BSD-2-clause" => "BSD-2-Clause",
        "BSD-3-clause" => "BSD-3-Clause",
        "ISC" => "ISC",
        "Expat" => "MIT",
        "MPL-2.0" => "MPL-2.0",
        "Zlib" | "zlib" => "Zlib",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continuation_lines_are_not_fields() {
        let status = "Package: a\nDescription: short\n long: text\n .\n\nPackage: b\nVersion: 1\n";
        let found = stanzas(status);
        assert_eq!(found["a"]["Description"], "short");
        assert!(!found["a"].contains_key(" long"));
        assert_eq!(found["b"]["Version"], "1");
    }
}
