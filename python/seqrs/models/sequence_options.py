"""The options of the models of sequences, and the layers they call for."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np

from seqrs import _check, nn
from seqrs.models.estimator import Estimator
from seqrs.models.inputs import Reader, Sequence_
from seqrs.nn.recurrent import Recurrent, unknown
from seqrs.text.codec import tokenizer_of
from seqrs.text.tokenizers import Tokenizer
from seqrs.training import Options

CELLS: dict[str, type[Recurrent[Any]]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
# Standard deviation of the vectors of tokens at first. On TREC's questions 86 % are then classified right, 79 % with 1.
_SMALL = 0.1
#: Gives a seed for one block of a network at each call.
Seeds = Callable[[], int]
#: Changes a training sequence at random.
Augment = Callable[[Sequence_, np.random.Generator], Sequence_]


class Common(TypedDict, total=False):
    """The keyword arguments of :class:`SequenceOptions`, as type checkers see them."""

    cell: str
    hidden_size: int
    num_layers: int
    bidirectional: bool
    embedding_size: int | None
    dropout: float
    layer_options: Mapping[str, Any] | None
    level: str | Tokenizer
    min_count: int
    max_vocab: int | None
    standardize: bool
    word_dropout: float
    noise: float
    augment: Augment | None
    epochs: int
    batch_size: int
    optimizer: str
    lr: float
    schedule: str
    warmup: int
    weight_decay: float
    clip: float | None
    validation: float | None
    monitor: str
    patience: int | None
    random_state: Any
    dtype: str
    device: str
    progress: bool


class SequenceOptions(Estimator):
    """The options that all models of sequences have in common; each class says which others it has.

    Parameters
    ----------
    cell : "lstm", "gru" or "rnn", default "lstm"
        The kind of recurrent layer.
    hidden_size : int, default 64
        Units in each layer and direction.
    num_layers : int, default 1
        Layers, one on top of the other.
    bidirectional : bool, default False
        Whether each layer also reads the sequence backwards.
    embedding_size : int or None, default 64
        For tokens: length of the vector that each is looked up as; None: one-hot vectors (none is
        made, a row of weights is looked up). For features it has no effect.
    dropout : float, default 0
        Probability to drop a number in training: of the embedding, between layers and before the
        output.
    layer_options : mapping, optional
        More options of the recurrent layer, such as ``{"recurrent_dropout": 0.2}``; see
        :class:`seqrs.nn.Options`, and :class:`seqrs.nn.LSTM`, :class:`~seqrs.nn.GRU` and
        :class:`~seqrs.nn.RNN` for each cell's own.
    level : "word", "word-punct", "char", "byte" or a tokenizer object, default "word"
        For str: what the tokens are; see :class:`seqrs.LanguageModel`.
    min_count, max_vocab : int, int or None, default 1, None
        For str and lists of str: tokens that come fewer times, and the rarest over that many, are
        not in the vocabulary. A token that is not is read as the zero vector.
    standardize : bool, default True
        For features: subtract each feature's mean in the training data and divide by its standard
        deviation.
    word_dropout : float, default 0
        For tokens: probability with which each is read as the zero vector in training, so that the
        model learns to do without a word it does not know.
    noise : float, default 0
        For features: standard deviation of normal noise added in training, after `standardize`.
    augment : callable, optional
        Changes a training sequence each time it is read: called with the array the network reads,
        (T,) or (T, F), and a generator, a function of seed, epoch and step; returns such an array,
        of at least one step, and of as many as before where each step has a target. A file does not hold it.
    epochs, batch_size : int, default 20, 32
        Passes over the data; sequences in a step.
    optimizer : "adam", "adamw", "rmsprop" or "sgd", default "adam"
        The update rule.
    lr : float, default 3e-3
        The highest learning rate.
    schedule : "cosine" or "constant", default "cosine"
        Whether the rate falls to zero, as half a cosine.
    warmup : int, default 0
        Updates over which the rate rises at first.
    weight_decay : float, default 0
        Pull of the weights to zero; decoupled for ``"adamw"``.
    clip : float or None, default 5
        The longest gradient, as the norm over all weights; a longer one is shortened to it.
    validation : float or None, default None
        The part of the training data that is held out, by chance, to validate with after each
        epoch; the model then keeps the weights of the best one. None: all are trained on, and the
        last weights are kept. ``fit(..., validation=(X, y))`` gives other data.
    monitor : "loss" or "score", default "loss"
        By what validation an epoch is the best.
    patience : int, optional
        Stop after so many epochs that were not the best. Default: never.
    random_state : int, RandomState, Generator or None, default None
        Draws initial weights, the order of the data, what is held out, and dropout. None: anew
        for each ``fit``.
    dtype : "float32", "float64" or "bfloat16", default "float32"
        Of weights and arithmetic; see :class:`seqrs.nn.BlockOptions`.
    device : "cpu", "gpu", "gpu:<part of a name>", "reference" or "auto", default "cpu"
        What computes; see :class:`seqrs.nn.BlockOptions`.
    progress : bool, default False
        Show loss, speed and time left on standard error while training.

    Examples
    --------
    >>> import seqrs
    >>> model = seqrs.SequenceClassifier(cell="gru", dropout=0.3)
    >>> model.get_params()["epochs"]
    20
    """

    reader: Reader

    def __init__(
        self,
        *,
        cell: str = "lstm",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        embedding_size: int | None = 64,
        dropout: float = 0.0,
        layer_options: Mapping[str, Any] | None = None,
        level: str | Tokenizer = "word",
        min_count: int = 1,
        max_vocab: int | None = None,
        standardize: bool = True,
        word_dropout: float = 0.0,
        noise: float = 0.0,
        augment: Augment | None = None,
        epochs: int = 20,
        batch_size: int = 32,
        optimizer: str = "adam",
        lr: float = 3e-3,
        schedule: str = "cosine",
        warmup: int = 0,
        weight_decay: float = 0.0,
        clip: float | None = 5.0,
        validation: float | None = None,
        monitor: str = "loss",
        patience: int | None = None,
        random_state: Any = None,
        dtype: str = "float32",
        device: str = "cpu",
        progress: bool = False,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.layer_options = layer_options
        self.level = level
        self.min_count = min_count
        self.max_vocab = max_vocab
        self.standardize = standardize
        self.word_dropout = word_dropout
        self.noise = noise
        self.augment = augment
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.schedule = schedule
        self.warmup = warmup
        self.weight_decay = weight_decay
        self.clip = clip
        self.validation = validation
        self.monitor = monitor
        self.patience = patience
        self.random_state = random_state
        self.dtype = dtype
        self.device = device
        self.progress = progress
        self._check_params()

    def _check_params(self) -> None:
        _check.choice("cell", self.cell, CELLS)
        _check.integer("hidden_size", self.hidden_size, minimum=1)
        _check.integer("num_layers", self.num_layers, minimum=1)
        _check.flag("bidirectional", self.bidirectional)
        if self.embedding_size is not None:
            _check.integer("embedding_size", self.embedding_size, minimum=1)
        _check.probability("dropout", self.dropout)
        self._check_layer_options()
        tokenizer_of(self.level)
        _check.integer("min_count", self.min_count, minimum=1)
        if self.max_vocab is not None:
            _check.integer("max_vocab", self.max_vocab, minimum=1)
        _check.flag("standardize", self.standardize)
        _check.probability("word_dropout", self.word_dropout)
        _check.number("noise", self.noise, minimum=0.0)
        if self.augment is not None and not callable(self.augment):
            raise TypeError(f"augment: expected a function, got {_check.describe(self.augment)}")
        _check.choice("schedule", self.schedule, ("cosine", "constant"))
        if self.validation is not None:
            _check.probability("validation", self.validation)
        _check.compute_dtype(self.dtype)
        _check.device(self.device)
        _check.flag("progress", self.progress)
        self._run_options(0)

    def _check_layer_options(self) -> None:
        """Refuse what the layer of the cell does not have; what values it takes, it says itself."""
        if self.layer_options is None:
            return
        if not isinstance(self.layer_options, Mapping):
            raise TypeError(f"layer_options: expected a mapping, got {_check.describe(self.layer_options)}")
        for name in self.layer_options:
            hint = unknown(name, CELLS[self.cell])
            if hint is not None:
                raise ValueError(f'layer_options: cell="{self.cell}" has no option {name!r}{hint}')

    def _run_options(self, seed: int) -> Options:
        return Options(
            epochs=self.epochs,
            seq_len=None,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            lr=self.lr,
            schedule=self.schedule,
            warmup=self.warmup,
            step_size=1,
            gamma=1.0,
            momentum=0.0,
            weight_decay=self.weight_decay,
            clip=self.clip,
            patience=self.patience,
            seed=seed,
            monitor=self.monitor,
        )

    def _block_options(self, seed: int | None = None) -> nn.BlockOptions:
        return {"dtype": self.dtype, "device": self.device, "seed": seed}

    def _encoder(self, seeds: Seeds, reads: int | None = None) -> tuple[list[nn.Layer[Any]], int]:
        """Return blocks from what the reader reads to the recurrent layer's output, and its width."""
        blocks: list[nn.Layer[Any]] = []
        width = self.reader.size if reads is None else reads
        if self.reader.reads_tokens and self.embedding_size is not None:
            blocks.append(self._embedding(width, self.embedding_size, seeds()))
            blocks += self._dropout()
            width = self.embedding_size
        layer = self._recurrent(width, seeds)
        return [*blocks, layer], layer.output_size or 0

    def _embedding(self, tokens: int, size: int, seed: int) -> nn.Embedding:
        """Return vectors of tokens."""
        table = nn.Embedding(tokens, size, **self._block_options(seed))
        # Rare words, which learn little, then stay near the zero vector that an unknown one is.
        table.load_state_dict({"weight": _SMALL * table.state_dict()["weight"]})
        return table

    def _recurrent(self, width: int, seeds: Seeds) -> nn.Layer[Any]:
        """Return the recurrent layer, which reads vectors of this width."""
        between = self.dropout if self.num_layers > 1 else 0.0
        layer: Callable[..., nn.Layer[Any]] = CELLS[self.cell]
        return layer(
            width,
            self.hidden_size,
            num_layers=self.num_layers,
            **{
                "bidirectional": self.bidirectional,
                "dropout": between,
                **self._block_options(seeds()),
                **(self.layer_options or {}),
            },
        )

    def _dropout(self) -> list[nn.Layer[Any]]:
        return [nn.Dropout(self.dropout, **self._block_options())] if self.dropout else []
