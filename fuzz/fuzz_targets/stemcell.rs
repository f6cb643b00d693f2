//! A stemcell, or the start of one: any tar is opened, and the files in it are read, or it is refused. It is compressed
//! here, so that the fuzzer reaches the tar within.
#![no_main]

mod seed;

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use stonecell_stemcell::disk::Disk;
use stonecell_stemcell::files::{self, FilesError};
use stonecell_stemcell::open::{self, Content};

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("stemcell.tgz");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::none());
    gzip.write_all(data).expect("into memory");
    std::fs::write(&path, gzip.finish().expect("into memory")).expect("into the directory");
    let work = dir.path().join("work");
    std::fs::create_dir(&work).expect("in the directory");
    let opened = open::open(&path, &work);
    seed::check(opened.is_ok());
    let Ok(opened) = opened else { return };
    match &opened.content {
        Content::Light => {}
        Content::Disk(raw) => {
            let disk = Disk::open(raw);
            seed::check(disk.is_ok());
            let _ = disk.map(|disk| disk.root_partitions().is_ok());
        }
        root => {
            let read = files::walk::<FilesError>(root, &mut |_, data| {
                std::io::copy(data, &mut std::io::sink()).map_err(FilesError::Tar)?;
                Ok(())
            });
            seed::check(read.is_ok());
        }
    }
});
