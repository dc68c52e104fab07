//! What is kept by visitor, read by hand from ClickHouse's format Native, a column after the
//! other: it is millions of rows with tens of moments each. The crate's way to rows takes
//! several times as long, and the server's row by row twice as long as its columns.
//!
//! It is asked for in parts, one ahead of what is being looked at: the embedded engine says
//! nothing of an answer before it has all of it.

use clickhouse::error::Error;
use clickhouse::query::Query;
use models::funnel::{Act, Steps};
use tokio::sync::mpsc;

/// What the columns are, in their order.
const TYPES: [&[u8]; 5] =
    [b"FixedString(16)", b"Int64", b"Array(UInt32)", b"Array(UInt32)", b"Array(UInt32)"];

/// Reads the answers of queries, one after the other and one ahead of whoever takes them.
pub(super) struct KeptReader {
    queries: Vec<Query>,
    parts: mpsc::Sender<Vec<u8>>,
    used: mpsc::Receiver<Vec<u8>>,
}

impl KeptReader {
    /// Ends when all is read, or nobody wants it any more.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        for (number, query) in self.queries.into_iter().enumerate() {
            // Before it reads: two parts are held, no three.
            let Ok(place) = self.parts.reserve().await else { return Ok(()) };
            // Into memory that was read already: fresh memory costs as much as deciding. For
            // each part but the first one was taken, and another given back.
            let mut bytes = if number == 0 { None } else { self.used.recv().await }.unwrap_or_default();
            bytes.clear();
            let mut cursor = query.fetch_bytes("Native")?;
            while let Some(more) = cursor.next().await? {
                bytes.extend_from_slice(&more);
            }
            place.send(bytes);
        }
        Ok(())
    }
}

/// The rows of queries, one query's after the other's.
pub(super) struct KeptRows {
    parts: mpsc::Receiver<Vec<u8>>,
    used: mpsc::Sender<Vec<u8>>,
    /// The part that is looked at.
    bytes: Vec<u8>,
    block: Block,
    /// Where in the block it stands.
    row: usize,
}

impl KeptRows {
    /// The rows of `queries`, and who reads them.
    pub(super) fn of(queries: Vec<Query>) -> (KeptReader, Self) {
        let (sender, parts) = mpsc::channel(1);
        let (used, receiver) = mpsc::channel(1);
        let rows = Self { parts, used, bytes: Vec::new(), block: Block::default(), row: 0 };
        (KeptReader { queries, parts: sender, used: receiver }, rows)
    }

    /// Goes on to the next part that has a row, if it is at the end of one. Blocks.
    pub(super) fn go_on(&mut self) -> Result<(), Error> {
        while self.row >= self.block.rows {
            let Some(next) = self.parts.blocking_recv() else { return Ok(()) };
            let read = std::mem::replace(&mut self.bytes, next);
            // Nobody takes it, where all is read.
            let _nobody = self.used.try_send(read);
            (self.block, self.row) = (Block::default(), 0);
            self.next_block()?;
        }
        Ok(())
    }

    /// Whose row it stands at, as a number in the order of keys; nobody's behind a part's last.
    pub(super) fn visitor(&self) -> Option<u128> {
        let is_there = self.row < self.block.rows;
        is_there.then(|| u128::from_be_bytes(*cell(&self.bytes, self.block.visitors, self.row)))
    }

    /// Adds the acts of the row it stands at that lie within a span of time; each kind of
    /// them is some steps, or none.
    pub(super) fn tell(&self, kinds: [Steps; 3], (from_ms, until_ms): (i64, i64), acts: &mut Vec<Act>) {
        let begin_ms = i64::from_le_bytes(*cell(&self.bytes, self.block.months, self.row));
        let lists = self.block.moments.iter().zip(kinds);
        for (lists, steps) in lists.filter(|(_, steps)| *steps != 0) {
            let moments = lists.of_row(&self.bytes, self.row).as_chunks().0;
            let mut end = acts.len();
            acts.resize(end + moments.len(), Act::new(0, 0));
            for moment in moments {
                let ms = begin_ms + i64::from(u32::from_le_bytes(*moment));
                // Half of them lie outside: written over, not branched around.
                acts[end] = Act::new(ms, steps);
                end += usize::from((from_ms..until_ms).contains(&ms));
            }
            acts.truncate(end);
        }
    }

    /// Goes on to the part's next row, if it has more.
    pub(super) fn step(&mut self) -> Result<(), Error> {
        self.row += 1;
        self.next_block()
    }

    /// Goes on to the part's next block that has rows, from the end of one.
    fn next_block(&mut self) -> Result<(), Error> {
        while self.row >= self.block.rows && self.block.end < self.bytes.len() {
            self.block = Block::read(&self.bytes, self.block.end)?;
            self.row = 0;
        }
        Ok(())
    }
}

/// A fixed number of bytes of each row.
fn cell<const N: usize>(bytes: &[u8], column: usize, row: usize) -> &[u8; N] {
    let at = column + row * N;
    bytes[at..].first_chunk().expect("the block was read to its end")
}

/// Where the columns of a block stand in its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Block {
    rows: usize,
    visitors: usize,
    months: usize,
    moments: [Lists; 3],
    end: usize,
}

/// Where a column of lists of four bytes stands: how many there are up to the end of each
/// row, eight bytes each, and all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lists {
    ends: usize,
    values: usize,
}

impl Lists {
    fn of_row(self, bytes: &[u8], row: usize) -> &[u8] {
        let begin = if row == 0 { 0 } else { self.end(bytes, row - 1) };
        &bytes[self.values + 4 * begin..self.values + 4 * self.end(bytes, row)]
    }

