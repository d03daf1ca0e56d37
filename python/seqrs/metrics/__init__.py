"""How good predictions are: numbers to report, computed as the literature computes them.

=========================== ==============================================================
`accuracy`                  share of labels that are right: classes, or tags step by step
`confusion_matrix`          how often each label was taken for each other one
`exact_match`               share of sequences that are right from end to end
`entity_scores`             precision, recall and F1 of entities, as conlleval counts them
`bleu`                      translations against references
`edit_distance`             fewest insertions, deletions and substitutions
`character_error_rate`      those of characters, a character of the reference
`word_error_rate`           those of words, a word of the reference
`frame_nll`                 negative log-likelihood a frame, where several keys may sound
=========================== ==============================================================

The truth comes first, the prediction second, as in scikit-learn. Sequences of different length
come as lists of lists, or padded with `lengths`. Everything is NumPy and plain Python;
:func:`bleu` uses the package sacrebleu where it is installed (``pip install "seqrs[bleu]"``), and
needs it to cut plain text into words as papers do.

Examples
--------
>>> from seqrs import metrics
>>> round(metrics.accuracy(["cat", "dog", "dog"], ["cat", "dog", "cat"]), 3)
0.667
>>> truth = [["B-PER", "I-PER", "O", "B-LOC"]]
>>> found = [["B-PER", "I-PER", "O", "O"]]
>>> metrics.entity_scores(truth, found).f1
0.6666666666666666
>>> metrics.word_error_rate(["the cat sat"], ["the cat sits down"])
0.6666666666666666
"""

from seqrs.metrics.entities import EntityScores as EntityScores
from seqrs.metrics.entities import Score as Score
from seqrs.metrics.entities import entities as entities
from seqrs.metrics.entities import entity_scores as entity_scores
from seqrs.metrics.frames import frame_nll as frame_nll
from seqrs.metrics.labels import accuracy as accuracy
from seqrs.metrics.labels import confusion_matrix as confusion_matrix
from seqrs.metrics.labels import exact_match as exact_match
from seqrs.metrics.text import bleu as bleu
from seqrs.metrics.text import character_error_rate as character_error_rate
from seqrs.metrics.text import edit_distance as edit_distance
from seqrs.metrics.text import word_error_rate as word_error_rate

__all__ = [
    "EntityScores",
    "Score",
    "accuracy",
    "bleu",
    "character_error_rate",
    "confusion_matrix",
    "edit_distance",
    "entities",
    "entity_scores",
    "exact_match",
    "frame_nll",
    "word_error_rate",
]
