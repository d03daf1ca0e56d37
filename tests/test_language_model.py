"""The language model: it learns, writes, scores, and is the same after a trip through a file."""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import FORMS

import seqrs
from seqrs import LanguageModel

VERSE = "the quick brown fox jumps over the lazy dog.\n"
NAMES = ["anna", "bob", "eve", "otto", "hannah", "ada", "bob"]
# Small and quick: what the tests are about is elsewhere.
SMALL: dict[str, Any] = {"hidden_size": 16, "num_layers": 1, "seed": 0}
QUIET: dict[str, Any] = {"progress": False}
# The option that is each cell's alone.
OWN = {"lstm": "peephole", "gru": "reset", "rnn": "nonlinearity"}
every_form = pytest.mark.parametrize(
    ("cell", "form"), [form for form in FORMS if form[0] in ("rnn", "gru", "lstm")]
)


def option_of(cell: str, form: str) -> dict[str, str]:
    return {"cell": cell, OWN[cell]: form}


@pytest.fixture(scope="module")
def parrot() -> LanguageModel:
    """A model that knows one verse by heart."""
    return LanguageModel(hidden_size=48, num_layers=1, seed=0).fit(
        VERSE * 60, epochs=40, seq_len=45, batch_size=8, lr=1e-2, validation=None, **QUIET
    )


@pytest.fixture(scope="module")
def namer() -> LanguageModel:
    """A model that writes names."""
    return LanguageModel(**SMALL).fit(
        NAMES * 10, documents="line", epochs=100, lr=2e-2, validation=None, **QUIET
    )


@pytest.fixture(scope="module")
def reader() -> LanguageModel:
    """A model of words."""
    text = "the cat sat\na dog ran\nthe dog sat\n" * 40 + "rare words here\n"
    return LanguageModel("word", min_count=2, **SMALL).fit(text, epochs=40, seq_len=12, lr=1e-2, **QUIET)


# Learning


def test_learns_a_verse_by_heart(parrot: LanguageModel) -> None:
    assert parrot.history[-1]["loss"] < 0.05
    assert parrot.perplexity(VERSE * 5) < 1.5
    assert parrot.sample(90, prompt=VERSE, temperature=0) == VERSE * 2


@every_form
def test_every_cell_learns(cell: str, form: str) -> None:
    model = LanguageModel(**SMALL, **option_of(cell, form), dropout=0.1, embedding_size=8)
    model.fit(VERSE * 20, epochs=12, seq_len=20, batch_size=8, lr=1e-2, **QUIET)
    losses = [result["validation_loss"] for result in model.history]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("level", ["char", "byte", "word"])
def test_untrained_model_finds_all_tokens_equally_likely(level: str) -> None:
    text = " ".join(f"{a}{b}" for a, b in itertools.product("abcdefgh", repeat=2)) + "\n"
    model = LanguageModel(level, hidden_size=32, seed=1).fit(text * 3, epochs=0, seq_len=50, **QUIET)
    size = len(model.vocabulary)
    assert math.log(model.perplexity(text * 3)) == pytest.approx(math.log(size), rel=0.02)
    if level != "byte":  # whose vocabulary is all bytes
        assert size == {"char": 10, "word": 66}[level]


