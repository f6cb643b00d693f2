//! A root together with what several wants ask of it: accounts, packages, the whole tree. Each is read at most once.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::formats::{accounts, modprobe, sysctl, unit};
use crate::root::{Entry, Links, Root, RootError, walk};

/// Where systemd and its relatives look for a kind of settings, most important folder first.
pub(crate) const UNIT_FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];
pub(crate) const SYSTEMD_FOLDERS: [&str; 4] =
    ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];
const SYSCTL_FOLDERS: [&str; 4] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];
const MODPROBE_FOLDERS: [&str; 4] =
    ["/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d"];

/// Users and groups of the root itself.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) users: BTreeMap<String, u32>,
    pub(crate) groups: BTreeMap<String, u32>,
    pub(crate) uids: BTreeSet<u32>,
    pub(crate) gids: BTreeSet<u32>,
}

/// Answers that were computed once.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    accounts: OnceCell<Accounts>,
    tree: OnceCell<Vec<Entry>>,
    packages: OnceCell<Option<BTreeSet<String>>>,
    modules: OnceCell<BTreeMap<String, PathBuf>>,
    modprobe: OnceCell<Vec<(PathBuf, modprobe::Directive)>>,
    sysctl: OnceCell<Vec<sysctl::Assignment>>,
}

/// A root as the checks see it.
pub(crate) struct View<'a> {
    pub(crate) root: &'a dyn Root,
    pub(crate) cache: &'a Cache,
    pub(crate) setuid_allow: &'a [String],
}

fn once<T>(
    cell: &OnceCell<T>,
    compute: impl FnOnce() -> Result<T, RootError>,
) -> Result<&T, RootError> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = compute()?;
    Ok(cell.get_or_init(|| value))
}

