//! The chain of tags on every instruction set against its reference, and on any number of threads.

use seqrs::device::{Device, Element, Isa, Precision, set_num_threads};
use seqrs::losses::{Chain, ChainLoss, Reduction, crf, crf_marginals};
use seqrs::rng::{Kind, Stream};
use seqrs::search::viterbi;
use seqrs::shape::Shape;

/// A batch of random scores; pairs from an even tag to tag 0 are ruled out.
struct Case<T> {
    shape: Shape,
    emissions: Vec<T>,
    tags: Vec<i32>,
    parts: [Vec<T>; 3],
    lengths: Vec<usize>,
}

impl<T: Element> Case<T> {
    fn new(batch: usize, steps: usize, k: usize, seed: u64) -> Self {
        let shape = Shape { batch, steps };
        let draw = |n: usize, part: u64| -> Vec<T> {
            let stream = Stream::new(seed, Kind::Data, part as u32, 0);
            (0..n as u64).map(|i| T::from_f64(3.0 * stream.normal(i))).collect()
        };
        let mut transitions = draw(k * k, 1);
        let choices = Stream::new(seed, Kind::Data, 9, 0);
        let below = |i: usize, limit: usize| (choices.uniform(i as u64) * limit as f64) as usize;
        if k > 2 {
            (0..k).step_by(2).for_each(|tag| transitions[tag * k] = T::from_f64(f64::NEG_INFINITY));
        }
        let lengths = (0..batch).map(|row| below(row, steps + 1)).collect();
        let tags = (0..shape.rows()).map(|i| (1 + below(100 + i, k.max(2) - 1)) as i32 % k as i32).collect();
        let parts = [draw(k, 2), transitions, draw(k, 3)];
        Self { shape, emissions: draw(shape.rows() * k, 0), tags, parts, lengths }
    }

    fn chain(&self) -> Chain<'_, T> {
        let [start, transitions, end] = &self.parts;
        Chain { start, transitions, end }
    }

    fn loss(&self, device: Device) -> ChainLoss<T> {
        let (chain, lengths) = (self.chain(), Some(&self.lengths[..]));
        crf(device, &self.emissions, &self.tags, &chain, self.shape, lengths, Reduction::Sum)
            .expect("good arguments")
    }
}

fn fast_as_reference<T: Element>(tolerance: f64) {
    for (seed, (batch, steps, k)) in
        (0..).zip([(3, 9, 4), (9, 12, 17), (1, 30, 40), (4, 5, 1), (2, 1, 3), (2, 0, 3), (0, 4, 3)])
    {
        let case = Case::<T>::new(batch, steps, k, seed);
        let slow = case.loss(Device::Reference);
        let lengths = Some(&case.lengths[..]);
        for isa in Isa::available() {
            let device = Device::Cpu(isa, Precision::Full);
            let fast = case.loss(device);
            assert!((fast.value - slow.value).abs() <= 1e-10 * (1.0 + slow.value.abs()), "{k} tags");
            for (a, b) in [
                (&fast.emissions, &slow.emissions),
                (&fast.start, &slow.start),
                (&fast.transitions, &slow.transitions),
                (&fast.end, &slow.end),
            ] {
                for (a, b) in a.iter().zip(b) {
                    assert!((a.to_f64() - b.to_f64()).abs() <= tolerance, "{k} tags: {a:?}, {b:?}");
                }
            }
            let marginals = crf_marginals(device, &case.emissions, &case.chain(), case.shape, lengths)
                .expect("good arguments");
            for (row, steps) in marginals.chunks((steps * k).max(1)).zip(&case.lengths) {
                for (t, step) in row.chunks(k).enumerate() {
                    let sum: f64 = step.iter().map(|p| p.to_f64()).sum();
                    assert!((sum - if t < *steps { 1.0 } else { 0.0 }).abs() <= 10.0 * tolerance);
                }
            }
        }
    }
}

#[test]
fn fast_as_reference_in_single_precision() {
    fast_as_reference::<f32>(2e-6);
}

#[test]
fn fast_as_reference_in_double_precision() {
    fast_as_reference::<f64>(1e-11);
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let case = Case::<f32>::new(30, 50, 33, 7);
    let run = |threads| {
        set_num_threads(threads).expect("threads");
        let loss = case.loss(Device::open("cpu").expect("cpu"));
        let parts = [loss.emissions, loss.start, loss.transitions, loss.end];
        (loss.value.to_bits(), parts.map(|part| part.iter().map(|g| g.to_bits()).collect::<Vec<_>>()))
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn the_best_tags_are_likelier_than_those_that_came() {
    let case = Case::<f64>::new(6, 8, 5, 3);
    let best = viterbi(&case.emissions, &case.chain(), case.shape, Some(&case.lengths)).expect("tags");
    let mut tags = case.tags.clone();
    for (row, best) in best.iter().enumerate() {
        assert_eq!(best.tags.len(), case.lengths[row]);
        tags[row * 8..][..best.tags.len()].copy_from_slice(&best.tags);
    }
    let came = case.loss(Device::Reference).value;
    assert!(Case { tags, ..case }.loss(Device::Reference).value < came);
}
