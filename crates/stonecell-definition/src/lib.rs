//! What a stemcell is: definition file, lock file, versions, manifest types, roles. Pure.

pub mod lock;