def test_same_seed_same_model() -> None:
    def train(seed: int) -> dict[str, np.ndarray]:
        model = LanguageModel(**(SMALL | {"seed": seed}), dropout=0.2)
        return model.fit(VERSE * 10, epochs=2, seq_len=20, **QUIET).state_dict()

    one, two, other = train(3), train(3), train(4)
    assert all((one[name] == two[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)


def test_fit_begins_anew() -> None:
    model = LanguageModel(**SMALL)
    first = model.fit(VERSE * 10, epochs=2, seq_len=20, **QUIET).state_dict()
    second = model.fit(VERSE * 10, epochs=2, seq_len=20, **QUIET).state_dict()
    assert all((first[name] == second[name]).all() for name in first)


def test_a_small_text_is_read_more_often() -> None:
    model = LanguageModel(hidden_size=2, num_layers=1, seed=0).fit(
        VERSE * 5, seq_len=10, batch_size=8, **QUIET
    )
    assert len(model.history) == 500  # of 3 steps: 1,500 updates


def test_tokenizer_of_ones_own(tmp_path: Path) -> None:
    class Pairs:
        def tokenize(self, text: str) -> list[str]:
            return [text[place : place + 2] for place in range(0, len(text), 2)]

        def detokenize(self, tokens: list[str]) -> str:
            return "".join(tokens)

    model = LanguageModel(Pairs(), **SMALL).fit("abcdef" * 100, epochs=40, seq_len=10, lr=1e-2, **QUIET)
    assert model.sample(3, prompt="abcdef", temperature=0) == "abcdef"
    model.save(tmp_path / "pairs.seqrs")
    with pytest.raises(ValueError, match=r"tokenizer: .* pass it"):
        seqrs.load(tmp_path / "pairs.seqrs")
    again = seqrs.load(tmp_path / "pairs.seqrs", tokenizer=Pairs())
    assert again.sample(3, prompt="ab", seed=1) == model.sample(3, prompt="ab", seed=1)


# Writing


@pytest.mark.parametrize(
    "options", [{}, {"top_k": 3}, {"top_p": 0.5}, {"temperature": 1.5}, {"prompt": "the "}]
)
def test_samples_repeat_with_their_seed_alone(parrot: LanguageModel, options: dict[str, Any]) -> None:
    one, two = (parrot.sample(100, seed=5, **options) for _ in range(2))
    assert one == two
    assert len(one) == 100
    assert "".join(parrot.stream(100, seed=5, **options)) == one
    assert len({parrot.sample(100, seed=seed, temperature=1.5) for seed in range(5)}) == 5
    assert parrot.sample(100, temperature=1.5) != parrot.sample(100, temperature=1.5)


def test_stream_yields_as_it_draws(parrot: LanguageModel) -> None:
    stream = parrot.stream(1_000_000_000, prompt="the", temperature=0)
    assert "".join(itertools.islice(stream, 6)) == " quick"


def test_drawn_log_probs_are_the_models_own(namer: LanguageModel) -> None:
    drawn = list(namer.draw(20, temperature=0.5, top_k=3, seed=2))
    tokens = [token for _, more, _ in drawn for token in more]
    values = [value for _, _, more in drawn for value in more]
    assert tokens[-1] == "<EOS>"
    text = "".join(piece for piece, _, _ in drawn)
    expected_tokens, expected = namer.log_probs(text)
    assert tokens == expected_tokens
    assert values == pytest.approx(expected.tolist(), abs=1e-4)


def test_lines_end_where_they_end(namer: LanguageModel) -> None:
    names = [namer.sample(50, temperature=0.3, seed=seed) for seed in range(20)]
    assert sum(name in NAMES for name in names) > 10
    assert not any("<EOS>" in name for name in names)
    assert "\n" in namer.excerpt(20, seed=0)


def test_words_flow_on_unless_told_to_stop(reader: LanguageModel) -> None:
    text = reader.sample(40, seed=1)
    assert text.count("\n") > 3
    assert set(text.split()) <= set(reader.vocabulary)
    one = reader.sample(40, seed=1, stop_at_eos=True)
    assert one == text.split("\n")[0]
    assert reader.sample(2, prompt="the cat", temperature=0) == " sat\n"


def test_unk_is_written_only_if_allowed(reader: LanguageModel) -> None:
    options: dict[str, Any] = {"temperature": 50.0, "seed": 0}  # all tokens about equally likely
    assert "<UNK>" in reader.sample(200, allow_unk=True, **options)
    assert "<UNK>" not in reader.sample(200, **options)


def test_unseen_prompts_warn_or_become_unk(parrot: LanguageModel, reader: LanguageModel) -> None:
    with pytest.warns(UserWarning, match="prompt: 'é', '🙂' not seen in training, read as the zero vector"):
        assert len(parrot.sample(10, prompt="the é🙂é", seed=0)) == 10
    assert reader.sample(5, prompt="zebra", seed=0) == reader.sample(5, prompt="yak", seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature: expected a finite number of at least 0, got -0.1"),
        ({"temperature": math.nan}, "temperature: .* got nan"),
        ({"top_k": 0}, "top_k: expected an integer of at least 1, got 0"),
        ({"top_p": 0.0}, "top_p: expected a finite number above 0, got 0.0"),
        ({"top_p": 1.5}, "top_p: expected a number above 0 and at most 1, got 1.5"),
        ({"length": -1}, "length: expected an integer of at least 0, got -1"),
        ({"seed": -1}, "seed: expected an integer from 0"),
        ({"stop_at_eos": True}, "stop_at_eos: expected a model with <EOS>"),
    ],
)
def test_refused_ways_to_write(parrot: LanguageModel, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parrot.sample(**options)
    with pytest.raises(ValueError, match=message):
        parrot.stream(**options)  # at once, not at the first piece


# Scoring


def softmax_log_probs(model: LanguageModel, numbers: list[int]) -> list[float]:
    """From the logits of the network, one step at a time."""
    values, state, token = [], None, -1
    for number in numbers:
        logits, state = model.network.step(np.array([token]), state)
        x = logits[0].astype(np.float64)
        values.append(x[number] - x.max() - np.log(np.exp(x - x.max()).sum()))
        token = number
    return values


def test_log_prob_is_the_sum_over_the_steps(parrot: LanguageModel) -> None:
    text = VERSE * 30  # longer than a window of the evaluation
    numbers = parrot.vocabulary.encode(text).tolist()
    expected = softmax_log_probs(parrot, numbers)
    tokens, values = parrot.log_probs(text)
    assert tokens == list(text)
    assert values == pytest.approx(expected, abs=1e-4)
    assert parrot.log_prob(text) == pytest.approx(sum(expected), rel=1e-4)
    assert parrot.perplexity(text) == pytest.approx(math.exp(-sum(expected) / len(text)), rel=1e-4)


def test_end_of_a_document_counts(namer: LanguageModel, reader: LanguageModel) -> None:
    assert namer.log_probs("bob")[0] == ["b", "o", "b", "<EOS>"]
    assert reader.log_probs("the cat")[0] == ["the", "cat", "<EOS>"]
    assert reader.log_probs("the cat\n")[0] == ["the", "cat", "<EOS>"]
    assert namer.perplexity(["bob", "eve"]) == pytest.approx(
        math.exp(-(namer.log_prob("bob") + namer.log_prob("eve")) / 8)
    )


def test_probabilities_of_all_documents_sum_to_one() -> None:
    """What is not a document of up to 7 letters is one of 8 or more; both are counted."""
    model = LanguageModel(dtype="float64", **SMALL)
    model.fit(["ab", "b", "abba"] * 10, documents="line", epochs=60, validation=None, **QUIET)
    longest = 7
    words = ["".join(word) for n in range(longest + 1) for word in itertools.product("ab", repeat=n)]
    complete = sum(math.exp(model.log_prob(word)) for word in words)
    beginnings = (model.log_probs("".join(word))[1] for word in itertools.product("ab", repeat=longest + 1))
    longer = sum(math.exp(values[:-1].sum()) for values in beginnings)
    assert complete > 0.5
    assert complete + longer == pytest.approx(1.0, abs=1e-9)


def test_unseen_characters_have_probability_zero(parrot: LanguageModel, reader: LanguageModel) -> None:
    tokens, values = parrot.log_probs("the é")
    assert tokens[-1] == "é"
    assert values[-1] == -math.inf
    assert np.isfinite(values[:-1]).all()
    assert parrot.log_prob("é") == -math.inf
    assert parrot.perplexity("é") == math.inf
    assert math.isfinite(reader.log_prob("never seen"))


def test_validation_leaves_unseen_characters_out() -> None:
    model = LanguageModel(**SMALL)
    with pytest.warns(UserWarning, match="validation: 2 of 44 tokens are not in the training text"):
        model.fit("ab" * 100, validation=["ab" * 20 + "éabz"], epochs=1, seq_len=10, **QUIET)
    assert math.isfinite(model.history[0]["validation_loss"])


def test_empty_text_has_probability_one_or_that_of_its_end(
    parrot: LanguageModel, namer: LanguageModel
) -> None:
    assert parrot.log_prob("") == 0.0
    assert namer.log_prob("") < 0.0


# Options, weights, files


def test_options_follow_scikit_learns_protocol() -> None:
    model = LanguageModel("word", hidden_size=8)
    assert LanguageModel(**model.get_params()).get_params() == model.get_params()
    assert model.set_params(num_layers=3, cell="gru") is model
    assert (model.num_layers, model.cell) == (3, "gru")
    with pytest.raises(ValueError, match="hidden: expected options of LanguageModel"):
        model.set_params(hidden=3)
    with pytest.raises(ValueError, match="num_layers"):
        model.set_params(hidden_size=9, num_layers=0)
    assert (model.hidden_size, model.num_layers) == (8, 3)
    assert repr(model) == "LanguageModel(level='word', cell='gru', hidden_size=8, num_layers=3)"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"level": "sentence"}, ValueError),
        ({"level": 3}, TypeError),
        ({"cell": "transformer"}, ValueError),
        ({"hidden_size": 0}, ValueError),
        ({"hidden_size": 2.5}, TypeError),
        ({"num_layers": 0}, ValueError),
        ({"embedding_size": 0}, ValueError),
        ({"dropout": 1.0}, ValueError),
        ({"peephole": "all"}, ValueError),
        ({"reset": "during"}, ValueError),
        ({"nonlinearity": "gelu"}, ValueError),
        ({"min_count": 0}, ValueError),
        ({"max_vocab": 0}, ValueError),
        ({"dtype": "float16"}, ValueError),
        ({"device": "tpu"}, ValueError),
        ({"seed": -1}, ValueError),
    ],
)
def test_refused_options_are_named(options: dict[str, Any], problem: type[Exception]) -> None:
    (name,) = options
    with pytest.raises(problem, match=f"^{name}: expected "):
        LanguageModel(**options)


