//! Real kernels and firmware in QEMU. They need the archive (once) and minutes, so they are behind
//! the feature `real`.

#[cfg(test)]
mod boot;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod secure_boot;
mod support;
