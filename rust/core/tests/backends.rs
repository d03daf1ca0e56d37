//! Every instruction set of this processor computes what the plain loops of the reference compute:
//! forward, and backward for all parameters, the input and the state.

mod common;

use common::{CELLS, Data, Draw, LOOKS, MODELS, SETTINGS, assert_within, attending, fits, outcome, stack_of};
use seqrs::device::{Element, Isa};
use seqrs::float::Float;
use seqrs::layers::{Spec, Widths};
use seqrs::optim::{Optimizer, Rule};
use seqrs::prelude::*;
use seqrs::program::{Program, Slot};
use std::collections::BTreeSet;
use std::io::Write;

/// Around the widths of registers, tiles and groups of rows.
const SIZES: [usize; 12] = [0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 64, 65];
/// Multiplications of a case's forward run at most: the reference is slow.
const LARGEST: usize = 300_000;

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

/// What does not count is zero.
fn assert_padding_is_zero<T: Float>(what: &str, values: &[T], data: &Data<T>) {
    let Shape { batch, steps } = data.shape;
    let width = values.len().checked_div(batch * steps).unwrap_or(0);
    for b in 0..batch {
        let length = data.lengths.as_ref().map_or(steps, |lengths| lengths[b]);
        for t in 0..steps {
            let counts = t < length && data.mask.as_ref().is_none_or(|mask| mask[b * steps + t]);
            let numbers = &values[(b * steps + t) * width..][..width];
            assert!(
                counts || numbers.iter().all(|&x| x == T::ZERO),
                "{what}: row {b} is not zero at step {t}"
            );
        }
    }
}

/// A stack of a cell with one option in three on.
fn drawn_stack(draw: &mut Draw, cell: &str, hidden: usize) -> Recurrent {
    let mut stack = Recurrent { num_layers: draw.one_of(&[1, 1, 2, 3]), ..stack_of(cell, hidden) };
    for (name, set) in SETTINGS {
        if fits(cell, name) && name != "widths" && draw.share() < 0.3 {
            set(&mut stack);
        }
    }
    if draw.share() < 0.2 {
        stack.hidden_size = Widths::Each((0..stack.num_layers).map(|_| 1 + draw.below(20)).collect());
    }
    // Many steps of a memory that is cut to ±0.2 and then normalised are chaos: any error grows to
    // the size of the numbers. `gradients.rs` has the two together for few steps.
    stack.layer_norm &= !cell.contains("cell_clip");
    stack.residual &= matches!(stack.hidden_size, Widths::Same(_));
    stack.forget_bias = stack.forget_bias.filter(|_| stack.bias);
    stack
}

/// Weights that start at 0 or 1 everywhere are moved off it: nothing may cancel.
fn network<T: Element + Float>(program: &Program, device: Device) -> Network<T> {
    let mut network = Network::<T>::new(program.clone(), device, 1).expect("a network");
    let mut draw = Draw::new(12);
    for parameter in program.parameters.iter().filter(|p| p.shape.len() == 1) {
        let values = network.get(&parameter.name).expect("its numbers");
        let moved: Vec<T> = values.iter().map(|&v| v + T::from_f64(0.4 * draw.share() - 0.2)).collect();
        network.set(&parameter.name, &moved).expect("numbers that fit");
    }
    network
}

/// Every instruction set against the reference; their names are added to `ran`.
fn check<T: Element + Float>(
    what: &str,
    program: &Program,
    data: &Data<T>,
    ran: &mut BTreeSet<&'static str>,
) {
    let want = outcome(&network::<T>(program, Device::Reference), data);
    // The normalisation of a few numbers that are almost equal multiplies an error by up to
    // 1/√eps = 316, at every step.
    let normalises = program.parameters.iter().any(|p| p.name.contains("gain_hh"));
    let times = if normalises { 200.0 } else { 1.0 };
    for isa in Isa::available() {
        let got = outcome(&network::<T>(program, Device::Cpu(isa, Precision::Full)), data);
        for ((name, got), (_, want)) in got.iter().zip(&want) {
            let what = format!("{name}, {}, {}, {what}, {:?}", isa.name(), T::NAME, data.shape);
            assert_within(&what, got, want, times);
            let by_step = name.starts_with("output") && !program.slots[program.output].is_pooled();
            if by_step || name == "gradient of the input" {
                assert_padding_is_zero(&what, got, data);
            }
        }
        ran.insert(isa.name());
    }
}

