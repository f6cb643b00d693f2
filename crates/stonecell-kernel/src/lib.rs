//! The kernel's modules, from the host's side.
//!
//! [`Tree`] reads the modules of a root; [`initrd::build`] makes the initrd of `stonecell-init` and the
//! drivers that lead to the root disk; [`prune::prune`] deletes the modules that a role does not need;
//! [`drivers`] says what an infrastructure needs at least. All of it is a function of the tree and its
//! arguments: no clock, no randomness, sorted orders.

mod alias;
mod cpio;
pub mod drivers;
pub mod initrd;
mod module_file;
pub mod prune;
mod tree;

pub use tree::{Module, Tree, TreeError};
