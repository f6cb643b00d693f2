//! `stemcell.MF`, the manifest that a BOSH Director reads, and the names that follow from it.
//!
//! The writer is deterministic and small: a manifest is a flat map with short lists and maps in it.
//! Text that YAML could take for anything else is written in double quotes, JSON's way.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, LightReference};
use crate::iaas::{Extra, Iaas, ImageMember, Infrastructure};

/// Highest agent API that the image supports; from 2 on, CPIs need no registry.
pub const API_VERSION: u32 = 3;

/// SHA-1 of nothing: what light stemcells have for an image.
pub const SHA1_OF_NOTHING: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/// The content of `stemcell.MF`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StemcellManifest {
    /// `bosh-<infrastructure>-<hypervisor>-<os>-<line>`, see [`stemcell_name`].
    pub name: String,
    /// Version of the stemcell.
    pub version: String,
    /// Deprecated, still written: 1.
    #[serde(default = "one")]
    pub bosh_protocol: u32,
    /// [`API_VERSION`]; 1 where an old manifest lacks it.
    #[serde(default = "one")]
    pub api_version: u32,
    /// SHA-1 (hex) of the member `image`.
    pub sha1: String,
    /// What deployment manifests match on: `debian-bookworm`.
    pub operating_system: String,
    /// What a CPI selects by.
    #[serde(default)]
    pub stemcell_formats: Vec<String>,
    /// What the CPI is told.
    #[serde(default)]
    pub cloud_properties: BTreeMap<String, Property>,
}

fn one() -> u32 {
    1
}

/// A value of `cloud_properties`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Property {
    /// true or false.
    Flag(bool),
    /// A number.
    Number(u64),
    /// Text.
    Text(String),
    /// Text by name, such as image ids by region.
    Map(BTreeMap<String, String>),
}

/// What is wrong with a `stemcell.MF`.
#[derive(Debug, thiserror::Error)]
#[error(
    "stemcell.MF is not the manifest of a stemcell; expected YAML with name, version, sha1 and operating_system"
)]
pub struct ManifestError {
    #[source]
    source: Box<serde_saphyr::Error>,
}

impl StemcellManifest {
    /// The manifest of `definition` for one infrastructure.
    ///
    /// `sha1` is that of the member `image`; `disk_mib` the size of the disk in MiB, of which the
    /// infrastructure's default is the least.
    pub fn new(definition: &Definition, iaas: Iaas, sha1: &str, disk_mib: u32) -> Self {
        let row = iaas.infrastructure();
        let disk = disk_mib.max(row.disk_mib);
        Self::of(definition, row, sha1, disk, row.stemcell_formats, BTreeMap::new())
    }

    /// The manifest of a light stemcell; `None` where the infrastructure has none.
    pub fn light(definition: &Definition, iaas: Iaas, reference: &LightReference) -> Option<Self> {
        let row = iaas.infrastructure();
        let format = row.light_format?;
        let text = |name: &str, value: &str| (name.to_owned(), Property::Text(value.to_owned()));
        let (name, value) = match reference {
            LightReference::Ami(regions) => ("ami".to_owned(), Property::Map(regions.clone())),
            LightReference::ImageUrl(url) => text("image_url", url),
            LightReference::Image { offer, publisher, sku, version } => {
                let parts = [
                    ("offer", offer),
                    ("publisher", publisher),
                    ("sku", sku),
                    ("version", version),
                ];
                let parts = parts.map(|(name, value)| (name.to_owned(), value.clone()));
                ("image".to_owned(), Property::Map(parts.into()))
            }
            LightReference::ImageId(id) => text("image_id", id),
            LightReference::Reference(reference) => text("image_reference", reference),
        };
        let extra = BTreeMap::from([(name, value)]);
        Some(Self::of(definition, row, SHA1_OF_NOTHING, row.disk_mib, &[format], extra))
    }

