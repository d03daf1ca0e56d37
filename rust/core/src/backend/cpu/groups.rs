//! The batch cut into groups that run on their own.
//!
//! A group is a few rows that go through all steps together. As a rule one thread takes a group, with no word
//! to the others and no barrier in time; where threads share the weights of a wide layer they wait for each
//! other in every step. How the batch is cut depends on its size, on that of the model
//! and on how products are made, never on the threads. Within a group rows are sorted longest first, and
//! only the steps that exist are stored, one after the other (*packed*): no work is done on padding.

/// Units of a layer that is narrow: a thread reads its weights from a cache of its own, and two rows
/// for each of two threads are done sooner than four for one.
const NARROW: usize = 128;

/// Rows a group should have at most: enough that a weight read once is used often, few enough
/// that a batch makes work for several threads. Where products are made in tiles a group fills one.
const MOST_ROWS: usize = 8;
pub(crate) const MOST_ROWS_OF_TILES: usize = 16;

/// Groups that pass through the steps of a layer together at most.
pub(crate) const TOGETHER: usize = 4;

use crate::program::Counted;

/// One step of a group: packed rows `first .. first + active`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) first: usize,
    pub(crate) active: usize,
}

/// Packed rows `row ..` whose previous states lie one after the other from `prev` on (counted
/// from the start of a layer's output, leading rows included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) row: usize,
    pub(crate) prev: usize,
    pub(crate) len: usize,
}

/// Part of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// Its rows of the batch, longest first.
    pub(crate) rows: Vec<usize>,
    /// The steps of each of them.
    pub(crate) lengths: Vec<usize>,
    /// The steps that have any active row.
    pub(crate) steps: Vec<Step>,
    /// Packed rows in all.
    pub(crate) len: usize,
    /// The time of each packed row.
    times: Vec<u32>,
    /// All packed rows in as few runs as possible.
    pub(crate) runs: Vec<Run>,
    /// For each packed row, the one of the same batch row whose step it is in reverse order.
    pub(crate) reversed: Vec<u32>,
}

/// Into how many groups a batch is cut whose widest layer has `hidden` units; `tiles`: its products are made
/// in tiles.
pub(crate) fn count(batch: usize, hidden: usize, tiles: bool) -> usize {
    let alone = if hidden <= NARROW { 3 } else { MOST_ROWS / 2 };
    let most = if tiles { MOST_ROWS_OF_TILES } else { MOST_ROWS };
    batch.div_ceil(most).next_power_of_two().max(if batch > alone { 2 } else { 1 })
}

/// The sizes of `count` groups of a batch.
pub(crate) fn sizes(batch: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |i| batch * (i + 1) / count - batch * i / count).filter(|&n| n > 0)
}

/// Deals the rows to groups, longest first. `order` is room for their numbers.
pub(crate) fn deal<'a>(
    counted: &Counted,
    order: &mut Vec<usize>,
    groups: impl ExactSizeIterator<Item = &'a mut Group>,
) {
    let lengths = &counted.lengths;
    order.clear();
    order.extend(0..lengths.len());
    order.sort_unstable_by_key(|&row| (std::cmp::Reverse(lengths[row]), row));
    let mut rest = &order[..];
    let sizes = sizes(lengths.len(), groups.len());
    for (group, size) in groups.zip(sizes) {
        let (rows, after) = rest.split_at(size);
        group.fill(rows, counted);
        rest = after;
    }
}

