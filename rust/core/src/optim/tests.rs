//! Optimisers against PyTorch, against a plain transcription of the equations, and against themselves
//! with their pieces made elsewhere.

use super::*;
use crate::optim::sweep::Portable;
use crate::rng::{Kind, Stream};

const ADAM: Rule = Rule::Adam { betas: (0.9, 0.99), eps: 1e-8 };
const RULES: [Rule; 5] = [
    Rule::Sgd { momentum: 0.0 },
    Rule::Sgd { momentum: 0.9 },
    Rule::RmsProp { rho: 0.9, eps: 1e-8 },
    ADAM,
    Rule::AdamW { betas: (0.9, 0.99), eps: 1e-8 },
];

fn normal(n: usize, seed: u64) -> Vec<f64> {
    let stream = Stream::new(seed, Kind::Data, 0, 0);
    (0..n as u64).map(|i| stream.normal(i)).collect()
}

/// θ = (1, −2), three gradients, η = 0.1. The plain rule by hand: θ − 0.1 Σ g. The others are what
/// torch.optim of PyTorch 2.15 gives in float64 for the same settings and weight decay 0.01.
#[test]
fn same_as_pytorch() {
    let expected = [
        (0.0, [1.025, -2.11]),
        (0.01, [0.9116097489999999, -1.5959192979999999]),
        (0.01, [0.8157803732005321, -1.9541191923313317]),
        (0.01, [0.8256746886725062, -1.8554061028582605]),
        (0.01, [0.8245338844500314, -1.8508211374996528]),
    ];
    for (rule, (weight_decay, expected)) in RULES.into_iter().zip(expected) {
        let mut optimizer = Optimizer::new(rule, weight_decay, None, None, 2).unwrap();
        let mut weights = [1.0f64, -2.0];
        for grads in [[0.5, -3.0], [0.25, 0.1], [-1.0, 4.0]] {
            optimizer.update(&mut weights, &grads, 0.1).unwrap();
        }
        for (got, want) in weights.iter().zip(expected) {
            assert!((got - want).abs() < 1e-14, "{rule:?}: {weights:?}");
        }
    }
}

/// The equations once more, weight by weight, with clipping as its own pass before them.
fn plain(rule: Rule, weights: &mut [f64], state: &mut [[f64; 2]], grads: &[f64], lr: f64, t: i32) {
    let (decay, limit, value) = (0.01, 5.0, 1.5);
    let mut grads: Vec<f64> = grads.iter().map(|g| g.clamp(-value, value)).collect();
    let norm = grads.iter().map(|g| g * g).sum::<f64>().sqrt();
    if norm > limit {
        grads.iter_mut().for_each(|g| *g *= limit / norm);
    }
    for ((w, [m, v]), mut g) in weights.iter_mut().zip(state).zip(grads) {
        if matches!(rule, Rule::AdamW { .. }) {
            *w -= lr * decay * *w
        } else {
            g += decay * *w
        }
        match rule {
            Rule::Sgd { momentum } => {
                *m = momentum * *m + g;
                *w -= lr * *m;
            }
            Rule::RmsProp { rho, eps } => {
                *v = rho * *v + (1.0 - rho) * g.powi(2);
                *w -= lr * g / (v.sqrt() + eps);
            }
            Rule::Adam { betas: (b1, b2), eps } | Rule::AdamW { betas: (b1, b2), eps } => {
                *m = b1 * *m + (1.0 - b1) * g;
                *v = b2 * *v + (1.0 - b2) * g.powi(2);
                let (m, v) = (*m / (1.0 - b1.powi(t)), *v / (1.0 - b2.powi(t)));
                *w -= lr * m / (v.sqrt() + eps);
            }
        }
    }
}

#[test]
fn same_as_the_equations() {
    for rule in RULES {
        for n in [1, 7, 20_001] {
            let (mut weights, mut slow) = (normal(n, 1), normal(n, 1));
            let mut state = vec![[0.0; 2]; n];
            let mut optimizer = Optimizer::new(rule, 0.01, Some(5.0), Some(1.5), n).unwrap();
            for t in 1..=10 {
                let (grads, lr) = (normal(n, 10 + t), 0.1 / t as f64);
                optimizer.update(&mut weights, &grads, lr).unwrap();
                plain(rule, &mut slow, &mut state, &grads, lr, t as i32);
            }
            let error = weights.iter().zip(&slow).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(error < 1e-11, "{rule:?}, {n} weights: {error}");
        }
    }
}

/// A runner each of whose pieces is made by a thread of its own, if it is said so.
#[derive(Clone, Copy)]
struct Scattered(bool);

impl Runner for Scattered {
    fn run<J: Loop>(self, job: J) -> J::Out {
        job.run()
    }

    fn pieces<I: Send, const N: usize>(
        self,
        slices: [&mut [I]; N],
        sizes: [usize; N],
        f: &(impl Fn(usize, [&mut [I]; N]) + Send + Sync),
    ) {
        let mut sizes = sizes.into_iter();
        let mut pieces = slices.map(|slice| slice.chunks_mut(sizes.next().unwrap()));
        let count = pieces.iter().map(ExactSizeIterator::len).max().unwrap();
        let jobs = (0..count).map(|i| (i, pieces.each_mut().map(|pieces| pieces.next().unwrap_or_default())));
        let jobs: Vec<_> = jobs.collect();
        assert!(count > 1, "pieces to scatter");
        std::thread::scope(|scope| {
            for (i, pieces) in jobs.into_iter().rev() {
                if self.0 {
                    scope.spawn(move || f(i, pieces));
                } else {
                    f(i, pieces);
                }
            }
        });
    }
}

