//! CycloneDX 1.6, JSON.

use serde_json::{Value, json};

use super::{created, document_uuid};
use crate::facts::{Facts, Package};

/// The CycloneDX document.
#[must_use]
pub fn document(facts: &Facts) -> Value {
    let image = format!("{}@{}", facts.name, facts.version);
    let components: Vec<Value> = facts.packages.iter().map(|p| component(facts, p)).collect();
    let contained: Vec<String> = facts
        .packages
        .iter()
        .map(|p| p.purl(&facts.distribution, &facts.release_version))
        .collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": format!("urn:uuid:{}", document_uuid(facts, "cyclonedx")),
        "version": 1,
        "metadata": {
            "timestamp": created(facts),
            "tools": { "components": [{
                "type": "application",
                "name": "stonecell",
                "version": facts.builder_version,
            }] },
            "component": {
                "bom-ref": image,
                "type": "operating-system",
                "name": facts.name,
                "version": facts.version,
                "properties": [
                    { "name": "stonecell:verity:root-hash", "value": facts.root_hash },
                    { "name": "stonecell:base",
                      "value": format!("{} {}", facts.distribution, facts.release) },
                ],
            },
        },
        "components": components,
        "dependencies": [{ "ref": image, "dependsOn": contained }],
    })
}

fn component(facts: &Facts, package: &Package) -> Value {
    let purl = package.purl(&facts.distribution, &facts.release_version);
    let mut value = json!({
        "bom-ref": purl,
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": [
            { "name": "stonecell:source", "value": package.source },
            { "name": "stonecell:source-version", "value": package.source_version },
            { "name": "stonecell:architecture", "value": package.architecture },
        ],
    });
    if let Some(map) = value.as_object_mut() {
        if !package.maintainer.is_empty() {
            map.insert("publisher".into(), json!(package.maintainer));
        }
        if !package.summary.is_empty() {
            map.insert("description".into(), json!(package.summary));
        }
        if !package.sha256.is_empty() {
            map.insert("hashes".into(), json!([{ "alg": "SHA-256", "content": package.sha256 }]));
        }
        if !package.license.is_empty() {
            map.insert("licenses".into(), json!([{ "expression": package.license }]));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_package_gives_another_serial_number() {
        let facts =
            |lock: &str| Facts { lock_sha256: lock.into(), ..crate::facts::tests::sample() };
        let a = document(&facts("a"));
        assert_eq!(a, document(&facts("a")));
        assert_ne!(a["serialNumber"], document(&facts("b"))["serialNumber"]);
        assert_eq!(a["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
    }
}
