"""The next token of a target, from its source and the tokens before: what a translator learns."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqrs import _check, _native, losses
from seqrs._check import Floats
from seqrs.models.classifier import softmax
from seqrs.models.encoder_decoder import EncoderDecoder, Sizes
from seqrs.models.examples import Examples, SequenceBatch, groups
from seqrs.models.inputs import Sequence_, padded
from seqrs.models.learner import weighted
from seqrs.models.sequence_model import SequenceModel
from seqrs.models.target_text import TargetText
from seqrs.text.tokenizers import Tokenizer
from seqrs.text.vocabulary import Vocabulary
from seqrs.training import Known, Options, Outcome, State, Trainer


class NextToken(SequenceModel):
    """An encoder that reads sources and a decoder that predicts the tokens of targets, trained as one."""

    unit = "tokens"
    network: EncoderDecoder
    attention: str
    looks: str
    decoder_layers: int
    tied: bool
    label_smoothing: float
    teacher_forcing: float
    target_level: str | Tokenizer | None
    _targets: TargetText
    _updates: int  # of the training under way, in all epochs

    # Data

    def _learn_targets(self, y: Any, inputs: list[Sequence_]) -> None:  # noqa: ARG002 - not by the sources
        level = self.level if self.target_level is None else self.target_level
        self._targets = TargetText.learn(y, level, min_count=self.min_count, max_vocab=self.max_vocab)

    @property
    def target_vocabulary(self) -> Vocabulary:
        """What it can write."""
        return self._targets.vocabulary

    def _read_targets(self, name: str, y: Any, inputs: list[Sequence_]) -> list[Any]:  # noqa: ARG002
        return self._targets.encode(name, y)

    def _counts(self, examples: Examples) -> NDArray[np.int64]:
        return np.array([len(target) for target in examples.targets], np.int64)

    # Training

    def _build(self, seed: int) -> None:
        if not self.reader.reads_tokens or self.reader.vocabulary is None:
            raise TypeError("X: expected strings, or sequences of tokens (str)")
        sizes = Sizes(
            self.reader.size,
            len(self.target_vocabulary),
            self.cell,
            self.embedding_size or 0,
            self.hidden_size,
            self.num_layers,
            self.decoder_layers,
            self.bidirectional,
            self.attention,
            self.looks,
            self.dropout,
            self.tied,
        )
        self.network = EncoderDecoder(sizes, dtype=self.dtype, device=self.device, seed=seed)

    def _new_run(self, training: Examples, held_out: Examples | None, options: Options) -> Trainer:
        run = super()._new_run(training, held_out, options)
        self._updates = run.total
        return run

    def learn(
        self,
        batch: SequenceBatch,
        state: State | None,
        optimizer: _native.Optimizer,
        lr: float,
        seed: int,
        update: int,
    ) -> tuple[Outcome, State | None]:
        """Make one training step; :class:`seqrs.training.Trainer` calls this."""
        network = self.network
        targets, lengths = padded(batch.targets, fill=-1)
        given = told(targets)
        if self.teacher_forcing < 1:
            logits, _ = network.forward(batch.inputs, batch.lengths, given, lengths, update)
            own = told(logits.argmax(-1).astype(np.int32))
            own[:, 0] = -1
            share = 1 - (1 - self.teacher_forcing) * update / self._updates
            true = np.random.default_rng([seed, update]).random(given.shape) < share
            given = np.where(true, given, own)
        logits, tape = network.forward(batch.inputs, batch.lengths, given, lengths, update)
        loss, (gradient,) = weighted(self._losses, logits, batch)
        norm = optimizer.update(network.weights, network.backward(tape, gradient), lr)
        network.put()
        return Known(loss, norm), state

    def new_optimizer(self, options: Options) -> _native.Optimizer:
        """Return an optimizer of the weights, at its start."""
        return options.new_optimizer(self.network.weights.size, self.network.weights.dtype.name)

    def set_weights(self, weights: Mapping[str, Floats]) -> None:
        """Put back some of what :meth:`weights` returned."""
        self.network.set(weights)

    def _losses(self, output: Floats, batch: SequenceBatch) -> tuple[float, list[Floats]]:
        loss, gradient = self._loss(output, batch, self.label_smoothing)
        return loss, [gradient]

    def _loss(self, output: Floats, batch: SequenceBatch, smoothing: float = 0.0) -> tuple[float, Floats]:
        targets, lengths = padded(batch.targets, fill=-1, steps=output.shape[1])
        return losses.softmax_cross_entropy(
            output, targets, lengths=lengths, label_smoothing=smoothing, device=_check.beside(self.device)
        )

    def _validate(self, examples: Examples, pause: Callable[[], None]) -> dict[str, float]:
        total, count = 0.0, 0
        for _, batch, logits in self._told(examples, pause):
            total += self._loss(logits, batch)[0] * batch.scored
            count += batch.scored
        return {"loss": total / max(count, 1)}

    def _told(
        self, examples: Examples, pause: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[NDArray[np.int64], SequenceBatch, Floats]]:
        """Yield the numbers of some examples, these, and logits (B, T, V), each step told the token before it."""
        for rows in groups(examples.lengths):
            pause()
            batch = self._batch(examples.take(rows))
            memory = self.network.read(batch.inputs, batch.lengths)
            targets, _ = padded(batch.targets, fill=-1)
            logits, _, _ = self.network.write(told(targets), memory.state, memory)
            yield rows, batch, logits

    # Use

    def predict_proba(self, X: Any, y: Any) -> list[Floats]:
        """Return the probability of every token at each step of given translations.

        Parameters
        ----------
        X, y
            Sources and a translation of each, as for :meth:`fit`. A token that is not in the vocabulary
            counts as ``<UNK>``.

        Returns
        -------
        list of B ndarrays of shape (T + 1, V)
            Given the source and the tokens before, for each token of `target_vocabulary`; the last
            step is that of the end, ``"<EOS>"``.

        Raises
        ------
        ValueError, TypeError
            If sources or translations are not like those of the training.
        RuntimeError
            If the model is not fitted.
        """
        self._check_fitted()
        examples = self._examples(X, y)
        shares: list[Any] = [None] * len(examples.inputs)
        for rows, batch, logits in self._told(examples):
            for row, target, own in zip(rows, batch.targets, logits, strict=True):
                shares[row] = softmax(own[: len(target)])
        return shares

    # Files

    @staticmethod
    def _options_to_json(options: dict[str, Any]) -> dict[str, Any]:
        # An object among them is passed again, as that of the sources is.
        level = options["target_level"]
        return options | {"target_level": level if isinstance(level, str) else None}

    def _targets_to_json(self) -> dict[str, Any]:
        return self._targets.to_json()

    def _targets_from_json(self, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> None:
        self._targets = TargetText.from_json(values, tokenizer)


def told(targets: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return what the decoder reads at each step: the token before it, first of all the zero vector."""
    given = np.full_like(targets, -1)
    given[:, 1:] = targets[:, :-1]
    return given
