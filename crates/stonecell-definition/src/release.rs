//! The distribution releases that Stonecell knows, and what follows from each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Debian-family distribution.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Distribution {
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
}

/// A release of a distribution, by its code name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Release {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
    /// Ubuntu 22.04.
    Jammy,
    /// Ubuntu 24.04.
    Noble,
}

/// An instruction set by Debian's name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
}

impl Architecture {
    /// Debian's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
        }
    }

    /// The kernel's and the stemcell manifest's name.
    pub const fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
        }
    }
}

impl Distribution {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debian => "debian",
            Self::Ubuntu => "ubuntu",
        }
    }

    /// Where the distribution's package puts the archive's keys.
    pub const fn keyring(self) -> &'static str {
        match self {
            Self::Debian => "/usr/share/keyrings/debian-archive-keyring.gpg",
            Self::Ubuntu => "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
        }
    }

    /// Components read when the definition names none.
    pub const fn components(self) -> &'static [&'static str] {
        match self {
            Self::Debian => &["main"],
            Self::Ubuntu => &["main", "universe"],
        }
    }

    /// Kernel package installed when the definition names none: the smallest one for virtual machines.
    pub const fn kernel(self) -> &'static str {
        match self {
            Self::Debian => "linux-image-cloud-amd64",
            Self::Ubuntu => "linux-image-virtual",
        }
    }
}

impl Release {
    /// The distribution that it is a release of.
    pub const fn distribution(self) -> Distribution {
        match self {
            Self::Bookworm | Self::Trixie => Distribution::Debian,
            Self::Jammy | Self::Noble => Distribution::Ubuntu,
        }
    }

    /// Code name, as in suite names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
            Self::Jammy => "jammy",
            Self::Noble => "noble",
        }
    }

    /// Version number, as in `VERSION_ID` of os-release.
    pub const fn number(self) -> &'static str {
        match self {
            Self::Bookworm => "12",
            Self::Trixie => "13",
            Self::Jammy => "22.04",
            Self::Noble => "24.04",
        }
    }

    /// What deployment manifests match on (`operating_system` of the stemcell manifest): `ubuntu-jammy`.
    pub fn operating_system(self) -> String {
        format!("{}-{}", self.distribution().name(), self.name())
    }
}
