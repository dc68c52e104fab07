//! Rows by columns, as ClickHouse's format Native has them: the server takes them in for
//! half of what rows one after the other cost it, and texts that repeat themselves travel
//! once. The format by ClickHouse's `NativeWriter.cpp` and
//! `SerializationLowCardinality.cpp`.

use std::collections::HashMap;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Uuid,
    Bytes16,
    TimeMs,
    Int64,
    UInt64,
    UInt16,
    Text,
    Key,
}

impl Type {
    /// Its name in ClickHouse.
    fn name(self) -> &'static str {
        match self {
            Self::Uuid => "UUID",
            Self::Bytes16 => "FixedString(16)",
            Self::TimeMs => "DateTime64(3, 'UTC')",
            Self::Int64 => "Int64",
            Self::UInt64 => "UInt64",
            Self::UInt16 => "UInt16",
            Self::Text => "String",
            Self::Key => "LowCardinality(String)",
        }
    }

    fn no_values(self) -> Values {
        match self {
            Self::Uuid | Self::Bytes16 => Values::Fixed(Fixed { width: 16, bytes: Vec::new() }),
            Self::TimeMs | Self::Int64 | Self::UInt64 => Values::Fixed(Fixed { width: 8, bytes: Vec::new() }),
            Self::UInt16 => Values::Fixed(Fixed { width: 2, bytes: Vec::new() }),
            Self::Text => Values::Texts(Texts::default()),
            Self::Key => Values::Keys(Keys::default()),
        }
    }
}

/// Values of one width, little-endian.
#[derive(Clone, Debug, PartialEq)]
struct Fixed {
    width: usize,
    bytes: Vec<u8>,
}

impl Fixed {
    fn get<const N: usize>(&self, row: usize) -> [u8; N] {
        let from = row * N;
        self.bytes[from..from + N].try_into().expect("N bytes are N bytes")
    }
}

/// Texts one after the other, and where each ends.
#[derive(Clone, Debug, Default, PartialEq)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
    }

    fn get(&self, row: usize) -> &str {
        let from = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        std::str::from_utf8(&self.bytes[from..self.ends[row]]).expect("they came as texts")
    }

    fn write(&self, to: &mut BytesMut) {
        let mut from = 0;
        for end in &self.ends {
            write_length(to, end - from);
            to.extend_from_slice(&self.bytes[from..*end]);
            from = *end;
        }
    }
}

/// Texts that repeat themselves: each once, and which of them a row has.
#[derive(Clone, Debug, Default, PartialEq)]
struct Keys {
    texts: Texts,
    numbers: HashMap<Box<str>, u32>,
    of_rows: Vec<u32>,
}

impl Keys {
    /// There are both additional keys and a dictionary to be brought up to date with them.
    const KEYS_FOLLOW: u64 = 0x600;

