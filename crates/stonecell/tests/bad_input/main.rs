//! Everything that a user can get wrong or that can go wrong around them, by the program that they type: what it says,
//! with which exit code it ends, and that nothing is left behind. No network, but for the whole
//! builds of real packages, which are ignored unless asked for (`make real`).
#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

mod archive;
#[path = "../../../stonecell-root/tests/crafted/mod.rs"]
mod crafted;
mod definition;
#[path = "../support/init.rs"]
mod init;
mod interrupt;
#[path = "../../../stonecell-packages/tests/local_archive/keys.rs"]
#[expect(dead_code, reason = "the tests of the packages use more of it")]
mod keys;
mod mirror;
mod package;
mod program;
#[path = "../../../stonecell-packages/tests/local_archive/server.rs"]
#[allow(dead_code, reason = "the tests of the packages use more of it")]
mod server;
mod signing;
mod whole;
