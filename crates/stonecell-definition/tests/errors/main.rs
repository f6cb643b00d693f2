//! Bad definitions: each is refused with the place, what was expected and a remedy.

#![expect(clippy::tests_outside_test_module, reason = "the whole folder is one test program")]

mod lines;
mod roles;
mod whole;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::civil::date;
use stonecell_definition::{Definition, DefinitionErrors, Files, load};

/// Files by their path.
struct Tree(BTreeMap<&'static str, String>);

impl Files for Tree {
    fn read(&self, path: &Path) -> io::Result<String> {
        let found = path.to_str().and_then(|path| self.0.get(path));
        found.cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let files = self.0.keys().filter_map(|path| Path::new(path).strip_prefix(directory).ok());
        files.filter_map(|path| path.to_str().map(str::to_owned)).collect()
    }
}

const HEAD: &str = "schema = 1\nname = \"t\"\nversion = \"1.0\"\n";

/// Loads a definition whose first three lines are [`HEAD`], with roles and other files.
fn loaded(body: &str, others: &[(&'static str, &str)]) -> Result<Definition, DefinitionErrors> {
    let mut tree = BTreeMap::from([("stemcells/t.toml", format!("{HEAD}{body}"))]);
    for (path, text) in others {
        tree.insert(path, format!("schema = 1\n{text}"));
    }
    load(Path::new("stemcells/t.toml"), date(2026, 6, 1), &Tree(tree))
}

fn errors(body: &str, others: &[(&'static str, &str)]) -> Vec<String> {
    let errors = loaded(body, others).expect_err("the definition is bad");
    errors.iter().map(ToString::to_string).collect()
}

/// A role with one table.
fn role(text: &str) -> String {
    format!("description = \"d\"\n{text}")
}

const BASE: &str = "[base]\nrelease = \"bookworm\"\n";
