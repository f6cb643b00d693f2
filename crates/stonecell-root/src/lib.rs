//! The root: .deb files become a configured tree, as dpkg would have made it, in a fraction of its time.
//!
//! [`store::Store`] keeps each package in a fast form; [`build_root`] unpacks a set natively (ADR 3),
//! lets the root's own dpkg configure it inside [`sandbox`] (ADR 4), and cleans it.

pub mod ar;
mod build;
mod clean;
pub mod control;
mod database;
pub mod deb;
mod filter;
mod layout;
mod package;
pub mod sandbox;
mod scripts;
pub mod store;
mod synthetic;
pub mod tarball;
mod tree;
mod unpack;
pub mod version;
mod waves;

pub use build::{Event, RootError, RootReport, RootSpec, build_root};
pub use clean::CleanError;
pub use filter::PatternError;
pub use layout::LayoutError;
pub use scripts::ScriptError;
pub use store::{Store, StoreError};
pub use synthetic::{Synthetic, SyntheticFile};
pub use unpack::UnpackError;
pub use waves::WaveError;
