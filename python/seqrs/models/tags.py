"""The tags of a tagger: which may follow which, the best for what a network says of each step, how good they are."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from seqrs import decoding, metrics
from seqrs._chain import Allowed
from seqrs._check import Floats
from seqrs.models.classifier import softmax
from seqrs.models.examples import apart, side_by_side
from seqrs.models.labels import Classes

#: Scores of starts, transitions and ends.
Chain = tuple[Floats, Floats, Floats]


@dataclass(frozen=True, eq=False)
class Tags:
    """Tags, and what sequences of them are well formed.

    Attributes
    ----------
    classes : Classes
        The tags.
    marks_entities : bool
        Whether some begin with ``B-``.
    allowed : three arrays of bool, or None
        Starts, transitions and ends that are not ruled out; None: all are allowed.
    """

    classes: Classes
    marks_entities: bool
    allowed: Allowed | None

    @classmethod
    def of(cls, classes: Classes, constraints: str | None) -> "Tags":
        """Return tags under the constraints of the option of this name."""
        names = [str(tag) for tag in classes.values]
        marks_entities = any(name.startswith("B-") for name in names)
        if constraints is None or (constraints == "auto" and not marks_entities):
            return cls(classes, marks_entities, None)
        try:
            return cls(classes, marks_entities, decoding.bio_constraints(names))
        except ValueError as error:
            raise ValueError(f"y: {error}; constraints=None is for tags of another form") from None

    def _chain(self, emissions: list[Floats], chain: Chain | None) -> Chain | None:
        """Return scores that only rule out, where there are none of a chain; None where nothing is ruled out."""
        if chain is not None or self.allowed is None:
            return chain
        return cast(Chain, tuple(np.zeros(np.shape(part), emissions[0].dtype) for part in self.allowed))

    def best(self, emissions: list[Floats], chain: Chain | None) -> list[NDArray[np.int32]]:
        """Return the numbers of the best tags of each sequence."""
        chain = self._chain(emissions, chain)
        if chain is None:
            return [row.argmax(1).astype(np.int32) for row in emissions]
        best: list[Any] = [None] * len(emissions)
        for rows, batch, lengths in side_by_side(emissions):
            tags, _ = decoding.viterbi(batch, *chain, lengths=lengths, allowed=self.allowed)
            for i, row in zip(rows, tags, strict=True):
                best[i] = row
        return best

    def probabilities(self, emissions: list[Floats], chain: Chain | None) -> list[Floats]:
        """Return the probability of each tag at each step, over all sequences that are allowed."""
        chain = self._chain(emissions, chain)
        if chain is None:
            return [softmax(row) for row in emissions]
        shares: list[Any] = [None] * len(emissions)
        for rows, batch, lengths in side_by_side(emissions):
            marginals = decoding.crf_marginals(batch, *chain, lengths=lengths, allowed=self.allowed)
            for i, row in zip(rows, apart(marginals, lengths), strict=True):
                shares[i] = row
        return shares

    def score(self, came: list[NDArray[np.int32]], found: list[NDArray[np.int32]]) -> float:
        """Return F1 of entities where tags mark them, else the part of the steps whose tag is right."""
        true, own = ([self.classes.decode(tags).tolist() for tags in rows] for rows in (came, found))
        if not self.marks_entities:
            return metrics.accuracy(true, own)
        return metrics.entity_scores(
            *([[_bio(tag) for tag in row] for row in rows] for rows in (true, own))
        ).f1


def _bio(tag: str) -> str:
    """Return a tag of BIOES or BILOU as one of BIO."""
    return {"E": "I", "L": "I", "S": "B", "U": "B"}.get(tag[:1], tag[:1]) + tag[1:]
