//! The whole catalogue that ships with the program: on a system in memory that has everything, and (feature `real`) on a real
//! Debian tree.
#![expect(clippy::tests_outside_test_module, reason = "the whole folder is one test program")]

#[cfg(feature = "real")]
mod debian;
mod memory;
mod support;
