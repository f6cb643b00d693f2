//! Every control of the shipped catalogue: applied it passes, applied twice it changes nothing, broken it fails.

use std::collections::{BTreeMap, BTreeSet};

use stonecell_controls::{Control, MemoryRoot, Outcome, Root, Selection, Severity};

use crate::support::undo::Undo;
use crate::support::{apply, breaking, catalogue, contexts, populate, troubles};

fn alone(selection: &Selection, control: &Control) -> Selection {
    Selection { controls: vec![control.clone()], left_out: Vec::new(), ..selection.clone() }
}

#[test]
fn what_is_applied_passes_and_stays_the_same() {
    let catalogue = catalogue();
    for context in contexts() {
        let selection = catalogue.select(&context).unwrap_or_else(|error| panic!("{error}"));
        let mut root = populate::populated(&selection);
        apply(&selection, &mut root);
        let found = troubles(&selection.check(&root));
        assert!(found.is_empty(), "{} {:?}:\n{}", context.profile, context.roles, found.join("\n"));

        let before = root.clone();
        let again = apply(&selection, &mut root);
        assert!(before == root, "applying twice changed {:?}", again.changed());
        assert!(again.changed().is_empty(), "{:?}", again.changed());
    }
}

#[test]
fn the_same_input_gives_the_same_system() {
    let catalogue = catalogue();
    let context = crate::support::context("stonecell", &["web", "ssh"], &["qemu"], "bookworm");
    let selection = catalogue.select(&context).expect("selects");
    let build = || {
        let mut root = populate::populated(&selection);
        let applied = apply(&selection, &mut root);
        (root, applied)
    };
    assert!(build() == build());
}

/// Each want that holds after applying is broken in every way that is known for its kind; the verdict must turn.
#[test]
fn every_control_turns_red_when_it_is_broken() {
    let catalogue = catalogue();
    let mut broken: BTreeMap<String, usize> = BTreeMap::new();
    let mut green = Vec::new();
    for context in contexts() {
        let selection = catalogue.select(&context).expect("selects");
        let fresh: Vec<&Control> =
            selection.controls.iter().filter(|control| !broken.contains_key(&control.id)).collect();
        if fresh.is_empty() {
            continue;
        }
        let mut root = populate::populated(&selection);
        apply(&selection, &mut root);
        for control in fresh {
            let count = broken.entry(control.id.clone()).or_default();
            for want in &control.wants {
                let only = Control { wants: vec![want.clone()], ..control.clone() };
                let one = alone(&selection, &only);
                if outcome(&one, &root) != Outcome::Pass {
                    continue;
                }
                for way in breaking::breaks(want) {
                    let mut undo = Undo::new(&mut root);
                    (way.run)(&mut undo);
                    // With the whole control: one broken want must be enough.
                    if !matches!(outcome(&alone(&selection, control), &undo), Outcome::Fail { .. })
                    {
                        green.push(format!("{}: {} ({want:?})", control.id, way.name));
                    }
                    undo.back();
                    *count += 1;
                }
                assert_eq!(
                    outcome(&one, &root),
                    Outcome::Pass,
                    "{}: the break was taken back",
                    control.id
                );
            }
            if *count == 0 {
                broken.remove(&control.id);
            }
        }
    }
    assert!(green.is_empty(), "{} ways to break stay unseen:\n{}", green.len(), green.join("\n"));
    let unbroken: BTreeSet<&str> = catalogue
        .controls()
        .map(|control| control.id.as_str())
        .filter(|id| !broken.contains_key(*id))
        .collect();
    assert!(unbroken.is_empty(), "never broken: {unbroken:?}");
    println!("{} controls, {} ways to break", broken.len(), broken.values().sum::<usize>());
}

fn outcome(selection: &Selection, root: &dyn Root) -> Outcome {
    selection.check(root).swap_remove(0).outcome
}

#[test]
fn the_catalogue_is_large_enough_and_each_control_is_explained() {
    let catalogue = catalogue();
    let counts = catalogue.counts();
    assert!(counts.values().sum::<usize>() >= 250, "{counts:?}");
    for control in catalogue.controls() {
        assert!(
            !control.references.is_empty() || control.severity != Severity::High,
            "{} has no reference",
            control.id
        );
    }
    let json = catalogue.to_json().expect("becomes JSON");
    assert_eq!(json["total"], counts.values().sum::<usize>());
}

#[test]
fn an_empty_system_never_passes_by_accident() {
    let catalogue = catalogue();
    let context = crate::support::context("stonecell", &["minimal"], &["qemu"], "bookworm");
    let selection = catalogue.select(&context).expect("selects");
    let root = MemoryRoot::new();
    let verdicts = selection.check(&root);
    let failing = verdicts.iter().filter(|verdict| verdict.stops_build()).count();
    assert!(failing * 2 > verdicts.len(), "{failing} of {} fail", verdicts.len());
}
