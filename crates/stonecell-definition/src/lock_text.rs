//! Reading and writing [`Lock`]: nothing in a lock is believed before it has been checked, since the
//! paths and sizes in it steer downloads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::definition::Definition;
use crate::lock::{LOCK_SCHEMA, Lock, LockedIndex, LockedPackage};

/// Largest .deb that is believed: none in the archives comes near.
const LARGEST_PACKAGE: u64 = 4 << 30;

const HEAD: &str = "\
# Written by `stonecell lock`: the exact packages of a build, from indexes whose signatures were good.
# Commit it beside the definition. Do not edit it; run `stonecell lock` again.

";

/// Why a lock is refused.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not TOML, or not the fields of a lock.
    #[error("{}:{line}:{column}: {message}; write the lock again with `stonecell lock`", path.display())]
    Syntax {
        /// The lock.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// Written by another version of the program.
    #[error(
        "{}: the lock has schema {found}, and this program reads {LOCK_SCHEMA}; write it again with `stonecell lock`",
        path.display()
    )]
    Schema {
        /// The lock.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// A value that no lock has.
    #[error("{}: {what} is {value:?}, expected {expected}; write the lock again with `stonecell lock`", path.display())]
    Value {
        /// The lock.
        path: PathBuf,
        /// The field, with the package or suite that it belongs to.
        what: String,
        /// What it is.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The definition asks for other packages than when the lock was written.
    #[error(
        "{}: the lock was written for another package set than that of `{definition}`; \
         run `stonecell lock` and review what changes",
        path.display()
    )]
    Stale {
        /// The lock.
        path: PathBuf,
        /// Name of the definition.
        definition: String,
    },
}

impl Lock {
    /// Reads a lock and checks every value in it. `path` is for messages.
    ///
    /// # Errors
    /// Any but [`LockError::Stale`].
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, LockError> {
        // The schema first: a newer lock may have fields that this program does not know.
        if let Ok(Head { schema }) = toml::from_str::<Head>(text)
            && schema != LOCK_SCHEMA
        {
            return Err(LockError::Schema { path: path.to_owned(), found: schema });
        }
        let lock: Self = toml::from_str(text).map_err(|error| {
            let text = std::sync::Arc::from(text);
            let place = crate::Place::new(path, &text, error.span().unwrap_or(0..0));
            LockError::Syntax {
                path: path.to_owned(),
                line: place.line,
                column: place.column,
                message: error.message().replace('\n', " "),
            }
        })?;
        lock.validate(path)?;
        Ok(lock)
    }

    /// The lock as TOML, packages and tools sorted by name, with a comment that says what it is.
    ///
    /// # Errors
    /// [`LockError::Value`] when it could not be read back.
    pub fn to_toml(&self, path: &Path) -> Result<String, LockError> {
        let mut sorted = self.clone();
        sorted.package.sort();
        sorted.tool.sort();
        for index in &mut sorted.index {
            index.signed_by.sort();
        }
        sorted.validate(path)?;
        match toml::to_string(&sorted) {
            Ok(body) => Ok(format!("{HEAD}{body}")),
            Err(error) => Err(LockError::Syntax {
                path: path.to_owned(),
                line: 0,
                column: 0,
                message: error.to_string(),
            }),
        }
    }

    /// Whether the lock was written for the package set of `definition`.
    ///
    /// # Errors
    /// [`LockError::Stale`] when not.
    pub fn check(&self, definition: &Definition, path: &Path) -> Result<(), LockError> {
        if self.definition == definition.lock_digest()
            && self.architecture == definition.base.architecture.name()
        {
            return Ok(());
        }
        Err(LockError::Stale { path: path.to_owned(), definition: definition.name.clone() })
    }

