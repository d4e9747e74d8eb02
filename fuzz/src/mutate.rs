//! Mutations without coverage: cheap, deterministic, and good enough to keep a parser honest between longer runs.

/// A small generator (SplitMix64): the same seed gives the same inputs on every machine.
pub struct Random(u64);

impl Random {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            return 0;
        }
        (self.bits() % bound as u64) as usize
    }
}

/// Inputs grow to this size and no further.
const MAX_BYTES: usize = 16 * 1024;

/// Changes one to four things in a member of `corpus`.
pub fn mutate(random: &mut Random, corpus: &[Vec<u8>], dictionary: &[&str]) -> Vec<u8> {
    let mut data = pick(random, corpus).to_vec();
    for _ in 0..=random.below(4) {
        change(random, &mut data, corpus, dictionary);
    }
    data.truncate(MAX_BYTES);
    data
}

fn change(random: &mut Random, data: &mut Vec<u8>, corpus: &[Vec<u8>], dictionary: &[&str]) {
    let at = random.below(data.len() + 1);
    match random.below(8) {
        0 if at < data.len() => data[at] ^= 1 << random.below(8),
        1 if at < data.len() => data[at] = random.bits() as u8,
        2 => data.insert(at, random.bits() as u8),
        3 => {
            let end = (at + 1 + random.below(16)).min(data.len());
            data.drain(at..end);
        }
        4 => data.truncate(at),
        5 if !dictionary.is_empty() => {
            let piece = dictionary[random.below(dictionary.len())].bytes();
            data.splice(at..at, piece);
        }
        6 => {
            // A piece of another input, or of this one: tags nest, attributes double.
            let other = pick(random, corpus);
            let from = random.below(other.len() + 1);
            let to = (from + random.below(64)).min(other.len());
            data.splice(at..at, other[from..to].iter().copied());
        }
        _ => {
            let end = (at + random.below(64)).min(data.len());
            let piece = data[at..end].to_vec();
            for _ in 0..=random.below(8) {
                data.splice(at..at, piece.iter().copied());
            }
        }
    }
}

fn pick<'a>(random: &mut Random, corpus: &'a [Vec<u8>]) -> &'a [u8] {
    match corpus.len() {
        0 => &[],
        length => &corpus[random.below(length)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let corpus = vec![b"<presence/>".to_vec(), b"<message/>".to_vec()];
        let inputs = |seed| {
            let mut random = Random::new(seed);
            (0..100)
                .map(|_| mutate(&mut random, &corpus, &["<x>"]))
                .collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }
}
