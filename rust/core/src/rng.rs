//! Random numbers by address: every draw is a function of its seed, kind, site, step and position,
//! never of what was drawn before it or of which thread asks.
//!
//! The generator is Threefry-4x32 with 20 rounds (Salmon, Moraes, Dror, Shaw: *Parallel random
//! numbers: as easy as 1, 2, 3*, SC 2011). It needs only 32-bit add, rotate and exclusive or.

use crate::float::Float;

/// Rotations of the eight rounds of Threefry-4x32, for its two pairs of words.
const ROTATIONS: [[u32; 2]; 8] =
    [[10, 26], [11, 21], [13, 27], [23, 5], [6, 20], [17, 11], [25, 10], [18, 20]];
/// The constant that makes the fifth key word (Skein's, cut to 32 bits).
const PARITY: u32 = 0x1BD1_1BDA;
/// Counters computed side by side for a row of a mask: one 512-bit register of each word.
const LANES: usize = 16;

/// Four random words from a key and a counter: Threefry-4x32, 20 rounds.
///
/// # Examples
/// ```
/// assert_eq!(seqrs::rng::threefry([0; 4], [0; 4])[0], 0x9c6c_a96a);
/// ```
#[must_use]
#[inline(always)]
pub fn threefry(key: [u32; 4], counter: [u32; 4]) -> [u32; 4] {
    let [k0, k1, k2, k3] = key;
    let key = [k0, k1, k2, k3, PARITY ^ k0 ^ k1 ^ k2 ^ k3];
    let mut x = counter;
    add_key(&mut x, &key, 0);
    four_rounds::<0>(&mut x);
    add_key(&mut x, &key, 1);
    four_rounds::<4>(&mut x);
    add_key(&mut x, &key, 2);
    four_rounds::<0>(&mut x);
    add_key(&mut x, &key, 3);
    four_rounds::<4>(&mut x);
    add_key(&mut x, &key, 4);
    four_rounds::<0>(&mut x);
    add_key(&mut x, &key, 5);
    x
}

#[inline(always)]
fn add_key(x: &mut [u32; 4], key: &[u32; 5], n: usize) {
    for w in 0..4 {
        x[w] = x[w].wrapping_add(key[(n + w) % 5]);
    }
    x[3] = x[3].wrapping_add(n as u32);
}

/// Rounds `FIRST` to `FIRST + 3` of the eight whose rotations differ.
#[inline(always)]
fn four_rounds<const FIRST: usize>(x: &mut [u32; 4]) {
    for round in FIRST..FIRST + 4 {
        // Even rounds mix words (0, 1) and (2, 3), odd rounds (0, 3) and (2, 1).
        let (first, second) = if round % 2 == 0 { (1, 3) } else { (3, 1) };
        for (a, b, rotation) in [(0, first, ROTATIONS[round][0]), (2, second, ROTATIONS[round][1])] {
            x[a] = x[a].wrapping_add(x[b]);
            x[b] = x[b].rotate_left(rotation) ^ x[a];
        }
    }
}

/// What the numbers of a stream are for; streams of different kinds share no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// First values of weights.
    Init = 1,
    /// Dropout masks.
    Dropout = 2,
    /// Drawing tokens.
    Sample = 3,
    /// The order and offsets of training data.
    Data = 4,
    /// Masks of the state as the recurrent products see it.
    RecurrentDropout = 5,
    /// Masks of a cell's candidate.
    CandidateDropout = 6,
    /// Masks of recurrent weights.
    WeightDropout = 7,
    /// Which units of h take their new value.
    ZoneoutHidden = 8,
    /// Which units of c take their new value.
    ZoneoutCell = 9,
    /// Masks of whole tokens.
    EmbeddingDropout = 10,
}

/// The random numbers of one seed, kind, site and step, each read by its position.
///
/// # Examples
/// ```
/// use seqrs::rng::{Kind, Stream};
/// let stream = Stream::new(7, Kind::Sample, 0, 0);
/// assert_eq!(stream.uniform(3), stream.uniform(3));
/// assert!((0.0..1.0).contains(&stream.uniform(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 4],
    step_high: u32,
}

impl Stream {
    /// A stream keyed by `seed`, what it is for, the place in the model (`site`: a layer or
    /// parameter, below 2²⁴) and the training step.
    #[must_use]
    pub fn new(seed: u64, kind: Kind, site: u32, step: u64) -> Self {
        debug_assert!(site < 1 << 24, "site {site} runs into the kind");
        Self { key: [low(seed), high(seed), (kind as u32) << 24 | site, low(step)], step_high: high(step) }
    }

