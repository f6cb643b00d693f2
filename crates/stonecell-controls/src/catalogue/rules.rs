//! What a control must hold beyond its shape: ids, references, roles, parameters, and fields that belong together.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::fault::unknown;
use super::parse::{Placed, Source};
use super::{Control, PROFILES, REFERENCES};
use crate::select::placeholders;
use crate::want::{SettingFormat, Want};

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of this file")
}

static ID: LazyLock<Regex> = LazyLock::new(|| pattern(r"^SC-[A-Z][A-Z0-9]{1,5}-[0-9]{3}$"));
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[a-z][a-z0-9_-]*$"));
static CIS: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[0-9]+(\.[0-9]+)+$"));
static STIG: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(V-[0-9]{5,6}|UBTU-[0-9]{2}-[0-9]{6})$"));
static ANSSI: LazyLock<Regex> = LazyLock::new(|| pattern(r"^R[0-9]{1,2}$"));
static NIST: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[A-Z]{2}-[0-9]{1,2}(\([0-9]{1,2}\))*$"));

/// Checks one file; `seen` carries the place of every id across files.
pub(super) fn file(
    source: &mut Source<'_>,
    family: &str,
    controls: &[Placed],
    seen: &mut BTreeMap<String, String>,
) {
    if controls.is_empty() {
        source.fault_at(1, format!("family `{family}` has no control"));
    }
    for Placed { line, control } in controls {
        let mut faults = Vec::new();
        if let Some(other) =
            seen.insert(control.id.clone(), format!("family {family}, line {line}"))
        {
            faults.push(format!(
                "the id {} is already taken ({other}); ids are unique for ever",
                control.id
            ));
        }
        head(control, &mut faults);
        references(control, &mut faults);
        parameters(control, &mut faults);
        for want in &control.wants {
            belongs_together(want, &mut faults);
        }
        for message in faults {
            source.fault_at(*line, format!("control {}: {message}", control.id));
        }
    }
}

fn head(control: &Control, faults: &mut Vec<String>) {
    if !ID.is_match(&control.id) {
        faults.push("the id must look like SC-NET-001".to_owned());
    }
    for (field, text) in [("title", &control.title), ("why", &control.why)] {
        if text.trim().is_empty() {
            faults.push(format!("`{field}` is empty"));
        }
    }
    if control.wants.is_empty() {
        faults.push(
            "there is no [[control.want]]; a control that wants nothing cannot fail".to_owned(),
        );
    }
    if control.profiles.is_empty() {
        faults.push("`profiles` is empty; no definition could select it".to_owned());
    }
    for profile in &control.profiles {
        if !PROFILES.contains(&profile.as_str()) {
            faults.push(unknown("profile", profile, &PROFILES));
        }
    }
    for (field, words) in [
        ("roles", &control.roles),
        ("except_roles", &control.except_roles),
        ("platforms", &control.platforms),
        ("releases", &control.releases),
    ] {
        for word in words.iter().filter(|word| !WORD.is_match(word)) {
            faults.push(format!("`{word}` in `{field}` is not a lower-case name"));
        }
    }
    match (&control.except_why, control.except_roles.is_empty()) {
        (None, false) => faults.push("`except_roles` needs `except_why`".to_owned()),
        (Some(_), true) => faults.push("`except_why` stands without `except_roles`".to_owned()),
        (Some(why), false) if why.trim().is_empty() => {
            faults.push("`except_why` is empty".to_owned())
        }
        _ => {}
    }
    for role in control.roles.iter().filter(|role| control.except_roles.contains(role)) {
        faults.push(format!("role `{role}` stands in `roles` and in `except_roles`"));
    }
}

fn references(control: &Control, faults: &mut Vec<String>) {
    for (document, places) in &control.references {
        let shape: Option<(&Regex, &str)> = match document.as_str() {
            "cis-debian-12" => Some((&CIS, "3.3.5")),
            "stig-ubuntu-22-04" | "stig-ubuntu-24-04" => Some((&STIG, "V-260549")),
            "anssi-bp-028" => Some((&ANSSI, "R12")),
            "nist-800-53" => Some((&NIST, "SC-5 or AC-6(9)")),
            "kspp" | "bosh" => None,
            other => {
                faults.push(unknown("reference", other, &REFERENCES));
                continue;
            }
        };
        if places.is_empty() {
            faults.push(format!("reference `{document}` is empty; leave it out instead"));
        }
        for place in places {
            match shape {
                Some((shape, example)) if !shape.is_match(place) => {
                    faults.push(format!(
                        "reference `{place}` of {document} must look like {example}"
                    ));
                }
                _ if place.trim().is_empty() => {
                    faults.push(format!("an empty reference of {document}"));
                }
                _ => {}
            }
        }
    }
}

