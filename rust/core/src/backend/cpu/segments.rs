//! What weight gradients sum over: rows of gradients beside the rows they multiply, wherever these lie.

/// Some rows of gradients and of what they multiply.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a, T> {
    /// Gradients: unit u of slot s of row r at `u / L * block + (s * L + u % L) * unit + r * row`.
    pub(super) dz: &'a [T],
    pub(super) unit: usize,
    pub(super) row: usize,
    pub(super) block: usize,
    /// The operand, rows `stride` apart.
    pub(super) x: &'a [T],
    pub(super) stride: usize,
    pub(super) rows: usize,
}

/// The segments of a sum, in its order, to be gone through by every job.
pub(super) trait Segments<'a, T: 'a>: Iterator<Item = Segment<'a, T>> + Clone + Sync {}

impl<'a, T: 'a, I: Iterator<Item = Segment<'a, T>> + Clone + Sync> Segments<'a, T> for I {}

impl<T> Segment<'_, T> {
    /// `rows` of its rows, without the first `skip`.
    pub(super) fn part(self, skip: usize, rows: usize) -> Self {
        let (dz, x) = (&self.dz[skip * self.row..], &self.x[skip * self.stride..]);
        Self { dz, x, rows, ..self }
    }
}
