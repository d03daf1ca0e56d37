"""A language model in files: options, vocabulary and weights, and of a checkpoint all that resuming needs."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seqrs import _check
from seqrs._check import Floats
from seqrs._native import Network
from seqrs.exceptions import ModelFileError
from seqrs.io import ModelFile
from seqrs.models.estimator import Estimator
from seqrs.models.writing import WritingModel
from seqrs.text.codec import Codec, level_of, tokenizer_of
from seqrs.text.corpora import DOCUMENTS
from seqrs.text.tokenizers import Tokenizer
from seqrs.text.vocabulary import Vocabulary
from seqrs.training import Progress, Trainer, without_checkpoint

if TYPE_CHECKING:
    from typing_extensions import Self


class SavedLanguageModel(WritingModel, Estimator):
    """A language model that can be saved, read, and saved with all that its training needs to go on."""

    kind: str
    level: str | Tokenizer
    hidden_size: int
    num_layers: int
    embedding_size: int | None
    seed: int | None
    _fitted_params: dict[str, Any]  # options, as they were at the fit
    _training: dict[str, Any]  # texts and options of the run
    _progress: Progress

    def save(self, path: str | os.PathLike[str], weights: Mapping[str, Floats] | None = None) -> None:
        """Write the model to a file, for :func:`seqrs.load`.

        The file is a safetensors file, holds no code, and replaces an older one whole or not at
        all.

        Parameters
        ----------
        path : str or path
            The file, by custom ``NAME.seqrs``.
        weights : mapping of str to ndarray, optional
            Weights to write in place of the model's own.

        Raises
        ------
        OSError
            If it cannot be written; the older file is still there.
        RuntimeError
            If the model is not fitted.
        """
        self._file(weights or self.state_dict(), {}).write(path)

    def save_checkpoint(self, path: str | os.PathLike[str], run: Trainer) -> None:
        """Write the model and all that ``resume`` needs; training does this.

        Parameters
        ----------
        path : str or path
            The file.
        run : Trainer
            The training under way.

        Raises
        ------
        OSError
            If it cannot be written; the older file is still there.
        """
        tensors, training = run.checkpoint()
        self._file(self.state_dict() | tensors, training).write(path)

    def _file(self, tensors: Mapping[str, Floats], training: Mapping[str, Any]) -> ModelFile:
        codec = self._fitted()
        # Those of the weights, which set_params may have changed since.
        fitted = type(self)(**self._fitted_params)
        config = self._fitted_params | {
            "level": level_of(codec.tokenizer),
            "dtype": _check.compute_dtype(fitted.dtype),
            "seed": None if fitted.seed is None else str(fitted.seed),
            "form": fitted._form(),
            "documents": codec.documents,
            "vocab_size": len(codec.vocabulary),
        }
        record = {**self._training, "progress": self._progress.to_json(), **training}
        return ModelFile(self.kind, config, codec.vocabulary.to_json(), record, tensors)

    @classmethod
    def from_file(
        cls, file: ModelFile, name: str, *, device: str | None = None, tokenizer: Tokenizer | None = None
    ) -> "Self":
        """Make the model that a file holds; :func:`seqrs.load` is the way to call it."""
        config = dict(file.config)
        if config.get("level") == "custom":
            if tokenizer is None:
                raise ValueError(f"tokenizer: {name} was trained with a tokenizer of its own; pass it")
            config["level"] = tokenizer_of(tokenizer)
        if device is not None:
            config["device"] = _check.device(device)
        try:
            documents, form, size = (config.pop(key) for key in ("documents", "form", "vocab_size"))
            if config.keys() != set(cls._option_names()):
                raise ValueError("its options are not those of this version")
            seed = config["seed"]
            model = cls(**(config | {"seed": None if seed is None else int(seed)}))
            vocabulary = Vocabulary.from_json(file.vocabulary)
            _check.choice("documents", documents, DOCUMENTS)
            if (form, size) != (model._form(), len(vocabulary)) or not model._plausible(size, file):
                raise ValueError("its parts do not fit together")
            model._fitted_params = model.get_params()
            model._codec = Codec(tokenizer_of(model.level), vocabulary, documents)
            model._training = {key: file.training[key] for key in ("data", "options")}
            model._progress = Progress.from_json(file.training["progress"])
            model.network = model._new_network(0)
            model.load_state_dict(without_checkpoint(file.tensors))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{name}: the model is damaged: {error}") from None
        return model

    def _plausible(self, vocab_size: int, file: ModelFile) -> bool:
        """Whether a file is big enough for the sizes it claims, before memory is asked for."""
        numbers = sum(tensor.size for tensor in file.tensors.values())
        recurrent = self.num_layers * self.hidden_size**2
        return max(recurrent, vocab_size * max(self.hidden_size, self.embedding_size or 0)) <= numbers

    def _form(self) -> str:
        """Return which form of its cell the model has."""
        raise NotImplementedError

    def _new_network(self, seed: int) -> Network:
        """Return a network of the model's options and vocabulary."""
        raise NotImplementedError