@pytest.mark.parametrize(
    ("cell", "option", "value", "message"),
    [
        (
            "gru",
            "peephole",
            "full",
            """expected "none" with cell="gru", whose own option is reset, got 'full'""",
        ),
        ("rnn", "peephole", "prev", """expected "none" with cell="rnn", .* nonlinearity, got 'prev'"""),
        ("lstm", "reset", "none", """expected "after" with cell="lstm", .* peephole, got 'none'"""),
        ("lstm", "nonlinearity", "relu", """expected "tanh" with cell="lstm", .* peephole, got 'relu'"""),
    ],
)
def test_options_of_another_cell_are_refused(cell: str, option: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{option}: {message}$"):
        LanguageModel(cell=cell, **{option: value})
    (own,) = (name for name, its in OWN.items() if its == option)
    model = LanguageModel(cell=own, **{option: value})
    with pytest.raises(ValueError, match=f"^{option}: {message}$"):
        model.set_params(cell=cell)
    assert model.cell == own


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"validation": -0.1}, ValueError),
        ({"documents": "page"}, ValueError),
        ({"epochs": -1}, ValueError),
        ({"seq_len": 0}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"optimizer": "newton"}, ValueError),
        ({"epochs": 2**62}, ValueError),
        ({"checkpoint": ""}, ValueError),
        ({"checkpoint": 5}, TypeError),
        ({"callbacks": 5}, TypeError),
        ({"callbacks": [print]}, TypeError),
        ({"progress": None}, TypeError),
        ({"lr": 0.0}, ValueError),
        ({"lr": math.nan}, ValueError),
        ({"lr": "fast"}, TypeError),
        ({"schedule": "linear"}, ValueError),
        ({"warmup": -1}, ValueError),
        ({"step_size": 0}, ValueError),
        ({"gamma": 0.0}, ValueError),
        ({"momentum": 1.0}, ValueError),
        ({"weight_decay": -1.0}, ValueError),
        ({"clip": 0.0}, ValueError),
        ({"patience": 0}, ValueError),
        ({"patience": 1, "validation": None}, ValueError),
        ({"sample_every": -1}, ValueError),
    ],
)
def test_refused_ways_to_train_are_named(options: dict[str, Any], problem: type[Exception]) -> None:
    with pytest.raises(problem, match=f"^{next(iter(options))}: expected "):
        LanguageModel(**SMALL).fit(VERSE * 10, **{"seq_len": 20, "epochs": 1, **QUIET, **options})


