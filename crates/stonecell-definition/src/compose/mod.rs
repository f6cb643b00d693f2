//! Loading a definition: reads it, what it includes and its roles, and composes them into one
//! [`Definition`].

mod accounts;
mod add_on;
mod decide;
mod machine;
mod outside;
mod system;

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use jiff::civil::Date;
use sha2::{Digest, Sha256};

use crate::definition::{Definition, SourceFile};
use crate::error::{DefinitionError, DefinitionErrors, Place, nearest};
use crate::file::{Source, parse};
use crate::schema::Kind;
use decide::{Errors, Layer, Layers};

/// How deep files may include each other.
const DEEPEST: usize = 16;

/// Where definition files are read from. Any `Fn(&Path) -> io::Result<String>` is one that cannot list
/// directories, which only costs suggestions for misspelt roles.
pub trait Files {
    /// The text of a file.
    ///
    /// # Errors
    /// As `std::fs::read_to_string`.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// The names in a directory; none where it cannot be listed.
    fn names(&self, directory: &Path) -> Vec<String> {
        let _ = directory;
        Vec::new()
    }
}

impl<F: Fn(&Path) -> io::Result<String>> Files for F {
    fn read(&self, path: &Path) -> io::Result<String> {
        self(path)
    }
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

/// Loads and composes the definition at `path`. `today` decides which opt-outs have expired.
///
/// # Errors
/// Everything that is wrong, as far as it can be found at once: syntax and shape of every file first;
/// contradictions, expired opt-outs and impossible values once all files have their shape.
pub fn load(path: &Path, today: Date, files: &dyn Files) -> Result<Definition, DefinitionErrors> {
    let mut reader =
        Reader { files, sources: Vec::new(), seen: BTreeSet::new(), errors: Vec::new() };
    match files.read(path) {
        Ok(text) => reader.definition(path, &text),
        Err(error) => reader.errors.push(
            DefinitionError::new(
                Place::whole(path),
                format!("cannot read the definition: {error}"),
            )
            .help("name a definition file, such as stemcells/debian-12.toml"),
        ),
    }
    if let Some(errors) = DefinitionErrors::of(std::mem::take(&mut reader.errors)) {
        return Err(errors);
    }
    let mut errors = Vec::new();
    let definition = compose(Layers(reader.layers()), today, &mut errors);
    match (definition, DefinitionErrors::of(errors)) {
        (Some(definition), None) => Ok(definition),
        (_, Some(errors)) => Err(errors),
        (None, None) => Err(DefinitionErrors::one(DefinitionError::new(
            Place::whole(path),
            "the definition lacks name, version or base",
        ))),
    }
}

struct Reader<'a> {
    files: &'a dyn Files,
    /// In the order of composition.
    sources: Vec<Source>,
    seen: BTreeSet<PathBuf>,
    errors: Errors,
}