impl Group {
    fn fill(&mut self, rows: &[usize], counted: &Counted) {
        self.rows.clear();
        self.rows.extend(rows);
        self.lengths.clear();
        self.lengths.extend(rows.iter().map(|&row| counted.lengths[row]));
        self.steps.clear();
        self.len = 0;
        for t in 0..self.lengths.first().copied().unwrap_or(0) {
            let active = self.lengths.partition_point(|&n| n > t);
            self.steps.push(Step { first: self.len, active });
            self.len += active;
        }
        self.times.clear();
        self.reversed.clear();
        self.runs.clear();
        for (t, step) in self.steps.iter().enumerate() {
            for i in 0..step.active {
                self.times.push(counted.time(rows[i], t) as u32);
                let back = self.lengths[i] - 1 - t;
                self.reversed.push((self.steps[back].first + i) as u32);
            }
            let prev = self.prev(t);
            match self.runs.last_mut() {
                Some(run) if run.prev + run.len == prev => run.len += step.active,
                _ => self.runs.push(Run { row: step.first, prev, len: step.active }),
            }
        }
    }

    /// Where, in a layer's output, the states before step `t` begin.
    pub(crate) fn prev(&self, t: usize) -> usize {
        if t == 0 { 0 } else { self.rows.len() + self.steps[t - 1].first }
    }

    /// Where, in a layer's output, the last state of the group's row `i` lies.
    pub(crate) fn last(&self, i: usize) -> usize {
        match self.lengths[i] {
            0 => i,
            n => self.rows.len() + self.steps[n - 1].first + i,
        }
    }

    /// Every packed row: its batch row, time and number.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.steps
            .iter()
            .flat_map(|step| (0..step.active).map(|i| (self.rows[i], step.first + i)))
            .map(|(b, row)| (b, self.times[row] as usize, row))
    }

    /// The time and the packed row of each step of the group's row `i`.
    pub(crate) fn times_of_row(&self, i: usize) -> impl Iterator<Item = (usize, usize)> {
        self.of_row(i).map(|row| (self.times[row] as usize, row))
    }

    /// The packed row of step `step` of the group's row `i`.
    pub(crate) fn packed(&self, i: usize, step: usize) -> usize {
        self.steps[step].first + i
    }

    /// The packed rows of the group's row `i`, step by step.
    pub(crate) fn of_row(&self, i: usize) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.lengths[i]).map(move |step| self.packed(i, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_lands_once() {
        for batch in 0..100 {
            for (hidden, tiles, most) in
                [(NARROW, false, 8), (NARROW + 1, false, 8), (NARROW, true, 16), (NARROW + 1, true, 16)]
            {
                let sizes: Vec<_> = sizes(batch, count(batch, hidden, tiles)).collect();
                assert_eq!(sizes.iter().sum::<usize>(), batch);
                assert!(sizes.iter().all(|&n| n > 0 && n <= most));
            }
        }
    }

    /// One group of rows of these lengths.
    fn group(lengths: &[usize]) -> Group {
        let (mut group, mut counted) = (Group::default(), Counted::default());
        counted.lengths.extend(lengths);
        deal(&counted, &mut Vec::new(), [&mut group].into_iter());
        group
    }

    #[test]
    fn ragged_rows_pack_and_point_back() {
        let group = group(&[1, 3, 0]);
        assert_eq!(group.rows, [1, 0, 2]);
        assert_eq!(group.len, 4);
        assert_eq!(group.places().collect::<Vec<_>>(), [(1, 0, 0), (0, 0, 1), (1, 1, 2), (1, 2, 3)]);
        assert_eq!(group.reversed, [3, 1, 2, 0]);
        assert_eq!(group.of_row(0).collect::<Vec<_>>(), [0, 2, 3]);
        // Three leading rows, then the packed ones: step 0 reads row 0, steps 1 and 2 the rows 3 and 5.
        assert_eq!(
            group.runs,
            [
                Run { row: 0, prev: 0, len: 2 },
                Run { row: 2, prev: 3, len: 1 },
                Run { row: 3, prev: 5, len: 1 }
            ]
        );
        assert_eq!([group.last(0), group.last(1), group.last(2)], [6, 4, 2]);
    }

    #[test]
    fn equal_rows_are_one_run() {
        assert_eq!(group(&[5, 5]).runs, [Run { row: 0, prev: 0, len: 10 }]);
    }
}