    fn end(self, bytes: &[u8], row: usize) -> usize {
        usize::try_from(u64::from_le_bytes(*cell(bytes, self.ends, row))).unwrap_or(usize::MAX)
    }
}

impl Block {
    /// Reads the block that begins at `at`.
    fn read(bytes: &[u8], at: usize) -> Result<Self, Error> {
        let mut reader = Reader { bytes, at };
        let (columns, rows) = (reader.length()?, reader.length()?);
        if columns != TYPES.len() {
            return Err(unexpected());
        }
        let mut begins = [Lists::default(); TYPES.len()];
        for (begin, wanted) in begins.iter_mut().zip(TYPES) {
            let (_name, found) = (reader.text()?, reader.text()?);
            if found != wanted {
                return Err(unexpected());
            }
            *begin = reader.column(wanted, rows)?;
        }
        let [visitors, months, moments @ ..] = begins;
        Ok(Self { rows, visitors: visitors.values, months: months.values, moments, end: reader.at })
    }
}

fn unexpected() -> Error {
    Error::Custom("visitor_acts does not come as it was asked for".to_owned())
}

/// Reads on, as long as there are bytes.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// LEB128.
    fn length(&mut self) -> Result<usize, Error> {
        let mut length = 0;
        for position in 0..9 {
            let at = self.skip(1)?;
            let byte = self.bytes[at];
            length |= usize::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                return Ok(length);
            }
        }
        Err(unexpected())
    }

    fn text(&mut self) -> Result<&'a [u8], Error> {
        let length = self.length()?;
        let begin = self.skip(length)?;
        Ok(&self.bytes[begin..self.at])
    }

    /// Where the `length` bytes begin that were left behind.
    fn skip(&mut self, length: usize) -> Result<usize, Error> {
        let begin = self.at;
        let end = begin.checked_add(length).filter(|end| *end <= self.bytes.len());
        self.at = end.ok_or(Error::NotEnoughData)?;
        Ok(begin)
    }

    /// Where a column's values stand, and where their lists end, if it is one of lists.
    fn column(&mut self, of: &[u8], rows: usize) -> Result<Lists, Error> {
        let ends = self.at;
        let sized = |count: usize, bytes| count.checked_mul(bytes).ok_or(Error::NotEnoughData);
        let bytes = match of {
            b"FixedString(16)" => sized(rows, 16)?,
            b"Int64" => sized(rows, 8)?,
            _ => {
                self.skip(sized(rows, 8)?)?;
                let lists = Lists { ends, values: 0 };
                sized(if rows == 0 { 0 } else { lists.end(self.bytes, rows - 1) }, 4)?
            }
        };
        Ok(Lists { ends, values: self.skip(bytes)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A visitor, the month, and the moments of each kind.
    type Row = ([u8; 16], i64, [Vec<u32>; 3]);

    fn length(mut length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes
    }

    fn block(rows: &[Row]) -> Vec<u8> {
        let mut bytes = [length(TYPES.len()), length(rows.len())].concat();
        for (number, of) in TYPES.iter().enumerate() {
            for text in [b"a name", *of] {
                bytes.extend(length(text.len()));
                bytes.extend(text);
            }
            match number {
                0 => bytes.extend(rows.iter().flat_map(|row| row.0)),
                1 => bytes.extend(rows.iter().flat_map(|row| row.1.to_le_bytes())),
                list => {
                    let mut end = 0;
                    for row in rows {
                        end += row.2[list - 2].len() as u64;
                        bytes.extend(end.to_le_bytes());
                    }
                    bytes
                        .extend(rows.iter().flat_map(|row| &row.2[list - 2]).flat_map(|ms| ms.to_le_bytes()));
                }
            }
        }
        bytes
    }

    #[test]
    fn blocks_are_read_to_their_ends() {
        let rows: Vec<Row> = vec![
            ([7; 16], -1, [vec![1], vec![], vec![u32::MAX, 3]]),
            (*b"0123456789abcdef", 1_790_000_000_000, [vec![], (0..300).collect(), (0..127).collect()]),
            ([8; 16], 5, [vec![], vec![], vec![]]),
        ];
        for rows in [&rows[..], &rows[..1], &[]] {
            let own = block(rows);
            for cut in 0..own.len() {
                assert!(matches!(Block::read(&own[..cut], 0), Err(Error::NotEnoughData)), "cut after {cut}");
            }
            let bytes = [&b"before"[..], &own, b"after"].concat();
            let read = Block::read(&bytes, 6).expect("a block");
            assert_eq!((read.rows, read.end), (rows.len(), 6 + own.len()));
            for (number, row) in rows.iter().enumerate() {
                assert_eq!(*cell::<16>(&bytes, read.visitors, number), row.0);
                assert_eq!(*cell(&bytes, read.months, number), row.1.to_le_bytes());
                for (lists, moments) in read.moments.iter().zip(&row.2) {
                    let expected: Vec<u8> = moments.iter().flat_map(|ms| ms.to_le_bytes()).collect();
                    assert_eq!(lists.of_row(&bytes, number), expected);
                }
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let bytes = block(&[]);
        let other = |from: &[u8], to: &[u8]| {
            let at = bytes.windows(from.len()).position(|part| part == from).expect("it is there");
            let mut bytes = bytes.clone();
            bytes[at..at + to.len()].copy_from_slice(to);
            bytes
        };
        for bytes in [other(b"Int64", b"Int32"), other(b"FixedString", b"FixedStrong"), vec![4, 0]] {
            assert!(matches!(Block::read(&bytes, 0), Err(Error::Custom(_))), "{bytes:?}");
        }
    }
}
