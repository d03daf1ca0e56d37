//! CTC on every instruction set against its reference, and on any number of threads.

use seqrs::device::{Device, Element, Isa, Precision, set_num_threads};
use seqrs::losses::{Loss, Reduction, ctc};
use seqrs::rng::{Kind, Stream};
use seqrs::shape::Shape;

/// A batch whose labels fit: of random length, at most one for every two steps of their row.
fn case<T: Element>(device: Device, shape: Shape, classes: usize, seed: u64) -> Loss<T> {
    let numbers = Stream::new(seed, Kind::Data, 0, 0);
    let logits: Vec<T> =
        (0..(shape.rows() * classes) as u64).map(|i| T::from_f64(4.0 * numbers.normal(i))).collect();
    let choices = Stream::new(seed, Kind::Data, 1, 0);
    let below = |i: u64, limit: usize| (choices.uniform(i) * limit as f64) as usize;
    let lengths: Vec<usize> = (0..shape.batch).map(|row| below(row as u64, shape.steps + 1)).collect();
    let labels: Vec<Vec<i32>> = (0..shape.batch)
        .map(|row| {
            let at = 1000 * (row as u64 + 1);
            let count = if classes > 1 { below(at, lengths[row].div_ceil(2)) } else { 0 };
            (0..count).map(|i| 1 + below(at + 1 + i as u64, classes - 1) as i32).collect()
        })
        .collect();
    let labels: Vec<&[i32]> = labels.iter().map(Vec::as_slice).collect();
    ctc(device, &logits, classes, &labels, shape, Some(&lengths), 0, false, Reduction::Mean)
        .expect("good arguments")
}

fn fast_as_reference<T: Element>(tolerance: f64) {
    for (batch, steps, classes) in [(3, 9, 4), (2, 30, 17), (1, 64, 70), (4, 5, 1), (2, 0, 3), (0, 4, 3)] {
        let shape = Shape { batch, steps };
        for seed in 0..4 {
            let slow = case::<T>(Device::Reference, shape, classes, seed);
            for isa in Isa::available() {
                let fast = case::<T>(Device::Cpu(isa, Precision::Full), shape, classes, seed);
                let off = (fast.value - slow.value).abs();
                assert!(off <= tolerance * (1.0 + slow.value.abs()), "{shape:?} of {classes}: {off}");
                for (a, b) in fast.gradient.iter().zip(&slow.gradient) {
                    assert!(
                        (a.to_f64() - b.to_f64()).abs() <= tolerance,
                        "{shape:?} of {classes}: {a:?}, {b:?}"
                    );
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
    fast_as_reference::<f64>(1e-12);
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let run = |threads| {
        set_num_threads(threads).expect("threads");
        let loss = case::<f32>(Device::open("cpu").expect("cpu"), Shape { batch: 40, steps: 120 }, 40, 5);
        (loss.value.to_bits(), loss.gradient.iter().map(|g| g.to_bits()).collect::<Vec<_>>())
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn labels_that_do_not_fit_name_their_row() {
    let shape = Shape { batch: 2, steps: 2 };
    let run = |zero_infinity| {
        let labels: [&[i32]; 2] = [&[1], &[1, 1]];
        ctc(Device::Reference, &[0.0f64; 8], 2, &labels, shape, None, 0, zero_infinity, Reduction::Sum)
    };
    assert!(run(false).unwrap_err().to_string().contains("labels that need 3 steps in row 1, which has 2"));
    // Of the four paths of the other row three read as its label.
    assert!((run(true).expect("a loss").value - (4.0f64 / 3.0).ln()).abs() < 1e-15);
}
