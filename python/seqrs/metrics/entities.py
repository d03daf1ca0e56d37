"""Entities in sequences of tags, found and counted as conlleval does."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from seqrs import _check

__all__ = ["EntityScores", "Score", "entities", "entity_scores"]

Tags = Sequence[str]


@dataclass(frozen=True)
class Score:
    """How many entities there are, were found, and were found rightly.

    Attributes
    ----------
    true, found, correct : int
        Entities in the truth, in the prediction, and in both.

    Examples
    --------
    >>> from seqrs import metrics
    >>> score = metrics.Score(true=4, found=5, correct=3)
    >>> score.precision, score.recall, round(score.f1, 3)
    (0.6, 0.75, 0.667)
    """

    true: int
    found: int
    correct: int

    @property
    def precision(self) -> float:
        """Share of the entities found that are right; 0 where none was found."""
        return self.correct / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of the true entities that were found; 0 where there is none."""
        return self.correct / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """2 P R / (P + R), the harmonic mean of precision P and recall R; 0 where both are 0."""
        both = self.true + self.found
        return 2 * self.correct / both if both else 0.0


@dataclass(frozen=True)
class EntityScores(Score):
    """The score over all entities (conlleval's overall line), by type, and of single tags.

    Attributes
    ----------
    by_type : dict of str to Score
        One for each type of entity, sorted by name.
    accuracy : float
        Share of tags that are right, ``O`` among them.

    Examples
    --------
    >>> from seqrs import metrics
    >>> scores = metrics.entity_scores([["B-LOC", "O", "B-PER"]], [["B-LOC", "O", "B-LOC"]])
    >>> print(scores)
           precision  recall      F1  true  found  correct
    all       0.5000  0.5000  0.5000     2      2        1
    LOC       0.5000  1.0000  0.6667     1      2        1
    PER       0.0000  0.0000  0.0000     1      0        0
    """

    by_type: dict[str, Score]
    accuracy: float

    def __str__(self) -> str:
        rows = {"all": self, **self.by_type}
        width = max(map(len, rows))
        lines = [
            f"{'':{width}}  {'precision':>11}{'recall':>8}{'F1':>8}{'true':>6}{'found':>7}{'correct':>9}"
        ]
        lines += [
            f"{name:{width}}  {score.precision:11.4f}{score.recall:8.4f}{score.f1:8.4f}"
            f"{score.true:6}{score.found:7}{score.correct:9}"
            for name, score in rows.items()
        ]
        return "\n".join(lines)


def entity_scores(y_true: Sequence[Tags], y_pred: Sequence[Tags]) -> EntityScores:
    """Precision, recall and F1 of entities: right is what has the same first and last step and type.

    The counts are those of ``conlleval``, the program of the CoNLL shared tasks (Tjong Kim Sang
    and De Meulder 2003), also for tags out of order: see :func:`entities`.

    Parameters
    ----------
    y_true, y_pred : sequence of sequences of str
        The tags of each sentence: ``"O"``, ``"B-TYPE"`` or ``"I-TYPE"``. No entity goes beyond
        its sentence.

    Returns
    -------
    EntityScores
        With `precision`, `recall` and `f1`, and the same `by_type`. conlleval shows them times
        100.

    Raises
    ------
    ValueError
        If there are no tags, not as many of one as of the other, or a tag is none of these.
    TypeError
        If one of them is no list of lists, such as a text.

    Examples
    --------
    >>> from seqrs import metrics
    >>> truth = ["B-PER I-PER O B-LOC".split(), "O B-ORG".split()]
    >>> found = ["B-PER I-PER O B-ORG".split(), "O B-ORG".split()]
    >>> scores = metrics.entity_scores(truth, found)
    >>> round(scores.f1, 3), scores.by_type["PER"].f1
    (0.667, 1.0)
    """
    _check.many("y_true", y_true, "sequences of tags")
    _check.many("y_pred", y_pred, "sequences of tags")
    if len(y_true) != len(y_pred):
        raise ValueError(f"y_pred: expected {len(y_true)} sequences as y_true has, got {len(y_pred)}")
    true, found, correct = Counter[str](), Counter[str](), Counter[str]()
    tags = right = 0
    for i, (wanted, got) in enumerate(zip(y_true, y_pred, strict=True)):
        if len(wanted) != len(got):
            raise ValueError(f"y_pred[{i}]: expected {len(wanted)} tags as y_true has, got {len(got)}")
        spans, guesses = set(_spans(f"y_true[{i}]", wanted)), set(_spans(f"y_pred[{i}]", got))
        for counter, some in (true, spans), (found, guesses), (correct, spans & guesses):
            counter.update(kind for kind, _, _ in some)
        tags += len(wanted)
        right += sum(str(a) == str(b) for a, b in zip(wanted, got, strict=True))
    if tags == 0:
        raise ValueError("y_true: expected at least one tag, got none")
    by_type = {
        kind: Score(true[kind], found[kind], correct[kind]) for kind in sorted(true.keys() | found.keys())
    }
    return EntityScores(true.total(), found.total(), correct.total(), by_type, right / tags)


def entities(tags: Tags) -> list[tuple[str, int, int]]:
    """Return the entities that a sequence of tags marks, as conlleval reads it.

    An entity begins at ``B``, and at an ``I`` that does not go on with one: after ``O``, after
    another type, or at the beginning. It ends before the next beginning, before ``O``, and with
    the sequence.

    Parameters
    ----------
    tags : sequence of str
        ``"O"``, ``"B-TYPE"`` or ``"I-TYPE"``.

    Returns
    -------
    list of (str, int, int)
        Type, first step, and the step after the last: ``tokens[first:end]`` is the entity.

    Raises
    ------
    ValueError
        If a tag is none of these.
    TypeError
        If it is no list, such as a text.

    Examples
    --------
    >>> from seqrs import metrics
    >>> metrics.entities(["B-PER", "I-PER", "B-PER", "O", "I-LOC", "I-ORG"])
    [('PER', 0, 2), ('PER', 2, 3), ('LOC', 4, 5), ('ORG', 5, 6)]
    """
    return _spans("tags", tags)


def _spans(name: str, tags: Tags) -> list[tuple[str, int, int]]:
    _check.many(name, tags, "tags")
    spans: list[tuple[str, int, int]] = []
    current: str | None = None  # the type of the entity at the step before
    for t, tag in enumerate(tags):
        letter, _, kind = str(tag).partition("-")
        if letter not in ("B", "I", "O") or (letter == "O" and kind):
            raise ValueError(f'{name}: expected "O", "B-TYPE" or "I-TYPE", got {str(tag)!r} at step {t}')
        if letter == "O":
            current = None
        elif letter == "I" and kind == current:
            spans[-1] = (kind, spans[-1][1], t + 1)
        else:
            spans.append((kind, t, t + 1))
            current = kind
    return spans
