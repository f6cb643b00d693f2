//! Debian's cloud kernel, from the host's side.

use std::collections::BTreeSet;
use std::fs;

use stonecell_kernel::{Tree, drivers, prune};

use crate::support::{KERNEL, run, text};

#[test]
#[ignore = "real packages or machines: `make real`"]
fn has_what_every_infrastructure_needs() {
    let version = Tree::find_version(&KERNEL.root).unwrap();
    let tree = Tree::read(&KERNEL.root, &version).unwrap();
    for iaas in [
        "alicloud",
        "aws",
        "azure",
        "cloudstack",
        "google",
        "openstack",
        "qemu",
        "softlayer",
        "vcloud",
        "vsphere",
    ] {
        assert!(!drivers::required(iaas).is_empty(), "{iaas}");
        assert_eq!(drivers::check(&tree, iaas), Ok(()));
    }
    assert!(fs::metadata(&KERNEL.initrd).unwrap().len() < 3 << 20);
}

#[test]
#[ignore = "real packages or machines: `make real`"]
fn is_cut_down_to_what_is_allowed() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    run("cp", &["-a", &format!("{}/.", text(&KERNEL.root)), text(root)]);
    let version = Tree::find_version(root).unwrap();
    let allow = ["nft_ct".to_owned(), "virtio_net".to_owned(), "ext4".to_owned()];
    let report = prune::prune(root, &version, &allow, &BTreeSet::new()).unwrap();
    assert!(report.kept.contains("nf_conntrack") && report.kept.contains("net_failover"));
    assert!(report.kept.len() < 20 && report.removed > 500, "{report:?}");
    // The kernel's own tool agrees: the rest cannot be loaded, and what is left can.
    let left = Tree::read(root, &version).unwrap();
    assert_eq!(left.modules.keys().cloned().collect::<BTreeSet<_>>(), report.kept);
    let depends = ["-d", text(root), "-S", &version, "--show-depends", "nft_ct"];
    assert!(run("/usr/sbin/modprobe", &depends).contains("nf_tables.ko"));
    let bytes = fs::read(left.directory.join("modules.dep.bin")).unwrap();
    prune::depmod(root, &version).unwrap();
    assert_eq!(fs::read(left.directory.join("modules.dep.bin")).unwrap(), bytes);
}
