//! The checks of a stemcell's members against each other and against what is in the image.

use std::collections::{BTreeMap, BTreeSet};

use ring::digest::{SHA256, digest};
use serde_json::Value;
use stonecell_definition::manifest::StemcellManifest;
use stonecell_definition::with_causes;
use x509_cert::Certificate;

use super::origin::Origin;
use super::{Checks, disk};
use crate::files;
use crate::open::{Content, Opened, TEXT_MEMBERS};
use crate::packages::{self, Installed, Listed};
use crate::wrap::EMPTY_SHA1;

/// Most names that a detail lists.
const SHOWN: usize = 5;

/// Checks everything inside of the file.
pub(super) fn check(
    opened: &Opened,
    origin: &Origin,
    certificate: Option<&Certificate>,
    checks: &mut Checks,
) {
    let mut parts: BTreeMap<String, String> = BTreeMap::new();
    let mut description = None;
    let mut bill = None;
    if let Some(sha1) = &opened.image_sha1 {
        for (name, bytes) in &opened.texts {
            parts.insert(format!("member {name}"), hex::encode(digest(&SHA256, bytes)));
        }
        checks.result("members", members(opened));
        checks.result("manifest", manifest(opened, sha1));
        let parsed = text(opened, "stonecell.json").and_then(|text| json("stonecell.json", &text));
        checks.result("description", parsed.as_ref().map_err(Clone::clone).map(describe));
        description = parsed.ok();
        let listed = bills(opened);
        checks.result(
            "bills of materials",
            listed.as_ref().map_err(Clone::clone).map(|listed| {
                format!("SPDX, CycloneDX and packages.txt agree on {} packages", listed.len())
            }),
        );
        bill = listed.ok();
        if let Some(description) = &description {
            checks.result("root hash in SBOM", root_hash_in_bill(opened, description));
        }
    }
    let mut root_sound = true;
    if let Content::Disk(path) = &opened.content {
        let found = disk::check(path, description.as_ref(), certificate, checks);
        root_sound = found.root_sound;
        parts.extend(found.parts);
    }
    let installed = if root_sound { installed(&opened.content) } else { Ok(None) };
    checks_of_packages(bill.as_ref(), &installed, origin, checks);
    compare_parts(origin, &parts, checks);
}

fn checks_of_packages(
    bill: Option<&BTreeSet<Listed>>,
    installed: &Result<Option<BTreeSet<Installed>>, String>,
    origin: &Origin,
    checks: &mut Checks,
) {
    match (bill, installed) {
        (_, Err(problem)) => checks.fail("installed packages", problem),
        (Some(bill), Ok(Some(installed))) => {
            let names: BTreeSet<Installed> =
                bill.iter().map(|listed| listed.package.clone()).collect();
            checks.result(
                "installed packages",
                same("the bills of materials", &names, "the root's dpkg database", installed),
            );
        }
        (None, Ok(Some(installed))) => {
            checks.pass("installed packages", format!("{} in dpkg's database", installed.len()));
        }
        (_, Ok(None)) => {}
    }
    let Some(statement) = &origin.statement else { return };
    if let Some(bill) = bill {
        checks.result("materials", materials(bill, statement));
    } else if let Ok(Some(installed)) = installed {
        checks.result("materials", materials_by_name(installed, statement));
    }
}

fn members(opened: &Opened) -> Result<String, String> {
    let missing: Vec<&str> =
        TEXT_MEMBERS.into_iter().filter(|member| !opened.texts.contains_key(*member)).collect();
    if missing.is_empty() {
        Ok(format!("{} and image", TEXT_MEMBERS.join(", ")))
    } else {
        Err(format!("missing: {}", missing.join(", ")))
    }
}

fn manifest(opened: &Opened, sha1: &str) -> Result<String, String> {
    let text = text(opened, "stemcell.MF")?;
    let manifest = StemcellManifest::from_yaml(&text).map_err(|error| with_causes(&error))?;
    if manifest.sha1 != sha1 {
        return Err(format!(
            "it was made for an image with SHA-1 {}; this one has {sha1}",
            manifest.sha1
        ));
    }
    if opened.content == Content::Light && sha1 != EMPTY_SHA1 {
        return Err("a light stemcell has an empty image".to_owned());
    }
    let kind = if opened.content == Content::Light { "light stemcell " } else { "" };
    Ok(format!("{kind}{} {}, SHA-1 of the image matches", manifest.name, manifest.version))
}

fn describe(description: &Value) -> String {
    let controls = description["controls"]["applied"].as_array().map_or(0, Vec::len);
    format!("stonecell.json: {} controls applied", controls)
}

/// Both SBOMs and `packages.txt` name the same packages.
fn bills(opened: &Opened) -> Result<BTreeSet<Listed>, String> {
    let spdx = json("sbom.spdx.json", &text(opened, "sbom.spdx.json")?)?;
    let spdx = packages::of_spdx(&spdx)?;
    let cyclonedx = json("sbom.cdx.json", &text(opened, "sbom.cdx.json")?)?;
    let cyclonedx = packages::of_cyclonedx(&cyclonedx)?;
    if spdx != cyclonedx {
        let odd = spdx.symmetric_difference(&cyclonedx).map(|listed| &listed.package);
        return Err(format!("SPDX and CycloneDX differ about {}", shown(odd)));
    }
    let names = spdx.iter().map(|listed| listed.package.clone()).collect();
    let listing = packages::of_listing(&text(opened, "packages.txt")?);
    same("the bills of materials", &names, "packages.txt", &listing)?;
    Ok(spdx)
}

