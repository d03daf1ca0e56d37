//! Losses for training loops of one's own: the value and its gradient by the prediction in one call.
//!
//! Both are a mean over what counts, or a sum. On the CPU device rows and fixed blocks are dealt to the
//! thread team; the order of every sum depends on the shape alone, so that any number of threads gives the
//! same bits. The reference device takes plain loops in double precision.

mod chain;
mod chain_rows;
mod crf;
mod ctc;
mod log_sum;
mod path_states;
mod places;
mod pointwise;
mod reference;
mod softmax;

pub(crate) use log_sum::log_sum;
pub(crate) use softmax::largest;

pub use chain::Chain;
pub use crf::{ChainLoss, crf, crf_marginals};
pub use ctc::ctc;
pub use places::Places;
pub use pointwise::Pointwise;

use crate::device::{Device, Element};
use crate::error::{Error, Result};

/// What becomes of the losses of all that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean; 0 where nothing counts.
    Mean,
    /// Their sum.
    Sum,
}

impl Reduction {
    /// A reduction by name: `"mean"` or `"sum"`.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "mean" => Ok(Self::Mean),
            "sum" => Ok(Self::Sum),
            _ => Err(Error::Unknown {
                kind: "reduction",
                name: name.to_owned(),
                known: "mean, sum".to_owned(),
            }),
        }
    }

    /// The weight of each loss, where `n` count.
    fn share(self, n: usize) -> f64 {
        match self {
            Self::Mean => 1.0 / n.max(1) as f64,
            Self::Sum => 1.0,
        }
    }
}

/// A loss and where it falls.
#[derive(Clone, Debug)]
pub struct Loss<T> {
    /// Its value.
    pub value: f64,
    /// Its gradient by the prediction, laid out as the prediction; 0 at what does not count.
    pub gradient: Vec<T>,
}

impl<T> Loss<T> {
    fn new(sum: f64, share: f64, gradient: Vec<T>) -> Self {
        Self { value: sum * share + 0.0, gradient } // of nothing the sum is −0
    }
}

/// Cross-entropy of softmax(logits) and the targets, in nats.
///
/// For logits z of V classes and target y it is −Σ_k q_k ln softmax(z)_k, with q = 1 at y and 0 elsewhere;
/// `smoothing` ε moves a share of it to all classes, q = (1 − ε) onehot(y) + ε / V (Szegedy et al. 2016,
/// section 7). The gradient is (softmax(z) − q) · weight. `places` are the targets' axes; the logits have
/// the classes as one axis more. A target of −1 does not count.
///
/// # Errors
/// [`Error::Shape`] for sizes that do not fit, [`Error::Value`] for a target that is no class, a `smoothing`
/// outside of [0, 1), or NaN or infinity among the logits that count, saying where it is.
///
/// # Examples
/// ```
/// use seqrs::device::Device;
/// use seqrs::losses::{Places, Reduction, softmax_cross_entropy};
/// let places = Places { shape: &[1, 2], lengths: None, mask: None };
/// let logits = [0.0f64, 0.0, 1e4, 0.0];
/// let loss =
///     softmax_cross_entropy(Device::open("cpu")?, &logits, 2, &[1, 0], &places, 0.0, Reduction::Sum)?;
/// assert!((loss.value - 2f64.ln()).abs() < 1e-12);
/// assert_eq!(loss.gradient, [0.5, -0.5, 0.0, 0.0]);
/// # Ok::<(), seqrs::Error>(())
/// ```
pub fn softmax_cross_entropy<T: Element>(
    device: Device,
    logits: &[T],
    classes: usize,
    targets: &[i32],
    places: &Places<'_>,
    smoothing: f64,
    reduction: Reduction,
) -> Result<Loss<T>> {
    if classes == 0 {
        return Err(Error::value("logits", "at least one class", 0));
    }
    if !(0.0..1.0).contains(&smoothing) {
        return Err(Error::value("label_smoothing", "a number from 0 to below 1", smoothing));
    }
    places.same_size("targets", targets.len())?;
    places.with_axis(classes, |all| all.same_size("logits", logits.len()))?;
    let mut scored = vec![-1; targets.len()];
    for run in places.runs()? {
        scored[run.clone()].copy_from_slice(&targets[run]);
    }
    if let Some(at) = scored.iter().position(|&t| t < -1 || t as i64 >= classes as i64) {
        let expected = format!("classes from 0 to {} or -1, which is not scored", classes - 1);
        return Err(Error::value("targets", expected, format!("{} at {}", scored[at], places.index(at))));
    }
    let share = reduction.share(scored.iter().filter(|&&t| t >= 0).count());
    let mut gradient = vec![T::ZERO; logits.len()];
    let scale = softmax::Scale { classes, smoothing, share };
    let sum = match device {
        Device::Cpu(isa, _) => softmax::cross_entropy(isa, logits, &scored, scale, &mut gradient)?,
        Device::Reference => reference::cross_entropy(logits, &scored, scale, &mut gradient),
        #[cfg(feature = "wgpu")]
        Device::Gpu(_) => return Err(on_gpu()),
    };
    if let Some(sum) = sum {
        return Ok(Loss::new(sum, share, gradient));
    }
    let rows = (0..scored.len()).filter(|&row| scored[row] >= 0);
    let at = rows.flat_map(|row| row * classes..(row + 1) * classes).find(|&at| !logits[at].is_finite());
    let at = at.expect("a sum is refused only for one of the logits that count");
    Err(places.with_axis(classes, |all| all.not_finite("logits", logits, at)))
}

