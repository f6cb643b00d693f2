//! Why a request has no solution, in words that name the cause.

use thiserror::Error;

use crate::apt::AptError;
use crate::index::IndexError;

/// Why a request has no solution.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// An index is not well formed.
    #[error("an index of suite `{suite}` is not well formed")]
    Index {
        /// Name of the suite.
        suite: String,
        /// Why.
        source: IndexError,
    },
    /// A name cannot be that of a package.
    #[error(
        "`{name}` is not a package name; expected lower-case letters, digits, `+`, `-` and `.`"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A pattern is not a glob.
    #[error("`{pattern}` is not a valid pattern of package names")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        source: globset::Error,
    },
    /// A synthetic package cannot be written as one.
    #[error("the synthetic package `{name}` has an unusable {field}")]
    Synthetic {
        /// Its name.
        name: String,
        /// The field.
        field: &'static str,
    },
    /// A package does not exist.
    #[error("there is no package `{name}` in {suites}{}", suggestion(.similar))]
    Missing {
        /// The name.
        name: String,
        /// Suites that were searched.
        suites: String,
        /// Names that are like it.
        similar: Vec<String>,
    },
    /// A name that several packages provide.
    #[error("`{name}` is provided by several packages; ask for one of {}", .providers.join(", "))]
    Virtual {
        /// The name.
        name: String,
        /// Who provides it.
        providers: Vec<String>,
    },
    /// A package that may not be there is needed.
    #[error(
        "package `{name}` matches `{rule}` in `{list}`, yet it is needed: {}; drop the rule, or what \
         asks for the package",
        .chain.join(" -> ")
    )]
    Denied {
        /// The package.
        name: String,
        /// The pattern that it matches.
        rule: String,
        /// `deny` or `remove`.
        list: &'static str,
        /// From what was asked for to the package.
        chain: Vec<String>,
    },
    /// A dependency that nothing satisfies.
    #[error(
        "package `{}` needs `{clause}`, but {there_is}{}",
        .chain.last().map_or("", String::as_str), through(.chain)
    )]
    Unsatisfiable {
        /// The dependency as the package writes it.
        clause: String,
        /// What there is in its place.
        there_is: String,
        /// From what was asked for to the package that has the dependency.
        chain: Vec<String>,
    },
    /// apt refuses for another reason, a conflict say.
    #[error("these packages cannot be installed together: {}", .reasons.join(". "))]
    Conflict {
        /// apt's words.
        reasons: Vec<String>,
    },
    /// apt's plan names a package that the verified indexes do not have.
    #[error("apt chose {name} {version} ({architecture}), which the verified indexes do not have")]
    Unknown {
        /// Package name.
        name: String,
        /// Version.
        version: String,
        /// Architecture.
        architecture: String,
    },
    /// apt cannot be asked.
    #[error("cannot resolve the packages")]
    Apt(#[from] AptError),
}

fn suggestion(similar: &[String]) -> String {
    if similar.is_empty() {
        return String::new();
    }
    format!("; did you mean {}?", similar.join(" or "))
}

fn through(chain: &[String]) -> String {
    if chain.len() < 2 { String::new() } else { format!(" (asked for by {})", chain.join(" -> ")) }
}
