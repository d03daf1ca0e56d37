"""How a model writes: token after token, each drawn from what it predicts."""

from collections.abc import Iterator, Sequence
from typing import SupportsFloat, SupportsIndex

import numpy as np

from seqrs import _check
from seqrs._native import Generator
from seqrs.models.text_model import TextModel
from seqrs.text.codec import Codec


class WritingModel(TextModel):
    """A model that writes."""

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
    ) -> str:
        r"""Write a text.

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

        Returns
        -------
        str
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
            at_once=1000,
        )
        return "".join(piece for piece, _, _ in pieces)

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
        at_once: SupportsIndex = 1,
    ) -> Iterator[tuple[str, list[str], list[float]]]:
        """Draw tokens, with their text and their log-probabilities.

        Parameters and errors are those of :meth:`sample`, and:

        Parameters
        ----------
        at_once : int, default 1
            Tokens to draw before anything is returned.

        Returns
        -------
        iterator of (str, list of str, list of float)
            The text that the tokens add (it may be empty, while a character is not complete);
            the tokens, ``"<EOS>"`` included; and their log-probabilities in nats under the
            model's own distribution, before temperature and cuts.
        """
        codec = self._fitted()
        vocabulary = codec.vocabulary
        stop = codec.documents == "line" if stop_at_eos is None else _check.flag("stop_at_eos", stop_at_eos)
        if stop and vocabulary.eos is None:
            raise ValueError("stop_at_eos: expected a model with <EOS>, got one trained on a whole file")
        unk_refused = not _check.flag("allow_unk", allow_unk) and vocabulary.unk is not None
        read, numbers = codec.prompt(prompt)
        generator = self.network.generator(
            prompt=numbers,
            state=None,
            temperature=_check.number("temperature", temperature, minimum=0.0),
            top_k=None if top_k is None else _check.integer("top_k", top_k, minimum=1),
            top_p=None if top_p is None else _share("top_p", top_p),
            banned=np.array([vocabulary.unk] if unk_refused else [], np.int32),
            stop=vocabulary.eos if stop else None,
            seed=_check.seed(seed),
        )
        left = _check.integer("length", length, minimum=0)
        return self._pieces(codec, generator, read, left, _check.integer("at_once", at_once, minimum=1), stop)

    def _pieces(
        self,
        codec: Codec,
        generator: Generator,
        read: Sequence[str],
        left: int,
        at_once: int,
        stop: bool,
    ) -> Iterator[tuple[str, list[str], list[float]]]:
        text = codec.detokenizer(read)
        while left > 0 and not generator.done:
            numbers, log_probs = generator.take(min(at_once, left))
            left -= len(numbers)
            tokens = codec.vocabulary.decode(numbers)
            ended = stop and generator.done
            yield text.feed(tokens[:-1] if ended else tokens), tokens, log_probs
        rest = text.finish()
        if rest:
            yield rest, [], []

    def excerpt(self, length: int, seed: int) -> str:
        """Return a short sample to look at: a few of them where the model writes lines."""
        if self.documents == "line":
            return "\n".join(self.sample(length, seed=seed + number) for number in range(5))
        return self.sample(length, seed=seed)


def _share(name: str, value: SupportsFloat) -> float:
    share = _check.number(name, value, above=0.0)
    if share > 1.0:
        raise ValueError(f"{name}: expected a number above 0 and at most 1, got {share}")
    return share
