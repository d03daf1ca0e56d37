"""Vocabulary, tokenizers, corpora and batches."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqrs.batches import Batch, FileBatches, LineBatches
from seqrs.models.text_data import TextData
from seqrs.text import (
    ByteTokenizer,
    CharTokenizer,
    Corpus,
    Detokenizer,
    Tokenizer,
    Vocabulary,
    WordTokenizer,
)
from seqrs.text.codec import LEVELS

# Letters of several alphabets, punctuation, white space of several kinds, and what is beyond 16 bits.
TEXTS = st.text(
    st.sampled_from("abcAéßñжあ字🙂 .,'\"()-!?\n\t\r\u2028\u00a0_7") | st.characters(codec="utf-8")
)
WORDS = st.text(st.sampled_from("abé.,'-() \n\t"))


class Pairs:
    """A tokenizer of one's own: two characters a token."""

    def __repr__(self) -> str:
        return "Pairs()"

    def tokenize(self, text: str) -> list[str]:
        return [text[place : place + 2] for place in range(0, len(text), 2)]

    def detokenize(self, tokens: list[str]) -> str:
        return "".join(tokens)


# Vocabulary


@given(st.lists(st.text(), min_size=1), st.lists(st.text()))
def test_vocabulary_round_trip_and_unseen_tokens(seen: list[str], others: list[str]) -> None:
    vocabulary = Vocabulary.build(seen)
    assert vocabulary.decode(vocabulary.encode(seen)) == seen
    numbers = vocabulary.encode(others)
    assert [n >= 0 for n in numbers] == [token in vocabulary for token in others]
    with_unk = Vocabulary.build(seen, unk=True, eos=True)
    assert (with_unk.encode(others) >= 0).all()
    assert Vocabulary.from_json(with_unk.to_json()) == with_unk


def test_vocabulary_is_ordered_by_count_and_cut() -> None:
    tokens = ["b", "b", "b", "a", "a", "c", "c", "d"]
    assert Vocabulary.build(tokens).tokens == ("b", "a", "c", "d")
    assert Vocabulary.build(tokens, min_count=2).tokens == ("b", "a", "c")
    assert Vocabulary.build(tokens, max_size=4, unk=True, eos=True).tokens == ("<EOS>", "<UNK>", "b", "a")


def test_one_hot_vectors() -> None:
    expected = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0]])
    assert (Vocabulary("abc").one_hot([1, -1, 0], "float64") == expected).all()


def test_vocabulary_file(tmp_path: Path) -> None:
    vocabulary = Vocabulary.build(["zwölf", "Boxkämpfer"], unk=True)
    vocabulary.save(tmp_path / "words.json")
    assert Vocabulary.load(tmp_path / "words.json") == vocabulary
    for content in ("[1]", "{", '{"tokens": [1]}', '{"tokens": ["a", "a"]}'):
        (tmp_path / "words.json").write_text(content)
        with pytest.raises(ValueError, match=r"words\.json: not a vocabulary"):
            Vocabulary.load(tmp_path / "words.json")


def test_vocabulary_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="min_count"):
        Vocabulary.build("a", min_count=0)
    with pytest.raises(ValueError, match="max_size"):
        Vocabulary.build("a", max_size=2, unk=True, eos=True)
    with pytest.raises(ValueError, match="at least 2 times"):
        Vocabulary.build("ab", min_count=2)
    with pytest.raises(ValueError, match="'a' more than once"):
        Vocabulary("aba")
    with pytest.raises(ValueError, match="numbers: expected integers from 0 to 1, got -1"):
        Vocabulary("ab").decode([-1])


# Tokenizers


