//! The modules of a root and what its module index says about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{alias, module_file};

/// Where a root keeps its modules; the second is what older packages unpack without merged `/usr`.
const PLACES: [&str; 2] = ["usr/lib/modules", "lib/modules"];

/// A module that is a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Path below the module directory, such as `kernel/fs/erofs/erofs.ko.xz`.
    pub path: String,
    /// Names of the modules that must be loaded before it.
    pub needs: BTreeSet<String>,
}

/// The modules of one kernel. Names are written with underscores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Directory of the modules on this machine.
    pub directory: PathBuf,
    /// Version of the kernel, such as `6.1.0-56-cloud-amd64`.
    pub version: String,
    /// The modules that are files.
    pub modules: BTreeMap<String, Module>,
    /// The modules inside the kernel image.
    pub builtin: BTreeSet<String>,
    /// Alias patterns and the modules that they name.
    pub aliases: Vec<(String, String)>,
    /// Soft dependencies: modules that should be loaded before.
    pub before: BTreeMap<String, Vec<String>>,
    /// Soft dependencies: modules that should be loaded after.
    pub after: BTreeMap<String, Vec<String>>,
}

/// Why the modules of a root cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// No kernel package is installed.
    #[error("{root} has no usr/lib/modules/{version}; install a kernel package")]
    NoModules {
        /// The root.
        root: PathBuf,
        /// Version, or `*` if any was wanted.
        version: String,
    },
    /// More than one kernel.
    #[error("{root} has modules of more than one kernel ({versions}); a root has exactly one")]
    ManyKernels {
        /// The root.
        root: PathBuf,
        /// What was found.
        versions: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of the module index makes no sense.
    #[error("{path}, line {line}: expected {expected}; run depmod again")]
    Index {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
    },
}

