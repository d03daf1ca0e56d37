"""Beam search: the best translations that can be found by keeping the most likely beginnings."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from seqrs import nn
from seqrs._check import Floats
from seqrs.models.encoder_decoder import EncoderDecoder, Memory

Tokens = NDArray[np.int32]
# Logits of which only the largest is looked at first.
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One translation.

    Attributes
    ----------
    tokens : ndarray of int32, shape (T,)
        Without its end.
    log_prob : float
        Of the tokens and the end, in nats.
    score : float
        What hypotheses are compared by: see :class:`Search`.
    attention : ndarray of shape (T, S)
        How much each token looked at each step of the source.
    finished : bool
        Whether the end came before the longest length was reached.
    """

    tokens: Tokens
    log_prob: float
    score: float
    attention: Floats
    finished: bool


@dataclass(frozen=True)
class Search:
    r"""How to search.

    A hypothesis y of T tokens, its end among them, has the score (Wu et al. 2016) ::

        log P(y | x) / ((5 + T) / 6)^length_penalty + coverage_penalty * sum_s log(min(sum_t a_ts, 1))

    with a_ts how much step t looked at step s of the source.

    Attributes
    ----------
    beam : int
        Beginnings kept for each source; 1 is greedy.
    length_penalty, coverage_penalty : float
        0 for none.
    longest : float
        Tokens at most, as a multiple of the source's length; ten more are always allowed.
    """

    beam: int
    length_penalty: float = 0.0
    coverage_penalty: float = 0.0
    longest: float = 2.0

    def run(self, model: EncoderDecoder, memory: Memory, end: int) -> list[list[Hypothesis]]:
        """Return the hypotheses for every source, best first; the beams of all sources take a step together."""
        width, count = self.beam, len(memory.lengths)
        done: list[list[_Ended]] = [[] for _ in range(count)]
        beams = _Beams.start(width, memory)
        rows = memory.take(np.repeat(beams.sources, width))
        state = rows.state
        while len(beams.sources):
            logits, state, shares = model.write(beams.last(), state, rows)
            found = beams.longer(logits[:, 0], shares[:, 0], 2 * width)
            going = [
                self._sort_out(found, place, end, done[source], int(memory.lengths[source]))
                for place, source in enumerate(found.sources)
            ]
            places = [place for place, ranks in enumerate(going) if ranks]
            beams, parents = found.keep(places, [going[place] for place in places], width)
            state = nn.states.take(state, parents)
            if len(beams.sources) < len(found.sources):
                rows = memory.take(np.repeat(beams.sources, width))
        steps = memory.lengths.tolist()
        return [[one.hypothesis(steps[source]) for one in found] for source, found in enumerate(done)]

    def _sort_out(self, beams: "_Beams", place: int, end: int, done: list["_Ended"], steps: int) -> list[int]:
        """Add what ends here to the best that are `done`; return the beams that go on, none where the search is over."""
        ends, possible = beams.tokens[place] == end, np.isfinite(beams.log_probs[place])
        for rank in np.flatnonzero(ends[: self.beam] & possible[: self.beam]):
            done.append(self._ended(beams, (place, int(rank)), steps, finished=True))
        done.sort(key=lambda one: -one.score)
        del done[self.beam :]
        going: list[int] = np.flatnonzero(~ends & possible)[: self.beam].tolist()
        longest = int(self.longest * steps) + 10
        if not going or len(done) >= self.beam == 1:
            return []
        if len(done) >= self.beam:
            # The best that could still become of a beginning: no token more costs anything.
            most = self._normalised(beams.log_probs[place, going[0]], longest + 1)
            if most <= done[-1].score:
                return []
        if beams.length <= longest:
            return going
        if not done:
            done += [self._ended(beams, (place, rank), steps, finished=False) for rank in going]
            done.sort(key=lambda one: -one.score)
        return []

    def _normalised(self, log_prob: float, length: int) -> float:
        return float(log_prob / ((5 + length) / 6) ** self.length_penalty)

    def _ended(self, beams: "_Beams", at: tuple[int, int], steps: int, *, finished: bool) -> "_Ended":
        log_prob = float(beams.log_probs[at])
        score = self._normalised(log_prob, beams.length)
        if self.coverage_penalty:
            # A step that was never looked at is as good as one looked at a millionth.
            covered = np.clip(beams.covered[at][:steps], 1e-6, 1.0)
            score += self.coverage_penalty * float(np.log(covered).sum())
        return _Ended(score, log_prob, finished, beams, at)


@dataclass(frozen=True, eq=False)
class _Ended:
    """A hypothesis, and where it is written: its tokens are gone after only once the search is over."""

    score: float
    log_prob: float
    finished: bool
    beams: "_Beams"
    at: tuple[int, int]

    def hypothesis(self, steps: int) -> Hypothesis:
        """Return it, of a source of so many steps."""
        tokens, attention = self.beams.written(self.at)
        written = len(tokens) - self.finished
        return Hypothesis(
            tokens[:written], self.log_prob, self.score, attention[:written, :steps], self.finished
        )