    /// The words of its seed.
    #[cfg(feature = "wgpu")]
    pub(crate) fn seed(&self) -> [u32; 2] {
        [self.key[0], self.key[1]]
    }

    /// The four words at a position, for example `[unit / 4, row, t]`.
    #[must_use]
    #[inline(always)]
    pub fn bits(&self, [a, b, c]: [u32; 3]) -> [u32; 4] {
        threefry(self.key, [a, b, c, self.step_high])
    }

    /// Words `from`, `from + 1`, ... of the stream read as one sequence: word `i` is word `i % 4` at
    /// position `[i / 4, 0, 0]`, the high half of `i / 4` in the second place.
    pub fn fill(&self, from: u64, out: &mut [u32]) {
        for (i, word) in out.iter_mut().enumerate() {
            let index = from.wrapping_add(i as u64);
            *word = self.at(index / 4)[(index % 4) as usize];
        }
    }

    fn at(&self, index: u64) -> [u32; 4] {
        self.bits([low(index), high(index), 0])
    }

    /// Number `index` of the stream read as one sequence, uniform in [0, 1) with 53 random bits.
    #[must_use]
    pub fn uniform(&self, index: u64) -> f64 {
        let [a, b, _, _] = self.at(index);
        uniform_f64(a, b)
    }

    /// Number `index` of the stream read as one sequence, standard normal.
    ///
    /// √(−2 ln u) cos 2πv with u in (0, 1] and v in [0, 1) (Box and Muller 1958).
    #[must_use]
    pub fn normal(&self, index: u64) -> f64 {
        let [a, b, c, d] = self.at(index);
        let radius = (-2.0 * (1.0 - uniform_f64(a, b)).ln()).sqrt();
        radius * (std::f64::consts::TAU * uniform_f64(c, d)).cos()
    }

    /// The dropout mask of one row at one time step: `1 / keep` with probability `keep`, else 0.
    #[inline(always)]
    pub fn keep_mask_row<T: Float>(&self, t: u32, row: u32, keep: f64, out: &mut [T]) {
        self.choice_row(t, row, keep, T::from_f64(1.0 / keep), out);
    }

    /// One row of choices: `kept` with probability `keep`, else 0.
    ///
    /// Unit `u` is kept when word `u % 4` at position `[u / 4, row, t]`, as [`uniform_f32`], is
    /// below `keep` (in (0, 1], resolved to 2⁻²⁴).
    #[inline(always)]
    pub fn choice_row<T: Float>(&self, t: u32, row: u32, keep: f64, kept: T, out: &mut [T]) {
        let limit = (keep * f64::from(1 << 24)).ceil() as u32;
        for (chunk, units) in out.chunks_mut(4 * LANES).enumerate() {
            // Always a whole chunk, for fixed loop bounds; the last one is cut when copied.
            let mut mask = [T::ZERO; 4 * LANES];
            for l in 0..LANES {
                let words = self.bits([(chunk * LANES + l) as u32, row, t]);
                for w in 0..4 {
                    mask[4 * l + w] = if words[w] >> 8 < limit { kept } else { T::ZERO };
                }
            }
            units.copy_from_slice(&mask[..units.len()]);
        }
    }
}

impl Stream {
    /// What [`Stream::keep_mask_row`] gives unit `unit` of row 0 at time 0.
    #[must_use]
    pub fn keep_mask<T: Float>(&self, unit: u32, keep: f64) -> T {
        let word = self.bits([unit / 4, 0, 0])[(unit % 4) as usize];
        if f64::from(uniform_f32(word)) < keep { T::from_f64(1.0 / keep) } else { T::ZERO }
    }
}

/// 24 of the bits as a number in [0, 1), every value of which `f32` holds exactly.
#[must_use]
pub fn uniform_f32(bits: u32) -> f32 {
    (bits >> 8) as f32 / (1 << 24) as f32
}

/// 53 of the bits as a number in [0, 1), every value of which `f64` holds exactly.
#[must_use]
pub fn uniform_f64(a: u32, b: u32) -> f64 {
    ((u64::from(a) << 32 | u64::from(b)) >> 11) as f64 / (1u64 << 53) as f64
}