    fn of(
        definition: &Definition,
        row: &Infrastructure,
        sha1: &str,
        disk_mib: u32,
        formats: &[&str],
        mut properties: BTreeMap<String, Property>,
    ) -> Self {
        let name = stemcell_name(definition, row.iaas);
        let text = |text: &str| Property::Text(text.to_owned());
        let distribution = definition.base.distribution.name();
        let usual = [
            ("name", text(&name)),
            ("version", text(&definition.version)),
            ("infrastructure", text(row.iaas.name())),
            ("hypervisor", text(row.hypervisor)),
            ("disk", Property::Number(disk_mib.into())),
            ("disk_format", text(row.disk_format)),
            ("container_format", text("bare")),
            ("os_type", text("linux")),
            ("os_distro", text(distribution)),
            ("architecture", text(definition.base.architecture.machine())),
        ];
        properties.extend(usual.map(|(name, value)| (name.to_owned(), value)));
        properties.extend(
            row.root_device_name.map(|device| ("root_device_name".to_owned(), text(device))),
        );
        properties.extend(row.extra.iter().map(|(name, value)| {
            let value = match value {
                Extra::Flag(flag) => Property::Flag(*flag),
                Extra::Text(value) => text(value),
            };
            ((*name).to_owned(), value)
        }));
        Self {
            name,
            version: definition.version.clone(),
            bosh_protocol: 1,
            api_version: API_VERSION,
            sha1: sha1.to_owned(),
            operating_system: definition.base.release.operating_system(),
            stemcell_formats: formats.iter().map(|format| (*format).to_owned()).collect(),
            cloud_properties: properties,
        }
    }

    /// Reads `stemcell.MF`. Fields that it does not know are passed over, as Directors do.
    ///
    /// # Errors
    /// The text is not YAML or lacks a field.
    pub fn from_yaml(text: &str) -> Result<Self, ManifestError> {
        serde_saphyr::from_str(text).map_err(|source| ManifestError { source: Box::new(source) })
    }

    /// Writes `stemcell.MF`: the same bytes for the same manifest.
    pub fn to_yaml(&self) -> String {
        let mut out = String::from("---\n");
        line(&mut out, 0, "name", &scalar(&self.name));
        line(&mut out, 0, "version", &scalar(&self.version));
        line(&mut out, 0, "bosh_protocol", &self.bosh_protocol.to_string());
        line(&mut out, 0, "api_version", &self.api_version.to_string());
        line(&mut out, 0, "sha1", &scalar(&self.sha1));
        line(&mut out, 0, "operating_system", &scalar(&self.operating_system));
        if self.stemcell_formats.is_empty() {
            line(&mut out, 0, "stemcell_formats", "[]");
        } else {
            out.push_str("stemcell_formats:\n");
            for format in &self.stemcell_formats {
                out.push_str("- ");
                out.push_str(&scalar(format));
                out.push('\n');
            }
        }
        if self.cloud_properties.is_empty() {
            line(&mut out, 0, "cloud_properties", "{}");
        } else {
            out.push_str("cloud_properties:\n");
        }
        for (name, value) in &self.cloud_properties {
            let name = scalar(name);
            match value {
                Property::Flag(flag) => line(&mut out, 2, &name, &flag.to_string()),
                Property::Number(number) => line(&mut out, 2, &name, &number.to_string()),
                Property::Text(text) => line(&mut out, 2, &name, &scalar(text)),
                Property::Map(map) if map.is_empty() => line(&mut out, 2, &name, "{}"),
                Property::Map(map) => {
                    line(&mut out, 2, &name, "");
                    for (name, text) in map {
                        line(&mut out, 4, &scalar(name), &scalar(text));
                    }
                }
            }
        }
        out
    }
}

fn line(out: &mut String, indent: usize, name: &str, value: &str) {
    let space = if value.is_empty() { "" } else { " " };
    // Writing to a string does not fail.
    let _ = writeln!(out, "{:indent$}{name}:{space}{value}", "");
}

