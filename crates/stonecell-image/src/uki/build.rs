//! Adding sections to a systemd-stub.
//!
//! The file is written anew: headers with room for the longer section table, the stub's sections, then the
//! new ones, each at the next multiple of the alignment in file and memory. The stub's addresses do not
//! change, only file offsets. What lies outside of the sections (a COFF symbol table) is dropped. `.linux`
//! comes last, as `ukify` does it, because a kernel may use memory behind its end.

use super::Pe;
use super::PeError;
use super::pe::DEBUG_DIRECTORY;
use super::pe::set_checksum;
use crate::uki::CERTIFICATE_DIRECTORY;

/// Initialised data, readable.
const CHARACTERISTICS: u32 = 0x4000_0040;
/// New sections start on whole pages, whatever the stub's own alignment is.
const PAGE: u32 = 4096;
/// Bytes of one entry of the section table.
const SECTION_HEADER: usize = 40;

/// What goes into the image.
#[derive(Debug)]
pub struct UkiInput<'a> {
    /// `linuxx64.efi.stub` of systemd.
    pub stub: &'a [u8],
    /// Content of `os-release`.
    pub os_release: &'a str,
    /// The whole kernel command line.
    pub command_line: &'a str,
    /// Version of the kernel (`uname -r`).
    pub kernel_version: &'a str,
    /// A BMP picture.
    pub splash: Option<&'a [u8]>,
    /// The kernel (bzImage).
    pub linux: &'a [u8],
    /// The initrd.
    pub initrd: &'a [u8],
}

/// Why there is no UKI.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// The stub cannot be used.
    #[error("the systemd-stub cannot be used")]
    Stub(#[source] PeError),
    /// The stub has the section already, so it is a UKI.
    #[error("the stub already has a section {name}; give the plain linuxx64.efi.stub")]
    HasSection {
        /// The section.
        name: String,
    },
    /// The stub has file offsets that moving its sections would break.
    #[error("the stub has {what}, which cannot be moved; give the unsigned linuxx64.efi.stub")]
    Immovable {
        /// What it has.
        what: &'static str,
    },
    /// No room for more headers below the first section.
    #[error("the stub has no room for {sections} section headers below its first section")]
    NoRoom {
        /// Sections in all.
        sections: usize,
    },
    /// More than a PE file can address.
    #[error("the UKI would be larger than 4 GiB")]
    TooLarge,
    /// The kernel is not one that a stub starts.
    #[error("the kernel is empty or no PE program; a bzImage with CONFIG_EFI_STUB is needed")]
    Kernel,
}

/// Builds the unsigned UKI.
pub fn build_uki(input: &UkiInput<'_>) -> Result<Vec<u8>, UkiError> {
    if !input.linux.starts_with(b"MZ") {
        return Err(UkiError::Kernel);
    }
    let mut sections: Vec<(&[u8; 8], &[u8])> = vec![
        (b".osrel\0\0", input.os_release.as_bytes()),
        (b".cmdline", input.command_line.as_bytes()),
        (b".uname\0\0", input.kernel_version.as_bytes()),
    ];
    sections.extend(input.splash.map(|splash| (b".splash\0", splash)));
    sections.push((b".initrd\0", input.initrd));
    sections.push((b".linux\0\0", input.linux));
    add_sections(input.stub, &sections)
}

fn add_sections(stub: &[u8], added: &[(&[u8; 8], &[u8])]) -> Result<Vec<u8>, UkiError> {
    let pe = Pe::parse(stub).map_err(UkiError::Stub)?;
    if pe.directory(CERTIFICATE_DIRECTORY).1 != 0 {
        return Err(UkiError::Immovable { what: "a signature" });
    }
    if pe.directory(DEBUG_DIRECTORY).1 != 0 {
        return Err(UkiError::Immovable { what: "a debug directory" });
    }
    if let Some(section) =
        pe.sections.iter().find(|section| added.iter().any(|(name, _)| **name == section.name))
    {
        return Err(UkiError::HasSection { name: section.name() });
    }

    let count = pe.sections.len() + added.len();
    let no_room = || UkiError::NoRoom { sections: count };
    let header_end = size(pe.section_table + count * SECTION_HEADER)?;
    let headers = align(header_end, pe.file_alignment)?.max(pe.size_of_headers);
    let first_address = pe.sections.iter().map(|section| section.virtual_address).min();
    if headers > first_address.unwrap_or(0) {
        return Err(no_room());
    }

    let mut writer = Writer::new(&pe, headers)?;
    // In the order of the file, so that the offsets stay as they are when nothing has to move.
    let mut order: Vec<usize> = (0..pe.sections.len()).collect();
    order.sort_by_key(|&index| pe.sections.get(index).map(|section| section.file_offset));
    for index in order {
        if let Some(section) = pe.sections.get(index) {
            let offset = writer.append(section.data)?;
            writer.header(index, &section.name, section.virtual_size, section.virtual_address)?;
            writer.place(index, section.data.len(), offset, section.characteristics)?;
        }
    }
    let mut address = writer.end_of_memory;
    for (index, (name, data)) in (pe.sections.len()..).zip(added) {
        address = align(address, pe.section_alignment.max(PAGE))?;
        let offset = writer.append(data)?;
        writer.header(index, name, size(data.len())?, address)?;
        writer.place(index, data.len(), offset, CHARACTERISTICS)?;
        writer.added_bytes += u64::from(align(size(data.len())?, pe.file_alignment)?);
        address = writer.end_of_memory;
    }
    writer.finish(count)
}

