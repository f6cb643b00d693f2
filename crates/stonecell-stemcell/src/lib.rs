//! The stemcell: wrapping per IaaS, manifest, SBOM, provenance, signature; reading one back.
