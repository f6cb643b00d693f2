//! The only program of the test's root file system: says where it runs, reads all, switches off.

use std::{env, fs};

fn main() {
    println!("probe: {}", env::args().collect::<Vec<_>>().join(" "));
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines() {
        println!("probe: mount {line}");
    }
    println!("probe: old root {}", fs::exists("/modules").unwrap_or(true));
    match fs::read("/data") {
        Ok(data) => println!("probe: read {} bytes", data.len()),
        Err(error) => println!("probe: cannot read: {error}"),
    }
    println!("probe: end");
    let _ = fs::write("/proc/sysrq-trigger", "o");
    loop {
        std::thread::park();
    }
}
