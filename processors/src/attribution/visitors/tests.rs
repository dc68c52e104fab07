use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SMALL: Limits = Limits { segment_bytes: 2_000, surplus: 20 };

fn key(number: u16) -> VisitorKey {
    VisitorKey(u128::from(number).to_le_bytes())
}

/// A state that bears a mark; some are long.
fn state(mark: u16) -> Arc<VisitorState> {
    let length = if mark.is_multiple_of(7) { 40 } else { 1 };
    Arc::new(VisitorState { identities: vec![key(mark); length], ..VisitorState::default() })
}

fn nothing() -> Arc<VisitorState> {
    Arc::default()
}

type Changes = Vec<(VisitorKey, Arc<VisitorState>)>;

fn add(visitors: &Visitors, changes: &Changes) -> Added {
    visitors.add(changes.iter().map(|(key, state)| (key, state))).unwrap()
}

/// Adds and adopts; gives what counts then.
fn commit(visitors: &Visitors, changes: &Changes) -> Extent {
    let added = add(visitors, changes);
    let extent = added.extent.clone();
    visitors.adopt(added).unwrap();
    extent
}

fn open(dir: &Path, extent: &Extent, memory_bytes: usize) -> Option<Visitors> {
    Visitors::open_within(dir, extent, &Room::new(memory_bytes), SMALL).unwrap()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[derive(Clone, Debug)]
enum Step {
    /// These visitors change; `None` forgets one.
    Commit(Vec<(u16, Option<u16>)>),
    /// Something is added, and the process dies before it counts,
    DieBefore(Vec<(u16, Option<u16>)>),
    /// or after.
    DieAfter(Vec<(u16, Option<u16>)>),
}

fn any_step() -> impl Strategy<Value = Step> {
    let changes = || vec((0_u16..40, prop::option::weighted(0.8, any::<u16>())), 0..60);
    prop_oneof![
        4 => changes().prop_map(Step::Commit),
        1 => changes().prop_map(Step::DieBefore),
        1 => changes().prop_map(Step::DieAfter),
    ]
}

proptest! {
    /// Whatever is committed, and wherever the process dies: what is read is what
    /// was adopted last, from memory as from files.
    #[test]
    fn it_is_a_map(steps in vec(any_step(), 1..40), memory_bytes in prop_oneof![Just(0), Just(3_000), Just(1 << 20)]) {
        let dir = tempfile::tempdir().unwrap();
        let (mut extent, mut model) = (Extent::default(), BTreeMap::new());
        let mut visitors = open(dir.path(), &extent, memory_bytes).unwrap();
        for step in steps {
            let (Step::Commit(drawn) | Step::DieBefore(drawn) | Step::DieAfter(drawn)) = &step;
            let changes: BTreeMap<_, _> = drawn.iter().copied().collect();
            let to_add = changes.iter().map(|(number, mark)| (key(*number), mark.map_or_else(nothing, state))).collect();
            if matches!(step, Step::Commit(_)) {
                extent = commit(&visitors, &to_add);
            } else {
                let added = add(&visitors, &to_add).extent;
                if matches!(step, Step::DieAfter(_)) {
                    extent = added;
                }
                drop(visitors);
                visitors = open(dir.path(), &extent, memory_bytes).expect("it is whole");
                let on_disk: u64 = segments(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
                prop_assert_eq!(on_disk, visitors.bytes_on_disk());
            }
            if !matches!(step, Step::DieBefore(_)) {
                model.extend(changes);
            }
            for number in 0..40 {
                let expected = model.get(&number).copied().flatten().map(state);
                prop_assert_eq!(visitors.get(key(number)).unwrap(), expected);
            }
        }
    }
}

#[test]
fn old_records_go() {
    let dir = tempfile::tempdir().unwrap();
    let visitors = open(dir.path(), &Extent::default(), 10_000).unwrap();
    let some = |mark| (0..100).map(|number| (key(number), state(mark))).collect();
    commit(&visitors, &some(1));
    for mark in 2..200 {
        commit(&visitors, &(100..110).map(|number| (key(number), state(mark))).collect());
    }
    // Two hundred that count, at most, the surplus, a segment, and what one commit adds.
    let bytes = visitors.bytes_on_disk();
    assert!(bytes < 330 * 50 + 20_000, "{bytes} bytes");
    let on_disk: u64 = segments(dir.path()).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!(on_disk, bytes);
    assert_eq!(visitors.get(key(7)).unwrap(), Some(state(1)));
    assert_eq!(visitors.get(key(107)).unwrap(), Some(state(199)));
}

#[test]
fn what_is_long_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let long = VisitorState { identities: vec![key(3); 100_000], ..VisitorState::default() };
    let long = Arc::new(long);
    for memory_bytes in [0, 8 << 20] {
        let visitors = open(dir.path(), &Extent::default(), memory_bytes).unwrap();
        let changes = vec![(key(1), state(1)), (key(2), Arc::clone(&long)), (key(3), state(3))];
        let extent = commit(&visitors, &changes);
        for visitors in [visitors, open(dir.path(), &extent, memory_bytes).unwrap()] {
            for (key, state) in &changes {
                assert_eq!(visitors.get(*key).unwrap().as_ref(), Some(state));
            }
        }
    }
}

#[test]
fn what_is_missing_or_changed_is_noticed() {
    type Damage = fn(&Path);
    let cases: [(&str, Damage); 5] = [
        ("a file is gone", |file| std::fs::remove_file(file).unwrap()),
        ("a file is empty", |file| std::fs::write(file, []).unwrap()),
        ("a record is gone", |file| {
            let content = std::fs::read(file).unwrap();
            let last = log::records_of(&content).map(|(offset, _)| offset).last().unwrap();
            std::fs::write(file, &content[..last as usize]).unwrap();
        }),
        ("a record is torn", |file| {
            let content = std::fs::read(file).unwrap();
            std::fs::write(file, &content[..content.len() - 1]).unwrap();
        }),
        ("a byte is another", |file| {
            let mut content = std::fs::read(file).unwrap();
            content[40] ^= 1;
            std::fs::write(file, content).unwrap();
        }),
    ];
    for (what, damage) in cases {
        for place in 0..3 {
            let dir = tempfile::tempdir().unwrap();
            let limits = Limits { surplus: 1_000, ..SMALL };
            let open = |extent: &_| Visitors::open_within(dir.path(), extent, &Room::new(0), limits).unwrap();
            let visitors = open(&Extent::default()).unwrap();
            let changes = (0..20).map(|number| (key(number), state(1))).collect();
            let extents: Vec<_> = (0..7).map(|_| commit(&visitors, &changes)).collect();
            drop(visitors);
            let extent = extents.last().unwrap();
            assert_eq!(segments(dir.path()).len(), 3);
            assert!(open(extent).is_some(), "{what}: undamaged");
            damage(&segments(dir.path())[place]);
            assert!(open(extent).is_none(), "{what}, in segment {place}");
        }
    }
}

#[test]
fn what_is_damaged_later_is_not_cleaned_away() {
    let damages: [fn(&mut Vec<u8>); 2] = [|content| content[40] ^= 1, |content| content.truncate(41)];
    for damage in damages {
        let dir = tempfile::tempdir().unwrap();
        let visitors = open(dir.path(), &Extent::default(), 0).unwrap();
        commit(&visitors, &(0..60).map(|number| (key(number), state(1))).collect());
        let mut content = std::fs::read(&segments(dir.path())[0]).unwrap();
        damage(&mut content);
        std::fs::write(&segments(dir.path())[0], content).unwrap();
        let again: Changes = (0..60).map(|number| (key(number), state(2))).collect();
        let failed = (0..9).find_map(|_| {
            let added = visitors.add(again.iter().map(|(key, state)| (key, state)));
            added.and_then(|added| visitors.adopt(added)).err()
        });
        let error = failed.expect("it was cleaned up").to_string();
        assert!(error.contains("damaged"), "{error}");
    }
}

#[test]
fn a_commit_copies_little() {
    let dir = tempfile::tempdir().unwrap();
    let visitors = open(dir.path(), &Extent::default(), 3_000).unwrap();
    for first in (0..5_000).step_by(40) {
        commit(&visitors, &(first..first + 40).map(|number| (key(number), state(1))).collect());
    }
    // The first segments all count; what comes after is soon more than half.
    for mark in 0..2_000 {
        let changes: Changes = (0..10).map(|number| (key(6_000 + number), state(mark * 7 + 1))).collect();
        let added = add(&visitors, &changes);
        assert!(added.places.len() <= 250, "{} are copied at once", added.places.len());
        visitors.adopt(added).unwrap();
        assert!(visitors.log.kept_bytes() <= 3_000);
    }
    assert!(visitors.bytes_on_disk() < 2 * 5_000 * 45 + 40_000, "{}", visitors.bytes_on_disk());
}

#[test]
fn nothing_is_added_to_what_was_not_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let visitors = open(dir.path(), &Extent::default(), 0).unwrap();
    let changes = vec![(key(1), state(1))];
    drop(add(&visitors, &changes));
    let again = visitors.add(changes.iter().map(|(key, state)| (key, state)));
    let error = again.err().unwrap().to_string();
    assert!(error.contains("was not written to the end"), "{error}");
}

