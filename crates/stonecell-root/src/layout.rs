//! Where every entry of every package goes: decided before anything is written.
//!
//! dpkg unpacks one package after another and finds conflicts on the disk. Here the same rules are
//! applied to the lists of entries, in the same order, so that the writing can be done by all
//! processors at once and in any order. Rules (dpkg 1.21, src/main/archives.c, `tarobject`):
//!
//! * a directory that exists (also through a link) stays as it is; the first package decides its mode;
//! * a link where a directory stands is not made;
//! * a file that another package owns is taken over by a package that `Replaces` it, is left alone if
//!   the other one replaces this, and is an error otherwise;
//! * a diverted file goes to the diversion; an overridden one gets the override's owner and mode;
//! * a configuration file gets the suffix `.dpkg-new` and waits for `dpkg --configure`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;

use thiserror::Error;

use crate::filter::Filter;
use crate::package::Package;
use crate::tarball::{Entry, Kind};
use crate::tree::join;

/// Why packages cannot be laid out together.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// Two owners.
    #[error(
        "`/{path}` is in `{package}` and in `{other}`, and neither declares that it replaces the other"
    )]
    Conflict {
        /// The file.
        path: String,
        /// The later package.
        package: String,
        /// The earlier package.
        other: String,
    },
    /// A file where a directory is, or the other way round.
    #[error("`{package}` ships `/{path}` as a {kind}, but something else is there already")]
    WrongType {
        /// The path.
        path: String,
        /// The package.
        package: String,
        /// `file` or `directory`.
        kind: &'static str,
    },
    /// A link on the way leads out of the root, or round in a circle.
    #[error(
        "`{package}` ships `/{path}`, which goes through the link `/{link}` -> `{target}` {why}"
    )]
    Escape {
        /// The path.
        path: String,
        /// The package.
        package: String,
        /// The link.
        link: String,
        /// Where it points.
        target: String,
        /// `that leaves the root` or `that never ends`.
        why: &'static str,
    },
    /// A hard link to something the package does not contain before it.
    #[error(
        "`{package}` ships `/{path}` as a hard link to `/{target}`, which it does not contain before it"
    )]
    Hardlink {
        /// The path.
        path: String,
        /// The package.
        package: String,
        /// The missing one.
        target: String,
    },
    /// A relation in its control file.
    #[error("a relation of `{package}` cannot be read")]
    Relation {
        /// The package.
        package: String,
        /// Why.
        source: crate::control::ControlError,
    },
    /// The tree could not be asked.
    #[error("cannot look at `/{path}` in the tree")]
    Probe {
        /// The path.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Link(String),
    /// Anything else.
    File,
}

/// Looks at a path (resolved, so no link on the way) in the tree as it is now.
pub(crate) type Probe<'a> = &'a dyn Fn(&str) -> io::Result<Node>;

/// What the root's own databases say about names and files.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// User names to ids, from the root's passwd(5).
    pub users: HashMap<String, u32>,
    /// Group names to ids.
    pub groups: HashMap<String, u32>,
    /// Diverted path to (new path, package whose file stays; empty for a local diversion).
    pub diversions: HashMap<String, (String, String)>,
    /// Path to (user id, group id, mode).
    pub overrides: HashMap<String, (u32, u32, u32)>,
}

/// A place for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Path without links on the way.
    pub path: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
}

/// What one package puts on the disk.
#[derive(Debug, Default)]
pub(crate) struct PackagePlan {
    /// Position in the list of packages.
    pub package: usize,
    /// Entry with content, to the places of that content.
    pub files: BTreeMap<usize, Vec<Place>>,
    /// Symbolic links and their targets.
    pub symlinks: Vec<(Place, String)>,
    /// Hard links: where, and the path of the existing name.
    pub hardlinks: Vec<(String, String)>,
    /// Lines of `info/*.list`, without the leading slash.
    pub list: Vec<String>,
    /// Lines that `md5sums` must not have, because the files are left out.
    pub excluded: Vec<String>,
}

/// Everything to do for one wave of packages.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// New directories, parents first.
    pub dirs: Vec<Place>,
    /// By package, in order.
    pub packages: Vec<PackagePlan>,
    /// Files that an earlier package lost to a later one: (package, path).
    pub lost: Vec<(usize, String)>,
}

/// The state that grows from wave to wave.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Path as listed, to the package that owns it.
    owners: HashMap<String, usize>,
    /// What stands where, as far as it was asked or planned.
    nodes: HashMap<String, Node>,
}

/// How a wave treats configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conffiles {
    /// As `.dpkg-new` only.
    Pending,
    /// Also under their own names: the first wave's scripts run before anything is configured.
    Both,
}

const MOST_LINKS: usize = 40;

