//! Drawing the next token from a model's logits: temperature, top-k, top-p, tokens never drawn.

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::float::Float;

/// A drawn token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// The token.
    pub token: i32,
    /// Its log-probability in nats under the model itself: before bans, temperature and cuts.
    pub log_prob: f64,
}

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
    temperature: f64,
    top_k: usize,
    top_p: f64,
    banned: Vec<bool>,
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
        let mut mask = vec![false; vocab_size];
        for &token in banned {
            let entry = usize::try_from(token).ok().and_then(|token| mask.get_mut(token));
            let expected = || format!("tokens from 0 to below {vocab_size}");
            *entry.ok_or_else(|| Error::value("banned", expected(), token))? = true;
        }
        if mask.iter().all(|&banned| banned) {
            return Err(Error::value("banned", "a token left to draw", "all of them"));
        }
        let top_k = top_k.unwrap_or(vocab_size);
        Ok(Self { temperature, top_k, top_p, banned: mask, kept: Vec::with_capacity(vocab_size) })
    }

    /// Draw a token from `logits` (V,) with `u`, uniform in [0, 1): a function of the two alone.
    ///
    /// # Errors
    /// [`Error::Shape`] for logits of another length, [`Error::NotFinite`], and [`Error::Value`]
    /// for a `u` outside of [0, 1).
    pub fn draw<T: Float>(&mut self, logits: &[T], u: f64) -> Result<Draw> {
        if logits.len() != self.banned.len() {
            return Err(Error::shape("logits", format!("({},)", self.banned.len()), &[logits.len()]));
        }
        if !(0.0..1.0).contains(&u) {
            return Err(Error::value("u", "a number from 0 to below 1", u));
        }
        if !logits.iter().all(|x| x.is_finite()) {
            return Err(Error::NotFinite { name: "logits".to_owned() });
        }
        self.choose(logits);
        let token = self.pick(u);
        let largest = logits.iter().fold(logits[token], |m, &x| if x > m { x } else { m });
        let sum: f64 = logits.iter().map(|&x| (x - largest).exp().to_f64()).sum();
        Ok(Draw { token: token as i32, log_prob: logits[token].to_f64() - largest.to_f64() - sum.ln() })
    }

    /// The candidates that bans and cuts leave, in token order, with their weights.
    fn choose<T: Float>(&mut self, logits: &[T]) {
        let kept = &mut self.kept;
        let allowed = logits.iter().zip(&self.banned).enumerate().filter(|(_, (_, banned))| !**banned);
        kept.clear();
        kept.extend(allowed.map(|(token, (x, _))| Candidate { token: token as u32, score: x.to_f64() }));
        // At temperature 0 only the first of the likeliest is kept.
        let top_k = if self.temperature == 0.0 { 1 } else { self.top_k };
        let all = kept.len();
        if top_k < all {
            kept.select_nth_unstable_by(top_k - 1, Candidate::order);
            kept.truncate(top_k);
        }
        let largest = kept.iter().fold(f64::NEG_INFINITY, |m, candidate| m.max(candidate.score));
        for candidate in kept.iter_mut() {
            let below = candidate.score - largest;
            candidate.score = if below == 0.0 { 1.0 } else { (below / self.temperature).exp() };
        }
        if self.top_p < 1.0 {
            let enough = nucleus(kept, self.top_p);
            kept.truncate(enough);
        }
        if kept.len() < all {
            kept.sort_unstable_by_key(|candidate| candidate.token);
        }
    }

    /// The token at which the running sum of the weights first exceeds `u` times the whole sum.
    fn pick(&self, u: f64) -> usize {
        let target = u * weight(&self.kept);
        let (mut sum, mut token) = (0.0, 0);
        for candidate in self.kept.iter().filter(|candidate| candidate.score > 0.0) {
            sum += candidate.score;
            token = candidate.token as usize;
            if sum > target {
                break;
            }
        }
        // Where rounding lets nothing exceed the target, this is the last token that has weight.
        token
    }
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
            sampler.choose(&logits);
            let kept: Vec<usize> = sampler.kept.iter().map(|candidate| candidate.token as usize).collect();
            assert_eq!(kept, expected, "k {k}, p {p}");
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
