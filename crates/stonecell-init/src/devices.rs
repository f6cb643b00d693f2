//! The devices of the machine: what is there, what appears, and which disk is ours.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};
use stonecell_init::cmdline::RootHash;
use stonecell_init::verity::Device;
use stonecell_init::{gpt, uevent};

use crate::boot::BootError;
use crate::modules::Loader;

/// The multicast group of the kernel's own messages (udev's are in 2).
const KERNEL_GROUP: u32 = 1;
/// Room for messages while a driver probes a machine full of disks.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Sectors in sysfs are of this size whatever the disk's.
const SECTOR: u64 = 512;

/// A partition of the disk that we look for.
pub(crate) struct Partition {
    /// The kernel's name, such as `vda2`.
    pub(crate) name: String,
    pub(crate) device: Device,
}

/// Root and verity partition of one disk.
pub(crate) struct Pair {
    /// The disk in sysfs.
    disk: PathBuf,
    pub(crate) root: Partition,
    pub(crate) verity: Partition,
}

impl Pair {
    /// All partitions of the disk.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        list(&self.disk).iter().filter_map(|child| partition(child)).collect()
    }
}

/// The kernel's messages about devices.
pub(crate) struct Watch {
    socket: OwnedFd,
    lost: bool,
}

impl Watch {
    pub(crate) fn open() -> Result<Self, BootError> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))
                .map_err(BootError::Events)?;
        // A smaller buffer only means that lost messages are noticed more often.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP)).map_err(BootError::Events)?;
        Ok(Self { socket, lost: false })
    }

    /// Takes all messages that are there and loads the drivers that they name.
    pub(crate) fn drain(&mut self, loader: &mut Loader) -> Result<(), BootError> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
        loop {
            match recvfrom(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok(((message, _), _, sender)) => {
                    // Port 0 is the kernel.
                    let kernel = sender
                        .and_then(|address| SocketAddrNetlink::try_from(address).ok())
                        .is_some_and(|address| address.pid() == 0);
                    if let Some(event) = uevent::parse(message).filter(|_| kernel)
                        && let Some(alias) = event.modalias
                        && event.action == "add"
                    {
                        loader.load_for(&alias);
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => self.lost = true,
                Err(errno) => return Err(BootError::Events(errno)),
            }
        }
    }

    /// Waits for the next message; false if the time is over.
    pub(crate) fn wait(&self, deadline: Instant) -> Result<bool, BootError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(BootError::Events(errno)),
            }
        }
    }

    /// True once after messages did not fit into the socket's buffer.
    pub(crate) fn lost_messages(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }
}

/// The alias of the processor: it names drivers of its instructions.
pub(crate) fn processor() -> Option<String> {
    read_line(Path::new("/sys/devices/system/cpu/modalias"))
}

/// The aliases of all devices that are there now.
pub(crate) fn modaliases() -> Vec<String> {
    let buses = list(Path::new("/sys/bus"));
    let devices = buses.iter().flat_map(|bus| list(&bus.join("devices")));
    let mut aliases: Vec<String> =
        devices.filter_map(|device| read_line(&device.join("modalias"))).collect();
    aliases.sort();
    aliases.dedup();
    aliases
}

/// The names of the disks that could hold the root.
pub(crate) fn disk_names() -> Vec<String> {
    const NOT_DISKS: [&str; 8] = ["dm-", "fd", "loop", "md", "nbd", "ram", "sr", "zram"];
    list(Path::new("/sys/block"))
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)))
        .collect()
}

/// Looks for a disk that has both partitions of the root hash. A disk that cannot be read is not it.
pub(crate) fn find(hash: &RootHash) -> Option<Pair> {
    disk_names().iter().find_map(|disk| pair(disk, hash))
}

fn pair(disk: &str, hash: &RootHash) -> Option<Pair> {
    let sysfs = Path::new("/sys/block").join(disk);
    let block = number(&sysfs.join("queue/logical_block_size"))?;
    let table = table(disk, block)?;
    let of_uuid = |uuid: [u8; 16]| {
        let entry = table.iter().find(|entry| entry.uuid == uuid)?;
        list(&sysfs).iter().find_map(|child| {
            let start = entry.first.checked_mul(block)? / SECTOR;
            let ours = number(&child.join("partition"))? == u64::from(entry.number)
                && number(&child.join("start"))? == start;
            ours.then(|| partition(child)).flatten()
        })
    };
    let (root, verity) = (of_uuid(hash.root_uuid())?, of_uuid(hash.verity_uuid())?);
    Some(Pair { disk: sysfs, root, verity })
}

/// The partition that this directory of sysfs describes, if it does.
fn partition(sysfs: &Path) -> Option<Partition> {
    number(&sysfs.join("partition"))?;
    let (major, minor) = read_line(&sysfs.join("dev"))?
        .split_once(':')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))?;
    let bytes = number(&sysfs.join("size"))?.checked_mul(SECTOR)?;
    let name = sysfs.file_name()?.to_str()?.to_owned();
    Some(Partition { name, device: Device { major, minor, bytes } })
}

/// The partitions of a disk whose table can be read and is sound.
fn table(disk: &str, block: u64) -> Option<Vec<gpt::Partition>> {
    if !(512..=65536).contains(&block) {
        return None;
    }
    let device = File::open(node(disk)).ok()?;
    let mut header = vec![0; usize::try_from(block).ok()?];
    device.read_exact_at(&mut header, block).ok()?;
    let header = gpt::header(&header).ok()?;
    let mut entries = vec![0; header.entries_size()];
    device.read_exact_at(&mut entries, header.entries_offset).ok()?;
    gpt::partitions(&header, &entries).ok()
}

/// The first bytes of a partition.
pub(crate) fn read_start(partition: &Partition, size: usize) -> Result<Vec<u8>, BootError> {
    let path = node(&partition.name);
    let mut bytes = vec![0; size];
    let read = || File::open(&path)?.read_exact_at(&mut bytes, 0);
    let result: io::Result<()> = { read }();
    result.map_err(|source| BootError::Read { path, source })?;
    Ok(bytes)
}

/// The device node; the kernel writes a slash in a name as an exclamation mark.
pub(crate) fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

/// The entries of a directory in order; none if it cannot be read (devices come and go).
fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn read_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

fn number(path: &Path) -> Option<u64> {
    read_line(path)?.parse().ok()
}
