use domain::attribution::Place;
use domain::attribution::memory::{Parked, Touch};
use domain::event::{Action, Event, Item, Sought};
use domain::ids::{CampaignId, EventId, LinkId, UserId};
use domain::money::{Currency, Money};

use super::*;

const VISITOR: VisitorKey = VisitorKey([7; 16]);
const ID: Uuid = Uuid::from_u128(1);
const MEMORY_BYTES: usize = 1 << 20;

fn some_changes() -> Changes {
    let touch = Touch {
        click: EventId(ID),
        link: LinkId(Uuid::nil()),
        campaign: CampaignId(Uuid::nil()),
        creator: UserId(Uuid::nil()),
        supporter: None,
        at_ms: 5,
        is_direct: true,
    };
    let mut changes = Changes::default();
    let bare = Action::of_click(&Event::tick(7));
    // A form without names must not leave out what is empty.
    let full = Action {
        user: Some(VISITOR),
        value: Some(Money { amount_minor: 5, currency: Currency::new("USD").unwrap() }),
        click: Some(EventId(ID)),
        coupon: Some("A".to_owned()),
        transaction: Some(ID),
        order: Some(ID),
        items: vec![Item { sku: "a".to_owned(), quantity: 1, unit_price_minor: 5 }],
        sought: Sought::Among(vec![VISITOR]),
        waited_ms: Some(3),
        ..bare.clone()
    };
    let parked = [bare, full].map(|action| Parked { action, since_ms: 1, until_ms: 2 }).to_vec();
    let state = VisitorState { touches: vec![touch], parked, identities: vec![VISITOR] };
    changes.visitors.insert(VISITOR, Arc::new(state));
    changes.seen.insert((3, ID), [3; 16]);
    changes.rates.insert((LinkId(ID), "10.0.0.0".to_owned()), Rate { minute: 5, clicks: 2 });
    changes.waits.insert((900, VISITOR), true);
    changes.waits.insert((100, VISITOR), true);
    changes
}

/// Fails unless `state` remembers all of `changes`.
fn check(state: &PartitionState, changes: &Changes) {
    assert_eq!(state.visitor(VISITOR).unwrap().as_ref(), changes.visitors.get(&VISITOR));
    assert_eq!(state.seen(3, ID).unwrap(), Some([3; 16]));
    assert_eq!(state.seen(2, ID).unwrap(), None);
    for (key, rate) in &changes.rates {
        assert_eq!(state.rate(key).unwrap(), Some(*rate));
    }
    assert_eq!(state.due(99).unwrap(), Due { now: vec![], next_ms: Some(100) });
    assert_eq!(state.due(100).unwrap(), Due { now: vec![(100, VISITOR)], next_ms: Some(900) });
}

#[test]
fn all_of_a_commit_survives_together() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::at(42);
    {
        let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
        let mut partition = store.partition("events", 3).unwrap();
        assert_eq!(partition.opened_at, None);
        partition.commit(&some_changes(), &place, 2).unwrap();
        check(&partition, &some_changes());
    }
    let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
    let partition = store.partition("events", 3).unwrap();
    assert_eq!(partition.opened_at, Some(place));
    check(&partition, &some_changes());
    let other = store.partition("events", 4).unwrap();
    assert_eq!((&other.opened_at, other.visitor(VISITOR).unwrap()), (&None, None));
}

#[test]
fn what_is_old_or_removed_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
    let mut partition = store.partition("events", 0).unwrap();
    partition.commit(&some_changes(), &Place::default(), 2).unwrap();
    let mut changes = Changes::default();
    changes.visitors.insert(VISITOR, Arc::default());
    changes.waits.insert((100, VISITOR), false);
    changes.seen.insert((4, ID), [4; 16]);
    partition.commit(&changes, &Place::default(), 4).unwrap();
    assert_eq!(partition.visitor(VISITOR).unwrap(), None);
    assert_eq!(partition.seen(3, ID).unwrap(), None);
    assert_eq!(partition.seen(4, ID).unwrap(), Some([4; 16]));
    assert_eq!(partition.due(500).unwrap(), Due { now: vec![], next_ms: Some(900) });
}

#[test]
fn ids_of_the_time_are_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let id = |ms: u64| uuid::Builder::from_unix_timestamp_millis(ms, &[0; 10]).into_uuid();
    {
        let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
        let mut partition = store.partition("events", 0).unwrap();
        for (generation, ids) in [(3, [20, 40]), (3, [10, 30]), (4, [50, 60])] {
            let mut changes = Changes::default();
            changes.seen.extend(ids.map(|ms| ((generation, id(ms)), [7; 16])));
            partition.commit(&changes, &Place::default(), 3).unwrap();
        }
    }
    let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
    let partition = store.partition("events", 0).unwrap();
    for ms in 0..70 {
        for (generation, noted) in [(3, &[10, 20, 30, 40][..]), (4, &[50, 60])] {
            let expected = noted.contains(&ms).then_some([7; 16]);
            assert_eq!(partition.seen(generation, id(ms)).unwrap(), expected, "{ms} in {generation}");
        }
    }
}

#[test]
fn a_damaged_log_of_visitors_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    {
        let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
        let mut partition = store.partition("events", 0).unwrap();
        partition.commit(&some_changes(), &Place::at(9), 0).unwrap();
    }
    let log = dir.path().join("visitors/events-0/0000000000.log");
    let content = fs::read(&log).unwrap();
    fs::write(&log, &content[1..]).unwrap();
    let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
    let mut partition = store.partition("events", 0).unwrap();
    assert_eq!((&partition.opened_at, partition.visitor(VISITOR).unwrap()), (&None, None));
    assert_eq!(partition.seen(3, ID).unwrap(), None);
    partition.commit(&some_changes(), &Place::at(9), 0).unwrap();
    check(&partition, &some_changes());
}

#[test]
fn another_layout_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = StateStore::open(dir.path(), MEMORY_BYTES).unwrap();
    let mut partition = store.partition("events", 0).unwrap();
    partition.commit(&some_changes(), &Place::at(9), 0).unwrap();
    partition.meta.insert(LAYOUT_KEY, b"1").unwrap();
    drop(partition);
    let partition = store.partition("events", 0).unwrap();
    assert_eq!((&partition.opened_at, partition.visitor(VISITOR).unwrap()), (&None, None));
    assert_eq!(partition.seen(3, ID).unwrap(), None);
}
