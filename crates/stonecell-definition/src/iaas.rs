//! The infrastructures that a stemcell can be wrapped for, as one table.
//!
//! Values are those that BOSH's Directors and CPIs expect (existing stemcells of each infrastructure);
//! `qemu` is Stonecell's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::definition::SettingsSource;

/// An infrastructure.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Iaas {
    /// Alibaba Cloud.
    Alicloud,
    /// Amazon Web Services.
    Aws,
    /// Microsoft Azure.
    Azure,
    /// Apache CloudStack.
    Cloudstack,
    /// Google Cloud.
    Google,
    /// OpenStack.
    Openstack,
    /// QEMU, with nothing between.
    Qemu,
    /// SoftLayer.
    Softlayer,
    /// vCloud Director.
    Vcloud,
    /// VMware vSphere.
    Vsphere,
    /// Containers of BOSH Lite.
    Warden,
}

/// What the `image` member of a stemcell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageMember {
    /// A gzip tar of one raw disk with this name.
    TarOfRaw(&'static str),
    /// A gzip tar of one fixed VHD with this name.
    TarOfVhd(&'static str),
    /// A gzip tar of `image.ovf`, `image.mf` and `image-disk1.vmdk`, in this order.
    TarOfOvf,
    /// A gzip tar of one qcow2: compressed and named `root.img` with compat 0.10, as old infrastructures
    /// want it, else `root.qcow2`.
    Qcow2 {
        /// `compat` option of the format: `0.10` or `1.1`.
        compat: &'static str,
    },
    /// A bzip2-compressed dynamic VHD.
    Bzip2OfVhd,
    /// A gzip tar of the root file system.
    TarOfRoot,
}

/// One row: what an infrastructure wants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Infrastructure {
    /// Which.
    pub iaas: Iaas,
    /// Hypervisor class, as in cloud_properties.
    pub hypervisor: &'static str,
    /// Hypervisor as in the stemcell's name.
    pub hypervisor_name: &'static str,
    /// Default disk in MiB, as in cloud_properties.
    pub disk_mib: u32,
    /// `disk_format` of cloud_properties.
    pub disk_format: &'static str,
    /// What the CPI selects by.
    pub stemcell_formats: &'static [&'static str],
    /// Inner format of the `image` member.
    pub image: ImageMember,
    /// `root_device_name` of cloud_properties.
    pub root_device_name: Option<&'static str>,
    /// Further cloud_properties.
    pub extra: &'static [(&'static str, Extra)],
    /// Format of a light stemcell, where there is one.
    pub light_format: Option<&'static str>,
    /// Where the agent finds its settings.
    pub settings: SettingsSource,
    /// What the in-image `infrastructure` file says.
    pub infrastructure_file: &'static str,
    /// Kernel parameters that the infrastructure needs.
    pub command_line: &'static [&'static str],
}

/// A value in cloud_properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Extra {
    /// true or false.
    Flag(bool),
    /// Text.
    Text(&'static str),
}

impl Iaas {
    /// All, in the order of their names.
    pub const ALL: [Self; 11] = [
        Self::Alicloud,
        Self::Aws,
        Self::Azure,
        Self::Cloudstack,
        Self::Google,
        Self::Openstack,
        Self::Qemu,
        Self::Softlayer,
        Self::Vcloud,
        Self::Vsphere,
        Self::Warden,
    ];

    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alicloud => "alicloud",
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Cloudstack => "cloudstack",
            Self::Google => "google",
            Self::Openstack => "openstack",
            Self::Qemu => "qemu",
            Self::Softlayer => "softlayer",
            Self::Vcloud => "vcloud",
            Self::Vsphere => "vsphere",
            Self::Warden => "warden",
        }
    }

    /// The infrastructure of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|iaas| iaas.name() == name)
    }

    /// Its row of the table.
    pub const fn infrastructure(self) -> &'static Infrastructure {
        match self {
            Self::Alicloud => &ALICLOUD,
            Self::Aws => &AWS,
            Self::Azure => &AZURE,
            Self::Cloudstack => &CLOUDSTACK,
            Self::Google => &GOOGLE,
            Self::Openstack => &OPENSTACK,
            Self::Qemu => &QEMU,
            Self::Softlayer => &SOFTLAYER,
            Self::Vcloud => &VCLOUD,
            Self::Vsphere => &VSPHERE,
            Self::Warden => &WARDEN,
        }
    }
}

/// 5 GiB: the default root disk of stemcells.
const DISK_MIB: u32 = 5120;

static ALICLOUD: Infrastructure = Infrastructure {
    iaas: Iaas::Alicloud,
    hypervisor: "kvm",
    hypervisor_name: "kvm",
    disk_mib: DISK_MIB,
    disk_format: "raw",
    stemcell_formats: &["alicloud-raw"],
    image: ImageMember::TarOfRaw("root.img"),
    root_device_name: Some("/dev/vda1"),
    extra: &[],
    light_format: None,
    settings: SettingsSource::Http,
    infrastructure_file: "alicloud",
    command_line: &[],
};

static AWS: Infrastructure = Infrastructure {
    iaas: Iaas::Aws,
    hypervisor: "xen",
    hypervisor_name: "xen-hvm",
    disk_mib: DISK_MIB,
    disk_format: "raw",
    stemcell_formats: &["aws-raw"],
    image: ImageMember::TarOfRaw("root.img"),
    root_device_name: Some("/dev/sda1"),
    extra: &[("boot_mode", Extra::Text("uefi"))],
    light_format: Some("aws-light"),
    settings: SettingsSource::Http,
    infrastructure_file: "aws",
    command_line: &["nvme_core.io_timeout=4294967295"],
};

