//! The whole catalogue that ships with the program: on a system in memory that has everything, and, where asked
//! for (`make real`), on a real Debian tree.
#![expect(clippy::tests_outside_test_module, reason = "the whole folder is one test program")]

mod debian;
mod memory;
mod support;