def test_a_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"text: expected at least one window of 100 tokens \(seq_len\), got 40"
    ):
        LanguageModel(**SMALL).fit(VERSE, **QUIET)


def test_an_unfitted_model_says_so(tmp_path: Path) -> None:
    model = LanguageModel()
    for use in (
        model.sample,
        model.state_dict,
        lambda: model.log_prob("a"),
        lambda: model.save(tmp_path / "x"),
    ):
        with pytest.raises(RuntimeError, match="call fit"):
            use()


def test_weights_can_be_exchanged(parrot: LanguageModel) -> None:
    other = LanguageModel(hidden_size=48, num_layers=1, seed=9).fit(VERSE * 60, epochs=0, **QUIET)
    assert other.log_prob(VERSE) != parrot.log_prob(VERSE)
    other.load_state_dict({name: value.astype(np.float64) for name, value in parrot.state_dict().items()})
    assert other.log_prob(VERSE) == parrot.log_prob(VERSE)
    with pytest.raises(ValueError, match=r"missing .*unexpected nonsense"):
        other.load_state_dict({"nonsense": np.zeros(3)})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_form
def test_a_saved_model_is_the_same_to_the_bit(cell: str, form: str, dtype: str, tmp_path: Path) -> None:
    model = LanguageModel("word", **SMALL, **option_of(cell, form), dtype=dtype, embedding_size=5)
    model.fit("ünïcode wörds \n go round " * 30, epochs=1, seq_len=10, **QUIET)
    model.save(tmp_path / "model.seqrs")
    again = seqrs.load(tmp_path / "model.seqrs")
    assert again.get_params() == model.get_params()
    assert again.vocabulary == model.vocabulary
    assert again.documents == model.documents
    assert again.history == model.history
    weights = again.state_dict()
    for name, value in model.state_dict().items():
        assert weights[name].dtype == value.dtype
        assert (weights[name] == value).all()
    assert again.log_prob("go round ünïcode") == model.log_prob("go round ünïcode")
    assert again.sample(50, seed=3) == model.sample(50, seed=3)


