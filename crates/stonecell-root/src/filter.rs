//! Which files a package leaves out: dpkg's `path-exclude` and `path-include` (dpkg(1)).

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

/// A pattern that cannot be used.
#[derive(Debug, Error)]
#[error(
    "the path pattern `{pattern}` is refused: it must start with `/` and use only `*`, `?` and `[...]`"
)]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// The parser's reason, if it got so far.
    pub source: Option<globset::Error>,
}

/// Exclusions and the inclusions that take some of them back.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    exclude: Vec<(String, GlobMatcher)>,
    include: Vec<(String, GlobMatcher)>,
}

impl Filter {
    /// Compiles patterns such as `/usr/share/doc/*`; `*` matches `/` too, as in fnmatch(3) without
    /// flags. All inclusions come after all exclusions, and dpkg lets the last match win.
    ///
    /// # Errors
    /// [`PatternError`] naming the pattern.
    pub(crate) fn new(exclude: &[String], include: &[String]) -> Result<Self, PatternError> {
        let compile = |patterns: &[String]| {
            patterns.iter().map(|p| Ok((p.clone(), glob(p)?))).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { exclude: compile(exclude)?, include: compile(include)? })
    }

    /// Whether a file at `path` (without a leading slash) is left out.
    #[must_use]
    pub(crate) fn excludes(&self, path: &str) -> bool {
        if self.exclude.is_empty() {
            return false;
        }
        let path = format!("/{path}");
        let any = |globs: &[(String, GlobMatcher)]| globs.iter().any(|(_, g)| g.is_match(&path));
        any(&self.exclude) && !any(&self.include)
    }

    /// The same rules for a file in `/etc/dpkg/dpkg.cfg.d`.
    #[must_use]
    pub(crate) fn to_dpkg_config(&self) -> String {
        let lines = |word: &str, globs: &[(String, GlobMatcher)]| -> String {
            globs.iter().map(|(pattern, _)| format!("{word}={pattern}\n")).collect()
        };
        lines("path-exclude", &self.exclude) + &lines("path-include", &self.include)
    }

    /// Whether anything is left out at all.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.exclude.is_empty()
    }
}

fn glob(pattern: &str) -> Result<GlobMatcher, PatternError> {
    // Braces mean something to globset and nothing to fnmatch; a newline would end the line in
    // dpkg's configuration.
    let foreign = |c: char| matches!(c, '{' | '}' | '\\') || c.is_control();
    if !pattern.starts_with('/') || pattern.contains(foreign) {
        return Err(PatternError { pattern: pattern.to_owned(), source: None });
    }
    GlobBuilder::new(pattern)
        .literal_separator(false)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|source| PatternError { pattern: pattern.to_owned(), source: Some(source) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inclusions_take_back_what_exclusions_took() {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let filter = Filter::new(
            &own(&["/usr/share/doc/*", "/usr/share/man/*"]),
            &own(&["/usr/share/doc/*/copyright"]),
        )
        .unwrap();
        assert!(filter.excludes("usr/share/doc/bash/README.gz"));
        assert!(filter.excludes("usr/share/man/man1/ls.1.gz"));
        assert!(!filter.excludes("usr/share/doc/bash/copyright"));
        assert!(!filter.excludes("usr/share/doc-base/x"));
        assert!(filter.to_dpkg_config().ends_with("path-include=/usr/share/doc/*/copyright\n"));
        assert!(!Filter::default().excludes("usr/share/doc/bash/README.gz"));
    }

    #[test]
    fn patterns_that_mean_something_else_to_dpkg_are_refused() {
        for pattern in ["usr/*", "/a/{b,c}", "/a\nforce-all", "/[", "/a\\*"] {
            assert!(Filter::new(&[pattern.to_owned()], &[]).is_err(), "{pattern:?}");
        }
    }
}
