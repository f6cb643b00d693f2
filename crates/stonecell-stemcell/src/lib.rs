//! The stemcell: wrapping per IaaS, manifest, SBOM, provenance, signature; reading one back.

pub mod diff;
pub mod digest;
pub mod disk;
pub mod ext4_scan;
pub mod extract;
pub mod facts;
pub mod files;
pub mod fstab;
pub mod gzip;
pub mod inspect;
pub mod open;
pub mod outputs;
pub mod ovf;
pub mod packages;
pub mod parts;
pub mod printable;
pub mod progress;
pub mod provenance;
pub mod sbom;
pub mod scratch;
pub mod signature;
pub mod signer;
pub mod tree;
pub mod tree_tar;
pub mod verify;
pub mod wrap;
