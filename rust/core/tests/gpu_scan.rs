mod common;
use common::*;
use seqrs::prelude::*;

#[test]
fn layers() {
    let gpu = Device::open("gpu").expect("gpu");
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut failed = Vec::new();
    for (number, cell) in CELLS.into_iter().enumerate() {
        if !cell.contains(&only) { continue; }
        let mut draw = Draw::new(number as u64);
        for (k, [batch, steps, input, hidden]) in [[1, 1, 1, 1], [3, 4, 5, 7], [5, 9, 17, 33], [2, 0, 3, 3], [0, 2, 3, 3]].into_iter().enumerate() {
            let mut stack = Recurrent { num_layers: 1, ..stack_of(cell, hidden) };
            for (name, set) in SETTINGS {
                let ok = ["without bias", "recurrent_dropout", "candidate_dropout", "weight_dropout", "zoneout of h", "zoneout of c"].contains(&name);
                if k > 0 && ok && fits(cell, name) && draw.share() < 0.4 { set(&mut stack); }
            }
            stack.num_layers = 1;
            let program = stack.program(input).expect("a stack");
            let data = Data::<f32>::draw(&mut draw, &program, Shape { batch, steps }, false);
            let net = |device| Network::<f32>::new(program.clone(), device, 1).expect("a network");
            let want = outcome(&net(Device::Reference), &data);
            let got = outcome(&net(gpu), &data);
            for ((name, got), (_, want)) in got.iter().zip(&want) {
                let what = format!("{name} {stack:?} {:?}", data.shape);
                if let Err(e) = std::panic::catch_unwind(|| assert_within(&what, got, want, 0.1)) {
                    failed.push(e.downcast_ref::<String>().cloned().unwrap_or_default());
                    break;
                }
            }
        }
    }
    for f in &failed { println!("FAILED {f}"); }
    assert!(failed.is_empty());
}
