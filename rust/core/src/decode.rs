//! Drawing text token by token (Ng, Sequence Models, week 1: sampling novel sequences).
//!
//! The model reads x⟨1⟩ = 0 (token −1) from the state a⟨0⟩ = 0, a token is drawn from its
//! distribution and read next, until a stop token or for as long as one likes.

use crate::backend::{Decoder, Drawing, Drawn};
use crate::device::{Element, enter, num_threads};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::rng::{Kind, Stream};
use crate::sampling::{Draw, Sampler};
use std::cmp::Reverse;

/// Texts that are read together, at most: a weight read once serves them all.
const TOGETHER: usize = 8;

/// Where a text starts.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a, T> {
    /// Tokens read first; `[-1]` is the zero vector alone.
    pub prompt: &'a [i32],
    /// The state before them; the program's own where absent.
    pub state: Option<&'a [T]>,
    /// Drawing this token ends the text.
    pub stop: Option<i32>,
    /// The draws are a function of this number.
    pub seed: u64,
}

/// One text being drawn, or several together: the recurrent states, the last tokens and the random
/// streams.
///
/// What is drawn for a text depends neither on the others nor on the number of threads.
///
/// # Examples
/// ```
/// use seqrs::prelude::*;
/// let layers = Recurrent::new(Cell::parse("gru", "after")?, 8, 1);
/// let model = LanguageModel { vocab_size: 5, embedding_size: None, layers };
/// let network: Network<f32> = Network::new(model.program()?, Device::open("cpu")?, 0)?;
/// let sampler = Sampler::new(5, 1.0, None, None, &[])?;
/// let starts = [1, 2, 3].map(|seed| Start { prompt: &[-1], state: None, stop: None, seed });
/// let mut texts = Generator::together(&network, &starts, &sampler)?;
/// texts.take(&network, 10)?;
/// let mut alone = Generator::new(&network, starts[2], sampler)?;
/// assert_eq!(alone.draw(&network)?, texts.drawn(2)[0]);
/// # Ok::<(), seqrs::Error>(())
/// ```
pub struct Generator<T> {
    groups: Vec<Group<T>>,
    /// Of each text: its group and its number there.
    places: Vec<[usize; 2]>,
}

impl<T: Element> Generator<T> {
    /// Reads the prompt of one text.
    ///
    /// # Errors
    /// For an empty prompt, a token outside the vocabulary, or a state of the wrong size.
    pub fn new(network: &Network<T>, start: Start<'_, T>, sampler: Sampler) -> Result<Self> {
        Self::together(network, &[start], &sampler)
    }

