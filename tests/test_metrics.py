"""Metrics against cases counted by hand, known values, and second ways to compute them."""

import math
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrs import metrics

TAGS = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B"])


def test_accuracy_of_labels_of_steps_and_of_padding() -> None:
    assert metrics.accuracy(["a", "b"], np.array(["a", "c"])) == 0.5
    assert metrics.accuracy([[1, 2, 3], [4]], [[1, 2, 0], [0]]) == 0.5  # 2 of 4 steps, not 1/3 of rows
    padded = np.array([[1, 2, 3], [4, 0, 0]])
    assert metrics.accuracy(padded, padded * 1.0) == 1.0
    assert metrics.accuracy(padded, [[1, 0, 0], [4, 9, 9]], lengths=[2, 1]) == pytest.approx(2 / 3)
    assert metrics.accuracy([0, 1], ["0", 1]) == 0.0  # NumPy makes strings of such a list
    assert metrics.accuracy([1, 0, 1], [1, 1, 1], sample_weight=[1, 3, 0]) == 0.25


def test_confusion_matrix_counts_rows_true_columns_found() -> None:
    counts = metrics.confusion_matrix([[0, 2], [2]], [[0, 0], [2]], labels=[2, 1, 0])
    assert counts.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert metrics.confusion_matrix(["x"], ["y"]).tolist() == [[0, 1], [0, 0]]


def test_exact_match_of_strings_and_arrays() -> None:
    assert metrics.exact_match(["ab", "a b"], ["ab", "ab"]) == 0.5
    assert metrics.exact_match([np.array([1, 2]), np.array([1])], [[1, 2], [1, 1]]) == 0.5


# Entities

# Sentences with tags out of order, and what conlleval counts in them, worked out by hand from its rules.
IRREGULAR = [
    ("I-X I-X O", [("X", 0, 2)]),  # I after nothing begins
    ("O I-X", [("X", 1, 2)]),
    ("B-X B-X", [("X", 0, 1), ("X", 1, 2)]),
    ("B-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),  # another type begins
    ("I-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),
    ("I-X O I-X", [("X", 0, 1), ("X", 2, 3)]),
    ("B I O I", [("", 0, 2), ("", 3, 4)]),  # one type without a name
    ("", []),
]


@pytest.mark.parametrize(("tags", "spans"), IRREGULAR)
def test_entities(tags: str, spans: list[tuple[str, int, int]]) -> None:
    assert metrics.entities(tags.split()) == spans


def test_entity_scores_counted_by_hand() -> None:
    true = [["B-PER", "I-PER", "O", "B-LOC", "O"], ["B-ORG", "O", "I-LOC", "I-LOC"]]
    pred = [["B-PER", "I-PER", "O", "O", "B-LOC"], ["B-ORG", "O", "B-LOC", "I-PER"]]
    # Right: PER 0-2, ORG 0-1. The second LOC is found one step short.
    scores = metrics.entity_scores(true, pred)
    assert (scores.true, scores.found, scores.correct) == (4, 5, 2)
    assert (scores.precision, scores.recall) == (0.4, 0.5)
    assert scores.f1 == pytest.approx(4 / 9)
    assert scores.accuracy == pytest.approx(5 / 9)
    assert scores.by_type == {
        "LOC": metrics.Score(2, 2, 0),
        "ORG": metrics.Score(1, 1, 1),
        "PER": metrics.Score(1, 2, 1),
    }


def test_entity_scores_where_there_is_nothing() -> None:
    scores = metrics.entity_scores([["O", "O"]], [["O", "O"]])
    assert (scores.precision, scores.recall, scores.f1, scores.accuracy) == (0.0, 0.0, 0.0, 1.0)


def begins(before: str, tag: str) -> bool:
    """conlleval's startOfChunk, for B, I and O."""
    (b, b_type), (t, t_type) = (f"{x}-".split("-")[:2] for x in (before, tag))
    return (b, t) in {("B", "B"), ("I", "B"), ("O", "B"), ("O", "I")} or (t != "O" and b_type != t_type)


def ends(before: str, tag: str) -> bool:
    """conlleval's endOfChunk, for B, I and O."""
    (b, b_type), (t, t_type) = (f"{x}-".split("-")[:2] for x in (before, tag))
    return (b, t) in {("B", "B"), ("B", "O"), ("I", "B"), ("I", "O")} or (b != "O" and b_type != t_type)


def conlleval(true: list[str], pred: list[str]) -> tuple[int, int, int]:
    """The counts of true, found and right entities, by conlleval's walk through both columns at once."""
    n_true = n_pred = n_right = 0
    in_correct = False
    last_true = last_pred = "O"
    for t, p in zip([*true, "O"], [*pred, "O"], strict=True):
        if in_correct:
            if ends(last_true, t) and ends(last_pred, p):
                in_correct = False
                n_right += 1
            elif ends(last_true, t) != ends(last_pred, p) or t[2:] != p[2:]:
                in_correct = False
        if begins(last_true, t) and begins(last_pred, p) and t[2:] == p[2:]:
            in_correct = True
        n_true += begins(last_true, t)
        n_pred += begins(last_pred, p)
        last_true, last_pred = t, p
    return n_true, n_pred, n_right


@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=12))
def test_entity_scores_are_conllevals(pairs: list[tuple[str, str]]) -> None:
    true, pred = (list(column) for column in zip(*pairs, strict=True))
    scores = metrics.entity_scores([true], [pred])
    assert (scores.true, scores.found, scores.correct) == conlleval(true, pred)


