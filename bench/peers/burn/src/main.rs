//! burn on its CPU backend "flex", with the matrix products for AVX-512 switched on.

use burn::module::Param;
use burn::nn::gru::GruConfig;
use burn::nn::{GateController, LstmConfig, RnnConfig};
use burn::tensor::{Device, Tensor, TensorData};
use protocol::{Layer, Run};

/// The weights in rows of one gate: burn keeps every gate apart.
struct Gates {
    weights: [Vec<f32>; 4],
    hidden: usize,
    device: Device,
}

impl Gates {
    fn fill(&self, gate: usize, controller: &mut GateController) {
        let h = self.hidden;
        let matrix = |w: &[f32]| {
            let rows = TensorData::new(w[gate * h * h..][..h * h].to_vec(), [h, h]);
            Param::from_tensor(Tensor::<2>::from_data(rows, &self.device).transpose())
        };
        let bias = |b: &[f32]| {
            let numbers = TensorData::new(b[gate * h..][..h].to_vec(), [h]);
            Some(Param::from_tensor(Tensor::<1>::from_data(numbers, &self.device)))
        };
        controller.input_transform.weight = matrix(&self.weights[0]);
        controller.hidden_transform.weight = matrix(&self.weights[1]);
        controller.input_transform.bias = bias(&self.weights[2]);
        controller.hidden_transform.bias = bias(&self.weights[3]);
    }
}

fn make(layer: &Layer) -> Result<Run, String> {
    let device = if layer.training { Device::flex().autodiff() } else { Device::flex() };
    let gates = Gates { weights: layer.weights(), hidden: layer.hidden, device: device.clone() };
    let h = layer.hidden;
    let shape = [layer.batch, layer.steps, h];
    let given = |numbers| Tensor::<3>::from_data(TensorData::new(numbers, shape), &device);
    let training = layer.training;
    let x = if training { given(layer.input()).require_grad() } else { given(layer.input()) };
    let dy = given(layer.gradient());
    let input = x.clone();
    let mut forward: Box<dyn FnMut() -> Tensor<3>> = match &*layer.cell {
        "lstm" => {
            let mut lstm = LstmConfig::new(h, h, true).init(&device);
            gates.fill(0, &mut lstm.input_gate);
            gates.fill(1, lstm.forget_gate.as_mut().expect("not coupled"));
            gates.fill(2, &mut lstm.cell_gate);
            gates.fill(3, &mut lstm.output_gate);
            Box::new(move || lstm.forward(x.clone(), None).0)
        }
        "gru" => {
            let mut gru = GruConfig::new(h, h, true).init(&device);
            gates.fill(0, &mut gru.reset_gate);
            gates.fill(1, &mut gru.update_gate);
            gates.fill(2, &mut gru.new_gate);
            Box::new(move || gru.forward(x.clone(), None))
        }
        _ => {
            let mut rnn = RnnConfig::new(h, h, true).init(&device);
            gates.fill(0, &mut rnn.gate);
            Box::new(move || rnn.forward(x.clone(), None).0)
        }
    };
    Ok(Box::new(move |value| {
        let y = forward();
        if training {
            let gradients = (y.clone() * dy.clone()).sum().backward();
            assert!(input.grad(&gradients).is_some());
        }
        if value { f64::from(y.abs().mean().into_scalar::<f32>()) } else { 0.0 }
    }))
}

fn main() {
    protocol::serve(("burn", env!("CARGO_PKG_VERSION")), make);
}
