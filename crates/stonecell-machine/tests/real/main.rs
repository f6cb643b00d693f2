//! Real kernels and firmware in QEMU. They need the archive (once) and minutes, so they are ignored
//! unless asked for (`make real`).

#[cfg(test)]
mod boot;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod secure_boot;
mod support;
