//! Errors of definitions: what is wrong, where it is written, what was expected, what to do.
//!
//! An error carries the text of its file and a byte range in it, so that a caller can draw the line
//! (the command line does) or print it as JSON (it implements `Serialize`, without the text).

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

/// A range of bytes in a named file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file as it was opened.
    pub path: PathBuf,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: usize,
    /// The line as written, without its end.
    pub snippet: String,
    /// Byte range in `text`, always within it and on character boundaries.
    #[serde(skip)]
    pub span: Range<usize>,
    /// The whole text of the file.
    #[serde(skip)]
    pub text: Arc<str>,
}

impl Place {
    /// The place `span` of `text`; a span outside of the text is cut to fit.
    pub fn new(path: &Path, text: &Arc<str>, span: Range<usize>) -> Self {
        let start = floor_boundary(text, span.start);
        let end = floor_boundary(text, span.end).max(start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(line_start..).unwrap_or_default();
        let snippet = rest.lines().next().unwrap_or_default().to_owned();
        let in_line = before.get(line_start..).unwrap_or_default();
        Self {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: in_line.chars().count() + 1,
            snippet,
            span: start..end,
            text: Arc::clone(text),
        }
    }

    /// A file as a whole, for example one that could not be read.
    pub fn whole(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            line: 0,
            column: 0,
            snippet: String::new(),
            span: 0..0,
            text: Arc::from(""),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}", self.path.display())
        } else {
            write!(f, "{}:{}:{}", self.path.display(), self.line, self.column)
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// One thing that is wrong in a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefinitionError {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong and what was expected: lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The other side of a contradiction, or the file that led here.
    pub related: Vec<Related>,
}

/// A second place that has to do with an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is there.
    pub message: String,
}

impl DefinitionError {
    /// An error at `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), help: None, related: Vec::new() }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a second place.
    #[must_use]
    pub fn related(mut self, place: Place, message: impl Into<String>) -> Self {
        self.related.push(Related { place, message: message.into() });
        self
    }
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        for related in &self.related {
            write!(f, "\n  {}: {}", related.place, related.message)?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionError {}

/// Everything that is wrong in a definition, in the order of files and lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DefinitionErrors(Vec<DefinitionError>);

impl DefinitionErrors {
    /// Sorts by place and drops repetitions; `None` when nothing is wrong.
    pub(crate) fn of(mut errors: Vec<DefinitionError>) -> Option<Self> {
        errors.sort_by(|a, b| {
            (&a.place.path, a.place.span.start, &a.message).cmp(&(
                &b.place.path,
                b.place.span.start,
                &b.message,
            ))
        });
        errors.dedup();
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// A single error.
    pub(crate) fn one(error: DefinitionError) -> Self {
        Self(vec![error])
    }

    /// The errors.
    pub fn iter(&self) -> std::slice::Iter<'_, DefinitionError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a DefinitionErrors {
    type Item = &'a DefinitionError;
    type IntoIter = std::slice::Iter<'a, DefinitionError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for DefinitionErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DefinitionErrors {}

/// The known name nearest to a misspelt one, if one is near enough to be meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(likeness, name)| *likeness > 0.8 || strsim::damerau_levenshtein(wrong, name) <= 1)
        .max_by(|(a, left), (b, right)| a.total_cmp(b).then_with(|| right.cmp(left)))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_not_bytes() {
        let text: Arc<str> = Arc::from("a = 1\nüü = 2\n");
        let place = Place::new(Path::new("x.toml"), &text, 8..10);
        assert_eq!((place.line, place.column), (2, 2));
        assert_eq!(place.snippet, "üü = 2");
        assert_eq!(place.to_string(), "x.toml:2:2");
    }

    #[test]
    fn a_span_outside_or_inside_a_character_is_cut_to_fit() {
        let text: Arc<str> = Arc::from("ü");
        assert_eq!(Place::new(Path::new("x"), &text, 1..900).span, 0..2);
        assert_eq!(Place::new(Path::new("x"), &text, 700..900).span, 2..2);
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(nearest("instal", ["install", "remove"]), Some("install"));
        assert_eq!(nearest("qcow", ["raw", "qcow2"]), Some("qcow2"));
        assert_eq!(nearest("zebra", ["install", "remove"]), None);
    }
}
