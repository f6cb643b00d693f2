//! Reading catalogue files. Every fault is collected with its line, so that one run shows all of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::fault::{CatalogueErrors, Fault, unknown};
use super::{Catalogue, Control, Family, Parameter, Severity, fields, rules};
use crate::want::{self, Want};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    schema: u32,
    family: String,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    id: String,
    title: String,
    why: String,
    severity: Severity,
    profiles: Vec<String>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    except_roles: Vec<String>,
    except_why: Option<String>,
    #[serde(default)]
    platforms: Vec<String>,
    #[serde(default)]
    releases: Vec<String>,
    #[serde(default)]
    references: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    parameters: BTreeMap<String, RawParameter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawParameter {
    default: Scalar,
    why: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Integer(i64),
    Flag(bool),
}

impl Scalar {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

/// The text of one file and the faults found in it so far.
pub(super) struct Source<'a> {
    name: &'a str,
    text: &'a str,
    pub(super) faults: Vec<Fault>,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> usize {
        let end = offset.min(self.text.len());
        self.text.as_bytes().iter().take(end).filter(|byte| **byte == b'\n').count() + 1
    }

    fn fault(&mut self, offset: usize, message: impl Into<String>) {
        let line = self.line(offset);
        self.fault_at(line, message);
    }

    pub(super) fn fault_at(&mut self, line: usize, message: impl Into<String>) {
        self.faults.push(Fault { file: self.name.to_owned(), line, message: message.into() });
    }

    /// Reads a table as `T`, reporting unknown fields one by one (and leaving them out) and the first wrong value.
    fn read<T: for<'de> Deserialize<'de>>(
        &mut self,
        mut table: DeTable<'_>,
        at: usize,
        what: &str,
    ) -> Option<T> {
        let known = fields::names::<T>();
        let strangers: Vec<(usize, String)> = table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
            .map(|key| (key.span().start, key.get_ref().to_string()))
            .collect();
        for (offset, name) in &strangers {
            self.fault(*offset, format!("{} in {what}", unknown("field", name, known)));
            table.remove(name.as_str());
        }
        let value = Spanned::new(at..at, DeValue::Table(table));
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(value),
            Err(error) => {
                let offset = error.span().map_or(at, |span| span.start);
                self.fault(offset, format!("{} in {what}", error.message()));
                None
            }
        }
    }
}

/// A control and the line where it begins.
pub(super) struct Placed {
    pub(super) line: usize,
    pub(super) control: Control,
}

pub(super) fn catalogue<N: AsRef<str>, T: AsRef<str>>(
    files: &[(N, T)],
) -> Result<Catalogue, CatalogueErrors> {
    let mut faults = Vec::new();
    let mut families = Vec::new();
    let mut seen = BTreeMap::new();
    let mut order: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_ref(), text.as_ref())).collect();
    order.sort_unstable();
    for (name, text) in order {
        let mut source = Source { name, text, faults: Vec::new() };
        if let Some((head, controls)) = file(&mut source) {
            rules::file(&mut source, &head.0, &controls, &mut seen);
            let controls = controls.into_iter().map(|placed| placed.control).collect();
            families.push(Family { name: head.0, title: head.1, controls });
        }
        faults.append(&mut source.faults);
    }
    families.sort_by(|one: &Family, other| one.name.cmp(&other.name));
    if faults.is_empty() {
        return Ok(Catalogue { families });
    }
    faults.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    Err(CatalogueErrors(faults))
}

type FileParts = ((String, String), Vec<Placed>);

fn file(source: &mut Source<'_>) -> Option<FileParts> {
    let text = source.text;
    let mut table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            source.fault(error.span().map_or(0, |span| span.start), error.message());
            return None;
        }
    };
    let raw = table.remove("control");
    let head: Head = source.read(table, 0, "the head of the file")?;
    if head.schema != 1 {
        source
            .fault(0, format!("schema {} is not known; this program reads schema 1", head.schema));
    }
    let stem = source.name.rsplit('/').next().unwrap_or_default().trim_end_matches(".toml");
    if stem != head.family {
        source.fault(0, format!("family is `{}` but the file is named `{stem}`", head.family));
    }
    let mut controls = Vec::new();
    for (at, table) in tables(source, raw, "control") {
        if let Some(control) = control(source, at, table) {
            controls.push(Placed { line: source.line(at), control });
        }
    }
    Some(((head.family, head.title), controls))
}