#[test]
fn same_bits_whoever_makes_the_pieces() {
    let n = 100_003;
    let single = |seed| normal(n, seed).iter().map(|&x| x as f32).collect::<Vec<_>>();
    fn train(
        runner: impl Runner,
        rule: Rule,
        n: usize,
        single: impl Fn(u64) -> Vec<f32>,
    ) -> (Vec<u64>, Vec<u32>) {
        let mut optimizer = Optimizer::new(rule, 0.01, Some(1.0), None, n).unwrap();
        let mut weights = single(0);
        let mut update = |t| {
            let pass = |numbers: [&mut [f32]; MOST_SLICES], renew: &Renew<'_, f32>| {
                in_pieces(runner, numbers, renew)
            };
            optimizer
                .update_on(runner, &mut weights, &single(t), 0.1, pass)
                .expect("a finite update")
                .to_bits()
        };
        let norms = (1..4).map(&mut update).collect();
        (norms, weights.iter().map(|w| w.to_bits()).collect())
    }
    for rule in [RULES[0], RULES[1], ADAM] {
        let one = train(Portable, rule, n, single);
        for threads in [false, true] {
            assert!(one == train(Scattered(threads), rule, n, single), "{rule:?}");
        }
    }
}

#[test]
fn clipping() {
    // Values to ±3: (3, 3), norm √18, above 1, so scaled to (1, 1)/√2; the norm comes back unclipped.
    let mut optimizer = Optimizer::new(RULES[0], 0.0, Some(1.0), Some(3.0), 2).unwrap();
    let mut weights = [0.0f64; 2];
    assert_eq!(optimizer.update(&mut weights, &[100.0, 3.0], 1.0).unwrap(), 18f64.sqrt());
    assert!(weights.iter().all(|w| (w + 0.5f64.sqrt()).abs() < 1e-15), "{weights:?}");
}

#[test]
fn nothing_changes_where_the_norm_is_not_finite() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut optimizer = Optimizer::new(ADAM, 0.1, Some(1.0), None, 3).unwrap();
        let mut weights = [1.0, 2.0, 3.0];
        optimizer.update(&mut weights, &[1.0, 1.0, 1.0], 0.1).unwrap();
        let (before, state) = (weights, format!("{optimizer:?}"));
        assert!(!optimizer.update(&mut weights, &[1.0, bad, 1.0], 0.1).unwrap().is_finite());
        assert_eq!((weights, format!("{optimizer:?}")), (before, state));
    }
}

#[test]
fn below_the_smallest_normal_number_is_zero() {
    let mut optimizer = Optimizer::new(ADAM, 0.0, None, None, 1).unwrap();
    let mut weights = [1.1 * f32::MIN_POSITIVE];
    optimizer.update(&mut weights, &[2.0 * f32::MIN_POSITIVE], 2.5e-9).unwrap();
    assert_eq!(weights, [0.0]);
    assert!(optimizer.state().unwrap().iter().all(|(_, values)| values == &[0.0]));
}

#[test]
fn continues_from_its_state() {
    for rule in RULES {
        let mut first = Optimizer::new(rule, 0.0, None, None, 5).unwrap();
        let mut weights = normal(5, 0);
        first.update(&mut weights, &normal(5, 1), 0.1).unwrap();
        let mut second = Optimizer::new(rule, 0.0, None, None, 5).unwrap();
        let state = first.state().unwrap();
        let state: Vec<_> = state.iter().map(|(name, values)| (*name, values.as_slice())).collect();
        second.load_state(first.steps(), &state).unwrap();
        let mut other = weights.clone();
        first.update(&mut weights, &normal(5, 2), 0.1).unwrap();
        second.update(&mut other, &normal(5, 2), 0.1).unwrap();
        assert_eq!((weights, first.steps()), (other, second.steps()));
    }
}

#[test]
fn errors() {
    let text = |result: Result<Optimizer<f32>>| result.unwrap_err().to_string();
    let new = |decay, norm, value| text(Optimizer::new(ADAM, decay, norm, value, 2));
    assert_eq!(new(f64::NAN, None, None), "weight_decay: expected a finite number of at least 0, got NaN");
    assert_eq!(new(0.0, Some(0.0), None), "clip_norm: expected a finite float32 number above 0, got 0");
    assert_eq!(new(0.0, None, Some(-1.0)), "clip_value: expected a finite float32 number above 0, got -1");

    let mut optimizer = Optimizer::new(ADAM, 0.0, None, None, 2).unwrap();
    let wrong = optimizer.update(&mut [0.0f32; 2], &[0.0; 3], 0.1).unwrap_err().to_string();
    assert_eq!(wrong, "grads: expected shape (2,), got (3,)");
    for (state, message) in [
        (
            vec![("square_avg", [0.0; 2].as_slice())],
            "unknown optimizer state \"square_avg\"; known: exp_avg, exp_avg_sq",
        ),
        (vec![("exp_avg", &[0.0; 2])], "state: expected an entry \"exp_avg_sq\", got none"),
        (vec![("exp_avg", &[0.0; 3])], "exp_avg: expected shape (2,), got (3,)"),
        (vec![("exp_avg", &[0.0, f32::NAN])], "exp_avg: expected finite numbers, got NaN or infinity"),
    ] {
        assert_eq!(optimizer.load_state(1, &state).unwrap_err().to_string(), message);
        assert_eq!(optimizer.steps(), 0);
    }
}
