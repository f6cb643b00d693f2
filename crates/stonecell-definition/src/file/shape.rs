//! Checks a parsed file against the JSON Schema of its kind: unknown and missing fields, types,
//! choices, patterns and ranges, all of them at once and each at its place.
//!
//! It knows the keywords that `crate::schema` produces and no others.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use crate::error::{DefinitionError, Place, nearest};
use crate::schema::{Kind, NOT_IN_ROLE, schema};

/// Everything in `table` that the schema of `kind` does not permit.
pub(super) fn check(
    path: &Path,
    text: &Arc<str>,
    table: &Spanned<DeTable<'_>>,
    kind: Kind,
) -> Vec<DefinitionError> {
    let mut checker = Checker { path, text, kind, errors: Vec::new() };
    checker.table(table.get_ref(), &(0..0), schema(kind), "");
    checker.errors
}

struct Checker<'a> {
    path: &'a Path,
    text: &'a Arc<str>,
    kind: Kind,
    errors: Vec<DefinitionError>,
}

impl Checker<'_> {
    fn error(&mut self, span: &std::ops::Range<usize>, message: String, help: Option<String>) {
        let place = Place::new(self.path, self.text, span.clone());
        self.errors.push(DefinitionError { place, message, help, related: Vec::new() });
    }

    fn table(
        &mut self,
        table: &DeTable<'_>,
        span: &std::ops::Range<usize>,
        node: &Value,
        field: &str,
    ) {
        let none = Map::new();
        let known = node.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let rest = node.get("additionalProperties").filter(|rest| rest.is_object());
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let inner = join(field, name);
            match known.get(name).or(rest) {
                Some(node) => self.value(value, node, &inner),
                None => self.unknown(&key.span(), name, field, known),
            }
        }
        for name in node.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !table.keys().any(|key| key.get_ref() == name) {
                let wanted = known.get(name).map(expected);
                let message = if field.is_empty() {
                    format!("the field `{name}` is missing in the {}", self.kind.noun())
                } else {
                    format!("the field `{name}` is missing in `{field}`")
                };
                self.error(span, message, wanted.map(|wanted| format!("add `{name}`: {wanted}")));
            }
        }
    }

    fn unknown(
        &mut self,
        span: &std::ops::Range<usize>,
        name: &str,
        field: &str,
        known: &Map<String, Value>,
    ) {
        let message = if field.is_empty() {
            format!("unknown field `{name}` in a {}", self.kind.noun())
        } else {
            format!("unknown field `{name}` in `{field}`")
        };
        let help = if let Some(reason) = explained(self.kind, field, name) {
            reason.to_owned()
        } else if let Some(meant) = nearest(name, known.keys().map(String::as_str)) {
            format!("did you mean `{meant}`?")
        } else {
            format!("known fields: {}", list(known.keys().map(String::as_str)))
        };
        self.error(span, message, Some(help));
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, node: &Value, field: &str) {
        let span = value.span();
        let wanted_type = node.get("type").and_then(Value::as_str);
        let choices = choices(node);
        match (value.get_ref(), wanted_type) {
            (DeValue::String(text), _) if !choices.is_empty() => {
                if !choices.contains(&text.as_ref()) {
                    let message = format!("unknown value {text:?} of `{field}`");
                    let all = list(choices.iter().copied());
                    let help = nearest(text, choices.iter().copied()).map_or_else(
                        || format!("expected one of {all}"),
                        |meant| format!("did you mean `{meant}`? expected one of {all}"),
                    );
                    self.error(&span, message, Some(help));
                }
            }
            (DeValue::String(text), Some("string")) => self.text(text, &span, node, field),
            (DeValue::Datetime(date), Some("string")) if is_date(node) => {
                self.text(&date.to_string(), &span, node, field);
            }
            (DeValue::Integer(number), Some("integer")) => {
                self.integer(number, &span, node, field);
            }
            (DeValue::Boolean(_), Some("boolean")) => {}
            (DeValue::Array(array), Some("array")) => {
                if let Some(node) = node.get("items") {
                    array.iter().for_each(|item| self.value(item, node, field));
                }
            }
            (DeValue::Table(table), Some("object")) => self.table(table, &span, node, field),
            (found, _) => {
                let found = found.type_str();
                let message = format!("`{field}` is {}", with_article(found));
                let hint = match (found, wanted_type) {
                    ("table", Some("array")) => {
                        format!("write [[{field}]] with two brackets for each entry")
                    }
                    _ => format!("expected {}", expected(node)),
                };
                self.error(&span, message, Some(hint));
            }
        }
    }

    fn text(&mut self, text: &str, span: &std::ops::Range<usize>, node: &Value, field: &str) {
        let Some(pattern) = node.get("pattern").and_then(Value::as_str) else { return };
        let matches = match PATTERNS.get(pattern) {
            Some(regex) => regex.is_match(text),
            None => false,
        };
        if !matches {
            let message = format!("`{field}` is {text:?}");
            self.error(span, message, Some(format!("expected {}", expected(node))));
        }
    }

    fn integer(
        &mut self,
        number: &DeInteger<'_>,
        span: &std::ops::Range<usize>,
        node: &Value,
        field: &str,
    ) {
        let bound = |name| node.get(name).and_then(Value::as_i64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
        let within = value.is_some_and(|value| {
            least.is_none_or(|least| value >= least) && most.is_none_or(|most| value <= most)
        });
        if !within {
            let range = match (least, most) {
                (Some(least), Some(most)) if least == most => format!("expected {least}"),
                (Some(least), Some(most)) => format!("expected a number from {least} to {most}"),
                _ => "expected a number of 64 bits".to_owned(),
            };
            self.error(span, format!("`{field}` is {number}"), Some(range));
        }
    }
}

