//! What is written: stemcells, disk images, light stemcells.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::iaas::Iaas;

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Output {
    /// Infrastructures, sorted.
    pub iaas: Vec<Iaas>,
    /// Plain disk images, sorted.
    pub formats: Vec<DiskFormat>,
    /// Light stemcells, by infrastructure.
    pub light: Vec<Light>,
}

/// A plain disk image.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum DiskFormat {
    /// Raw bytes of the disk.
    Raw,
    /// QEMU's format, compressed.
    Qcow2,
    /// Virtual PC, fixed size.
    Vhd,
    /// Hyper-V.
    Vhdx,
    /// VMware, stream optimised.
    Vmdk,
}

impl DiskFormat {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
            Self::Vmdk => "vmdk",
        }
    }
}

/// A stemcell that refers to an image which is already in a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Light {
    /// Infrastructure.
    pub iaas: Iaas,
    /// What it refers to.
    pub reference: LightReference,
}

/// How a light stemcell names its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LightReference {
    /// AWS: image id by region.
    Ami(BTreeMap<String, String>),
    /// Google.
    ImageUrl(String),
    /// Azure marketplace.
    Image {
        /// Offer.
        offer: String,
        /// Publisher.
        publisher: String,
        /// SKU.
        sku: String,
        /// Version.
        version: String,
    },
    /// OpenStack.
    ImageId(String),
    /// OCI reference.
    Reference(String),
}