def test_options_may_be_numbers_of_numpy(tmp_path: Path) -> None:
    model = LanguageModel(
        hidden_size=np.int64(5), dropout=np.float32(0.5), dtype=np.float64, seed=np.uint64(2**63)
    )
    model.fit("abc" * 30, epochs=np.int32(1), seq_len=np.int64(9), lr=np.float32(0.01), **QUIET)
    model.save(tmp_path / "model.seqrs")
    again = seqrs.load(tmp_path / "model.seqrs")
    assert (again.hidden_size, again.dropout, again.dtype, again.seed) == (5, 0.5, "float64", 2**63)


def test_devices_agree(parrot: LanguageModel, tmp_path: Path) -> None:
    parrot.save(tmp_path / "model.seqrs")
    reference = seqrs.load(tmp_path / "model.seqrs", device="reference")
    assert reference.log_prob(VERSE) == pytest.approx(parrot.log_prob(VERSE), rel=1e-3)


# Several texts at once, and smaller weights


def test_texts_drawn_together_are_those_drawn_alone(
    parrot: LanguageModel, namer: LanguageModel, reader: LanguageModel
) -> None:
    for model in (parrot, namer, reader):
        for options in ({}, {"temperature": 1.5, "top_k": 3}, {"prompt": "the", "top_p": 0.9}):
            if model is namer:
                options = {**options, "prompt": "an"}
            alone = [model.sample(40, seed=7 + number, **options) for number in range(11)]
            assert model.sample(40, seed=7, num_samples=11, **options) == alone
            assert model.sample(40, seed=7, num_samples=1, **options) == alone[:1]
    assert len(set(namer.sample(seed=0, num_samples=20))) > 3
    assert len(namer.sample(num_samples=3)) == 3