# Texts


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("", "", 0), ("flaw", "lawn", 2)],
)
def test_edit_distance_of_known_pairs(a: str, b: str, distance: int) -> None:
    assert metrics.edit_distance(a, b) == distance


@given(st.text("abc", max_size=8), st.text("abc", max_size=8))
def test_edit_distance_is_the_recursion(a: str, b: str) -> None:
    @cache
    def d(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        return min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (a[i - 1] != b[j - 1]))

    assert metrics.edit_distance(a, b) == d(len(a), len(b))


def test_error_rates_are_over_the_corpus() -> None:
    # 1 error of 4 and 0 of 1: over the corpus 1/5, as a mean of texts it would be 1/8.
    assert metrics.character_error_rate(["four", "a"], ["for", "a"]) == 0.2
    assert metrics.word_error_rate(["a b  c d", "e"], [["a", "b", "d"], ["e"]]) == 0.2
    assert metrics.word_error_rate(["one"], ["one two three"]) == 2.0


def test_bleu_counted_by_hand() -> None:
    # 1-grams 5/5, 2-grams 3/4, 3-grams 2/3, 4-grams 1/2; 5 words for 6.
    expected = 100 * math.exp(1 - 6 / 5) * (1 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    reference, hypothesis = "a man rides a red bike", "a man rides a bike"
    assert metrics.bleu([reference], [hypothesis]) == pytest.approx(expected)
    assert metrics.bleu([reference.split()], [hypothesis.upper().split()], lowercase=True) == pytest.approx(
        expected
    )
    assert metrics.bleu(["a b c d ."], ["a b c d ."]) == pytest.approx(100)


@pytest.mark.parametrize("right", [0.0, 0.1, 0.5, 0.95])
def test_bleu_without_sacrebleu_is_the_same(right: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    references = [rng.choice(list("abcdeF"), n).tolist() for n in rng.integers(0, 12, 40)]
    hypotheses = [
        [word if rng.random() < right else "x" for word in words if rng.random() < 0.9] + ["y"]
        for words in references
    ]
    some = [(references, hypotheses), (references[:1], hypotheses[:1]), ([["a"]], [["a"]]), (["a"], [""])]
    with_it = [metrics.bleu(*pair, lowercase=True) for pair in some]
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    assert [metrics.bleu(*pair, lowercase=True) for pair in some] == pytest.approx(with_it, rel=1e-9)
    with pytest.raises(ImportError, match=r'^tokenize: .* pip install "seqrs\[bleu\]"'):
        metrics.bleu(["a"], ["a"], tokenize="13a")


# Frames


def test_frame_nll_is_a_sum_over_keys_and_a_mean_over_frames() -> None:
    rng = np.random.default_rng(0)
    logits, keys = rng.normal(size=(2, 3, 4)), rng.integers(0, 2, (2, 3, 4))
    p = 1 / (1 + np.exp(-logits))
    nll = -np.where(keys == 1, np.log(p), np.log(1 - p)).sum(axis=2)
    assert metrics.frame_nll(logits, keys) == pytest.approx(nll.mean())
    assert metrics.frame_nll(logits[0], keys[0]) == pytest.approx(nll[0].mean())
    assert metrics.frame_nll(logits, keys, lengths=[3, 1]) == pytest.approx((nll[0].sum() + nll[1, 0]) / 4)


ERRORS = [
    (lambda: metrics.accuracy([], []), "y_true: expected at least one label, got none"),
    (lambda: metrics.accuracy([1, 2], [1]), "y_pred: expected 2 labels as y_true has, got 1"),
    (
        lambda: metrics.accuracy([[1], [2, 2]], [[1], [2]]),
        "y_pred[1]: expected 2 labels as y_true has, got 1",
    ),
    (lambda: metrics.accuracy([[1], [2]], [[1]]), "y_pred: expected 2 sequences as y_true has, got 1"),
    (lambda: metrics.accuracy([1], [1], lengths=[1]), "lengths: expected None, as y_true is no padded array"),
    (lambda: metrics.accuracy([1], [1], sample_weight=[0]), "sample_weight: expected numbers from 0 on"),
    (lambda: metrics.accuracy(np.zeros((1, 1, 1)), [1]), "y_true: expected labels of shape (n,) or (B, T)"),
    (lambda: metrics.accuracy([[[1]]], [1]), "y_true[0]: expected a sequence of labels"),
    (lambda: metrics.confusion_matrix([1], [2], labels=[1]), "labels: expected all labels that occur"),
    (lambda: metrics.confusion_matrix([1], [1], labels=[1, 1]), "labels: expected each label once"),
    (lambda: metrics.exact_match(["a"], []), "y_pred: expected as many sequences as y_true has"),
    (lambda: metrics.entity_scores([["O"]], []), "y_pred: expected 1 sequences as y_true has, got 0"),
    (lambda: metrics.entity_scores([["O"]], [[]]), "y_pred[0]: expected 1 tags as y_true has, got 0"),
    (lambda: metrics.entity_scores([], []), "y_true: expected at least one tag, got none"),
    (
        lambda: metrics.entity_scores([["O", "S-X"]], [["O", "O"]]),
        'y_true[0]: expected "O", "B-TYPE" or "I-TYPE", got \'S-X\' at step 1',
    ),
    (lambda: metrics.entities(["O-X"]), "tags: expected"),
    (lambda: metrics.bleu(["a"], []), "hypotheses: expected as many sentences as references"),
    (lambda: metrics.bleu(["a"], ["a"], tokenize="no"), "tokenize: expected one of"),
    (
        lambda: metrics.character_error_rate(["a"], []),
        "hypotheses: expected 1 as there are references, got 0",
    ),
    (lambda: metrics.word_error_rate([" "], ["a"]), "references: expected something to compare with"),
    (
        lambda: metrics.frame_nll([[0.0], [0.0, 1.0]], [[0.0]]),
        "logits: expected an array, or lists of one length",
    ),
    (lambda: metrics.frame_nll(np.zeros(3), np.zeros(3)), "logits: expected shape (B, T, K) or (T, K)"),
    (lambda: metrics.frame_nll(np.zeros((1, 2)), np.zeros((1, 2)), lengths=[1]), "lengths: expected None"),
    (
        lambda: metrics.frame_nll(np.zeros((1, 2, 1)), np.zeros((1, 2, 1)), lengths=[0]),
        "logits: expected at least one frame that counts, got none",
    ),
]


@pytest.mark.parametrize("metric", [metrics.bleu, metrics.character_error_rate, metrics.word_error_rate])
def test_one_text_is_not_taken_for_a_list_of_characters(metric: Callable[[Any, Any], float]) -> None:
    for true, pred in ("ab", ["ab"]), (["ab"], "ab"), ("abcd", "bcda"):
        with pytest.raises(TypeError, match=r"s: expected a list of texts, got one text$"):
            metric(true, pred)


@pytest.mark.parametrize("many", [None, 5, "ab", b"ab"])
def test_what_is_no_list_is_refused(many: Any) -> None:
    for metric in (metrics.accuracy, metrics.confusion_matrix, metrics.exact_match, metrics.entity_scores):
        with pytest.raises(TypeError, match=r"^y_true: expected a list of .*, got "):
            metric(many, many)  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"^tags: expected a list of tags, got "):
        metrics.entities(many)
    if not isinstance(many, str):
        with pytest.raises(TypeError, match=r"^a: expected a list of items, got "):
            metrics.edit_distance(many, [])


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_what_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below
        call()
    assert str(error.value).startswith(message)
