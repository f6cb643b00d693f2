//! What lies outside of the image's root: identity, archive, agent binaries, keys, outputs.

use std::path::{Path, PathBuf};

use super::beside;
use super::decide::{Errors, Layers, Word, last, settle};
use crate::definition::{
    Agent, Base, DiskFormat, Light, LightReference, Output, Program, SecureBoot, Signing, Suite,
};
use crate::error::{DefinitionError, Place};
use crate::file::tables;
use crate::file::text::{At, HostFile, Sha256, Url};
use crate::iaas::Iaas;
use crate::release::Architecture;

/// Name, version and title.
pub(super) fn identity(layers: &Layers, errors: &mut Errors) -> Option<(String, String, String)> {
    let name = last("name", layers.field(|file| file.name.as_ref()), errors)?;
    let version = last("version", layers.field(|file| file.version.as_ref()), errors)?;
    let title = last("title", layers.field(|file| file.title.as_ref()), errors);
    let title = title.map_or_else(|| name.value.0.clone(), |word| word.value.0.clone());
    Some((name.value.0.clone(), version.value.0.clone(), title))
}

pub(super) fn base(layers: &Layers, errors: &mut Errors) -> Option<Base> {
    let tables = || layers.field(|file| file.base.as_ref());
    fn of<'a, T>(
        words: impl Iterator<Item = Word<'a, &'a tables::Base>>,
        pick: impl Fn(&'a tables::Base) -> Option<&'a At<T>>,
    ) -> Option<Word<'a, &'a T>> {
        // Included files and the definition have ranks of their own: the last one decides.
        let found = words.filter_map(|word| {
            pick(word.value).map(|at| Word {
                value: &at.value,
                layer: word.layer,
                span: at.span.clone(),
            })
        });
        found.last()
    }
    let Some(release) = of(tables(), |base| base.release.as_ref()) else {
        let place = layers.0.last().map(|layer| Place::whole(&layer.source.path))?;
        errors
            .push(DefinitionError::new(place, "the field `base.release` is missing").help(
                "add [base] with release = \"bookworm\", \"trixie\", \"jammy\" or \"noble\"",
            ));
        return None;
    };
    let expected = release.value.distribution();
    if let Some(word) = of(tables(), |base| base.distribution.as_ref())
        && *word.value != expected
    {
        let message = format!("{} is no release of {}", release.value.name(), word.value.name());
        let help = format!("write distribution = {:?}, or take it out", expected.name());
        errors.push(
            DefinitionError::new(word.place(), message)
                .help(help)
                .related(release.place(), "the release is named here"),
        );
    }
    let release = *release.value;
    let list = |words: Option<Vec<String>>, usual: &dyn Fn() -> Vec<String>| {
        let mut list: Vec<String> = Vec::new();
        for name in words.unwrap_or_else(usual) {
            if !list.contains(&name) {
                list.push(name);
            }
        }
        list
    };
    let suites = tables().filter_map(|word| word.value.suites.as_ref()).last();
    let suites = suites.map(|list| list.iter().map(|at| at.value.0.clone()).collect());
    let suites = list(suites, &|| {
        ["", "-updates", "-security"].map(|end| format!("{}{end}", release.name())).to_vec()
    });
    let components = tables().filter_map(|word| word.value.components.as_ref()).last();
    let components = components.map(|list| list.iter().map(|at| at.value.0.clone()).collect());
    let components =
        list(components, &|| expected.components().iter().map(|name| (*name).to_owned()).collect());
    let mut mirror = |word: Option<Word<'_, &Url>>| {
        let word = word?;
        if let Err(error) = url::Url::parse(&word.value.0) {
            let message = format!("{:?} is no URL: {error}", word.value.0);
            errors.push(DefinitionError::new(word.place(), message).help(
                "expected the root of an archive, such as \"https://mirror.example/debian\"",
            ));
        }
        Some(word.value.0.trim_end_matches('/').to_owned())
    };
    let keyring = tables()
        .filter_map(|word| {
            let keyring = word.value.keyring.as_ref()?;
            Some(beside(&word.layer.source.path, Path::new(&keyring.value.0)))
        })
        .last();
    Some(Base {
        distribution: expected,
        release,
        architecture: of(tables(), |base| base.architecture.as_ref())
            .map_or(Architecture::Amd64, |word| *word.value),
        mirror: mirror(of(tables(), |base| base.mirror.as_ref())),
        security_mirror: mirror(of(tables(), |base| base.security_mirror.as_ref())),
        keyring: keyring.unwrap_or_else(|| PathBuf::from(expected.keyring())),
        suites: suites
            .into_iter()
            .map(|name| Suite { security: name.ends_with("-security"), name })
            .collect(),
        components,
        snapshot: of(tables(), |base| base.snapshot.as_ref()).map(|word| word.value.0.clone()),
    })
}

