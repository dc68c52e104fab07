//! A log of visitors: files, called segments, that are only ever added to at the
//! end of the last one, and go as a whole, the first one first. What was added
//! last is in memory, too.
//!
//! The log does not know where it ends: its owner writes down how far it
//! [counts](Extent), together with what belongs to it, and what stands beyond
//! that is cut off when it is opened.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::ids::VisitorKey;
use serde::{Deserialize, Serialize};

use super::record::{self, Record};

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    segment: u32,
    offset: u32,
}

/// What of the files counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Extent {
    /// From this segment
    first: u32,
    /// to this one,
    last: u32,
    /// of which so much counts.
    last_bytes: u32,
    /// So many records are in all of them.
    records: u64,
}

/// What is added goes to the file in pieces of this, and who reads waits while a
/// piece is copied.
const PIECE_BYTES: usize = 256 << 10;
/// Most records are shorter, and are read from a file at once.
const READ_BYTES: usize = 512;
/// Segments that are full, of a log so large that they must be larger than
/// usual: each is an open file.
const MANY_SEGMENTS: u64 = 64;
/// No segment grows beyond, so that an offset has 32 bits.
const LARGEST_SEGMENT_BYTES: u64 = 1 << 30;

/// A log that is open.
pub(super) struct Log {
    dir: PathBuf,
    /// A segment is full at this many bytes, unless there are very many.
    segment_bytes: u32,
    segments: RwLock<Segments>,
}

struct Segments {
    /// The number of the first one.
    first: u32,
    /// Never empty.
    all: VecDeque<Segment>,
    /// The room of one that is not kept in memory any more, for the next one.
    spare: Vec<u8>,
}

struct Segment {
    file: Arc<File>,
    bytes: u32,
    records: u64,
    /// What stands from here on is in memory.
    kept_from: u32,
    kept: Vec<u8>,
}

/// What the disk says is not what was written.
pub(super) fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a visitor's record is damaged")
}

fn offset_of(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a segment is full long before")
}

fn file_of(dir: &Path, segment: u32) -> PathBuf {
    dir.join(format!("{segment:010}.log"))
}

