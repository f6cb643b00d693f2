//! The checksums of a partition table, made right, so that what is fuzzed lies behind them.

/// `header` is the block of the header, `entries` what it describes, as far as it is there.
pub fn correct(header: &mut [u8], entries: &[u8]) {
    let field = |header: &[u8], at: usize| {
        header.get(at..at + 4).and_then(|bytes| Some(u32::from_le_bytes(bytes.try_into().ok()?)))
    };
    if header.len() < 92 || !header.starts_with(b"EFI PART") {
        return;
    }
    let (Some(count), Some(size)) = (field(header, 80), field(header, 84)) else { return };
    let length = usize::try_from(u64::from(count) * u64::from(size)).unwrap_or(usize::MAX);
    if let Some(entries) = entries.get(..length) {
        header[88..92].copy_from_slice(&crc32fast::hash(entries).to_le_bytes());
    }
    let length = field(header, 12).map_or(0, |length| length as usize);
    if (92..=header.len()).contains(&length) {
        header[16..20].fill(0);
        let sum = crc32fast::hash(&header[..length]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
    }
}
