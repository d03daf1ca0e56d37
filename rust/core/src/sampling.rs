//! Drawing the next token from a model's logits: temperature, top-k, top-p, tokens never drawn.

pub use crate::backend::Draw;

use crate::backend::Cuts;
use crate::device::{Element, Elementary, Isa, Task};
use crate::error::{Error, Result};
use crate::losses::largest;
use std::array::from_fn;
use std::cmp::Ordering;
use std::ops::Range;

/// How tokens are drawn, with the memory for doing so: a draw allocates nothing.
///
/// With logits x, largest logit m among the tokens that may be drawn, and temperature τ, token i has
/// the weight exp((xᵢ − m) / τ); τ = 0 is the most likely token, the first one of equals. Of the
/// tokens in order of likelihood (of equals the first one first), top-k keeps k, then top-p the
/// smallest number of the rest whose share of the weight reaches p (Holtzman, Buys, Du, Forbes,
/// Choi 2020). One of those left is drawn in proportion to its weight.
///
/// # Examples
/// ```
/// use seqrs::sampling::Sampler;
/// let logits = [1.0f32, 3.0, 2.0];
/// let mut greedy = Sampler::new(3, 0.0, None, None, &[])?;
/// assert_eq!(greedy.draw(&logits, 0.5)?.token, 1);
/// let mut two = Sampler::new(3, 1.0, Some(2), None, &[])?;
/// assert_eq!(two.draw(&logits, 0.1)?.token, 1);
/// assert_eq!(two.draw(&logits, 0.9)?.token, 2);
/// # Ok::<(), seqrs::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sampler {
    isa: Isa,
    pub(crate) cuts: Cuts,
    /// Tokens in all.
    vocab_size: usize,
    /// Of every token.
    weights: Vec<f64>,
    kept: Vec<Candidate>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    token: u32,
    /// Its logit, later its weight.
    score: f64,
}

impl Candidate {
    /// The order of likelihood; of equals the first token first.
    fn order(&self, other: &Self) -> Ordering {
        let by_score = other.score.partial_cmp(&self.score).unwrap_or(Ordering::Equal);
        by_score.then(self.token.cmp(&other.token))
    }
}

