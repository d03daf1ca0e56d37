"""The model that a command writes or scores with."""

from pathlib import Path
from typing import TYPE_CHECKING

import seqrs

if TYPE_CHECKING:
    from seqrs import LanguageModel


def language_model(path: Path, device: str | None = None) -> "LanguageModel":
    """Read a language model."""
    from seqrs.exceptions import ModelFileError
    from seqrs.io import ModelFile

    file = ModelFile.read(path)
    if file.kind != seqrs.LanguageModel.kind:
        raise ModelFileError(f"{path}: expected a language model, got a {file.kind.replace('_', ' ')}")
    if file.config.get("level") == "custom":
        raise ValueError(
            f"{path}: trained with a tokenizer object, which no file holds: "
            "read it in Python, with seqrs.load(path, tokenizer=...)"
        )
    return seqrs.LanguageModel.from_file(file, str(path), device=device)
