//! The decisions of the machine's first program, as functions over plain data.
//!
//! The program itself (`main.rs`) only reads, calls these, and does what they say. What a disk, a
//! device or the kernel hands over is foreign: every length is checked, and no input panics. The
//! only trusted input is the root hash in the signed kernel command line; dm-verity refuses every
//! block that does not follow from it.

pub mod cmdline;
pub mod dm;
pub mod fstab;
pub mod gpt;
pub mod index;
pub mod pattern;
pub mod uevent;
pub mod verity;