impl Reader<'_> {
    fn definition(&mut self, path: &Path, text: &str) {
        match parse(path, text, Kind::Definition) {
            Ok(source) => self.included(source, &mut vec![plain(path)]),
            Err(errors) => self.errors.extend(errors),
        }
        let mut roles = Vec::new();
        for source in &self.sources {
            for role in &source.file.roles {
                roles.push((role.value.0.clone(), source.path.clone(), source.place(&role.span)));
            }
        }
        let mut known = BTreeSet::new();
        for (name, from, place) in roles {
            if known.insert(name.clone()) {
                self.role(&name, &from, place);
            }
        }
    }

    /// Adds what `source` includes, then `source`.
    fn included(&mut self, source: Source, stack: &mut Vec<PathBuf>) {
        for include in &source.file.include {
            let path = beside(&source.path, Path::new(&include.value.0));
            let place = source.place(&include.span);
            if stack.contains(&plain(&path)) {
                let message = format!("{} includes itself in the end", path.display());
                self.errors.push(
                    DefinitionError::new(place, message)
                        .help("take out one of the `include` lines"),
                );
                continue;
            }
            if stack.len() >= DEEPEST {
                let message = format!("includes are nested more than {DEEPEST} deep");
                self.errors
                    .push(DefinitionError::new(place, message).help("include it further up"));
                continue;
            }
            if !self.seen.insert(plain(&path)) {
                continue;
            }
            match self.files.read(&path).map(|text| parse(&path, &text, Kind::Include)) {
                Ok(Ok(included)) => {
                    stack.push(plain(&path));
                    self.included(included, stack);
                    stack.pop();
                }
                Ok(Err(errors)) => self.errors.extend(errors),
                Err(error) => self.errors.push(
                    DefinitionError::new(place, format!("cannot read {}: {error}", path.display()))
                        .help("paths are relative to the file that names them"),
                ),
            }
        }
        self.sources.push(source);
    }

    fn role(&mut self, name: &str, from: &Path, place: Place) {
        let directories = role_directories(from);
        for directory in &directories {
            let path = directory.join(format!("{name}.toml"));
            match self.files.read(&path) {
                Ok(text) => {
                    match parse(&path, &text, Kind::Role) {
                        Ok(source) => self.sources.push(source),
                        Err(errors) => self.errors.extend(errors),
                    }
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("cannot read the role {}: {error}", path.display());
                    self.errors.push(DefinitionError::new(place, message));
                    return;
                }
            }
        }
        let mut names: Vec<String> =
            directories.iter().flat_map(|directory| self.files.names(directory)).collect();
        names.retain_mut(|name| match name.strip_suffix(".toml") {
            Some(stem) => {
                *name = stem.to_owned();
                true
            }
            None => false,
        });
        names.sort();
        names.dedup();
        let looked: Vec<_> = directories.iter().map(|path| path.display().to_string()).collect();
        let looked = format!("looked for {name}.toml in {}", looked.join(" and "));
        let help = match nearest(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`? {looked}"),
            None if names.is_empty() => looked,
            None => format!("{looked}; there are {}", names.join(", ")),
        };
        self.errors.push(DefinitionError::new(place, format!("unknown role `{name}`")).help(help));
    }

    /// Roles at rank 0, then the included files and the definition, each above the one before.
    fn layers(self) -> Vec<Layer> {
        let (roles, others): (Vec<_>, Vec<_>) =
            self.sources.into_iter().partition(|source| source.kind == Kind::Role);
        let roles = roles.into_iter().map(|source| Layer { source, rank: 0 });
        let others =
            others.into_iter().enumerate().map(|(at, source)| Layer { source, rank: at + 1 });
        roles.chain(others).collect()
    }
}

/// `None` when a field without which there is no definition is missing; `errors` says so.
fn compose(layers: Layers, today: Date, errors: &mut Errors) -> Option<Definition> {
    let identity = outside::identity(&layers, errors);
    let base = outside::base(&layers, errors);
    let signing = outside::signing(&layers, errors);
    let output = outside::output(&layers, errors);
    let agent = outside::agent(&layers, errors);
    let (packages, add_ons) = add_on::packages_and_add_ons(&layers, errors);
    let services = system::services(&layers, errors);
    let controls = system::controls(&layers, today, errors);
    let setuid = system::setuid(&layers);
    let (users, groups) = accounts::accounts(&layers, &packages, &add_ons, &setuid, errors);
    let firewall = system::firewall(&layers, errors);
    let image = machine::image(&layers, errors);
    let etc_mutable = machine::etc(&layers, errors);
    let (name, version, title) = identity?;
    let base = base?;
    let kernel = machine::kernel(&layers, base.distribution, errors);
    Some(Definition {
        name,
        version,
        title,
        roles: roles(&layers),
        base,
        packages,
        kernel,
        services,
        controls,
        image,
        etc_mutable,
        users,
        groups,
        setuid,
        firewall,
        agent,
        add_ons,
        signing,
        output,
        sources: layers.0.iter().map(|layer| source_file(&layer.source)).collect(),
    })
}

fn roles(layers: &Layers) -> Vec<String> {
    let mut roles: Vec<String> = Vec::new();
    for word in layers.each(|file| &file.roles) {
        if !roles.contains(&word.value.0) {
            roles.push(word.value.0.clone());
        }
    }
    roles
}

fn source_file(source: &Source) -> SourceFile {
    SourceFile {
        path: source.path.clone(),
        kind: source.kind,
        sha256: hex::encode(Sha256::digest(source.text.as_bytes())),
    }
}

/// `path` as written in the file `from`.
fn beside(from: &Path, path: &Path) -> PathBuf {
    from.parent().map_or_else(|| path.to_owned(), |directory| directory.join(path))
}

/// Where the roles of a file are: beside it, and beside its directory.
fn role_directories(from: &Path) -> [PathBuf; 2] {
    let directory = from.parent().unwrap_or_else(|| Path::new(""));
    let above = match (directory.file_name(), directory.parent()) {
        (Some(_), Some(parent)) => parent.join("roles"),
        _ => directory.join("../roles"),
    };
    [directory.join("roles"), above]
}

/// The path without `.` and, where that is possible by its text alone, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}
