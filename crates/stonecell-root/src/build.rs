//! From packages to a configured, clean root: the order of the steps.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use stonecell_definition::lock::LockedPackage;
use thiserror::Error;

use crate::clean::{self, CleanError};
use crate::control::ControlError;
use crate::database;
use crate::filter::{Filter, PatternError};
use crate::layout::{Conffiles, Layout, LayoutError, Node};
use crate::package::Package;
use crate::scripts::{self, ScriptError};
use crate::store::{Store, StoreError};
use crate::synthetic::Synthetic;
use crate::tree::Tree;
use crate::unpack::{self, UnpackError};
use crate::waves::{Graph, WaveError};

/// What to build.
#[derive(Debug, Clone)]
pub struct RootSpec {
    /// An empty directory for the tree.
    pub target: PathBuf,
    /// The locked packages and their .deb files.
    pub packages: Vec<(LockedPackage, PathBuf)>,
    /// Packages that the build makes itself.
    pub synthetic: Vec<Synthetic>,
    /// Seconds since 1970: no time in the tree is later.
    pub epoch: i64,
    /// dpkg `path-exclude` patterns, for example `/usr/share/doc/*`.
    pub path_exclude: Vec<String>,
    /// dpkg `path-include` patterns that take some of them back.
    pub path_include: Vec<String>,
    /// Where the dpkg database moves to, with a link from `var/lib/dpkg`; without a leading slash.
    pub database: Option<String>,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootReport {
    /// Packages in the tree.
    pub packages: usize,
    /// How many were converted to the fast form in this run.
    pub converted: usize,
    /// Bytes of all regular files of the packages, before exclusions.
    pub unpacked: u64,
    /// How many times packages were unpacked together.
    pub waves: usize,
}

/// Progress of [`build_root`].
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A package is ready to be unpacked; comes from several threads.
    Loaded {
        /// Its name.
        package: &'a str,
        /// Whether it had to be converted first.
        converted: bool,
    },
    /// A wave is being written.
    Unpacking {
        /// Packages in it.
        packages: usize,
    },
    /// A package's preinst runs.
    Preparing(&'a str),
    /// dpkg configures a package.
    Configuring(&'a str),
    /// dpkg runs a package's triggers.
    Triggers(&'a str),
    /// The cleaning has begun.
    Cleaning,
}

/// Why a root could not be built.
#[derive(Debug, Error)]
pub enum RootError {
    /// The target is not an empty directory.
    #[error("`{0}` is not an empty directory")]
    Target(PathBuf),
    /// A path in the tree.
    #[error("cannot {what} in the tree")]
    Tree {
        /// Which step.
        what: String,
        /// The reason.
        source: io::Error,
    },
    /// A package file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A package made by the build.
    #[error("the build's own package `{name}` is wrong")]
    Synthetic {
        /// Its name.
        name: String,
        /// Why.
        source: ControlError,
    },
    /// An exclusion.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// The order.
    #[error(transparent)]
    Wave(#[from] WaveError),
    /// Conflicting files.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Writing.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// A script.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// Cleaning.
    #[error(transparent)]
    Clean(#[from] CleanError),
}

/// Builds a root. Call it inside the namespace of [`crate::sandbox::respawn`].
///
/// # Errors
/// [`RootError`]; the target is then to be thrown away.
pub fn build_root(
    spec: &RootSpec,
    store: &Store,
    progress: &(dyn Fn(Event<'_>) + Sync),
) -> Result<RootReport, RootError> {
    let empty = std::fs::read_dir(&spec.target).is_ok_and(|mut names| names.next().is_none());
    if !empty {
        return Err(RootError::Target(spec.target.clone()));
    }
    let filter = Filter::new(&spec.path_exclude, &spec.path_include)?;
    let converted = std::sync::atomic::AtomicUsize::new(0);
    let mut all = store.packages(&spec.packages, &|lock, new| {
        converted.fetch_add(usize::from(new), std::sync::atomic::Ordering::Relaxed);
        progress(Event::Loaded { package: &lock.name, converted: new });
    })?;
    for synthetic in &spec.synthetic {
        all.push(
            synthetic
                .to_package(spec.epoch)
                .map_err(|source| RootError::Synthetic { name: synthetic.name.clone(), source })?,
        );
    }
    let graph = Graph::new(&all)?;
    let tree = Tree::open(&spec.target).map_err(tree_error("open the root"))?;
    let dpkg = all.iter().find(|package| package.name == "dpkg");
    let mut build = Build {
        spec,
        tree: &tree,
        all: &all,
        filter: &filter,
        progress,
        layout: Layout::default(),
        unpacked: BTreeSet::new(),
        configured: BTreeSet::new(),
        dpkg_version: dpkg.map_or_else(String::new, |package| package.version.clone()),
        waves: 0,
    };
    build.prepare()?;
    build.install(&graph)?;
    progress(Event::Cleaning);
    build.finish()?;
    Ok(RootReport {
        packages: all.len(),
        converted: converted.into_inner(),
        unpacked: all.iter().map(Package::unpacked_size).sum(),
        waves: build.waves,
    })
}

fn tree_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> RootError {
    |source| RootError::Tree { what: what.into(), source }
}

/// Debian since 12 and Ubuntu since 20.04 have one hierarchy: deb-packages of both still ship `/bin`
/// and `/lib` paths, so the links must be there before the first file.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
/// Answers invoke-rc.d and deb-systemd-invoke: start nothing.
const POLICY: &str = "usr/sbin/policy-rc.d";
/// openssh-server's postinst makes no key where a file of that name is; [`clean`] removes them.
const HOST_KEYS: [&str; 4] = ["dsa", "ecdsa", "ed25519", "rsa"];

struct Build<'a> {
    spec: &'a RootSpec,
    tree: &'a Tree,
    all: &'a [Package],
    filter: &'a Filter,
    progress: &'a (dyn Fn(Event<'_>) + Sync),
    layout: Layout,
    unpacked: BTreeSet<usize>,
    configured: BTreeSet<usize>,
    dpkg_version: String,
    waves: usize,
}

impl Build<'_> {
    /// What must be there before the first package.
    fn prepare(&self) -> Result<(), RootError> {
        let tree = self.tree;
        let make = || -> io::Result<()> {
            rustix::fs::chmod(tree.path(), rustix::fs::Mode::from_raw_mode(0o755))?;
            for name in MERGED {
                tree.make_dirs(&format!("usr/{name}"))?;
                tree.symlink(&format!("usr/{name}"), name)?;
            }
            database::create(tree)?;
            tree.write(POLICY, b"#!/bin/sh\nexit 101\n", 0o755)?;
            if self.all.iter().any(|package| package.name == "openssh-server") {
                tree.make_dirs("etc/ssh")?;
                for kind in HOST_KEYS {
                    tree.write(&format!("etc/ssh/ssh_host_{kind}_key"), b"", 0o600)?;
                }
            }
            if !self.filter.is_empty() {
                tree.make_dirs("etc/dpkg/dpkg.cfg.d")?;
                let config = self.filter.to_dpkg_config();
                tree.write("etc/dpkg/dpkg.cfg.d/stonecell", config.as_bytes(), 0o644)?;
            }
            Ok(())
        };
        make().map_err(tree_error("make the first directories"))
    }

    fn install(&mut self, graph: &Graph) -> Result<(), RootError> {
        // The first wave has no shell to run a preinst with until it is unpacked, so its scripts come
        // after its files; debootstrap and mmdebstrap do the same.
        let first = graph.first_wave();
        self.control_files(&first)?;
        self.unpack(&first, Conffiles::Both)?;
        self.preinsts(&first)?;
        self.configure_first(&first)?;

        let mut waiting: BTreeSet<usize> = (0..self.all.len()).collect();
        waiting.retain(|at| !first.contains(at));
        while !waiting.is_empty() {
            let ready = graph.ready(&waiting, &self.configured);
            if !ready.is_empty() {
                self.control_files(&ready)?;
                self.preinsts(&ready)?;
                self.unpack(&ready, Conffiles::Pending)?;
                waiting.retain(|at| !ready.contains(at));
            }
            if waiting.is_empty() {
                break;
            }
            let blocking = graph.blocking(&waiting, &self.unpacked, &self.configured);
            if blocking.is_empty() && ready.is_empty() {
                let names: Vec<_> = self.names(&waiting).collect();
                return Err(WaveError::Stuck(names.join(", ")).into());
            }
            self.configure(&blocking, &["--no-triggers"])?;
        }
        self.dpkg(&["--configure", "--pending"])?;
        Ok(())
    }

    fn names(&self, of: &BTreeSet<usize>) -> impl Iterator<Item = String> {
        of.iter().filter_map(|at| self.all.get(*at)).map(Package::info_stem)
    }

    fn packages(&self, of: &BTreeSet<usize>) -> impl Iterator<Item = &Package> {
        of.iter().filter_map(|at| self.all.get(*at))
    }

    fn control_files(&self, wave: &BTreeSet<usize>) -> Result<(), RootError> {
        for package in self.packages(wave) {
            database::write_control_files(self.tree, package)
                .map_err(tree_error(format!("write the scripts of `{}`", package.name)))?;
        }
        Ok(())
    }

    fn preinsts(&self, wave: &BTreeSet<usize>) -> Result<(), RootError> {
        // base-passwd's makes the user list that all others may use.
        let mut order: Vec<&Package> =
            self.packages(wave).filter(|package| package.file("preinst").is_some()).collect();
        order.sort_by_key(|package| package.name != "base-passwd");
        for package in order {
            (self.progress)(Event::Preparing(&package.name));
            scripts::preinst(self.tree, package, &self.dpkg_version, self.spec.epoch)?;
        }
        Ok(())
    }

    fn unpack(&mut self, wave: &BTreeSet<usize>, conffiles: Conffiles) -> Result<(), RootError> {
        (self.progress)(Event::Unpacking { packages: wave.len() });
        self.waves += 1;
        let (tree, all) = (self.tree, self.all);
        let order: Vec<usize> = wave.iter().copied().collect();
        let rules = database::read_rules(tree).map_err(tree_error("read the user lists"))?;
        let probe = |path: &str| -> io::Result<Node> {
            use rustix::fs::FileType;
            Ok(match tree.status(path)?.map(|status| status.kind) {
                None => Node::Nothing,
                Some(FileType::Directory) => Node::Directory,
                Some(FileType::Symlink) => Node::Link(tree.read_link(path)?),
                Some(_) => Node::File,
            })
        };
        let plan = self.layout.plan(all, &order, &rules, self.filter, conffiles, &probe)?;
        unpack::write(tree, all, &plan)?;

        let recorded = || -> io::Result<()> {
            let mut unpacked = Vec::new();
            for here in &plan.packages {
                let Some(package) = all.get(here.package) else { continue };
                database::write_file_lists(tree, package, here)?;
                unpacked.push((package, here));
            }
            let mut lost: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
            for (at, path) in &plan.lost {
                lost.entry(*at).or_default().insert(path.clone());
            }
            for (at, paths) in &lost {
                if let Some(package) = all.get(*at) {
                    database::forget_files(tree, package, paths)?;
                }
            }
            let configured: Vec<&Package> = self.packages(&self.configured).collect();
            database::add_triggers(tree, &unpacked, &configured)?;
            database::add_to_status(tree, self.packages(wave))
        };
        recorded().map_err(tree_error("write the dpkg database"))?;
        self.unpacked.extend(wave);
        Ok(())
    }

    fn configure_first(&mut self, first: &BTreeSet<usize>) -> Result<(), RootError> {
        // Older base-passwd makes the user list in its postinst, which others need before their own.
        let users = self.tree.exists("etc/passwd").map_err(tree_error("look at /etc/passwd"))?;
        if !users {
            self.dpkg(&["--force-depends", "--no-triggers", "--configure", "base-passwd"])?;
        }
        self.configure(first, &["--no-triggers"])
    }

    fn configure(&mut self, of: &BTreeSet<usize>, options: &[&str]) -> Result<(), RootError> {
        let names: Vec<String> = self.names(of).collect();
        let mut args = options.to_vec();
        args.push("--configure");
        args.extend(names.iter().map(String::as_str));
        if !names.is_empty() {
            self.dpkg(&args)?;
        }
        self.configured.extend(of);
        Ok(())
    }

    fn dpkg(&self, args: &[&str]) -> Result<(), RootError> {
        let mut on_line = |line: &str| {
            if let Some(rest) = line.strip_prefix("Setting up ") {
                (self.progress)(Event::Configuring(rest.split(' ').next().unwrap_or(rest)));
            } else if let Some(rest) = line.strip_prefix("Processing triggers for ") {
                (self.progress)(Event::Triggers(rest.split(' ').next().unwrap_or(rest)));
            }
        };
        Ok(scripts::dpkg(self.tree, args, self.spec.epoch, &mut on_line)?)
    }

    fn finish(&self) -> Result<(), RootError> {
        self.tree.remove_file(POLICY).map_err(tree_error("remove the start policy"))?;
        if let Some(to) = &self.spec.database {
            clean::move_database(self.tree, to)?;
        }
        clean::clean(self.tree, self.filter, self.spec.epoch)?;
        Ok(())
    }
}
