"""Models of sequences in files: whole ones, and checkpoints of their training."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from seqrs import _check
from seqrs._check import Floats
from seqrs.exceptions import ModelFileError
from seqrs.io import ModelFile
from seqrs.models.inputs import Reader
from seqrs.models.learner import Learner
from seqrs.text.tokenizers import Tokenizer
from seqrs.training import Options, Progress, Trainer, without_checkpoint

Model = TypeVar("Model", bound="SavedModel")
_READER = "reader."


class SavedModel(Learner):
    """A model that can be saved, read, and saved with all that its training needs to go on."""

    kind: ClassVar[str]
    _of_use: ClassVar[frozenset[str]] = frozenset()  # options that are followed at once, not by the next fit

    def __init__(self, **options: Any) -> None:
        self._progress = Progress()
        self._fitted_params: dict[str, Any] = {}  # options, as they were at the fit
        self._data: dict[str, Any] = {}  # what says whether resumed data are the same
        super().__init__(**options)

    # What a model says of itself

    def _targets_to_json(self) -> dict[str, Any]:
        """Return what ``_learn_targets`` learned, as values for JSON."""
        return {}

    def _targets_from_json(self, values: Mapping[str, Any], tokenizer: Tokenizer | None) -> None:
        """Take what :meth:`_targets_to_json` wrote; `tokenizer` is what the targets may need, and no file holds."""

    @staticmethod
    def _options_to_json(options: dict[str, Any]) -> dict[str, Any]:
        """Return the options as values for JSON; a model with others changes them here."""
        return options

    @staticmethod
    def _options_from_json(options: dict[str, Any]) -> dict[str, Any]:
        """Return the options that :meth:`_options_to_json` changed."""
        return options

    # Weights

    def state_dict(self) -> dict[str, Floats]:
        """Return a copy of every weight by PyTorch's name.

        Raises
        ------
        RuntimeError
            If the model is not fitted.
        """
        self._check_fitted()
        return self.weights()

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike]) -> None:
        """Set every weight, as :meth:`seqrs.nn.Layer.load_state_dict` does.

        Raises
        ------
        ValueError, TypeError
            If names, shapes or dtypes do not fit. No weight has changed then.
        RuntimeError
            If the model is not fitted.
        """
        self._check_fitted()
        self.network.load_state_dict(state_dict)

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
        self._file(dict(weights or self.weights()), {}).write(path)

    def save_checkpoint(self, path: str | os.PathLike[str], run: Trainer) -> None:
        """Write the model and all that :meth:`resume` needs; training does this.

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
        self._file(self.weights() | tensors, training | {"data": self._data}).write(path)

    def _keep_params(self) -> None:
        """Keep the options that the weights are made by, whatever ``set_params`` says afterwards."""
        self._fitted_params = self.get_params() | {"augment": None}  # which no file holds

    def _file(self, tensors: dict[str, Floats], training: dict[str, Any]) -> ModelFile:
        fitted = self._fitted_params | {name: getattr(self, name) for name in self._of_use}
        level, layer_options, seed = (fitted[name] for name in ("level", "layer_options", "random_state"))
        config = fitted | {
            "level": level if isinstance(level, str) else "custom",
            "layer_options": None if layer_options is None else dict(layer_options),
            "dtype": _check.compute_dtype(fitted["dtype"]),
            "random_state": str(seed) if isinstance(seed, (int, np.integer)) else None,
        }
        learned = {
            "options": self._options_to_json(config),
            "reader": self.reader.to_json(),
            "targets": self._targets_to_json(),
        }
        tensors |= {f"{_READER}{name}": value for name, value in self.reader.tensors().items()}
        vocabulary = "" if self.reader.vocabulary is None else self.reader.vocabulary.to_json()
        training = {"progress": self._progress.to_json()} | training
        return ModelFile(self.kind, learned, vocabulary, training, tensors)

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
        of_inputs, of_targets = tokenizer if isinstance(tokenizer, tuple) else (tokenizer, tokenizer)
        if device is not None:
            _check.device(device)
        try:
            options = dict(file.config["options"])
            if options.keys() != set(cls._option_names()):
                raise ValueError("its options are not those of this version")
            if options["random_state"] is not None:
                options["random_state"] = int(options["random_state"])
            if options["level"] == "custom":
                # Needed where text was read with it; for other data it never had an effect.
                options["level"] = of_inputs if of_inputs is not None else "word"
            options = cls._options_from_json(options) | ({} if device is None else {"device": device})
            model = cls(**options)
            model._keep_params()
            model.reader = Reader.from_json(
                file.config["reader"], file.vocabulary, file.part(_READER), of_inputs
            )
            model._targets_from_json(file.config["targets"], of_targets)
            model._progress = Progress.from_json(file.training["progress"])
            model._data = dict(file.training.get("data", {}))
            if model._least_size() > sum(
                tensor.size for tensor in file.tensors.values()
            ):  # before memory is asked for
                raise ValueError("its parts do not fit together")
            # Of a checkpoint the seed too, which draws what training drops.
            run = file.training.get("options")
            model._build(0 if run is None else Options.from_json(run).seed)
            model._ready = True
            model.load_state_dict(
                {
                    key: value
                    for key, value in without_checkpoint(file.tensors).items()
                    if not key.startswith(_READER)
                }
            )
        except LookupError as error:
            if not isinstance(error, KeyError):
                raise ValueError(f"{name}: {error}") from None
            raise ModelFileError(f"{name}: the model is damaged: {error} is missing") from None
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"{name}: the model is damaged: {error}") from None
        return model