/// The SBOMs were made for the root that `stonecell.json` speaks of.
fn root_hash_in_bill(opened: &Opened, description: &Value) -> Result<String, String> {
    let hash = description["root_hash"].as_str().unwrap_or_default();
    let cyclonedx = json("sbom.cdx.json", &text(opened, "sbom.cdx.json")?)?;
    let named = cyclonedx["metadata"]["component"]["properties"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|property| property["name"] == "stonecell:verity:root-hash")
        .and_then(|property| property["value"].as_str());
    let spdx = text(opened, "sbom.spdx.json")?;
    if named == Some(hash) && spdx.contains(&format!("dm-verity root hash {hash}")) {
        Ok(hash.to_owned())
    } else {
        Err(format!("the bills of materials are not of the root {hash} of stonecell.json"))
    }
}

fn installed(content: &Content) -> Result<Option<BTreeSet<Installed>>, String> {
    if *content == Content::Light {
        return Ok(None);
    }
    let status = files::file(content, packages::STATUS).map_err(|error| with_causes(&error))?;
    let status = status.ok_or_else(|| format!("the root has no {}", packages::STATUS))?;
    Ok(Some(packages::of_status(&String::from_utf8_lossy(&status))))
}

/// Every package with a digest is a material of the provenance, with that digest.
fn materials(bill: &BTreeSet<Listed>, statement: &Value) -> Result<String, String> {
    let known = dependencies(statement);
    let own = bill.iter().filter(|listed| listed.sha256.is_none()).count();
    let missing: Vec<&Installed> = bill
        .iter()
        .filter(|listed| {
            let digest = listed.sha256.as_deref();
            digest.is_some() && known.get(&listed.package).copied() != digest
        })
        .map(|listed| &listed.package)
        .collect();
    if missing.is_empty() {
        let count = bill.len() - own;
        Ok(format!("{count} packages with the digests of their .debs, {own} made by the build"))
    } else {
        Err(format!("not in the provenance with that digest: {}", shown(missing.into_iter())))
    }
}

/// For a bare disk, which has no SBOM: most packages of the database must be materials. Those that the build
/// made itself are not from the archive and are told.
fn materials_by_name(installed: &BTreeSet<Installed>, statement: &Value) -> Result<String, String> {
    let known = dependencies(statement);
    let (found, other): (Vec<&Installed>, Vec<&Installed>) =
        installed.iter().partition(|package| known.contains_key(*package));
    if found.is_empty() && !installed.is_empty() {
        return Err("none of the installed packages is in the provenance".to_owned());
    }
    let other = if other.is_empty() {
        String::new()
    } else {
        format!("; not from the archive: {}", shown(other.into_iter()))
    };
    Ok(format!("{} of {} installed packages{other}", found.len(), installed.len()))
}

fn dependencies(statement: &Value) -> BTreeMap<Installed, &str> {
    statement["predicate"]["buildDefinition"]["resolvedDependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|dependency| {
            let package = packages::of_purl(dependency["uri"].as_str()?)?;
            Some((package, dependency["digest"]["sha256"].as_str()?))
        })
        .collect()
}

/// Which parts are not those that the provenance names.
fn compare_parts(origin: &Origin, parts: &BTreeMap<String, String>, checks: &mut Checks) {
    let named: Vec<(&str, &str)> = origin.parts().collect();
    if named.is_empty() {
        return;
    }
    let changed: Vec<&str> = named
        .iter()
        .filter(|(name, digest)| parts.get(*name).is_none_or(|actual| actual != digest))
        .map(|(name, _)| *name)
        .collect();
    if changed.is_empty() {
        checks.pass("parts", format!("all {} as signed", named.len()));
    } else {
        checks.fail("parts", format!("changed: {}", changed.join(", ")));
    }
}

fn same(
    one: &str,
    left: &BTreeSet<Installed>,
    other: &str,
    right: &BTreeSet<Installed>,
) -> Result<String, String> {
    if left == right {
        return Ok(format!("{one} and {other} agree on {} packages", left.len()));
    }
    let mut problems = Vec::new();
    for (name, lacks, which) in
        [(one, right.difference(left), other), (other, left.difference(right), one)]
    {
        let lacks: Vec<&Installed> = lacks.collect();
        if !lacks.is_empty() {
            problems.push(format!("only in {which}, not in {name}: {}", shown(lacks.into_iter())));
        }
    }
    Err(problems.join("; "))
}

fn shown<'a>(packages: impl Iterator<Item = &'a Installed>) -> String {
    let mut names: Vec<String> =
        packages.map(|package| format!("{} {}", package.name, package.version)).collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let mut text = names.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn text(opened: &Opened, member: &str) -> Result<String, String> {
    let bytes = opened.texts.get(member).ok_or_else(|| format!("there is no {member}"))?;
    String::from_utf8(bytes.clone()).map_err(|_| format!("{member} is not UTF-8"))
}

fn json(member: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{member} is not JSON: {error}"))
}