fn parameters(control: &Control, faults: &mut Vec<String>) {
    let used = placeholders(&control.wants);
    for name in &used {
        if !control.parameters.contains_key(name) {
            faults.push(format!("${{{name}}} is used but `{name}` is not in `parameters`"));
        }
    }
    for (name, parameter) in &control.parameters {
        if !used.contains(name) {
            faults.push(format!("parameter `{name}` is not used by any want"));
        }
        if parameter.why.trim().is_empty() {
            faults.push(format!("parameter `{name}` has an empty `why`"));
        }
    }
}

/// Faults within one want that its shape alone does not exclude.
fn belongs_together(want: &Want, faults: &mut Vec<String>) {
    let mut fault = |message: &str| faults.push(format!("a `{}` want: {message}", want.kind()));
    match want {
        Want::Setting(setting) => {
            let ini = setting.format == SettingFormat::Ini;
            if ini != setting.section.is_some() {
                fault("`section` belongs to format = \"ini\" and is needed there");
            }
            absolute(&setting.path, &mut fault);
        }
        Want::Attributes(want) => {
            if want.mode.is_none()
                && want.mode_max.is_none()
                && want.owner.is_none()
                && want.group.is_none()
            {
                fault("give `mode`, `mode_max`, `owner` or `group`");
            }
            if want.mode.is_some() && want.mode_max.is_some() {
                fault("`mode` and `mode_max` exclude each other");
            }
            absolute(&want.path, &mut fault);
        }
        Want::Line(want) => {
            match (&want.line, &want.pattern, want.absent) {
                (Some(_), None, false) => {}
                (None, Some(pattern), true) => {
                    if let Err(error) = Regex::new(pattern) {
                        fault(&format!("`pattern` is not a regular expression: {error}"));
                    }
                }
                _ => fault("give `line`, or `absent = true` with `pattern`"),
            }
            absolute(&want.path, &mut fault);
        }
        Want::Pam(want) => {
            let strips = !want.absent_args.is_empty();
            let places = want.kind.is_some() && want.control.is_some() && want.position.is_some();
            let touches = want.kind.is_some() || want.control.is_some() || want.position.is_some();
            if strips
                && (want.control.is_some() || want.position.is_some() || !want.args.is_empty())
            {
                fault("`absent_args` excludes `control`, `args` and `position`");
            } else if !strips && !places {
                fault(if touches {
                    "`type`, `control` and `position` belong together"
                } else {
                    "give `type`, `control` and `position`, or `absent_args`"
                });
            }
        }
        Want::Account(want) => {
            let nothing = want.shell.is_none()
                && want.locked.is_none()
                && want.exists.is_none()
                && want.password.is_none();
            if nothing {
                fault("give `shell`, `locked`, `exists` or `password`");
            }
            if want.locked == Some(false) || want.exists == Some(true) {
                fault("only `locked = true` and `exists = false` can be wanted");
            }
            if want.exists == Some(false)
                && (want.shell.is_some() || want.locked.is_some() || want.password.is_some())
            {
                fault("`exists = false` excludes the other fields");
            }
            if want.exists == Some(false) && want.user == "*system" {
                fault("`exists = false` needs the name of one user");
            }
        }
        Want::File(want) => absolute(&want.path, &mut fault),
        Want::Link(want) => absolute(&want.path, &mut fault),
        Want::Absent(want) => absolute(&want.path, &mut fault),
        Want::Mount(want) => {
            absolute(&want.target, &mut fault);
            if want.options.is_empty() && want.size.is_none() {
                fault("give `options` or `size`");
            }
        }
        Want::AuditRule(want) => {
            if want.key.is_empty() || want.key.len() > 31 || want.key.contains(char::is_whitespace)
            {
                fault("`key` must have 1 to 31 characters and no space");
            }
            if !want.rule.starts_with("-a ") && !want.rule.starts_with("-w ") {
                fault("`rule` must begin with -a or -w");
            }
        }
        Want::Sysctl(want) => {
            if want.key.is_empty()
                || want.key.contains(|sign: char| sign.is_whitespace() || sign == '=')
            {
                fault("`key` must be a dotted name");
            }
        }
        Want::CommandLine(want) => {
            if want.parameter.is_empty() || want.parameter.contains(char::is_whitespace) {
                fault("`parameter` must be one word");
            }
        }
        Want::KernelConfig(want) => {
            if !want.option.starts_with("CONFIG_") {
                fault("`option` must begin with CONFIG_");
            }
        }
        Want::Module(_)
        | Want::Package(_)
        | Want::Unit(_)
        | Want::UnitSetting(_)
        | Want::SystemdSetting(_)
        | Want::SpecialBits(_)
        | Want::TreeScan(_) => {}
    }
}

fn absolute(path: &str, fault: &mut impl FnMut(&str)) {
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        fault(&format!("path `{path}` must be absolute and without `..`"));
    }
}
