//! One layer's state between a user's arrays and the tapes. `at` is where the layer's h and c,
//! each (B, H), begin in the arrays.

use super::super::math::Elementary;
use super::super::part::Part;
use super::super::scratch::Rows;
use super::Scan;

impl<T: Elementary> Scan<T> {
    /// Puts the state before the first step into the leading rows.
    pub(in super::super) fn load_state(&self, part: &mut Part<T>, state: &[T], at: [usize; 2]) {
        let targets = [&mut part.slots[self.recurrence.out], &mut part.tapes[self.tape].c];
        for ((rows, at), width) in targets.into_iter().zip(at).zip(self.widths()) {
            for (i, &b) in part.group.rows.iter().enumerate() {
                rows.lead_mut(i)[..width].copy_from_slice(&state[at + b * width..][..width]);
            }
        }
    }

    /// Copies each row's last state out.
    pub(in super::super) fn save_state(&self, part: &Part<T>, state: &mut [T], at: [usize; 2]) {
        let sources = [&part.slots[self.recurrence.out], &part.tapes[self.tape].c];
        for ((rows, at), width) in sources.into_iter().zip(at).zip(self.widths()) {
            copy_out(part, rows, |i| part.group.last(i), width, &mut state[at..]);
        }
    }

    /// Puts the gradient of the last state where the backward run starts from. The padding is
    /// cleared: a run that was not finite may have left NaN there.
    pub(in super::super) fn load_gradient(&self, part: &mut Part<T>, d_state: &[T], at: [usize; 2]) {
        let tape = &mut part.tapes[self.tape];
        for ((rows, at), width) in [&mut tape.dh, &mut tape.dc].into_iter().zip(at).zip(self.widths()) {
            let stride = rows.stride;
            for (i, &b) in part.group.rows.iter().enumerate() {
                let (own, padding) = rows.at_mut(i)[..stride].split_at_mut(width);
                own.copy_from_slice(&d_state[at + b * width..][..width]);
                padding.fill(T::ZERO);
            }
        }
    }

    /// Copies the gradient of each row's first state out.
    pub(in super::super) fn save_gradient(&self, part: &Part<T>, d_state: &mut [T], at: [usize; 2]) {
        let tape = &part.tapes[self.tape];
        for ((rows, at), width) in [&tape.dh, &tape.dc].into_iter().zip(at).zip(self.widths()) {
            copy_out(part, rows, |i| i, width, &mut d_state[at..]);
        }
    }

    /// Numbers in h, and in c where there is one.
    fn widths(&self) -> impl Iterator<Item = usize> {
        let memory = self.recurrence.cell.has_memory();
        [self.recurrence.width, self.recurrence.hidden].into_iter().take(1 + usize::from(memory))
    }
}

fn copy_out<T: Elementary>(
    part: &Part<T>,
    from: &Rows<T>,
    row: impl Fn(usize) -> usize,
    width: usize,
    to: &mut [T],
) {
    for (i, &b) in part.group.rows.iter().enumerate() {
        to[b * width..][..width].copy_from_slice(&from.data()[row(i) * from.stride..][..width]);
    }
}
