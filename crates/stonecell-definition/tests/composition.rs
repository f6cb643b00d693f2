//! What comes out of several files: who wins, what is merged, and that order does not matter where it
//! has no meaning.

#![expect(clippy::tests_outside_test_module, reason = "the whole file is a test")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::civil::date;
use proptest::prelude::*;
use stonecell_definition::definition::{Content, LightReference};
use stonecell_definition::iaas::Iaas;
use stonecell_definition::manifest::{StemcellManifest, file_name, stemcell_name};
use stonecell_definition::{Definition, Disk, load};

fn everything() -> Definition {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/everything.toml");
    load(&path, date(2026, 6, 1), &Disk).unwrap_or_else(|errors| panic!("{errors}"))
}

fn composed(definition: &str, roles: &[(&str, &str)]) -> Definition {
    let head = "schema = 1\nname = \"t\"\nversion = \"1\"\n";
    let mut tree: BTreeMap<PathBuf, String> = roles
        .iter()
        .map(|(name, text)| {
            let path = PathBuf::from(format!("roles/{name}.toml"));
            (path, format!("schema = 1\ndescription = \"d\"\n{text}"))
        })
        .collect();
    let text = format!("{head}{definition}\n[base]\nrelease = \"bookworm\"\n");
    tree.insert("stemcells/t.toml".into(), text);
    let read = |path: &Path| tree.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into());
    load(Path::new("stemcells/t.toml"), date(2026, 1, 1), &read)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn the_definition_outranks_what_it_includes_and_both_outrank_roles() {
    let definition = everything();
    // part.toml removes bash and the definition installs it; role one installs nano and the definition
    // removes it.
    assert_eq!(definition.packages.install, ["bash", "less", "sudo"]);
    assert_eq!(definition.packages.remove, ["nano"]);
    let names: Vec<_> =
        definition.sources.iter().map(|source| source.path.file_name().unwrap()).collect();
    assert_eq!(names, ["one.toml", "part.toml", "everything.toml"]);
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let definition = everything();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    assert_eq!(definition.base.keyring, data.join("keys/archive.gpg"));
    assert_eq!(definition.signing.stemcell_key, Some(data.join("keys/stemcell")));
    assert_eq!(definition.agent.unwrap().binary.path, data.join("agent/bosh-agent"));
    let file = &definition.add_ons[0].files[0];
    assert_eq!(file.content, Content::Source(data.join("files/aide.conf")));
    assert_eq!((file.mode, file.early), (0o600, true));
}

#[test]
fn a_definition_settles_what_its_roles_disagree_on() {
    let a = "[packages]\ninstall = [\"nginx\"]\n[services]\nenable = [\"nginx\"]\n\
             [[firewall.inbound]]\nport = 22\nwhy = \"everybody\"";
    let b = "[packages]\nremove = [\"nginx\"]\n[services]\nmask = [\"nginx\"]";
    let own = "roles = [\"a\", \"b\"]\n[packages]\nremove = [\"nginx\"]\n[services]\ndisable = [\"nginx\"]\n\
               [[firewall.inbound]]\nport = 22\nfrom = \"10.0.0.0/8\"\nwhy = \"ours\"";
    let definition = composed(own, &[("a", a), ("b", b)]);
    assert_eq!(definition.packages.remove, ["nginx"]);
    assert_eq!(definition.services.disable, ["nginx.service"]);
    assert_eq!(definition.firewall.len(), 1);
    assert_eq!(definition.firewall[0].from.as_deref(), Some("10.0.0.0/8"));
}

#[test]
fn a_definition_may_deny_what_a_role_installs_and_install_what_a_role_denies() {
    let role = "[packages]\ninstall = [\"gdb\"]\ndeny = [\"strace\"]\n\
                [[add_on]]\nname = \"x\"\nwhy = \"x\"\npackages = [\"gdb\", \"less\"]";
    let own = "roles = [\"a\"]\n[packages]\ninstall = [\"strace\"]\ndeny = [\"gdb*\"]";
    let definition = composed(own, &[("a", role)]);
    assert_eq!(definition.packages.install, ["strace"]);
    assert_eq!(definition.packages.denied("strace"), None);
    assert_eq!(definition.packages.denied("gdbserver"), Some("gdb*"));
    assert_eq!(definition.add_ons[0].packages, ["less"]);
}

#[test]
fn the_lock_digest_changes_with_the_package_set_and_with_nothing_else() {
    let plain = composed("", &[]);
    let digest = plain.lock_digest();
    assert_eq!(digest.len(), 64);
    let same = ["[controls]\nprofile = \"stig\"", "[image]\nab = true", "title = \"x\""];
    for text in same {
        assert_eq!(composed(text, &[]).lock_digest(), digest, "{text}");
    }
    let other = [
        "[packages]\ninstall = [\"nginx\"]",
        "[packages]\nremove = [\"nginx\"]",
        "[packages]\ndeny = [\"nginx\"]",
        "[packages]\nrecommends = true",
        "[kernel]\npackage = \"linux-image-amd64\"",
        "[[add_on]]\nname = \"x\"\nwhy = \"x\"\npackages = [\"aide\"]",
    ];
    for text in other {
        assert_ne!(composed(text, &[]).lock_digest(), digest, "{text}");
    }
}