/// A YAML scalar that every YAML version reads as this text.
fn scalar(text: &str) -> String {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let plain = starts_well
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// `bosh-<infrastructure>-<hypervisor>-<os>-<line>`, and `-<definition>` unless the definition has the
/// plain name of its release (`debian-12`, `ubuntu-22-04`): two stemcells of one release need two names.
pub fn stemcell_name(definition: &Definition, iaas: Iaas) -> String {
    format!("bosh-{}", stem(definition, iaas))
}

/// `bosh-stemcell-<version>-<name without "bosh-">.tgz`; light ones have the prefix `light-`.
pub fn file_name(definition: &Definition, iaas: Iaas, light: bool) -> String {
    let prefix = if light { "light-" } else { "" };
    format!("{prefix}bosh-stemcell-{}-{}.tgz", definition.version, stem(definition, iaas))
}

fn stem(definition: &Definition, iaas: Iaas) -> String {
    let release = definition.base.release;
    let hypervisor = iaas.infrastructure().hypervisor_name;
    let mut stem = format!("{}-{hypervisor}-{}", iaas.name(), release.operating_system());
    let plain = format!("{}-{}", release.distribution().name(), release.number().replace('.', "-"));
    if definition.name != plain {
        stem.push('-');
        stem.push_str(&definition.name);
    }
    stem
}

impl ImageMember {
    /// Name of the disk inside of the member, if it is an archive of one.
    pub const fn inner_name(self) -> Option<&'static str> {
        match self {
            Self::TarOfRaw(name) | Self::TarOfVhd(name) => Some(name),
            Self::TarOfOvf => Some("image-disk1.vmdk"),
            Self::Qcow2 { .. } | Self::Bzip2OfVhd | Self::TarOfRoot => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn manifest(properties: BTreeMap<String, Property>) -> StemcellManifest {
        StemcellManifest {
            name: "bosh-aws-xen-hvm-debian-bookworm".to_owned(),
            version: "1.10".to_owned(),
            bosh_protocol: 1,
            api_version: API_VERSION,
            sha1: SHA1_OF_NOTHING.to_owned(),
            operating_system: "debian-bookworm".to_owned(),
            stemcell_formats: vec!["aws-raw".to_owned()],
            cloud_properties: properties,
        }
    }

    #[test]
    fn a_version_stays_text() {
        let text = manifest(BTreeMap::new()).to_yaml();
        assert!(text.contains("version: \"1.10\"\n"), "{text}");
        assert_eq!(StemcellManifest::from_yaml(&text).unwrap().version, "1.10");
    }

    #[test]
    fn an_old_manifest_is_read() {
        let text = "name: bosh-x\nversion: '621.45'\nbosh_protocol: 1\nsha1: da39\n\
                    operating_system: ubuntu-xenial\nsomething_new: 1\n\
                    cloud_properties: {disk: 3072, auto_disk_config: true, ami: {eu-west-1: ami-1}}\n";
        let manifest = StemcellManifest::from_yaml(text).unwrap();
        assert_eq!((manifest.api_version, manifest.version.as_str()), (1, "621.45"));
        assert_eq!(manifest.cloud_properties["disk"], Property::Number(3072));
        assert!(matches!(manifest.cloud_properties["ami"], Property::Map(_)));
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        for text in
            ["", "- 1", "name: x", "{", "name: [a]\nversion: 1\nsha1: x\noperating_system: y"]
        {
            assert!(StemcellManifest::from_yaml(text).is_err(), "{text:?}");
        }
    }

    fn property() -> impl Strategy<Value = Property> {
        prop_oneof![
            any::<bool>().prop_map(Property::Flag),
            any::<u32>().prop_map(|number| Property::Number(number.into())),
            "[ -~äé\n\t]{0,20}".prop_map(Property::Text),
            proptest::collection::btree_map("[a-z0-9-]{1,8}", "[ -~]{0,12}", 0..3)
                .prop_map(Property::Map),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            properties in proptest::collection::btree_map("[a-z_0-9]{1,12}", property(), 0..6)
        ) {
            let written = manifest(properties);
            prop_assert_eq!(StemcellManifest::from_yaml(&written.to_yaml()).unwrap(), written);
        }

        #[test]
        fn foreign_text_does_not_panic(text in "\\PC{0,200}") {
            let _ = StemcellManifest::from_yaml(&text);
        }
    }
}
