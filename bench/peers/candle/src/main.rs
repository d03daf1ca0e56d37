//! candle on the CPU.

use candle_core::{DType, Device, Error, Tensor};
use candle_nn::VarBuilder;
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
use protocol::{Layer, Run};
use std::collections::HashMap;

/// A layer as a function of nothing that gives its output, so that cells of several types are one.
type Forward = Box<dyn Fn() -> candle_core::Result<Tensor>>;

fn over<R: RNN + 'static>(layer: R, x: Tensor) -> Forward {
    Box::new(move || layer.states_to_tensor(&layer.seq(&x)?))
}

fn forward(layer: &Layer) -> candle_core::Result<Forward> {
    let (device, h) = (Device::Cpu, layer.hidden);
    let rows = layer.gates() * h;
    let [weight_ih, weight_hh, bias_ih, bias_hh] = layer.weights();
    let tensors = HashMap::from([
        ("weight_ih_l0".into(), Tensor::from_vec(weight_ih, (rows, h), &device)?),
        ("weight_hh_l0".into(), Tensor::from_vec(weight_hh, (rows, h), &device)?),
        ("bias_ih_l0".into(), Tensor::from_vec(bias_ih, rows, &device)?),
        ("bias_hh_l0".into(), Tensor::from_vec(bias_hh, rows, &device)?),
    ]);
    let weights = VarBuilder::from_tensors(tensors, DType::F32, &device);
    let x = Tensor::from_vec(layer.input(), (layer.batch, layer.steps, h), &device)?;
    Ok(if layer.cell == "lstm" {
        over(lstm(h, h, LSTMConfig::default(), weights)?, x)
    } else {
        over(gru(h, h, GRUConfig::default(), weights)?, x)
    })
}

fn make(layer: &Layer) -> Result<Run, String> {
    if layer.cell == "rnn" {
        return Err("candle has no plain recurrent cell".into());
    }
    let forward = forward(layer).map_err(|error: Error| error.to_string())?;
    Ok(Box::new(move |value| {
        let y = forward().expect("shapes fit");
        if !value {
            return 0.0;
        }
        f64::from(y.abs().and_then(|y| y.mean_all()?.to_scalar::<f32>()).expect("a number"))
    }))
}

fn main() {
    protocol::serve(("candle", env!("CARGO_PKG_VERSION")), make);
}
