//! The rules of dpkg's `tarobject`, one by one, on packages made of lists.

use super::*;
use crate::control::Stanza;
use crate::deb::ControlFile;
use crate::package::{Content, Description};

fn package(name: &str, extra: &[(&str, &str)], entries: &[(&str, Kind)]) -> Package {
    let mut fields = vec![
        ("Package".to_owned(), name.to_owned()),
        ("Version".to_owned(), "2.0".to_owned()),
        ("Architecture".to_owned(), "all".to_owned()),
    ];
    let mut files = Vec::new();
    for (field, value) in extra {
        if *field == "conffiles" {
            let data = value.as_bytes().to_vec();
            files.push(ControlFile { name: "conffiles".into(), mode: 0o644, data });
        } else {
            fields.push(((*field).to_owned(), (*value).to_owned()));
        }
    }
    let entries = entries
        .iter()
        .map(|(path, kind)| Entry {
            path: (*path).to_owned(),
            kind: kind.clone(),
            mode: 0o755,
            uid: 0,
            gid: 9,
            user: "root".into(),
            group: "shadow".into(),
            mtime: 1,
        })
        .collect();
    let description =
        Description { control: Stanza { fields }, files, entries, pieces: Vec::new() };
    Package::new(description, Content::Memory(Vec::new())).unwrap()
}

fn file() -> Kind {
    Kind::File { size: 1 }
}

fn link(target: &str) -> Kind {
    Kind::Symlink { target: target.to_owned() }
}

/// The usr-merged skeleton that every build starts with.
fn skeleton(path: &str) -> io::Result<Node> {
    Ok(match path {
        "bin" => Node::Link("usr/bin".into()),
        "usr" | "usr/bin" | "etc" => Node::Directory,
        _ => Node::Nothing,
    })
}

fn plan(all: &[Package], rules: &Rules) -> Result<Plan, LayoutError> {
    let wave: Vec<usize> = (0..all.len()).collect();
    let filter = Filter::default();
    Layout::default().plan(all, &wave, rules, &filter, Conffiles::Pending, &skeleton)
}

fn written(plan: &Plan) -> Vec<String> {
    let of = |here: &PackagePlan| -> Vec<String> {
        let files = here.files.values().flatten().map(|place| place.path.clone());
        let links = here.symlinks.iter().map(|(place, _)| place.path.clone());
        files.chain(links).chain(here.hardlinks.iter().map(|(path, _)| path.clone())).collect()
    };
    plan.packages.iter().flat_map(of).collect()
}

#[test]
fn files_go_through_the_merged_links_and_lists_keep_the_written_names() {
    let all = [package("a", &[], &[("bin", Kind::Directory), ("bin/sh", file())])];
    let plan = plan(&all, &Rules::default()).unwrap();
    assert_eq!(written(&plan), ["usr/bin/sh"]);
    assert_eq!(plan.packages[0].list, ["bin", "bin/sh"]);
    assert!(plan.dirs.is_empty());
}

#[test]
fn the_first_package_decides_a_directory() {
    let dir = [("srv", Kind::Directory)];
    let all = [package("a", &[], &dir), package("b", &[], &dir)];
    let plan = plan(&all, &Rules::default()).unwrap();
    assert_eq!(plan.dirs.len(), 1);
}

#[test]
fn two_owners_are_an_error_unless_one_replaces_the_other() {
    let mine = [("etc/x", file())];
    let conflict = plan(&[package("a", &[], &mine), package("b", &[], &mine)], &Rules::default());
    let message = conflict.unwrap_err().to_string();
    assert!(message.contains("`/etc/x`") && message.contains("`b`") && message.contains("`a`"));

    let all = [package("a", &[], &mine), package("b", &[("Replaces", "a (<< 3)")], &mine)];
    let taken = plan(&all, &Rules::default()).unwrap();
    assert!(taken.packages[0].files.values().all(Vec::is_empty));
    assert_eq!(taken.packages[1].files.len(), 1);
    assert_eq!(taken.lost, [(0, "etc/x".to_owned())]);

    let all = [package("a", &[("Replaces", "b")], &mine), package("b", &[], &mine)];
    let kept = plan(&all, &Rules::default()).unwrap();
    assert!(kept.packages[1].files.is_empty() && kept.packages[1].list.is_empty());

    let all = [package("a", &[], &mine), package("b", &[("Replaces", "a (<< 1)")], &mine)];
    assert!(plan(&all, &Rules::default()).is_err(), "the bound of Replaces counts");
}

