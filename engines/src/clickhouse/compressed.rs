//! ClickHouse's own compressed-block framing (`compress=1`, `decompress=1`).
//!
//! A frame is a 16-byte CityHash-1.0.2 checksum of all that follows, a method
//! byte, the compressed size with this 9-byte header, the plain size, and the
//! data (ClickHouse `src/Compression/CompressionInfo.h`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
/// No frame may claim to be larger than this, plain or compressed; the
/// server's own limit is 1 GiB, its writers use 1 MiB.
const MAX_FRAME_BYTES: usize = 256 << 20;
/// Plain bytes in a frame that we write.
const FRAME_BYTES: usize = 1 << 20;

/// A body that is not a sequence of frames.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum FrameError {
    #[error("checksum of a compressed block does not match: the body was damaged on its way")]
    Checksum,
    #[error("compressed block uses method {0:#04x}; lz4 (0x82) and none (0x02) are supported")]
    Method(u8),
    #[error("compressed block claims an impossible size")]
    Size,
    #[error("compressed block cannot be decompressed: {0}")]
    Lz4(String),
    #[error("body ends in the middle of a compressed block")]
    Torn,
}

/// Takes frames off a byte stream as they become whole.
#[derive(Default)]
pub(super) struct Decoder {
    pending: BytesMut,
}

impl Decoder {
    /// Adds `chunk`; gives the plain bytes of every frame that is now whole.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, FrameError> {
        self.pending.extend_from_slice(chunk);
        let mut plain = Vec::new();
        while self.take_frame(&mut plain)? {}
        Ok(plain)
    }

    fn take_frame(&mut self, plain: &mut Vec<u8>) -> Result<bool, FrameError> {
        if self.pending.len() < CHECKSUM_BYTES + HEADER_BYTES {
            return Ok(false);
        }
        let mut header = &self.pending[CHECKSUM_BYTES..];
        let method = header.get_u8();
        let compressed = header.get_u32_le() as usize;
        let plain_bytes = header.get_u32_le() as usize;
        if compressed < HEADER_BYTES || compressed.max(plain_bytes) > MAX_FRAME_BYTES {
            return Err(FrameError::Size);
        }
        if self.pending.len() < CHECKSUM_BYTES + compressed {
            return Ok(false);
        }
        let mut frame = self.pending.split_to(CHECKSUM_BYTES + compressed);
        let stored = frame.split_to(CHECKSUM_BYTES);
        if stored[..] != checksum(&frame) {
            return Err(FrameError::Checksum);
        }
        let data = &frame[HEADER_BYTES..];
        match method {
            METHOD_NONE => plain.extend_from_slice(data),
            METHOD_LZ4 => {
                let block = lz4_flex::block::decompress(data, plain_bytes)
                    .map_err(|error| FrameError::Lz4(error.to_string()))?;
                plain.extend_from_slice(&block);
            }
            other => return Err(FrameError::Method(other)),
        }
        Ok(true)
    }

    /// Says whether the stream ended between two frames.
    pub(super) fn finish(&self) -> Result<(), FrameError> {
        if self.pending.is_empty() { Ok(()) } else { Err(FrameError::Torn) }
    }
}

/// The whole of `plain` as frames.
pub(super) fn encode(plain: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    for part in plain.chunks(FRAME_BYTES) {
        let data = lz4_flex::block::compress(part);
        let mut frame = BytesMut::with_capacity(HEADER_BYTES + data.len());
        frame.put_u8(METHOD_LZ4);
        frame.put_u32_le(u32::try_from(HEADER_BYTES + data.len()).expect("a frame is about 1 MiB"));
        frame.put_u32_le(u32::try_from(part.len()).expect("a frame is at most 1 MiB"));
        frame.extend_from_slice(&data);
        out.extend_from_slice(&checksum(&frame));
        out.extend_from_slice(&frame);
    }
    out.freeze()
}

fn checksum(frame: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = cityhash_rs::cityhash_102_128(frame);
    let mut bytes = [0; CHECKSUM_BYTES];
    // The two 64-bit halves are stored high first, each little-endian.
    bytes[..8].copy_from_slice(&((hash >> 64) as u64).to_le_bytes());
    bytes[8..].copy_from_slice(&(hash as u64).to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let plain: Vec<u8> = (0..3_000_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let framed = encode(&plain);
        for step in [1_000_003, 65_536, 4_097] {
            let mut decoder = Decoder::default();
            let mut back = Vec::new();
            for chunk in framed.chunks(step) {
                back.extend(decoder.push(chunk).unwrap());
            }
            decoder.finish().unwrap();
            assert!(back == plain, "step {step}");
        }
    }

    #[test]
    fn damage_is_named() {
        let framed = encode(b"one two three");
        let mut flipped = framed.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        assert_eq!(Decoder::default().push(&flipped), Err(FrameError::Checksum));
        let mut torn = Decoder::default();
        torn.push(&framed[..framed.len() - 1]).unwrap();
        assert_eq!(torn.finish(), Err(FrameError::Torn));
        let mut huge = framed.to_vec();
        huge[17..21].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Decoder::default().push(&huge), Err(FrameError::Size));
    }
}