impl Layout {
    /// Plans a wave: `wave` are positions in `all`, in the order in which dpkg would unpack them.
    ///
    /// # Errors
    /// [`LayoutError`]; the layout is then not to be used further.
    pub(crate) fn plan(
        &mut self,
        all: &[Package],
        wave: &[usize],
        rules: &Rules,
        filter: &Filter,
        conffiles: Conffiles,
        probe: Probe<'_>,
    ) -> Result<Plan, LayoutError> {
        // Scripts may have changed anything since the last wave.
        self.nodes.clear();
        let mut plan = Plan::default();
        // Where a path of this wave is planned, so that a later package can take it over.
        let mut planned: HashMap<String, (usize, usize)> = HashMap::new();
        for at in wave {
            let Some(package) = all.get(*at) else { continue };
            let mut pass = Pass {
                layout: self,
                all,
                at: *at,
                package,
                rules,
                filter,
                conffiles,
                probe,
                pending: package.conffiles().into_iter().map(|c| c.path).collect(),
                placed: HashMap::new(),
                here: PackagePlan { package: *at, ..PackagePlan::default() },
                plan: &mut plan,
                planned: &mut planned,
            };
            for (index, entry) in package.description.entries.iter().enumerate() {
                pass.entry(index, entry)?;
            }
            let here = pass.here;
            plan.packages.push(here);
        }
        Ok(plan)
    }

    fn node(&mut self, path: &str, probe: Probe<'_>) -> Result<Node, LayoutError> {
        if path.is_empty() {
            return Ok(Node::Directory);
        }
        if let Some(node) = self.nodes.get(path) {
            return Ok(node.clone());
        }
        let node =
            probe(path).map_err(|source| LayoutError::Probe { path: path.to_owned(), source })?;
        self.nodes.insert(path.to_owned(), node.clone());
        Ok(node)
    }
}

/// One package of a wave.
struct Pass<'a> {
    layout: &'a mut Layout,
    all: &'a [Package],
    at: usize,
    package: &'a Package,
    rules: &'a Rules,
    filter: &'a Filter,
    conffiles: Conffiles,
    probe: Probe<'a>,
    pending: std::collections::HashSet<String>,
    /// Path as listed, to (path on the disk, entry that has the content).
    placed: HashMap<String, (String, usize)>,
    here: PackagePlan,
    plan: &'a mut Plan,
    /// Path on the disk, to (position in `plan.packages`, entry).
    planned: &'a mut HashMap<String, (usize, usize)>,
}

