//! The JSON Schemas of the three kinds of file, derived from [`crate::file::tables`].

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::file::File;

/// What a file is for, which decides what may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A role: a named set of decisions that definitions compose.
    Role,
    /// A part of a definition that another file includes.
    Include,
    /// A definition.
    Definition,
}

/// Fields that a role does not have: they belong to the definition.
pub(crate) const NOT_IN_ROLE: [&str; 8] =
    ["name", "version", "title", "include", "roles", "base", "signing", "output"];

/// Fields that only a role has.
const ONLY_IN_ROLE: [&str; 2] = ["description", "refines"];

impl Kind {
    /// Lower-case noun.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Include => "included file",
            Self::Definition => "definition",
        }
    }
}

/// The JSON Schema (draft 2020-12) of a kind of file. Shipped as `schema/definition-v1.json` and
/// `schema/role-v1.json`.
pub fn schema(kind: Kind) -> &'static Value {
    static ROLE: LazyLock<Value> = LazyLock::new(|| derive(Kind::Role));
    static INCLUDE: LazyLock<Value> = LazyLock::new(|| derive(Kind::Include));
    static DEFINITION: LazyLock<Value> = LazyLock::new(|| derive(Kind::Definition));
    match kind {
        Kind::Role => &ROLE,
        Kind::Include => &INCLUDE,
        Kind::Definition => &DEFINITION,
    }
}

fn derive(kind: Kind) -> Value {
    let generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    tidy(&mut schema);
    let (title, required, absent): (_, &[&str], &[&str]) = match kind {
        Kind::Role => ("Stonecell role, version 1", &["schema", "description"], &NOT_IN_ROLE),
        Kind::Include => ("Stonecell included file, version 1", &["schema"], &ONLY_IN_ROLE),
        Kind::Definition => {
            ("Stonecell definition, version 1", &["schema", "name", "version"], &ONLY_IN_ROLE)
        }
    };
    if let Some(table) = schema.as_object_mut() {
        table.insert("title".to_owned(), title.into());
        table.insert("required".to_owned(), required.to_vec().into());
        if let Some(properties) = table.get_mut("properties").and_then(Value::as_object_mut) {
            properties.retain(|name, _| !absent.contains(&name.as_str()));
        }
    }
    schema
}

/// Takes out what Rust's types say and TOML has no word for: null, defaults that are empty, integer
/// formats.
fn tidy(node: &mut Value) {
    match node {
        Value::Object(table) => {
            drop_null(table);
            table.remove("default");
            if table.get("type").and_then(Value::as_str) == Some("integer") {
                table.remove("format");
            }
            for value in table.values_mut() {
                tidy(value);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn drop_null(table: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = table.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            table.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = table.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").and_then(Value::as_str) != Some("null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            table.remove("anyOf");
            for (key, value) in only {
                table.entry(key).or_insert(value);
            }
        }
    }
    if let Some(Value::Array(names)) = table.get_mut("enum") {
        names.retain(|name| !name.is_null());
    }
}
