//! Secrets that have to be kept to be used, sealed with a key that is kept
//! elsewhere: ChaCha20-Poly1305 (RFC 8439) with a random nonce in front. What a
//! secret belongs to is sealed with it, so that it opens nowhere else.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// The key that secrets are sealed with.
pub struct SealingKey(LessSafeKey);

/// Why a key is none, or a secret does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not 64 hexadecimal digits.
    #[error("a secrets key is 64 hexadecimal digits: 32 random bytes")]
    Key,
    /// Sealed with another key, for something else, or damaged.
    #[error("the secret was sealed with another secrets key, or is damaged")]
    Secret,
}

impl SealingKey {
    /// The key that is written so.
    ///
    /// # Errors
    /// When it is no 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, SealError> {
        let bytes: [u8; 32] = hex::decode_to_array(text.trim()).map_err(|_| SealError::Key)?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).map_err(|_| SealError::Key)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals a secret of `owner`.
    ///
    /// # Errors
    /// When it is longer than can be sealed (hundreds of gigabytes).
    pub fn seal(&self, owner: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce = crate::random::bytes::<NONCE_LEN>();
        let mut sealed = secret.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner), &mut sealed)
            .map_err(|_| SealError::Secret)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed of `owner`.
    ///
    /// # Errors
    /// When it was not sealed so.
    pub fn open(&self, owner: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Secret)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Secret)?;
        let mut opened = sealed.to_vec();
        let secret =
            self.0.open_in_place(nonce, Aad::from(owner), &mut opened).map_err(|_| SealError::Secret)?;
        Ok(secret.to_vec())
    }
}

/// No key is ever shown.
impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_where_it_belongs() {
        let key = |byte: &str| SealingKey::from_hex(&byte.repeat(32)).unwrap();
        let (key, other) = (key("0a"), key("0b"));
        let sealed = key.seal(b"ada", b"token").unwrap();
        assert_eq!(key.open(b"ada", &sealed).unwrap(), b"token");
        assert_ne!(key.seal(b"ada", b"token").unwrap(), sealed);
        assert_eq!(key.open(b"bob", &sealed), Err(SealError::Secret));
        assert_eq!(other.open(b"ada", &sealed), Err(SealError::Secret));
        assert_eq!(key.open(b"ada", &sealed[..5]), Err(SealError::Secret));
        for index in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[index] ^= 1;
            assert_eq!(key.open(b"ada", &damaged), Err(SealError::Secret), "{index}");
        }
        for text in ["", "0a", &"0a".repeat(33), &"zz".repeat(32)] {
            assert_eq!(SealingKey::from_hex(text).err(), Some(SealError::Key), "{text}");
        }
    }
}
