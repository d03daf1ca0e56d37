//! Every instruction set of this processor computes what the plain loops of the reference compute:
//! forward, and backward for all parameters, the input and the state.

mod common;

use common::{Data, Draw, FORMS, assert_close, cell, outcome};
use seqrs::device::{Element, Isa};
use seqrs::float::Float;
use seqrs::prelude::*;
use std::collections::BTreeSet;
use std::io::Write;

/// Around the widths of registers, tiles and groups of rows.
const SIZES: [usize; 12] = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 65];
/// Multiplications of a case's forward run at most: the reference is slow.
const LARGEST: usize = 2_000_000;

/// B, T, I and H of one case.
type Sizes = [usize; 4];

/// For each of B, T, I and H every size that it may have, twice, the three others drawn.
fn cases(draw: &mut Draw) -> Vec<Sizes> {
    let mut cases = Vec::new();
    for dimension in 0..4 {
        for &size in &SIZES {
            // A layer has at least one input and one unit.
            let smallest = |d| usize::from(d >= 2);
            if size < smallest(dimension) {
                continue;
            }
            for _ in 0..2 {
                cases.push(loop {
                    let mut sizes = [0, 1, 2, 3].map(|d| draw.one_of(&SIZES[smallest(d)..]));
                    sizes[dimension] = size;
                    let [batch, steps, input, hidden] = sizes;
                    if batch * steps * (input + hidden) * hidden * 4 <= LARGEST {
                        break sizes;
                    }
                });
            }
        }
    }
    cases
}

/// What lies beyond a row's length is zero.
fn assert_padding_is_zero<T: Float>(what: &str, values: &[T], data: &Data<T>) {
    let Some(lengths) = &data.lengths else { return };
    let Shape { batch, steps } = data.shape;
    let width = values.len().checked_div(batch * steps).unwrap_or(0);
    for (b, &length) in lengths.iter().enumerate() {
        let padding = &values[(b * steps + length) * width..(b + 1) * steps * width];
        assert!(padding.iter().all(|&x| x == T::ZERO), "{what}: row {b} is not zero from step {length} on");
    }
}

fn on_every_instruction_set<T: Element + Float>() {
    let mut ran = BTreeSet::new();
    for (number, form) in FORMS.into_iter().enumerate() {
        let mut draw = Draw::new(number as u64);
        for sizes in cases(&mut draw) {
            let [batch, steps, input, hidden] = sizes;
            let stack = Recurrent {
                cell: cell(form),
                hidden_size: hidden,
                num_layers: draw.one_of(&[1, 2]),
                bias: draw.one_of(&[true, true, false]),
                dropout: draw.one_of(&[0.0, 0.4]),
            };
            let program = stack.program(input).expect("a stack");
            let tokens = draw.one_of(&[true, false]);
            let data = Data::<T>::draw(&mut draw, &program, Shape { batch, steps }, tokens);
            let on = |device| {
                let network = Network::<T>::new(program.clone(), device, 1).expect("a network");
                outcome(&network, &data)
            };
            let want = on(Device::Reference);
            for isa in Isa::available() {
                for ((name, got), (_, want)) in on(Device::Cpu(isa)).iter().zip(&want) {
                    let what =
                        format!("{name}, {}, {}, {stack:?}, (B, T, I, H) = {sizes:?}", isa.name(), T::NAME);
                    assert_close(&what, got, want);
                    if name.starts_with("output") || name == "gradient of the input" {
                        assert_padding_is_zero(&what, got, &data);
                    }
                }
                ran.insert(isa.name());
            }
        }
    }
    let ran: Vec<_> = ran.into_iter().collect();
    // Written past the test harness, which hides what passing tests print.
    writeln!(std::io::stderr(), "{}: the cpu device equals the reference on {}", T::NAME, ran.join(", "))
        .expect("standard error");
    assert_eq!(ran, processor(), "instruction sets that ran, and those of the processor");
}

/// The names of the instruction sets that this processor has, in order, asked of itself.
fn processor() -> Vec<&'static str> {
    let mut names = vec!["portable"];
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            names.push("avx2");
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
        {
            names.push("avx512");
        }
    }
    names.sort_unstable();
    names
}

#[test]
fn float32_equals_the_reference_on_every_instruction_set() {
    on_every_instruction_set::<f32>();
}

#[test]
fn float64_equals_the_reference_on_every_instruction_set() {
    on_every_instruction_set::<f64>();
}
