//! Any bytes as a client's event: an answer, never a panic; and what is
//! accepted can be read back from Kafka as it was.
#![no_main]

use domain::event::Event;
use domain::ids::{EventId, WorkspaceId};
use domain::native::{Intake, NativeEvent};
use domain::token::SigningKey;
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

fuzz_target!(|bytes: &[u8]| {
    let keys = [SigningKey::new(0, &[7; 32])];
    let intake = Intake {
        workspace: WorkspaceId(Uuid::from_u128(1)),
        now_ms: 1_800_000_000_000,
        fresh_id: EventId(Uuid::from_u128(2)),
        keys: &keys,
    };
    match NativeEvent::read(bytes).and_then(|native| native.accept(&intake)) {
        Err(refusal) => assert!(!refusal.to_string().is_empty() && !refusal.code().is_empty()),
        Ok(event) => {
            let json = serde_json::to_vec(&event).expect("events are JSON");
            let read: Event = serde_json::from_slice(&json).expect("what was written can be read");
            assert_eq!(read, event);
            assert!(event.at_ms <= event.received_at_ms);
        }
    }
});
