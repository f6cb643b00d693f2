//! The unified kernel image: the distribution's systemd-stub with the kernel, the initrd and the command
//! line as sections of one PE file, so that one signature covers them all (UAPI.5).

mod build;
mod pe;
mod read;

pub use build::UkiError;
pub use build::UkiInput;
pub use build::build_uki;
pub(crate) use pe::CERTIFICATE_DIRECTORY;
pub(crate) use pe::Pe;
pub use pe::PeError;
pub(crate) use pe::set_checksum;
pub use read::Uki;
pub use read::UkiSection;
pub use read::read_uki;
