//! Loading kernel modules out of the initrd.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::File;
use std::io;

use rustix::io::Errno;
use rustix::system::finit_module;
use stonecell_init::index::Index;

use crate::boot::BootError;
use crate::kmsg;

/// The modules of the initrd and which of them were tried.
pub(crate) struct Loader {
    index: Index,
    options: BTreeMap<String, String>,
    tried: BTreeSet<String>,
    aliases: BTreeSet<String>,
}

impl Loader {
    pub(crate) fn new(index: Index, options: &BTreeMap<String, String>) -> Self {
        let options = options.clone();
        Self { index, options, tried: BTreeSet::new(), aliases: BTreeSet::new() }
    }

    /// Loads what every machine needs.
    pub(crate) fn load_always(&mut self) -> Result<(), BootError> {
        for name in self.index.always.clone() {
            self.load(&name)?;
        }
        Ok(())
    }

    /// Loads the drivers of a device. One that fails is reported and left: the disk that we wait for
    /// may well hang on another.
    pub(crate) fn load_for(&mut self, modalias: &str) {
        if !self.aliases.insert(modalias.to_owned()) {
            return;
        }
        let drivers: Vec<String> =
            self.index.drivers(modalias).into_iter().map(str::to_owned).collect();
        for name in drivers {
            if let Err(error) = self.load(&name) {
                kmsg::warning(&error);
            }
        }
    }

    fn load(&mut self, name: &str) -> Result<(), BootError> {
        let order: Vec<(String, bool)> = self
            .index
            .load_order(name)
            .into_iter()
            .map(|(name, hard)| (name.to_owned(), hard))
            .collect();
        for (name, hard) in order {
            if !self.tried.insert(name.clone()) {
                continue;
            }
            match insert(&name, self.options.get(&name).map_or("", String::as_str)) {
                Err(source) if hard => return Err(BootError::Module { name, source }),
                // A soft dependency is often a faster form for a processor that this one is not.
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

fn insert(name: &str, options: &str) -> io::Result<()> {
    let file = File::open(format!("/modules/{name}.ko"))?;
    let options = CString::new(options)?;
    match finit_module(file, &options, 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