#[test]
fn an_alias_of_the_same_place_is_won_by_the_later_package() {
    let all =
        [package("a", &[], &[("bin/x", file())]), package("b", &[], &[("usr/bin/x", file())])];
    let plan = plan(&all, &Rules::default()).unwrap();
    assert!(plan.packages[0].files.values().all(Vec::is_empty));
    assert_eq!(written(&plan), ["usr/bin/x"]);
}

#[test]
fn links_that_leave_the_root_or_never_end_are_refused() {
    for (target, words) in
        [("../../../etc", "leaves the root"), ("trap", "never ends"), ("./usr/../..", "leaves")]
    {
        let all = [package("a", &[], &[("trap", link(target)), ("trap/passwd", file())])];
        let message = plan(&all, &Rules::default()).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("`/trap/passwd`"), "{message}");
    }
    let all = [package("a", &[], &[("opt", link("/etc/../usr/bin")), ("opt/x", file())])];
    assert_eq!(written(&plan(&all, &Rules::default()).unwrap()), ["usr/bin/x", "opt"]);
}

#[test]
fn a_file_in_place_of_a_directory_is_refused_and_a_link_gives_way() {
    let all = [package("a", &[], &[("usr/bin", file())])];
    assert!(matches!(plan(&all, &Rules::default()), Err(LayoutError::WrongType { .. })));
    let all = [package("a", &[], &[("usr/bin", link("/x"))])];
    assert!(written(&plan(&all, &Rules::default()).unwrap()).is_empty());
    let all = [package("a", &[], &[("x", file()), ("x", Kind::Directory)])];
    assert!(matches!(plan(&all, &Rules::default()), Err(LayoutError::WrongType { .. })));
}

#[test]
fn diversions_overrides_and_names_come_from_the_root() {
    let rules = Rules {
        groups: HashMap::from([("shadow".into(), 42)]),
        diversions: HashMap::from([("usr/bin/x".into(), ("usr/bin/x.real".into(), "b".into()))]),
        overrides: HashMap::from([("usr/bin/y".into(), (7, 8, 0o4755))]),
        ..Rules::default()
    };
    let all = [
        package("a", &[], &[("usr/bin/x", file()), ("usr/bin/y", file())]),
        package("b", &[], &[("usr/bin/x", file())]),
    ];
    let plan = plan(&all, &rules).unwrap();
    assert_eq!(written(&plan), ["usr/bin/x.real", "usr/bin/y", "usr/bin/x"]);
    let places: Vec<&Place> = plan.packages[0].files.values().flatten().collect();
    assert_eq!((places[0].uid, places[0].gid, places[0].mode), (0, 42, 0o755));
    assert_eq!((places[1].uid, places[1].gid, places[1].mode), (7, 8, 0o4755));
}

#[test]
fn configuration_files_wait_beside_their_place() {
    let all = [package("a", &[("conffiles", "/etc/x\n")], &[("etc/x", file())])];
    assert_eq!(written(&plan(&all, &Rules::default()).unwrap()), ["etc/x.dpkg-new"]);
    let both = Layout::default()
        .plan(&all, &[0], &Rules::default(), &Filter::default(), Conffiles::Both, &skeleton)
        .unwrap();
    assert_eq!(written(&both), ["etc/x.dpkg-new", "etc/x"]);
}

#[test]
fn a_hard_link_to_a_left_out_file_becomes_the_file() {
    let exclude = Filter::new(&["/usr/share/doc/*".into()], &[]).unwrap();
    let hard = |target: &str| Kind::Hardlink { target: target.to_owned() };
    let all = [package(
        "a",
        &[],
        &[
            ("usr/share/doc/x", file()),
            ("usr/x", hard("usr/share/doc/x")),
            ("usr/y", hard("usr/x")),
        ],
    )];
    let plan = Layout::default()
        .plan(&all, &[0], &Rules::default(), &exclude, Conffiles::Pending, &skeleton)
        .unwrap();
    assert_eq!(plan.packages[0].files[&0][0].path, "usr/x");
    assert_eq!(plan.packages[0].hardlinks, [("usr/y".to_owned(), "usr/x".to_owned())]);
    assert_eq!(plan.packages[0].excluded, ["usr/share/doc/x"]);

    let lost = [package("a", &[], &[("usr/x", hard("etc/shadow"))])];
    assert!(matches!(
        super::tests::plan(&lost, &Rules::default()),
        Err(LayoutError::Hardlink { .. })
    ));
}
