//! The same packages, installed by dpkg and apt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stonecell_definition::lock::LockedPackage;

use crate::{Result, run};

/// As debootstrap and mmdebstrap do it: essential packages are extracted so that there is a shell and a
/// dpkg, then dpkg installs them, then apt installs everything.
pub(crate) fn install_by_dpkg(root: &Path, packages: &[(LockedPackage, PathBuf)]) -> Result<()> {
    std::fs::create_dir_all(root.join("debs"))?;
    for name in ["bin", "lib", "lib64", "sbin"] {
        std::fs::create_dir_all(root.join("usr").join(name))?;
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name))?;
    }
    for dir in ["info", "updates", "triggers", "alternatives", "parts"] {
        std::fs::create_dir_all(root.join("var/lib/dpkg").join(dir))?;
    }
    for file in ["status", "available"] {
        std::fs::write(root.join("var/lib/dpkg").join(file), "")?;
    }
    let mut files = Vec::new();
    for (_, path) in packages {
        let name = path.file_name().ok_or("no name")?.to_string_lossy().into_owned();
        std::fs::copy(path, root.join("debs").join(&name))?;
        files.push(format!("/debs/{name}"));
    }
    let essential = essential_closure(packages)?;
    let mut inside = Vec::new();
    for ((lock, path), file) in packages.iter().zip(&files) {
        if essential.contains(&lock.name) {
            let mut extract = Command::new("dpkg-deb")
                .arg("--fsys-tarfile")
                .arg(path)
                .stdout(Stdio::piped())
                .spawn()?;
            let tar = extract.stdout.take().ok_or("no pipe")?;
            let status = Command::new("tar")
                .args(["--extract", "--keep-directory-symlink", "--numeric-owner", "-C"])
                .arg(root)
                .stdin(tar)
                .status()?;
            if !status.success() || !extract.wait()?.success() {
                return Err(format!("cannot extract {file}").into());
            }
            inside.push(file.as_str());
        }
    }
    std::fs::write(root.join("usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.join("usr/sbin/policy-rc.d"), mode)?;
    let mut words = vec!["dpkg", "--force-depends", "--force-unsafe-io", "--install"];
    words.extend(inside);
    run(root, &words)?;
    let mut words = vec![
        "apt-get",
        "-y",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Dir::Etc::SourceList=/dev/null",
        "install",
    ];
    words.extend(files.iter().map(String::as_str));
    run(root, &words)?;
    std::fs::remove_dir_all(root.join("debs"))?;
    Ok(())
}

/// Names of the essential packages, apt, and all that they need, as apt's own tools of this machine see it.
fn essential_closure(packages: &[(LockedPackage, PathBuf)]) -> Result<BTreeSet<String>> {
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut provides: BTreeMap<String, String> = BTreeMap::new();
    for (lock, path) in packages {
        let field = |name: &str| -> Result<Vec<String>> {
            let output = Command::new("dpkg-deb").arg("--field").arg(path).arg(name).output()?;
            let text = String::from_utf8(output.stdout)?;
            let word = |part: &str| {
                part.split('|')
                    .map(|one| {
                        one.split([' ', '(', ':']).find(|w| !w.is_empty()).unwrap_or("").to_owned()
                    })
                    .collect::<Vec<_>>()
            };
            Ok(text
                .split([',', '\n'])
                .flat_map(|part| word(part.trim()))
                .filter(|w| !w.is_empty())
                .collect())
        };
        needs.insert(lock.name.clone(), [field("Depends")?, field("Pre-Depends")?].concat());
        provides.extend(field("Provides")?.into_iter().map(|name| (name, lock.name.clone())));
    }
    let mut todo: Vec<String> = packages
        .iter()
        .filter(|(lock, _)| lock.essential || lock.name == "apt")
        .map(|(lock, _)| lock.name.clone())
        .collect();
    let mut found = BTreeSet::new();
    while let Some(name) = todo.pop() {
        let name =
            if needs.contains_key(&name) { Some(name) } else { provides.get(&name).cloned() };
        if let Some(name) = name
            && found.insert(name.clone())
        {
            todo.extend(needs.get(&name).cloned().unwrap_or_default());
        }
    }
    Ok(found)
}
