use std::path::Path;

use proptest::prelude::*;

use super::*;

const ROOM: u64 = 1 << 20;

fn settings(dir: &Path, max_bytes: u64) -> SpoolSettings {
    SpoolSettings { dir: dir.to_owned(), max_bytes }
}

/// Opens the spool; the one before lets go of its directory when its writer
/// has ended, which takes a moment.
fn open(dir: &Path, max_bytes: u64) -> Spool {
    for _ in 0..200 {
        match Spool::open(settings(dir, max_bytes)) {
            Ok(spool) => return spool,
            Err(_still_held) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    Spool::open(settings(dir, max_bytes)).unwrap()
}

fn record(number: u64) -> Record {
    let payload = format!("{number:08}").into_bytes();
    Record { key: b"visitor".to_vec(), trace: Vec::new(), payload }
}

fn number(record: &Record) -> u64 {
    std::str::from_utf8(&record.payload).unwrap().parse().unwrap()
}

/// The numbers of everything in the spool, drained.
fn drain(spool: &Spool, max_bytes: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(chunk) = spool.front(max_bytes).unwrap() {
        numbers.extend(chunk.records.iter().map(number));
        spool.drained(&chunk);
    }
    numbers
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    files.sort();
    files
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn what_is_appended_is_read_in_order_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), ROOM);
    for start in [0, 3, 6] {
        spool.append(&[record(start), record(start + 1), record(start + 2)]).await.unwrap();
    }
    assert_eq!(spool.backlog(), 9);
    assert!(spool.bytes() > 9 * 8);
    // Chunks that hold one record, and then all that is left.
    let first = spool.front(1).unwrap().unwrap();
    assert!(!first.records.is_empty());
    spool.drained(&first);
    let mut numbers: Vec<u64> = first.records.iter().map(number).collect();
    numbers.extend(drain(&spool, ROOM));
    assert_eq!(numbers, (0..9).collect::<Vec<_>>());
    assert!(spool.is_empty());
    // The writer deletes the file of its own when it hears of it.
    for _ in 0..200 {
        if files(dir.path()).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    assert_eq!(spool.bytes(), 0);
    spool.append(&[record(9)]).await.unwrap();
    assert_eq!(drain(&spool, ROOM), [9]);
}

#[tokio::test]
async fn a_new_process_finds_what_the_old_one_left() {
    let dir = tempfile::tempdir().unwrap();
    let old = open(dir.path(), ROOM);
    old.append(&[record(0), record(1)]).await.unwrap();
    assert!(matches!(Spool::open(settings(dir.path(), ROOM)), Err(SpoolError::Directory { .. })), "in use");
    drop(old);
    let new = open(dir.path(), ROOM);
    assert_eq!(new.backlog(), 2);
    new.append(&[record(2)]).await.unwrap();
    assert_eq!(drain(&new, ROOM), [0, 1, 2]);
}

#[tokio::test]
async fn a_full_spool_refuses_until_it_is_drained() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), 200);
    let mut taken = Vec::new();
    let full = loop {
        match spool.append(&[record(taken.len() as u64)]).await {
            Ok(()) => taken.push(taken.len() as u64),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SpoolError::Full(_)), "{full}");
    assert!(spool.bytes() <= 200);
    assert!(taken.len() >= 5);
    assert_eq!(drain(&spool, ROOM), taken);
    for _ in 0..200 {
        if spool.append(&[record(0)]).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it stays full");
}

#[tokio::test]
async fn a_disk_that_refuses_is_said_and_got_over() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("spool");
    let spool = open(&at, ROOM);
    std::fs::remove_dir_all(&at).unwrap();
    assert!(matches!(spool.append(&[record(0)]).await, Err(SpoolError::Disk(_))));
    assert!(spool.is_empty());
    std::fs::create_dir(&at).unwrap();
    spool.append(&[record(1)]).await.unwrap();
    assert_eq!(drain(&spool, ROOM), [1]);
}