impl Pass<'_> {
    fn entry(&mut self, index: usize, entry: &Entry) -> Result<(), LayoutError> {
        if entry.kind == Kind::Directory {
            self.here.list.push(entry.path.clone());
            return self.directory(entry);
        }
        if self.filter.excludes(&entry.path) {
            self.here.excluded.push(entry.path.clone());
            // Its content may still be wanted by a hard link.
            self.placed.insert(entry.path.clone(), (String::new(), index));
            return Ok(());
        }
        let diverted = match self.rules.diversions.get(&entry.path) {
            Some((to, owner)) if *owner != self.package.name => Some(to.clone()),
            _ => None,
        };
        let literal = diverted.as_deref().unwrap_or(&entry.path);
        let (dir, name) = literal.rsplit_once('/').unwrap_or(("", literal));
        let dir = self.resolve(dir, &entry.path)?;
        let path = join(&dir, name);
        let standing = self.layout.node(&path, self.probe)?;
        if standing == Node::Directory {
            if matches!(entry.kind, Kind::Symlink { .. }) {
                self.here.list.push(entry.path.clone());
                return Ok(());
            }
            return Err(self.wrong_type(entry, "file"));
        }
        if !self.take(literal, &entry.path)? {
            // The other package keeps the file; a hard link may still want the content.
            self.placed.insert(entry.path.clone(), (String::new(), index));
            return Ok(());
        }
        self.here.list.push(entry.path.clone());
        self.supersede(&path);
        self.planned.insert(path.clone(), (self.plan.packages.len(), index));
        let place = self.place(entry, path.clone());
        match &entry.kind {
            Kind::Directory => {}
            Kind::Symlink { target } => {
                self.layout.nodes.insert(path, Node::Link(target.clone()));
                self.here.symlinks.push((place, target.clone()));
            }
            Kind::File { .. } => {
                let is_conffile = self.pending.contains(&entry.path);
                self.layout.nodes.insert(path.clone(), Node::File);
                let mut places = Vec::new();
                if is_conffile {
                    places.push(Place { path: format!("{path}.dpkg-new"), ..place.clone() });
                }
                if !is_conffile || self.conffiles == Conffiles::Both {
                    places.push(place);
                }
                let first = places.first().map(|place| place.path.clone()).unwrap_or_default();
                self.placed.insert(entry.path.clone(), (first, index));
                self.here.files.entry(index).or_default().extend(places);
            }
            Kind::Hardlink { target } => {
                let (existing, content) =
                    self.placed.get(target).cloned().ok_or_else(|| LayoutError::Hardlink {
                        path: entry.path.clone(),
                        package: self.package.name.clone(),
                        target: target.clone(),
                    })?;
                self.layout.nodes.insert(path.clone(), Node::File);
                if existing.is_empty() {
                    // The other name is not on the disk, so this one gets the content.
                    self.placed.insert(entry.path.clone(), (path, content));
                    self.here.files.entry(content).or_default().push(place);
                } else {
                    self.placed.insert(entry.path.clone(), (existing.clone(), content));
                    self.here.hardlinks.push((path, existing));
                }
            }
        }
        Ok(())
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), LayoutError> {
        let path = self.resolve(&entry.path, &entry.path)?;
        match self.layout.node(&path, self.probe)? {
            Node::Directory => Ok(()),
            Node::Nothing => {
                self.layout.nodes.insert(path.clone(), Node::Directory);
                let place = self.place(entry, path);
                self.plan.dirs.push(place);
                Ok(())
            }
            Node::Link(_) | Node::File => Err(self.wrong_type(entry, "directory")),
        }
    }

    fn wrong_type(&self, entry: &Entry, kind: &'static str) -> LayoutError {
        let (path, package) = (entry.path.clone(), self.package.name.clone());
        LayoutError::WrongType { path, package, kind }
    }

    fn place(&self, entry: &Entry, path: String) -> Place {
        let id = |names: &HashMap<String, u32>, name: &str, number| {
            names.get(name).copied().unwrap_or(number)
        };
        let uid = id(&self.rules.users, &entry.user, entry.uid);
        let gid = id(&self.rules.groups, &entry.group, entry.gid);
        let (uid, gid, mode) =
            self.rules.overrides.get(&entry.path).copied().unwrap_or((uid, gid, entry.mode));
        Place { path, uid, gid, mode, mtime: entry.mtime }
    }

    /// Settles who owns a path; false if this package must leave it alone.
    fn take(&mut self, literal: &str, listed: &str) -> Result<bool, LayoutError> {
        let Some(other) = self.layout.owners.get(literal).copied().filter(|at| *at != self.at)
        else {
            self.layout.owners.insert(literal.to_owned(), self.at);
            return Ok(true);
        };
        let Some(owner) = self.all.get(other) else { return Ok(true) };
        if replaces(self.package, owner)? {
            self.layout.owners.insert(literal.to_owned(), self.at);
            self.plan.lost.push((other, listed.to_owned()));
            Ok(true)
        } else if replaces(owner, self.package)? {
            Ok(false)
        } else {
            Err(LayoutError::Conflict {
                path: literal.to_owned(),
                package: self.package.name.clone(),
                other: owner.name.clone(),
            })
        }
    }

    /// Drops what an earlier package of this wave planned for the same place: the later one wins.
    fn supersede(&mut self, path: &str) {
        let Some((package, entry)) = self.planned.remove(path) else { return };
        // A package that names a path twice is its own predecessor.
        let earlier = match self.plan.packages.get_mut(package) {
            Some(earlier) => earlier,
            None => &mut self.here,
        };
        if let Some(places) = earlier.files.get_mut(&entry) {
            let new = format!("{path}.dpkg-new");
            places.retain(|place| place.path != path && place.path != new);
        }
        earlier.symlinks.retain(|(place, _)| place.path != path);
        earlier.hardlinks.retain(|(link, _)| link != path);
    }

    /// A directory's path with every link followed, inside the root.
    fn resolve(&mut self, dir: &str, listed: &str) -> Result<String, LayoutError> {
        let mut todo: VecDeque<String> =
            dir.split('/').filter(|c| !c.is_empty()).map(str::to_owned).collect();
        let (mut at, mut links) = (String::new(), 0);
        // The last link followed, for the message.
        let mut last = (String::new(), String::new());
        while let Some(component) = todo.pop_front() {
            let escape = |last: &(String, String), why| LayoutError::Escape {
                path: listed.to_owned(),
                package: self.package.name.clone(),
                link: last.0.clone(),
                target: last.1.clone(),
                why,
            };
            if component == ".." {
                if at.is_empty() {
                    return Err(escape(&last, "that leaves the root"));
                }
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            let next = join(&at, &component);
            match self.layout.node(&next, self.probe)? {
                Node::Link(target) => {
                    links += 1;
                    last = (next, target.clone());
                    if links > MOST_LINKS {
                        return Err(escape(&last, "that never ends"));
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    for part in target.split('/').rev().filter(|part| !matches!(*part, "" | ".")) {
                        todo.push_front(part.to_owned());
                    }
                }
                Node::Directory | Node::Nothing | Node::File => at = next,
            }
        }
        Ok(at)
    }
}

fn replaces(package: &Package, other: &Package) -> Result<bool, LayoutError> {
    let groups = package
        .relations("Replaces")
        .map_err(|source| LayoutError::Relation { package: package.name.clone(), source })?;
    Ok(groups.iter().flatten().any(|r| r.name == other.name && r.allows(&other.version)))
}

#[cfg(test)]
mod tests;
