//! The click id that a redirect hands out as `tcid`.
//!
//! A token is self-contained: it names the click, its link and its visitor,
//! and is signed, so that a conversion which brings it back can be verified
//! and routed without a look-up. It is
//! `base64url(version ‖ key id ‖ click ‖ link ‖ visitor ‖ mac)`, 88 characters.
//! The MAC is HMAC-SHA-256, cut to 16 bytes, over the workspace and all that
//! comes before it: a token of one workspace does not verify in another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::ids::{EventId, LinkId, VisitorKey, WorkspaceId};

const VERSION: u8 = 1;
const BODY_BYTES: usize = 2 + 16 + 16 + 16;
const MAC_BYTES: usize = 16;
const TOKEN_BYTES: usize = BODY_BYTES + MAC_BYTES;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClickToken {
    /// The click's event id.
    pub click: EventId,
    /// The link that was clicked.
    pub link: LinkId,
    /// Who clicked.
    pub visitor: VisitorKey,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not of a token's form.
    #[error(
        "tcid is not a click token (it must be passed on whole, as it stood in the landing page's address)"
    )]
    Malformed,
    /// Signed with a key that is not known, or no longer.
    #[error("tcid was signed with a key that is not in use (key {0})")]
    UnknownKey(u8),
    /// Damaged, forged, or from another workspace.
    #[error("tcid does not verify for this workspace")]
    BadSignature,
}

/// A signing key. Key 0 is as good as any other.
#[derive(Clone)]
pub struct SigningKey {
    id: u8,
    /// Begun with the secret: what depends on it alone is reckoned once.
    mac: Hmac<Sha256>,
}

impl SigningKey {
    /// The key that tokens name as `id`, so that keys can be changed while old
    /// tokens live; `secret` is at least 32 random bytes.
    #[must_use]
    pub fn new(id: u8, secret: &[u8]) -> Self {
        Self { id, mac: Hmac::new_from_slice(secret).expect("HMAC takes any key length") }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

fn mac(key: &SigningKey, workspace: WorkspaceId, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.mac.clone();
    mac.update(workspace.0.as_bytes());
    mac.update(body);
    mac
}

/// Signs `token` for `workspace`.
#[must_use]
pub fn sign(token: &ClickToken, workspace: WorkspaceId, key: &SigningKey) -> String {
    let mut bytes = [0; TOKEN_BYTES];
    bytes[0] = VERSION;
    bytes[1] = key.id;
    bytes[2..18].copy_from_slice(token.click.0.as_bytes());
    bytes[18..34].copy_from_slice(token.link.0.as_bytes());
    bytes[34..50].copy_from_slice(&token.visitor.0);
    let signature = mac(key, workspace, &bytes[..BODY_BYTES]).finalize().into_bytes();
    bytes[BODY_BYTES..].copy_from_slice(&signature[..MAC_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads and verifies a token of `workspace`; `keys` are those in use.
///
/// # Errors
/// When the text is not a token, or was not signed for this workspace.
pub fn verify(text: &str, workspace: WorkspaceId, keys: &[SigningKey]) -> Result<ClickToken, TokenError> {
    let mut bytes = [0; TOKEN_BYTES];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(TOKEN_BYTES) if bytes[0] == VERSION => {}
        _ => return Err(TokenError::Malformed),
    }
    let (body, signature) = bytes.split_at(BODY_BYTES);
    let key = keys.iter().find(|key| key.id == bytes[1]).ok_or(TokenError::UnknownKey(bytes[1]))?;
    mac(key, workspace, body)
        .verify_truncated_left(signature)
        .map_err(|_mismatch| TokenError::BadSignature)?;
    let uuid = |range| Uuid::from_slice(&body[range]).expect("16 bytes");
    let mut visitor = [0; 16];
    visitor.copy_from_slice(&body[34..50]);
    Ok(ClickToken { click: EventId(uuid(2..18)), link: LinkId(uuid(18..34)), visitor: VisitorKey(visitor) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: WorkspaceId = WorkspaceId(Uuid::from_u128(7));
    const ELSEWHERE: WorkspaceId = WorkspaceId(Uuid::from_u128(8));

    fn key(id: u8) -> SigningKey {
        SigningKey::new(id, &[id.wrapping_add(1); 32])
    }

    fn token() -> ClickToken {
        ClickToken {
            click: EventId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)),
            link: LinkId(Uuid::from_u128(3)),
            visitor: VisitorKey([9; 16]),
        }
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let text = sign(&token(), HERE, &key(0));
        assert_eq!(text.len(), 88);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(verify(&text, HERE, &[key(0)]), Ok(token()));
    }

    #[test]
    fn keys_may_be_changed() {
        let old = sign(&token(), HERE, &key(1));
        assert_eq!(verify(&old, HERE, &[key(2), key(1)]), Ok(token()));
        assert_eq!(verify(&old, HERE, &[key(2)]), Err(TokenError::UnknownKey(1)));
    }

    #[test]
    fn another_workspace_or_key_does_not_verify() {
        let text = sign(&token(), HERE, &key(0));
        assert_eq!(verify(&text, ELSEWHERE, &[key(0)]), Err(TokenError::BadSignature));
        let impostor = SigningKey::new(0, &[7; 32]);
        assert_eq!(verify(&text, HERE, &[impostor]), Err(TokenError::BadSignature));
    }

    proptest! {
        #[test]
        fn no_other_text_verifies(text in "[A-Za-z0-9_-]{0,100}") {
            prop_assert!(verify(&text, HERE, &[key(0)]).is_err());
        }

        #[test]
        fn no_change_survives(at in 0_usize..88, letter in "[A-Za-z0-9_-]") {
            let text = sign(&token(), HERE, &key(0));
            let mut changed = text.clone();
            changed.replace_range(at..=at, &letter);
            if changed != text {
                prop_assert!(verify(&changed, HERE, &[key(0)]).is_err());
            }
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            prop_assert!(verify(&text, HERE, &[key(0)]).is_err());
        }
    }
}
