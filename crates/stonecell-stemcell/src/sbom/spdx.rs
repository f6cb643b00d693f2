//! SPDX 2.3, JSON.

use serde_json::{Value, json};

use super::{created, document_uuid};
use crate::facts::{Facts, Package};

/// The SPDX document.
#[must_use]
pub fn document(facts: &Facts) -> Value {
    let image = "SPDXRef-Image";
    let mut packages = vec![json!({
        "SPDXID": image,
        "name": facts.name,
        "versionInfo": facts.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "supplier": "NOASSERTION",
        "comment": format!("dm-verity root hash {}", facts.root_hash),
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": image,
    })];
    for package in &facts.packages {
        let id = identifier(package);
        relationships.push(json!({
            "spdxElementId": image,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id,
        }));
        packages.push(entry(facts, package, &id));
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{}-{}", facts.name, facts.version),
        "documentNamespace":
            format!("https://stonecell.invalid/spdx/{}", document_uuid(facts, "spdx")),
        "creationInfo": {
            "created": created(facts),
            "creators": [format!("Tool: stonecell-{}", facts.builder_version)],
        },
        "packages": packages,
        "relationships": relationships,
    })
}

fn entry(facts: &Facts, package: &Package, id: &str) -> Value {
    let license = if package.license.is_empty() { "NOASSERTION" } else { package.license.as_str() };
    let mut value = json!({
        "SPDXID": id,
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": license,
        "copyrightText": "NOASSERTION",
        "supplier": supplier(&package.maintainer),
        "sourceInfo": format!("built from {} {}", package.source, package.source_version),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": package.purl(&facts.distribution, &facts.release_version),
        }],
    });
    if let Some(map) = value.as_object_mut() {
        if !package.sha256.is_empty() {
            map.insert(
                "checksums".into(),
                json!([{ "algorithm": "SHA256", "checksumValue": package.sha256 }]),
            );
        }
        if !package.homepage.is_empty() {
            map.insert("homepage".into(), json!(package.homepage));
        }
        if !package.summary.is_empty() {
            map.insert("summary".into(), json!(package.summary));
        }
    }
    value
}

/// `Organization: NAME (EMAIL)`, which is how SPDX writes `NAME <EMAIL>`.
fn supplier(maintainer: &str) -> String {
    match maintainer.split_once('<') {
        Some((name, rest)) => {
            let name = name.trim().trim_matches('"');
            format!("Organization: {name} ({})", rest.trim_end().trim_end_matches('>'))
        }
        None if maintainer.is_empty() => "NOASSERTION".to_owned(),
        None => format!("Organization: {maintainer}"),
    }
}

/// An SPDX identifier: letters, digits, `.` and `-` only.
fn identifier(package: &Package) -> String {
    let mut id = String::from("SPDXRef-Package-");
    for byte in format!("{}-{}", package.name, package.architecture).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => id.push(char::from(byte)),
            _ => id.push_str(&format!(".{byte:02x}")),
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maintainers_become_suppliers() {
        assert_eq!(
            supplier("Debian Perl <perl@lists.invalid>"),
            "Organization: Debian Perl (perl@lists.invalid)"
        );
        assert_eq!(supplier(""), "NOASSERTION");
    }
}
