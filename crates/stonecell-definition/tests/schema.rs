//! The JSON Schemas and the table of fields in the documentation follow from the parser's own types.
//!
//! `UPDATE=1 cargo test -p stonecell-definition --test schema` writes both anew.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stonecell_definition::schema::{Kind, schema};

const BEGIN: &str = "<!-- fields: written by tests/schema.rs of stonecell-definition -->\n";
const END: &str = "<!-- end of fields -->\n";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a file with what it should be, or writes it when asked to.
fn same(path: &Path, wanted: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == wanted, "{} is out of date: run this test with UPDATE=1", path.display());
}

fn published(kind: Kind) -> String {
    let mut text = serde_json::to_string_pretty(schema(kind)).unwrap();
    text.push('\n');
    text
}

#[test]
fn the_published_schemas_are_those_of_the_parser() {
    same(&repository().join("schema/definition-v1.json"), &published(Kind::Definition));
    same(&repository().join("schema/role-v1.json"), &published(Kind::Role));
}

/// Every field below a node, as `table.field`.
fn fields(node: &Value, name: &str, all: &mut Vec<String>) {
    if let Some(items) = node.get("items") {
        fields(items, name, all);
    }
    for (field, node) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
        fields(node, &name, all);
        all.push(name);
    }
}

/// Every field that a TOML document has.
fn written(value: &toml::Value, name: &str, all: &mut Vec<String>) {
    match value {
        toml::Value::Array(list) => list.iter().for_each(|value| written(value, name, all)),
        toml::Value::Table(table) => {
            for (field, value) in table {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                written(value, &name, all);
                all.push(name);
            }
        }
        _ => {}
    }
}

#[test]
fn the_example_of_everything_has_exactly_the_fields_of_the_schema() {
    let mut known = Vec::new();
    fields(schema(Kind::Definition), "", &mut known);
    let text = include_str!("data/everything.toml");
    let mut found = Vec::new();
    written(&toml::Value::Table(text.parse().unwrap()), "", &mut found);
    // Regions are the user's own words.
    found.retain(|name| !name.starts_with("output.light.ami."));
    known.sort();
    found.sort();
    found.dedup();
    assert_eq!(known, found);
}

fn every_node(node: &Value, see: &mut dyn FnMut(&serde_json::Map<String, Value>)) {
    match node {
        Value::Object(table) => {
            see(table);
            table.values().for_each(|value| every_node(value, see));
        }
        Value::Array(list) => list.iter().for_each(|value| every_node(value, see)),
        _ => {}
    }
}

#[test]
fn every_pattern_compiles_and_says_what_it_wants() {
    for kind in [Kind::Definition, Kind::Role, Kind::Include] {
        let mut patterns = 0;
        every_node(schema(kind), &mut |table| {
            if let Some(pattern) = table.get("pattern").and_then(Value::as_str) {
                regex::Regex::new(pattern).unwrap();
                assert!(table.contains_key("patternErrorMessage"), "{pattern}");
                patterns += 1;
            }
        });
        assert!(patterns > 20, "{kind:?}: {patterns}");
    }
}

#[test]
fn every_table_refuses_unknown_fields() {
    every_node(schema(Kind::Definition), &mut |table| {
        if table.contains_key("properties")
            && table.get("type").is_some_and(|kind| kind == "object")
        {
            assert_eq!(table.get("additionalProperties"), Some(&Value::Bool(false)), "{table:?}");
        }
    });
}

/// The form of a value, in a few words.
fn form(node: &Value) -> String {
    let choices: Vec<String> = node
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|choice| Some(format!("`{}`", choice.get("const")?.as_str()?)))
        .collect();
    if !choices.is_empty() {
        return choices.join(", ");
    }
    if let Some(form) = node.get("patternErrorMessage").and_then(Value::as_str) {
        return form.replace('|', "\\|");
    }
    match node.get("type").and_then(Value::as_str) {
        Some("array") => format!("list: {}", node.get("items").map(form).unwrap_or_default()),
        Some("integer") => match (node.get("minimum"), node.get("maximum")) {
            (Some(least), Some(most)) if least == most => format!("{least}"),
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "number".to_owned(),
        },
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("object") => "table of text".to_owned(),
        _ => "text".to_owned(),
    }
}

/// Tables of fields in Markdown, one for each table of the format.
fn table(node: &Value, name: &str, out: &mut String) {
    let (node, title) = match node.get("items") {
        Some(items) => (items, format!("`[[{name}]]`")),
        None if name.is_empty() => (node, "Top level".to_owned()),
        None => (node, format!("`[{name}]`")),
    };
    let Some(properties) = node.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = node
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    write!(out, "\n### {title}\n\n| field | form | what |\n|---|---|---|\n").unwrap();
    let mut inner = Vec::new();
    for (field, node) in properties {
        let whole = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
        let what =
            node.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        assert!(!what.is_empty(), "`{whole}` has no description");
        let nested = node.get("items").unwrap_or(node).get("properties").is_some();
        let form = if nested { "see below".to_owned() } else { form(node) };
        let demanded = if required.contains(&field.as_str()) { " (demanded)" } else { "" };
        writeln!(out, "| `{field}`{demanded} | {form} | {what} |").unwrap();
        if nested {
            inner.push((whole, node));
        }
    }
    for (name, node) in inner {
        table(node, &name, out);
    }
}

#[test]
fn the_documentation_lists_every_field() {
    let path = repository().join("docs/definition.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has the mark");
    let (_, after) = rest.split_once(END).expect("the page has the second mark");
    let mut fields = String::new();
    table(schema(Kind::Definition), "", &mut fields);
    same(&path, &format!("{before}{BEGIN}{fields}\n{END}{after}"));
}
