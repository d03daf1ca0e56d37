//! Rows of a table by token, and sums back into them: embeddings, and layers that tokens go straight into.

use super::calls::{Calls, words};
use super::context::Context;
use super::kernel::over;
use super::product::Matrix;
use crate::error::Result;
use crate::rng::Kind;

/// Places of one token whose gradients one thread adds, at most.
const CHUNK: usize = 256;
/// Columns that a workgroup adds up: `COLUMNS` in the kernels.
const COLUMNS: usize = 64;

/// The tokens of a slot on the device.
#[derive(Clone)]
pub(super) struct Tokens {
    /// The token of each place, −1 for the zero vector.
    pub values: wgpu::Buffer,
    /// Which places have the same token: [`Places::words`]. Empty where no backward run may follow.
    sorted: wgpu::Buffer,
    rows: usize,
    vocabulary: usize,
    /// Whether each row's steps are in reverse order.
    pub reversed: bool,
}

impl Tokens {
    pub fn new(
        context: &Context,
        [rows, vocabulary]: [usize; 2],
        learns: bool,
        reversed: bool,
    ) -> Result<Self> {
        let sorted = if learns { Places::new(rows, vocabulary).len() } else { 0 };
        let values = context.buffer("tokens", rows)?;
        let sorted = context.buffer("places of tokens", sorted)?;
        Ok(Self { values, sorted, rows, vocabulary, reversed })
    }

    /// Brings the tokens of a batch to the device.
    pub fn write(&self, context: &Context, tokens: &[i32], learns: bool) {
        context.write(&self.values, 0, tokens);
        if learns {
            context.write(&self.sorted, 0, &Places::new(self.rows, self.vocabulary).words(tokens));
        }
    }

    /// out (+)= row `token` of a table of `columns` columns, + bias; zeros, + bias, for token −1. Whole
    /// tokens are dropped with the probability given.
    pub fn gather(
        &self,
        context: &Context,
        calls: &mut Calls,
        columns: usize,
        table: Matrix<'_>,
        bias: Option<(&wgpu::Buffer, usize)>,
        out: Matrix<'_>,
        add: bool,
        dropout: f64,
    ) {
        let bias_at = bias.map_or(u32::MAX, |(_, at)| at as u32);
        let bias = bias.map_or(table.buffer, |(buffer, _)| buffer);
        let [site, limit, scale] = mask(dropout);
        let kernel = context.kernel("gather", include_str!("wgsl/gather.wgsl"));
        let (rows, c) = (self.rows, columns);
        let numbers = words![
            rows,
            c,
            table.at,
            table.rows,
            table.columns,
            bias_at,
            out.at,
            out.rows,
            out.columns,
            add,
            site,
            limit,
            scale
        ];
        calls.add(&kernel, &[&self.values, table.buffer, bias, out.buffer], numbers, over(rows * columns));
    }

    /// The way back: row `token` of the table's gradient += the sum of d over the places of that token. The
    /// order of each sum is that of the places, cut into chunks.
    pub fn scatter(
        &self,
        context: &Context,
        calls: &mut Calls,
        columns: usize,
        d: Matrix<'_>,
        table: Matrix<'_>,
        dropout: f64,
    ) -> Result<()> {
        let Places { rows, chunks, shared, chunks_at, firsts_at, .. } =
            Places::new(self.rows, self.vocabulary);
        if rows == 0 {
            return Ok(());
        }
        let [site, limit, scale] = mask(dropout);
        let parts = context.buffer("parts of a token's sum", 2 * rows.div_ceil(CHUNK) * columns)?;
        let across = columns.div_ceil(COLUMNS);
        let kernel = context.kernel("scatter", include_str!("wgsl/scatter.wgsl"));
        let numbers = words![
            columns,
            chunks_at,
            d.at,
            d.rows,
            d.columns,
            table.at,
            table.rows,
            table.columns,
            site,
            limit,
            scale
        ];
        let down = chunks.min(super::kernel::GRID);
        let grid = [across, down, chunks.div_ceil(super::kernel::GRID)];
        calls.add(&kernel, &[&self.sorted, d.buffer, &parts, table.buffer], numbers, grid);
        if shared > 0 {
            let kernel = context.kernel("scatter parts", include_str!("wgsl/scatter_parts.wgsl"));
            let numbers = words![
                columns,
                firsts_at,
                chunks_at,
                table.at,
                table.rows,
                table.columns,
                site,
                limit,
                scale
            ];
            calls.add(&kernel, &[&self.sorted, &parts, table.buffer], numbers, [across, shared, 1]);
        }
        Ok(())
    }
}

