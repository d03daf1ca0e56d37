//! Long sequences in segments: the steps of a run, cut where the numbers of all of them are more than a kernel
//! can bind.
//!
//! Every tensor of steps (T, B, width) is then one buffer a segment, all of them cut at the same steps. What
//! goes row by row records its calls segment by segment, and sums over rows add up; a recurrent layer goes
//! through a segment as through a run of its steps, from the state that the one before has left
//! ([`super::scan`]). What is not of steps (weights, a memory that is attended to) has to fit as it is.

/// Some steps of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Which of the segments it is.
    pub number: usize,
    /// Its first step, and how many.
    pub first: usize,
    pub steps: usize,
}

/// `steps` steps in segments of `each`, the last one of what is left; one segment where there is no step.
pub(super) fn segments(steps: usize, each: usize) -> Vec<Segment> {
    let starts = (0..steps.max(1)).step_by(each.max(1)).enumerate();
    starts.map(|(number, first)| Segment { number, first, steps: each.min(steps - first) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_all_steps_in_order() {
        for (steps, each) in [(0, 1), (0, 9), (1, 1), (7, 2), (7, 7), (7, 8), (9, 3)] {
            let all = segments(steps, each);
            assert_eq!(all.iter().map(|segment| segment.steps).sum::<usize>(), steps);
            let mut next = 0;
            for (number, segment) in all.iter().enumerate() {
                assert_eq!((segment.number, segment.first), (number, next));
                assert!(segment.steps <= each && (segment.steps > 0 || steps == 0));
                next += segment.steps;
            }
        }
    }
}
