//! One TOML file as it is written: its tables with the place of every value, before anything is
//! composed.
//!
//! The structs in [`tables`] are the only statement of the format. The JSON Schema is derived from
//! them, the shape of a file is checked against that schema (which finds every error at once, with a
//! suggestion), and only then does serde read it.

mod shape;
pub(crate) mod tables;
pub(crate) mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::de::DeTable;

use crate::error::{DefinitionError, Place};
use crate::schema::Kind;
pub(crate) use tables::File;

/// A parsed file with the text that its spans point into.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) file: File,
}

impl Source {
    pub(crate) fn place(&self, span: &std::ops::Range<usize>) -> Place {
        Place::new(&self.path, &self.text, span.clone())
    }
}

/// Reads one file of the given kind.
///
/// # Errors
/// Everything that is wrong with its syntax and shape.
pub(crate) fn parse(path: &Path, text: &str, kind: Kind) -> Result<Source, Vec<DefinitionError>> {
    let text: Arc<str> = Arc::from(text);
    let from_toml = |error: &toml::de::Error, help: Option<&str>| {
        let span = error.span().unwrap_or(0..0);
        let found = DefinitionError::new(Place::new(path, &text, span), error.message());
        help.map_or_else(|| found.clone(), |help| found.clone().help(help))
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return Err(errors
            .iter()
            .map(|error| from_toml(error, Some("the file has to be TOML 1.0")))
            .collect());
    }
    let found = shape::check(path, &text, &table, kind);
    if !found.is_empty() {
        return Err(found);
    }
    match File::deserialize(toml::Deserializer::from(table)) {
        Ok(file) => Ok(Source { path: path.to_owned(), text: Arc::clone(&text), kind, file }),
        Err(error) => Err(vec![from_toml(&error, None)]),
    }
}

impl Source {
    /// What messages call the file: "role `web`" or "the definition".
    pub(crate) fn title(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        match self.kind {
            Kind::Role => format!("role `{stem}`"),
            Kind::Include => format!("included file `{stem}`"),
            Kind::Definition => "the definition".to_owned(),
        }
    }
}
