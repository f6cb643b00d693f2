//! A disk image in QEMU: firmware, Secure Boot variables, devices, console.
//!
//! [`command_line`] is a pure function of a [`MachineSpec`]; [`Machine`] starts it, reads its console
//! and ends it. [`accelerator`] finds out whether KVM really works; [`Firmware::find`] finds OVMF;
//! [`variables::enrol`] writes Secure Boot keys into an empty variable store.

mod accelerator;
mod firmware;
mod machine;
mod qmp;
mod spec;
pub mod variables;

pub use accelerator::{Accelerator, accelerator};
pub use firmware::{Firmware, FirmwareError};
pub use machine::{End, Machine, MachineError};
pub use spec::{Boot, Bus, Console, Disk, Format, MachineSpec, Network, command_line, free_port};