/// Opens a segment's file, or makes it.
fn open_file(dir: &Path, segment: u32) -> io::Result<File> {
    let path = file_of(dir, segment);
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Removes the files of segments that are not `wanted`.
fn remove_others(dir: &Path, wanted: &RangeInclusive<u32>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if number.is_none_or(|number| !wanted.contains(&number)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The records of a segment, and where each begins, as far as they are whole.
pub(super) fn records_of(bytes: &[u8]) -> impl Iterator<Item = (u32, Record<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let record = record::first(bytes.get(at..)?)?;
        let offset = offset_of(at);
        at += record.bytes();
        Some((offset, record))
    })
}

impl Segment {
    fn new(file: File) -> Self {
        Self { file: Arc::new(file), bytes: 0, records: 0, kept_from: 0, kept: Vec::new() }
    }

    /// Opens one that was written before; cuts off what is beyond `end`. `None`
    /// if it is not whole.
    fn open(
        dir: &Path,
        number: u32,
        end: Option<u32>,
        mut found: impl FnMut(Location, Record<'_>),
    ) -> io::Result<Option<Self>> {
        let file = open_file(dir, number)?;
        if let Some(end) = end {
            if file.metadata()?.len() < u64::from(end) {
                return Ok(None);
            }
            if file.metadata()?.len() > u64::from(end) {
                file.set_len(end.into())?;
            }
        }
        let content = fs::read(file_of(dir, number))?;
        let mut segment = Self::new(file);
        for (offset, record) in records_of(&content) {
            found(Location { segment: number, offset }, record);
            segment.records += 1;
            segment.bytes = offset + offset_of(record.bytes());
        }
        segment.kept_from = segment.bytes;
        Ok((content.len() == segment.bytes as usize).then_some(segment))
    }

    /// What `of` makes of the record at `offset`.
    fn read<T>(&self, offset: u32, of: impl FnOnce(Record<'_>) -> T) -> io::Result<T> {
        if let Some(kept) = offset.checked_sub(self.kept_from) {
            let kept = self.kept.get(kept as usize..).unwrap_or_default();
            return record::first(kept).map(of).ok_or_else(damaged);
        }
        let mut start = [0; READ_BYTES];
        let read = self.file.read_at(&mut start, offset.into())?;
        let start = &start[..read];
        let bytes = record::bytes_of(start).filter(|bytes| *bytes <= self.bytes as usize);
        let bytes = bytes.ok_or_else(damaged)?;
        if bytes <= start.len() {
            return record::first(start).map(of).ok_or_else(damaged);
        }
        let mut whole = vec![0; bytes];
        self.file.read_exact_at(&mut whole, offset.into())?;
        record::first(&whole).map(of).ok_or_else(damaged)
    }

    /// Keeps none of it in memory; gives the room back.
    fn let_go(&mut self) -> Vec<u8> {
        self.kept_from = self.bytes;
        let mut room = std::mem::take(&mut self.kept);
        room.clear();
        room
    }
}

impl Segments {
    fn get(&self, number: u32) -> Option<&Segment> {
        self.all.get(number.checked_sub(self.first)? as usize)
    }

    fn last(&mut self) -> &mut Segment {
        self.all.back_mut().expect("there is always one")
    }

    /// Adds to the last one what is in its file already.
    fn add(&mut self, bytes: &[u8], records: u64, room: usize) {
        let spare = std::mem::take(&mut self.spare);
        let last = self.last();
        if last.kept.capacity() == 0 {
            last.kept = spare;
            last.kept.reserve_exact(room + bytes.len());
        } else {
            self.spare = spare;
        }
        let last = self.last();
        last.kept.extend_from_slice(bytes);
        last.bytes += offset_of(bytes.len());
        last.records += records;
    }

    /// Keeps at most so much in memory, the latest.
    fn keep(&mut self, bytes: usize) {
        let mut kept: usize = self.all.iter().map(|segment| segment.kept.len()).sum();
        for at in 0..self.all.len() {
            if kept <= bytes {
                return;
            }
            let segment = &mut self.all[at];
            kept -= segment.kept.len();
            let room = segment.let_go();
            self.reuse(room);
        }
    }

    /// Takes room that is not needed any more, for the next segment.
    fn reuse(&mut self, room: Vec<u8>) {
        if room.capacity() > self.spare.capacity() {
            self.spare = room;
        }
    }

    fn last_number(&self) -> u32 {
        self.first + offset_of(self.all.len()) - 1
    }
}

impl Log {
    /// Opens the log in a directory, or makes it, and shows every record in it to
    /// `found`, in order. `None` if it is not whole.
    pub(super) fn open(
        dir: &Path,
        extent: &Extent,
        segment_bytes: u32,
        mut found: impl FnMut(Location, Record<'_>),
    ) -> io::Result<Option<Self>> {
        fs::create_dir_all(dir)?;
        let numbers = extent.first..=extent.last;
        remove_others(dir, &numbers)?;
        let mut all = VecDeque::new();
        for number in numbers {
            let end = (number == extent.last).then_some(extent.last_bytes);
            let Some(segment) = Segment::open(dir, number, end, &mut found)? else { return Ok(None) };
            all.push_back(segment);
        }
        let log = Self {
            dir: dir.to_owned(),
            segment_bytes,
            segments: RwLock::new(Segments { first: extent.first, all, spare: Vec::new() }),
        };
        // A file may have lost whole records, or all.
        let is_whole = log.extent() == *extent;
        Ok(is_whole.then_some(log))
    }

    fn segments(&self) -> RwLockReadGuard<'_, Segments> {
        self.segments.read().expect("no panic while held")
    }

    fn segments_mut(&self) -> RwLockWriteGuard<'_, Segments> {
        self.segments.write().expect("no panic while held")
    }

    /// All that was added.
    fn extent(&self) -> Extent {
        let segments = self.segments();
        let records = segments.all.iter().map(|segment| segment.records).sum();
        let last_bytes = segments.all.back().map_or(0, |last| last.bytes);
        Extent { first: segments.first, last: segments.last_number(), last_bytes, records }
    }

    /// How many bytes there are on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments().all.iter().map(|segment| u64::from(segment.bytes)).sum()
    }

    /// What `of` makes of the record at `location`; `None` if its segment is gone.
    pub(super) fn read<T>(
        &self,
        location: Location,
        of: impl FnOnce(Record<'_>) -> T,
    ) -> io::Result<Option<T>> {
        let segments = self.segments();
        segments.get(location.segment).map(|segment| segment.read(location.offset, of)).transpose()
    }

    /// Begins to add to it, one at a time; keeps at most so much in memory, the
    /// latest.
    pub(super) fn append(&self, keep_bytes: usize) -> Appending<'_> {
        let mut segments = self.segments_mut();
        let (number, first) = (segments.last_number(), segments.first);
        let last = segments.last();
        let (file, offset) = (Arc::clone(&last.file), last.bytes);
        Appending { log: self, keep_bytes, first, number, file, offset, buffer: Vec::new(), records: 0 }
    }

    /// Removes the segments before `first`.
    pub(super) fn remove_before(&self, first: u32) -> io::Result<()> {
        loop {
            let mut segments = self.segments_mut();
            if segments.first >= first {
                return Ok(());
            }
            let number = segments.first;
            segments.first += 1;
            let gone = segments.all.pop_front();
            drop(segments);
            // Before it is closed: some systems write down what a file has when it is.
            fs::remove_file(file_of(&self.dir, number))?;
            self.segments_mut().reuse(gone.map(|mut segment| segment.let_go()).unwrap_or_default());
        }
    }

    /// How much of it is in memory.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.segments().all.iter().map(|segment| segment.kept.len()).sum()
    }
}

