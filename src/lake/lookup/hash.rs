//! Parquet's split-block bloom filter, asked one block at a time.
//!
//! Rule: <https://github.com/apache/parquet-format/blob/master/BloomFilter.md>. The hash is XXH64 with seed 0 of the
//! plain encoding, which of text is its bytes: <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>.

const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

const P1: u64 = 0x9e37_79b1_85eb_ca87;
const P2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const P3: u64 = 0x1656_67b1_9e37_79f9;
const P4: u64 = 0x85eb_ca77_c2b2_ae63;
const P5: u64 = 0x27d4_eb2f_1656_67c5;

/// Which of a filter's blocks a hash falls into.
pub fn block(hash: u64, blocks: u32) -> u64 {
    ((hash >> 32) * u64::from(blocks)) >> 32
}

/// Whether a block says that the hash may be in the filter.
pub fn is_in(hash: u64, block: &[u8; 32]) -> bool {
    block.chunks_exact(4).zip(SALT).all(|(word, salt)| {
        let word = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        let bit = (hash as u32).wrapping_mul(salt) >> 27;
        word & (1 << bit) != 0
    })
}

/// XXH64 with seed 0.
pub fn xxh64(bytes: &[u8]) -> u64 {
    let mut rest = bytes;
    let mut hash = if bytes.len() >= 32 {
        let mut lanes = [P1.wrapping_add(P2), P2, 0, 0_u64.wrapping_sub(P1)];
        while rest.len() >= 32 {
            for (lane, word) in lanes.iter_mut().zip(rest.chunks_exact(8)) {
                *lane = round(*lane, long(word));
            }
            rest = &rest[32..];
        }
        let turned = [1, 7, 12, 18];
        let sum = lanes.iter().zip(turned).fold(0_u64, |sum, (lane, by)| sum.wrapping_add(lane.rotate_left(by)));
        lanes.iter().fold(sum, |hash, lane| (hash ^ round(0, *lane)).wrapping_mul(P1).wrapping_add(P4))
    } else {
        P5
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    while rest.len() >= 8 {
        hash = (hash ^ round(0, long(rest))).rotate_left(27).wrapping_mul(P1).wrapping_add(P4);
        rest = &rest[8..];
    }
    if rest.len() >= 4 {
        let word = u64::from(u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]));
        hash = (hash ^ word.wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3);
        rest = &rest[4..];
    }
    for byte in rest {
        hash = (hash ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(P3);
    hash ^ (hash >> 32)
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
}

fn long(word: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&word[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use parquet::bloom_filter::Sbbf;

    use super::*;

    #[test]
    fn the_hash_is_the_one_of_the_specification() {
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_eq!(xxh64(b"abc"), 0x44bc_2cf5_ad77_0999);
    }

    #[test]
    fn what_parquet_put_in_is_found_and_little_else() {
        let text = |i: usize| "x".repeat(i % 70) + &i.to_string();
        let mut filter = Sbbf::new_with_ndv_fpp(1_000, 0.01).unwrap();
        (0..1_000).for_each(|i| filter.insert(text(i).as_str()));
        let mut bits = Vec::new();
        filter.write_bitset(&mut bits).unwrap();
        let blocks = (bits.len() / 32) as u32;
        let holds = |i: usize| {
            let hash = xxh64(text(i).as_bytes());
            let at = block(hash, blocks) as usize * 32;
            is_in(hash, bits[at..at + 32].try_into().unwrap())
        };
        assert!((0..1_000).all(holds));
        assert!((1_000..11_000).filter(|i| holds(*i)).count() < 300);
        assert!((1_000..11_000).all(|i| holds(i) == filter.check(text(i).as_str())));
    }
}
