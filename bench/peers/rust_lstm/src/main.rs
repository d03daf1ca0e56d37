//! rust-lstm: float64, one thread.

use ndarray::{Array2, ArrayView3, s};
use protocol::{Layer, Run};
use rust_lstm::layers::lstm_cell::LSTMCell;
use rust_lstm::models::lstm_network::LSTMNetwork;
use std::hint::black_box;

fn make(layer: &Layer) -> Result<Run, String> {
    match &*layer.cell {
        "lstm" => {}
        "gru" => return Err("the GRU of rust-lstm resets before the product, PyTorch's after it".into()),
        _ => return Err("rust-lstm has no plain recurrent cell".into()),
    }
    let h = layer.hidden;
    let [weight_ih, weight_hh, bias_ih, bias_hh] = layer.weights();
    let matrix = |numbers: Vec<f32>, columns: usize| {
        let numbers = numbers.into_iter().map(f64::from).collect();
        Array2::from_shape_vec((4 * h, columns), numbers).expect("the shape of the weights")
    };
    let mut cell = LSTMCell::new(h, h);
    cell.w_ih = matrix(weight_ih, h);
    cell.w_hh = matrix(weight_hh, h);
    cell.b_ih = matrix(bias_ih, 1);
    cell.b_hh = matrix(bias_hh, 1);
    let mut network = LSTMNetwork::from_cells(vec![cell], h, h, 1);
    let training = layer.training;
    if !training {
        network.eval();
    }

    // It takes a sequence step by step, each (features, batch).
    let by_steps = |numbers: Vec<f32>| -> Vec<Array2<f64>> {
        let shape = (layer.batch, layer.steps, h);
        let all = ArrayView3::from_shape(shape, &numbers).expect("the shape of the input");
        let step = |t| all.slice(s![.., t, ..]).t().mapv(f64::from).as_standard_layout().into_owned();
        (0..layer.steps).map(step).collect()
    };
    let (x, dy) = (by_steps(layer.input()), by_steps(layer.gradient()));
    Ok(Box::new(move |value| {
        let y = if training {
            let (states, caches) = network.forward_sequence_with_cache(&x);
            black_box(network.backward_sequence(&dy, &caches));
            states.into_iter().map(|(h, _)| h).collect()
        } else {
            network.forward_sequence(&x)
        };
        if !value {
            return 0.0;
        }
        let numbers: usize = y.iter().map(Array2::len).sum();
        y.iter().flatten().map(|y| y.abs()).sum::<f64>() / numbers as f64
    }))
}

fn main() {
    protocol::serve(("rust-lstm", env!("CARGO_PKG_VERSION")), make);
}