    fn validate(&self, path: &Path) -> Result<(), LockError> {
        let check = Check { path };
        if self.schema != LOCK_SCHEMA {
            return Err(LockError::Schema { path: path.to_owned(), found: self.schema });
        }
        check.that(is_hex(&self.definition, 64), "definition", &self.definition, SHA256)?;
        let epoch = self.epoch.to_string();
        check.that(
            (0..=253_402_300_799).contains(&self.epoch),
            "epoch",
            &epoch,
            "seconds since 1970",
        )?;
        let known = "a Debian architecture";
        check.that(is_word(&self.architecture), "architecture", &self.architecture, known)?;
        for index in &self.index {
            check.index(index)?;
        }
        let suites: BTreeSet<&str> = self.index.iter().map(|index| index.suite.as_str()).collect();
        for list in [&self.package, &self.tool] {
            let mut names = BTreeSet::new();
            for package in list {
                check.package(package, &self.architecture, &suites)?;
                let name = &package.name;
                check.that(names.insert(name), "a package", name, "each name once")?;
            }
        }
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Head {
    schema: u32,
}

const SHA256: &str = "64 lower-case hexadecimal digits";

struct Check<'a> {
    path: &'a Path,
}

impl Check<'_> {
    fn that(
        &self,
        holds: bool,
        what: &str,
        value: &str,
        expected: &'static str,
    ) -> Result<(), LockError> {
        if holds {
            return Ok(());
        }
        Err(LockError::Value {
            path: self.path.to_owned(),
            what: what.to_owned(),
            value: value.chars().take(200).collect(),
            expected,
        })
    }

    fn index(&self, index: &LockedIndex) -> Result<(), LockError> {
        let of = |field: &str| format!("{field} of the suite {}", index.suite);
        self.that(is_path(&index.suite), "suite", &index.suite, "a suite of the archive")?;
        self.that(is_hex(&index.sha256, 64), &of("sha256"), &index.sha256, SHA256)?;
        let date = index.date.parse::<jiff::Timestamp>().is_ok();
        self.that(date, &of("date"), &index.date, "a date and time of RFC 3339 in UTC")?;
        self.that(!index.signed_by.is_empty(), &of("signed_by"), "", "a fingerprint")?;
        for key in &index.signed_by {
            let fingerprint = matches!(key.len(), 40 | 64)
                && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
            self.that(
                fingerprint,
                &of("signed_by"),
                key,
                "a fingerprint in upper-case hexadecimal",
            )?;
        }
        Ok(())
    }

    fn package(
        &self,
        package: &LockedPackage,
        architecture: &str,
        suites: &BTreeSet<&str>,
    ) -> Result<(), LockError> {
        let of = |field: &str| format!("{field} of the package {}", package.name);
        self.that(is_package_name(&package.name), "name", &package.name, "a Debian package name")?;
        let version = "a Debian version";
        self.that(is_version(&package.version), &of("version"), &package.version, version)?;
        self.that(
            is_package_name(&package.source),
            &of("source"),
            &package.source,
            "a source package",
        )?;
        let source_version = &package.source_version;
        self.that(is_version(source_version), &of("source_version"), source_version, version)?;
        let fits = package.architecture == architecture || package.architecture == "all";
        let own = "the lock's architecture or all";
        self.that(fits, &of("architecture"), &package.architecture, own)?;
        let suite = suites.contains(package.suite.as_str());
        self.that(suite, &of("suite"), &package.suite, "one of the suites in [[index]]")?;
        let file = is_path(&package.filename)
            && Path::new(&package.filename).extension().is_some_and(|end| end == "deb");
        self.that(
            file,
            &of("filename"),
            &package.filename,
            "a path below the mirror, ending in .deb",
        )?;
        let size = package.size.to_string();
        let sane = (1..=LARGEST_PACKAGE).contains(&package.size);
        self.that(sane, &of("size"), &size, "1 byte to 4 GiB")?;
        self.that(is_hex(&package.sha256, 64), &of("sha256"), &package.sha256, SHA256)
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Debian policy 5.6.1.
fn is_package_name(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
}

/// Debian policy 5.6.12, without its order of parts.
fn is_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte))
}

/// A relative path of printable ASCII without empty, `.` or `..` parts.
fn is_path(text: &str) -> bool {
    text.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}
