//! Roles and includes that do not go together.

use crate::{BASE, errors, loaded, role};

#[test]
fn roles_that_contradict_each_other_are_both_named() {
    let cases = [
        (
            "[packages]\ninstall = [\"nginx\"]",
            "[packages]\nremove = [\"nginx\"]",
            "role `b` removes the package `nginx`, but role `a` installs",
        ),
        (
            "[packages]\ninstall = [\"nginx\"]",
            "[packages]\ndeny = [\"ngin*\"]",
            "role `b` denies `ngin*`, but role `a` installs",
        ),
        (
            "[[add_on]]\nname = \"x\"\nwhy = \"x\"\npackages = [\"nginx\"]",
            "[packages]\nremove = [\"nginx\"]",
            "role `a` installs the package `nginx`, but role `b` removes",
        ),
        (
            "[services]\nenable = [\"ssh\"]",
            "[services]\ndisable = [\"ssh\"]",
            "role `b` disables `ssh.service`, but role `a` enables",
        ),
        (
            "[[firewall.inbound]]\nport = 22\nwhy = \"x\"",
            "[[firewall.deny]]\nport = 22\nwhy = \"y\"",
            "role `b` denies port 22/tcp (y), but role `a` opens port 22/tcp",
        ),
        (
            "[[image.partition]]\nmount = \"/srv\"\nsize = \"1G\"",
            "[[image.partition]]\nmount = \"/srv\"\nsize = \"2G\"",
            "role `b` mounts /srv with 2G",
        ),
        (
            "[[user]]\nname = \"u\"\nuid = 1000",
            "[[user]]\nname = \"u\"\nuid = 1001",
            "role `b` has a user `u` with uid 1001",
        ),
        (
            "[[group]]\nname = \"u\"\ngid = 1000",
            "[[group]]\nname = \"u\"\ngid = 1001",
            "role `b` has a group `u` with gid 1001",
        ),
        (
            "[[etc.mutable]]\npath = \"/etc/x\"\nkind = \"run\"",
            "[[etc.mutable]]\npath = \"/etc/x\"\nkind = \"kept\"",
            "role `b` keeps /etc/x, but role `a` makes anew",
        ),
        ("[image]\nab = true", "[image]\nab = false", "role `b` sets `image.ab` differently"),
        (
            "[[add_on]]\nname = \"x\"\nwhy = \"x\"\nfiles = [{ path = \"/x\", content = \"1\" }]",
            "[[add_on]]\nname = \"y\"\nwhy = \"x\"\nfiles = [{ path = \"/x\", content = \"2\" }]",
            "has the file /x with other content in add-on `y`",
        ),
        (
            "[[controls.parameter]]\ncontrol = \"SC-PAM-001\"\nname = \"deny\"\nvalue = \"3\"\nreason = \"a reason that says something\"",
            "[[controls.parameter]]\ncontrol = \"SC-PAM-001\"\nname = \"deny\"\nvalue = \"5\"\nreason = \"a reason that says something\"",
            "role `b` sets `deny` of SC-PAM-001 to \"5\", but role `a` sets",
        ),
    ];
    for (a, b, message) in cases {
        let (a, b) = (role(a), role(b));
        let others = [("roles/a.toml", a.as_str()), ("roles/b.toml", b.as_str())];
        let found = errors(&format!("roles = [\"a\", \"b\"]\n{BASE}"), &others);
        let [found] = found.as_slice() else { panic!("{b}\n{found:#?}") };
        assert!(found.contains(message), "wanted {message}\n{found}");
        for file in ["roles/a.toml:", "roles/b.toml:", "decide in the definition"] {
            assert!(found.contains(file), "wanted {file}\n{found}");
        }
        // The same twice is no contradiction.
        let others = [("roles/a.toml", a.as_str()), ("roles/b.toml", a.as_str())];
        loaded(&format!("roles = [\"a\", \"b\"]\n{BASE}"), &others).unwrap();
    }
}

#[test]
fn a_refining_role_still_contradicts_a_third_one_and_one_that_refines_it_back() {
    let minimal = role("[packages]\ninstall = [\"ntp\"]");
    let bosh = role("refines = [\"minimal\"]\n[packages]\nremove = [\"ntp\"]");
    let third = role("[packages]\ninstall = [\"ntp\"]");
    let found = errors(
        &format!("roles = [\"minimal\", \"bosh\", \"third\"]\n{BASE}"),
        &[
            ("roles/minimal.toml", &minimal),
            ("roles/bosh.toml", &bosh),
            ("roles/third.toml", &third),
        ],
    );
    assert!(found[0].contains("role `third` installs the package `ntp`"), "{found:?}");
    let back = role("refines = [\"bosh\"]\n[packages]\ninstall = [\"ntp\"]");
    let found = errors(
        &format!("roles = [\"minimal\", \"bosh\"]\n{BASE}"),
        &[("roles/minimal.toml", &back), ("roles/bosh.toml", &bosh)],
    );
    assert!(found[0].contains("the package `ntp`"), "{found:?}");
}

#[test]
fn a_role_has_no_fields_of_a_definition() {
    let bad = role("version = \"1\"\n[base]\nrelease = \"bookworm\"\n[signing]\n");
    let found = errors(&format!("roles = [\"a\"]\n{BASE}"), &[("roles/a.toml", &bad)]);
    assert_eq!(found.len(), 3, "{found:#?}");
    for error in found {
        assert!(error.contains("this belongs to the definition"), "{error}");
    }
}

#[test]
fn includes_in_a_circle_are_refused() {
    let others = [
        ("stemcells/a.toml", "include = [\"b.toml\"]"),
        ("stemcells/b.toml", "include = [\"../stemcells/a.toml\"]"),
    ];
    let found = errors(&format!("include = [\"a.toml\"]\n{BASE}"), &others);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("stemcells/b.toml:2:12: "), "{}", found[0]);
    assert!(found[0].contains("includes itself"), "{}", found[0]);
    let own = errors(&format!("include = [\"t.toml\"]\n{BASE}"), &[]);
    assert!(own[0].contains("includes itself"), "{}", own[0]);
}