fn on_every_instruction_set<T: Element + Float>() {
    let mut ran = BTreeSet::new();
    for (number, cell) in CELLS.into_iter().enumerate() {
        let mut draw = Draw::new(number as u64);
        for (at, [batch, steps, input, hidden]) in cases(&mut draw).into_iter().enumerate() {
            let mut stack = drawn_stack(&mut draw, cell, hidden);
            // Normalised layers of few units are chaos, too, after many steps in single precision.
            stack.layer_norm &= T::NAME == "float64" || steps <= 17;
            let program = stack.program(input).expect("a stack");
            let tokens = draw.one_of(&[true, false]);
            let data = Data::<T>::draw(&mut draw, &program, Shape { batch, steps }, tokens);
            check(&format!("case {at}, tokens: {tokens}, {stack:?}"), &program, &data, &mut ran);
        }
    }
    for (number, cell) in CELLS.into_iter().enumerate() {
        for (other, look) in LOOKS.into_iter().enumerate() {
            let mut draw = Draw::new((number * LOOKS.len() + other) as u64);
            for [batch, steps, input, hidden] in
                [[0, 3, 2, 2], [3, 1, 1, 1], [17, 6, 5, 33], [2, 9, 20, 16], [9, 24, 20, 16]]
            {
                let layer = attending(&mut draw, cell, hidden, look);
                let program = layer.program(input).expect("a layer");
                let tokens = draw.one_of(&[true, false]);
                let data = Data::<T>::draw(&mut draw, &program, Shape { batch, steps }, tokens);
                check(&format!("tokens: {tokens}, {layer:?}"), &program, &data, &mut ran);
            }
        }
    }
    for (number, model) in MODELS.into_iter().enumerate() {
        let program = Spec::parse(model).and_then(|spec| spec.program()).expect("a model");
        let tokens = matches!(program.slots[program.input], Slot::Tokens { .. });
        for (batch, steps) in [(0, 3), (1, 1), (2, 0), (5, 7), (17, 4), (33, 15)] {
            let mut draw = Draw::new(number as u64);
            let data = Data::<T>::draw(&mut draw, &program, Shape { batch, steps }, tokens);
            check(model, &program, &data, &mut ran);
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
            if is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512vnni") {
                names.push("avx512bf16");
                // By the kernel's word: the language does not know of it.
                let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
                if ["amx_tile", "amx_bf16"].iter().all(|flag| flags.contains(flag)) {
                    names.push("amx");
                }
            }
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

/// Products of rounded numbers (8 bits) are near those of the numbers, on every instruction set.
#[test]
fn bfloat16_is_near_the_reference_on_every_instruction_set() {
    let mut ran = Vec::new();
    for isa in Isa::available() {
        // A function with a jump in its slope is not near itself beside the jump.
        let jumps =
            |cell: &&str| ["relu", "hard_sigmoid", "cell_clip"].iter().any(|name| cell.contains(name));
        for (number, cell) in CELLS.into_iter().filter(|cell| !jumps(cell)).enumerate() {
            let mut draw = Draw::new(number as u64);
            for [batch, steps, input, hidden] in
                [[3, 5, 7, 9], [1, 1, 1, 1], [17, 4, 33, 17], [9, 3, 64, 48], [9, 24, 33, 17]]
            {
                let program = stack_of(cell, hidden).program(input).expect("a stack");
                let data = Data::<f32>::draw(&mut draw, &program, Shape { batch, steps }, false);
                let of = |device| outcome(&network::<f32>(&program, device), &data);
                let [want, got] = [Device::Reference, Device::Cpu(isa, Precision::Bfloat16)].map(of);
                for ((name, got), (_, want)) in got.iter().zip(&want) {
                    let what = format!("{name}, {}, {cell}, {batch}x{steps}x{input}x{hidden}", isa.name());
                    assert_within(&what, got, want, 300.0);
                }
            }
        }
        ran.push(isa.name());
    }
    ran.sort_unstable();
    assert_eq!(ran, processor());
}

/// What an update writes, it packs: the weights are those of an optimiser alone, and everything that follows
/// is as if they had been loaded.
fn update<T: Element + Float>(draw: &mut Draw, program: &Program) {
    let mut program = program.clone();
    let names: Vec<_> = program.parameters.iter().map(|p| p.name.clone()).collect();
    if names.len() > 1 && draw.share() < 0.5 {
        let id = program.parameters.id(&draw.one_of(&names.iter().collect::<Vec<_>>())[..]).expect("a name");
        program.parameters.freeze(id);
    }
    let tokens = matches!(program.slots[program.input], Slot::Tokens { .. });
    let data = Data::<T>::draw(draw, &program, Shape { batch: 5, steps: 3 }, tokens);
    let size = program.parameters.trainable();
    let (gradient, adam) =
        (draw.numbers::<T>(program.parameters.len()), Rule::Adam { betas: (0.9, 0.999), eps: 1e-8 });
    let rule = draw.one_of(&[Rule::Sgd { momentum: 0.0 }, Rule::Sgd { momentum: 0.9 }, adam]);
    for isa in Isa::available() {
        for precision in [Precision::Full, Precision::Bfloat16] {
            let device = Device::Cpu(isa, precision);
            let mut updated = network::<T>(&program, device);
            let optimizer = || Optimizer::<T>::new(rule, 0.01, Some(1.0), None, size).expect("a rule");
            let (mut own, mut alone, mut loaded) = (optimizer(), optimizer(), network::<T>(&program, device));
            let of = |network: &Network<T>, name: &String| network.get(name).expect("its numbers");
            let mut learning = vec![T::ZERO; size];
            for parameter in program.parameters.iter().filter(|p| !p.frozen) {
                learning[parameter.range.clone()].copy_from_slice(&of(&updated, &parameter.name));
            }
            for _ in 0..2 {
                let norm = updated.apply(&gradient, &mut own, 0.1).expect("a gradient that fits");
                assert_eq!(norm, alone.update(&mut learning, &gradient[..size], 0.1).expect("the same"));
            }
            for parameter in program.parameters.iter() {
                let values = of(&updated, &parameter.name);
                let want = learning.get(parameter.range.clone()).map(<[T]>::to_vec);
                let want = want.unwrap_or_else(|| of(&loaded, &parameter.name));
                assert!(values == want, "{}, {precision:?}: {}", isa.name(), parameter.name);
                loaded.set(&parameter.name, &values).expect("numbers that fit");
            }
            for ((name, got), (_, want)) in outcome(&updated, &data).iter().zip(&outcome(&loaded, &data)) {
                assert!(got == want, "{name}, {}, {precision:?}", isa.name());
            }
        }
    }
}

#[test]
fn updated_weights_are_packed_like_loaded_ones() {
    let mut draw = Draw::new(3);
    for cell in CELLS {
        for [input, hidden] in [[1, 1], [5, 33], [70, 64]] {
            let program = drawn_stack(&mut draw, cell, hidden).program(input).expect("a stack");
            update::<f32>(&mut draw, &program);
            update::<f64>(&mut draw, &program);
        }
        for look in LOOKS {
            let program = attending(&mut draw, cell, 17, look).program(9).expect("a layer");
            update::<f32>(&mut draw, &program);
        }
    }
    for model in MODELS {
        let program = Spec::parse(model).and_then(|spec| spec.program()).expect("a model");
        update::<f32>(&mut draw, &program);
    }
}
