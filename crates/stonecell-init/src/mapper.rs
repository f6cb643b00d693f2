//! Calling the device mapper; the only unsafe code of this program.

#![expect(unsafe_code, reason = "there is no other door to the device mapper than an ioctl")]

use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::symlink;

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use stonecell_init::cmdline::RootHash;
use stonecell_init::dm::{self, REQUEST_SIZE, Request};
use stonecell_init::verity::Target;

use crate::boot::BootError;

/// The name of the mapped device, as systemd's own initrd calls it.
const NAME: &str = "root";

/// Makes the verity device of the root and returns its node.
pub(crate) fn open(hash: &RootHash, target: &Target) -> Result<String, BootError> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/mapper/control")
        .map_err(|source| BootError::Read { path: "/dev/mapper/control".into(), source })?;
    let control = control.as_fd();
    // The form of `veritysetup`, so that its `status` and systemd know what this is.
    let uuid = format!("CRYPT-VERITY-{}-{NAME}", hash.hex().get(..32).unwrap_or_default());
    let answer = call(control, "create the device", Request::Create { uuid: &uuid })?;
    call(control, "load the verity table", Request::Load(target))?;
    call(control, "start the device", Request::Resume)?;
    let (_, minor) = dm::device(&answer);
    let node = format!("/dev/dm-{minor}");
    symlink(format!("../dm-{minor}"), format!("/dev/mapper/{NAME}"))
        .map_err(|source| BootError::Switch { step: "name /dev/mapper/root", source })?;
    Ok(node)
}

/// A request whose answer the kernel writes over it.
struct Call {
    opcode: u32,
    bytes: [u8; REQUEST_SIZE],
}

// SAFETY: the opcode is of the device mapper and says read and write; `as_ptr` points to
// REQUEST_SIZE bytes that live as long as the call, and the `data_size` that `Request::bytes` puts in
// them is REQUEST_SIZE, beyond which the kernel neither reads nor writes.
unsafe impl Ioctl for Call {
    type Output = [u8; REQUEST_SIZE];

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut core::ffi::c_void {
        self.bytes.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(
        _: IoctlOutput,
        answer: *mut core::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: `answer` is what `as_ptr` returned: REQUEST_SIZE initialised bytes, alignment 1.
        Ok(unsafe { *answer.cast::<[u8; REQUEST_SIZE]>() })
    }
}

fn call(
    control: BorrowedFd<'_>,
    step: &'static str,
    request: Request<'_>,
) -> Result<[u8; REQUEST_SIZE], BootError> {
    let bytes = request.bytes(NAME).ok_or(BootError::Mapper { step, source: Errno::TOOBIG })?;
    let call = Call { opcode: request.opcode(), bytes };
    // SAFETY: `control` is open on /dev/mapper/control, whose requests `Call` upholds (see there).
    unsafe { ioctl(control, call) }.map_err(|source| BootError::Mapper { step, source })
}