impl Sampler {
    /// A sampler over `vocab_size` tokens. `None` makes no cut; `banned` tokens are never drawn.
    ///
    /// # Errors
    /// [`Error::Value`] for a negative, infinite or NaN `temperature`, a `top_k` of 0, a `top_p`
    /// outside of (0, 1], a banned token that does not exist, or no token left.
    pub fn new(
        vocab_size: usize,
        temperature: f64,
        top_k: Option<usize>,
        top_p: Option<f64>,
        banned: &[i32],
    ) -> Result<Self> {
        if !(temperature >= 0.0 && temperature.is_finite()) {
            return Err(Error::value("temperature", "a finite number of at least 0", temperature));
        }
        if top_k == Some(0) {
            return Err(Error::value("top_k", "at least 1", 0));
        }
        let top_p = top_p.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(Error::value("top_p", "a number above 0 and at most 1", top_p));
        }
        let mut allowed = vec![true; vocab_size];
        for &token in banned {
            let entry = usize::try_from(token).ok().and_then(|token| allowed.get_mut(token));
            let expected = || format!("tokens from 0 to below {vocab_size}");
            *entry.ok_or_else(|| Error::value("banned", expected(), token))? = false;
        }
        let mut runs: Vec<Range<usize>> = Vec::new();
        for token in (0..vocab_size).filter(|&token| allowed[token]) {
            match runs.last_mut() {
                Some(run) if run.end == token => run.end += 1,
                _ => runs.push(token..token + 1),
            }
        }
        if runs.is_empty() {
            return Err(Error::value("banned", "a token left to draw", "all of them"));
        }
        Ok(Self {
            isa: Isa::detect()?,
            cuts: Cuts { temperature, top_k: top_k.unwrap_or(vocab_size), top_p, allowed: runs },
            vocab_size,
            weights: vec![0.0; vocab_size],
            kept: Vec::with_capacity(vocab_size),
        })
    }

    /// Draw a token from `logits` (V,) with `u`, uniform in [0, 1): a function of the two alone.
    ///
    /// # Errors
    /// [`Error::Shape`] for logits of another length, [`Error::NotFinite`], and [`Error::Value`]
    /// for a `u` outside of [0, 1).
    pub fn draw<T: Element>(&mut self, logits: &[T], u: f64) -> Result<Draw> {
        if logits.len() != self.vocab_size {
            return Err(Error::shape("logits", format!("({},)", self.vocab_size), &[logits.len()]));
        }
        if !(0.0..1.0).contains(&u) {
            return Err(Error::value("u", "a number from 0 to below 1", u));
        }
        let temperature = T::from_f64(self.cuts.temperature);
        let weigh = Weigh { logits, allowed: &self.cuts.allowed, temperature, weights: &mut self.weights };
        let Some([top, most, log_sum]) = self.isa.run(weigh) else {
            return Err(Error::NotFinite { name: "logits".to_owned() });
        };
        let token = if self.cuts.temperature == 0.0 {
            let first = |run: &Range<usize>| {
                logits[run.clone()].iter().position(|&x| x == most).map(|i| run.start + i)
            };
            self.cuts.allowed.iter().find_map(first).unwrap_or(self.cuts.allowed[0].start)
        } else if self.cuts.top_k < self.vocab_size || self.cuts.top_p < 1.0 {
            self.cut(logits);
            pick(u, self.kept.iter().map(|candidate| (candidate.token as usize, candidate.score)))
        } else {
            pick_of(u, &self.weights)
        };
        let log_prob = logits[token].to_f64() - top.to_f64() - log_sum.to_f64();
        Ok(Draw { token: token as i32, log_prob })
    }

    /// The candidates that bans and cuts leave, in token order, with their weights.
    fn cut<T: Element>(&mut self, logits: &[T]) {
        let kept = &mut self.kept;
        kept.clear();
        for token in self.cuts.allowed.iter().cloned().flatten() {
            kept.push(Candidate { token: token as u32, score: logits[token].to_f64() });
        }
        if self.cuts.top_k < kept.len() {
            kept.select_nth_unstable_by(self.cuts.top_k - 1, Candidate::order);
            kept.truncate(self.cuts.top_k);
        }
        kept.iter_mut().for_each(|candidate| candidate.score = self.weights[candidate.token as usize]);
        if self.cuts.top_p < 1.0 {
            let enough = nucleus(kept, self.cuts.top_p);
            kept.truncate(enough);
        }
        kept.sort_unstable_by_key(|candidate| candidate.token);
    }
}

/// A token whose weight is less than e to the power of this, of the likeliest one's, has none.
const LEAST: f64 = -87.0;

/// The weights of the tokens; those of the banned ones stay 0. The largest logit, the largest of an
/// allowed token, and ln Σ exp(x − largest); None where a logit is not finite.
struct Weigh<'a, T> {
    logits: &'a [T],
    allowed: &'a [Range<usize>],
    temperature: T,
    weights: &'a mut [f64],
}

impl<T: Elementary> Task<T> for Weigh<'_, T> {
    type Out = Option<[T; 3]>;
    #[inline(always)]
    fn run<const L: usize, const OPS: u8>(self) -> Self::Out {
        let top = largest::<T, L>(self.logits)?;
        let mut most = None;
        for run in self.allowed {
            let of_run = largest::<T, L>(&self.logits[run.clone()])?;
            most = most.filter(|&most| most >= of_run).or(Some(of_run));
        }
        let most = most?;
        let mut sums = [T::ZERO; L];
        each_register::<T, L>(self.logits, |_, x, used| {
            let e = T::exp_each(x.map(|x| x - top));
            (0..used).for_each(|l| sums[l] += e[l]);
        });
        let sum = sums.into_iter().fold(T::ZERO, |all, x| all + x);
        // The smallest of temperatures is 0 in single precision: as good as the smallest there is.
        let temperature = if self.temperature < T::MIN_POSITIVE { T::MIN_POSITIVE } else { self.temperature };
        let least = T::from_f64(LEAST);
        for run in self.allowed {
            let weights = &mut self.weights[run.clone()];
            each_register::<T, L>(&self.logits[run.clone()], |at, x, used| {
                let down = x.map(|x| (x - most) / temperature);
                let e = T::exp_each(down);
                (0..used).for_each(|l| weights[at + l] = if down[l] < least { 0.0 } else { e[l].to_f64() });
            });
        }
        Some([top, most, sum.ln()])
    }
}

