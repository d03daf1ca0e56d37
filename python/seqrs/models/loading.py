"""Reading any model file."""

import os
from typing import Any

from seqrs import _check
from seqrs.exceptions import ModelFileError
from seqrs.io import ModelFile
from seqrs.models.classifier import SequenceClassifier
from seqrs.models.generator import SequenceGenerator
from seqrs.models.language_model import LanguageModel
from seqrs.models.regressor import SequenceRegressor
from seqrs.models.tagger import SequenceTagger
from seqrs.models.transcriber import Transcriber
from seqrs.models.translator import Translator
from seqrs.text.tokenizers import Tokenizer

_MODELS: tuple[Any, ...] = (
    LanguageModel,
    SequenceClassifier,
    SequenceGenerator,
    SequenceRegressor,
    SequenceTagger,
    Transcriber,
    Translator,
)
_KINDS = {model.kind: model for model in _MODELS}


def load(
    path: str | os.PathLike[str],
    *,
    device: str | None = None,
    tokenizer: Tokenizer | tuple[Tokenizer, Tokenizer] | None = None,
) -> Any:
    """Read a model file.

    Parameters
    ----------
    path : str or path
        What ``save`` wrote, or a training checkpoint (the model as it was last). No file can
        run code.
    device : str, optional
        Where the model is to run, such as ``"cpu"`` for one that was made on a graphics processor.
        Default: where it was made for.
    tokenizer : Tokenizer, or pair of them, optional
        For a model whose `level` was a tokenizer object: that object, which no file holds. For a
        Translator with two of them the pair, for sources and for targets.

    Returns
    -------
    LanguageModel, SequenceClassifier, ...
        A model of the class that wrote the file.

    Raises
    ------
    ModelFileError
        If the file is not a seqrs model, or is cut short or damaged.
    OSError
        If it cannot be read.
    ValueError
        If the model needs a `tokenizer`.

    Examples
    --------
    >>> import seqrs
    >>> model = seqrs.LanguageModel(hidden_size=16, num_layers=1, seed=0)
    >>> model.fit("tick tock " * 100, epochs=2, progress=False).save("clock.seqrs")
    >>> again = seqrs.load("clock.seqrs")
    >>> again.sample(20, seed=1) == model.sample(20, seed=1)
    True
    """
    file = ModelFile.read(_check.path("path", path))
    if file.kind not in _KINDS:
        raise ModelFileError(
            f"{os.fspath(path)}: of kind {file.kind!r}; this version of seqrs reads {', '.join(_KINDS)}"
        )
    return _KINDS[file.kind].from_file(file, os.fspath(path), device=device, tokenizer=tokenizer)
