//! The packages of an image as each of its documents tells them: dpkg's database, `packages.txt`, the SBOMs.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

/// One installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Installed {
    /// Binary package.
    pub name: String,
    /// Version with epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
}

/// One package of an SBOM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Which.
    pub package: Installed,
    /// SHA-256 hex of its .deb; `None` for a package that the build made itself.
    pub sha256: Option<String>,
}

/// Where the image keeps dpkg's database: inside of the verity root, not on `/var`.
pub const STATUS: &str = "/usr/lib/stonecell/dpkg/status";

/// The installed packages of dpkg's `status` (deb-control(5) stanzas with `Status: … installed`).
#[must_use]
pub fn of_status(text: &str) -> BTreeSet<Installed> {
    text.split("\n\n")
        .filter_map(|stanza| {
            let field = |name: &str| {
                stanza.lines().find_map(|line| {
                    let (field, value) = line.split_once(':')?;
                    (field == name).then(|| value.trim().to_owned())
                })
            };
            if !field("Status")?.ends_with(" installed") {
                return None;
            }
            Some(Installed {
                name: field("Package")?,
                version: field("Version")?,
                architecture: field("Architecture")?,
            })
        })
        .collect()
}

/// The installed packages of `dpkg -l`: lines of `ii`, name (`NAME:ARCH` for a multi-arch one), version,
/// architecture.
#[must_use]
pub fn of_listing(text: &str) -> BTreeSet<Installed> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let state = fields.next()?;
            if !matches!(state, "ii" | "hi") {
                return None;
            }
            let name = fields.next()?;
            let name = name.split_once(':').map_or(name, |(name, _)| name);
            Some(Installed {
                name: name.to_owned(),
                version: fields.next()?.to_owned(),
                architecture: fields.next()?.to_owned(),
            })
        })
        .collect()
}

/// The packages of an SPDX 2.3 document, without the one that stands for the image.
///
/// # Errors
/// What is missing, for a check's detail.
pub fn of_spdx(document: &Value) -> Result<BTreeSet<Listed>, String> {
    if document["spdxVersion"] != "SPDX-2.3" {
        return Err("sbom.spdx.json is not SPDX-2.3".to_owned());
    }
    let packages = document["packages"].as_array().ok_or("sbom.spdx.json has no packages")?;
    packages
        .iter()
        .filter(|package| package["SPDXID"] != "SPDXRef-Image")
        .map(|package| {
            let purl = package["externalRefs"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|reference| reference["referenceType"] == "purl")
                .and_then(|reference| reference["referenceLocator"].as_str());
            let checksum = package["checksums"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|checksum| checksum["algorithm"] == "SHA256")
                .and_then(|checksum| checksum["checksumValue"].as_str());
            listed("sbom.spdx.json", &package["name"], &package["versionInfo"], purl, checksum)
        })
        .collect()
}

/// The components of a CycloneDX 1.6 document.
///
/// # Errors
/// What is missing, for a check's detail.
pub fn of_cyclonedx(document: &Value) -> Result<BTreeSet<Listed>, String> {
    if document["bomFormat"] != "CycloneDX" || document["specVersion"] != "1.6" {
        return Err("sbom.cdx.json is not CycloneDX 1.6".to_owned());
    }
    let components = document["components"].as_array().ok_or("sbom.cdx.json has no components")?;
    components
        .iter()
        .map(|component| {
            let hash = component["hashes"]
                .as_array()
                .into_iter()
                .flatten()
                .find(|hash| hash["alg"] == "SHA-256")
                .and_then(|hash| hash["content"].as_str());
            let purl = component["purl"].as_str();
            listed("sbom.cdx.json", &component["name"], &component["version"], purl, hash)
        })
        .collect()
}

fn listed(
    document: &str,
    name: &Value,
    version: &Value,
    purl: Option<&str>,
    sha256: Option<&str>,
) -> Result<Listed, String> {
    let (Some(name), Some(version)) = (name.as_str(), version.as_str()) else {
        return Err(format!("{document} has a package without name or version"));
    };
    let purl = purl.and_then(of_purl);
    let purl = purl.ok_or_else(|| format!("{document} has no package URL of {name}"))?;
    if purl.name != name || purl.version != version {
        return Err(format!("{document} contradicts itself: the package URL of {name} {version}"));
    }
    Ok(Listed { package: purl, sha256: sha256.map(str::to_owned) })
}

/// Reads `pkg:deb/DISTRIBUTION/NAME@VERSION?arch=ARCH…` (the purl specification).
#[must_use]
pub fn of_purl(purl: &str) -> Option<Installed> {
    let rest = purl.strip_prefix("pkg:deb/")?;
    let (path, query) = rest.split_once('?')?;
    let (_, name_version) = path.split_once('/')?;
    let (name, version) = name_version.split_once('@')?;
    let architecture = query.split('&').find_map(|pair| pair.strip_prefix("arch="))?;
    Some(Installed {
        name: decode(name)?,
        version: decode(version)?,
        architecture: decode(architecture)?,
    })
}

/// Percent-decoding; `None` for what is not UTF-8 or badly encoded.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::{package, sample};
    use crate::sbom;

    fn one(name: &str, version: &str) -> Installed {
        Installed { name: name.into(), version: version.into(), architecture: "amd64".into() }
    }

    #[test]
    fn all_four_documents_tell_the_same() {
        let mut facts = sample();
        facts.packages = vec![package("libstdc++6", "1:12.2.0-14"), package("bash", "5.2~x")];
        let wanted = BTreeSet::from([one("libstdc++6", "1:12.2.0-14"), one("bash", "5.2~x")]);
        let names = |listed: BTreeSet<Listed>| -> BTreeSet<Installed> {
            listed.into_iter().map(|listed| listed.package).collect()
        };
        assert_eq!(names(of_spdx(&sbom::spdx::document(&facts)).unwrap()), wanted);
        assert_eq!(names(of_cyclonedx(&sbom::cyclonedx::document(&facts)).unwrap()), wanted);
        let listing = "Desired=Unknown\n||/ Name Version\n+++-====\n\
                       ii  bash 5.2~x amd64 shell\nrc  gone 1 amd64 x\n\
                       ii  libstdc++6:amd64 1:12.2.0-14 amd64 library\n";
        assert_eq!(of_listing(listing), wanted);
        let status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\n\
                      Version: 5.2~x\n\nPackage: gone\nStatus: deinstall ok config-files\n\
                      Architecture: amd64\nVersion: 1\n\nPackage: libstdc++6\n\
                      Status: install ok installed\nArchitecture: amd64\nVersion: 1:12.2.0-14\n";
        assert_eq!(of_status(status), wanted);
    }

    #[test]
    fn broken_documents_are_refused() {
        assert!(of_spdx(&serde_json::json!({ "spdxVersion": "SPDX-2.3" })).is_err());
        assert!(of_cyclonedx(&serde_json::json!({})).is_err());
        assert_eq!(of_purl("pkg:deb/debian/a%2@1?arch=all"), None);
        assert_eq!(of_purl("pkg:npm/a@1"), None);
    }
}
