//! Loose disk images: the names by which a definition and the command line ask for them, and what is made for each.

use stonecell_image::DiskFormat;

use crate::BuildError;

/// Everything that can be written, by its name, which is also the ending of the file.
pub(crate) const WRITTEN: [(&str, DiskFormat); 4] = [
    ("raw", DiskFormat::Raw),
    ("qcow2", DiskFormat::Qcow2),
    ("vhd", DiskFormat::VhdFixed),
    ("vmdk", DiskFormat::VmdkStream),
];

/// The format of this name.
///
/// # Errors
/// [`BuildError::Request`] when it cannot be written.
pub(crate) fn of_name(name: &str) -> Result<DiskFormat, BuildError> {
    let found = WRITTEN.iter().find(|(written, _)| *written == name);
    found.map(|(_, format)| *format).ok_or_else(|| {
        let names = WRITTEN.map(|(name, _)| name).join(", ");
        BuildError::Request(format!(
            "disk format {name} cannot be written: expected one of {names}"
        ))
    })
}

/// Is this the ending of a disk image?
pub(crate) fn is_ending(ending: &str) -> bool {
    WRITTEN.iter().any(|(name, _)| *name == ending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_refused_with_what_can() {
        assert_eq!(of_name("vhd").unwrap(), DiskFormat::VhdFixed);
        let error = of_name("vhdx").unwrap_err().to_string();
        assert!(
            error.contains("vhdx cannot be written") && error.contains("raw, qcow2"),
            "{error}"
        );
        assert!(is_ending("vmdk") && !is_ending("vhdx"));
    }
}
