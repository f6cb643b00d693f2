//! Listing and taking out the sections of a UKI that may be hostile. Pure; the fuzz target `uki` feeds it.

use serde::Serialize;

use super::Pe;
use super::PeError;

/// A UKI taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uki<'a> {
    /// The sections in the order of the table.
    pub sections: Vec<UkiSection<'a>>,
    /// Whether it has a certificate table. That a signature is there says nothing about its worth.
    pub signed: bool,
}

/// One section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UkiSection<'a> {
    /// For example `.linux`.
    pub name: String,
    /// Address relative to the start of the image in memory.
    pub address: u32,
    /// Bytes in memory.
    pub virtual_size: u32,
    /// The content, without the padding of the file.
    #[serde(skip)]
    pub data: &'a [u8],
}

impl<'a> Uki<'a> {
    /// The content of the first section with this name.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        self.sections.iter().find(|section| section.name == name).map(|section| section.data)
    }

    /// The kernel command line, if there is one and it is text.
    pub fn command_line(&self) -> Option<&'a str> {
        let bytes = self.section(".cmdline")?;
        let text = std::str::from_utf8(bytes).ok()?;
        Some(text.trim_end_matches(['\0', '\n', ' ']))
    }
}

/// Reads the section table and checks that every section lies in the file.
pub fn read_uki(image: &[u8]) -> Result<Uki<'_>, PeError> {
    let pe = Pe::parse(image)?;
    let sections = pe
        .sections
        .iter()
        .map(|section| {
            let used = section.data.len().min(section.virtual_size as usize);
            UkiSection {
                name: section.name(),
                address: section.virtual_address,
                virtual_size: section.virtual_size,
                data: section.data.get(..used).unwrap_or_default(),
            }
        })
        .collect();
    let signed = pe.directory(super::CERTIFICATE_DIRECTORY).1 != 0;
    Ok(Uki { sections, signed })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = read_uki(&bytes);
        }

        #[test]
        fn foreign_headers_do_not_panic(
            fields in prop::collection::vec(any::<u8>(), 400), sections in 0_u16..12,
        ) {
            let mut image = vec![0; 64];
            image[..2].copy_from_slice(b"MZ");
            image[60] = 64;
            image.extend_from_slice(b"PE\0\0");
            image.extend_from_slice(&fields);
            image[70..72].copy_from_slice(&sections.to_le_bytes());
            image[84..86].copy_from_slice(&240_u16.to_le_bytes());
            image[88..90].copy_from_slice(&0x20b_u16.to_le_bytes());
            image[196..200].copy_from_slice(&16_u32.to_le_bytes());
            image.resize(4096, 0);
            let _ = read_uki(&image);
        }
    }
}
