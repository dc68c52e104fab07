//! Any text as a click token: only what was signed verifies.
#![no_main]

use domain::ids::{EventId, LinkId, VisitorKey, WorkspaceId};
use domain::token::{ClickToken, SigningKey, sign, verify};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

fuzz_target!(|bytes: &[u8]| {
    let workspace = WorkspaceId(Uuid::from_u128(1));
    let keys = [SigningKey::new(0, &[7; 32])];
    let token = ClickToken {
        click: EventId(Uuid::from_u128(3)),
        link: LinkId(Uuid::from_u128(4)),
        visitor: VisitorKey([5; 16]),
    };
    let genuine = sign(&token, workspace, &keys[0]);
    assert_eq!(verify(&genuine, workspace, &keys), Ok(token));
    // As a text of its own.
    if let Ok(text) = std::str::from_utf8(bytes)
        && text != genuine
    {
        assert!(verify(text, workspace, &keys).is_err(), "{text}");
    }
    // As changes of a genuine one: places and letters by turns.
    let mut changed = genuine.clone().into_bytes();
    for pair in bytes.chunks_exact(2) {
        let at = usize::from(pair[0]) % changed.len();
        changed[at] = pair[1];
    }
    if let Ok(text) = String::from_utf8(changed)
        && text != genuine
    {
        assert!(verify(&text, workspace, &keys).is_err(), "{text}");
    }
});
