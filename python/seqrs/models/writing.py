"""How a model writes: token after token, each drawn from what it predicts."""

from collections.abc import Iterator, Sequence
from typing import Any, SupportsFloat, SupportsIndex, overload

import numpy as np

from seqrs import _check
from seqrs._native import Generator
from seqrs.models.text_model import TextModel
from seqrs.text.codec import Codec

# More texts than this at once are a mistake: each has a state and a text of its own in memory.
_TOGETHER = 1 << 20


class WritingModel(TextModel):
    """A model that writes."""

    @overload
    def sample(
        self,
        length: SupportsIndex = ...,
        prompt: str = ...,
        *,
        temperature: SupportsFloat = ...,
        top_k: SupportsIndex | None = ...,
        top_p: SupportsFloat | None = ...,
        allow_unk: bool = ...,
        stop_at_eos: bool | None = ...,
        seed: SupportsIndex | None = ...,
        num_samples: None = ...,
    ) -> str: ...
    @overload
    def sample(
        self,
        length: SupportsIndex = ...,
        prompt: str = ...,
        *,
        temperature: SupportsFloat = ...,
        top_k: SupportsIndex | None = ...,
        top_p: SupportsFloat | None = ...,
        allow_unk: bool = ...,
        stop_at_eos: bool | None = ...,
        seed: SupportsIndex | None = ...,
        num_samples: SupportsIndex,
    ) -> list[str]: ...
    def sample(
        self,
        length: SupportsIndex = 200,
        prompt: str = "",
        *,
        temperature: SupportsFloat = 0.8,
        top_k: SupportsIndex | None = None,
        top_p: SupportsFloat | None = None,
        allow_unk: bool = False,
        stop_at_eos: bool | None = None,
        seed: SupportsIndex | None = None,
        num_samples: SupportsIndex | None = None,
    ) -> str | list[str]:
        r"""Write a text, or several at once.

        Parameters
        ----------
        length : int, default 200
            The most tokens to draw.
        prompt : str, default ""
            The beginning of the document, which the model reads first. A character that training
            has not seen is read as the zero vector, with a warning; a word as ``"<UNK>"``.
        temperature : float, default 0.8
            Logits are divided by it: 1 draws from the model's own distribution, less is more
            certain, 0 is always the most likely token.
        top_k : int, optional
            Draw from the so many most likely tokens.
        top_p : float, optional
            Draw from the most likely tokens that together have this probability, in (0, 1].
        allow_unk : bool, default False
            Whether ``"<UNK>"`` may be drawn, in a vocabulary that has it.
        stop_at_eos : bool, optional
            Whether ``"<EOS>"`` ends the text. Default: if the model was trained on lines; a
            word model of a whole file goes on with the next line instead.
        seed : int, optional
            The same seed writes the same text. Default: a new one.
        num_samples : int, optional
            Write so many texts together, which takes less time than one after the other. Number i
            (from 0 on) is what ``seed + i`` writes alone, modulo 2**64.

        Returns
        -------
        str, or list of str where `num_samples` is given
            The text that follows the prompt.

        Raises
        ------
        ValueError, TypeError
            If an argument is out of its range; a negative or NaN `temperature` is.
        RuntimeError
            If the model is not fitted.

        Examples
        --------
        >>> import seqrs
        >>> names = ["anna", "emma", "bob", "otto"] * 20
        >>> model = seqrs.LanguageModel(hidden_size=32, num_layers=1, seed=0)
        >>> _ = model.fit(names, documents="line", validation=None, epochs=80, lr=0.02, progress=False)
        >>> model.sample(prompt="em", temperature=0)
        'ma'
        >>> names = model.sample(seed=1, num_samples=3)
        >>> names[2] == model.sample(seed=3)
        True
        """
        texts = self.draw_together(
            1 if num_samples is None else num_samples,
            length,
            prompt,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            allow_unk=allow_unk,
            stop_at_eos=stop_at_eos,
            seed=seed,
        )
        return texts[0][0] if num_samples is None else [text for text, _, _ in texts]

    def stream(
        self,
        length: SupportsIndex = 200,
        prompt: str = "",
        *,
        temperature: SupportsFloat = 0.8,
        top_k: SupportsIndex | None = None,
        top_p: SupportsFloat | None = None,
        allow_unk: bool = False,
        stop_at_eos: bool | None = None,
        seed: SupportsIndex | None = None,
    ) -> Iterator[str]:
        """Write a text, piece by piece as it is drawn.

        Parameters and errors are those of :meth:`sample`; errors are raised at once.

        Returns
        -------
        iterator of str
            Pieces of text, none empty. Together they are what :meth:`sample` returns.

        Examples
        --------
        >>> import seqrs
        >>> model = seqrs.LanguageModel("word", hidden_size=16, num_layers=1, seed=0)
        >>> _ = model.fit("to be or not to be " * 50, epochs=60, lr=0.02, seq_len=10, progress=False)
        >>> for piece in model.stream(3, prompt="to be", temperature=0):
        ...     print(repr(piece))
        ' or'
        ' not'
        ' to'
        """
        pieces = self.draw(
            length,
            prompt,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            allow_unk=allow_unk,
            stop_at_eos=stop_at_eos,
            seed=seed,
        )
        return (piece for piece, _, _ in pieces if piece)

    def draw(
        self, length: SupportsIndex = 200, prompt: str = "", **options: Any
    ) -> Iterator[tuple[str, list[str], list[float]]]:
        """Draw tokens one by one, with their text and their log-probabilities.

        Parameters and errors are those of :meth:`sample` without `num_samples`.

        Returns
        -------
        iterator of (str, list of str, list of float)
            The text that the token adds (it may be empty, while a character is not complete);
            the token, ``"<EOS>"`` included; and its log-probability in nats under the model's own
            distribution, before temperature and cuts. Last there may be text without a token.
        """
        begun = self._begin(1, prompt, **options)
        return self._pieces(begun, _check.integer("length", length, minimum=0))

    def draw_together(
        self, num_samples: SupportsIndex, length: SupportsIndex = 200, prompt: str = "", **options: Any
    ) -> list[tuple[str, list[str], list[float]]]:
        """Draw several texts at once, with their tokens and the log-probabilities of these.

        Parameters and errors are those of :meth:`sample`.

        Returns
        -------
        list of (str, list of str, list of float)
            As :meth:`draw` has it of each token, of each text in all.
        """
        count = _check.integer("num_samples", num_samples, minimum=1, maximum=_TOGETHER)
        begun = self._begin(count, prompt, **options)
        left = _check.integer("length", length, minimum=0)
        texts: list[tuple[list[str], list[str], list[float]]] = [([], [], []) for _ in begun.texts]
        # Some at a time, so that Ctrl-C is heard.
        while left > 0 and not begun.generator.done:
            now = min(left, 1000)
            for (pieces, tokens, values), (piece, new, log_probs) in zip(texts, begun.take(now), strict=True):
                pieces.append(piece)
                tokens += new
                values += log_probs
            left -= now
        return [
            ("".join(pieces) + text.finish(), tokens, values)
            for (pieces, tokens, values), text in zip(texts, begun.texts, strict=True)
        ]

    def _begin(
        self,
        count: int,
        prompt: str,
        *,
        temperature: SupportsFloat = 0.8,
        top_k: SupportsIndex | None = None,
        top_p: SupportsFloat | None = None,
        allow_unk: bool = False,
        stop_at_eos: bool | None = None,
        seed: SupportsIndex | None = None,
    ) -> "_Begun":
        codec = self._fitted()
        vocabulary = codec.vocabulary
        stop = codec.documents == "line" if stop_at_eos is None else _check.flag("stop_at_eos", stop_at_eos)
        if stop and vocabulary.eos is None:
            raise ValueError("stop_at_eos: expected a model with <EOS>, got one trained on a whole file")
        unk_refused = not _check.flag("allow_unk", allow_unk) and vocabulary.unk is not None
        read, numbers = codec.prompt(prompt)
        first = _check.seed(seed)
        generator = self.network.generator(
            prompt=numbers,
            state=None,
            temperature=_check.number("temperature", temperature, minimum=0.0),
            top_k=None if top_k is None else _check.integer("top_k", top_k, minimum=1),
            top_p=None if top_p is None else _share("top_p", top_p),
            banned=np.array([vocabulary.unk] if unk_refused else [], np.int32),
            stop=vocabulary.eos if stop else None,
            seeds=[(first + number) % 2**64 for number in range(count)],
        )
        return _Begun(codec, generator, read, count, stop)

    def _pieces(self, begun: "_Begun", left: int) -> Iterator[tuple[str, list[str], list[float]]]:
        while left > 0 and not begun.generator.done:
            yield from begun.take(1)
            left -= 1
        rest = begun.texts[0].finish()
        if rest:
            yield rest, [], []

    def excerpt(self, length: int, seed: int) -> str:
        """Return a short sample to look at: a few of them where the model writes lines."""
        if self.documents == "line":
            return "\n".join(self.sample(length, seed=seed + number) for number in range(5))
        return self.sample(length, seed=seed)


class _Begun:
    """Texts being drawn."""

    def __init__(
        self, codec: Codec, generator: Generator, read: Sequence[str], count: int, stop: bool
    ) -> None:
        self.generator = generator
        self.texts = [codec.detokenizer(read) for _ in range(count)]
        self._vocabulary = codec.vocabulary
        self._stop = stop

    def take(self, n: int) -> Iterator[tuple[str, list[str], list[float]]]:
        """Draw up to n more tokens of each text."""
        for text, (numbers, log_probs) in zip(self.texts, self.generator.take(n), strict=True):
            tokens = self._vocabulary.decode(numbers)
            ended = self._stop and numbers[-1:] == [self._vocabulary.eos]
            yield text.feed(tokens[:-1] if ended else tokens), tokens, log_probs


def _share(name: str, value: SupportsFloat) -> float:
    share = _check.number(name, value, above=0.0)
    if share > 1.0:
        raise ValueError(f"{name}: expected a number above 0 and at most 1, got {share}")
    return share
