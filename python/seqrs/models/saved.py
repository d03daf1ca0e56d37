"""Models in files: whole ones, and checkpoints of their training."""

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check, _native
from seqrs._check import Floats
from seqrs.exceptions import ModelFileError
from seqrs.io import ModelFile
from seqrs.models.estimator import Estimator
from seqrs.text.codec import level_of, tokenizer_of
from seqrs.text.tokenizers import Tokenizer
from seqrs.training import Progress, Trainer, without_checkpoint

Model = TypeVar("Model", bound="Saved")
#: What no file holds: the tokenizer objects that a model was trained with, for what it reads and for what it writes.
Tokenizers = tuple[Tokenizer | None, Tokenizer | None]


class Saved(Estimator):
    """A model that can be saved, read, and saved with all that its training needs to go on."""

    kind: ClassVar[str]
    level: str | Tokenizer
    _seed_option: ClassVar[str]  # of the options the one that is a seed
    _of_use: ClassVar[frozenset[str]] = frozenset()  # options that are followed at once, not by the next fit
    _learned: ClassVar[str] = "reader."  # what the names of arrays begin with that are no weights
    _progress: Progress
    _fitted_params: dict[str, Any]  # options, as they were at the fit
    _data: dict[str, Any]  # what says whether resumed data are the same

    # What a model says of itself

    @abstractmethod
    def _check_fitted(self) -> None:
        """Raise RuntimeError if the model has learned nothing yet."""

    @abstractmethod
    def weights(self) -> dict[str, Floats]:
        """Return a copy of all that is trained."""

    @abstractmethod
    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every weight."""

    @abstractmethod
    def _write(self, options: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Floats]]:
        """Return the configuration, vocabulary and arrays beside the weights that a file is to hold."""

    @classmethod
    @abstractmethod
    def _options_in(cls, config: dict[str, Any]) -> dict[str, Any]:
        """Return the options in a configuration that :meth:`_write` made."""

    @abstractmethod
    def _read_from(self, file: ModelFile, tokenizers: Tokenizers) -> None:
        """Take all but options and weights from a file, and build the network."""

    def _record(self) -> dict[str, Any]:
        """Return what a file of the model alone tells of its training."""
        return {}

    @property
    def history(self) -> list[dict[str, Any]]:
        """The results of each epoch."""
        return [dict(result) for result in self._progress.history]

    # Writing

    def save(self, path: str | os.PathLike[str], weights: Mapping[str, Floats] | None = None) -> None:
        """Write the model to a file, for :func:`seqrs.load`.

        It is a safetensors file, holds no code, and replaces an older one whole or not at all.

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
        self._check_fitted()
        self._file(dict(weights or self.weights()), self._record()).write(path)

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
        self._file(self.weights() | tensors, {"data": self._data} | training).write(path)

    def _keep_params(self) -> None:
        """Keep the options that the weights are made by, whatever ``set_params`` says afterwards."""
        self._fitted_params = self.get_params()

    def _file(self, tensors: dict[str, Floats], training: dict[str, Any]) -> ModelFile:
        fitted = self._fitted_params | {name: getattr(self, name) for name in self._of_use}
        seed = fitted[self._seed_option]
        options = fitted | {
            "level": level_of(tokenizer_of(fitted["level"])),
            "dtype": _check.compute_dtype(fitted["dtype"]),
            self._seed_option: str(seed) if isinstance(seed, (int, np.integer)) else None,
        }
        config, vocabulary, learned = self._write(options)
        training = {"progress": self._progress.to_json()} | training
        return ModelFile(self.kind, config, vocabulary, training, tensors | learned)

    # Reading

    @classmethod
    def from_file(
        cls: type[Model],
        file: ModelFile,
        name: str,
        *,
        device: str | None = None,
        tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer] | None = None,
    ) -> Model:
        """Make the model that a file holds; :func:`seqrs.load` is the way to call it."""
        tokenizers = _pair(tokenizer)
        if device is not None:
            _check.device(device)
        _native.cpu_features()  # raises for a wrong SEQRS_CPU, which is no fault of the file's
        with reading(name, "the model"):
            options = cls._options_in(file.config)
            if options.keys() != set(cls._option_names()):
                raise ValueError("its options are not those of this version")
            seed = options[cls._seed_option]
            options[cls._seed_option] = None if seed is None else int(seed)
            if options["level"] == "custom":
                # Needed where text was read with it; for other data it never had an effect.
                options["level"] = "word" if tokenizers[0] is None else tokenizers[0]
            model = cls(**options | ({} if device is None else {"device": device}))
            model._keep_params()
            model._progress = Progress.from_json(file.training["progress"])
            model._data = dict(file.training.get("data", {}))
            model._read_from(file, tokenizers)
            tensors = without_checkpoint(file.tensors).items()
            model.load_state_dict({key: value for key, value in tensors if not key.startswith(cls._learned)})
        return model

    @classmethod
    def _from_checkpoint(
        cls: type[Model],
        path: str | os.PathLike[str],
        device: str | None,
        tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer] | None,
    ) -> tuple[Model, ModelFile, str]:
        """Read the model of a checkpoint as it was last; return also the file, and its name in messages."""
        name = _check.path("checkpoint", path)
        file = ModelFile.read(name)
        if file.kind != cls.kind:
            raise ModelFileError(f"{name}: expected a {cls.kind}, got a {file.kind}")
        model = cls.from_file(file, name, device=device, tokenizer=tokenizer)
        if "optimizer_steps" not in file.training:
            raise ModelFileError(f"{name}: a model, but no checkpoint; resuming needs NAME.last.seqrs")
        return model, file, name


@contextmanager
def reading(name: str, part: str) -> Iterator[None]:
    """Say of a file, where something in it does not fit, which part of it is damaged."""
    try:
        yield
    except KeyError as error:
        raise ModelFileError(f"{name}: {part} is damaged: {error} is missing") from None
    except LookupError as error:  # of an argument
        raise ValueError(f"{name}: {error}") from None
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{name}: {part} is damaged: {error}") from None


def check_size(numbers: int, file: ModelFile) -> None:
    """Refuse a file that is not big enough for the sizes it claims, before memory is asked for."""
    if numbers > sum(tensor.size for tensor in file.tensors.values()):
        raise ValueError("its parts do not fit together")


def _pair(given: Tokenizer | tuple[Tokenizer, Tokenizer] | None) -> Tokenizers:
    """Return the tokenizer of what is read, and that of what is written."""
    pair: tuple[Any, ...] = given if isinstance(given, tuple) else (given, given)
    if len(pair) != 2 or not all(isinstance(one, Tokenizer | None) for one in pair):
        raise TypeError(
            "tokenizer: expected an object with the methods tokenize and detokenize, or a pair of them, "
            f"got {_check.describe(given)}"
        )
    return pair[0], pair[1]
