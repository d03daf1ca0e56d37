//! One run: what every slot holds and its gradients.
//!
//! A slot is (B, T, width) with the steps of each row that count side by side: its step `s` is at
//! place `b · T + s`, whatever its time was. Times are only for what goes in and what comes out.

use super::tape::Tape;
use crate::float::Float;
use crate::program::{Counted, DropoutKey, Slot};
use crate::rng::{Kind, Stream};
use crate::shape::Shape;

/// One run.
pub(super) struct Work<T> {
    pub shape: Shape,
    pub counted: Counted,
    pub training: Option<DropoutKey>,
    /// Whether the state started from the program's own.
    pub starts_itself: bool,
    /// The tokens of the slots that hold some, −1 for the zero vector.
    pub tokens: Vec<Option<Vec<i32>>>,
    pub targets: Option<Vec<i32>>,
    pub slots: Vec<Vec<T>>,
    pub d_slots: Vec<Vec<T>>,
    /// Of every step of every scan, in the order they were made; the way back takes them off the end.
    pub tapes: Vec<Tape<T>>,
    pub state: Vec<T>,
    pub d_state: Vec<T>,
    pub log_probs: Vec<T>,
    pub penalty: T,
    /// (B, S, D), with S and the steps of each row that count.
    pub memory: Vec<T>,
    pub memory_steps: usize,
    pub memory_lengths: Vec<usize>,
    pub d_memory: Vec<T>,
    /// Shares of the memory's steps, (B, T, S).
    pub attention: Vec<T>,
    pub gradient: Vec<T>,
    /// The weights' version of a run that no backward run has followed yet.
    pub has_run: Option<u64>,
}

/// A vector of a slot: the one that starts at number `at · width`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub row: usize,
    /// Of the row's steps that count.
    pub step: usize,
    pub at: usize,
}

impl<T: Float> Work<T> {
    pub fn new(shape: Shape, state_width: usize) -> Self {
        Self {
            shape,
            counted: Counted::default(),
            training: None,
            starts_itself: true,
            tokens: Vec::new(),
            targets: None,
            slots: Vec::new(),
            d_slots: Vec::new(),
            tapes: Vec::new(),
            state: vec![T::ZERO; state_width * shape.batch],
            d_state: Vec::new(),
            log_probs: Vec::new(),
            penalty: T::ZERO,
            memory: Vec::new(),
            memory_steps: 0,
            memory_lengths: Vec::new(),
            d_memory: Vec::new(),
            attention: Vec::new(),
            gradient: Vec::new(),
            has_run: None,
        }
    }

    /// Every row and step that counts.
    pub fn steps(&self) -> Vec<Place> {
        let rows = self.counted.lengths.iter().enumerate();
        rows.flat_map(|(row, &n)| {
            (0..n).map(move |step| Place { row, step, at: row * self.shape.steps + step })
        })
        .collect()
    }

    /// Every vector of a slot: one a step that counts, or one a row.
    pub fn places(&self, slot: Slot) -> Vec<Place> {
        if slot.is_pooled() {
            (0..self.shape.batch).map(|row| Place { row, step: 0, at: row }).collect()
        } else {
            self.steps()
        }
    }

    /// From (B, T, width) in order of time to a slot; a pooled one is as it is.
    pub fn to_steps<V: Copy + Default>(&self, slot: Slot, values: &[V]) -> Vec<V> {
        self.moved(slot, values, |step, time| (step, time))
    }

    /// From a slot to (B, T, width) in order of time, zeros at the steps that do not count.
    pub fn to_times<V: Copy + Default>(&self, slot: Slot, values: &[V]) -> Vec<V> {
        self.moved(slot, values, |step, time| (time, step))
    }

    fn moved<V: Copy + Default>(
        &self,
        slot: Slot,
        values: &[V],
        to_from: impl Fn(usize, usize) -> (usize, usize),
    ) -> Vec<V> {
        if slot.is_pooled() {
            return values.to_vec();
        }
        let width = slot.width();
        let mut out = vec![V::default(); values.len()];
        for Place { row, step, at } in self.steps() {
            let time = row * self.shape.steps + self.counted.time(row, step);
            let (to, from) = to_from(at, time);
            out[to * width..][..width].copy_from_slice(&values[from * width..][..width]);
        }
        out
    }

    /// A mask of 0 and 1 / (1 − p); ones out of training or for p = 0.
    pub fn mask(&self, kind: Kind, site: usize, p: f64, [t, row]: [usize; 2], width: usize) -> Vec<T> {
        let mut mask = vec![T::ONE; width];
        if let Some(key) = self.training.filter(|_| p > 0.0) {
            Stream::new(key.seed, kind, site as u32, key.step).keep_mask_row(
                t as u32,
                row as u32,
                1.0 - p,
                &mut mask,
            );
        }
        mask
    }

    /// Zoneout's shares of the new: 0 or 1 in training, the mean 1 − p otherwise.
    pub fn shares(&self, kind: Kind, site: usize, p: f64, [t, row]: [usize; 2], width: usize) -> Vec<T> {
        let mut shares = vec![T::from_f64(1.0 - p); width];
        if let Some(key) = self.training {
            Stream::new(key.seed, kind, site as u32, key.step).choice_row(
                t as u32,
                row as u32,
                1.0 - p,
                T::ONE,
                &mut shares,
            );
        }
        shares
    }
}
