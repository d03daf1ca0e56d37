"""Each step of a sequence from those before it: what a generator learns."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, losses, nn
from seqrs._check import Floats
from seqrs.models.examples import Examples, SequenceBatch
from seqrs.models.inputs import Reader, Sequence_, padded
from seqrs.models.labels import Classes
from seqrs.models.pooling import pooled
from seqrs.models.rolls import learn_symbols, listed, rolled
from seqrs.models.sequence_model import SequenceModel
from seqrs.models.sequence_options import Seeds
from seqrs.text.tokenizers import Tokenizer


class NextStep(SequenceModel):
    """A network that reads the steps so far, of a class perhaps, and predicts the next one.

    It reads what came before a step and predicts the step: at first the zero vector, or the class.
    """

    unit = "steps"
    output: str
    symbols: Iterable[Any] | None
    classes_: NDArray[Any] | None
    symbols_: list[Any] | None
    _classes: Classes | None

    # Data

    @property
    def _output(self) -> str:
        return str(self._followed("output"))

    def _learn_reader(self, X: Any, lengths: ArrayLike | None) -> tuple[Reader, list[Sequence_]]:
        self.symbols_ = None
        if self._output == "sigmoid":
            self.symbols_ = learn_symbols(X) if self.symbols is None else list(self.symbols)
        return super()._learn_reader(self._rolled("X", X), lengths)

    def _read(self, X: Any, lengths: ArrayLike | None = None, name: str = "X") -> list[Sequence_]:
        return super()._read(self._rolled(name, X), lengths, name)

    def _rolled(self, name: str, X: Any) -> Any:
        return X if self._output == "softmax" else rolled(name, X, self.symbols_, self._dtype)

    def _learn_targets(self, y: Any, inputs: list[Sequence_]) -> None:
        if inputs[0].ndim != (2 if self._output == "sigmoid" else 1):
            expected = "steps of 0 and 1" if self._output == "sigmoid" else "tokens"
            raise ValueError(f'X: expected {expected} with output="{self.output}"')
        self._classes = None if y is None else Classes.learn("y", y)
        self.classes_ = None if self._classes is None else self._classes.values

    def _weigh(self, examples: Examples) -> NDArray[np.float64]:
        self._frequencies = self._count_symbols(examples)
        return examples.weights

    def _count_symbols(self, examples: Examples) -> NDArray[np.float64]:
        """Return how often each symbol is in a step, never quite 0 or 1."""
        every = np.concatenate(examples.inputs)
        weights = np.repeat(examples.weights, examples.lengths)
        if self._output == "sigmoid":
            return cast(NDArray[np.float64], (weights @ every + 0.5) / (weights.sum() + 1))
        known = every >= 0
        tokens = np.bincount(every[known], weights[known], minlength=self.reader.size)
        counts = np.append(tokens, examples.weights.sum()) + 0.5  # the last is the end
        return cast(NDArray[np.float64], counts / counts.sum())

    def _read_targets(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:
        if self._classes is None:
            if y is not None:
                raise ValueError(f"{name}: expected None, because the model was fitted without classes")
            return [-1] * len(inputs)
        if y is None:
            raise ValueError(f"{name}: expected the class of each sequence, as in training, got None")
        return list(self._classes.encode(name, y))

    # The network

    @property
    def _standardizes(self) -> bool:
        return False

    @property
    def _kinds(self) -> int:
        return 0 if self._classes is None else len(self._classes)

    def _blocks(self, seeds: Seeds) -> list[nn.Layer[Any]]:
        # Beside the symbols the network reads classes, and beside them it predicts the end.
        symbols = self.reader.size
        return pooled(self, None, symbols + (self._output == "softmax"), seeds, reads=symbols + self._kinds)

    def _build(self, seed: int) -> None:
        super()._build(seed)
        # Before it has learned anything else, the network knows how frequent each symbol is.
        chances = self._frequencies
        logits = np.log(chances) if self._output == "softmax" else np.log(chances / (1 - chances))
        last = max(self.weights(), key=lambda name: int(name.split(".")[0])).split(".")[0]
        self.set_weights({f"{last}.bias": logits.astype(self._dtype)})

    def _shifted(self, row: Sequence_, kind: int) -> tuple[Sequence_, Sequence_]:
        """Return what the network reads at each step, and what it is to predict there."""
        if self._output == "softmax":
            first = [self.reader.size + kind if kind >= 0 else -1]
            return np.concatenate([first, row]).astype(np.int32), np.append(row, self.reader.size).astype(
                np.int32
            )
        x = np.zeros((len(row), row.shape[1] + self._kinds), row.dtype)
        x[1:, : row.shape[1]] = row[:-1]
        if kind >= 0:
            x[:, row.shape[1] + kind] = 1
        return x, row

    def _batch(self, examples: Examples, draw: np.random.Generator | None = None) -> SequenceBatch:
        rows = examples.inputs if draw is None else self._changed(examples.inputs, draw)
        pairs = [self._shifted(row, kind) for row, kind in zip(rows, examples.targets, strict=True)]
        inputs = [x for x, _ in pairs]  # noise is for what is read, not for what is to be written
        x, lengths = padded(inputs if draw is None else self._noisy(inputs, draw))
        counts = self._counts(Examples(rows, examples.targets, examples.weights))
        return SequenceBatch(x, lengths, [target for _, target in pairs], examples.weights, counts)

    def _counts(self, examples: Examples) -> NDArray[np.int64]:
        if self._output == "sigmoid":
            return examples.lengths
        # The end counts too, and a token without a logit does not.
        return np.array([1 + int((row >= 0).sum()) for row in examples.inputs], np.int64)

    def _loss(self, output: Floats, batch: SequenceBatch) -> tuple[float, Floats]:
        if self._output == "softmax":
            targets, _ = padded(batch.targets, -1, output.shape[1])
            return losses.softmax_cross_entropy(
                output, targets, lengths=batch.lengths, device=_check.beside(self.device)
            )
        targets, _ = padded(batch.targets, steps=output.shape[1])
        loss, gradient = losses.binary_cross_entropy(
            output, targets, lengths=batch.lengths, device=_check.beside(self.device)
        )
        width = output.shape[-1]  # a step's loss is the sum over its symbols
        return loss * width, cast(Floats, gradient * np.asarray(width, gradient.dtype))

    # Reading and writing

    def _read_examples(self, X: Any, y: Any, lengths: ArrayLike | None = None) -> Examples:
        self._check_fitted()
        return self._examples(X, y, lengths=lengths)

    def _reading(self, written: Sequence[Any], kind: int) -> Sequence_:
        """Return what the network reads of steps, up to where it predicts the one after them."""
        if self._output == "softmax":
            return self._shifted(np.array(written, np.int32), kind)[0]
        blank = np.zeros((1, self.reader.size), self._dtype)
        return self._shifted(np.concatenate([*(step[None] for step in written), blank]), kind)[0]

    def _as_given(self, written: list[Any]) -> Any:
        if self._output == "sigmoid":
            return listed(written, self.symbols_)
        if self.reader.vocabulary is None:
            return np.array(written, np.int64)
        tokens = self.reader.vocabulary.decode([number for number in written if number >= 0])
        return tokens if self.reader.tokenizer is None else self.reader.tokenizer.detokenize(tokens)

    # Files

    def _targets_to_json(self) -> dict[str, Any]:
        return {
            "classes": None if self._classes is None else self._classes.to_json(),
            "symbols": self.symbols_,
        }

    def _targets_from_json(self, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> None:  # noqa: ARG002
        self._classes = None if values["classes"] is None else Classes.from_json(values["classes"])
        self.classes_ = None if self._classes is None else self._classes.values
        self.symbols_ = values["symbols"]
        size = self.reader.size + (self._output == "softmax")
        self._frequencies = np.full(size, 0.5)  # the weights of the file come in their place

    @staticmethod
    def _options_to_json(options: dict[str, Any]) -> dict[str, Any]:
        symbols = options["symbols"]
        return options | {"symbols": None if symbols is None else list(symbols)}
