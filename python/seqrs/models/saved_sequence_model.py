"""What a file of a model of sequences holds: its options, what it learned of its data, and its weights."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from seqrs import _check
from seqrs._check import Floats
from seqrs.io import ModelFile
from seqrs.models.inputs import Reader
from seqrs.models.learner import Learner
from seqrs.models.saved import Saved, Tokenizers, check_size
from seqrs.text.tokenizers import Tokenizer
from seqrs.training import Options, Progress


class SavedSequenceModel(Learner, Saved):
    """A model of sequences that can be saved and read."""

    _seed_option = "random_state"

    def __init__(self, **options: Any) -> None:
        self._progress = Progress()
        self._fitted_params = {}
        self._data = {}
        _check.keywords(type(self).__name__, options, self._option_names())
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

    # Files

    def _followed(self, option: str) -> Any:
        """Return an option as the weights were made by it, whatever ``set_params`` says since."""
        return self._fitted_params[option] if self._ready else getattr(self, option)

    @property
    def _dtype(self) -> str:
        """The dtype of arrays, where that of products may be another."""
        name = _check.compute_dtype(self._followed("dtype"))
        return "float32" if name == "bfloat16" else name

    def _keep_params(self) -> None:
        super()._keep_params()
        self._fitted_params["augment"] = None  # which no file holds

    def _write(self, options: dict[str, Any]) -> tuple[dict[str, Any], str, dict[str, Floats]]:
        layer_options = options["layer_options"]
        options |= {"layer_options": None if layer_options is None else dict(layer_options)}
        config = {
            "options": self._options_to_json(options),
            "reader": self.reader.to_json(),
            "targets": self._targets_to_json(),
        }
        vocabulary = "" if self.reader.vocabulary is None else self.reader.vocabulary.to_json()
        return (
            config,
            vocabulary,
            {f"{self._learned}{name}": value for name, value in self.reader.tensors().items()},
        )

    @classmethod
    def _options_in(cls, config: dict[str, Any]) -> dict[str, Any]:
        return cls._options_from_json(dict(config["options"]))

    def _read_from(self, file: ModelFile, tokenizers: Tokenizers) -> None:
        learned = file.part(self._learned)
        self.reader = Reader.from_json(file.config["reader"], file.vocabulary, learned, tokenizers[0])
        self._targets_from_json(file.config["targets"], tokenizers[1])
        check_size(self._least_size(), file)
        # Of a checkpoint the seed too, which draws what training drops.
        run = file.training.get("options")
        self._build(0 if run is None else Options.from_json(run).seed)
        self._ready = True
