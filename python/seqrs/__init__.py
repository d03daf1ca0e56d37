"""Recurrent sequence models (RNN, GRU, LSTM) at the speed of the hardware.

Two levels:

- :mod:`seqrs.nn`: layers. Arrays in, arrays out, forward and backward passes called by you.
- :mod:`seqrs.models`: models in people's terms, such as :class:`LanguageModel`: ``fit`` a text,
  ``sample`` from it, ``save`` it; :func:`load` reads it back.

Beside them: :mod:`seqrs.losses` and :mod:`seqrs.optim` for training loops of your own,
:mod:`seqrs.decoding` (the best tags or labels), :mod:`seqrs.features` (log-mel of sound),
:mod:`seqrs.metrics` (how good predictions are), :mod:`seqrs.gpu` (graphics processors), :mod:`seqrs.inspect` (what a layer does with its
memory), :mod:`seqrs.text` (vocabulary, tokenizers), :mod:`seqrs.datasets` (sequences made by a
rule), :mod:`seqrs.testing` (check your own gradients), :mod:`seqrs.educational` (the cells in
plain NumPy, as the course notes write them) and :mod:`seqrs.exceptions`.

Names are imported when first used, so that ``import seqrs`` and ``seqrs --help`` cost nothing.
"""

# A literal False, not typing's: type checkers treat the name as true, and `import typing` is
# most of what importing this module would cost.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from seqrs import datasets as datasets
    from seqrs import decoding as decoding
    from seqrs import educational as educational
    from seqrs import exceptions as exceptions
    from seqrs import features as features
    from seqrs import gpu as gpu
    from seqrs import inspect as inspect
    from seqrs import losses as losses
    from seqrs import metrics as metrics
    from seqrs import models as models
    from seqrs import nn as nn
    from seqrs import optim as optim
    from seqrs import testing as testing
    from seqrs import text as text
    from seqrs._machine import cpu_features as cpu_features
    from seqrs._machine import get_num_threads as get_num_threads
    from seqrs._machine import set_num_threads as set_num_threads
    from seqrs._native import version as __version__
    from seqrs.models import LanguageModel as LanguageModel
    from seqrs.models import SequenceClassifier as SequenceClassifier
    from seqrs.models import SequenceGenerator as SequenceGenerator
    from seqrs.models import SequenceRegressor as SequenceRegressor
    from seqrs.models import SequenceTagger as SequenceTagger
    from seqrs.models import Transcriber as Transcriber
    from seqrs.models import Translator as Translator
    from seqrs.models import load as load
    from seqrs.text import Vocabulary as Vocabulary
else:
    # name: where it lives ("module" itself, or "module:attribute"). Each line mirrors one above.
    _WHERE = {
        "datasets": "seqrs.datasets",
        "decoding": "seqrs.decoding",
        "educational": "seqrs.educational",
        "exceptions": "seqrs.exceptions",
        "features": "seqrs.features",
        "gpu": "seqrs.gpu",
        "inspect": "seqrs.inspect",
        "losses": "seqrs.losses",
        "metrics": "seqrs.metrics",
        "models": "seqrs.models",
        "nn": "seqrs.nn",
        "optim": "seqrs.optim",
        "testing": "seqrs.testing",
        "text": "seqrs.text",
        "cpu_features": "seqrs._machine:cpu_features",
        "get_num_threads": "seqrs._machine:get_num_threads",
        "set_num_threads": "seqrs._machine:set_num_threads",
        "__version__": "seqrs._native:version",
        "LanguageModel": "seqrs.models:LanguageModel",
        "SequenceClassifier": "seqrs.models:SequenceClassifier",
        "SequenceGenerator": "seqrs.models:SequenceGenerator",
        "SequenceRegressor": "seqrs.models:SequenceRegressor",
        "SequenceTagger": "seqrs.models:SequenceTagger",
        "Transcriber": "seqrs.models:Transcriber",
        "Translator": "seqrs.models:Translator",
        "load": "seqrs.models:load",
        "Vocabulary": "seqrs.text:Vocabulary",
    }

    def __getattr__(name):
        where = _WHERE.get(name)
        if where is None:
            raise AttributeError(f"module 'seqrs' has no attribute {name!r}")
        from importlib import import_module

        module, _, attribute = where.partition(":")
        value = import_module(module)
        if attribute:
            value = getattr(value, attribute)
        globals()[name] = value  # the next use does not come here
        return value


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "LanguageModel",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceRegressor",
    "SequenceTagger",
    "Transcriber",
    "Translator",
    "Vocabulary",
    "__version__",
    "cpu_features",
    "datasets",
    "decoding",
    "educational",
    "exceptions",
    "features",
    "get_num_threads",
    "gpu",
    "inspect",
    "load",
    "losses",
    "metrics",
    "models",
    "nn",
    "optim",
    "set_num_threads",
    "testing",
    "text",
]
