//! A memory that was prepared is that memory: the same bits for rows that choose among its own.

mod common;

use common::{CELLS, Data, Draw, LOOKS, attending, stack_of};
use seqrs::device::{Element, Isa};
use seqrs::float::Float;
use seqrs::prelude::*;
use seqrs::program::{AttentionOptions, Memory, Prepared, Program, Score, When};

/// Output, state and shares, of a batch whose rows attend to these rows of the memory.
fn run<T: Element + Float>(network: &Network<T>, data: &Data<T>, memory: Memory<'_, T>) -> [Vec<T>; 3] {
    let run = network.run(&Batch { memory: Some(memory), ..data.batch(false) }).expect("a batch that fits");
    [run.output, run.state, run.attention.expect("shares")]
}

/// The same with the rows copied side by side.
fn run_copied<T: Element + Float>(
    network: &Network<T>,
    data: &Data<T>,
    whole: &Memory<'_, T>,
    width: usize,
    rows: &[usize],
) -> [Vec<T>; 3] {
    let len = whole.steps * width;
    let values: Vec<T> = rows.iter().flat_map(|&row| &whole.values[row * len..][..len]).copied().collect();
    let lengths: Vec<usize> = rows.iter().map(|&row| whole.length(row)).collect();
    let memory = Memory { values: &values, steps: whole.steps, lengths: Some(&lengths), chosen: None };
    run(network, data, memory)
}

fn check<T: Element + Float>(what: &str, draw: &mut Draw, program: &Program, device: Device) {
    let mut network: Network<T> = Network::new(program.clone(), device, 1).expect("a network");
    let width = program.memory.expect("a memory");
    for (own, batch, steps, memory_steps) in [(1, 1, 1, 1), (3, 17, 1, 70), (9, 4, 2, 5), (2, 1, 3, 0)] {
        let mut data = Data::<T>::draw(draw, program, Shape { batch, steps }, false);
        let values = draw.numbers(own * memory_steps * width);
        let lengths: Vec<usize> = (0..own).map(|_| draw.below(memory_steps + 1)).collect();
        let whole = Memory { values: &values, steps: memory_steps, lengths: Some(&lengths), chosen: None };
        let prepared: Prepared<T> = network.prepare(&whole, own).expect("a memory that fits");
        assert_eq!((prepared.rows(), prepared.steps()), (own, memory_steps));
        let rows: Vec<usize> = (0..batch).map(|_| draw.below(own)).collect();
        data.memory = None;
        for _ in 0..2 {
            let got = run(&network, &data, prepared.of(&rows));
            let want = run_copied(&network, &data, &whole, width, &rows);
            assert_eq!(got, want, "{what}, {own} rows for {batch}, {memory_steps} steps of the memory");
        }
        // What was made with other weights is not used any more.
        for name in program.parameters.iter().map(|p| p.name.clone()).collect::<Vec<_>>() {
            let moved: Vec<T> =
                network.get(&name).expect("it").iter().map(|&v| v * T::from_f64(0.5)).collect();
            network.set(&name, &moved).expect("numbers that fit");
        }
        let got = run(&network, &data, prepared.of(&rows));
        assert_eq!(got, run_copied(&network, &data, &whole, width, &rows), "{what}, with other weights");
    }
}

fn decoder(draw: &mut Draw, cell: &str, look: (Score, When)) -> Program {
    let layer = attending(draw, cell, 13, look);
    Recurrent { dropout: 0.0, ..layer }.program(5).expect("a decoder")
}

#[test]
fn rows_of_a_prepared_memory_are_those_of_a_copy() {
    let mut draw = Draw::new(61);
    for look in LOOKS {
        let cell = draw.one_of(&CELLS);
        let program = decoder(&mut draw, cell, look);
        let what = format!("{cell}, {look:?}");
        check::<f64>(&what, &mut draw, &program, Device::Reference);
        for isa in Isa::available() {
            let what = format!("{what}, {}", isa.name());
            for precision in [Precision::Full, Precision::Bfloat16] {
                check::<f32>(&what, &mut draw, &program, Device::Cpu(isa, precision));
            }
            check::<f64>(&what, &mut draw, &program, Device::Cpu(isa, Precision::Full));
        }
    }
}

#[test]
fn many_keys_are_shared_by_threads_without_a_change() {
    let mut draw = Draw::new(62);
    let layer = attending(&mut draw, CELLS[0], 65, (Score::Additive, When::Before));
    let attention = layer.attention.map(|attention| AttentionOptions { memory: 130, size: 129, ..attention });
    let program = Recurrent { attention, ..layer }.program(5).expect("a decoder");
    check::<f32>("many keys", &mut draw, &program, Device::open("cpu").expect("a device"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut draw = Draw::new(63);
    let program = decoder(&mut draw, CELLS[0], LOOKS[0]);
    let width = program.memory.expect("a memory");
    for device in [Device::Reference, Device::open("cpu").expect("a device")] {
        let network: Network<f32> = Network::new(program.clone(), device, 1).expect("a network");
        let values = draw.numbers(2 * 3 * width);
        let whole = Memory { values: &values, steps: 3, lengths: None, chosen: None };
        assert!(network.prepare(&whole, 3).is_err());
        let prepared = network.prepare(&whole, 2).expect("a memory that fits");
        let data = Data::<f32>::draw(&mut draw, &program, Shape { batch: 2, steps: 1 }, false);
        let refused = |rows: &[usize], training: bool| {
            let batch = Batch { memory: Some(prepared.of(rows)), ..data.batch(training) };
            let error = if training { network.forward(&batch).err() } else { network.run(&batch).err() };
            error.expect("a refusal").to_string()
        };
        assert_eq!(refused(&[0, 2], false), "rows: expected rows of the memory, below 2, got 2");
        assert!(refused(&[0], false).starts_with("memory: expected shape (2, S"));
        assert!(refused(&[0, 1], true).contains("an array in training"));
    }
    let plain = stack_of(CELLS[0], 4).program(3).expect("a stack");
    let network: Network<f32> = Network::new(plain, Device::Reference, 1).expect("a network");
    let whole = Memory { values: &[], steps: 0, lengths: None, chosen: None };
    assert!(network.prepare(&whole, 0).is_err_and(|error| error.to_string().contains("no layer attends")));
}
