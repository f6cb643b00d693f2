//! The extracted directory is the tree that the image was made of.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use stonecell_stemcell::extract::{ExtractError, extract};
use support::{Change, Made, make};

/// Everything that `extract` keeps, by path; hard links by the first of their names.
fn picture(root: &Path, var: Option<&Path>) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    walk(root, Path::new(""), var, &mut names, &mut found);
    found
}

fn walk(
    dir: &Path,
    name: &Path,
    var: Option<&Path>,
    names: &mut BTreeMap<u64, PathBuf>,
    found: &mut BTreeMap<PathBuf, String>,
) {
    let mut children: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    children.sort();
    for child in children {
        let member = name.join(&child);
        let path = match var {
            Some(var) if member == Path::new("var") => var.to_owned(),
            _ => dir.join(&child),
        };
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = if meta.is_dir() {
            "dir".to_owned()
        } else if meta.is_symlink() {
            format!("link {}", fs::read_link(&path).unwrap().display())
        } else if meta.is_file() {
            let first = names.entry(meta.ino()).or_insert_with(|| member.clone()).clone();
            let text = fs::read(&path).unwrap();
            let sum = text.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
            format!("file {} {sum} {}", text.len(), first.display())
        } else {
            format!("device {} {}", meta.file_type().is_fifo(), meta.rdev())
        };
        let mode = if meta.is_symlink() { 0 } else { meta.mode() };
        let mut names_of_attributes = vec![0; 4096];
        let length = rustix::fs::llistxattr(&path, &mut names_of_attributes).unwrap();
        let mut attributes = BTreeMap::new();
        for attribute in names_of_attributes[..length].split(|byte| *byte == 0) {
            if !attribute.is_empty() {
                let attribute = String::from_utf8(attribute.to_vec()).unwrap();
                let mut value = vec![0; 4096];
                let length = rustix::fs::lgetxattr(&path, &attribute, &mut value).unwrap();
                attributes.insert(attribute, value[..length].to_vec());
            }
        }
        let owner = format!("{}:{}", meta.uid(), meta.gid());
        found.insert(member.clone(), format!("{kind} {mode:o} {owner} {attributes:?}"));
        if meta.is_dir() {
            walk(&path, &member, var, names, found);
        }
    }
}

fn same(made: &Made, from: &Path) {
    let to = made.dir.path().join("extracted");
    let done = extract(from, &to, &|_| {}).unwrap();
    let (root, var) = made.trees();
    let wanted = picture(&root, Some(&var));
    let found = picture(&to, None);
    for (path, picture) in &wanted {
        assert_eq!(found.get(path), Some(picture), "{}", path.display());
    }
    assert_eq!(wanted.len(), found.len());
    assert_eq!(done.notes, Vec::<String>::new());
    assert_eq!(done.files + done.directories + done.others, found.len() as u64 + 1);
    fs::remove_dir_all(&to).unwrap();
}

#[test]
fn disks_stemcells_and_root_tars_come_out_as_they_went_in() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test compares owners and capabilities: run the tests as root"
    );
    let made = make(&Change::default());
    same(&made, &made.raw());
    same(&made, &made.out());
    same(&made, &made.tgz());
    same(&made, &made.warden());
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    let made = make(&Change::default());
    let to = made.dir.path().join("here");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("mine"), "x").unwrap();
    assert!(matches!(extract(&made.raw(), &to, &|_| {}), Err(ExtractError::NotEmpty { .. })));
    fs::remove_file(to.join("mine")).unwrap();
    assert!(extract(&made.light(), &to, &|_| {}).is_err());
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
    extract(&made.raw(), &to, &|_| {}).unwrap();
    let mut left: Vec<String> = fs::read_dir(made.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    left.sort();
    assert_eq!(left, Vec::<String>::new());
}