impl<'a> View<'a> {
    /// Names and numbers of users and groups.
    pub(crate) fn accounts(&self) -> Result<&'a Accounts, RootError> {
        once(&self.cache.accounts, || {
            let mut found = Accounts::default();
            found.users.insert("root".to_owned(), 0);
            found.groups.insert("root".to_owned(), 0);
            for (file, names, ids) in [
                ("/etc/passwd", &mut found.users, &mut found.uids),
                ("/etc/group", &mut found.groups, &mut found.gids),
            ] {
                let text = self.root.text(Path::new(file))?.unwrap_or_default();
                for fields in text.lines().filter_map(accounts::fields) {
                    if let (Some(name), Some(Ok(id))) =
                        (fields.first(), fields.get(2).map(|id| id.parse()))
                    {
                        names.insert((*name).to_owned(), id);
                        ids.insert(id);
                    }
                }
            }
            Ok(found)
        })
    }

    /// Everything on the root's file system.
    pub(crate) fn tree(&self) -> Result<&'a [Entry], RootError> {
        once(&self.cache.tree, || walk(self.root, Path::new("/"))).map(Vec::as_slice)
    }

    /// Names of the installed packages; `None` when the root has no dpkg database.
    pub(crate) fn packages(&self) -> Result<Option<&'a BTreeSet<String>>, RootError> {
        once(&self.cache.packages, || {
            for place in ["/var/lib/dpkg/status", "/usr/lib/stonecell/dpkg/status"] {
                if let Some(bytes) = self.root.read(Path::new(place))? {
                    return Ok(Some(installed(&String::from_utf8_lossy(&bytes))));
                }
            }
            Ok(None)
        })
        .map(Option::as_ref)
    }

    /// Kernel modules on the disk by canonical name, those built into the kernel too.
    pub(crate) fn modules(&self) -> Result<&'a BTreeMap<String, PathBuf>, RootError> {
        once(&self.cache.modules, || {
            let mut found = BTreeMap::new();
            let top = Path::new("/usr/lib/modules");
            for entry in walk(self.root, top)? {
                if let Some(name) = module_name(&entry.path) {
                    found.insert(name, entry.path);
                }
            }
            for version in self.root.list(top)?.unwrap_or_default() {
                let list = top.join(version).join("modules.builtin");
                for line in self.root.text(&list)?.unwrap_or_default().lines() {
                    if let Some(name) = module_name(Path::new(line)) {
                        found.insert(name, list.clone());
                    }
                }
            }
            Ok(found)
        })
    }

    /// All directives of modprobe.d in the order in which modprobe reads them.
    pub(crate) fn modprobe(&self) -> Result<&'a [(PathBuf, modprobe::Directive)], RootError> {
        once(&self.cache.modprobe, || {
            let mut all = Vec::new();
            for (file, text) in self.drop_ins(&MODPROBE_FOLDERS, ".conf")? {
                let directives = modprobe::parse(&text).into_iter();
                all.extend(directives.map(|directive| (file.clone(), directive)));
            }
            Ok(all)
        })
        .map(Vec::as_slice)
    }

    /// All assignments of sysctl.d in order of precedence.
    pub(crate) fn sysctl(&self) -> Result<&'a [sysctl::Assignment], RootError> {
        once(&self.cache.sysctl, || {
            let mut all = Vec::new();
            for (file, text) in self.drop_ins(&SYSCTL_FOLDERS, ".conf")? {
                all.extend(sysctl::parse(&text, &file));
            }
            Ok(all)
        })
        .map(Vec::as_slice)
    }

    /// Files of drop-in folders, sorted by name; a name counts from the first folder that has it, and a link to /dev/null
    /// silences it. Text that is not UTF-8 is read as far as it goes.
    pub(crate) fn drop_ins<P: AsRef<Path>>(
        &self,
        folders: &[P],
        suffix: &str,
    ) -> Result<Vec<(PathBuf, String)>, RootError> {
        let mut chosen: BTreeMap<OsString, PathBuf> = BTreeMap::new();
        for folder in folders {
            for name in self.root.list(folder.as_ref())?.unwrap_or_default() {
                if name.to_string_lossy().ends_with(suffix) {
                    let path = folder.as_ref().join(&name);
                    chosen.entry(name).or_insert(path);
                }
            }
        }
        let mut files = Vec::new();
        for path in chosen.into_values() {
            if self.root.read_link(&path)?.is_some_and(|target| target == Path::new("/dev/null")) {
                continue;
            }
            if let Some(bytes) = self.root.read(&path)? {
                files.push((path, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        Ok(files)
    }

    /// Where the fragment of a unit is, the template for an instance; `None` when the unit does not exist or is masked.
    pub(crate) fn unit_fragment(&self, name: &str) -> Result<Option<PathBuf>, RootError> {
        let template = name
            .split_once('@')
            .and_then(|(front, behind)| Some(format!("{front}@.{}", behind.rsplit_once('.')?.1)));
        for name in std::iter::once(name.to_owned()).chain(template) {
            for folder in UNIT_FOLDERS {
                let path = Path::new(folder).join(&name);
                match self.root.read_link(&path)? {
                    Some(target) if target == Path::new("/dev/null") => return Ok(None),
                    _ => {}
                }
                if self.root.status(&path, Links::Follow)?.is_some() {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }

    /// All assignments of a unit: its fragment, then its drop-ins, as systemd.unit(5) merges them. With where each stands.
    pub(crate) fn unit_settings(
        &self,
        name: &str,
        fragment: &Path,
    ) -> Result<Vec<(PathBuf, unit::Assignment)>, RootError> {
        let mut all = Vec::new();
        if let Some(bytes) = self.root.read(fragment)? {
            all.extend(placed(fragment, &String::from_utf8_lossy(&bytes)));
        }
        // More particular folders come first, because a name counts from the first folder that has it.
        let mut levels = vec![format!("{name}.d")];
        let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
        if let Some((front, instance)) = stem.split_once('@')
            && !instance.is_empty()
        {
            levels.push(format!("{front}@.{kind}.d"));
        }
        let mut front = stem;
        while let Some((shorter, _)) = front.trim_end_matches('-').rsplit_once('-') {
            levels.push(format!("{shorter}-.{kind}.d"));
            front = shorter;
        }
        levels.push(format!("{kind}.d"));
        let folders: Vec<PathBuf> = levels
            .iter()
            .flat_map(|level| UNIT_FOLDERS.iter().map(move |folder| Path::new(folder).join(level)))
            .collect();
        for (file, text) in self.drop_ins(&folders, ".conf")? {
            all.extend(placed(&file, &text));
        }
        Ok(all)
    }

    /// All assignments of `/etc/systemd/FILE` and its drop-ins.
    pub(crate) fn systemd_settings(
        &self,
        file: &str,
    ) -> Result<Vec<(PathBuf, unit::Assignment)>, RootError> {
        let mut all = Vec::new();
        for folder in SYSTEMD_FOLDERS {
            let path = Path::new(folder).join(file);
            if let Some(bytes) = self.root.read(&path)? {
                all.extend(placed(&path, &String::from_utf8_lossy(&bytes)));
                break;
            }
        }
        let folders = SYSTEMD_FOLDERS.map(|folder| Path::new(folder).join(format!("{file}.d")));
        for (file, text) in self.drop_ins(&folders, ".conf")? {
            all.extend(placed(&file, &text));
        }
        Ok(all)
    }
}

fn placed(file: &Path, text: &str) -> Vec<(PathBuf, unit::Assignment)> {
    unit::parse(text).into_iter().map(|assignment| (file.to_owned(), assignment)).collect()
}

/// Packages of a dpkg status file that are installed, without their architecture.
fn installed(status: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut name = None;
    for line in status.lines() {
        if let Some(value) = line.strip_prefix("Package:") {
            name = Some(value.trim());
        } else if let Some(value) = line.strip_prefix("Status:") {
            let last = value.split_whitespace().last();
            if !matches!(last, Some("not-installed" | "config-files")) {
                found.extend(name.map(str::to_owned));
            }
        } else if line.is_empty() {
            name = None;
        }
    }
    found
}

/// The canonical name of a module file (`x-y.ko.xz` is `x_y`).
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (stem, end) = name.split_once(".ko")?;
    matches!(end, "" | ".xz" | ".zst" | ".gz").then(|| modprobe::canonical(stem))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{installed, module_name};

    #[test]
    fn only_installed_packages_count() {
        let status = "Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: deinstall ok config-files\n\n";
        assert_eq!(installed(status).into_iter().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn module_files_have_names() {
        assert_eq!(module_name(Path::new("/a/usb-storage.ko.xz")).as_deref(), Some("usb_storage"));
        assert_eq!(module_name(Path::new("/a/modules.dep")), None);
    }
}
