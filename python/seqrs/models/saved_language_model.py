"""What a file of a language model holds: its options, its vocabulary, what it was trained on, and its weights."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from seqrs import _check
from seqrs._check import Floats
from seqrs.io import ModelFile
from seqrs.models.saved import Saved, Tokenizers, check_size
from seqrs.models.text_model import weights_of
from seqrs.models.writing import WritingModel
from seqrs.text.codec import Codec, tokenizer_of
from seqrs.text.corpora import DOCUMENTS
from seqrs.text.vocabulary import Vocabulary

# What the configuration holds beside the options.
_BESIDE = ("form", "documents", "vocab_size")


class SavedLanguageModel(WritingModel, Saved):
    """A language model that can be saved and read."""

    hidden_size: int
    num_layers: int
    embedding_size: int | None
    _seed_option = "seed"
    _run_options: dict[str, Any]  # of the training

    # What a model says of itself

    @abstractmethod
    def _form(self) -> str:
        """Return which form of its cell the model has."""

    @abstractmethod
    def _build(self, seed: int, batch: int = 32) -> None:
        """Make the network of the model's options and vocabulary; `batch` is what ``device="auto"`` goes by."""

    # Weights

    def _check_fitted(self) -> None:
        self._fitted()

    def weights(self) -> dict[str, Floats]:
        """Return a copy of the weights, those of a fit that has only begun too."""
        return weights_of(self.network)

    def set_weights(self, weights: Mapping[str, Floats]) -> None:
        """Put back some of what :meth:`weights` returned."""
        self.network.set(dict(weights))

    # Files

    def _record(self) -> dict[str, Any]:
        return {"data": self._data, "options": self._run_options}

    def _write(self, options: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Floats]]:
        codec = self._fitted()
        form = type(self)(**self._fitted_params)._form()
        beside = dict(zip(_BESIDE, (form, codec.documents, len(codec.vocabulary)), strict=True))
        return options | beside, codec.vocabulary.to_json(), {}

    @classmethod
    def _options_in(cls, config: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in config.items() if name not in _BESIDE}

    def _read_from(self, file: ModelFile, tokenizers: Tokenizers) -> None:
        form, documents, size = (file.config[name] for name in _BESIDE)
        if file.config["level"] == "custom" and tokenizers[0] is None:
            raise LookupError("tokenizer: the model was trained with a tokenizer of its own; pass it")
        _check.choice("documents", documents, DOCUMENTS)
        self._codec = Codec(tokenizer_of(self.level), Vocabulary.from_json(file.vocabulary), documents)
        if (form, size) != (self._form(), len(self.vocabulary)):
            raise ValueError("its parts do not fit together")
        recurrent = self.num_layers * self.hidden_size**2
        check_size(max(recurrent, size * max(self.hidden_size, self.embedding_size or 0)), file)
        self._data, self._run_options = file.training["data"], file.training["options"]
        self._build(0)