#[test]
fn manifests_and_names_follow_the_table() {
    let definition = everything();
    assert_eq!(
        stemcell_name(&definition, Iaas::Aws),
        "bosh-aws-xen-hvm-debian-bookworm-everything"
    );
    assert_eq!(
        file_name(&definition, Iaas::Aws, true),
        "light-bosh-stemcell-621.45-aws-xen-hvm-debian-bookworm-everything.tgz"
    );
    let mut plain = definition.clone();
    plain.name = "debian-12".to_owned();
    assert_eq!(stemcell_name(&plain, Iaas::Openstack), "bosh-openstack-kvm-debian-bookworm");
    let manifest = StemcellManifest::new(&definition, Iaas::Aws, "ab", 100);
    let text = manifest.to_yaml();
    for line in [
        "version: \"621.45\"\n",
        "operating_system: debian-bookworm\n",
        "stemcell_formats:\n- aws-raw\n",
        "  disk: 5120\n",
        "  root_device_name: \"/dev/sda1\"\n",
        "  architecture: x86_64\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert_eq!(StemcellManifest::from_yaml(&text).unwrap(), manifest);
    let LightReference::Ami(_) = &definition.output.light[0].reference else {
        panic!("sorted by name")
    };
    for light in &definition.output.light {
        let manifest = StemcellManifest::light(&definition, light.iaas, &light.reference).unwrap();
        assert!(manifest.stemcell_formats[0].ends_with("-light"));
        assert_eq!(StemcellManifest::from_yaml(&manifest.to_yaml()).unwrap(), manifest);
    }
}

#[test]
fn platforms_name_the_infrastructure_and_bosh() {
    assert_eq!(everything().platforms(Iaas::Aws), ["aws", "bosh"]);
    assert_eq!(composed("", &[]).platforms(Iaas::Qemu), ["qemu"]);
}

/// Roles that do not contradict each other, in any order.
const ROLES: [(&str, &str); 4] = [
    ("a", "[packages]\ninstall = [\"aa\", \"bb\"]\n[services]\nenable = [\"aa\"]"),
    (
        "b",
        "[packages]\ninstall = [\"bb\", \"cc\"]\ndeny = [\"z*\"]\n[setuid]\nallow = [\"/usr/bin/x\"]",
    ),
    ("c", "[packages]\nremove = [\"dd\"]\n[[firewall.inbound]]\nport = 80\nwhy = \"x\""),
    ("d", "[[firewall.inbound]]\nport = 22\nwhy = \"x\"\n[[user]]\nname = \"u\"\nuid = 1000"),
];

proptest! {
    #[test]
    fn the_order_of_roles_does_not_matter(order in Just([0, 1, 2, 3]).prop_shuffle()) {
        let one = composed("roles = [\"a\", \"b\", \"c\", \"d\"]", &ROLES);
        let names: Vec<_> = order.iter().map(|at| ROLES[*at].0).collect();
        let mut other = composed(&format!("roles = {names:?}"), &ROLES);
        prop_assert_eq!(&other.roles, &names);
        other.roles = one.roles.clone();
        other.sources = one.sources.clone();
        prop_assert_eq!(other.lock_digest(), one.lock_digest());
        prop_assert_eq!(other, one);
    }

    #[test]
    fn the_order_of_a_list_does_not_matter(
        names in proptest::collection::btree_set("[a-z][a-z0-9]{2,6}", 1..8)
            .prop_map(Vec::from_iter).prop_shuffle()
    ) {
        let mut sorted = names.clone();
        sorted.sort();
        let one = composed(&format!("[packages]\ninstall = {names:?}"), &[]);
        prop_assert_eq!(&one.packages.install, &sorted);
    }

    #[test]
    fn foreign_text_does_not_panic(text in "\\PC{0,400}") {
        let read = move |_: &Path| Ok(text.clone());
        let _ = load(Path::new("x.toml"), date(2026, 1, 1), &read);
    }

    #[test]
    fn a_definition_with_some_bytes_changed_does_not_panic(
        changes in proptest::collection::vec((0_usize..5000, "[ -~\n]"), 1..4)
    ) {
        let mut text = include_str!("data/everything.toml").to_owned();
        for (at, letter) in changes {
            let at = at % text.len();
            text.replace_range(at..=at, &letter);
        }
        let read = move |path: &Path| match path.ends_with("x.toml") {
            true => Ok(text.clone()),
            false => Err(io::ErrorKind::NotFound.into()),
        };
        if let Err(errors) = load(Path::new("x.toml"), date(2026, 1, 1), &read) {
            prop_assert!(!errors.to_string().is_empty());
        }
    }
}

#[test]
fn a_role_that_refines_another_wins_over_it_and_over_no_other() {
    let minimal = "[packages]\ninstall = [\"ntp\"]\ndeny = [\"chrony\"]\n[services]\nenable = [\"ntp\"]\n\
                   [[add_on]]\nname = \"x\"\nwhy = \"x\"\n[[add_on.files]]\npath = \"/etc/x\"\ncontent = \"a\"";
    let bosh = "refines = [\"minimal\"]\n[packages]\ninstall = [\"chrony\"]\nremove = [\"ntp\"]\n\
                [services]\ndisable = [\"ntp\"]\n\
                [[add_on]]\nname = \"y\"\nwhy = \"y\"\n[[add_on.files]]\npath = \"/etc/x\"\ncontent = \"b\"";
    for order in ["roles = [\"minimal\", \"bosh\"]", "roles = [\"bosh\", \"minimal\"]"] {
        let definition = composed(order, &[("minimal", minimal), ("bosh", bosh)]);
        assert_eq!(definition.packages.install, ["chrony"]);
        assert_eq!(definition.packages.remove, ["ntp"]);
        assert_eq!(definition.services.disable, ["ntp.service"]);
        let files: Vec<_> = definition.add_ons.iter().flat_map(|add_on| &add_on.files).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].content, Content::Text("b".into()));
    }
}

#[test]
fn accounts_that_are_kept_are_listed_with_what_changes() {
    let definition = composed("[etc]\naccounts = true", &[]);
    let paths: Vec<_> = definition.etc_mutable.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, stonecell_definition::definition::ACCOUNT_FILES);
}
