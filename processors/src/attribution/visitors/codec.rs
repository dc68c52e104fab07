//! A visitor's state as bytes. Clicks are what nearly all of them are made of, and
//! stand one beside the other as they are; what else there is, if anything, follows
//! in postcard's form.
//!
//! Number of clicks (2 bytes, little-endian), then of each: its id, link, campaign
//! and creator (16 each), time (8), what it has (1): [`DIRECT`], [`SUPPORTER`],
//! and the supporter (16) if so.

use domain::attribution::memory::{Parked, Touch, VisitorState};
use domain::ids::{CampaignId, EventId, LinkId, UserId, VisitorKey};
use uuid::Uuid;

/// It came from nowhere.
const DIRECT: u8 = 1;
/// A supporter shared it.
const SUPPORTER: u8 = 2;

/// Adds a state to `out`.
pub(super) fn encode(state: &VisitorState, mut out: Vec<u8>) -> Vec<u8> {
    let VisitorState { touches, parked, identities } = state;
    let count = u16::try_from(touches.len()).expect("a visitor's clicks are bounded");
    out.extend_from_slice(&count.to_le_bytes());
    for touch in touches {
        let Touch { click, link, campaign, creator, supporter, at_ms, is_direct } = touch;
        for id in [click.0, link.0, campaign.0, creator.0] {
            out.extend_from_slice(id.as_bytes());
        }
        out.extend_from_slice(&at_ms.to_le_bytes());
        out.push(if *is_direct { DIRECT } else { 0 } | if supporter.is_some() { SUPPORTER } else { 0 });
        if let Some(supporter) = supporter {
            out.extend_from_slice(supporter.0.as_bytes());
        }
    }
    if parked.is_empty() && identities.is_empty() {
        return out;
    }
    postcard::to_extend(&(parked, identities), out).expect("states have a binary form")
}

/// Reads a state; `None` if it is none.
pub(super) fn decode(bytes: &[u8]) -> Option<VisitorState> {
    let mut rest = bytes;
    let count = u16::from_le_bytes(take(&mut rest)?);
    // With room for one more click: most are read to add one.
    let mut touches = Vec::with_capacity(usize::from(count) + 1);
    for _ in 0..count {
        touches.push(touch(&mut rest)?);
    }
    let (parked, identities) = match rest {
        [] => (Vec::new(), Vec::new()),
        _ => postcard::from_bytes::<(Vec<Parked>, Vec<VisitorKey>)>(rest).ok()?,
    };
    Some(VisitorState { touches, parked, identities })
}

fn touch(rest: &mut &[u8]) -> Option<Touch> {
    let mut id = || take(rest).map(Uuid::from_bytes);
    let (click, link) = (EventId(id()?), LinkId(id()?));
    let (campaign, creator) = (CampaignId(id()?), UserId(id()?));
    let at_ms = i64::from_le_bytes(take(rest)?);
    let [has] = take(rest)?;
    let supporter = match has & SUPPORTER {
        0 => None,
        _ => Some(UserId(take(rest).map(Uuid::from_bytes)?)),
    };
    Some(Touch { click, link, campaign, creator, supporter, at_ms, is_direct: has & DIRECT != 0 })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use domain::event::{Action, Event};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn any_touch() -> impl Strategy<Value = Touch> {
        let ids = (any::<u128>(), any::<u128>(), any::<u128>(), any::<u128>());
        let id = Uuid::from_u128;
        (ids, any::<Option<u128>>(), any::<i64>(), any::<bool>()).prop_map(
            move |((click, link, campaign, creator), supporter, at_ms, is_direct)| Touch {
                click: EventId(id(click)),
                link: LinkId(id(link)),
                campaign: CampaignId(id(campaign)),
                creator: UserId(id(creator)),
                supporter: supporter.map(|supporter| UserId(id(supporter))),
                at_ms,
                is_direct,
            },
        )
    }

    fn any_parked() -> impl Strategy<Value = Parked> {
        (any::<i64>(), any::<i64>()).prop_map(|(since_ms, until_ms)| {
            let action = Action::of_click(&Event::tick(since_ms));
            Parked { action, since_ms, until_ms }
        })
    }

    fn any_state() -> impl Strategy<Value = VisitorState> {
        let identities = vec(any::<[u8; 16]>().prop_map(VisitorKey), 0..4);
        (vec(any_touch(), 0..6), vec(any_parked(), 0..3), identities)
            .prop_map(|(touches, parked, identities)| VisitorState { touches, parked, identities })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(state in any_state(), before: Vec<u8>) {
            let bytes = encode(&state, before.clone());
            prop_assert_eq!(decode(&bytes[before.len()..]), Some(state));
        }

        #[test]
        fn what_is_cut_off_is_no_other_state(state in any_state(), place in any::<prop::sample::Index>()) {
            let bytes = encode(&state, Vec::new());
            let read = decode(&bytes[..place.index(bytes.len())]);
            // All clicks and nothing else is a state, too; the sum of the record tells.
            let clicks = VisitorState { touches: state.touches.clone(), ..VisitorState::default() };
            prop_assert!(read.is_none_or(|read| read == clicks));
        }

        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            decode(&bytes);
        }
    }
}