/// What is being added to a log.
pub(super) struct Appending<'a> {
    log: &'a Log,
    keep_bytes: usize,
    /// The first segment that counts then.
    first: u32,
    /// The segment that is added to,
    number: u32,
    file: Arc<File>,
    /// from here on
    offset: u32,
    /// with this,
    buffer: Vec<u8>,
    /// so many records.
    records: u64,
}

impl Appending<'_> {
    /// Adds a record; `write` adds its state.
    pub(super) fn add(
        &mut self,
        key: VisitorKey,
        write: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> io::Result<Location> {
        let location = Location { segment: self.number, offset: self.offset + offset_of(self.buffer.len()) };
        if self.buffer.capacity() == 0 {
            self.buffer.reserve(PIECE_BYTES + (PIECE_BYTES >> 4));
        }
        self.buffer = record::encode(std::mem::take(&mut self.buffer), key, write);
        self.records += 1;
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(location)
    }

    /// The number of the segment that is added to.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The number of the first segment that counts then.
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    /// Leaves the first segment out, which is not the one that is added to; gives
    /// its number and content, of which must be added again what still counts.
    pub(super) fn drop_first(&mut self) -> io::Result<(u32, Vec<u8>)> {
        let number = self.first;
        let content = fs::read(file_of(&self.log.dir, number))?;
        let written = self.log.segments().get(number).map(|segment| segment.bytes as usize);
        if written != Some(content.len()) {
            return Err(damaged());
        }
        self.first += 1;
        Ok((number, content))
    }

    /// How many records there are, without what was left out.
    pub(super) fn records(&self) -> u64 {
        let segments = self.log.segments();
        let left_out = (self.first - segments.first) as usize;
        segments.all.iter().skip(left_out).map(|segment| segment.records).sum::<u64>() + self.records
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.offset.into())?;
        let mut segments = self.log.segments_mut();
        let before: u64 = segments.all.iter().map(|segment| u64::from(segment.bytes)).sum();
        segments.add(&self.buffer, self.records, self.log.segment_bytes as usize);
        segments.keep(self.keep_bytes);
        self.offset = segments.last().bytes;
        self.records = 0;
        self.buffer.clear();
        let full = (before / MANY_SEGMENTS).clamp(self.log.segment_bytes.into(), LARGEST_SEGMENT_BYTES);
        if u64::from(self.offset) < full {
            return Ok(());
        }
        (self.number, self.offset) = (self.number + 1, 0);
        let file = open_file(&self.log.dir, self.number)?;
        if file.metadata()?.len() > 0 {
            // Of an attempt that came to nothing.
            file.set_len(0)?;
        }
        segments.all.push_back(Segment::new(file));
        self.file = Arc::clone(&segments.last().file);
        Ok(())
    }

    /// Everything is in the files; what counts now.
    pub(super) fn finish(mut self) -> io::Result<Extent> {
        self.flush()?;
        let records = self.records();
        Ok(Extent { first: self.first, last: self.number, last_bytes: self.offset, records })
    }
}

impl Extent {
    /// The first segment that counts.
    pub(super) fn first(&self) -> u32 {
        self.first
    }
}

impl Location {
    pub(super) fn new(segment: u32, offset: u32) -> Self {
        Self { segment, offset }
    }
}
