//! The Rust side of `worker.py`: one line of JSON in, one line of JSON out, and the same numbers for all.

use serde_json::{Value, json};
use std::io::BufRead;
use std::time::Instant;

/// What the Rust libraries are asked for: a layer over whole sequences.
#[derive(Clone, PartialEq)]
pub struct Layer {
    /// Forward and backward, with the gradients of the input and of all weights; else forward alone.
    pub training: bool,
    pub cell: String,
    pub hidden: usize,
    pub batch: usize,
    pub steps: usize,
}

/// Numbers in [-scale, scale), the same as `numbers` in `worker.py`.
pub fn numbers(seed: u32, scale: f64, len: usize) -> Vec<f32> {
    (0..len as u32)
        .map(|i| {
            let mut x = i ^ seed.wrapping_mul(0x9e37_79b9);
            x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
            x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
            x ^= x >> 16;
            (scale * (f64::from(x) / f64::from(1_u32 << 31) - 1.0)) as f32
        })
        .collect()
}

impl Layer {
    /// Products a step: 4 for an LSTM, 3 for a GRU, 1 for a plain cell.
    pub fn gates(&self) -> usize {
        match &*self.cell {
            "lstm" => 4,
            "gru" => 3,
            _ => 1,
        }
    }

    /// `weight_ih`, `weight_hh` (gates · H, H) and `bias_ih`, `bias_hh`, gates in PyTorch's order.
    pub fn weights(&self) -> [Vec<f32>; 4] {
        let (rows, scale) = (self.gates() * self.hidden, 1.0 / (self.hidden as f64).sqrt());
        [1, 2, 3, 4].map(|seed| numbers(seed, scale, rows * if seed < 3 { self.hidden } else { 1 }))
    }

    /// The input, (batch, steps, H).
    pub fn input(&self) -> Vec<f32> {
        numbers(5, 1.0, self.batch * self.steps * self.hidden)
    }

    /// What comes back to the output in training, (batch, steps, H).
    pub fn gradient(&self) -> Vec<f32> {
        numbers(6, 1.0, self.batch * self.steps * self.hidden)
    }
}

/// A layer ready to run: each call goes once through all steps. With `true` it also returns the mean
/// of |y|, by which the driver sees that everybody computes the same.
pub type Run = Box<dyn FnMut(bool) -> f64>;

/// Answer requests until the input ends. `make` says why where the library cannot do it.
pub fn serve(version: (&str, &str), mut make: impl FnMut(&Layer) -> Result<Run, String>) {
    let mut made: Option<(Layer, Run)> = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let answer = if request["do"] == "versions" {
            json!({ version.0: version.1 })
        } else {
            layer(&request, &mut made, &mut make).unwrap_or_else(|reason| json!({ "unsupported": reason }))
        };
        println!("{answer}");
    }
}

fn layer(
    request: &Value,
    made: &mut Option<(Layer, Run)>,
    make: &mut impl FnMut(&Layer) -> Result<Run, String>,
) -> Result<Value, String> {
    let training = request["do"] == "layer_train";
    if !training && request["do"] != "layer_infer" || training && request["dtype"] != "float32" {
        return Err(format!("{} is not measured with it", request["do"]));
    }
    let size = |name: &str| request[name].as_u64().expect(name) as usize;
    let asked = Layer {
        training,
        cell: request["cell"].as_str().expect("cell").into(),
        hidden: size("hidden"),
        batch: size("batch"),
        steps: size("steps"),
    };
    if made.as_ref().is_none_or(|(layer, _)| *layer != asked) {
        *made = None; // one model at a time: none fills another's cache
        *made = Some((asked.clone(), make(&asked)?));
    }
    let (_, run) = made.as_mut().expect("just made");
    let start = Instant::now();
    for _ in 0..request["repeat"].as_u64().unwrap_or(1) {
        run(false);
    }
    let seconds = start.elapsed().as_secs_f64();
    let value = request["value"].as_bool().unwrap_or(false).then(|| run(true));
    Ok(json!({ "seconds": seconds, "value": value }))
}
