//! Each fast loss against its reference, against closed forms and against other numbers of threads.

use seqrs::device::{Device, Element, Isa, Precision, set_num_threads};
use seqrs::losses::{Loss, Places, Pointwise, Reduction, pointwise, softmax_cross_entropy};
use seqrs::rng::{Kind, Stream};

const POINTWISE: [Pointwise; 4] = [
    Pointwise::SquaredError,
    Pointwise::AbsoluteError,
    Pointwise::Huber { delta: 0.7 },
    Pointwise::BinaryCrossEntropy,
];
/// A batch, its steps and what each holds: whole registers, tails, one number, none.
const SHAPES: [[usize; 3]; 6] = [[3, 5, 1], [2, 7, 17], [4, 3, 64], [33, 9, 100], [2, 0, 5], [0, 3, 4]];

fn numbers<T: Element>(n: usize, seed: u64, scale: f64) -> Vec<T> {
    let stream = Stream::new(seed, Kind::Data, 0, 0);
    (0..n as u64).map(|i| T::from_f64(scale * stream.normal(i))).collect()
}

fn below(n: usize, limit: usize, seed: u64) -> Vec<usize> {
    let stream = Stream::new(seed, Kind::Data, 1, 0);
    (0..n as u64).map(|i| (stream.uniform(i) * limit as f64) as usize).collect()
}

fn flags(n: usize, seed: u64) -> Vec<bool> {
    below(n, 3, seed).into_iter().map(|x| x > 0).collect()
}

/// Values and gradients agree to `relative`, relative to the largest.
fn assert_close<T: Element>(a: &Loss<T>, b: &Loss<T>, relative: f64, what: &str) {
    let values = |loss: &Loss<T>| loss.gradient.iter().map(|g| g.to_f64()).collect::<Vec<_>>();
    let (x, y) = (values(a), values(b));
    let largest = y.iter().fold(1e-3, |m: f64, g| m.max(g.abs()));
    let error = x.iter().zip(&y).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(error <= relative * largest, "{what}: gradients off by {error} of {largest}");
    let off = (a.value - b.value).abs();
    assert!(off <= relative * (1.0 + b.value.abs()), "{what}: {} instead of {}", a.value, b.value);
}

fn fast_as_reference<T: Element>(relative: f64) {
    for (seed, shape) in (0..).zip(SHAPES) {
        let [batch, steps, width] = shape;
        let rows = batch * steps;
        let lengths = below(batch, steps + 1, seed);
        let masks =
            [None, Some(flags(batch, seed)), Some(flags(rows, seed)), Some(flags(rows * width, seed))];
        let cases = [(1.0, Reduction::Mean), (30.0, Reduction::Sum)];
        for (mask, (scale, reduction)) in masks.iter().flat_map(|mask| cases.map(|case| (mask, case))) {
            let axes = Places { shape: &shape, lengths: Some(&lengths), mask: mask.as_deref() };
            let what = format!("{shape:?}, {reduction:?}, mask of {:?}", mask.as_ref().map(Vec::len));
            let (p, y) =
                (numbers::<T>(rows * width, seed, scale), numbers::<T>(rows * width, seed + 50, scale));
            let share: Vec<T> = y.iter().map(|y| T::from_f64(0.5 + 0.5 * y.to_f64().tanh())).collect();
            for loss in POINTWISE {
                let y = if loss == Pointwise::BinaryCrossEntropy { &share } else { &y };
                let slow =
                    pointwise(Device::Reference, loss, &p, y, &axes, reduction).expect("good arguments");
                for isa in Isa::available() {
                    let fast = pointwise(Device::Cpu(isa, Precision::Full), loss, &p, y, &axes, reduction)
                        .expect("good arguments");
                    assert_close(&fast, &slow, relative, &format!("{loss:?}, {what}"));
                }
            }
            if mask.as_ref().is_some_and(|m| m.len() > rows) {
                continue; // a mask of single logits means nothing to a softmax
            }
            let targets: Vec<i32> = below(rows, width + 1, seed).into_iter().map(|t| t as i32 - 1).collect();
            let places = Places { shape: &shape[..2], ..axes };
            for smoothing in [0.0, 0.1] {
                let run = |device| {
                    softmax_cross_entropy(device, &p, width, &targets, &places, smoothing, reduction)
                        .expect("good arguments")
                };
                let slow = run(Device::Reference);
                for isa in Isa::available() {
                    assert_close(
                        &run(Device::Cpu(isa, Precision::Full)),
                        &slow,
                        relative,
                        &format!("softmax, {what}"),
                    );
                }
            }
        }
    }
}

#[test]
fn fast_as_reference_in_single_precision() {
    fast_as_reference::<f32>(2e-5);
}