    fn push(&mut self, text: &str) {
        let number = match self.of_rows.last() {
            // Neighbours are often alike.
            Some(last) if self.texts.get(*last as usize) == text => *last,
            _ => self.number(text),
        };
        self.of_rows.push(number);
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).expect("a block has fewer rows");
        self.numbers.insert(text.into(), number);
        self.texts.push(text);
        number
    }

    fn get(&self, row: usize) -> &str {
        self.texts.get(self.of_rows[row] as usize)
    }

    fn append(&mut self, other: &Self, rows: Range<usize>) {
        let mut known: Vec<Option<u32>> = vec![None; other.numbers.len()];
        for key in &other.of_rows[rows] {
            let key = *key as usize;
            let number = *known[key].get_or_insert_with(|| self.number(other.texts.get(key)));
            self.of_rows.push(number);
        }
    }

    /// The numbers of rows are as narrow as their greatest allows.
    fn write(&self, to: &mut BytesMut) {
        let width: u64 = match self.numbers.len() {
            0..=0x100 => 0,
            0x101..=0x1_0000 => 1,
            _ => 2,
        };
        to.put_u64_le(Self::KEYS_FOLLOW | width);
        to.put_u64_le(self.numbers.len() as u64);
        self.texts.write(to);
        to.put_u64_le(self.of_rows.len() as u64);
        for number in &self.of_rows {
            to.put_uint_le(u64::from(*number), 1 << width);
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    Fixed(Fixed),
    Texts(Texts),
    Keys(Keys),
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: &'static str,
    holds: Type,
    values: Values,
}

/// A row that lists its fields to whoever asks, always the same in the same order.
pub(crate) trait Fields {
    /// Names each field to `with`, which reads or sets it.
    fn each(&mut self, with: &mut impl Field);
}

/// Reads or sets a field.
#[allow(missing_docs, reason = "each is a type of ClickHouse's")]
pub(crate) trait Field {
    fn uuid(&mut self, name: &'static str, value: &mut Uuid);
    fn bytes16(&mut self, name: &'static str, value: &mut [u8; 16]);
    /// Milliseconds since 1970.
    fn time_ms(&mut self, name: &'static str, value: &mut i64);
    fn int64(&mut self, name: &'static str, value: &mut i64);
    fn uint64(&mut self, name: &'static str, value: &mut u64);
    fn uint16(&mut self, name: &'static str, value: &mut u16);
    fn text(&mut self, name: &'static str, value: &mut String);
    /// A text of few that repeat themselves.
    fn key(&mut self, name: &'static str, value: &mut String);
}

/// Rows by columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Block {
    columns: Vec<Column>,
    rows: usize,
}

impl Block {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row at the end. All rows of a block are of one sort.
    pub(crate) fn push(&mut self, mut row: impl Fields) {
        row.each(&mut Writer { block: self, next: 0 });
        self.rows += 1;
    }

    /// A row again.
    ///
    /// # Panics
    /// When there are fewer.
    pub(crate) fn row<T: Fields + Default>(&self, number: usize) -> T {
        let mut row = T::default();
        row.each(&mut Reader { columns: self.columns.iter(), row: number });
        row
    }

    /// Adds some rows of another block.
    pub(crate) fn append(&mut self, other: &Self, rows: Range<usize>) {
        if self.columns.is_empty() {
            let empty = |column: &Column| Column { values: column.holds.no_values(), ..*column };
            self.columns = other.columns.iter().map(empty).collect();
        }
        for (to, from) in self.columns.iter_mut().zip(&other.columns) {
            match (&mut to.values, &from.values) {
                (Values::Fixed(to), Values::Fixed(from)) => {
                    to.bytes.extend_from_slice(&from.bytes[rows.start * from.width..rows.end * from.width]);
                }
                (Values::Texts(to), Values::Texts(from)) => {
                    rows.clone().for_each(|row| to.push(from.get(row)));
                }
                (Values::Keys(to), Values::Keys(from)) => to.append(from, rows.clone()),
                _ => unreachable!("blocks of the same rows have the same columns"),
            }
        }
        self.rows += rows.len();
    }

    /// Some of its rows.
    pub(crate) fn slice(&self, rows: Range<usize>) -> Self {
        let mut slice = Self::default();
        slice.append(self, rows);
        slice
    }

    /// The names of its columns, as SQL lists them.
    pub(crate) fn column_list(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| format!("`{}`", column.name)).collect();
        names.join(", ")
    }

    /// In format Native.
    pub(crate) fn encode(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(self.bytes_at_most());
        write_length(&mut to, self.columns.len());
        write_length(&mut to, self.rows);
        for column in &self.columns {
            write_text(&mut to, column.name);
            write_text(&mut to, column.holds.name());
            match &column.values {
                Values::Fixed(values) => to.extend_from_slice(&values.bytes),
                Values::Texts(values) => values.write(&mut to),
                Values::Keys(values) => {
                    // The version of how keys are written.
                    to.put_u64_le(1);
                    values.write(&mut to);
                }
            }
        }
        to.freeze()
    }

    fn bytes_at_most(&self) -> usize {
        let of_values = self.columns.iter().map(|column| match &column.values {
            Values::Fixed(values) => values.bytes.len(),
            Values::Texts(values) => values.bytes.len() + values.ends.len() * 5,
            Values::Keys(values) => {
                values.texts.bytes.len() + values.texts.ends.len() * 5 + values.of_rows.len() * 4
            }
        });
        of_values.sum::<usize>() + self.columns.len() * 128 + 32
    }
}

/// Adds a row's fields to the columns; the first row makes them.
struct Writer<'a> {
    block: &'a mut Block,
    next: usize,
}

impl Writer<'_> {
    fn values(&mut self, name: &'static str, holds: Type) -> &mut Values {
        if self.next == self.block.columns.len() {
            debug_assert_eq!(self.block.rows, 0, "only the first row makes columns");
            self.block.columns.push(Column { name, holds, values: holds.no_values() });
        }
        let column = &mut self.block.columns[self.next];
        debug_assert_eq!((column.name, column.holds), (name, holds));
        self.next += 1;
        &mut column.values
    }

    fn fixed(&mut self, name: &'static str, holds: Type, bytes: &[u8]) {
        let Values::Fixed(values) = self.values(name, holds) else { unreachable!("by its type") };
        debug_assert_eq!(bytes.len(), values.width);
        values.bytes.extend_from_slice(bytes);
    }
}

impl Field for Writer<'_> {
    fn uuid(&mut self, name: &'static str, value: &mut Uuid) {
        self.fixed(name, Type::Uuid, &swapped(value.into_bytes()));
    }

    fn bytes16(&mut self, name: &'static str, value: &mut [u8; 16]) {
        self.fixed(name, Type::Bytes16, value);
    }

    fn time_ms(&mut self, name: &'static str, value: &mut i64) {
        self.fixed(name, Type::TimeMs, &value.to_le_bytes());
    }

    fn int64(&mut self, name: &'static str, value: &mut i64) {
        self.fixed(name, Type::Int64, &value.to_le_bytes());
    }

    fn uint64(&mut self, name: &'static str, value: &mut u64) {
        self.fixed(name, Type::UInt64, &value.to_le_bytes());
    }

    fn uint16(&mut self, name: &'static str, value: &mut u16) {
        self.fixed(name, Type::UInt16, &value.to_le_bytes());
    }

    fn text(&mut self, name: &'static str, value: &mut String) {
        let Values::Texts(values) = self.values(name, Type::Text) else { unreachable!("by its type") };
        values.push(value);
    }

    fn key(&mut self, name: &'static str, value: &mut String) {
        let Values::Keys(values) = self.values(name, Type::Key) else { unreachable!("by its type") };
        values.push(value);
    }
}

/// Sets a row's fields from the columns.
struct Reader<'a> {
    columns: std::slice::Iter<'a, Column>,
    row: usize,
}

impl<'a> Reader<'a> {
    fn values(&mut self) -> &'a Values {
        &self.columns.next().expect("rows have the columns that they made").values
    }

    fn fixed<const N: usize>(&mut self) -> [u8; N] {
        let Values::Fixed(values) = self.values() else { unreachable!("by its type") };
        values.get(self.row)
    }

    fn any_text(&mut self) -> String {
        match self.values() {
            Values::Texts(values) => values.get(self.row).to_owned(),
            Values::Keys(values) => values.get(self.row).to_owned(),
            Values::Fixed(_) => unreachable!("by its type"),
        }
    }
}

impl Field for Reader<'_> {
    fn uuid(&mut self, _name: &'static str, value: &mut Uuid) {
        *value = Uuid::from_bytes(swapped(self.fixed()));
    }

    fn bytes16(&mut self, _name: &'static str, value: &mut [u8; 16]) {
        *value = self.fixed();
    }

    fn time_ms(&mut self, _name: &'static str, value: &mut i64) {
        *value = i64::from_le_bytes(self.fixed());
    }

    fn int64(&mut self, _name: &'static str, value: &mut i64) {
        *value = i64::from_le_bytes(self.fixed());
    }

    fn uint64(&mut self, _name: &'static str, value: &mut u64) {
        *value = u64::from_le_bytes(self.fixed());
    }

    fn uint16(&mut self, _name: &'static str, value: &mut u16) {
        *value = u16::from_le_bytes(self.fixed());
    }

    fn text(&mut self, _name: &'static str, value: &mut String) {
        *value = self.any_text();
    }

    fn key(&mut self, _name: &'static str, value: &mut String) {
        *value = self.any_text();
    }
}

/// ClickHouse has a UUID as two numbers, each little-endian; and back.
fn swapped(mut bytes: [u8; 16]) -> [u8; 16] {
    bytes[..8].reverse();
    bytes[8..].reverse();
    bytes
}

fn write_text(to: &mut BytesMut, text: &str) {
    write_length(to, text.len());
    to.extend_from_slice(text.as_bytes());
}

/// LEB128.
fn write_length(to: &mut BytesMut, mut length: usize) {
    while length >= 0x80 {
        to.put_u8((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    to.put_u8(length as u8);
}

#[cfg(test)]
mod tests;