#[test]
fn who_reads_meanwhile_misses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    for memory_bytes in [0, 1 << 20] {
        let visitors = open(dir.path(), &Extent::default(), memory_bytes).unwrap();
        commit(&visitors, &(0..50).map(|number| (key(number), state(1))).collect());
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut reads = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    for number in 0..50 {
                        assert!(visitors.get(key(number)).unwrap().is_some());
                        reads += 1;
                    }
                }
                reads
            });
            for mark in 2..2_000 {
                commit(&visitors, &(0..10).map(|number| (key(number), state(mark))).collect());
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(reader.join().unwrap() > 0);
        });
    }
}

#[test]
fn all_partitions_have_one_room() {
    let dir = tempfile::tempdir().unwrap();
    let room = Room::new(8_000);
    let opened = |name: &str| {
        Visitors::open_within(&dir.path().join(name), &Extent::default(), &room, SMALL).unwrap().unwrap()
    };
    let first = opened("first");
    assert_eq!(first.share.bytes(), 8_000);
    let second = opened("second");
    assert_eq!((first.share.bytes(), second.share.bytes()), (4_000, 4_000));
    drop(first);
    assert_eq!(second.share.bytes(), 8_000);
    for _ in 0..100 {
        commit(&second, &(0..50).map(|number| (key(number), state(1))).collect());
        let kept = second.log.kept_bytes();
        assert!((1..=8_000).contains(&kept), "{kept}");
    }
}
