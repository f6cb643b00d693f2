//! The stemcell: wrapping per IaaS, manifest, SBOM, provenance, signature; reading one back.

pub mod facts;
pub mod gzip;
pub mod open;
pub mod ovf;
pub mod provenance;
pub mod sbom;
pub mod signature;
pub mod tree;
pub mod tree_tar;
pub mod wrap;
