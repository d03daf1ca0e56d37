"""Sample weights: a weight of 0 is to be left out, a weight of 2 to be there twice, in every model and every weight."""

from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs.models.sequence_model import SequenceModel

rng = np.random.default_rng(0)
FEATURES = [rng.normal(size=(n, 2)) for n in (5, 3, 6, 4, 7, 4)]
WORDS = [[2 * letter for letter in row] for row in ("abc", "bb", "cab", "ac", "cabba", "b")]
TAGS = [["O" if word == "aa" else f"B-{word}" for word in row] for row in WORDS]
TEXTS = ["".join(row) for row in WORDS]
# One step an epoch over all of them, so that the order of the data has no part in it; no scales, which
# weights do not reach.
OPTIONS: dict[str, Any] = {
    "hidden_size": 5, "embedding_size": 4, "batch_size": 50, "epochs": 4, "lr": 0.05, "dtype": "float64",
    "standardize": False, "random_state": 0,
}  # fmt: skip

CASES: dict[str, tuple[type[SequenceModel], dict[str, Any], list[Any], list[Any]]] = {
    "classes": (seqrs.SequenceClassifier, {}, FEATURES, list("uvwuvw")),
    "label sets": (seqrs.SequenceClassifier, {}, FEATURES, [{"u"}, {"u", "v"}, set(), {"v"}, {"v"}, {"u"}]),
    "numbers": (seqrs.SequenceRegressor, {}, FEATURES, [1.0, 2.0, 3.0, -1.0, 0.0, 2.0]),
    "numbers of steps": (seqrs.SequenceRegressor, {"pooling": None}, FEATURES, [x[:, 0] for x in FEATURES]),
    "tags": (seqrs.SequenceTagger, {}, WORDS, TAGS),
    "tags weighed": (seqrs.SequenceTagger, {"class_weight": {"O": 3.0}}, WORDS, TAGS),
    "chain": (seqrs.SequenceTagger, {"output": "crf", "char_hidden_size": 3}, WORDS, TAGS),
    "texts": (seqrs.SequenceGenerator, {"level": "char"}, TEXTS, list("uvwuvw")),
    "keys": (seqrs.SequenceGenerator, {"output": "sigmoid"}, [(x > 0).astype(float) for x in FEATURES], list("uvwuvw")),
    "speech": (seqrs.Transcriber, {}, FEATURES, ["ab", "c", "bca", "a", "", "cb"]),
    "translations": (
        seqrs.Translator, {"level": "char", "label_smoothing": 0.1, "min_count": 1}, TEXTS, [text[::-1] for text in TEXTS]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_weight_is_how_often_a_sequence_is_there(case: str) -> None:
    kind, own, X, y = CASES[case]
    weights = np.array([1, 2, 0, 1, 3, 1])
    weighed = kind(**OPTIONS | own).fit(X, y, sample_weight=weights)
    counted = [i for i, weight in enumerate(weights) for _ in range(weight)]
    repeated = kind(**OPTIONS | own).fit([X[i] for i in counted], [y[i] for i in counted])
    # The loss that is reported is the loss that is made small.
    for one, other in zip(weighed.history, repeated.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-9)
    others = repeated.state_dict()
    start = kind(**OPTIONS | own | {"epochs": 0}).fit(X, y).state_dict()
    for name, value in weighed.state_dict().items():
        np.testing.assert_allclose(value, others[name], rtol=0, atol=1e-7, err_msg=name)
        assert (value != start[name]).any(), name
    if case == "chain":
        assert {"chain.start", "chain.transitions", "chain.end"} <= others.keys()


def test_weights_of_one_size_are_none() -> None:
    kind, own, X, y = CASES["chain"]
    plain = kind(**OPTIONS | own).fit(X, y)
    alike = kind(**OPTIONS | own).fit(X, y, sample_weight=np.full(6, 7.0))
    others = alike.state_dict()
    assert all((value == others[name]).all() for name, value in plain.state_dict().items())
