//! The stemcell: wrapping per IaaS, manifest, SBOM, provenance, signature; reading one back.

pub mod facts;
pub mod gzip;
pub mod provenance;
pub mod sbom;
pub mod signature;