/// The tables of an array of tables, each with its offset.
fn tables<'a>(
    source: &mut Source<'_>,
    value: Option<Spanned<DeValue<'a>>>,
    name: &str,
) -> Vec<(usize, DeTable<'a>)> {
    let Some(value) = value else { return Vec::new() };
    let at = value.span().start;
    let DeValue::Array(items) = value.into_inner() else {
        source.fault(at, format!("`{name}` must be written as [[{name}]]"));
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in items {
        let at = item.span().start;
        match item.into_inner() {
            DeValue::Table(table) => found.push((at, table)),
            _ => source.fault(at, format!("`{name}` must be a table")),
        }
    }
    found
}

fn control(source: &mut Source<'_>, at: usize, mut table: DeTable<'_>) -> Option<Control> {
    let what = match table.get("id").and_then(|id| id.get_ref().as_str()) {
        Some(id) => format!("control {id}"),
        None => "a control".to_owned(),
    };
    let raw = table.remove("want");
    let mut wants = Vec::new();
    for (at, table) in tables(source, raw, "want") {
        wants.extend(want(source, at, table, &what));
    }
    let body: Body = source.read(table, at, &what)?;
    Some(Control {
        id: body.id,
        title: body.title,
        why: body.why,
        severity: body.severity,
        profiles: body.profiles,
        roles: body.roles,
        except_roles: body.except_roles,
        except_why: body.except_why,
        platforms: body.platforms,
        releases: body.releases,
        references: body.references,
        parameters: body
            .parameters
            .into_iter()
            .map(|(name, raw)| (name, Parameter { default: raw.default.into_text(), why: raw.why }))
            .collect(),
        wants,
    })
}

const KINDS: [&str; 20] = [
    "sysctl",
    "command_line",
    "module",
    "package",
    "unit",
    "unit_setting",
    "systemd_setting",
    "setting",
    "file",
    "link",
    "absent",
    "attributes",
    "line",
    "mount",
    "audit_rule",
    "pam",
    "account",
    "special_bits",
    "tree_scan",
    "kernel_config",
];

fn want(source: &mut Source<'_>, at: usize, mut table: DeTable<'_>, control: &str) -> Option<Want> {
    let Some(kind) = table.remove("kind") else {
        source.fault(
            at,
            format!("a want of {control} has no `kind`; expected one of {}", KINDS.join(", ")),
        );
        return None;
    };
    let kind_at = kind.span().start;
    let Some(kind) = kind.get_ref().as_str().map(str::to_owned) else {
        source.fault(kind_at, format!("`kind` of a want of {control} must be a string"));
        return None;
    };
    let what = format!("a `{kind}` want of {control}");
    macro_rules! read {
        ($($name:literal => $variant:ident),* $(,)?) => {
            match kind.as_str() {
                $($name => source.read::<want::$variant>(table, at, &what).map(Want::$variant),)*
                other => {
                    source.fault(kind_at, format!("{} in {control}", unknown("kind", other, &KINDS)));
                    None
                }
            }
        };
    }
    read! {
        "sysctl" => Sysctl,
        "command_line" => CommandLine,
        "module" => Module,
        "package" => Package,
        "unit" => Unit,
        "unit_setting" => UnitSetting,
        "systemd_setting" => SystemdSetting,
        "setting" => Setting,
        "file" => File,
        "link" => Link,
        "absent" => Absent,
        "attributes" => Attributes,
        "line" => Line,
        "mount" => Mount,
        "audit_rule" => AuditRule,
        "pam" => Pam,
        "account" => Account,
        "special_bits" => SpecialBits,
        "tree_scan" => TreeScan,
        "kernel_config" => KernelConfig,
    }
}
