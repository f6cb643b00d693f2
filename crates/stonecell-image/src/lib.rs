//! The disk: erofs root, verity, initrd, UKI, Secure Boot signature, partition table, disk formats.
