//! Facts for people: what one wants to know first comes first, tables where there are rows.

use std::fmt::Write;

use serde_json::Value;

use super::{DiskFacts, Facts, Signer};
use crate::printable::printable;

/// One stemcell as plain text.
#[must_use]
pub fn text(facts: &Facts) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(out, "{}", printable(&facts.file));
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(out, "  {name:<13} {}", printable(&value));
        }
    };
    let description = facts.description.as_ref().unwrap_or(&Value::Null);
    let told = |name: &str| description[name].as_str().unwrap_or_default();
    row("kind", facts.kind.to_owned());
    if let Some(manifest) = &facts.manifest {
        row("name", format!("{} {}", manifest.name, manifest.version));
        row("system", manifest.operating_system.clone());
        row("formats", manifest.stemcell_formats.join(", "));
    }
    row("size", bytes(facts.bytes));
    row("sha256", facts.sha256.clone().unwrap_or_default());
    row("sha256 pieces", facts.sha256_of_pieces.clone().unwrap_or_default());
    row("signed by", signer(facts.signature.as_ref()));
    row("roles", list(&description["roles"]));
    match &facts.boot {
        Some(boot) => {
            row("kernel", boot.kernel_version.clone());
            row("boot file", format!("{}, {}", bytes(boot.bytes), signer(boot.signer.as_ref())));
            row("command line", boot.command_line.clone());
        }
        None => {
            row("kernel", told("kernel_version").to_owned());
            row("command line", told("command_line").to_owned());
        }
    }
    if let Some(root) = &facts.root {
        row("root hash", root.hash.clone().unwrap_or_else(|| "none".to_owned()));
        row(
            "root",
            format!(
                "{} (unpacked {}), {} files, {} directories, {} others",
                bytes(root.bytes),
                bytes(root.content_bytes),
                root.files,
                root.directories,
                root.others
            ),
        );
        row("set-id", root.set_id.join(", "));
        row("capabilities", root.capabilities.join(", "));
    }
    row("packages", format!("{}{}", facts.packages.len(), bills(facts)));
    row("controls", controls(&description["controls"]));
    for left in declined(&description["controls"]) {
        let word = |name: &str| left[name].as_str().unwrap_or_default();
        row("  declined", format!("{} ({}): {}", word("id"), word("title"), word("why")));
    }
    row("mutable /etc", list(&description["mutable_etc"]));
    if let Some(disk) = &facts.disk {
        table(&mut out, disk);
    }
    out
}

fn bills(facts: &Facts) -> String {
    match (facts.spdx_packages, facts.cyclonedx_components) {
        (Some(spdx), Some(cyclonedx)) => format!(" (SPDX {spdx}, CycloneDX {cyclonedx})"),
        _ => String::new(),
    }
}

/// How many controls hold, how many are meant for other roles, platforms and releases, and how many somebody declined.
fn controls(controls: &Value) -> String {
    let Some(profile) = controls["profile"].as_str() else { return String::new() };
    let applied = controls["applied"].as_array().map_or(0, Vec::len);
    let left = controls["left_out"].as_array().map_or(&[][..], Vec::as_slice);
    let declined = declined(controls).count();
    let mut text = format!("{applied} applied, profile {profile}");
    if left.len() > declined {
        text.push_str(&format!("; {} are not meant for it", left.len() - declined));
    }
    if declined > 0 {
        text.push_str(&format!("; {declined} declined"));
    }
    text
}

/// Controls that would hold but for somebody's word.
fn declined(controls: &Value) -> impl Iterator<Item = &Value> {
    let left = controls["left_out"].as_array().into_iter().flatten();
    left.filter(|left| left["declined"].as_bool() == Some(true))
}

fn list(value: &Value) -> String {
    let items: Vec<&str> =
        value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    items.join(", ")
}

fn signer(signer: Option<&Signer>) -> String {
    match signer {
        Some(Signer { name, development: true }) => format!("{name} (DEVELOPMENT)"),
        Some(Signer { name, .. }) => name.clone(),
        None => "nobody".to_owned(),
    }
}

fn table(out: &mut String, disk: &DiskFacts) {
    let _ = writeln!(
        out,
        "  disk          {}, {} partitions",
        bytes(disk.bytes),
        disk.partitions.len()
    );
    let _ = writeln!(
        out,
        "    {:<16} {:>10} {:>10}  {:<36}  mount",
        "partition", "offset", "size", "uuid"
    );
    for partition in &disk.partitions {
        let line = format!(
            "    {:<16} {:>10} {:>10}  {}  {}",
            printable(&partition.label),
            bytes(partition.offset),
            bytes(partition.bytes),
            partition.uuid,
            printable(partition.mount.as_deref().unwrap_or_default())
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// A size with a unit, one decimal from 10 KiB on.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 10 << 10 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10;
    let mut unit = "B";
    for next in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn controls_that_do_not_apply_are_not_called_declined() {
        let of = |left: Value| {
            controls(&json!({ "profile": "p", "applied": ["A", "B"], "left_out": left }))
        };
        assert_eq!(of(json!([])), "2 applied, profile p");
        let role = json!({ "id": "C", "why": "only for the roles web", "declined": false });
        assert_eq!(of(json!([role])), "2 applied, profile p; 1 are not meant for it");
        let out =
            json!({ "id": "D", "why": "declined by ann until 2027-01-01: x", "declined": true });
        assert_eq!(
            of(json!([role, out])),
            "2 applied, profile p; 1 are not meant for it; 1 declined"
        );
        assert_eq!(controls(&Value::Null), "");
    }

    #[test]
    fn sizes_are_short() {
        let of = [(0, "0 B"), (9999, "9999 B"), (10 << 10, "10 KiB"), (1536 << 10, "1.5 MiB")];
        for (count, wanted) in of {
            assert_eq!(bytes(count), wanted);
        }
        assert_eq!(bytes(5 << 30), "5 GiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }
}
