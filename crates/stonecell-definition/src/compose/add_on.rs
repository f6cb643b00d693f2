//! Packages and add-ons: what is in the image, and what may not be.

use std::collections::{BTreeMap, BTreeSet};

use super::beside;
use super::decide::{Errors, Layer, Layers, Word, contradiction, last, settle};
use crate::definition::{AddOn, AddOnFile, AddOnUnit, Content, Packages, compile};
use crate::error::DefinitionError;
use crate::file::tables;
use crate::file::text::At;

/// Settles packages and add-ons together, since an add-on installs packages too.
pub(super) fn packages_and_add_ons(layers: &Layers, errors: &mut Errors) -> (Packages, Vec<AddOn>) {
    let mut add_ons = settled_add_ons(layers, errors);
    let decided = decided_packages(layers, &add_ons, errors);
    for word in add_ons.values_mut() {
        word.value.packages.retain(|name| decided.get(name) == Some(&true));
    }
    let asked: BTreeSet<&String> =
        layers.each(|file| &file.packages.install).map(|word| &word.value.0).collect();
    let of = |wanted: bool| {
        let names = decided.iter().filter(move |(_, installed)| **installed == wanted);
        names.map(|(name, _)| name.clone())
    };
    let deny: BTreeSet<&String> =
        layers.each(|file| &file.packages.deny).map(|word| &word.value.0).collect();
    let recommends = layers.field(|file| file.packages.recommends.as_ref());
    let packages = Packages {
        install: of(true).filter(|name| asked.contains(name)).collect(),
        remove: of(false).collect(),
        deny: deny.into_iter().cloned().collect(),
        recommends: last("packages.recommends", recommends, errors).is_some_and(|word| *word.value),
    };
    (packages, add_ons.into_values().map(|word| word.value).collect())
}

/// For each package that any file speaks of, whether it is installed.
fn decided_packages(
    layers: &Layers,
    add_ons: &BTreeMap<String, Word<'_, AddOn>>,
    errors: &mut Errors,
) -> BTreeMap<String, bool> {
    let install =
        layers.each(|file| &file.packages.install).map(|word| (&word.value.0, word.map(|_| true)));
    let remove =
        layers.each(|file| &file.packages.remove).map(|word| (&word.value.0, word.map(|_| false)));
    let added = add_ons
        .values()
        .flat_map(|word| word.value.packages.iter().map(|name| (name, word.clone().map(|_| true))));
    let tell = |name: &&String, installed: &bool| {
        format!("{} the package `{name}`", if *installed { "installs" } else { "removes" })
    };
    let settled = settle(install.chain(remove).chain(added), bool::eq, tell, errors);
    let mut denied = Vec::new();
    for glob in layers.each(|file| &file.packages.deny) {
        match compile(&glob.value.0) {
            Ok(matcher) => denied.push((glob, matcher)),
            Err(error) => {
                let message = format!("`packages.deny` has an invalid pattern: {}", error.kind());
                errors.push(
                    DefinitionError::new(glob.place(), message).help("use * and ? as wild cards"),
                );
            }
        }
    }
    let mut decided = BTreeMap::new();
    for (name, words) in settled {
        let Some(word) = words.into_iter().next() else { continue };
        let mut installed = word.value;
        for (glob, _) in denied.iter().filter(|(_, matcher)| matcher.is_match(name)) {
            if !installed {
                break;
            }
            if glob.layer.outranks(word.layer) {
                installed = false;
            } else if !word.layer.outranks(glob.layer) {
                let denies = format!("denies `{}`", glob.value);
                errors.push(contradiction(&word, &tell(&name, &true), glob, &denies));
            }
        }
        decided.insert(name.clone(), installed);
    }
    decided
}

fn settled_add_ons<'a>(
    layers: &'a Layers,
    errors: &mut Errors,
) -> BTreeMap<String, Word<'a, AddOn>> {
    let mut words = Vec::new();
    for word in layers.each(|file| &file.add_on) {
        let add_on = add_on(word.layer, word.value, errors);
        words.push((add_on.name.clone(), word.map(|_| add_on)));
    }
    let tell = |name: &String, _: &AddOn| format!("has another add-on `{name}`");
    let settled = settle(words, AddOn::eq, tell, errors);
    let mut add_ons: BTreeMap<String, Word<'a, AddOn>> = settled
        .into_iter()
        .filter_map(|(name, words)| words.into_iter().next().map(|word| (name, word)))
        .collect();
    one_owner(&mut add_ons, "the file", |add_on| &mut add_on.files, |file| &file.path, errors);
    one_owner(&mut add_ons, "the unit", |add_on| &mut add_on.units, |unit| &unit.name, errors);
    add_ons
}

