"""A recurrent language model: learn a text, then write, score and be saved."""

from seqrs import _check, _native
from seqrs.models.language_learner import LanguageLearner
from seqrs.models.quantized import QuantizedModel
from seqrs.text.codec import Codec, tokenizer_of
from seqrs.text.tokenizers import Tokenizer
from seqrs.training import Progress

# The option that says which form of its equations each cell has.
FORMS = {"lstm": "peephole", "gru": "reset", "rnn": "nonlinearity"}


class LanguageModel(LanguageLearner):
    """A language model: a recurrent network that predicts the next token of a text.

    The model reads the zero vector with a zero state and predicts the first token of a document,
    reads that and predicts the second, and so on; so P(text) is the product of its predictions.

    Parameters
    ----------
    level : "char", "byte", "word", "word-punct" or a tokenizer object, default "char"
        What the tokens are. ``"word"``: what stands between white space, as in the literature;
        ``"word-punct"``: words with punctuation cut off, for text as people write it. An object
        of your own needs two methods, see :class:`seqrs.text.Tokenizer`.
    cell : "lstm", "gru" or "rnn", default "lstm"
        The kind of recurrent layer.
    hidden_size : int, default 256
        Units in each layer.
    num_layers : int, default 2
        Layers, one on top of the other.
    embedding_size : int or None, default 64
        Length of the vector that each token is looked up as. None: the first layer reads one-hot
        vectors, as the textbooks have it (no vector is ever made: a row of the layer's weights is
        looked up); that learns more slowly at first.
    dropout : float, default 0
        Probability to drop a number during training: on the embedding, between layers and
        before the output.
    peephole : "none", "full", "prev" or "current", default "none"
        For LSTM alone: see :class:`seqrs.nn.LSTM`.
    reset : "after", "before" or "none", default "after"
        For GRU alone: see :class:`seqrs.nn.GRU`.
    nonlinearity : "tanh" or "relu", default "tanh"
        For RNN alone: see :class:`seqrs.nn.RNN`.
    min_count : int, default 1
        Tokens that the training text holds fewer times are not in the vocabulary. Among bytes
        this has no effect.
    max_vocab : int, optional
        The largest vocabulary, special tokens included. Default: no limit.
    dtype : "float32", "float64" or "bfloat16", default "float32"
        Of weights and arithmetic; ``"bfloat16"``: float32 weights, products of numbers rounded to 8
        bits (see :class:`seqrs.nn.BlockOptions`).
    device : "cpu", "gpu", "gpu:<part of a name>", "reference" or "auto", default "cpu"
        What computes; see :class:`seqrs.nn.BlockOptions`.
    seed : int, optional
        Draws initial weights, the order of the data, and dropout. Default: a new one for each
        ``fit``.

    Attributes
    ----------
    vocabulary : Vocabulary
        The tokens the model knows.
    documents : "file" or "line"
        What it was trained on; see :meth:`fit`.
    history : list of dict
        For each epoch: ``"epoch"``, ``"loss"``, and ``"validation_loss"`` if there is any, in
        nats a token.

    Raises
    ------
    ValueError, TypeError
        If an option is not one of those above, or belongs to another cell.

    Examples
    --------
    >>> import seqrs
    >>> model = seqrs.LanguageModel(hidden_size=32, num_layers=1, seed=0)
    >>> _ = model.fit("the cat sat on the mat. " * 40, seq_len=24, epochs=100, lr=0.02, progress=False)
    >>> model.sample(23, prompt="the cat", temperature=0)
    ' sat on the mat. the ca'
    """

    kind = "language_model"
    network: _native.Network

    def __init__(
        self,
        level: str | Tokenizer = "char",
        *,
        cell: str = "lstm",
        hidden_size: int = 256,
        num_layers: int = 2,
        embedding_size: int | None = 64,
        dropout: float = 0.0,
        peephole: str = "none",
        reset: str = "after",
        nonlinearity: str = "tanh",
        min_count: int = 1,
        max_vocab: int | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        seed: int | None = None,
    ) -> None:
        self.level = level
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.embedding_size = embedding_size
        self.dropout = dropout
        self.peephole = peephole
        self.reset = reset
        self.nonlinearity = nonlinearity
        self.min_count = min_count
        self.max_vocab = max_vocab
        self.dtype = dtype
        self.device = device
        self.seed = seed
        self._check_params()
        self._codec: Codec | None = None
        self._fitted_params = {}
        self._data = {}
        self._run_options = {}
        self._progress = Progress()

    def _check_params(self) -> None:
        tokenizer_of(self.level)
        _check.choice("cell", self.cell, FORMS)
        _check.integer("hidden_size", self.hidden_size, minimum=1)
        _check.integer("num_layers", self.num_layers, minimum=1)
        if self.embedding_size is not None:
            _check.integer("embedding_size", self.embedding_size, minimum=1)
        _check.probability("dropout", self.dropout)
        _check.choice("peephole", self.peephole, ("none", "full", "prev", "current"))
        _check.choice("reset", self.reset, ("after", "before", "none"))
        _check.choice("nonlinearity", self.nonlinearity, ("tanh", "relu"))
        for cell, option in FORMS.items():
            value, default = getattr(self, option), self._defaults()[option]
            if cell != self.cell and value != default:
                raise ValueError(
                    f'{option}: expected "{default}" with cell="{self.cell}", whose own option is '
                    f"{FORMS[self.cell]}, got {value!r}"
                )
        _check.integer("min_count", self.min_count, minimum=1)
        if self.max_vocab is not None:
            _check.integer("max_vocab", self.max_vocab, minimum=1)
        _check.compute_dtype(self.dtype)
        _check.device(self.device)
        if self.seed is not None:
            _check.seed(self.seed)

    def quantize(self, weights: str = "int8") -> QuantizedModel:
        """Return a copy with smaller weights, which writes faster and cannot be trained.

        Parameters
        ----------
        weights : "int8", "bfloat16" or "float32", default "int8"
            ``"int8"``: each weight a byte, with a factor for each output of a layer; a quarter of
            the memory to read for a token. ``"bfloat16"``: two bytes, with the range of float32
            and 8 bits of mantissa. ``"float32"``: as they are.

        Returns
        -------
        QuantizedModel
            What it finds of a text is near to what this model finds: ``seqrs score MODEL TEXT
            --weights int8`` tells how near.

        Raises
        ------
        ValueError
            If there are no such weights.
        NotImplementedError
            If the device is ``"reference"``, which has its weights as they are.
        RuntimeError
            If the model is not fitted.

        Examples
        --------
        >>> import seqrs
        >>> model = seqrs.LanguageModel(hidden_size=32, num_layers=1, seed=0)
        >>> text = "the cat sat on the mat. " * 40
        >>> _ = model.fit(text, seq_len=24, epochs=100, lr=0.02, progress=False)
        >>> small = model.quantize("int8")
        >>> small.sample(23, prompt="the cat", temperature=0)
        ' sat on the mat. the ca'
        >>> abs(small.perplexity(text) / model.perplexity(text) - 1) < 0.005
        True
        """
        self._fitted()
        return QuantizedModel(self, weights)

    def _form(self) -> str:
        form: str = getattr(self, FORMS[self.cell])
        return form

    def _build(self, seed: int, batch: int = 32) -> None:
        self._network_options = {
            "cell": self.cell,
            "form": self._form(),
            "vocab_size": len(self.vocabulary),
            "embedding_size": self.embedding_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "dropout": self.dropout,
            "dtype": _check.compute_dtype(self.dtype),
            "device": self.device,
            "batch": batch,
            "seed": seed,
        }
        self.network = self._rebuilt()