/// Every pattern of the schemas, compiled once. A test shows that all of them compile.
static PATTERNS: LazyLock<BTreeMap<&'static str, Regex>> = LazyLock::new(|| {
    let mut patterns = BTreeMap::new();
    for kind in [Kind::Role, Kind::Include, Kind::Definition] {
        collect(schema(kind), &mut patterns);
    }
    patterns
});

fn collect(node: &'static Value, patterns: &mut BTreeMap<&'static str, Regex>) {
    match node {
        Value::Object(table) => {
            if let Some(pattern) = table.get("pattern").and_then(Value::as_str)
                && !patterns.contains_key(pattern)
                && let Ok(regex) = Regex::new(pattern)
            {
                patterns.insert(pattern, regex);
            }
            table.values().for_each(|value| collect(value, patterns));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, patterns)),
        _ => {}
    }
}

/// Fields that people look for and that do not exist for a reason.
fn explained(kind: Kind, table: &str, name: &str) -> Option<&'static str> {
    match (table, name) {
        ("user", "password" | "passwd" | "password_hash" | "hashed_password") => Some(
            "an image holds no password, not even a hashed one: every user is locked; \
             give `authorized_keys`, or let the agent set one at boot",
        ),
        ("base", "max_age" | "valid_until" | "check_valid_until") => Some(
            "an expired archive is never accepted silently: name a `snapshot` to build from a dated one",
        ),
        ("", _) if kind == Kind::Role && NOT_IN_ROLE.contains(&name) => {
            Some("a role decides what is in the image; this belongs to the definition")
        }
        ("", "description") => Some("a definition has a `title`; only a role has a description"),
        _ => None,
    }
}

fn choices(node: &Value) -> Vec<&str> {
    let listed = node.get("enum").and_then(Value::as_array).into_iter().flatten();
    let described = node.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    listed
        .filter_map(Value::as_str)
        .chain(described.filter_map(|choice| choice.get("const").and_then(Value::as_str)))
        .collect()
}

fn is_date(node: &Value) -> bool {
    node.get("format").and_then(Value::as_str) == Some("date")
}

/// What the schema wants at `node`, in words.
fn expected(node: &Value) -> String {
    let choices = choices(node);
    if !choices.is_empty() {
        return format!("one of {}", list(choices));
    }
    if let Some(form) = node.get("patternErrorMessage").and_then(Value::as_str) {
        return form.to_owned();
    }
    match node.get("type").and_then(Value::as_str) {
        Some("array") => match node.get("items") {
            Some(items) => format!("a list, each {}", expected(items)),
            None => "a list".to_owned(),
        },
        Some("object") => "a table".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        Some("integer") => "a whole number".to_owned(),
        _ => "a string in quotes".to_owned(),
    }
}

fn with_article(found: &str) -> String {
    match found {
        "integer" | "array" => format!("an {found}"),
        "boolean" | "string" | "table" | "datetime" | "float" => format!("a {found}"),
        other => other.to_owned(),
    }
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn join(field: &str, name: &str) -> String {
    if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") }
}