/// Leaves each file or unit to the add-on of the highest rank; two of one rank have to agree.
fn one_owner<T: PartialEq + Clone>(
    add_ons: &mut BTreeMap<String, Word<'_, AddOn>>,
    what: &str,
    items: impl Fn(&mut AddOn) -> &mut Vec<T>,
    key: impl Fn(&T) -> &String,
    errors: &mut Errors,
) {
    let mut words = Vec::new();
    for (name, word) in add_ons.iter_mut() {
        for item in items(&mut word.value).drain(..) {
            let place = Word { value: (), layer: word.layer, span: word.span.clone() };
            words.push((key(&item).clone(), place.map(|()| (name.clone(), item))));
        }
    }
    let agree = |one: &(String, T), other: &(String, T)| one.1 == other.1;
    let tell = |path: &String, value: &(String, T)| {
        format!("has {what} {path} with other content in add-on `{}`", value.0)
    };
    for words in settle(words, agree, tell, errors).into_values() {
        if let Some((name, item)) = words.into_iter().next().map(|word| word.value)
            && let Some(word) = add_ons.get_mut(&name)
        {
            items(&mut word.value).push(item);
        }
    }
}

fn add_on(layer: &Layer, raw: &tables::AddOn, errors: &mut Errors) -> AddOn {
    let mut packages: Vec<String> = raw.packages.iter().map(|at| at.value.0.clone()).collect();
    packages.sort();
    packages.dedup();
    let mut files: Vec<_> = raw.files.iter().filter_map(|at| file(layer, at, errors)).collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut units: Vec<_> = raw.units.iter().filter_map(|at| unit(layer, at, errors)).collect();
    units.sort_by(|a, b| a.name.cmp(&b.name));
    AddOn { name: raw.name.value.0.clone(), why: raw.why.value.0.clone(), packages, files, units }
}

fn file(layer: &Layer, at: &At<tables::AddOnFile>, errors: &mut Errors) -> Option<AddOnFile> {
    let raw = &at.value;
    let source = raw.source.as_ref().map(|source| {
        Content::Source(beside(&layer.source.path, std::path::Path::new(&source.value.0)))
    });
    let text = raw.content.clone().map(Content::Text);
    let link = raw.link.as_ref().map(|link| Content::Link(link.value.0.clone()));
    let given: Vec<Content> = [source, text, link].into_iter().flatten().collect();
    let Ok([content]) = <[Content; 1]>::try_from(given) else {
        let message = format!("the file {} needs one of source, content and link", raw.path.value);
        errors.push(
            DefinitionError::new(layer.source.place(&at.span), message)
                .help("`source` copies a file, `content` is the text itself, `link` is the target of a symbolic link"),
        );
        return None;
    };
    let text = |field: &Option<At<crate::file::text::UserName>>| {
        field.as_ref().map_or_else(|| "root".to_owned(), |name| name.value.0.clone())
    };
    // The pattern permits three octal digits only.
    let mode = raw.mode.as_ref().and_then(|mode| u32::from_str_radix(&mode.value.0, 8).ok());
    let usual = if matches!(content, Content::Link(_)) { 0o777 } else { 0o644 };
    Some(AddOnFile {
        path: raw.path.value.0.clone(),
        content,
        mode: mode.unwrap_or(usual),
        early: raw.early,
        owner: text(&raw.owner),
        group: text(&raw.group),
    })
}

fn unit(layer: &Layer, at: &At<tables::AddOnUnit>, errors: &mut Errors) -> Option<AddOnUnit> {
    let raw = &at.value;
    let source = raw.source.as_ref().map(|source| {
        Content::Source(beside(&layer.source.path, std::path::Path::new(&source.value.0)))
    });
    let content = match (source, raw.content.clone()) {
        (Some(source), None) => source,
        (None, Some(text)) => Content::Text(text),
        _ => {
            let message = format!("the unit {} needs one of source and content", raw.name.value);
            errors.push(
                DefinitionError::new(layer.source.place(&at.span), message)
                    .help("`source` copies a file, `content` is the text itself"),
            );
            return None;
        }
    };
    Some(AddOnUnit { name: raw.name.value.0.clone(), content, enable: raw.enable })
}
