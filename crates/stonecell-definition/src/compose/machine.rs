//! What the machine is made of: kernel, disk layout, changeable parts of /etc.

use std::collections::BTreeMap;

use super::decide::{Errors, Layers, last, settle};
use crate::definition::{
    ACCOUNT_FILES, FileSystem, Image, Kernel, Mutability, MutablePath, Partition, VerityCorruption,
    compile,
};
use crate::error::DefinitionError;
use crate::file::tables;
use crate::release::Distribution;
use crate::size::Size;

/// The ESP holds one signed kernel of some 30 MB, and with A/B two while one is replaced.
const ESP: Size = Size::mebibytes(96);

/// Writable file systems of every image, with sizes that fit a machine which keeps no data of its own.
const PARTITIONS: [(&str, Size); 5] = [
    ("/home", Size::mebibytes(64)),
    ("/var", Size::mebibytes(512)),
    ("/var/log", Size::mebibytes(256)),
    ("/var/log/audit", Size::mebibytes(256)),
    ("/var/tmp", Size::mebibytes(128)),
];

/// ext4 with a journal needs about this much.
const SMALLEST: Size = Size::mebibytes(16);

/// Top directories that belong to the verified root or to the kernel.
const NOT_WRITABLE: [&str; 14] = [
    "bin", "boot", "dev", "efi", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin",
    "sys", "usr",
];

pub(super) fn kernel(layers: &Layers, distribution: Distribution, errors: &mut Errors) -> Kernel {
    let package = last("kernel.package", layers.field(|file| file.kernel.package.as_ref()), errors);
    let mut command_line: Vec<String> = Vec::new();
    for word in layers.each(|file| &file.kernel.command_line) {
        if !command_line.contains(&word.value.0) {
            command_line.push(word.value.0.clone());
        }
    }
    let mut modules = Vec::new();
    for word in layers.each(|file| &file.kernel.modules.allow) {
        if let Err(error) = compile(&word.value.0) {
            let message =
                format!("`kernel.modules.allow` has an invalid pattern: {}", error.kind());
            errors.push(
                DefinitionError::new(word.place(), message).help("use * and ? as wild cards"),
            );
        }
        modules.push(word.value.0.clone());
    }
    modules.sort();
    modules.dedup();
    Kernel {
        package: package
            .map_or_else(|| distribution.kernel().to_owned(), |word| word.value.0.clone()),
        command_line,
        modules,
    }
}

pub(super) fn image(layers: &Layers, errors: &mut Errors) -> Image {
    let ab = last("image.ab", layers.field(|file| file.image.ab.as_ref()), errors);
    let esp = last("image.esp_size", layers.field(|file| file.image.esp_size.as_ref()), errors);
    let root = last("image.root_size", layers.field(|file| file.image.root_size.as_ref()), errors);
    let corruption = last(
        "image.verity_corruption",
        layers.field(|file| file.image.verity_corruption.as_ref()),
        errors,
    );
    let mut size = |word: super::decide::Word<'_, &str>| match Size::parse(word.value) {
        Ok(size) => Some(size),
        Err(wrong) => {
            errors.push(DefinitionError::new(word.place(), wrong).help("make it smaller"));
            None
        }
    };
    let esp_size = esp.and_then(|word| size(word.map(|text| text.0.as_str()))).unwrap_or(ESP);
    let root_size = root
        .filter(|word| word.value.0 != "auto")
        .and_then(|word| size(word.map(|text| text.0.as_str())));
    Image {
        ab: ab.is_some_and(|word| *word.value),
        esp_size,
        root_size,
        verity_corruption: corruption.map_or(VerityCorruption::Panic, |word| *word.value),
        partitions: partitions(layers, errors),
    }
}