    /// Reads the prompts of several texts.
    ///
    /// # Errors
    /// As [`Generator::new`].
    pub fn together(network: &Network<T>, starts: &[Start<'_, T>], sampler: &Sampler) -> Result<Self> {
        starts.iter().try_for_each(|start| check(network, start))?;
        // Longest prompt first: those still being read are the first rows.
        let mut order: Vec<usize> = (0..starts.len()).collect();
        order.sort_by_key(|&text| Reverse(starts[text].prompt.len()));
        let (mut groups, mut places) = (Vec::new(), vec![[0; 2]; starts.len()]);
        let size = match network.backend().decoder_rows() {
            Some(rows) => rows,
            None => starts.len().div_ceil(num_threads()?).clamp(1, TOGETHER),
        };
        for members in order.chunks(size) {
            members.iter().enumerate().for_each(|(i, &text)| places[text] = [groups.len(), i]);
            let starts: Vec<_> = members.iter().map(|&text| starts[text]).collect();
            groups.push(Group::new(network, &starts, sampler.clone())?);
        }
        let mut generator = Self { groups, places };
        let tokens: usize = starts.iter().map(|start| start.prompt.len()).sum();
        generator.each(network, tokens, |group| group.read(network))?;
        Ok(generator)
    }

    /// Draws one more token of the first text.
    ///
    /// # Errors
    /// If the model's logits are not finite; nothing has been drawn then.
    pub fn draw(&mut self, network: &Network<T>) -> Result<Draw> {
        self.take(network, 1)?;
        let ended = || Error::value("draw", "a text that goes on", "one that has drawn its stop token");
        self.drawn(0).first().copied().ok_or_else(ended)
    }

    /// Draws `n` more tokens of every text, or fewer where it ends.
    ///
    /// # Errors
    /// If the model's logits are not finite.
    pub fn take(&mut self, network: &Network<T>, n: usize) -> Result<()> {
        self.each(network, n * self.places.len(), |group| group.take(network, n))
    }

    /// How many texts there are.
    pub fn texts(&self) -> usize {
        self.places.len()
    }

    /// What the last [`Generator::take`] drew of a text.
    pub fn drawn(&self, text: usize) -> &[Draw] {
        &self.text(text).drawn
    }

    /// Whether the stop token of every text was drawn.
    pub fn done(&self) -> bool {
        (0..self.places.len()).all(|text| self.ended(text))
    }

    /// Whether the stop token of one text was drawn.
    pub fn ended(&self, text: usize) -> bool {
        self.text(text).ended.is_some()
    }

    /// A text's state after all tokens read so far; the last drawn one is not among them.
    ///
    /// # Errors
    /// If it is on a device that has been lost.
    pub fn state(&self, text: usize) -> Result<Vec<T>> {
        let [group, number] = self.places[text];
        self.groups[group].state(number)
    }

    fn text(&self, text: usize) -> &Text<T> {
        let [group, number] = self.places[text];
        &self.groups[group].texts[number]
    }

    /// Does something with all groups, in all of which `tokens` tokens are read.
    fn each(
        &mut self,
        network: &Network<T>,
        tokens: usize,
        f: impl Fn(&mut Group<T>) -> Result<()> + Send + Sync,
    ) -> Result<()> {
        let groups = &mut self.groups;
        let operations = network.backend().shared_operations(groups.len()) / groups.len().max(1) as f64;
        enter(operations * tokens as f64, |crew| crew.each(groups, |_, group| group.outcome = f(group)))?;
        self.groups.iter_mut().try_for_each(|group| std::mem::replace(&mut group.outcome, Ok(())))
    }
}

/// Some texts, of which those that go on have the decoder's first rows.
struct Group<T> {
    decoder: Box<dyn Decoder<T>>,
    sampler: Sampler,
    texts: Vec<Text<T>>,
    /// The text in each row, and what it reads next.
    rows: Vec<usize>,
    tokens: Vec<i32>,
    state: Vec<T>,
    outcome: Result<()>,
}

struct Text<T> {
    /// To be read before anything is drawn, without its last token.
    prompt: Vec<i32>,
    stop: Option<i32>,
    stream: Stream,
    /// Tokens drawn in all.
    count: u64,
    drawn: Vec<Draw>,
    /// The state of a text that has ended.
    ended: Option<Vec<T>>,
}

impl<T: Element> Group<T> {
    fn new(network: &Network<T>, starts: &[Start<'_, T>], sampler: Sampler) -> Result<Self> {
        let mut decoder = network.decoder(starts.len())?;
        let (mut texts, mut tokens) = (Vec::new(), Vec::new());
        for (row, start) in starts.iter().enumerate() {
            if let Some(state) = start.state {
                decoder.load(row, state);
            }
            let (last, before) =
                start.prompt.split_last().map_or((-1, &[][..]), |(&last, rest)| (last, rest));
            tokens.push(last);
            texts.push(Text {
                prompt: before.to_vec(),
                stop: start.stop,
                stream: Stream::new(start.seed, Kind::Sample, 0, 0),
                count: 0,
                drawn: Vec::new(),
                ended: None,
            });
        }
        let state = vec![T::ZERO; network.program().state_width()];
        Ok(Self {
            decoder,
            sampler,
            texts,
            rows: (0..starts.len()).collect(),
            tokens,
            state,
            outcome: Ok(()),
        })
    }

    /// Reads the prompts but for their last tokens. The longest come first.
    fn read(&mut self, network: &Network<T>) -> Result<()> {
        let last = self.tokens.clone();
        for t in 0.. {
            self.tokens.clear();
            self.tokens.extend(self.texts.iter().map_while(|text| text.prompt.get(t)));
            if self.tokens.is_empty() {
                break;
            }
            self.decoder.step(network.backend(), &self.tokens)?;
        }
        self.tokens = last;
        Ok(())
    }

    fn take(&mut self, network: &Network<T>, n: usize) -> Result<()> {
        self.texts.iter_mut().for_each(|text| text.drawn.clear());
        if self.decoder.draws() {
            return self.take_on_device(network, n);
        }
        for _ in 0..n {
            if self.rows.is_empty() {
                break;
            }
            self.decoder.step(network.backend(), &self.tokens)?;
            // From the last row on, so that one that ends gives its place to one that has been here.
            for row in (0..self.rows.len()).rev() {
                let text = &mut self.texts[self.rows[row]];
                let draw = self.sampler.draw(self.decoder.logits(row), text.stream.uniform(text.count))?;
                text.count += 1;
                text.drawn.push(draw);
                self.tokens[row] = draw.token;
                if text.stop == Some(draw.token) {
                    self.end(row)?;
                }
            }
        }
        Ok(())
    }

    /// The same by the decoder itself.
    fn take_on_device(&mut self, network: &Network<T>, n: usize) -> Result<()> {
        let of = |&text: &usize| {
            let Text { stream, count, stop, .. } = self.texts[text];
            Drawn { stream, count, stop }
        };
        let texts: Vec<_> = self.rows.iter().map(of).collect();
        let drawing = Drawing { cuts: &self.sampler.cuts, tokens: &self.tokens, texts: &texts, n };
        let drawn = self.decoder.draw(network.backend(), &drawing)?;
        for (row, draws) in drawn.into_iter().enumerate().rev() {
            let text = &mut self.texts[self.rows[row]];
            text.count += draws.len() as u64;
            text.drawn.extend(&draws);
            let Some(last) = draws.last() else { continue };
            self.tokens[row] = last.token;
            if text.stop == Some(last.token) {
                self.end(row)?;
            }
        }
        Ok(())
    }

    /// Keeps the state of the text in a row, which the last one then takes.
    fn end(&mut self, row: usize) -> Result<()> {
        self.decoder.save(row, &mut self.state)?;
        self.texts[self.rows[row]].ended = Some(self.state.clone());
        self.rows.swap_remove(row);
        self.tokens.swap_remove(row);
        if row < self.rows.len() {
            self.decoder.save(self.rows.len(), &mut self.state)?;
            self.decoder.load(row, &self.state);
        }
        Ok(())
    }

    fn state(&self, text: usize) -> Result<Vec<T>> {
        let row = self.rows.iter().position(|&of| of == text);
        let mut state = self.state.clone();
        match (row, &self.texts[text].ended) {
            (Some(row), _) => self.decoder.save(row, &mut state)?,
            (None, Some(ended)) => state.copy_from_slice(ended),
            (None, None) => unreachable!("a text without a row has ended"),
        }
        Ok(state)
    }
}

fn check<T: Element>(network: &Network<T>, start: &Start<'_, T>) -> Result<()> {
    let program = network.program();
    if start.prompt.is_empty() {
        return Err(Error::value("prompt", "at least one token", "none"));
    }
    if !program.has_loss() {
        return Err(Error::Unsupported("drawing text from a network without a vocabulary".to_owned()));
    }
    if !program.is_causal() {
        return Err(Error::Unsupported("drawing text from a network that reads it backwards".to_owned()));
    }
    let vocabulary = program.slots[program.output].width();
    if let Some(token) = start.prompt.iter().find(|&&t| t < -1 || i64::from(t) >= vocabulary as i64) {
        return Err(Error::value("prompt", format!("tokens from -1 to below {vocabulary}"), token));
    }
    match start.state {
        Some(state) if state.len() != program.state_width() => {
            let expected = format!("of {} numbers for each of 1 rows", program.state_width());
            Err(Error::shape("state", expected, &[state.len()]))
        }
        _ => Ok(()),
    }
}