/// Dropout of whole tokens, for a kernel: the kind of its masks, the limit below which a token is kept, and
/// the factor of those kept.
fn mask(p: f64) -> [u32; 3] {
    if p == 0.0 {
        return [0, u32::MAX, 1.0_f32.to_bits()];
    }
    let limit = ((1.0 - p) * f64::from(1 << 24)).ceil() as u32;
    [(Kind::EmbeddingDropout as u32) << 24, limit, ((1.0 / (1.0 - p)) as f32).to_bits()]
}

/// Where in [`Tokens::sorted`] is what. Tokens with more places than a chunk takes come first: their chunks
/// are added up afterwards; the one chunk of any other token goes into the gradient at once.
struct Places {
    rows: usize,
    /// Chunks, at most.
    chunks: usize,
    /// Tokens with several chunks, at most.
    shared: usize,
    chunks_at: usize,
    firsts_at: usize,
}

/// Before all others: how many chunks there are, how many of them belong to tokens with several, and how
/// many such tokens.
const COUNTS: usize = 3;

impl Places {
    fn new(rows: usize, vocabulary: usize) -> Self {
        let chunks = rows.min(vocabulary + rows / CHUNK);
        let shared = rows / (CHUNK + 1);
        let chunks_at = COUNTS + rows;
        Self { rows, chunks, shared, chunks_at, firsts_at: chunks_at + 3 * chunks }
    }

    fn len(&self) -> usize {
        self.firsts_at + 2 * self.shared
    }

    /// The counts; the places in the order of their tokens; of each chunk its token, the first of its places
    /// and the one behind its last; of each token with several chunks the first and the one behind the last.
    fn words(&self, tokens: &[i32]) -> Vec<u32> {
        let mut order: Vec<u32> =
            (0..self.rows as u32).filter(|&place| tokens[place as usize] >= 0).collect();
        order.sort_by_key(|&place| tokens[place as usize]);
        let mut words = vec![0; self.len()];
        let mut chunks = 0;
        let mut shared = 0;
        let mut last = [0; 2];
        for several in [true, false] {
            let mut from = COUNTS;
            for places in order.chunk_by(|&a, &b| tokens[a as usize] == tokens[b as usize]) {
                words[from..][..places.len()].copy_from_slice(places);
                let end = from + places.len();
                if (places.len() > CHUNK) == several {
                    let first = chunks;
                    for start in (from..end).step_by(CHUNK) {
                        let chunk =
                            [tokens[places[0] as usize] as u32, start as u32, end.min(start + CHUNK) as u32];
                        words[self.chunks_at + 3 * chunks..][..3].copy_from_slice(&chunk);
                        chunks += 1;
                    }
                    if several {
                        let range = [first as u32, chunks as u32];
                        words[self.firsts_at + 2 * shared..][..2].copy_from_slice(&range);
                        shared += 1;
                    }
                }
                from = end;
            }
            if several {
                last = [chunks, shared];
            }
        }
        words[..COUNTS].copy_from_slice(&[chunks as u32, last[0] as u32, last[1] as u32]);
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every place of a token is in one chunk of that token, and no chunk is too long.
    #[test]
    fn every_place_is_in_one_chunk() {
        for (rows, vocabulary) in [(0, 3), (1, 1), (7, 100), (255, 1), (257, 1), (5000, 3), (3000, 700)] {
            let token = |place: usize| (place * place / 3 % (vocabulary + 1)) as i32 - 1;
            let tokens: Vec<i32> = (0..rows).map(token).collect();
            let places = Places::new(rows, vocabulary);
            let words = places.words(&tokens);
            assert_eq!(words.len(), places.len());
            let [chunks, several, shared] = [0, 1, 2].map(|i| words[i] as usize);
            assert!(chunks <= places.chunks && shared <= places.shared, "{rows} {vocabulary}");
            assert!(several <= 2 * rows.div_ceil(CHUNK), "room for the parts");
            let mut seen = vec![0; rows];
            for chunk in 0..chunks {
                let [token, from, to] = [0, 1, 2].map(|i| words[places.chunks_at + 3 * chunk + i] as usize);
                assert!(to - from <= CHUNK);
                for &place in &words[from..to] {
                    assert_eq!(tokens[place as usize], token as i32);
                    seen[place as usize] += 1;
                }
            }
            assert!(seen.iter().zip(&tokens).all(|(&seen, &token)| seen == i32::from(token >= 0)));
            let firsts = &words[places.firsts_at..][..2 * shared];
            assert_eq!(firsts.last().copied().unwrap_or(0) as usize, several);
        }
    }
}