impl Tree {
    /// The version of the one kernel whose modules a root has.
    pub fn find_version(root: &Path) -> Result<String, TreeError> {
        let mut versions = BTreeSet::new();
        for place in PLACES {
            let directory = root.join(place);
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(TreeError::Read { path: directory, source }),
            };
            for entry in entries {
                let entry =
                    entry.map_err(|source| TreeError::Read { path: directory.clone(), source })?;
                if entry.path().join("kernel").is_dir() {
                    versions.insert(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        let mut all = versions.into_iter();
        match (all.next(), all.next()) {
            (Some(version), None) => Ok(version),
            (None, _) => Err(TreeError::NoModules { root: root.into(), version: "*".into() }),
            (Some(first), Some(second)) => Err(TreeError::ManyKernels {
                root: root.into(),
                versions: [first, second].into_iter().chain(all).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Reads the index that depmod wrote. Nothing outside the module directory is looked at.
    pub fn read(root: &Path, version: &str) -> Result<Self, TreeError> {
        let directory = directory(root, version)?;
        let mut tree = Self {
            version: version.to_owned(),
            modules: BTreeMap::new(),
            builtin: BTreeSet::new(),
            aliases: Vec::new(),
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            directory,
        };
        tree.each_line(
            "modules.dep",
            "PATH: PATHS, paths relative and ending in .ko",
            |tree, line| {
                let (path, needs) = line.split_once(':')?;
                let needs = needs.split_whitespace().map(alias::module_name);
                let module =
                    Module { path: inside(path)?.to_owned(), needs: needs.collect::<Option<_>>()? };
                tree.modules.insert(alias::module_name(path)?, module);
                Some(())
            },
        )?;
        tree.each_line("modules.builtin", "a path ending in .ko", |tree, line| {
            tree.builtin.insert(alias::module_name(line)?);
            Some(())
        })?;
        tree.each_line("modules.alias", "alias PATTERN MODULE", |tree, line| {
            let (pattern, name) = line.strip_prefix("alias ")?.rsplit_once(' ')?;
            tree.aliases.push((alias::normal(pattern), alias::normal(name)));
            Some(())
        })?;
        tree.each_line(
            "modules.softdep",
            "softdep MODULE pre: NAMES post: NAMES",
            |tree, line| {
                let mut words = line.strip_prefix("softdep ")?.split_whitespace();
                let name = alias::normal(words.next()?);
                let mut list = None;
                for word in words {
                    match word {
                        "pre:" => list = Some(&mut tree.before),
                        "post:" => list = Some(&mut tree.after),
                        // A name before both words belongs to neither; modprobe skips it too.
                        _ => {
                            if let Some(list) = &mut list {
                                list.entry(name.clone()).or_default().push(word.to_owned());
                            }
                        }
                    }
                }
                Some(())
            },
        )?;
        Ok(tree)
    }

    /// True if the kernel has the module, as a file or built in.
    pub fn has(&self, name: &str) -> bool {
        let name = alias::normal(name);
        self.builtin.contains(&name) || self.modules.contains_key(&name)
    }

    /// The modules that a soft dependency means: one of this name, else all with such an alias. None
    /// if the kernel has it built in.
    pub(crate) fn meant_by(&self, name: &str) -> BTreeSet<String> {
        let plain = alias::normal(name);
        if self.builtin.contains(&plain) {
            return BTreeSet::new();
        }
        if self.modules.contains_key(&plain) {
            return BTreeSet::from([plain]);
        }
        let named = alias::find(&self.aliases, &plain);
        named.filter(|name| self.modules.contains_key(*name)).map(str::to_owned).collect()
    }

    /// The module as the kernel loads it, decompressed.
    pub(crate) fn content(&self, module: &Module) -> Result<Vec<u8>, TreeError> {
        let path = self.directory.join(&module.path);
        module_file::read(&path).map_err(|source| TreeError::Read { path, source })
    }

    fn each_line(
        &mut self,
        file: &str,
        expected: &'static str,
        mut take: impl FnMut(&mut Self, &str) -> Option<()>,
    ) -> Result<(), TreeError> {
        let path = self.directory.join(file);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(TreeError::Read { path, source }),
        };
        for (number, line) in (1..).zip(text.lines()) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if take(self, line).is_none() {
                return Err(TreeError::Index { path, line: number, expected });
            }
        }
        Ok(())
    }
}

/// The module directory of a root.
pub(crate) fn directory(root: &Path, version: &str) -> Result<PathBuf, TreeError> {
    let none = || TreeError::NoModules { root: root.into(), version: version.into() };
    if version.is_empty() || version.contains('/') || version.starts_with('.') {
        return Err(none());
    }
    let mut places = PLACES.iter().map(|place| root.join(place).join(version));
    places.find(|directory| directory.is_dir()).ok_or_else(none)
}

/// The path if it stays below the module directory.
fn inside(path: &str) -> Option<&str> {
    let good =
        !path.starts_with('/') && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    good.then_some(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A module directory with these index files; the modules' content is their path.
    pub(crate) fn fake(dep: &str, builtin: &str, alias: &str, softdep: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("usr/lib/modules/6.1");
        fs::create_dir_all(directory.join("kernel")).unwrap();
        let files = [("dep", dep), ("builtin", builtin), ("alias", alias), ("softdep", softdep)];
        for (name, text) in files {
            fs::write(directory.join(format!("modules.{name}")), text).unwrap();
        }
        for path in dep.lines().filter_map(|line| line.split(':').next()) {
            if let Some(path) = inside(path) {
                fs::create_dir_all(directory.join(path).parent().unwrap()).unwrap();
                fs::write(directory.join(path), path).unwrap();
            }
        }
        root
    }

    #[test]
    fn reads_what_depmod_writes() {
        let root = fake(
            "kernel/a-b.ko: kernel/c.ko.xz kernel/d.ko\nkernel/c.ko.xz:\nkernel/d.ko:\n",
            "kernel/e.ko\n",
            "# Aliases\nalias pci:v*d* a_b\nalias crc-x c\nalias crc-x d\n",
            "softdep a_b lost pre: crc-x e post: d\n",
        );
        let tree = Tree::read(root.path(), "6.1").unwrap();
        assert_eq!(tree.modules["a_b"].needs, ["c".to_owned(), "d".to_owned()].into());
        assert!(tree.has("e") && tree.has("a-b") && !tree.has("f"));
        assert_eq!(tree.before["a_b"], ["crc-x", "e"]);
        assert_eq!(tree.after["a_b"], ["d"]);
        assert_eq!(tree.meant_by("crc-x"), ["c".to_owned(), "d".to_owned()].into());
        assert!(tree.meant_by("e").is_empty());
        assert_eq!(Tree::find_version(root.path()).unwrap(), "6.1");
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["/etc/x.ko", "../x.ko", "a//x.ko", "kernel/../../x.ko"] {
            let root = fake(&format!("{path}:\n"), "", "", "");
            let error = Tree::read(root.path(), "6.1").unwrap_err();
            assert!(matches!(error, TreeError::Index { line: 1, .. }), "{path}: {error}");
        }
        let root = fake("", "", "", "");
        assert!(matches!(Tree::read(root.path(), "../6.1"), Err(TreeError::NoModules { .. })));
    }

    #[test]
    fn a_root_has_one_kernel() {
        let root = fake("", "", "", "");
        fs::create_dir_all(root.path().join("usr/lib/modules/6.2/kernel")).unwrap();
        let error = Tree::find_version(root.path()).unwrap_err();
        assert!(error.to_string().contains("6.1, 6.2"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Tree::find_version(empty.path()), Err(TreeError::NoModules { .. })));
    }

    proptest! {
        #[test]
        fn no_index_panics(dep in ".{0,80}", alias in ".{0,80}", softdep in "softdep .{0,80}") {
            let root = fake("", "", &alias, &softdep);
            fs::write(root.path().join("usr/lib/modules/6.1/modules.dep"), dep).unwrap();
            let _ = Tree::read(root.path(), "6.1");
        }
    }
}
