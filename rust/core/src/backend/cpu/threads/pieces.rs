//! Slices of which threads take pieces, each by its number.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::slice::from_raw_parts_mut;

/// A slice cut into pieces of `size` items, the last one perhaps shorter.
pub(super) struct Pieces<'a, I> {
    first: *mut I,
    len: usize,
    size: usize,
    of: PhantomData<&'a mut [I]>,
}

// SAFETY: what threads get of it are pieces that no two have at a time, as [`Pieces::take`] says.
unsafe impl<I: Send> Sync for Pieces<'_, I> {}

impl<'a, I> Pieces<'a, I> {
    pub(super) fn new(slice: &'a mut [I], size: usize) -> Self {
        Self { first: slice.as_mut_ptr(), len: slice.len(), size, of: PhantomData }
    }

    /// Piece `number`, of no items beyond the slice's end.
    ///
    /// # Safety
    /// No number may be asked for twice.
    pub(super) unsafe fn take(&self, number: usize) -> &'a mut [I] {
        let start = self.len.min(number.saturating_mul(self.size));
        let len = self.size.min(self.len - start);
        // SAFETY: it lies within the slice, which is borrowed for `'a`, and pieces of different numbers
        // do not overlap.
        unsafe { from_raw_parts_mut(self.first.add(start), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_those_of_chunks() {
        for (len, size) in [(0, 3), (1, 3), (6, 3), (7, 3), (2, 5)] {
            let mut numbers: Vec<_> = (0..len).collect();
            let want: Vec<Vec<_>> = numbers.chunks(size).map(<[_]>::to_vec).collect();
            let pieces = Pieces::new(&mut numbers, size);
            for number in 0..want.len() + 2 {
                // SAFETY: each number once.
                let piece = unsafe { pieces.take(number) };
                assert_eq!(piece, want.get(number).map_or(&[][..], Vec::as_slice), "{len} {size} {number}");
            }
        }
    }
}
