//! Control files: stanzas of fields (deb822(5)) and the relations between packages (deb-control(5)).

use std::cmp::Ordering;

use thiserror::Error;

use crate::version;

/// Why a control file is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ControlError {
    /// Not text.
    #[error("byte {0} is not UTF-8")]
    Utf8(usize),
    /// A continuation without a field, or a line without a colon.
    #[error("line {line} is neither `Field: value` nor a continuation: `{text}`")]
    Line {
        /// Counted from one.
        line: usize,
        /// Its start.
        text: String,
    },
    /// One name twice in a stanza.
    #[error("line {line} gives the field `{field}` a second time")]
    Twice {
        /// Counted from one.
        line: usize,
        /// Its name.
        field: String,
    },
    /// A relation that cannot be read.
    #[error("cannot read the package relation `{0}`")]
    Relation(String),
    /// A field that every package has is absent.
    #[error("the field `{0}` is missing")]
    Missing(&'static str),
    /// A package name or architecture that could leave the dpkg database.
    #[error("the field `{field}` has the value `{value}`, which Debian Policy 5.6 does not allow")]
    Value {
        /// Its name.
        field: &'static str,
        /// What it says.
        value: String,
    },
}

/// One paragraph: fields in order. A value keeps its continuation lines, each as `\n` and the line.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stanza {
    /// Name and value, in the order of the file.
    pub fields: Vec<(String, String)>,
}

impl Stanza {
    /// The value of a field; names are compared without case, as dpkg does.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let same = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        self.fields.iter().find(same).map(|(_, value)| value.as_str())
    }

    /// As text, with the closing newline of the last field and no blank line.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (name, value) in &self.fields {
            out.push_str(name);
            out.push(':');
            if !value.starts_with('\n') {
                out.push(' ');
            }
            out.push_str(value);
            out.push('\n');
        }
        out
    }
}

/// Reads all stanzas of a control file.
///
/// # Errors
/// [`ControlError`] with the line.
pub fn parse(bytes: &[u8]) -> Result<Vec<Stanza>, ControlError> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| ControlError::Utf8(error.valid_up_to()))?;
    let mut stanzas = Vec::new();
    let mut stanza = Stanza::default();
    for (number, line) in text.lines().enumerate() {
        let bad = || ControlError::Line { line: number + 1, text: line.chars().take(60).collect() };
        if line.trim().is_empty() {
            if !stanza.fields.is_empty() {
                stanzas.push(std::mem::take(&mut stanza));
            }
        } else if line.starts_with([' ', '\t']) {
            let (_, value) = stanza.fields.last_mut().ok_or_else(bad)?;
            value.push('\n');
            value.push_str(line.trim_end());
        } else if line.starts_with('#') {
            // A comment; deb822(5) allows it in sources only, and it means nothing anywhere.
        } else {
            let (name, value) = line.split_once(':').ok_or_else(bad)?;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(bad());
            }
            if stanza.get(name).is_some() {
                return Err(ControlError::Twice { line: number + 1, field: name.to_owned() });
            }
            stanza.fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    if !stanza.fields.is_empty() {
        stanzas.push(stanza);
    }
    Ok(stanzas)
}

/// How a relation bounds a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Less,
    /// `<=` (and the old `<`)
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=` (and the old `>`)
    GreaterOrEqual,
    /// `>>`
    Greater,
}

/// One alternative of a dependency, for example `libc6 (>= 2.34)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Package or virtual package, without an architecture qualifier.
    pub name: String,
    /// Version bound.
    pub bound: Option<(Operator, String)>,
}

impl Relation {
    /// Whether a package version satisfies the bound.
    #[must_use]
    pub fn allows(&self, version: &str) -> bool {
        let Some((operator, bound)) = &self.bound else { return true };
        let order = version::compare(version, bound);
        match operator {
            Operator::Less => order == Ordering::Less,
            Operator::LessOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::GreaterOrEqual => order != Ordering::Less,
            Operator::Greater => order == Ordering::Greater,
        }
    }
}

/// Reads `Depends`-like text: all of the outer list, any of each inner one.
///
/// # Errors
/// [`ControlError::Relation`] naming the part.
pub fn relations(text: &str) -> Result<Vec<Vec<Relation>>, ControlError> {
    text.split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .map(|group| group.split('|').map(|one| relation(one.trim())).collect())
        .collect()
}

fn relation(text: &str) -> Result<Relation, ControlError> {
    let bad = || ControlError::Relation(text.to_owned());
    let (name, bound) = match text.split_once('(') {
        None => (text, None),
        Some((name, rest)) => {
            let inner = rest.trim_end().strip_suffix(')').ok_or_else(bad)?.trim();
            let at = inner.find(|c| !matches!(c, '<' | '>' | '=')).ok_or_else(bad)?;
            let (operator, version) = inner.split_at(at);
            let operator = match operator {
                "<<" => Operator::Less,
                "<=" | "<" => Operator::LessOrEqual,
                "=" => Operator::Equal,
                ">=" | ">" => Operator::GreaterOrEqual,
                ">>" => Operator::Greater,
                _ => return Err(bad()),
            };
            (name, Some((operator, version.trim().to_owned())))
        }
    };
    let name = name.trim();
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    if !is_package_name(name) {
        return Err(bad());
    }
    Ok(Relation { name: name.to_owned(), bound })
}

/// Debian Policy 5.6.1: lower-case letters, digits, `+`, `-`, `.`; starts alphanumeric. It becomes
/// part of file names in the dpkg database, so nothing else may pass.
#[must_use]
pub fn is_package_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stanzas_keep_order_and_continuations() {
        let text = "Package: a\nDescription: short\n long\n .\n more\n\n\nPackage: b\nEmpty:\n";
        let stanzas = parse(text.as_bytes()).unwrap();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].get("description"), Some("short\n long\n .\n more"));
        assert_eq!(stanzas[1].get("Empty"), Some(""));
    }

    #[test]
    fn errors_name_the_line() {
        let line = |text: &str| match parse(text.as_bytes()) {
            Err(ControlError::Line { line, .. } | ControlError::Twice { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line(" lost\n"), 1);
        assert_eq!(line("A: 1\nno colon\n"), 2);
        assert_eq!(line("A: 1\nB: 2\na: 3\n"), 3);
    }

    #[test]
    fn relations_with_alternatives_bounds_and_qualifiers() {
        let found = relations("libc6 (>= 2.34), awk | mawk:any, x(<<1~)").unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!(found[1][1].name, "mawk");
        assert!(found[0][0].allows("2.36-9") && !found[0][0].allows("2.31"));
        assert!(found[2][0].allows("0.9") && !found[2][0].allows("1"));
        assert!(relations("a (2)").is_err());
        assert!(relations("../x").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(values in proptest::collection::vec("[a-z][a-z ]{0,8}[a-z](\n [a-z]{1,9}){0,3}", 1..5)) {
            let fields = values.into_iter().enumerate().map(|(i, v)| (format!("F{i}"), v)).collect();
            let stanza = Stanza { fields };
            prop_assert_eq!(parse(stanza.to_text().as_bytes()).unwrap(), vec![stanza]);
        }

        #[test]
        fn what_is_accepted_is_accepted_again(text in "([A-Za-z#-]{1,3}[:a-z \\t\n]{0,12}\n){0,6}") {
            for stanza in parse(text.as_bytes()).unwrap_or_default() {
                prop_assert_eq!(parse(stanza.to_text().as_bytes()).unwrap(), vec![stanza]);
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            if let Ok(text) = std::str::from_utf8(&bytes) {
                let _ = relations(text);
            }
        }
    }
}
