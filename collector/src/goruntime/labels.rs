//! The labels that a program gives a goroutine by `pprof.Do` (runtime/pprof/label.go, runtime/proflabel.go), read from its memory.

use cgoprof_symbols::Avma;

/// Keys with their values, in the order of the keys.
pub(crate) type Labels = Vec<(String, String)>;

/// Maximum labels of a goroutine that are read. `pprof.Do` bounds nothing.
const MOST_LABELS: usize = 32;
/// Maximum bytes of a key or a value that are read; the rest is left out.
const LONGEST_TEXT: usize = 256;

/// The Go release from which on `g.labels` leads to a slice. Before, it leads to a map.
const SLICES: u32 = 24;

/// Bytes of a Go string: its address and its length.
const STRING: usize = 16;

/// Reads the labels to which a `g.labels` that is not null leads. `read` returns bytes of the program's memory; the goroutine must
/// not run meanwhile. None if the memory is not as it should be.
pub(crate) fn read_labels(read: impl Fn(Avma, usize) -> Option<Vec<u8>>, labels: Avma, minor: u32) -> Option<Labels> {
    let places = if minor >= SLICES { in_slice(&read, labels)? } else { in_map(&read, labels)? };
    let text = |place: &[u8]| {
        let (at, length) = (word(place, 0)?, word(place, 1)? as usize);
        let bytes = if length == 0 { Vec::new() } else { read(Avma(at), length.min(LONGEST_TEXT))? };
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let mut labels = places.iter().map(|(key, value)| Some((text(key)?, text(value)?))).collect::<Option<Labels>>()?;
    labels.sort();
    Some(labels)
}

/// A key and a value, as Go strings.
type Places = Vec<(Vec<u8>, Vec<u8>)>;

/// Finds the strings in a slice of pairs.
fn in_slice(read: impl Fn(Avma, usize) -> Option<Vec<u8>>, slice: Avma) -> Option<Places> {
    let head = read(slice, 16)?;
    let (first, count) = (word(&head, 0)?, word(&head, 1)? as usize);
    if count == 0 {
        return Some(Places::new());
    }
    let pairs = read(Avma(first), count.min(MOST_LABELS) * 2 * STRING)?;
    Some(pairs.chunks_exact(2 * STRING).map(|pair| (pair[..STRING].to_vec(), pair[STRING..].to_vec())).collect())
}

/// Finds the strings in a map of the releases before 1.24 (runtime/map.go, `hmap` and `bmap`).
fn in_map(read: impl Fn(Avma, usize) -> Option<Vec<u8>>, labels: Avma) -> Option<Places> {
    /// Pairs in a bucket.
    const PAIRS: usize = 8;
    /// `minTopHash`: smaller values mark places that are free or were moved.
    const FIRST_HASH: u8 = 5;
    /// Hashes, keys, values, and the address of the next bucket.
    const BUCKET: usize = PAIRS + 2 * PAIRS * STRING + 8;
    /// Maximum buckets that are followed.
    const MOST_BUCKETS: usize = 16;
    let map = word(&read(labels, 8)?, 0)?;
    let head = read(Avma(map), 32)?;
    let (count, log_buckets, buckets, moving) = (word(&head, 0)?, head[9], word(&head, 2)?, word(&head, 3)?);
    // Pairs of a map that grows are in two places.
    if count > MOST_LABELS as u64 || moving != 0 || usize::from(log_buckets) > MOST_BUCKETS.ilog2() as usize {
        return None;
    }
    let mut places = Places::new();
    let mut left = MOST_BUCKETS;
    for index in 0..1u64 << log_buckets {
        let mut at = buckets.wrapping_add(index * BUCKET as u64);
        while at != 0 {
            left = left.checked_sub(1)?;
            let bucket = read(Avma(at), BUCKET)?;
            let string = |index: usize| bucket[PAIRS + index * STRING..][..STRING].to_vec();
            let used = (0..PAIRS).filter(|&pair| bucket[pair] >= FIRST_HASH);
            places.extend(used.map(|pair| (string(pair), string(PAIRS + pair))));
            at = word(&bucket, (BUCKET - 8) / 8)?;
        }
    }
    (places.len() as u64 == count).then_some(places)
}

fn word(bytes: &[u8], index: usize) -> Option<u64> {
    let bytes = bytes.get(index * 8..index * 8 + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Memory of a program: pieces by their addresses.
    #[derive(Default)]
    struct Pieces(BTreeMap<u64, Vec<u8>>);

    impl Pieces {
        /// Puts bytes behind what is there, and returns their address.
        fn put(&mut self, bytes: Vec<u8>) -> u64 {
            let at =
                self.0.last_key_value().map_or(0x1000, |(at, last)| (at + last.len() as u64).next_multiple_of(16) + 16);
            self.0.insert(at, bytes);
            at
        }

        fn string(&mut self, text: &str) -> [u64; 2] {
            [self.put(text.as_bytes().to_vec()), text.len() as u64]
        }

        fn read(&self, at: Avma, length: usize) -> Option<Vec<u8>> {
            let (begin, piece) = self.0.range(..=at.0).next_back()?;
            piece.get((at.0 - begin) as usize..)?.get(..length).map(<[u8]>::to_vec)
        }

        fn labels(&self, at: u64, minor: u32) -> Option<Labels> {
            read_labels(|at, length| self.read(at, length), Avma(at), minor)
        }
    }

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn expected(pairs: &[(&str, &str)]) -> Option<Labels> {
        Some(pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn labels_of_newer_releases_are_a_slice() {
        let mut memory = Pieces::default();
        let strings = ["path", "/a", "request", "4711", "user", ""].map(|text| memory.string(text));
        let pairs = memory.put(bytes(strings.as_flattened()));
        let slice = memory.put(bytes(&[pairs, 3, 3]));
        assert_eq!(memory.labels(slice, 26), expected(&[("path", "/a"), ("request", "4711"), ("user", "")]));
        let none = memory.put(bytes(&[0, 0, 0]));
        assert_eq!(memory.labels(none, 24), expected(&[]));
        let wild = memory.put(bytes(&[1, 2, 2]));
        assert_eq!((memory.labels(wild, 24), memory.labels(7, 24)), (None, None));
    }

    #[test]
    fn labels_of_older_releases_are_a_map() {
        let mut memory = Pieces::default();
        let [key, value, other, text] = ["request", "4711", "path", "/a"].map(|text| memory.string(text));
        let bucket = |hashes: [u8; 8], pairs: &[([u64; 2], [u64; 2])], next: u64| {
            let column = |mut strings: Vec<[u64; 2]>| {
                strings.resize(8, [0; 2]);
                bytes(strings.as_flattened())
            };
            let (keys, values) = pairs.iter().copied().unzip();
            [hashes.to_vec(), column(keys), column(values), bytes(&[next])].concat()
        };
        let next = memory.put(bucket([9, 0, 0, 0, 0, 0, 0, 0], &[(other, text)], 0));
        let first = memory.put(bucket([1, 7, 0, 0, 0, 0, 0, 0], &[([0; 2], [0; 2]), (key, value)], next));
        let mut map = |count: u64, log_buckets: u64, moving: u64| {
            let map = memory.put(bytes(&[count, log_buckets << 8, first, moving]));
            memory.put(bytes(&[map]))
        };
        let (whole, growing, short) = (map(2, 0, 0), map(2, 0, 8), map(3, 0, 0));
        assert_eq!(memory.labels(whole, 22), expected(&[("path", "/a"), ("request", "4711")]));
        assert_eq!((memory.labels(growing, 22), memory.labels(short, 22)), (None, None));
    }

    #[test]
    fn a_map_that_leads_to_itself_ends() {
        let mut memory = Pieces::default();
        let at = 0x1000;
        let mut bucket = vec![0; 272];
        bucket[264..].copy_from_slice(&u64::to_le_bytes(at));
        assert_eq!(memory.put(bucket), at);
        let map = memory.put(bytes(&[0, 0, at, 0]));
        let labels = memory.put(bytes(&[map]));
        assert_eq!(memory.labels(labels, 19), None);
    }

    proptest::proptest! {
        #[test]
        fn any_memory_is_survived(memory in proptest::collection::vec(0..64u64, 64), at in 0..600u64, minor in 19..28u32) {
            let bytes: Vec<u8> = memory.iter().flat_map(|word| (word * 8).to_le_bytes()).collect();
            let read = |at: Avma, length: usize| bytes.get(at.0 as usize..)?.get(..length).map(<[u8]>::to_vec);
            read_labels(read, Avma(at), minor);
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let mut memory = Pieces::default();
        let (key, value) = (memory.string("key"), memory.string(&"a".repeat(10_000)));
        let pairs = memory.put(bytes(&[key, value].concat()));
        let slice = memory.put(bytes(&[pairs, 1, 1]));
        assert_eq!(memory.labels(slice, 27).expect("labels")[0].1.len(), LONGEST_TEXT);
    }
}
