//! Real kernels and firmware in QEMU. They need the archive (once) and minutes, so they are behind
//! the feature `real`.

mod boot;
mod secure_boot;
mod support;
