"""Model files: safetensors inside, so no file can run code and other libraries can read it.

The tensors are the model's weights under the names of ``state_dict()``; a training checkpoint
holds more, under names with a prefix (``optimizer.``, ``state.``, ``best.``). The metadata are
strings:

==================== ===========================================================================
``seqrs.format``     version of this layout, now ``"1"``
``seqrs.kind``       what the model is, such as ``"language_model"``
``seqrs.config``     its options, JSON
``seqrs.vocabulary`` its tokens, JSON
``seqrs.training``   how it was trained and how far, JSON
==================== ===========================================================================

Integers that may need 64 bits (seeds, counters) are strings within the JSON, since many JSON
readers keep only 53 bits of a number.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqrs import _native
from seqrs._check import Floats
from seqrs.exceptions import ModelFileError

FORMAT = "1"


@dataclass(frozen=True, eq=False)
class ModelFile:
    """What a model file holds.

    Attributes
    ----------
    kind : str
        What the model is.
    config : dict
        Its options.
    vocabulary : str
        JSON for :meth:`seqrs.text.Vocabulary.from_json`.
    training : dict
        How it was trained and how far.
    tensors : dict of str to ndarray
        Weights, and for a checkpoint what training needs besides.
    """

    kind: str
    config: dict[str, Any]
    vocabulary: str
    training: dict[str, Any]
    tensors: Mapping[str, Floats]

    def part(self, prefix: str) -> dict[str, Floats]:
        """Return the tensors whose names begin with a prefix, without the prefix."""
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written: a full disk, a folder that is not there. A file that stood
            there before is still as it was.
        """
        metadata = {
            "seqrs.format": FORMAT,
            "seqrs.kind": self.kind,
            "seqrs.config": json.dumps(self.config, default=_plain),
            "seqrs.vocabulary": self.vocabulary,
            "seqrs.training": json.dumps(self.training, default=_plain),
        }
        _native.save_file(os.fspath(path), dict(self.tensors), metadata)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "ModelFile":
        """Read a file.

        Raises
        ------
        ModelFileError
            If it is not a seqrs model, is cut short or damaged, or is of a newer format.
        OSError
            If it cannot be read.
        """
        name = os.fspath(path)
        try:
            tensors, metadata = _native.load_file(name)
        except TypeError as error:  # numbers of a kind that NumPy does not have
            raise ModelFileError(f"{name}: {error}") from None
        if "seqrs.format" not in metadata:
            raise ModelFileError(f"{name}: a safetensors file, but not a seqrs model")
        if metadata["seqrs.format"] != FORMAT:
            raise ModelFileError(
                f"{name}: of format {metadata['seqrs.format']!r}; this version of seqrs reads format {FORMAT!r}"
            )
        try:
            return cls(
                metadata["seqrs.kind"],
                dict(json.loads(metadata["seqrs.config"])),
                metadata["seqrs.vocabulary"],
                dict(json.loads(metadata["seqrs.training"])),
                tensors,
            )
        except KeyError as error:
            raise ModelFileError(f"{name}: {error.args[0]} is missing from the metadata") from None
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"{name}: the metadata are damaged: {error}") from None


def _plain(value: np.generic) -> Any:
    """Return a NumPy scalar, such as an option may be, as the number it is."""
    return value.item()
