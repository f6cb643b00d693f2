//! The initrd: `stonecell-init`, its module list, and the modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stonecell_init::index::{self, Index};

use crate::alias;
use crate::cpio::{Archive, TooLarge};
use crate::drivers;
use crate::tree::{Tree, TreeError};

/// Of zstd. 9 makes the initrd a tenth smaller (1.42 against 1.57 MB) and takes five times as long (0.29 against 0.05 s).
const LEVEL: i32 = 3;

/// Larger than this is a mistake in the list of drivers.
pub const LIMIT: usize = 10 << 20;

/// What goes into an initrd.
#[derive(Debug, Clone)]
pub struct InitrdSpec<'a> {
    /// Root directory with the kernel's modules.
    pub root: &'a Path,
    /// Version of the kernel, as its directory is called.
    pub kernel_version: &'a str,
    /// The static program of `stonecell-init`.
    pub init: &'a [u8],
    /// Drivers beyond [`drivers::DEVICES`].
    pub extra_drivers: &'a [String],
    /// Time of every entry, in seconds since 1970.
    pub epoch: u32,
}

/// An initrd and what is in it.
#[derive(Debug, Clone)]
pub struct Initrd {
    /// A zstd-compressed cpio archive.
    pub bytes: Vec<u8>,
    /// Size of the archive before compression.
    pub unpacked: usize,
    /// Names of the modules in it.
    pub modules: BTreeSet<String>,
    /// Wanted drivers that this kernel does not have at all.
    pub missing: BTreeSet<String>,
}