fn low(x: u64) -> u32 {
    x as u32
}

fn high(x: u64) -> u32 {
    (x >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors "threefry4x32 20" of Random123's `kat_vectors` file: zero, all ones, digits of pi.
    #[test]
    fn known_answers() {
        assert_eq!(threefry([0; 4], [0; 4]), [0x9c6ca96a, 0xe17eae66, 0xfc10ecd4, 0x5256a7d8]);
        assert_eq!(threefry([u32::MAX; 4], [u32::MAX; 4]), [0x2a881696, 0x57012287, 0xf6c7446e, 0xa16a6732]);
        assert_eq!(
            threefry(
                [0xa4093822, 0x299f31d0, 0x082efa98, 0xec4e6c89],
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]
            ),
            [0x59cd1dbb, 0xb8879579, 0x86b5d00c, 0xac8b6d84]
        );
    }

    #[test]
    fn every_part_of_the_address_matters() {
        let numbers: std::collections::HashSet<_> = [
            Stream::new(1, Kind::Init, 0, 0),
            Stream::new(1 << 32, Kind::Init, 0, 0),
            Stream::new(1, Kind::Data, 0, 0),
            Stream::new(1, Kind::Init, 1, 0),
            Stream::new(1, Kind::Init, 0, 1),
            Stream::new(1, Kind::Init, 0, 1 << 32),
        ]
        .iter()
        .flat_map(|s| [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]].map(|at| s.bits(at)))
        .collect();
        assert_eq!(numbers.len(), 24);
    }

    #[test]
    fn moments() {
        let stream = Stream::new(3, Kind::Init, 0, 0);
        let n = 100_000;
        let mean = |f: &dyn Fn(u64) -> f64| (0..n).map(f).sum::<f64>() / n as f64;
        // Each bound is five standard errors of the mean.
        let error = |variance: f64| 5.0 * (variance / n as f64).sqrt();
        assert!((mean(&|i| stream.uniform(i)) - 0.5).abs() < error(1.0 / 12.0));
        assert!(mean(&|i| stream.normal(i)).abs() < error(1.0));
        assert!((mean(&|i| stream.normal(i).powi(2)) - 1.0).abs() < error(2.0));
        assert!((mean(&|i| stream.normal(i).powi(4)) - 3.0).abs() < error(96.0));
        assert!((mean(&|i| f64::from(stream.normal(i).abs() < 1.0)) - 0.682_689).abs() < error(0.217));
    }

    #[test]
    fn fill_continues() {
        let stream = Stream::new(8, Kind::Data, 0, 0);
        let (mut whole, mut part) = ([0; 11], [0; 6]);
        stream.fill(0, &mut whole);
        stream.fill(5, &mut part);
        assert_eq!(whole[5..], part);
        assert_eq!(whole[4..8], stream.bits([1, 0, 0]));
    }

    #[test]
    fn uniform_ends() {
        assert_eq!((uniform_f32(0), uniform_f64(0, 0)), (0.0, 0.0));
        assert_eq!(uniform_f32(u32::MAX), 1.0 - f32::EPSILON / 2.0);
        assert_eq!(uniform_f64(u32::MAX, u32::MAX), 1.0 - f64::EPSILON / 2.0);
    }

    #[test]
    fn mask_is_its_definition() {
        let stream = Stream::new(5, Kind::Dropout, 2, 9 << 32 | 4);
        for units in [0, 1, 3, 4, 5, 63, 64, 65, 127, 130] {
            for keep in [0.25, 0.7, 1.0] {
                let mut row = vec![9.0f32; units];
                stream.keep_mask_row(11, 6, keep, &mut row);
                for (u, &got) in row.iter().enumerate() {
                    let word = stream.bits([u as u32 / 4, 6, 11])[u % 4];
                    let kept = f64::from(uniform_f32(word)) < keep;
                    assert_eq!(got, if kept { (1.0 / keep) as f32 } else { 0.0 }, "unit {u} of {units}");
                }
            }
        }
    }

    #[test]
    fn mask_keeps_its_share() {
        let mut row = vec![0.0f64; 100_000];
        Stream::new(5, Kind::Dropout, 0, 0).keep_mask_row(0, 0, 0.7, &mut row);
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        assert!((mean - 1.0).abs() < 5.0 * (0.3f64 / 0.7 / 1e5).sqrt(), "{mean}");
    }
}
