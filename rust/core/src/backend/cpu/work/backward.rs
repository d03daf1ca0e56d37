//! The phases of a backward run.

use super::super::Cpu;
use super::super::kernels::Kernel;
use super::super::math::Elementary;
use super::super::threads::{Crew, enter};
use super::{Work, products, with_scratch};
use crate::backend::{Upstream, WEIGHTS_CHANGED};
use crate::error::{Error, Result};
use std::mem::take;

impl<T: Elementary> Work<T> {
    pub(in super::super) fn backward(&mut self, cpu: &Cpu<T>, upstream: Upstream<'_, T>) -> Result<()> {
        match self.ready.take() {
            None => return Err(Error::Tape("backward follows one forward run in training mode, once")),
            Some(version) if version != cpu.version => return Err(WEIGHTS_CHANGED),
            Some(_) => {}
        }
        enter(2.0 * cpu.row_operations * self.rows() as f64, |crew| self.run_back(cpu, upstream, crew))
    }

    fn run_back(&mut self, cpu: &Cpu<T>, upstream: Upstream<'_, T>, crew: Crew) {
        let (program, steps, batch) = (&cpu.program, self.steps, self.batch());
        match upstream.state {
            Some(d) => self.d_state.copy_from_slice(d),
            None => self.d_state.fill(T::ZERO),
        }
        let distinct = take(&mut self.distinct.tokens);
        let operands = take(&mut self.operands);
        let context = self.context(cpu, &distinct, &operands);
        let (d_state, dropped) = (&self.d_state, &self.dropped);
        let (outer, inner, together) = cpu.crews(self.parts.len(), crew);
        outer.chunks(&mut self.parts, together, |_, parts| {
            inner.each(parts, |_, part| {
                if let Some(dy) = upstream.output {
                    let kind = program.slots[program.output];
                    if let Some(head) = cpu.head() {
                        head.make_room(&mut part.d_slots[head.out], part.group.len);
                    }
                    part.with_gradient(program.output, |part, rows| part.pack(dy, steps, kind, rows));
                }
                for (scan, at) in cpu.scans_in_state(batch) {
                    scan.load_gradient(part, d_state, at);
                }
            });
            for (i, op) in cpu.ops.iter().enumerate().rev() {
                match op {
                    Kernel::Local(op) => inner.each(parts, |_, part| {
                        with_scratch(part, i, |part, own| op.backward(part, own, &context));
                    }),
                    // Without a gradient from outside the loss has been here already.
                    Kernel::Head(head) if upstream.output.is_some() => {
                        inner.each(parts, |_, part| head.run_back(part));
                    }
                    Kernel::Head(_) => {}
                    Kernel::Scan(scan) => {
                        let from_table = scan.tokens.is_some() && context.from_tokens;
                        scan.backward(inner, parts, from_table, products(scan, &dropped[i], &context));
                    }
                }
            }
        });
        let (parts, gradient) = (&self.parts, &mut self.gradient);
        for (i, (op, table)) in cpu.ops.iter().zip(&mut self.tables).enumerate() {
            match op {
                Kernel::Local(op) => op.weight_gradients(crew, i, parts, &context, gradient),
                Kernel::Head(head) if upstream.output.is_some() => {
                    head.own_gradients(crew, parts, &context, gradient)
                }
                Kernel::Head(_) => {}
                Kernel::Scan(scan) => {
                    let mut table = table.as_mut().filter(|_| context.from_tokens);
                    if let Some(table) = &mut table {
                        table.sum(crew, scan, parts);
                    }
                    scan.weight_gradients(crew, parts, table.as_deref(), &context, gradient);
                    if let (Some(table), Some(tokens)) = (table, scan.tokens)
                        && let Some(embedding) = tokens.embedding
                    {
                        table.embedding_gradient(crew, scan, &context, embedding, gradient);
                    }
                }
            }
        }
        for (scan, at) in cpu.scans_in_state(batch) {
            self.parts.iter().for_each(|part| scan.save_gradient(part, &mut self.d_state, at));
        }
        if self.from_initial {
            program.initial_state_backward(&self.d_state, batch, &mut self.gradient);
        }
        self.distinct.tokens = distinct;
        self.operands = operands;
    }
}