def test_the_seeds_of_texts_wrap_around(namer: LanguageModel) -> None:
    texts = namer.sample(seed=2**64 - 1, num_samples=2)
    assert texts == [namer.sample(seed=2**64 - 1), namer.sample(seed=0)]


@pytest.mark.parametrize(
    ("count", "error"), [(0, ValueError), (-1, ValueError), (2**62, ValueError), ("two", TypeError)]
)
def test_how_many_texts_is_a_number_from_1_on(
    namer: LanguageModel, count: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="num_samples: expected"):
        namer.sample(num_samples=count)


@pytest.mark.parametrize("text", [None, 5, b"the", ["the"]])
def test_a_text_is_a_str(parrot: LanguageModel, text: Any) -> None:
    with pytest.raises(TypeError, match=r"^prompt: expected a str, got "):
        parrot.sample(3, text)
    with pytest.raises(TypeError, match=r"^text: expected a str, got "):
        parrot.log_prob(text)


def test_options_of_the_next_fit_leave_the_file_as_the_model_is(tmp_path: Path) -> None:
    model = LanguageModel(**SMALL).fit(VERSE * 10, seq_len=20, epochs=1, **QUIET)
    before = model.sample(20, seed=1)
    model.set_params(cell="gru", hidden_size=5, dtype="float64").save(tmp_path / "model.seqrs")
    again = seqrs.load(tmp_path / "model.seqrs")
    assert again.sample(20, seed=1) == before
    assert (again.cell, again.dtype) == ("lstm", "float32")


def test_a_refused_fit_leaves_the_model_as_it_is() -> None:
    model = LanguageModel(**SMALL).fit(VERSE * 10, seq_len=20, epochs=1, **QUIET)
    before = model.sample(20, seed=1)
    for options in ({"sample_every": -1}, {"checkpoint": ""}, {"callbacks": [print]}, {"epochs": -1}):
        with pytest.raises((TypeError, ValueError)):
            model.fit("another text " * 20, **{"seq_len": 20, **QUIET, **options})
    assert model.sample(20, seed=1) == before


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
def test_smaller_weights_write_and_score_as_the_full_ones(parrot: LanguageModel, weights: str) -> None:
    small = parrot.quantize(weights)
    assert small.weights == weights
    assert weights in repr(small)
    assert small.sample(90, prompt=VERSE, temperature=0) == VERSE * 2
    assert small.sample(30, seed=1, num_samples=2) == [small.sample(30, seed=seed) for seed in (1, 2)]
    assert "".join(small.stream(30, seed=1)) == small.sample(30, seed=1)
    full, rounded = parrot.perplexity(VERSE * 5), small.perplexity(VERSE * 5)
    assert rounded == pytest.approx(full, rel=5e-3)
    assert (rounded == full) == (weights == "float32")
    # The full model has not changed.
    assert parrot.perplexity(VERSE * 5) == full


def test_smaller_weights_do_not_learn(parrot: LanguageModel) -> None:
    small = parrot.quantize()
    with pytest.raises(NotImplementedError, match="training with weights in int8: train the model"):
        small.fit(VERSE * 60)
    wrong: list[tuple[Any, type[Exception]]] = [("int4", ValueError), (8, TypeError)]
    for weights, error in wrong:
        with pytest.raises(error, match="weights: expected"):
            parrot.quantize(weights)
    with pytest.raises(RuntimeError, match="knows no text yet"):
        LanguageModel(**SMALL).quantize()
    reference = LanguageModel(device="reference", **SMALL).fit(VERSE * 5, epochs=0, **QUIET)
    with pytest.raises(NotImplementedError, match="reference device"):
        reference.quantize()