pub(super) fn signing(layers: &Layers, errors: &mut Errors) -> Signing {
    let path =
        |word: Word<'_, &HostFile>| beside(&word.layer.source.path, Path::new(&word.value.0));
    let key = layers
        .field(|file| file.signing.stemcell_key.as_ref())
        .map(|word| word.clone().map(|_| path(word)));
    let pair = layers.field(|file| file.signing.secure_boot.as_ref()).map(|word| {
        let from = &word.layer.source.path;
        let pair = SecureBoot {
            key: beside(from, Path::new(&word.value.key.value.0)),
            certificate: beside(from, Path::new(&word.value.certificate.value.0)),
        };
        word.clone().map(|_| pair)
    });
    let development = layers.field(|file| file.signing.development.as_ref());
    Signing {
        stemcell_key: last("signing.stemcell_key", key, errors).map(|word| word.value),
        secure_boot: last("signing.secure_boot", pair, errors).map(|word| word.value),
        development: last("signing.development", development, errors)
            .is_some_and(|word| *word.value),
    }
}

pub(super) fn agent(layers: &Layers, errors: &mut Errors) -> Option<Agent> {
    let mut words = Vec::new();
    for word in layers.field(|file| file.agent.as_ref()) {
        let raw: &tables::Agent = word.value;
        let program = |path: &At<HostFile>, sha256: &At<Sha256>| Program {
            path: beside(&word.layer.source.path, Path::new(&path.value.0)),
            sha256: sha256.value.0.clone(),
        };
        let monit = match (&raw.monit, &raw.monit_sha256) {
            (Some(path), Some(sha256)) => Some(program(path, sha256)),
            (None, None) => None,
            _ => {
                errors.push(
                    DefinitionError::new(word.place(), "`monit` and `monit_sha256` go together")
                        .help("give both or neither"),
                );
                None
            }
        };
        let blobstores = raw.blobstore.iter().map(|at| {
            (at.value.provider.value.0.clone(), program(&at.value.binary, &at.value.sha256))
        });
        let agent = Agent {
            binary: program(&raw.binary, &raw.sha256),
            settings: raw.settings,
            monit,
            blobstores: blobstores.collect(),
        };
        words.push(word.map(|_| agent));
    }
    last("agent", words.into_iter(), errors).map(|word| word.value)
}

pub(super) fn output(layers: &Layers, errors: &mut Errors) -> Output {
    // Included files and the definition have ranks of their own: the last list decides.
    let outputs = || layers.0.iter().map(|layer| &layer.source.file.output);
    let iaas = outputs().filter_map(|output| output.iaas.as_ref()).next_back();
    let formats = outputs().filter_map(|output| output.formats.as_ref()).next_back();
    let mut iaas =
        iaas.map_or_else(|| vec![Iaas::Qemu], |list| list.iter().map(|at| at.value).collect());
    iaas.sort();
    iaas.dedup();
    let mut formats = formats
        .map_or_else(|| vec![DiskFormat::Qcow2], |list| list.iter().map(|at| at.value).collect());
    formats.sort();
    formats.dedup();
    let mut words = Vec::new();
    for word in layers.each(|file| &file.output.light) {
        match light(word.value) {
            Ok(light) if iaas.contains(&light.iaas) => {
                words.push((light.iaas, word.map(|_| light)));
            }
            Ok(light) => {
                let name = light.iaas.name();
                let message = format!("a light stemcell for {name}, which is not built for");
                errors.push(
                    DefinitionError::new(word.place(), message)
                        .help(format!("add \"{name}\" to `iaas` in [output], or drop this table")),
                );
            }
            Err(wanted) => {
                let message =
                    format!("a light stemcell for {} {wanted}", word.value.iaas.value.name());
                errors.push(DefinitionError::new(word.place(), message).help(
                    "aws takes ami, google image_url, azure image, openstack image_id, warden reference",
                ));
            }
        }
    }
    let tell = |iaas: &Iaas, _: &Light| format!("refers to another image for {}", iaas.name());
    let light = settle(words, Light::eq, tell, errors)
        .into_values()
        .filter_map(|words| words.into_iter().next().map(|word| word.value))
        .collect();
    Output { iaas, formats, light }
}

fn light(raw: &tables::Light) -> Result<Light, String> {
    let iaas = raw.iaas.value;
    let mut given = Vec::new();
    let text = |at: &At<crate::file::text::Line>| at.value.0.clone();
    if let Some(ami) = &raw.ami {
        given.push((Iaas::Aws, LightReference::Ami(ami.value.clone())));
    }
    if let Some(url) = &raw.image_url {
        given.push((Iaas::Google, LightReference::ImageUrl(text(url))));
    }
    if let Some(image) = &raw.image {
        let image = &image.value;
        given.push((
            Iaas::Azure,
            LightReference::Image {
                offer: image.offer.0.clone(),
                publisher: image.publisher.0.clone(),
                sku: image.sku.0.clone(),
                version: image.version.0.clone(),
            },
        ));
    }
    if let Some(id) = &raw.image_id {
        given.push((Iaas::Openstack, LightReference::ImageId(text(id))));
    }
    if let Some(reference) = &raw.reference {
        given.push((Iaas::Warden, LightReference::Reference(text(reference))));
    }
    if iaas.infrastructure().light_format.is_none() {
        return Err("does not exist".to_owned());
    }
    match <[_; 1]>::try_from(given) {
        Ok([(of, reference)]) if of == iaas => Ok(Light { iaas, reference }),
        Ok(_) => Err("has the reference of another infrastructure".to_owned()),
        Err(given) if given.is_empty() => Err("lacks its reference".to_owned()),
        Err(_) => Err("has several references".to_owned()),
    }
}
