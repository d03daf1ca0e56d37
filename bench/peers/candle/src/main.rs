//! candle on the CPU.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
use protocol::{Layer, Run};
use std::collections::HashMap;

/// A layer as a function from its input to its output, so that cells of several types are one.
type Forward = Box<dyn Fn(&Tensor) -> Result<Tensor>>;

fn over<R: RNN + 'static>(layer: R) -> Forward {
    Box::new(move |x| layer.states_to_tensor(&layer.seq(x)?))
}

fn run(layer: &Layer) -> Result<Run> {
    let (device, h) = (Device::Cpu, layer.hidden);
    let rows = layer.gates() * h;
    // Gradients are kept of variables, and of nothing else.
    let given = |numbers: Vec<f32>, shape: &[usize]| -> Result<Tensor> {
        let tensor = Tensor::from_vec(numbers, shape, &device)?;
        Ok(if layer.training { Var::from_tensor(&tensor)?.into_inner() } else { tensor })
    };
    let [weight_ih, weight_hh, bias_ih, bias_hh] = layer.weights();
    let tensors = HashMap::from([
        ("weight_ih_l0".into(), given(weight_ih, &[rows, h])?),
        ("weight_hh_l0".into(), given(weight_hh, &[rows, h])?),
        ("bias_ih_l0".into(), given(bias_ih, &[rows])?),
        ("bias_hh_l0".into(), given(bias_hh, &[rows])?),
    ]);
    let weights = VarBuilder::from_tensors(tensors, DType::F32, &device);
    let forward = if layer.cell == "lstm" {
        over(lstm(h, h, LSTMConfig::default(), weights)?)
    } else {
        over(gru(h, h, GRUConfig::default(), weights)?)
    };
    let shape = (layer.batch, layer.steps, h);
    let x = given(layer.input(), &[layer.batch, layer.steps, h])?;
    let dy = Tensor::from_vec(layer.gradient(), shape, &device)?;
    let training = layer.training;
    let once = move |value: bool| -> Result<f64> {
        let y = forward(&x)?.reshape(shape)?; // a GRU lays the steps side by side
        if training {
            let gradients = (&y * &dy)?.sum_all()?.backward()?;
            assert!(gradients.get(&x).is_some());
        }
        if value { Ok(f64::from(y.abs()?.mean_all()?.to_scalar::<f32>()?)) } else { Ok(0.0) }
    };
    Ok(Box::new(move |value| once(value).expect("shapes fit")))
}

fn make(layer: &Layer) -> std::result::Result<Run, String> {
    if layer.cell == "rnn" {
        return Err("candle has no plain recurrent cell".into());
    }
    run(layer).map_err(|error| error.to_string())
}

fn main() {
    protocol::serve(("candle", env!("CARGO_PKG_VERSION")), make);
}