@pytest.mark.parametrize("tokenizer", [CharTokenizer(), ByteTokenizer(), Pairs()], ids=repr)
@given(text=TEXTS)
def test_lossless_tokenizers(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.detokenize(tokenizer.tokenize(text)) == text


@pytest.mark.parametrize("split", [False, True])
@given(text=TEXTS | WORDS)
def test_words_keep_all_but_the_amount_of_white_space(split: bool, text: str) -> None:
    tokenizer = WordTokenizer(split_punctuation=split)
    again = tokenizer.detokenize(tokenizer.tokenize(text))
    kept = text.replace("￭", "") if split else text
    assert again == "\n".join(" ".join(line.split()) for line in kept.split("\n"))


def test_words_as_the_literature_counts_them() -> None:
    assert WordTokenizer().tokenize(" no it was n't <unk> \n N . \n") == [
        *("no", "it", "was", "n't", "<UNK>", "<EOS>"),
        *("N", ".", "<EOS>"),
    ]


@pytest.mark.parametrize("name", LEVELS)
@given(text=TEXTS, ends=st.lists(st.integers(0, 50)))
def test_streamed_pieces_are_the_whole_text(name: str, text: str, ends: list[int]) -> None:
    tokenizer = LEVELS[name]
    tokens = tokenizer.tokenize(text)
    stream = Detokenizer(tokenizer)
    cuts = [0, *sorted(ends), len(tokens)]
    pieces = [stream.feed(tokens[begin:end]) for begin, end in pairwise(cuts) if begin <= end]
    assert "".join(pieces) + stream.finish() == tokenizer.detokenize(tokens)


@given(st.binary())
def test_bytes_that_are_no_text_stream_as_they_decode(content: bytes) -> None:
    tokens = list(content.decode("latin-1"))
    stream = Detokenizer(ByteTokenizer())
    text = "".join([stream.feed([token]) for token in tokens]) + stream.finish()
    assert text == content.decode("utf-8", "replace") == ByteTokenizer().detokenize(tokens)


def test_characters_are_held_back_until_complete() -> None:
    stream = Detokenizer(ByteTokenizer())
    assert [stream.feed([token]) for token in ByteTokenizer().tokenize("é🙂a")] == [
        "",
        "é",
        "",
        "",
        "",
        "🙂",
        "a",
    ]


def test_lone_surrogates_do_not_crash() -> None:
    assert ByteTokenizer().tokenize("a\ud800") == ["a", "?"]
    assert Vocabulary("a").encode("a\ud800").tolist() == [0, -1]


# Corpora


def test_what_a_text_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo")
    (tmp_path / "b.txt").write_bytes(b"three\n")
    assert Corpus.read("a.txt").documents == ("one\n\ntwo",)
    assert Corpus.read(tmp_path / "a.txt", "line").documents == ("one", "two")
    both = [tmp_path / "a.txt", tmp_path / "b.txt"]
    assert Corpus.read(both).documents == ("one\n\ntwo\nthree\n",)
    assert Corpus.read(both, "line") == Corpus(("one", "two", "three"), tuple(map(str, both)))
    assert Corpus.read("just words").documents == ("just words",)
    assert Corpus.read(["a.txt", "x\ny\n"], "line") == Corpus(("a.txt", "x\ny"))
    assert Corpus.read(["a.txt", "x\ny\n"]).documents == ("a.txt\nx\ny\n",)
    assert Corpus.read(line for line in ["x\n", "y\n"]).documents == ("x\ny\n",)


def test_unreadable_texts(tmp_path: Path) -> None:
    broken = tmp_path / "broken.txt"
    for mark in (b"", b"\xef\xbb\xbf"):
        broken.write_bytes(mark + b"caf\xc3\xa9\ncaf\xe9 au lait")
        place = len(mark) + 9
        with pytest.raises(
            ValueError,
            match=rf"broken\.txt: expected UTF-8 text, got byte 0xe9 at position {place} \(line 2\)",
        ):
            Corpus.read(broken)
    with pytest.raises(FileNotFoundError, match=r"no file 'corpsu\.txt'"):
        Corpus.read("corpsu.txt")
    with pytest.raises(FileNotFoundError):
        Corpus.read(tmp_path / "missing")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match=r"text: expected some text, got nothing .* from .*empty\.txt"):
        Corpus.read(tmp_path / "empty.txt")
    for nothing in ("", " \n", [], ["", "\n"]):
        with pytest.raises(ValueError, match="expected some text"):
            Corpus.read(nothing, "line")
    with pytest.raises(TypeError, match="text: expected a str, a path or an iterable"):
        Corpus.read(7)
    with pytest.raises(TypeError, match="as items, got int"):
        Corpus.read([7])
    with pytest.raises(ValueError, match="documents: expected"):
        Corpus.read("some text", "page")


def test_fingerprints_differ() -> None:
    prints = {Corpus(documents).sha256 for documents in [("ab",), ("a", "b"), ("b", "a"), ("ab ",)]}
    assert len(prints) == 4


