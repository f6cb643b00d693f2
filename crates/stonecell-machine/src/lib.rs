//! A stemcell in QEMU: firmware, Secure Boot variables, devices, console.
