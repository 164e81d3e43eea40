//! Cipher suites that can be decrypted (IANA's registry of TLS cipher suites): how records are protected. How keys were agreed on does not
//! matter to one who has the secrets.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20,
    /// With a tag of this many bytes.
    Aes128Ccm(usize),
    Aes256Ccm(usize),
    /// With HMAC by this hash.
    Aes128Cbc(Hash),
    Aes256Cbc(Hash),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
}

/// How a suite protects records, and the hash that its keys are made with (since TLS 1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) cipher: Cipher,
    pub(super) hash: Hash,
}

const fn suite(cipher: Cipher, hash: Hash) -> Suite {
    Suite { cipher, hash }
}

impl Suite {
    pub(super) fn of(id: u16) -> Option<Self> {
        use Cipher::{Aes128Cbc, Aes128Ccm, Aes128Gcm, Aes256Cbc, Aes256Ccm, Aes256Gcm, ChaCha20};
        use Hash::{Sha1, Sha256, Sha384};
        Some(match id {
            0x1301 => suite(Aes128Gcm, Sha256),
            0x1302 => suite(Aes256Gcm, Sha384),
            0x1303 => suite(ChaCha20, Sha256),
            0x1304 => suite(Aes128Ccm(16), Sha256),
            0x1305 => suite(Aes128Ccm(8), Sha256),
            0x009c | 0x009e | 0x00a0 | 0x00a2 | 0x00a4 | 0x00a6 | 0x00a8 | 0x00aa | 0x00ac | 0xc02b | 0xc02d
            | 0xc02f | 0xc031 | 0xd001 => suite(Aes128Gcm, Sha256),
            0x009d | 0x009f | 0x00a1 | 0x00a3 | 0x00a5 | 0x00a7 | 0x00a9 | 0x00ab | 0x00ad | 0xc02c | 0xc02e
            | 0xc030 | 0xc032 | 0xd002 => suite(Aes256Gcm, Sha384),
            0xcca8..=0xccae => suite(ChaCha20, Sha256),
            0xc09c | 0xc09e | 0xc0a4 | 0xc0a6 | 0xc0ac => suite(Aes128Ccm(16), Sha256),
            0xc09d | 0xc09f | 0xc0a5 | 0xc0a7 | 0xc0ad => suite(Aes256Ccm(16), Sha256),
            0xc0a0 | 0xc0a2 | 0xc0a8 | 0xc0aa | 0xc0ae => suite(Aes128Ccm(8), Sha256),
            0xc0a1 | 0xc0a3 | 0xc0a9 | 0xc0ab | 0xc0af => suite(Aes256Ccm(8), Sha256),
            0x002f..=0x0034
            | 0x008c
            | 0x0090
            | 0x0094
            | 0xc004
            | 0xc009
            | 0xc00e
            | 0xc013
            | 0xc018
            | 0xc01d..=0xc01f
            | 0xc035 => suite(Aes128Cbc(Sha1), Sha256),
            0x0035..=0x003a
            | 0x008d
            | 0x0091
            | 0x0095
            | 0xc005
            | 0xc00a
            | 0xc00f
            | 0xc014
            | 0xc019
            | 0xc020..=0xc022
            | 0xc036 => suite(Aes256Cbc(Sha1), Sha256),
            0x003c
            | 0x003e..=0x0040
            | 0x0067
            | 0x006c
            | 0x00ae
            | 0x00b2
            | 0x00b6
            | 0xc023
            | 0xc025
            | 0xc027
            | 0xc029
            | 0xc037 => suite(Aes128Cbc(Sha256), Sha256),
            0x003d | 0x0068..=0x006b | 0x006d => suite(Aes256Cbc(Sha256), Sha256),
            0x00af | 0x00b3 | 0x00b7 | 0xc024 | 0xc026 | 0xc028 | 0xc02a | 0xc038 => suite(Aes256Cbc(Sha384), Sha384),
            _ => return None,
        })
    }
}

impl Hash {
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }
}

impl Cipher {
    pub(super) const fn key_size(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Ccm(_) | Self::Aes128Cbc(_) => 16,
            Self::Aes256Gcm | Self::Aes256Ccm(_) | Self::Aes256Cbc(_) | Self::ChaCha20 => 32,
        }
    }

    /// The part of a nonce that comes from the key block, before TLS 1.3; a whole block for CBC in TLS 1.0.
    pub(super) const fn fixed_iv(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm | Self::Aes128Ccm(_) | Self::Aes256Ccm(_) => 4,
            Self::ChaCha20 => 12,
            Self::Aes128Cbc(_) | Self::Aes256Cbc(_) => 16,
        }
    }

    /// Bytes behind the content that authenticate it, where no padding comes between.
    pub(super) const fn tag(self) -> Option<usize> {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm | Self::ChaCha20 => Some(16),
            Self::Aes128Ccm(tag) | Self::Aes256Ccm(tag) => Some(tag),
            Self::Aes128Cbc(_) | Self::Aes256Cbc(_) => None,
        }
    }

    pub(super) const fn mac(self) -> Option<Hash> {
        match self {
            Self::Aes128Cbc(hash) | Self::Aes256Cbc(hash) => Some(hash),
            _ => None,
        }
    }
}
