//! Tables as a program had them.

use cgoprof_hook::layout::MAGIC;
use cgoprof_symbols::Avma;

/// The bytes of tables, and the address at which the program had them.
pub struct TablesImage {
    pub(super) address: Avma,
    pub(super) bytes: Vec<u8>,
}

impl TablesImage {
    /// Reads a file that [`TablesImage::write`] has written; none if it is no such file, or its tables have another
    /// layout.
    pub fn read(file: &[u8]) -> Option<TablesImage> {
        let (address, bytes) = file.split_first_chunk()?;
        (bytes.get(..8)? == MAGIC.to_le_bytes())
            .then(|| TablesImage { address: Avma(u64::from_le_bytes(*address)), bytes: bytes.to_vec() })
    }

    /// Returns a file of tables: the address, then the bytes up to the last that is not zero.
    pub fn write(address: Avma, bytes: &[u8]) -> Vec<u8> {
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let mut file = address.0.to_le_bytes().to_vec();
        file.extend(&bytes[..used]);
        file
    }
}