/// Calls `f` on every register of a row: where it begins, its numbers, and how many of them count.
#[inline(always)]
fn each_register<T: Elementary, const L: usize>(row: &[T], mut f: impl FnMut(usize, [T; L], usize)) {
    let (registers, rest) = row.as_chunks::<L>();
    for (i, line) in registers.iter().enumerate() {
        f(i * L, *line, L);
    }
    if !rest.is_empty() {
        let mut line = [row[0]; L];
        line[..rest.len()].copy_from_slice(rest);
        f(row.len() - rest.len(), line, rest.len());
    }
}

/// The token at which the running sum of the weights first exceeds `u` times the whole sum.
fn pick(u: f64, weights: impl Iterator<Item = (usize, f64)> + Clone) -> usize {
    let target = u * weights.clone().map(|(_, weight)| weight).sum::<f64>();
    first_above(target, 0.0, weights)
}

/// The same of all tokens, summed in pieces.
fn pick_of(u: f64, weights: &[f64]) -> usize {
    const PIECE: usize = 64;
    let sum = |piece: &[f64]| {
        let (lines, rest) = piece.as_chunks::<8>();
        let sums = lines.iter().fold([0.0; 8], |sums: [f64; 8], line| from_fn(|l| sums[l] + line[l]));
        sums.into_iter().sum::<f64>() + rest.iter().sum::<f64>()
    };
    let target = u * weights.chunks(PIECE).map(sum).sum::<f64>();
    let mut before = 0.0;
    let mut token = 0;
    for (i, piece) in weights.chunks(PIECE).enumerate() {
        let of_piece = sum(piece);
        if of_piece > 0.0 {
            token = i * PIECE;
            if before + of_piece > target {
                let tokens = piece.iter().enumerate().map(|(at, &weight)| (token + at, weight));
                return first_above(target, before, tokens);
            }
            before += of_piece;
        }
    }
    let last = weights[token..].iter().rposition(|&weight| weight > 0.0);
    token + last.unwrap_or(0)
}

/// The first token at which the running sum exceeds the target; where rounding lets nothing exceed it,
/// the last one that has weight.
fn first_above(target: f64, before: f64, weights: impl Iterator<Item = (usize, f64)>) -> usize {
    let (mut sum, mut token) = (before, 0);
    for (of, weight) in weights.filter(|&(_, weight)| weight > 0.0) {
        sum += weight;
        token = of;
        if sum > target {
            break;
        }
    }
    token
}

fn weight(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|candidate| candidate.score).sum()
}

