//! The parts of a PE32+ file that this crate reads and changes, every length checked.
//!
//! "Section 3" and so on are those of Microsoft's PE Format.

use object::LittleEndian as LE;
use object::pe;
use object::read::pe::ImageNtHeaders;

/// Index of the certificate table in the data directories.
pub(crate) const CERTIFICATE_DIRECTORY: usize = 4;
/// Index of the debug directory, whose entries hold file offsets.
pub(super) const DEBUG_DIRECTORY: usize = 6;
/// Where the checksum is in the optional header.
const CHECKSUM: usize = 64;
/// Where the data directories begin in a PE32+ optional header.
const DIRECTORIES: usize = 112;
/// Signature and file header, before the optional header.
const FILE_HEADER: usize = 24;
/// More sections than any stub or kernel has.
const MAX_SECTIONS: usize = 96;

/// Why a file is not a PE32+ program that can be used.
#[derive(Debug, thiserror::Error)]
pub enum PeError {
    /// Not a PE32+ file at all.
    #[error("not a PE32+ program")]
    Parse(#[source] object::Error),
    /// A place outside of the file, or a number that makes no sense.
    #[error("the PE file has a bad {what}")]
    Bad {
        /// What is wrong.
        what: &'static str,
    },
}

/// One section, as the section table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section<'a> {
    pub(crate) name: [u8; 8],
    pub(crate) virtual_size: u32,
    pub(crate) virtual_address: u32,
    pub(crate) characteristics: u32,
    /// Where `data` is in the file.
    pub(crate) file_offset: u32,
    /// The bytes in the file, as long as `SizeOfRawData`.
    pub(crate) data: &'a [u8],
}

impl Section<'_> {
    /// The name without its padding; `?` for what is not UTF-8.
    pub(crate) fn name(&self) -> String {
        let end = self.name.iter().position(|&byte| byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(self.name.get(..end).unwrap_or_default()).into_owned()
    }
}

/// A parsed PE32+ file.
#[derive(Debug)]
pub(crate) struct Pe<'a> {
    pub(crate) data: &'a [u8],
    /// Where the signature `PE\0\0` is.
    pub(crate) nt_offset: usize,
    pub(crate) section_alignment: u32,
    pub(crate) file_alignment: u32,
    pub(crate) size_of_headers: u32,
    /// Where the section table is.
    pub(crate) section_table: usize,
    pub(crate) sections: Vec<Section<'a>>,
    /// Address (a file offset for certificates) and size of each directory.
    pub(crate) directories: Vec<(u32, u32)>,
}

impl<'a> Pe<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, PeError> {
        let dos = pe::ImageDosHeader::parse(data).map_err(PeError::Parse)?;
        let mut offset = u64::from(dos.nt_headers_offset());
        let nt_offset = as_usize(offset)?;
        let (headers, directories) =
            pe::ImageNtHeaders64::parse(data, &mut offset).map_err(PeError::Parse)?;
        let table = headers.sections(data, offset).map_err(PeError::Parse)?;
        if table.len() > MAX_SECTIONS {
            return Err(PeError::Bad { what: "number of sections" });
        }
        let optional = headers.optional_header();
        let section_alignment = optional.section_alignment.get(LE);
        let file_alignment = optional.file_alignment.get(LE);
        if !file_alignment.is_power_of_two() || !section_alignment.is_power_of_two() {
            return Err(PeError::Bad { what: "alignment" });
        }
        let sections = table
            .iter()
            .map(|section| {
                let (start, size) =
                    (section.pointer_to_raw_data.get(LE), section.size_of_raw_data.get(LE));
                let bytes = if size == 0 {
                    &[][..]
                } else {
                    slice(data, start, size).ok_or(PeError::Bad { what: "section range" })?
                };
                Ok(Section {
                    name: section.name,
                    virtual_size: section.virtual_size.get(LE),
                    virtual_address: section.virtual_address.get(LE),
                    characteristics: section.characteristics.get(LE).0,
                    file_offset: start,
                    data: bytes,
                })
            })
            .collect::<Result<Vec<_>, PeError>>()?;
        let directories = directories
            .iter()
            .map(|entry| (entry.virtual_address.get(LE), entry.size.get(LE)))
            .collect();
        let size_of_headers = optional.size_of_headers.get(LE);
        let section_table = as_usize(offset)?;
        if section_table + table.len() * 40 > size_of_headers as usize
            || size_of_headers as usize > data.len()
        {
            return Err(PeError::Bad { what: "size of headers" });
        }
        let parsed = Self {
            data,
            nt_offset,
            section_alignment,
            file_alignment,
            size_of_headers,
            section_table,
            sections,
            directories,
        };
        // Later code writes these fields; they must lie in the headers.
        if parsed.directory_offset(CERTIFICATE_DIRECTORY) + 8 > section_table {
            return Err(PeError::Bad { what: "size of the optional header" });
        }
        Ok(parsed)
    }

    /// Where the optional header is.
    pub(crate) fn optional_offset(&self) -> usize {
        self.nt_offset + FILE_HEADER
    }

    /// Where the checksum is.
    pub(crate) fn checksum_offset(&self) -> usize {
        self.optional_offset() + CHECKSUM
    }

    /// Where the entry of a data directory is.
    pub(crate) fn directory_offset(&self, index: usize) -> usize {
        self.optional_offset() + DIRECTORIES + index * 8
    }

    /// Address and size of a data directory; zeros when the file has no such entry.
    pub(crate) fn directory(&self, index: usize) -> (u32, u32) {
        self.directories.get(index).copied().unwrap_or_default()
    }
}

fn as_usize(offset: u64) -> Result<usize, PeError> {
    usize::try_from(offset).map_err(|_| PeError::Bad { what: "header offset" })
}

/// `size` bytes at `start`, if they are all there.
pub(crate) fn slice(data: &[u8], start: u32, size: u32) -> Option<&[u8]> {
    let start = start as usize;
    data.get(start..start.checked_add(size as usize)?)
}

/// Puts the checksum of the image (`CheckSumMappedFile`): the sum of its 16-bit words with the carries
/// added back, plus its length.
pub(crate) fn set_checksum(image: &mut [u8], offset: usize) -> Result<(), PeError> {
    let bad = PeError::Bad { what: "checksum place" };
    match image.get_mut(offset..offset + 4) {
        Some(field) => field.fill(0),
        None => return Err(bad),
    }
    let (words, rest) = image.as_chunks::<2>();
    let mut sum: u64 = words.iter().map(|word| u64::from(u16::from_le_bytes(*word))).sum();
    sum += rest.first().copied().map_or(0, u64::from);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let length = u32::try_from(image.len()).map_err(|_| PeError::Bad { what: "size" })?;
    // The folded sum has 16 bits.
    let folded = u32::try_from(sum).map_err(|_| PeError::Bad { what: "sum" })?;
    let checksum = folded.wrapping_add(length);
    if let Some(field) = image.get_mut(offset..offset + 4) {
        field.copy_from_slice(&checksum.to_le_bytes());
    }
    Ok(())
}
