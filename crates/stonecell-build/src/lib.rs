//! The build: definition and lock in, stemcells out; every step in order, in one namespace.
