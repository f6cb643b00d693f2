//! The hardening catalogue: one declaration of each control, applied at build and checked at audit.
//!
//! [`Catalogue`] reads `controls/*.toml`; [`Catalogue::select`] chooses what holds for a stemcell; the [`Selection`] says what it
//! asks of the builder ([`Selection::requirements`]), makes a system so ([`Selection::apply`]) and looks whether one is so
//! ([`Selection::check`]). The system is seen through [`Root`]; nothing here runs a program or reads the host.

mod apply;
mod catalogue;
mod check;
mod conflict;
mod export;
mod formats;
mod requirements;
mod root;
mod select;
mod state;
mod view;
pub mod want;

pub use apply::{Applied, ApplyError, Effect, Event, Record};
pub use catalogue::{
    Catalogue, CatalogueErrors, Control, Family, Fault, PROFILES, Parameter, REFERENCES, Severity,
};
pub use check::{Failure, Outcome, Verdict};
pub use formats::fstab::merge as merge_fstab;
pub use requirements::{MountWant, Requirements};
pub use root::{
    DirectoryRoot, Kind, Links, MemoryRoot, OpenError, Ownership, READ_LIMIT, Root, RootError,
    RootMut, Status,
};
pub use select::{Cause, Context, LeftOut, OptOut, SelectError, Selection};
pub use want::Want;
