"""A network and the tokens it knows: its weights, and what it finds of a text."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check
from seqrs._check import Floats
from seqrs._machine import say_why
from seqrs._native import Network
from seqrs.models.scoring import score
from seqrs.text.codec import Codec
from seqrs.text.corpora import Corpus, Text
from seqrs.text.vocabulary import Vocabulary


class TextModel:
    """What every model of texts has: a network, and a codec between it and the texts."""

    network: Network
    dtype: str
    _network_options: dict[str, Any]  # what Network.language_model made the network of
    _codec: Codec | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens the model knows."""
        return self._fitted().vocabulary

    @property
    def documents(self) -> str:
        """What it was trained on: ``"file"`` or ``"line"``."""
        return self._fitted().documents

    def state_dict(self) -> dict[str, Floats]:
        """Return a copy of every weight by PyTorch's name.

        Returns
        -------
        dict of str to ndarray
            The recurrent layers' names are those of :class:`seqrs.nn.LSTM` and its siblings.

        Raises
        ------
        RuntimeError
            If the model is not fitted.
        """
        self._fitted()
        return weights_of(self.network)

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every weight.

        Parameters
        ----------
        state_dict : mapping of str to array
            An array for each name of :meth:`state_dict`, of its shape; floats of another dtype
            are converted.

        Raises
        ------
        ValueError
            If names are missing or unknown, or shapes differ. No weight has changed then.
        TypeError
            If an array does not hold floats.
        RuntimeError
            If the model is not fitted.
        """
        self._fitted()
        expected = [(name, shape) for name, shape, *_ in self.network.parameters()]
        self.network.set(_check.parameters(expected, state_dict, self.network.dtype, owner=self))

    def log_probs(self, text: str) -> tuple[list[str], NDArray[np.float64]]:
        """Return a document's tokens and the log-probability of each, given those before it.

        Parameters
        ----------
        text : str
            One document: of any length, from its beginning. Where documents end in ``"<EOS>"``
            (lines, and words) the end is the last token.

        Returns
        -------
        tokens : list of str
        log_probs : ndarray of float64, one for each token
            In nats. A token that the model has no number for (a character that training has not
            seen) has probability 0: its value is -inf, and those after it read the zero vector
            in its place.

        Raises
        ------
        RuntimeError
            If the model is not fitted.

        Examples
        --------
        >>> import seqrs
        >>> model = seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0)
        >>> _ = model.fit("abc" * 100, epochs=0, progress=False)
        >>> tokens, values = model.log_probs("cab")
        >>> tokens, values.shape
        (['c', 'a', 'b'], (3,))
        """
        codec = self._fitted()
        tokens = codec.tokens(text)
        numbers = codec.vocabulary.encode(tokens)
        values = score(self.network, numbers)
        values[numbers < 0] = -math.inf
        return tokens, values

    def log_prob(self, text: str) -> float:
        """Return the log-probability of a document, in nats.

        Parameters
        ----------
        text : str
            One document, as for :meth:`log_probs`: the text itself, never a file's name.

        Returns
        -------
        float
            The sum of :meth:`log_probs`; -inf if the text holds a character that training has
            not seen, since the model gives that probability 0.

        Raises
        ------
        RuntimeError
            If the model is not fitted.

        Examples
        --------
        >>> import math, seqrs
        >>> model = seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0)
        >>> _ = model.fit(["a", "b"] * 50, documents="line", epochs=100, lr=0.02, progress=False)
        >>> print(f"{math.exp(model.log_prob('a')):.1f}")
        0.5
        """
        return float(self.log_probs(text)[1].sum())

    def perplexity(self, text: Text) -> float:
        """Return the perplexity of a text: exp of the mean loss a token, between 1 and infinity.

        Parameters
        ----------
        text : str, path, or iterable of them
            As for :meth:`fit`, and cut into documents in the same way.

        Returns
        -------
        float
            Over all tokens, ``"<EOS>"`` included. Infinite if the text holds a character that
            training has not seen.

        Raises
        ------
        ValueError, OSError
            If there is no text, or it cannot be read.
        RuntimeError
            If the model is not fitted.

        Examples
        --------
        An untrained model finds every token about equally likely:

        >>> import seqrs
        >>> model = seqrs.LanguageModel(hidden_size=8, num_layers=1, seed=0)
        >>> _ = model.fit("abcd" * 50, epochs=0, progress=False)
        >>> print(f"{model.perplexity('dcba' * 20):.0f}")
        4
        """
        corpus = Corpus.read(text, self.documents)
        values = np.concatenate([self.log_probs(document)[1] for document in corpus.documents])
        return float(np.exp(-values.mean()))

    def _fitted(self) -> Codec:
        if self._codec is None:
            raise RuntimeError("this model knows no text yet: call fit, or read one with seqrs.load")
        return self._codec

    # A pickle, or a deep copy, holds the weights and what the network is made of; it is built again.

    def __getstate__(self) -> dict[str, Any]:
        if "network" not in vars(self):
            return vars(self)
        return {**vars(self), "network": weights_of(self.network)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "network" in state:
            self.network = self._rebuilt()
            self.network.set(state["network"])

    def _rebuilt(self) -> Network:
        """Return a network like the model's, with weights of its own."""
        network = Network.language_model(**self._network_options)
        say_why(network)
        return network


def weights_of(network: Network) -> dict[str, Floats]:
    """Return a copy of every weight by its name."""
    return {name: network.get(name) for name, *_ in network.parameters()}
