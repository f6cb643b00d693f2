//! The build: definition and lock in, stemcells out; every step in order, in one namespace.
//!
//! [`build`] is the outside: it fetches, starts the inside in a namespace of its own ([`inner`]), and renames
//! what that has finished into place. Whatever happens, nothing but finished outputs is left behind.

pub mod accounts;
pub mod apparmor;
pub mod archive;
pub mod customise;
pub mod etc;
pub mod firewall;
mod formats;
pub mod fstab;
mod image;
pub mod inner;
pub mod kept_accounts;
pub mod keys;
pub mod outside;
pub mod packages;
pub mod plan;
pub mod progress;
pub mod project;
pub mod reproducible;
mod results;
mod staging;
pub mod state;
pub mod tree;
pub mod vcap;

use std::path::PathBuf;

pub use outside::{BuildRequest, Built, build};
use thiserror::Error;

/// Why a build failed.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The definition or its lock.
    #[error(transparent)]
    Project(#[from] project::ProjectError),
    /// What was asked for on the command line.
    #[error("{0}")]
    Request(String),
    /// Results of another build of the same stemcell lie in the output directory.
    #[error(
        "{} holds results of another build of {stemcell} that this one does not replace: {}; the proof of their \
         origin would be lost: remove them, or name another directory with --out",
        .out.display(), .files.join(", ")
    )]
    Leftover {
        /// The output directory.
        out: PathBuf,
        /// Name and version.
        stemcell: String,
        /// Which.
        files: Vec<String>,
    },
    /// Keys.
    #[error(transparent)]
    Keys(#[from] keys::KeysError),
    /// Packages.
    #[error(transparent)]
    Acquire(#[from] archive::AcquireError),
    /// The cache.
    #[error("the package cache cannot be used")]
    Cache(#[from] stonecell_packages::CacheError),
    /// The initrd's program is not there.
    #[error(
        "cannot find stonecell-init beside this program or in libexec: run `make build`, or set STONECELL_INIT"
    )]
    NoInit,
    /// The fast form of a package.
    #[error("a package cannot be read")]
    Store(#[from] stonecell_root::StoreError),
    /// The package with the UEFI stub.
    #[error("the package with the UEFI stub cannot be read")]
    Deb(#[from] stonecell_root::deb::DebError),
    /// A cached file is not what its name says.
    #[error("{0} is damaged: remove it and build again, it will be fetched anew")]
    Damaged(PathBuf),
    /// The tree.
    #[error("the root cannot be built")]
    Root(#[from] stonecell_root::RootError),
    /// The namespace.
    #[error("the build's namespace failed")]
    Sandbox(#[from] stonecell_root::sandbox::SandboxError),
    /// The definition's additions.
    #[error("the definition cannot be applied")]
    Customise(#[from] customise::CustomiseError),
    /// The agent's slot.
    #[error("the agent cannot be installed")]
    Vcap(#[from] vcap::VcapError),
    /// Opening the tree for controls.
    #[error("the root cannot be opened")]
    OpenRoot(#[from] stonecell_controls::OpenError),
    /// Writing into the tree.
    #[error(transparent)]
    Tree(#[from] tree::TreeError),
    /// A control cannot be applied.
    #[error("a control cannot be applied")]
    Apply(#[from] stonecell_controls::ApplyError),
    /// Controls do not hold on the result.
    #[error("{} controls do not hold on the finished root:\n  {}", .0.len(), .0.join("\n  "))]
    Controls(Vec<String>),
    /// Kernel modules.
    #[error("kernel modules cannot be selected")]
    Prune(#[from] stonecell_kernel::prune::PruneError),
    /// The modules of the kernel's package.
    #[error("the kernel's modules cannot be read")]
    Modules(#[from] stonecell_kernel::TreeError),
    /// An infrastructure's drivers are not in this kernel.
    #[error("this kernel cannot run there")]
    Drivers(#[from] stonecell_kernel::drivers::MissingDrivers),
    /// The initrd.
    #[error("the initrd cannot be made")]
    Initrd(#[from] stonecell_kernel::initrd::InitrdError),
    /// Not one kernel.
    #[error("expected one kernel in the root, found {}: correct [kernel] package", if .0.is_empty() { "none".to_owned() } else { .0.join(", ") })]
    Kernels(Vec<String>),
    /// The lock has no stub.
    #[error(
        "the lock has no {}, which carries the UEFI stub: run `stonecell lock` again",
        archive::STUB_PACKAGE
    )]
    NoStub,
    /// dpkg -l failed.
    #[error("dpkg -l fails in the finished root:\n{}", .0.join("\n"))]
    PackageList(Vec<String>),
    /// State trees.
    #[error("the state partitions cannot be split off")]
    Split(#[from] state::SplitError),
    /// Secure Boot keys.
    #[error("the Secure Boot key cannot be used")]
    SecureBoot(#[from] stonecell_image::secure_boot::KeyError),
    /// The disk.
    #[error("the disk cannot be made")]
    Image(#[from] stonecell_image::ImageError),
    /// A disk format.
    #[error("the disk cannot be converted")]
    Convert(#[from] stonecell_image::convert::ConvertError),
    /// A stemcell.
    #[error("the stemcell cannot be written")]
    Wrap(#[from] stonecell_stemcell::wrap::WrapError),
    /// The stemcell key.
    #[error("the stemcell key cannot be used")]
    Key(#[from] stonecell_stemcell::signature::KeyError),
    /// A signature.
    #[error("an output cannot be signed")]
    Sign(#[from] stonecell_stemcell::signature::SignError),
    /// The provenance.
    #[error("the provenance cannot be signed")]
    Provenance(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// JSON.
    #[error("a document cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// Two outputs that differ cannot be looked into.
    #[error("the differences between two builds cannot be told")]
    Explain(#[source] stonecell_stemcell::diff::DiffError),
    /// A file.
    #[error("cannot {action} {path}")]
    Io {
        /// For example `write`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two builds differ.
    #[error("two builds from one lock differ:\n  {}", .0.join("\n  "))]
    Unreproducible(Vec<String>),
    /// The inside said what was wrong and ended with this code.
    #[error("the build failed")]
    Inside(u8),
    /// A signal.
    #[error("interrupted: the output directory is as it was, what was fetched stays in the cache")]
    Interrupted,
}