def test_validation_split() -> None:
    text = "".join(chr(97 + number % 26) for number in range(1000))
    training, held = TextData.read(text + "\n", 0.1, "file").split(CharTokenizer(), seed=0)
    assert held is not None
    assert "".join(training[0] + held[0]) == text + "\n"
    assert len(held[0]) == 101  # int(1001 * 0.9) = 900 are for training

    names = [f"name{number}" for number in range(50)]
    splits = [TextData.read(names, 0.2, "line").split(CharTokenizer(), seed) for seed in (0, 0, 1)]
    assert splits[0] == splits[1] != splits[2]
    training, held = splits[0]
    assert held is not None
    assert len(held) == 10
    assert sorted(map("".join, training + held)) == sorted(name + "<EOS>" for name in names)
    with pytest.raises(ValueError, match="validation: expected a text long enough"):
        TextData.read(["a"], 0.1, "line").split(CharTokenizer(), 0)
    with pytest.raises(ValueError, match="validation: expected a number from 0 to below 1"):
        TextData.read("abc", 1.5, "file")


# Batches


def read_out(batch: Batch) -> tuple[list[list[int]], list[list[int]]]:
    """Inputs and targets of each row, padding cut off."""
    lengths = [batch.inputs.shape[1]] * len(batch.inputs) if batch.lengths is None else batch.lengths
    rows = list(zip(batch.inputs, batch.targets, lengths, strict=True))
    return [list(i[:n]) for i, _, n in rows], [list(t[:n]) for _, t, n in rows]


@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**64 - 1))
def test_file_batches_read_rows_through(count: int, window: int, rows: int, seed: int) -> None:
    text = np.arange(1, count + 1, dtype=np.int32)
    if count < window:
        with pytest.raises(ValueError, match=f"at least one window of {window} tokens"):
            FileBatches(text, seq_len=window, batch_size=rows, seed=seed)
        return
    batches = FileBatches(text, seq_len=window, batch_size=rows, seed=seed)
    steps = [batches.batch(3, step) for step in range(batches.steps(3))]
    assert [step.fresh for step in steps] == [True] + [False] * (len(steps) - 1)
    widths = [step.inputs.shape[1] for step in steps]
    assert max(widths) <= window
    assert max(widths) - min(widths) <= 1
    inputs = np.concatenate([step.inputs for step in steps], 1)
    targets = np.concatenate([step.targets for step in steps], 1)
    assert (inputs[:, 0] == -1).all()
    assert (inputs[:, 1:] == targets[:, :-1]).all()
    # Rows are consecutive stretches of the text, and little is left out.
    assert (np.diff(targets.ravel()) == 1).all()
    assert count - targets.size < window + rows
    assert [step.scored for step in steps] == [step.targets.size for step in steps]


def test_file_offsets_move_every_epoch() -> None:
    batches = FileBatches(np.arange(1000, dtype=np.int32), seq_len=50, batch_size=4, seed=0)
    begins = [int(batches.batch(epoch, 0).targets[0, 0]) for epoch in range(20)]
    assert len(set(begins)) > 10
    again = FileBatches(np.arange(1000, dtype=np.int32), seq_len=50, batch_size=4, seed=0)
    assert begins == [int(again.batch(epoch, 0).targets[0, 0]) for epoch in range(20)]


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=300),
    st.integers(1, 12),
    st.integers(1, 9),
    st.booleans(),
)
def test_line_batches_read_every_document_once(
    sizes: list[int], window: int, rows: int, shuffle: bool
) -> None:
    documents = [np.arange(size, dtype=np.int32) + 100 * number for number, size in enumerate(sizes)]
    batches = LineBatches(documents, seq_len=window, batch_size=rows, seed=1, shuffle=shuffle)
    seen: list[list[int]] = []
    current: list[tuple[list[int], list[int]]] = []
    for step in range(batches.steps(2)):
        batch = batches.batch(2, step)
        assert batch.inputs.shape[1] <= window
        inputs, targets = read_out(batch)
        assert batch.scored == sum(map(len, targets))
        if batch.fresh:
            seen += [target for _, target in current]
            current = [([], []) for _ in inputs]
        for (i, t), (more_i, more_t) in zip(current, zip(inputs, targets, strict=True), strict=True):
            i += more_i
            t += more_t
        assert all(i == [-1, *t[:-1]] for i, t in current)
    seen += [target for _, target in current]
    assert sorted(seen) == sorted(document.tolist() for document in documents)


def test_line_order_changes_every_epoch_and_rows_have_similar_lengths() -> None:
    rng = np.random.default_rng(0)
    documents = [np.zeros(size, np.int32) for size in rng.integers(1, 40, 1000)]
    batches = LineBatches(documents, seq_len=50, batch_size=10, seed=0)
    orders = [[batches.batch(epoch, step).inputs.shape[1] for step in range(100)] for epoch in range(2)]
    assert orders[0] != orders[1]
    padding = [
        1 - batch.scored / batch.targets.size for batch in (batches.batch(0, step) for step in range(100))
    ]
    assert np.mean(padding) < 0.05