fn partitions(layers: &Layers, errors: &mut Errors) -> Vec<Partition> {
    let mut words = Vec::new();
    for word in layers.each(|file| &file.image.partition) {
        let raw: &tables::Partition = word.value;
        let mount = raw.mount.value.0.clone();
        let top = mount.trim_start_matches('/').split('/').next().unwrap_or_default();
        if NOT_WRITABLE.contains(&top) {
            let place = word.layer.source.place(&raw.mount.span);
            let message = format!("{mount} cannot be a writable partition");
            errors.push(DefinitionError::new(place, message).help(
                "the system is read-only; mount below /var, /srv, /opt, /home or a directory of your own",
            ));
        }
        let size = match Size::parse(&raw.size.value.0) {
            Ok(size) if size >= SMALLEST => size,
            Ok(size) => {
                let place = word.layer.source.place(&raw.size.span);
                let message = format!("{mount} has a size of {size}, and the least is {SMALLEST}");
                errors.push(DefinitionError::new(place, message).help("make it larger"));
                continue;
            }
            Err(wrong) => {
                let place = word.layer.source.place(&raw.size.span);
                errors.push(DefinitionError::new(place, wrong).help("make it smaller"));
                continue;
            }
        };
        let mut options: Vec<_> = raw.options.iter().map(|option| option.value.0.clone()).collect();
        options.sort();
        options.dedup();
        let partition = Partition { mount: mount.clone(), size, options, fs: raw.fs };
        words.push((mount, word.map(|_| partition)));
    }
    let tell = |mount: &String, partition: &Partition| {
        format!(
            "mounts {mount} with {} and options [{}]",
            partition.size,
            partition.options.join(", ")
        )
    };
    let mut partitions: BTreeMap<String, Partition> = settle(words, Partition::eq, tell, errors)
        .into_iter()
        .filter_map(|(mount, words)| Some((mount, words.into_iter().next()?.value)))
        .collect();
    for (mount, size) in PARTITIONS {
        partitions.entry(mount.to_owned()).or_insert_with(|| Partition {
            mount: mount.to_owned(),
            size,
            options: Vec::new(),
            fs: FileSystem::Ext4,
        });
    }
    partitions.into_values().collect()
}

pub(super) fn etc(layers: &Layers, errors: &mut Errors) -> Vec<MutablePath> {
    let mut words = Vec::new();
    for word in layers.each(|file| &file.etc.mutable) {
        let raw: &tables::MutablePath = word.value;
        let path = raw.path.value.0.clone();
        if !path.starts_with("/etc/") {
            let place = word.layer.source.place(&raw.path.span);
            let message = format!("{path} is not below /etc");
            errors.push(
                DefinitionError::new(place, message).help(
                    "/var and /home can be written anyway; add an image.partition for others",
                ),
            );
        }
        words.push((path, word.map(|raw| raw.kind)));
    }
    let tell = |path: &String, kind: &Mutability| {
        let does = match kind {
            Mutability::Run => "makes anew at each boot",
            Mutability::Kept | Mutability::Accounts => "keeps",
            Mutability::Empty => "empties at each boot",
        };
        format!("{does} {path}")
    };
    let accounts = last("etc.accounts", layers.field(|file| file.etc.accounts.as_ref()), errors);
    if let Some(word) = accounts.filter(|word| *word.value) {
        let kept = |path: &str| (path.to_owned(), word.clone().map(|_| Mutability::Accounts));
        words.extend(ACCOUNT_FILES.map(kept));
    }
    let settled = settle(words, Mutability::eq, tell, errors);
    for (path, words) in &settled {
        let above = settled.keys().find(|other| {
            path.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'))
        });
        if let (Some(above), Some(word)) = (above, words.first()) {
            let message = format!("{path} is below {above}, which can be changed already");
            errors
                .push(DefinitionError::new(word.place(), message).help("take out one of the two"));
        }
    }
    settled
        .into_iter()
        .filter_map(|(path, words)| Some(MutablePath { path, kind: words.first()?.value }))
        .collect()
}