#[test]
fn fast_as_reference_in_double_precision() {
    fast_as_reference::<f64>(1e-13);
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let (shape, width) = ([200, 40], 257);
    let n = shape[0] * shape[1] * width;
    let (p, y) = (numbers::<f32>(n, 1, 3.0), numbers::<f32>(n, 2, 3.0));
    let targets: Vec<i32> = below(n / width, width, 3).into_iter().map(|t| t as i32).collect();
    let lengths = below(shape[0], shape[1] + 1, 4);
    let device = Device::open("cpu").unwrap();
    let run = |threads| {
        set_num_threads(threads).unwrap();
        let places = Places { shape: &shape, lengths: Some(&lengths), mask: None };
        let softmax =
            softmax_cross_entropy(device, &p, width, &targets, &places, 0.1, Reduction::Mean).unwrap();
        let places = Places { shape: &[shape[0], shape[1], width], ..places };
        let huber = pointwise(device, POINTWISE[2], &p, &y, &places, Reduction::Mean).unwrap();
        let bits = |loss: Loss<f32>| {
            (loss.value.to_bits(), loss.gradient.iter().map(|g| g.to_bits()).collect::<Vec<_>>())
        };
        [softmax, huber].map(bits)
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

#[test]
fn closed_forms() {
    let one = Places { shape: &[1], lengths: None, mask: None };
    for device in [Device::open("cpu").unwrap(), Device::Reference] {
        // (loss, p, y, value, gradient)
        for (loss, p, y, value, gradient) in [
            (Pointwise::SquaredError, 3.0, 1.0, 4.0, 4.0),
            (Pointwise::AbsoluteError, 1.0, 3.0, 2.0, -1.0),
            (Pointwise::AbsoluteError, 3.0, 3.0, 0.0, 0.0),
            (Pointwise::Huber { delta: 2.0 }, 1.5, 1.0, 0.125, 0.5),
            (Pointwise::Huber { delta: 2.0 }, -4.0, 1.0, 8.0, -2.0),
            (Pointwise::BinaryCrossEntropy, 0.0, 0.25, std::f64::consts::LN_2, 0.25),
            (Pointwise::BinaryCrossEntropy, 1e4, 0.0, 1e4, 1.0),
            (Pointwise::BinaryCrossEntropy, -1e4, 0.0, 0.0, 0.0),
            (Pointwise::BinaryCrossEntropy, -30.0, 0.0, (-30f64).exp().ln_1p(), (-30f64).exp()),
        ] {
            let got = pointwise(device, loss, &[p], &[y], &one, Reduction::Mean).unwrap();
            assert!((got.value - value).abs() <= 1e-15 * value, "{loss:?} of {p}, {y}: {}", got.value);
            assert!(
                (got.gradient[0] - gradient).abs() <= 1e-12 * gradient.abs(),
                "{loss:?} of {p}, {y}: {got:?}"
            );
        }
        // Two classes are a logistic unit: softmax(z)₁ = σ(z₁ − z₀).
        let two = softmax_cross_entropy(device, &[1.0, 4.0], 2, &[0], &one, 0.0, Reduction::Sum).unwrap();
        assert!((two.value - (1.0 + 3f64.exp()).ln()).abs() < 1e-14);
        // With equal logits smoothing changes the gradient, not the value.
        let even = softmax_cross_entropy(device, &[7.0f64; 4], 4, &[2], &one, 0.4, Reduction::Sum).unwrap();
        assert!((even.value - 4f64.ln()).abs() < 1e-14);
        let expected = [0.15, 0.15, -0.45, 0.15];
        assert!(even.gradient.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-15), "{even:?}");
    }
}

#[test]
fn extreme_logits() {
    let one = Places { shape: &[1], lengths: None, mask: None };
    for device in [Device::open("cpu").unwrap(), Device::Reference] {
        for big in [1e4f32, f32::MAX / 4.0] {
            for smoothing in [0.0, 0.5] {
                let run = |target| {
                    softmax_cross_entropy(device, &[big, -big], 2, &[target], &one, smoothing, Reduction::Sum)
                };
                let (near, far) = (run(0).unwrap(), run(1).unwrap());
                let [near_by, far_by] = [smoothing / 2.0, 1.0 - smoothing / 2.0];
                let twice = 2.0 * f64::from(big);
                assert!((near.value - near_by * twice).abs() <= 1e-6 * twice, "{device:?} {big}: {near:?}");
                assert!((far.value - far_by * twice).abs() <= 1e-6 * twice, "{device:?} {big}: {far:?}");
                assert_eq!(far.gradient, [far_by as f32, -far_by as f32]);
            }
        }
    }
}

#[test]
fn what_does_not_count_has_no_influence() {
    let device = Device::open("cpu").unwrap();
    let (nan, shape) = (f64::NAN, [2, 3]);
    let places =
        Places { shape: &shape, lengths: Some(&[1, 3]), mask: Some(&[true, true, true, true, false, true]) };
    let p = [1.0, nan, nan, 2.0, nan, 3.0];
    let loss = pointwise(device, POINTWISE[0], &p, &[0.0; 6], &places, Reduction::Mean).unwrap();
    assert!((loss.value - 14.0 / 3.0).abs() < 1e-15);
    assert_eq!(loss.gradient[1..3], [0.0, 0.0]);
    assert_eq!(loss.gradient[4], 0.0);
    // Targets beyond the classes, and logits that are NaN, in padding and where the target is −1.
    let targets = [0, 9, 9, 0, 9, -1];
    let logits = [0.0, 0.0, nan, nan, nan, nan, 0.0, 0.0, nan, nan, nan, nan];
    let loss = softmax_cross_entropy(device, &logits, 2, &targets, &places, 0.0, Reduction::Sum).unwrap();
    assert!((loss.value - 4f64.ln()).abs() < 1e-15);
    assert_eq!(loss.gradient, [-0.5, 0.5, 0., 0., 0., 0., -0.5, 0.5, 0., 0., 0., 0.]);
    // Nothing at all.
    let none = Places { mask: Some(&[false, false]), ..places };
    let loss = pointwise(device, POINTWISE[3], &p, &[0.0; 6], &none, Reduction::Mean).unwrap();
    assert_eq!((loss.value, loss.gradient), (0.0, vec![0.0; 6]));
}

#[test]
fn errors() {
    let places = Places { shape: &[1, 2], lengths: None, mask: None };
    let flat = Places { shape: &[2], lengths: Some(&[1, 1]), mask: None };
    let masked = Places { mask: Some(&[true; 3]), ..places };
    for device in [Device::open("cpu").unwrap(), Device::Reference] {
        let softmax = |logits: &[f32], targets: &[i32], smoothing, places: &Places<'_>| {
            let loss = softmax_cross_entropy(device, logits, 2, targets, places, smoothing, Reduction::Mean);
            loss.unwrap_err().to_string()
        };
        let (ok, inf) = ([0.0; 4], f32::INFINITY);
        assert_eq!(softmax(&ok, &[0], 0.0, &places), "targets: expected shape (1, 2), got (1,)");
        assert_eq!(softmax(&[0.0; 3], &[0, 1], 0.0, &places), "logits: expected shape (1, 2, 2), got (3,)");
        assert_eq!(
            softmax(&ok, &[0, 1], 1.0, &places),
            "label_smoothing: expected a number from 0 to below 1, got 1"
        );
        let wanted = "targets: expected classes from 0 to 1 or -1, which is not scored, got";
        assert_eq!(softmax(&ok, &[0, 2], 0.0, &places), format!("{wanted} 2 at [0, 1]"));
        assert_eq!(softmax(&ok, &[-2, 0], 0.0, &places), format!("{wanted} -2 at [0, 0]"));
        for (bad, name) in [(-inf, "-inf"), (inf, "inf"), (f32::NAN, "nan")] {
            let message = format!("logits: expected finite numbers, got {name} at [0, 1, 0]");
            assert_eq!(softmax(&[0.0, 0.0, bad, 0.0], &[0, 1], 0.0, &places), message);
        }
        assert_eq!(
            softmax(&ok, &[0, 1], 0.0, &flat),
            "lengths: expected none without an axis of steps, got some"
        );
        assert_eq!(
            softmax(&ok, &[0, 1], 0.0, &masked),
            "mask: expected shape (1, 2) or its first axes, got (3,)"
        );

        let compare = |loss, p: f32, y: f32| {
            let both = [[0.0, p], [0.0, y]];
            let loss = pointwise(device, loss, &both[0], &both[1], &places, Reduction::Mean);
            loss.unwrap_err().to_string()
        };
        for loss in POINTWISE {
            for bad in [inf, -inf, f32::NAN] {
                let first = if loss == POINTWISE[3] { "logits" } else { "predictions" };
                let finite = |name| format!("{name}: expected finite numbers, got");
                assert!(compare(loss, bad, 0.0).starts_with(&finite(first)));
                assert!(compare(loss, 0.0, bad).starts_with(&finite("targets")));
            }
        }
        let wanted = "targets: expected numbers from 0 to 1, got -1 at [0, 1]";
        assert_eq!(compare(Pointwise::BinaryCrossEntropy, 0.0, -1.0), wanted);
        let delta = compare(Pointwise::Huber { delta: 0.0 }, 0.0, 0.0);
        assert_eq!(delta, "delta: expected a finite float32 number above 0, got 0");
    }
    let unknown = Reduction::from_name("none").unwrap_err().to_string();
    assert_eq!(unknown, "unknown reduction \"none\"; known: mean, sum");
}
