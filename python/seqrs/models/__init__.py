"""Models in people's terms: ``fit`` them to data, use them, ``save`` them; :func:`load` reads them back."""

from seqrs.models.classifier import SequenceClassifier as SequenceClassifier
from seqrs.models.generator import SequenceGenerator as SequenceGenerator
from seqrs.models.language_model import LanguageModel as LanguageModel
from seqrs.models.loading import load as load
from seqrs.models.quantized import QuantizedModel as QuantizedModel
from seqrs.models.regressor import SequenceRegressor as SequenceRegressor
from seqrs.models.sequence_options import SequenceOptions as SequenceOptions
from seqrs.models.tagger import SequenceTagger as SequenceTagger
from seqrs.models.transcriber import Transcriber as Transcriber
from seqrs.models.transcriber import Transcript as Transcript
from seqrs.models.translation import Translation as Translation
from seqrs.models.translator import Translator as Translator

__all__ = [
    "LanguageModel",
    "QuantizedModel",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceOptions",
    "SequenceRegressor",
    "SequenceTagger",
    "Transcriber",
    "Transcript",
    "Translation",
    "Translator",
    "load",
]
