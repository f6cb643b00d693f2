//! The whole way from a signed archive to files in the cache, against archives made here.
#![expect(clippy::tests_outside_test_module, reason = "the whole file is one test program")]

mod keys;
mod repository;
mod resolution;
mod server;
mod signed;
mod transfer;