/// The least number of most likely candidates whose weight is at least `p` of the whole; they are
/// moved to the front. Halves the range in question, so that nothing is sorted.
fn nucleus(candidates: &mut [Candidate], p: f64) -> usize {
    let needed = p * weight(candidates);
    // The first `low` candidates weigh `mass`, which is too little; the first `high` are enough.
    let (mut low, mut high, mut mass) = (0, candidates.len(), 0.0);
    while high - low > 1 {
        let middle = low.midpoint(high);
        candidates[low..high].select_nth_unstable_by(middle - low, Candidate::order);
        let more = weight(&candidates[low..middle]);
        if mass + more >= needed {
            high = middle;
        } else {
            (low, mass) = (middle, mass + more);
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Kind, Stream};

    const LOGITS: [f64; 6] = [0.5, 2.0, -1.0, 2.0, 1.0, -30.0];

    fn sampler(temperature: f64, top_k: Option<usize>, top_p: Option<f64>, banned: &[i32]) -> Sampler {
        Sampler::new(LOGITS.len(), temperature, top_k, top_p, banned).unwrap()
    }

    /// The tokens ever drawn, over a fine grid of `u`.
    fn support(mut sampler: Sampler) -> Vec<i32> {
        let mut tokens: Vec<i32> =
            (0..1000).map(|i| sampler.draw(&LOGITS, f64::from(i) / 1000.0).unwrap().token).collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    #[test]
    fn log_prob_is_the_models_own() {
        let total: f64 = LOGITS.iter().map(|x| x.exp()).sum();
        let mut samplers = [
            sampler(1.0, None, None, &[]),
            sampler(0.3, Some(3), Some(0.9), &[1]),
            sampler(0.0, None, None, &[]),
        ];
        for draw in samplers.iter_mut().map(|sampler| sampler.draw(&LOGITS, 0.7).unwrap()) {
            let expected = LOGITS[draw.token as usize] - total.ln();
            assert!((draw.log_prob - expected).abs() < 1e-14, "{draw:?}");
        }
        // Large numbers do not overflow.
        let draw = sampler(1.0, None, None, &[]).draw(&LOGITS.map(|x| x as f32 + 1e6), 0.0).unwrap();
        assert!(draw.log_prob.is_finite());
    }

    #[test]
    fn temperatures() {
        assert_eq!(support(sampler(0.0, None, None, &[])), [1]);
        assert_eq!(support(sampler(0.0, None, None, &[1])), [3]);
        for tiny in [1e-3, 1e-300, f64::from_bits(1)] {
            assert_eq!(support(sampler(tiny, None, None, &[])), [1, 3]);
        }
        // All tokens weigh the same: u cuts [0, 1) in six.
        let mut hot = sampler(f64::MAX, None, None, &[]);
        for token in 0..6 {
            let u = (f64::from(token) + 0.5) / 6.0;
            assert_eq!(hot.draw(&LOGITS, u).unwrap().token, token);
        }
    }

    #[test]
    fn cuts() {
        assert_eq!(support(sampler(1.0, Some(1), None, &[])), [1]);
        assert_eq!(support(sampler(1.0, Some(3), None, &[])), [1, 3, 4]);
        assert_eq!(support(sampler(1.0, Some(100), None, &[])), [0, 1, 2, 3, 4]);
        // Shares 0.37, 0.37, 0.14, 0.08, 0.02 (tokens 1, 3, 4, 0, 2).
        assert_eq!(support(sampler(1.0, None, Some(1e-9), &[])), [1]);
        assert_eq!(support(sampler(1.0, None, Some(0.38), &[])), [1, 3]);
        assert_eq!(support(sampler(1.0, None, Some(0.8), &[])), [1, 3, 4]);
        // Of tokens 1, 3 and 4 alone, the first two weigh 0.84.
        assert_eq!(support(sampler(1.0, Some(3), Some(0.8), &[])), [1, 3]);
        assert_eq!(support(sampler(1.0, Some(2), None, &[1])), [3, 4]);
    }

    #[test]
    fn cuts_keep_what_a_sorted_list_keeps() {
        let stream = Stream::new(2, Kind::Sample, 0, 0);
        let logits: Vec<f64> = (0..300).map(|i| (4.0 * stream.normal(i)).round() / 4.0).collect();
        let mut order: Vec<usize> = (0..300).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a])); // stable: of equals the first one first
        for (k, p) in [(300, 0.5), (300, 0.99), (77, 1.0), (20, 0.7), (2, 0.3)] {
            let needed = p * order[..k].iter().map(|&i| (logits[i] / 0.8).exp()).sum::<f64>();
            let mut mass = 0.0;
            let mut expected = Vec::new();
            for &token in &order[..k] {
                if mass < needed * (1.0 - 1e-12) {
                    expected.push(token);
                }
                mass += (logits[token] / 0.8).exp();
            }
            expected.sort_unstable();
            let mut sampler = Sampler::new(300, 0.8, Some(k), Some(p), &[]).unwrap();
            sampler.draw(&logits, 0.0).unwrap();
            let kept: Vec<usize> = sampler.kept.iter().map(|candidate| candidate.token as usize).collect();
            assert_eq!(kept, expected, "k {k}, p {p}");
        }
    }

    #[test]
    fn many_tokens_are_drawn_as_few() {
        let stream = Stream::new(4, Kind::Sample, 0, 0);
        for vocabulary in [1, 63, 64, 65, 1000] {
            let logits: Vec<f32> = (0..vocabulary).map(|i| stream.normal(i) as f32).collect();
            let banned: Vec<i32> = (0..vocabulary as i32).filter(|token| token % 7 == 3).collect();
            let mut whole = Sampler::new(logits.len(), 1.3, None, None, &banned).unwrap();
            // A cut that cuts nothing off sums token by token.
            let mut one_by_one = Sampler::new(logits.len(), 1.3, None, Some(1.0 - 1e-15), &banned).unwrap();
            for i in 0..500 {
                let u = stream.uniform(10_000 + i);
                assert_eq!(
                    whole.draw(&logits, u).unwrap(),
                    one_by_one.draw(&logits, u).unwrap(),
                    "{vocabulary} {u}"
                );
            }
        }
    }

    #[test]
    fn drawn_as_often_as_likely() {
        let stream = Stream::new(1, Kind::Sample, 0, 0);
        for (temperature, banned) in [(1.0, vec![]), (0.7, vec![]), (2.0, vec![3])] {
            let mut sampler = sampler(temperature, None, None, &banned);
            let draws = 100_000;
            let mut counts = [0.0; 6];
            for i in 0..draws {
                counts[sampler.draw(&LOGITS, stream.uniform(i)).unwrap().token as usize] += 1.0;
            }
            let weight =
                |i: usize| if banned.contains(&(i as i32)) { 0.0 } else { (LOGITS[i] / temperature).exp() };
            let total: f64 = (0..6).map(weight).sum();
            let mut chi_square = 0.0;
            for (i, count) in counts.into_iter().enumerate() {
                let expected = weight(i) / total * draws as f64;
                if expected > 1.0 {
                    chi_square += (count - expected).powi(2) / expected;
                } else {
                    assert!(count <= 3.0, "token {i}");
                }
            }
            // Five or fewer degrees of freedom: exceeded once in 10 000.
            assert!(chi_square < 25.7, "{temperature}: {chi_square}");
        }
    }

    #[test]
    fn errors() {
        for (temperature, k, p, banned, message) in [
            (-1.0, None, None, [].as_slice(), "temperature: expected a finite number of at least 0, got -1"),
            (f64::NAN, None, None, &[], "temperature: expected a finite number of at least 0, got NaN"),
            (1.0, Some(0), None, &[], "top_k: expected at least 1, got 0"),
            (1.0, None, Some(0.0), &[], "top_p: expected a number above 0 and at most 1, got 0"),
            (1.0, None, Some(f64::NAN), &[], "top_p: expected a number above 0 and at most 1, got NaN"),
            (1.0, None, None, &[-1], "banned: expected tokens from 0 to below 2, got -1"),
            (1.0, None, None, &[0, 1], "banned: expected a token left to draw, got all of them"),
        ] {
            assert_eq!(Sampler::new(2, temperature, k, p, banned).unwrap_err().to_string(), message);
        }
        let mut sampler = Sampler::new(2, 1.0, None, None, &[]).unwrap();
        for (logits, u, message) in [
            ([0.0; 3].as_slice(), 0.5, "logits: expected shape (2,), got (3,)"),
            (&[0.0, f32::NAN], 0.5, "logits: expected finite numbers, got NaN or infinity"),
            (&[0.0; 2], 1.0, "u: expected a number from 0 to below 1, got 1"),
        ] {
            assert_eq!(sampler.draw(logits, u).unwrap_err().to_string(), message);
        }
    }
}