/// What a loss of arrays says to a graphics processor.
#[cfg(feature = "wgpu")]
pub(crate) fn on_gpu() -> Error {
    Error::Unsupported(
        "losses of arrays on device=\"gpu\": arrays are in the processor's memory, use device=\"cpu\""
            .to_owned(),
    )
}

/// A loss that compares a prediction and its target number by number.
///
/// # Errors
/// [`Error::Shape`] for sizes that do not fit, [`Error::Value`] for a setting out of its range, or for NaN,
/// infinity or a target that the loss does not take among what counts, saying where it is.
///
/// # Examples
/// ```
/// use seqrs::device::Device;
/// use seqrs::losses::{Places, Pointwise, Reduction, pointwise};
/// // Two rows of two steps; the second step of the first row is padding.
/// let places = Places { shape: &[2, 2], lengths: Some(&[1, 2]), mask: None };
/// let (prediction, target) = ([1.0f32, 9.0, 2.0, 0.0], [0.0, 0.0, 2.0, -1.0]);
/// let device = Device::open("cpu")?;
/// let loss = pointwise(device, Pointwise::SquaredError, &prediction, &target, &places, Reduction::Sum)?;
/// assert_eq!((loss.value, loss.gradient), (2.0, vec![2.0, 0.0, 0.0, 2.0]));
/// # Ok::<(), seqrs::Error>(())
/// ```
pub fn pointwise<T: Element>(
    device: Device,
    loss: Pointwise,
    prediction: &[T],
    target: &[T],
    places: &Places<'_>,
    reduction: Reduction,
) -> Result<Loss<T>> {
    loss.validate::<T>()?;
    let [first, second] = loss.names();
    places.same_size(first, prediction.len())?;
    places.same_size(second, target.len())?;
    let runs = places.runs()?;
    let share = reduction.share(runs.iter().map(|run| run.len()).sum());
    let mut gradient = vec![T::ZERO; prediction.len()];
    let sum = match device {
        Device::Cpu(isa, _) => {
            pointwise::sum(isa, loss, [prediction, target], &runs, T::from_f64(share), &mut gradient)?
        }
        Device::Reference => reference::sum(loss, [prediction, target], &runs, share, &mut gradient),
        #[cfg(feature = "wgpu")]
        Device::Gpu(_) => return Err(on_gpu()),
    };
    if let Some(sum) = sum {
        return Ok(Loss::new(sum, share, gradient));
    }
    for at in runs.into_iter().flatten() {
        for (name, numbers) in [(first, prediction), (second, target)] {
            if !numbers[at].is_finite() {
                return Err(places.not_finite(name, numbers, at));
            }
        }
        if !loss.takes(target[at]) {
            let got = format!("{} at {}", target[at].to_f64(), places.index(at));
            return Err(Error::value(second, "numbers from 0 to 1", got));
        }
    }
    unreachable!("a sum is refused only for one of the numbers that count")
}