/// The new file as it grows.
struct Writer<'a> {
    pe: &'a Pe<'a>,
    image: Vec<u8>,
    end_of_memory: u32,
    added_bytes: u64,
    headers: u32,
}

impl<'a> Writer<'a> {
    fn new(pe: &'a Pe<'a>, headers: u32) -> Result<Self, UkiError> {
        let old = pe.data.get(..pe.section_table);
        let mut image = old.ok_or(UkiError::Stub(PeError::Bad { what: "section table" }))?.to_vec();
        image.resize(headers as usize, 0);
        Ok(Self { pe, image, end_of_memory: 0, added_bytes: 0, headers })
    }

    /// Appends a section's bytes and returns where they are; 0 for none.
    fn append(&mut self, data: &[u8]) -> Result<u32, UkiError> {
        if data.is_empty() {
            return Ok(0);
        }
        let offset = size(self.image.len())?;
        self.image.extend_from_slice(data);
        let end = align(size(self.image.len())?, self.pe.file_alignment)?;
        self.image.resize(end as usize, 0);
        Ok(offset)
    }

    /// Name and place in memory of the section header `index`.
    fn header(
        &mut self,
        index: usize,
        name: &[u8; 8],
        virtual_size: u32,
        address: u32,
    ) -> Result<(), UkiError> {
        let at = self.pe.section_table + index * SECTION_HEADER;
        self.put(at, name)?;
        self.put(at + 8, &virtual_size.to_le_bytes())?;
        self.put(at + 12, &address.to_le_bytes())?;
        let end = address.checked_add(virtual_size).ok_or(UkiError::TooLarge)?;
        self.end_of_memory = self.end_of_memory.max(end);
        Ok(())
    }

    /// Place in the file and characteristics of the section header `index`.
    fn place(
        &mut self,
        index: usize,
        length: usize,
        offset: u32,
        characteristics: u32,
    ) -> Result<(), UkiError> {
        let at = self.pe.section_table + index * SECTION_HEADER;
        let raw = align(size(length)?, self.pe.file_alignment)?;
        self.put(at + 16, &raw.to_le_bytes())?;
        self.put(at + 20, &offset.to_le_bytes())?;
        self.put(at + 36, &characteristics.to_le_bytes())
    }

    /// Header fields that follow from the sections, then the checksum.
    fn finish(mut self, count: usize) -> Result<Vec<u8>, UkiError> {
        let nt = self.pe.nt_offset;
        let optional = self.pe.optional_offset();
        let count = u16::try_from(count).map_err(|_| UkiError::TooLarge)?;
        self.put(nt + 6, &count.to_le_bytes())?;
        // No symbol table: PointerToSymbolTable and NumberOfSymbols.
        self.put(nt + 12, &[0; 8])?;
        let initialised = self.u32_at(optional + 8)?;
        let initialised = u32::try_from(u64::from(initialised) + self.added_bytes)
            .map_err(|_| UkiError::TooLarge)?;
        self.put(optional + 8, &initialised.to_le_bytes())?;
        let memory = align(self.end_of_memory, self.pe.section_alignment.max(PAGE))?;
        self.put(optional + 56, &memory.to_le_bytes())?;
        let headers = self.headers;
        self.put(optional + 60, &headers.to_le_bytes())?;
        set_checksum(&mut self.image, self.pe.checksum_offset()).map_err(UkiError::Stub)?;
        Ok(self.image)
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<(), UkiError> {
        let field = self.image.get_mut(offset..offset + bytes.len());
        let field = field.ok_or(UkiError::Stub(PeError::Bad { what: "header field" }))?;
        field.copy_from_slice(bytes);
        Ok(())
    }

    fn u32_at(&self, offset: usize) -> Result<u32, UkiError> {
        let field = self.image.get(offset..).and_then(|rest| rest.first_chunk::<4>());
        let field = field.ok_or(UkiError::Stub(PeError::Bad { what: "header field" }))?;
        Ok(u32::from_le_bytes(*field))
    }
}

fn size(length: usize) -> Result<u32, UkiError> {
    u32::try_from(length).map_err(|_| UkiError::TooLarge)
}

fn align(value: u32, alignment: u32) -> Result<u32, UkiError> {
    value.checked_next_multiple_of(alignment).ok_or(UkiError::TooLarge)
}
