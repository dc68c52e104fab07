use super::*;

#[derive(Clone, Debug, Default, PartialEq)]
struct Small {
    id: Uuid,
    kind: String,
    text: String,
    number: u16,
}

impl Fields for Small {
    fn each(&mut self, with: &mut impl Field) {
        with.uuid("id", &mut self.id);
        with.key("kind", &mut self.kind);
        with.text("text", &mut self.text);
        with.uint16("number", &mut self.number);
    }
}

fn small(number: u16) -> Small {
    Small {
        id: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff + u128::from(number)),
        kind: format!("kind {}", number % 3),
        text: "é".repeat(usize::from(number) * 30),
        number,
    }
}

fn block(numbers: Range<u16>) -> Block {
    let mut block = Block::default();
    numbers.for_each(|number| block.push(small(number)));
    block
}

#[test]
fn rows_come_back() {
    let block = block(0..10);
    let rows: Vec<Small> = (0..block.rows()).map(|row| block.row(row)).collect();
    assert_eq!(rows, (0..10).map(small).collect::<Vec<_>>());
}

#[test]
fn what_is_cut_and_joined_is_what_was_never_cut() {
    let whole = block(0..10);
    for cut in 0..=10 {
        let mut joined = whole.slice(0..cut);
        joined.append(&whole, cut..10);
        assert_eq!(joined, whole);
        assert_eq!(joined.encode(), whole.encode());
    }
}

#[test]
fn bytes_are_as_clickhouse_reads_them() {
    let mut block = Block::default();
    block.push(Small { text: "a".to_owned(), kind: "k".to_owned(), number: 0x0102, ..small(0) });
    block.push(Small { text: String::new(), kind: "l".to_owned(), number: 3, ..small(0) });
    let mut expected: Vec<u8> = vec![4, 2];
    expected.extend(b"\x02id\x04UUID");
    for _row in 0..2 {
        expected.extend([0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00]);
        expected.extend([0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88]);
    }
    expected.extend(b"\x04kind\x16LowCardinality(String)");
    // Version, numbers of one byte with keys, two keys, two rows.
    expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0]);
    expected.extend(b"\x02\0\0\0\0\0\0\0\x01k\x01l\x02\0\0\0\0\0\0\0\x00\x01");
    expected.extend(b"\x04text\x06String\x01a\x00");
    expected.extend(b"\x06number\x06UInt16\x02\x01\x03\x00");
    assert_eq!(block.encode(), expected);
}

#[test]
fn lengths_grow_by_seven_bits() {
    for (length, expected) in
        [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (300, &[0xac, 2]), (1 << 14, &[0x80, 0x80, 1])]
    {
        let mut to = BytesMut::new();
        write_length(&mut to, length);
        assert_eq!(to, expected);
    }
}
