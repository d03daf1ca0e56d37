"""A tag for each step of a sequence, chosen alone or as one of a chain: what a tagger learns."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seqrs import _check, _native, losses, nn
from seqrs._check import Floats
from seqrs.models.examples import Examples, SequenceBatch
from seqrs.models.inputs import Reader, Sequence_, kind_of, padded, sequences, without_padding
from seqrs.models.labels import Classes, class_weight_from_json, class_weight_to_json, class_weights, listed
from seqrs.models.pooling import pooled
from seqrs.models.sequence_model import SequenceModel
from seqrs.models.sequence_options import Seeds
from seqrs.models.tagging_network import Spelling, TaggingNetwork
from seqrs.models.tags import Chain, Tags
from seqrs.models.words import WordReader, lowered, words_of
from seqrs.text.tokenizers import Tokenizer


class StepTag(SequenceModel):
    """A network that reads a sequence, of words by their spelling too, and predicts a tag for each step."""

    unit = "steps"
    network: Any  # a TaggingNetwork
    output: str
    constraints: str | None
    char_hidden_size: int | None
    char_embedding_size: int
    lowercase: bool
    class_weight: str | Mapping[Any, float] | None
    classes_: NDArray[Any]
    _tags: Tags
    _tag_weights: NDArray[np.float64]

    # Words

    def _learn_reader(self, X: Any, lengths: ArrayLike | None) -> tuple[Reader, list[Sequence_]]:
        rows = sequences("X", X, lengths)
        of_words = kind_of("X", rows) in ("text", "words")
        if self.char_hidden_size is not None and not of_words:
            raise ValueError("char_hidden_size: expected None, because X is not made of words")
        if not of_words or not (self.lowercase or self.char_hidden_size):
            return super()._learn_reader(X, lengths)
        reader, _ = super()._learn_reader(X, lengths)
        words = words_of(reader, rows)
        if self.lowercase:
            reader = replace(reader, vocabulary=super()._learn_reader(lowered(words), None)[0].vocabulary)
        spelled = WordReader.of(reader, words if self.char_hidden_size else None, lowercase=self.lowercase)
        return spelled, spelled.read(X, lengths)

    def _augmented(self, inputs: list[Sequence_], draw: np.random.Generator) -> list[Sequence_]:
        if not self._spells:
            return super()._augmented(inputs, draw)
        inputs = [row.copy() for row in inputs]
        for row in inputs:  # a word that is dropped can still be spelled
            row[draw.random(len(row)) < self.word_dropout, 0] = -1
        return self._changed(inputs, draw)

    @property
    def _steps_stay(self) -> bool:
        return True

    @property
    def _spells(self) -> bool:
        return isinstance(self.reader, WordReader) and self.reader.characters is not None

    # Tags

    def _learn_targets(self, y: Any, inputs: list[Sequence_]) -> None:
        tags = [tag for row in _rows("y", y, inputs) for tag in row]
        if not tags:
            raise ValueError("y: expected a tag for each step, got none")
        self._take_classes(Classes.learn("y", tags))

    def _take_classes(self, classes: Classes) -> None:
        self._tags, self.classes_ = Tags.of(classes, self.constraints), classes.values

    def _read_targets(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:
        targets = []
        for i, row in enumerate(_rows(name, y, inputs)):
            tags = self._tags.classes.encode(f"{name}[{i}]", row)
            if i < len(inputs) and len(tags) != len(inputs[i]):
                raise ValueError(
                    f"{name}[{i}]: expected {len(inputs[i])} tags, one for each step, got {len(tags)}"
                )
            targets.append(tags)
        return targets

    def _counts(self, examples: Examples) -> NDArray[np.int64]:
        return np.array([len(tags) for tags in examples.targets], np.int64)

    def _weigh(self, examples: Examples) -> NDArray[np.float64]:
        numbers = np.concatenate(examples.targets)
        weights = class_weights(self._tags.classes, numbers, self.class_weight)
        mean = np.average(weights[numbers], weights=np.repeat(examples.weights, self._counts(examples)))
        if not mean > 0:
            raise ValueError("class_weight: expected some weight above 0 for the tags that y holds")
        self._tag_weights = weights / mean  # of mean 1 over steps
        return examples.weights

    # The network

    def _blocks(self, seeds: Seeds) -> list[nn.Layer[Any]]:
        if not self._spells:
            return pooled(self, None, len(self._tags.classes), seeds)
        width = (self.embedding_size or 0) + 2 * (self.char_hidden_size or 0)
        layer = self._recurrent(width, seeds)
        head = nn.Linear(layer.output_size or 0, len(self._tags.classes), **self._block_options(seeds()))
        return [*self._dropout(), layer, *self._dropout(), head]

    def _build(self, seed: int) -> None:
        super()._build(seed)
        spelling = None
        if isinstance(self.reader, WordReader) and self.reader.characters is not None:
            options, size = self._block_options(seed), self.char_hidden_size or 1
            spelling = Spelling(
                self._embedding(self.reader.size, self.embedding_size or 1, seed),
                nn.Sequential(
                    self._embedding(len(self.reader.characters), self.char_embedding_size, seed),
                    nn.LSTM(self.char_embedding_size, size, bidirectional=True, **options),
                    nn.Pool("max", **self._block_options()),
                    seed=seed,
                ),
            )
        self.network = TaggingNetwork(self.network, spelling, chain=self.output == "crf")

    def _loss(self, output: Floats, batch: SequenceBatch) -> tuple[float, Floats]:
        loss, (gradient, *_) = self._of_tags(output, batch)
        return loss, gradient

    def _of_tags(self, emissions: Floats, batch: SequenceBatch) -> tuple[float, list[Floats]]:
        """Return the loss, and its gradients by emissions and chain."""
        tags, _ = padded(batch.targets, fill=-1, steps=emissions.shape[1])
        if self._output == "softmax":
            loss, gradient = losses.softmax_cross_entropy(emissions, tags, device=_check.beside(self.device))
            return loss, [gradient]
        loss, gradients = losses.crf(
            emissions, tags, **self.network.chain, lengths=batch.lengths, device=_check.beside(self.device)
        )
        return loss, list(gradients)

    def _losses(self, output: Floats, batch: SequenceBatch) -> tuple[float, list[Floats]]:
        if (self._tag_weights == 1).all():
            return self._of_tags(output, batch)
        # Steps whose tags have one weight go together.
        tags, _ = padded(batch.targets, fill=-1, steps=output.shape[1])
        steps = np.append(self._tag_weights, 0.0)[tags]  # the last is that of padding
        total, gradient = 0.0, np.zeros_like(output)
        for weight in np.unique(steps[steps > 0]):
            loss, own = losses.softmax_cross_entropy(
                output,
                np.where(steps == weight, tags, -1),
                reduction="sum",
                device=_check.beside(self.device),
            )
            share = float(weight) / max(batch.scored, 1)
            total += share * loss
            gradient += cast(Any, own) * share
        return total, [gradient]

    def _step(self, tape: Any, gradients: list[Floats], optimizer: _native.Optimizer, lr: float) -> float:
        emissions, *chain = gradients
        return float(self.network.update(self.network.backward(tape, emissions, chain), optimizer, lr))

    def set_weights(self, weights: Mapping[str, Floats]) -> None:
        """Put back what :meth:`weights` returned."""
        if weights:
            self.network.load_state_dict(weights)

    @property
    def _output(self) -> str:
        return str(self._followed("output"))

    def _chain(self) -> Chain | None:
        """Return start, transitions and end; None where every tag is chosen by itself."""
        if self._output != "crf":
            return None
        chain = self.network.chain
        return chain["start"], chain["transitions"], chain["end"]

    def _score_outputs(self, outputs: list[Floats], examples: Examples) -> float:
        return self._tags.score(examples.targets, self._tags.best(outputs, self._chain()))

    # Files

    _options_to_json = staticmethod(class_weight_to_json)
    _options_from_json = staticmethod(class_weight_from_json)

    def _targets_to_json(self) -> dict[str, Any]:
        words = self.reader.words_to_json() if isinstance(self.reader, WordReader) else {}
        return {"classes": self._tags.classes.to_json(), "words": words}

    def _targets_from_json(self, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> None:  # noqa: ARG002
        self._take_classes(Classes.from_json(values["classes"]))
        if values["words"]:
            self.reader = WordReader.words_from_json(self.reader, values["words"], lowercase=self.lowercase)


def _rows(name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:
    """Return the tags of each sequence."""
    rows = without_padding(y, listed(name, y, "the tags of each sequence"), inputs)
    for i, row in enumerate(rows):
        if isinstance(row, str) or not isinstance(row, Iterable):
            raise TypeError(f"{name}[{i}]: expected a tag for each step, got {_check.describe(row)}")
    return rows