/// Why there is no initrd.
#[derive(Debug, thiserror::Error)]
pub enum InitrdError {
    /// The modules cannot be read.
    #[error("initrd: modules of the root")]
    Tree(#[from] TreeError),
    /// The kernel cannot mount a verity root at all.
    #[error("initrd: kernel {version} has no module {name}, without which no image of ours boots")]
    NoAlways {
        /// Version of the kernel.
        version: String,
        /// The module.
        name: &'static str,
    },
    /// `init` is not a program that the kernel can start by itself.
    #[error("initrd: the init program is {0}; expected a static ELF executable")]
    Init(&'static str),
    /// An entry does not fit.
    #[error("initrd: archive")]
    Archive(#[from] TooLarge),
    /// Compression failed.
    #[error("initrd: zstd level {LEVEL}")]
    Compress(#[source] std::io::Error),
    /// The result is larger than [`LIMIT`].
    #[error("initrd: {size} bytes compressed, limit {LIMIT}; name fewer extra drivers")]
    Large {
        /// The size.
        size: usize,
    },
}

/// Builds the initrd of a root.
///
/// # Errors
/// See [`InitrdError`]. A wanted driver that the kernel lacks is no error but is reported: see
/// [`drivers::check`] for what an infrastructure needs.
pub fn build(spec: &InitrdSpec<'_>) -> Result<Initrd, InitrdError> {
    check_static(spec.init)?;
    let tree = Tree::read(spec.root, spec.kernel_version)?;
    let Plan { index, missing } = plan(&tree, spec.extra_drivers)?;
    let mut archive = Archive::new(spec.epoch);
    for name in ["dev", "modules", "proc", "sys", "sysroot"] {
        archive.directory(name, 0o755)?;
    }
    // The kernel opens the console before any file system is mounted; a program without standard
    // streams gets /dev/null for them.
    archive.character_device("dev/console", 0o600, (5, 1))?;
    archive.character_device("dev/null", 0o666, (1, 3))?;
    archive.file("init", 0o755, spec.init)?;
    archive.file("modules/index", 0o644, index.render().as_bytes())?;
    for name in index.modules.keys() {
        if let Some(module) = tree.modules.get(name) {
            archive.file(&format!("modules/{name}.ko"), 0o644, &tree.content(module)?)?;
        }
    }
    let archive = archive.finish()?;
    let bytes = zstd::bulk::compress(&archive, LEVEL).map_err(InitrdError::Compress)?;
    if bytes.len() > LIMIT {
        return Err(InitrdError::Large { size: bytes.len() });
    }
    let modules = index.modules.into_keys().collect();
    Ok(Initrd { bytes, unpacked: archive.len(), modules, missing })
}

/// What to put in.
struct Plan {
    index: Index,
    missing: BTreeSet<String>,
}

/// The modules of the wanted drivers with all that they need, and the aliases by which they are found.
fn plan(tree: &Tree, extra: &[String]) -> Result<Plan, InitrdError> {
    let mut always = BTreeSet::new();
    for name in drivers::ALWAYS {
        if tree.modules.contains_key(name) {
            always.insert(name.to_owned());
        } else if !tree.has(name) {
            return Err(InitrdError::NoAlways { version: tree.version.clone(), name });
        }
    }
    let wanted = drivers::DEVICES.iter().map(|&name| name.to_owned());
    let wanted: BTreeSet<String> = wanted.chain(extra.iter().map(|n| alias::normal(n))).collect();
    let missing = wanted.iter().filter(|name| !tree.has(name)).cloned().collect();

    let mut modules = BTreeMap::new();
    let mut todo: Vec<String> = always.iter().chain(&wanted).cloned().collect();
    while let Some(name) = todo.pop() {
        let Some(module) = tree.modules.get(&name) else { continue };
        if modules.contains_key(&name) {
            continue;
        }
        let soft = tree.before.get(&name).into_iter().flatten();
        let before: BTreeSet<String> = soft.flat_map(|word| tree.meant_by(word)).collect();
        todo.extend(before.iter().chain(&module.needs).cloned());
        modules.insert(name, index::Module { needs: module.needs.clone(), before });
    }
    // Only devices have aliases with a colon; the others are names for the kernel's own requests,
    // which nobody answers in an initrd.
    let aliases = tree
        .aliases
        .iter()
        .filter(|(pattern, name)| pattern.contains(':') && modules.contains_key(name))
        .cloned()
        .collect();
    Ok(Plan { index: Index { modules, always, aliases }, missing })
}

/// Refuses a program that needs an interpreter, which an initrd without libraries cannot give.
fn check_static(program: &[u8]) -> Result<(), InitrdError> {
    const INTERPRETER: u32 = 3;
    let u16_at = |at: usize| {
        Some(usize::from(u16::from_le_bytes(program.get(at..at + 2)?.try_into().ok()?)))
    };
    let headers = || {
        let start = program.get(32..40)?.try_into().ok().map(u64::from_le_bytes)?;
        Some((usize::try_from(start).ok()?, u16_at(54)?, u16_at(56)?))
    };
    if program.get(..5) != Some(b"\x7fELF\x02".as_slice()) {
        return Err(InitrdError::Init("not a 64-bit ELF file"));
    }
    let Some((start, size, count)) = headers() else {
        return Err(InitrdError::Init("cut short"));
    };
    for at in 0..count {
        let kind = at
            .checked_mul(size)
            .and_then(|offset| start.checked_add(offset))
            .and_then(|from| program.get(from..from.checked_add(4)?)?.try_into().ok())
            .map(u32::from_le_bytes);
        match kind {
            None => return Err(InitrdError::Init("cut short")),
            Some(INTERPRETER) => return Err(InitrdError::Init("dynamically linked")),
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::fake;

    /// The smallest file that passes for a static program.
    fn program() -> Vec<u8> {
        let mut elf = vec![0; 64];
        elf[..5].copy_from_slice(b"\x7fELF\x02");
        elf
    }

    fn root() -> tempfile::TempDir {
        fake(
            "kernel/dm-mod.ko:\nkernel/dm-verity.ko: kernel/dm-mod.ko\n\
             kernel/erofs.ko: kernel/libcrc32c.ko\nkernel/libcrc32c.ko:\nkernel/crc32c_x.ko:\n\
             kernel/virtio_blk.ko:\nkernel/e1000.ko:\nkernel/odd.ko:\n",
            "kernel/nvme.ko\n",
            "alias virtio:d00000002v* virtio_blk\nalias fs-erofs erofs\nalias crc32c crc32c_x\n\
             alias pci:v1 e1000\n",
            "softdep libcrc32c pre: crc32c\n",
        )
    }

    fn spec<'a>(root: &'a Path, init: &'a [u8], extra: &'a [String]) -> InitrdSpec<'a> {
        InitrdSpec { root, kernel_version: "6.1", init, extra_drivers: extra, epoch: 1 }
    }

    #[test]
    fn holds_the_wanted_modules_and_what_they_need() {
        let (root, init, extra) = (root(), program(), ["odd".to_owned()]);
        let initrd = build(&spec(root.path(), &init, &extra)).unwrap();
        let modules: Vec<&str> = initrd.modules.iter().map(String::as_str).collect();
        assert_eq!(
            modules,
            ["crc32c_x", "dm_mod", "dm_verity", "erofs", "libcrc32c", "odd", "virtio_blk"]
        );
        assert!(initrd.missing.contains("ahci") && !initrd.missing.contains("nvme"));
        let plan = plan(&Tree::read(root.path(), "6.1").unwrap(), &extra).unwrap();
        assert_eq!(
            plan.index.aliases,
            [("virtio:d00000002v*".to_owned(), "virtio_blk".to_owned())].into()
        );
        assert_eq!(Index::parse(&plan.index.render()).unwrap(), plan.index);
    }

    #[test]
    fn equal_inputs_give_equal_bytes() {
        let (one, two, init) = (root(), root(), program());
        let build = |root: &Path| build(&spec(root, &init, &[])).unwrap().bytes;
        assert_eq!(build(one.path()), build(two.path()));
    }

    #[test]
    fn a_kernel_without_verity_is_refused() {
        let root = fake("kernel/erofs.ko:\n", "", "", "");
        let error = build(&spec(root.path(), &program(), &[])).unwrap_err();
        assert!(matches!(error, InitrdError::NoAlways { name: "dm_verity", .. }), "{error}");
    }

    #[test]
    fn a_dynamic_program_is_refused() {
        let root = root();
        let mut dynamic = program();
        dynamic[32] = 64;
        dynamic[54] = 56;
        dynamic[56] = 1;
        assert!(matches!(check_static(&dynamic), Err(InitrdError::Init("cut short"))));
        dynamic.extend([3, 0, 0, 0]);
        for bad in [dynamic.as_slice(), b"#!/bin/sh\n", b""] {
            assert!(matches!(build(&spec(root.path(), bad, &[])), Err(InitrdError::Init(_))));
        }
    }
}
