//! The disk: where each partition lies, writing it, and reading it back.

mod assemble;
mod esp;
mod fat;
mod gpt;
mod layout;
mod types;

pub use assemble::AssembleError;
pub use assemble::EMPTY_LABEL;
pub use assemble::RawDisk;
pub use esp::BOOT_FILE;
pub use esp::EspError;
pub use esp::build_esp;
pub use esp::esp_bytes;
pub use fat::FatError;
pub use fat::read_esp_file;
pub use gpt::DiskView;
pub use gpt::GptError;
pub use gpt::read_disk;
pub use layout::DiskSpec;
pub use layout::Layout;
pub use layout::LayoutError;
pub use layout::Partition;
pub use layout::PartitionSpec;
pub use layout::layout;
pub use types::NO_AUTO;
pub use types::PartitionKind;
pub use types::READ_ONLY;
pub use types::StateFileSystem;