@dataclass(frozen=True, eq=False)
class _Beams:
    """Beginnings of the same length, n sources by W beams; one whose probability is 0 is none.

    Attributes
    ----------
    sources : (n,)
        In rising order.
    tokens : (n, W)
        The last of each; -1 where there is none yet.
    log_probs : (n, W)
    shares, covered : (n, W, S)
        Where the last token looked, and all together.
    parents : (n, W)
        Of which beam of the step before each goes on.
    trail : list of _Beams
        Of every step before.
    """

    sources: NDArray[np.int64]
    tokens: Tokens
    log_probs: NDArray[np.float64]
    shares: Floats
    covered: Floats
    parents: NDArray[np.int64]
    trail: list["_Beams"]

    @classmethod
    def start(cls, width: int, memory: Memory) -> "_Beams":
        count = len(memory.lengths)
        log_probs = np.full((count, width), -np.inf)
        log_probs[:, 0] = 0.0  # all beams are the same beginning, so there is one
        none = np.zeros((count, width, 1), np.float32)  # of any number of steps, and in any precision
        return cls(
            np.arange(count),
            np.full((count, width), -1, np.int32),
            log_probs,
            cast(Floats, none),
            cast(Floats, none),
            np.zeros((count, width), np.int64),
            [],
        )

    @property
    def length(self) -> int:
        """The number of tokens."""
        return len(self.trail)

    def last(self) -> Tokens:
        """Return what the decoder reads next, (n W, 1)."""
        return np.ascontiguousarray(self.tokens.reshape(-1, 1))

    def written(self, at: tuple[int, int]) -> tuple[Tokens, Floats]:
        """Return the tokens of a beam, (t,), and where each looked, (t, S)."""
        source, beam, beams = self.sources[at[0]], at[1], self
        tokens, shares = [], []
        for earlier in reversed(self.trail):
            place = np.searchsorted(beams.sources, source)
            tokens.append(beams.tokens[place, beam])
            shares.append(beams.shares[place, beam])
            beam, beams = beams.parents[place, beam], earlier
        return np.array(tokens[::-1], np.int32), cast(Floats, np.stack(shares[::-1]))

    def longer(self, logits: Floats, shares: Floats, most: int) -> "_Beams":
        """Return the `most` likeliest beginnings of each source that are a token longer, best first."""
        count, width = self.log_probs.shape
        tokens, log_probs = _likeliest(logits, most)
        # A source's best are among the best of its beams.
        every = (self.log_probs[:, :, None] + log_probs.reshape(count, width, -1)).reshape(count, -1)
        each = tokens.shape[1]
        rows = np.arange(count)[:, None]
        best = np.argsort(-every, axis=1, kind="stable")[:, :most]
        parents = best // each
        shares = cast(Floats, shares.reshape(count, width, -1)[rows, parents])
        return _Beams(
            self.sources,
            tokens.reshape(count, -1)[rows, best],
            every[rows, best],
            shares,
            cast(Floats, self.covered[rows, parents] + shares),
            parents,
            [*self.trail, self],
        )

    def keep(
        self, places: list[int], ranks: list[list[int]], width: int
    ) -> tuple["_Beams", NDArray[np.int64]]:
        """Return some sources' chosen beams, and of each the row of the step before."""
        chosen = np.array([(beams * width)[:width] for beams in ranks], np.int64).reshape(-1, width)
        left = np.array(places, np.int64)
        rows = left[:, None]
        log_probs = self.log_probs[rows, chosen]
        for row, beams in zip(log_probs, ranks, strict=True):
            row[len(beams) :] = -np.inf  # repeated to fill up
        parents = self.parents[rows, chosen]
        kept = _Beams(
            self.sources[left],
            self.tokens[rows, chosen],
            log_probs,
            self.shares[rows, chosen],
            self.covered[rows, chosen],
            parents,
            self.trail,
        )
        return kept, (rows * width + parents).ravel()


def _likeliest(logits: Floats, most: int) -> tuple[Tokens, NDArray[np.float64]]:
    """Return the `most` likeliest tokens of each row of logits, best first, and their log-probabilities."""
    count, vocabulary = logits.shape
    most = min(most, vocabulary)
    # Only blocks whose largest number is among the largest can hold one of the likeliest.
    blocks = -(-vocabulary // _BLOCK)
    wide = np.full((count, blocks * _BLOCK), -np.inf, logits.dtype)
    wide[:, :vocabulary] = logits
    wide = wide.reshape(count, blocks, _BLOCK)
    tops = wide.max(-1)
    rows = np.arange(count)[:, None]
    chosen = np.sort(_largest(tops, min(most, blocks)), axis=1)
    places = _largest(wide[rows, chosen].reshape(count, -1), most)
    tokens = chosen[rows, places // _BLOCK] * _BLOCK + places % _BLOCK
    top = tops.max(-1, keepdims=True)
    sums = np.exp(logits - top).sum(-1, keepdims=True, dtype=np.float64)
    found = logits[rows, tokens].astype(np.float64) - top - np.log(sums)
    # Of equals the first, whichever block it is in.
    order = np.lexsort((tokens, -found), axis=1)
    return tokens[rows, order].astype(np.int32), found[rows, order]


def _largest(numbers: Floats, most: int) -> NDArray[np.int64]:
    """Return the places of the `most` largest numbers of each row, in any order."""
    if most == numbers.shape[1]:
        return np.broadcast_to(np.arange(most), numbers.shape)
    return np.argpartition(-numbers, most - 1, axis=1)[:, :most]
