//! Which drivers lead to the root disk, and which an infrastructure cannot do without.

use std::collections::BTreeSet;

use crate::tree::Tree;

/// Loaded by every initrd.
pub const ALWAYS: [&str; 2] = ["dm_verity", "erofs"];

/// Loaded if a device (or the processor) of the machine names them.
pub const DEVICES: [&str; 21] = [
    "ahci",
    "ata_piix",
    "crc32c_intel",
    "hv_storvsc",
    "hv_vmbus",
    "mptsas",
    "mptspi",
    "nvme",
    // NVMe and accelerated network of Azure are PCI devices behind the VM bus.
    "pci_hyperv",
    // Tells the hypervisor of a panic: a boot that verity stopped is seen from outside.
    "pvpanic",
    "pvpanic_mmio",
    "pvpanic_pci",
    "sd_mod",
    "sha256_ssse3",
    "virtio_blk",
    "virtio_mmio",
    "virtio_pci",
    "virtio_scsi",
    "vmw_pvscsi",
    "xen_blkfront",
    "xen_scsifront",
];

/// The drivers of an infrastructure's root disk and network, by the infrastructure's name in a
/// definition. None for a container.
pub fn required(iaas: &str) -> &'static [&'static str] {
    match iaas {
        "alicloud" | "openstack" | "qemu" => {
            &["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_net"]
        }
        // Xen instances of the older generations, Nitro of the newer.
        "aws" => &["nvme", "ena", "xen_blkfront", "xen_netfront", "ixgbevf"],
        "azure" => &["hv_vmbus", "hv_storvsc", "sd_mod", "hv_netvsc"],
        // CloudStack drives KVM, XenServer and ESXi alike.
        "cloudstack" => &["virtio_pci", "virtio_blk", "virtio_net", "xen_blkfront", "xen_netfront"],
        "google" => &["virtio_pci", "virtio_scsi", "sd_mod", "nvme", "virtio_net", "gve"],
        "softlayer" => &["xen_blkfront", "xen_netfront"],
        "vcloud" | "vsphere" => &["vmw_pvscsi", "sd_mod", "vmxnet3"],
        _ => &[],
    }
}

/// An infrastructure on which this kernel would not start or would have no network.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "kernel {version} has no {} for {iaas}; take another kernel package{advice}",
    missing.iter().cloned().collect::<Vec<_>>().join(", ")
)]
pub struct MissingDrivers {
    /// The infrastructure.
    pub iaas: String,
    /// Version of the kernel.
    pub version: String,
    /// The drivers that it lacks.
    pub missing: BTreeSet<String>,
    /// Which package to take, if that is known.
    advice: &'static str,
}

/// Checks a kernel against [`required`].
///
/// # Errors
/// Names the drivers that are neither a file nor built in.
pub fn check(tree: &Tree, iaas: &str) -> Result<(), MissingDrivers> {
    let missing: BTreeSet<String> =
        required(iaas).iter().filter(|name| !tree.has(name)).map(|&name| name.to_owned()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let advice = if tree.version.contains("-cloud-") {
        ": linux-image-amd64 has more drivers than linux-image-cloud-amd64"
    } else {
        ""
    };
    Err(MissingDrivers { iaas: iaas.to_owned(), version: tree.version.clone(), missing, advice })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::fake;

    #[test]
    fn a_missing_driver_is_named_with_the_remedy() {
        let root =
            fake("kernel/sd_mod.ko:\nkernel/hv_storvsc.ko:\n", "kernel/hv_vmbus.ko\n", "", "");
        let mut tree = Tree::read(root.path(), "6.1").unwrap();
        tree.version = "6.1-cloud-amd64".into();
        assert_eq!(
            check(&tree, "azure").unwrap_err().to_string(),
            "kernel 6.1-cloud-amd64 has no hv_netvsc for azure; take another kernel package: \
             linux-image-amd64 has more drivers than linux-image-cloud-amd64"
        );
        assert_eq!(check(&tree, "warden"), Ok(()));
    }
}