static AZURE: Infrastructure = Infrastructure {
    iaas: Iaas::Azure,
    hypervisor: "hyperv",
    hypervisor_name: "hyperv",
    disk_mib: DISK_MIB,
    disk_format: "vhd",
    stemcell_formats: &["azure-vhd"],
    image: ImageMember::TarOfVhd("root.vhd"),
    root_device_name: Some("/dev/sda1"),
    extra: &[],
    light_format: Some("azure-light"),
    settings: SettingsSource::File,
    infrastructure_file: "azure",
    command_line: &[],
};

static CLOUDSTACK: Infrastructure = Infrastructure {
    iaas: Iaas::Cloudstack,
    hypervisor: "xen",
    hypervisor_name: "xen",
    disk_mib: DISK_MIB,
    disk_format: "vhdx",
    stemcell_formats: &["cloudstack-vhdx"],
    image: ImageMember::Bzip2OfVhd,
    root_device_name: None,
    extra: &[("auto_disk_config", Extra::Flag(true))],
    light_format: None,
    settings: SettingsSource::Http,
    infrastructure_file: "cloudstack",
    command_line: &["console=hvc0"],
};

static GOOGLE: Infrastructure = Infrastructure {
    iaas: Iaas::Google,
    hypervisor: "kvm",
    hypervisor_name: "kvm",
    disk_mib: DISK_MIB,
    disk_format: "rawdisk",
    stemcell_formats: &["google-rawdisk"],
    image: ImageMember::TarOfRaw("disk.raw"),
    root_device_name: Some("/dev/sda1"),
    extra: &[],
    light_format: Some("google-light"),
    settings: SettingsSource::InstanceMetadata,
    infrastructure_file: "google",
    command_line: &[],
};

static OPENSTACK: Infrastructure = Infrastructure {
    iaas: Iaas::Openstack,
    hypervisor: "kvm",
    hypervisor_name: "kvm",
    disk_mib: DISK_MIB,
    disk_format: "qcow2",
    stemcell_formats: &["openstack-qcow2"],
    image: ImageMember::Qcow2 { compat: "0.10" },
    root_device_name: None,
    extra: &[("auto_disk_config", Extra::Flag(true)), ("hw_firmware_type", Extra::Text("uefi"))],
    light_format: Some("openstack-light"),
    settings: SettingsSource::ConfigDrive,
    infrastructure_file: "openstack",
    command_line: &[],
};

static QEMU: Infrastructure = Infrastructure {
    iaas: Iaas::Qemu,
    hypervisor: "kvm",
    hypervisor_name: "kvm",
    disk_mib: DISK_MIB,
    disk_format: "qcow2",
    stemcell_formats: &["qemu-qcow2"],
    image: ImageMember::Qcow2 { compat: "1.1" },
    root_device_name: Some("/dev/vda1"),
    extra: &[],
    light_format: None,
    settings: SettingsSource::ConfigDrive,
    infrastructure_file: "qemu",
    command_line: &[],
};

static SOFTLAYER: Infrastructure = Infrastructure {
    iaas: Iaas::Softlayer,
    hypervisor: "esxi",
    hypervisor_name: "esxi",
    disk_mib: 25600,
    disk_format: "ovf",
    stemcell_formats: &["softlayer-ovf"],
    image: ImageMember::TarOfOvf,
    root_device_name: Some("/dev/sda1"),
    extra: &[],
    light_format: None,
    settings: SettingsSource::Http,
    infrastructure_file: "softlayer",
    command_line: &[],
};

static VCLOUD: Infrastructure = Infrastructure {
    iaas: Iaas::Vcloud,
    hypervisor: "esxi",
    hypervisor_name: "esxi",
    disk_mib: DISK_MIB,
    disk_format: "ovf",
    stemcell_formats: &["vcloud-ova", "vcloud-ovf"],
    image: ImageMember::TarOfOvf,
    root_device_name: Some("/dev/sda1"),
    extra: &[],
    light_format: None,
    settings: SettingsSource::Cdrom,
    infrastructure_file: "vsphere",
    command_line: &[],
};

static VSPHERE: Infrastructure = Infrastructure {
    iaas: Iaas::Vsphere,
    hypervisor: "esxi",
    hypervisor_name: "esxi",
    disk_mib: DISK_MIB,
    disk_format: "ovf",
    stemcell_formats: &["vsphere-ova", "vsphere-ovf"],
    image: ImageMember::TarOfOvf,
    root_device_name: Some("/dev/sda1"),
    extra: &[],
    light_format: None,
    settings: SettingsSource::Cdrom,
    infrastructure_file: "vsphere",
    command_line: &[],
};

static WARDEN: Infrastructure = Infrastructure {
    iaas: Iaas::Warden,
    hypervisor: "boshlite",
    hypervisor_name: "boshlite",
    disk_mib: DISK_MIB,
    disk_format: "files",
    stemcell_formats: &["warden-tar"],
    image: ImageMember::TarOfRoot,
    root_device_name: None,
    extra: &[],
    light_format: Some("docker-light"),
    settings: SettingsSource::File,
    infrastructure_file: "warden",
    command_line: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_in_order() {
        let names: Vec<_> = Iaas::ALL.iter().map(|iaas| iaas.name()).collect();
        assert!(names.is_sorted());
        for iaas in Iaas::ALL {
            assert_eq!(iaas.infrastructure().iaas, iaas);
            assert_eq!(Iaas::of_name(iaas.name()), Some(iaas));
            assert_eq!(serde_json::json!(iaas), iaas.name());
        }
        assert_eq!(Iaas::of_name("AWS"), None);
    }
}