#[tokio::test]
async fn a_disk_that_refuses_is_not_filled_with_files_of_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), ROOM);
    spool.append(&[record(0)]).await.unwrap();
    {
        // Kafka has all of it, and nothing more can be written into it.
        let mut state = spool.shared.state();
        let segment = &mut state.segments[0];
        segment.file = File::open(&segment.path).unwrap();
        segment.drained = segment.bytes;
        spool.shared.backlog.store(0, Ordering::Release);
    }
    assert!(matches!(spool.append(&[record(1)]).await, Err(SpoolError::Disk(_))));
    assert_eq!((files(dir.path()), spool.bytes()), (Vec::new(), 0));
    spool.append(&[record(2)]).await.unwrap();
    assert_eq!(drain(&spool, ROOM), [2]);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let old = open(dir.path(), ROOM);
    old.append(&[record(0), record(1)]).await.unwrap();
    drop(old);
    let spool = open(dir.path(), ROOM);
    spool.append(&[record(2)]).await.unwrap();
    // The first file loses its content under the running process.
    let first = &files(dir.path())[0];
    let size = std::fs::metadata(first).unwrap().len();
    std::fs::write(first, vec![0; usize::try_from(size).unwrap()]).unwrap();
    assert!(spool.front(ROOM).is_err());
    spool.set_aside();
    assert_eq!(spool.backlog(), 1);
    assert_eq!(drain(&spool, ROOM), [2]);
    assert!(first.with_extension("damaged").exists());
}

#[tokio::test]
async fn a_file_that_is_cut_off_gives_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), ROOM);
    for number in 0..3 {
        spool.append(&[record(number)]).await.unwrap();
    }
    let path = files(dir.path()).remove(0);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_len(std::fs::metadata(&path).unwrap().len() - 1).unwrap();
    let chunk = spool.front(ROOM).unwrap().unwrap();
    assert_eq!(chunk.records.iter().map(number).collect::<Vec<_>>(), [0, 1]);
    spool.drained(&chunk);
    assert_eq!(spool.front(ROOM).unwrap_err().kind(), ErrorKind::InvalidData);
    spool.set_aside();
    assert!(spool.is_empty());
    assert!(path.with_extension("damaged").exists());
    // It goes on, in another file.
    spool.append(&[record(3)]).await.unwrap();
    assert_eq!(drain(&spool, ROOM), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_of_many_share_syncs_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let spool = open(dir.path(), 64 << 20);
    let mut running = tokio::task::JoinSet::new();
    for task in 0..50_u64 {
        let spool = spool.clone();
        running.spawn(async move {
            for number in 0..100 {
                spool.append(&[record(task * 1_000 + number)]).await.unwrap();
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
    let numbers = drain(&spool, 5_000);
    assert_eq!(numbers.len(), 5_000);
    for task in 0..50 {
        let of_task: Vec<u64> = numbers.iter().copied().filter(|number| number / 1_000 == task).collect();
        assert_eq!(of_task, (task * 1_000..task * 1_000 + 100).collect::<Vec<_>>());
    }
}

/// What may happen to a spool.
#[derive(Clone, Debug)]
enum Act {
    Append(u64),
    Drain(u64),
    /// The process dies; so many bytes that nobody was told of are at the end
    /// of the newest file.
    Crash(Vec<u8>),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1_u64..6).prop_map(Act::Append),
        2 => (1_u64..200).prop_map(Act::Drain),
        1 => proptest::collection::vec(any::<u8>(), 0..30).prop_map(Act::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever happens, nothing that was taken is skipped: what is read goes
    /// on where it was, or, after a crash, again from a file's beginning.
    #[test]
    fn nothing_is_skipped(acts in proptest::collection::vec(any_act(), 1..25)) {
        let runtime = runtime();
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(dir.path(), ROOM);
        let (mut appended, mut read) = (0, 0);
        for act in acts {
            match act {
                Act::Append(count) => {
                    let records: Vec<Record> = (appended..appended + count).map(record).collect();
                    runtime.block_on(spool.append(&records)).unwrap();
                    appended += count;
                }
                Act::Drain(max_bytes) => {
                    if let Some(chunk) = spool.front(max_bytes).unwrap() {
                        let numbers: Vec<u64> = chunk.records.iter().map(number).collect();
                        prop_assert!(numbers[0] <= read, "{} was skipped", read);
                        prop_assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
                        read = read.max(numbers[numbers.len() - 1] + 1);
                        spool.drained(&chunk);
                    }
                }
                Act::Crash(torn) => {
                    drop(spool);
                    // A file that was drained may go this very moment.
                    let newest = files(dir.path()).pop();
                    if let Some(mut file) = newest.and_then(|path| File::options().append(true).open(path).ok()) {
                        use std::io::Write as _;
                        file.write_all(&torn).unwrap();
                    }
                    spool = open(dir.path(), ROOM);
                }
            }
        }
        let rest = drain(&spool, 100);
        prop_assert!(rest.first().is_none_or(|first| *first <= read));
        prop_assert_eq!(rest.last().map_or(read, |last| last + 1), appended);
        prop_assert!(spool.is_empty());
    }
}
