//! The disk: erofs root, dm-verity tree, unified kernel image (UKI), Secure Boot signature, partition
//! table, state file systems and the disk formats of the clouds.
//!
//! Everything is made through file offsets: no mount, no loop device, no privilege beyond what reading the
//! tree needs. Everything is a function of the input: times are the epoch handed in, UUIDs are version 5 of
//! the identity handed in, orders are sorted. The decisions (`layout`, the verity geometry, the PE layout)
//! are pure; the shells around them run `mkfs.erofs`, `mke2fs`, `debugfs` and `qemu-img`.

pub mod build;
pub mod convert;
pub mod disk;
pub mod erofs;
pub mod ext4;
pub mod lanes;
pub mod secure_boot;
pub mod source;
pub mod sparse;
pub mod tool;
pub mod uki;
pub mod verity;

pub use build::BuiltImage;
pub use build::Event;
pub use build::ImageError;
pub use build::ImageInput;
pub use build::Phase;
pub use build::build_image;
pub use convert::DiskFormat;
pub use convert::convert;
pub use disk::DiskView;
pub use disk::StateFileSystem;
pub use disk::layout;
pub use disk::read_disk;
pub use erofs::Compression;
pub use erofs::build_erofs;
pub use secure_boot::SigningKey;
pub use secure_boot::generate_development_keys;
pub use secure_boot::sign_pe;
pub use secure_boot::verify_signature;
pub use uki::UkiInput;
pub use uki::build_uki;
pub use verity::RootHash;
pub use verity::build_verity;
