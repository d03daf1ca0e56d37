"""Sight into the recurrence: states, the first NaN, units along a text, pictures; of layers and of models."""

import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import FORMS, make_layer, single_options

import seqrs
from seqrs import inspect, nn
from seqrs.inspect._reading import read
from seqrs.inspect._stack import histories
from seqrs.models.inputs import padded

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 7, 2))
LENGTHS = [7, 1, 4]
COUNTS = np.arange(7) < np.array(LENGTHS)[:, None]
TEXT = "tick, tock. " * 40


@pytest.fixture(scope="module")
def model() -> seqrs.LanguageModel:
    return seqrs.LanguageModel(hidden_size=5, num_layers=2, embedding_size=3, dtype="float64", seed=0).fit(
        TEXT, epochs=2, progress=False
    )


@pytest.fixture(autouse=True)
def figures() -> Iterator[None]:
    """Close what a test draws."""
    from matplotlib import pyplot

    yield
    pyplot.close("all")


# States


@pytest.mark.parametrize(
    ("cell", "form", "options"),
    [
        pytest.param(cell, form, options, id=f"{cell} {form} {name}")
        for cell, form in FORMS
        for name, options in single_options(cell, form).items()
    ],
)
def test_histories_are_the_layers_own_states(cell: str, form: str, options: dict[str, Any]) -> None:
    layer = make_layer(cell, form, 2, 4, 2, dtype="float64", seed=1, **options)
    _, state = layer(X)  # some state to begin with
    y, _ = layer(X, state, LENGTHS)
    found = histories(layer, X, state, COUNTS)
    directions = 2 if options.get("bidirectional") else 1
    assert [history.name for history in found[::directions]] == ["layer 0", "layer 1"]
    above = np.concatenate([history.after["h"] for history in found[-directions:]], axis=2)
    if options.get("merge") in ("sum", "mean"):
        above = above[..., :4] + above[..., 4:]
        above = above / (2 if options["merge"] == "mean" else 1)
    if options.get("merge") == "separate":
        y = np.concatenate(y, axis=2)
    if options.get("residual"):
        above = above + found[-1].x
    assert np.allclose(above[COUNTS], y[COUNTS], atol=1e-12)


def test_histories_of_layers_of_several_widths() -> None:
    layer = nn.LSTM(2, [3, 5], bidirectional=True, dtype="float64", seed=1)
    _, state = layer(X)
    y, (_, c) = layer(X, state)
    found = histories(layer, X, state, np.ones((3, 7), np.bool_))
    assert np.allclose(np.concatenate([found[2].after["h"], found[3].after["h"]], axis=2), y)
    assert np.allclose(found[0].after["c"][:, -1], c[0][0])
    assert np.allclose(found[3].after["c"][:, 0], c[1][1])  # the reverse direction ends at the first step


def test_hidden_norms_are_means_over_the_rows_that_go_so_far() -> None:
    layer = nn.GRU(2, 4, dtype="float64", seed=1)
    y, _ = layer(X, lengths=LENGTHS)
    norm = np.linalg.norm(y, axis=2)
    result = inspect.hidden_norms(layer, X, lengths=[5, 1, 4])
    expected = [norm[:, 0].mean(), *norm[[0, 2], 1:4].mean(axis=0), norm[0, 4]]
    assert np.allclose(result.norms["layer 0", "h"], expected)
    assert result.rows()[4] == {"step": 4, "layer 0 h": pytest.approx(norm[0, 4])}


# Models and rows of blocks


def test_of_a_row_of_blocks_the_recurrent_one_is_looked_at() -> None:
    layer = nn.LSTM(3, 4, bidirectional=True, dtype="float64", seed=1, dropout=0.0)
    table = nn.Embedding(6, 3, dtype="float64", seed=2)
    tokens = np.array([[0, 5, -1, 2], [3, 3, 0, 0]])
    x, _ = table(tokens)
    expected = [
        inspect.gate_statistics(layer, x, lengths=[4, 2]).rows(),
        inspect.hidden_norms(layer, x, lengths=[4, 2]).rows(),
    ]
    model = nn.Sequential(
        table,
        nn.Dropout(0.5, dtype="float64"),
        layer,
        nn.Pool("max", dtype="float64"),
        nn.Linear(8, 2, dtype="float64"),
    )
    found = [
        inspect.gate_statistics(model, tokens, lengths=[4, 2]).rows(),
        inspect.hidden_norms(model, tokens, lengths=[4, 2]).rows(),
    ]
    assert found == expected


def test_of_a_classifier_its_own_sequences_are_read() -> None:
    texts, labels = ["so it is", "it was so once", "no"] * 8, ["yes", "yes", "no"] * 8
    classifier = seqrs.SequenceClassifier(cell="gru", hidden_size=4, epochs=1, random_state=0)
    classifier.fit(texts, labels)
    assert len(inspect.gradient_by_lag(classifier, texts[:3]).lags) == 4
    assert [row["gate"] for row in inspect.gate_statistics(classifier, texts).rows()] == ["r", "z"]
    assert inspect.first_nan(classifier, texts) is None
    weights = classifier.state_dict()
    table = nn.Embedding(*weights["0.weight"].shape)
    table.load_state_dict({"weight": weights["0.weight"]})
    gru = nn.GRU(weights["0.weight"].shape[1], 4)
    gru.load_state_dict({k[2:]: v for k, v in weights.items() if k.startswith("1.")})
    y, _ = gru(table(classifier.reader.read(["it was so once"])[0][None])[0])
    norms = inspect.hidden_norms(classifier, ["it was so once"]).norms["layer 0", "h"]
    assert np.allclose(norms, np.linalg.norm(y[0], axis=1), rtol=1e-5)


def test_a_generator_reads_what_came_a_step_before() -> None:
    rolls = [(RNG.random((steps, 5)) > 0.7).astype(np.float32) for steps in (9, 4)]
    model = seqrs.SequenceGenerator(output="sigmoid", cell="rnn", hidden_size=4, epochs=1, random_state=0)
    model.fit(rolls)
    weights = model.state_dict()
    rnn = nn.RNN(5, 4)
    rnn.load_state_dict({k.partition(".")[2]: v for k, v in weights.items() if "_l0" in k})
    y, _ = rnn(np.pad(rolls[0], ((1, 0), (0, 0)))[None, :-1])
    norms = inspect.hidden_norms(model, rolls[:1]).norms["layer 0", "h"]
    assert np.allclose(norms, np.linalg.norm(y[0], axis=1), rtol=1e-5)
    of_classes = seqrs.SequenceGenerator(level="char", hidden_size=4, epochs=1, random_state=0)
    of_classes.fit(["abab", "cd"], ["ab", "cd"])
    first = [
        inspect.hidden_norms(of_classes, (["abab"], [of])).norms["layer 0", "h"][0] for of in ("ab", "cd")
    ]
    assert first[0] != first[1]
    with pytest.raises(ValueError, match=r"^x: expected a pair, sequences and the class of each"):
        inspect.hidden_norms(of_classes, ["abab"])


def test_of_a_translator_its_encoder_is_looked_at() -> None:
    X, y = ["abc", "b", "cab"], ["cba", "b", "bac"]
    model = seqrs.Translator(level="char", cell="lstm", hidden_size=4, embedding_size=3, bidirectional=True,
                             epochs=1, random_state=0).fit(X, y)  # fmt: skip
    norms = inspect.hidden_norms(model, X).norms
    inputs, lengths = padded(model._read(X))
    h = model.network.encoder(inputs, lengths=lengths)[0][:, 0, :4]
    assert norms["layer 0", "h"][0] == pytest.approx(np.linalg.norm(h, axis=1).mean(), rel=1e-5)
    assert {gate for _, gate in inspect.gate_statistics(model, X).mean} == set("ifo")
    assert ("layer 0 reverse", "c") in inspect.gradient_by_lag(model, X).norms
    assert inspect.first_nan(model, X) is None


@pytest.mark.parametrize("looks", ["before", "after"])
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("gru", 3), ("lstm", 2)])
def test_with_targets_a_translators_decoder_is_looked_at(cell: str, layers: int, looks: str) -> None:
    X, y = ["abc", "b", "cab"], ["cb", "bbbb", ""]
    model = seqrs.Translator(level="char", cell=cell, hidden_size=4, embedding_size=3, decoder_layers=layers,
                             looks=looks, dropout=0.2, epochs=1, random_state=0).fit(X, y)  # fmt: skip
    memory = model.network.read(*padded(model._read(X)))
    tokens, lengths = padded(
        [np.append(np.int32(-1), row[:-1]) for row in model._targets.encode("y", y)], fill=-1
    )
    sums: dict[tuple[str, str], Any] = {}
    state = memory.state
    for t in range(tokens.shape[1]):
        _, state, _ = model.network.write(tokens[:, t : t + 1], state, memory)
        blocks = state if layers > 1 else [state]
        for k, part, array in [
            (k, part, array)
            for k, block in enumerate(blocks)
            for part, array in zip("hc", block if cell == "lstm" else [block], strict=False)
        ]:
            for i, of in enumerate(array):
                norm = np.linalg.norm(of[lengths > t].astype(np.float64), axis=1).mean()
                sums.setdefault((f"layer {k + i}", part), []).append(norm)
    found = inspect.hidden_norms(model, X, targets=y).norms
    assert found.keys() == sums.keys()
    for of, values in sums.items():
        np.testing.assert_allclose(found[of], values, rtol=1e-5)
    gates = inspect.gate_statistics(model, X, targets=y)
    assert gates.counts.tolist() == [3, 2, 2, 1, 1]
    assert {layer for layer, _ in gates.mean} == {f"layer {k}" for k in range(layers)}
    for of, values in gates.mean.items():
        assert ((values > 0.2) & (values < 0.8)).all(), of  # as the weights are small
    with pytest.raises(TypeError, match=r"^targets: expected None, because LSTM is no Translator"):
        inspect.hidden_norms(nn.LSTM(2, 3), np.ones((1, 4, 2), np.float32), targets=y)
    with pytest.raises(ValueError, match=r"^state, lengths: expected None"):
        inspect.gate_statistics(model, X, lengths=[1, 1, 1], targets=y)
    with pytest.raises(ValueError, match=r"^targets: expected one for each"):
        inspect.hidden_norms(model, X, targets=y[:2])


def test_of_a_tagger_that_spells_what_reads_words_is_looked_at() -> None:
    X = [["ab", "b", "cab"], ["b", "x"]]
    model = seqrs.SequenceTagger(
        char_hidden_size=2, hidden_size=4, embedding_size=3, epochs=1, random_state=0
    )
    model.fit(X, [["u", "v", "v"], ["v", "u"]])
    vectors, _ = model.network.vectors(*padded(model._read(X)))
    alone = nn.LSTM(3 + 2 * 2, 4)
    weights = model.state_dict()
    alone.load_state_dict({name: weights[f"0.{name}"] for name in alone.state_dict()})
    expected = inspect.hidden_norms(alone, vectors, lengths=[3, 2]).norms
    for of, values in inspect.hidden_norms(model, X).norms.items():
        np.testing.assert_allclose(values, expected[of], rtol=1e-5)
    assert {gate for _, gate in inspect.gate_statistics(model, X).mean} == set("ifo")


@pytest.mark.parametrize("bidirectional", [False, True])
def test_pooling_weights_are_those_of_the_pool(bidirectional: bool) -> None:
    rows = [RNG.normal(size=(n, 3)) for n in (5, 1, 4)]
    model = seqrs.SequenceClassifier(
        pooling="attention", bidirectional=bidirectional, hidden_size=4, epochs=3, dropout=0.2, lr=0.1, random_state=0,
        dtype="float64",
    ).fit(rows, ["a", "b", "a"])  # fmt: skip
    weights = inspect.pooling_weights(model, rows)
    assert [len(row) for row in weights] == [5, 1, 4]
    reading = read(model, rows, None, None)
    y, _ = reading.layer(reading.x, lengths=[5, 1, 4])
    pooled = np.stack([of @ row[: len(of)] for of, row in zip(weights, y, strict=True)])
    head = {name.split(".")[-1]: value for name, value in model.state_dict().items()}
    logits = pooled @ model.state_dict()[f"{len(model.network.blocks) - 1}.weight"].T + head["bias"]
    np.testing.assert_allclose(logits, np.stack(model._outputs(rows)), atol=1e-10)
    with pytest.raises(ValueError, match=r"^model: expected one with pooling=\"attention\""):
        inspect.pooling_weights(seqrs.SequenceClassifier(epochs=0).fit(rows, ["a", "b", "a"]), rows)
    other: Any = seqrs.SequenceTagger()
    with pytest.raises(
        TypeError, match=r"^model: expected a SequenceClassifier or a SequenceRegressor, got Seq"
    ):
        inspect.pooling_weights(other, rows)
    with pytest.raises(RuntimeError, match="has learned nothing yet"):
        inspect.pooling_weights(seqrs.SequenceClassifier(pooling="attention"), rows)


# NaN


def doubling(**options: Any) -> nn.RNN:
    layer = nn.RNN(1, 1, 2, nonlinearity="relu", bias=False, seed=0, **options)
    layer.load_state_dict(
        {
            "weight_ih_l0": np.ones((1, 1)),
            "weight_hh_l0": np.ones((1, 1)),
            "weight_ih_l1": np.ones((1, 1)),
            "weight_hh_l1": np.full((1, 1), 2.0),
        }
    )
    return layer


def test_first_nan_names_layer_step_row_and_unit() -> None:
    x = np.zeros((2, 200, 1), np.float32)
    assert inspect.first_nan(doubling(), x) is None
    x[1, 60:] = 1e30  # layer 1 gets there first, long after layer 0 has grown
    found = inspect.first_nan(doubling(), x)
    assert found is not None
    assert (found.quantity, found.layer, found.row, found.unit, found.value) == ("h", "layer 1", 1, 0, np.inf)
    assert found.step is not None
    _, before = doubling()(x[:, : found.step])
    _, after = doubling(check_finite=False)(x[:, : found.step + 1])
    assert np.isfinite(before).all()
    assert np.isinf(after[1, 1, 0])
    assert inspect.first_nan(doubling(), x, lengths=[200, found.step]) is None


def test_first_nan_looks_at_weights_and_input_first() -> None:
    layer = doubling(check_finite=False)
    x = np.zeros((2, 4, 1), np.float32)
    x[1, 2] = np.nan
    x[0, 3] = np.inf
    assert str(inspect.first_nan(layer, x)) == "x is nan at step 2, row 1, unit 0"
    layer.load_state_dict(layer.state_dict() | {"weight_hh_l1": np.array([[np.nan]])})
    assert str(inspect.first_nan(layer, x)) == "weight_hh_l1 is nan at number 0"


def test_first_nan_of_the_way_back() -> None:
    layer = doubling()
    x = np.full((1, 100, 1), 1e-30, np.float32)  # the states stay finite
    dy = np.zeros((1, 100, 1), np.float32)
    assert inspect.first_nan(layer, x, dy=dy) is None
    dy[0, -1] = 2.0**100  # doubled at each step back; float32 ends at 2**128
    found = inspect.first_nan(layer, x, dy=dy)
    assert str(found) == "dh of layer 1 is inf at step 72, row 0, unit 0"


def test_first_nan_of_both_directions_is_in_running_order() -> None:
    layer = nn.RNN(1, 1, nonlinearity="identity", bias=False, bidirectional=True, seed=0)
    ones = {name: np.ones((1, 1)) for name in layer.state_dict()}
    layer.load_state_dict(ones | {"weight_hh_l0_reverse": np.full((1, 1), 2.0)})
    found = inspect.first_nan(layer, np.ones((2, 200, 1), np.float32), lengths=[150, 200])
    assert str(found) == "h of layer 0 reverse is inf at step 22, row 0, unit 0"  # 127 steps after 149


def test_first_nan_of_a_model(model: seqrs.LanguageModel) -> None:
    assert inspect.first_nan(model, [TEXT]) is None


# Activations


def test_activations_are_the_states_after_each_token(model: seqrs.LanguageModel) -> None:
    text = "tick <tock>\n"
    with pytest.warns(UserWarning, match="not seen in training"):
        result = inspect.activations(model, text, units=[4, 0], layer=1, part="c")
    assert result.tokens == list(text)
    numbers = np.append(-1, model.vocabulary.encode(list(text))).astype(np.int32)
    for t in range(len(text)):
        window = numbers[None, : t + 2]
        _, state = model.network.evaluate(window, np.full_like(window, -1), None, None)
        assert np.allclose(result.values[t], state[1].reshape(2, 5)[1, [4, 0]])


def test_the_page_shows_the_text_and_needs_nothing_else(model: seqrs.LanguageModel, tmp_path: Path) -> None:
    text = "tick, tock."
    result = inspect.activations(model, text)
    assert len(result.units) == 5
    result.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    shown = re.findall(r'<span title="(-?[\d.]+)" style="[^"]*">([^<]*)</span>', page)
    assert "".join(html.unescape(token) for _, token in shown) == text * 5
    assert float(shown[0][0]) == pytest.approx(result.values[0, 0], abs=1e-3)
    assert not re.search(r"https?:|<script|<link|<img", page)


def test_the_page_of_a_word_model_has_blanks_between_words() -> None:
    model = seqrs.LanguageModel("word", hidden_size=4, num_layers=1, seed=0)
    model.fit(["so it is", "it is so"] * 20, documents="line", validation=None, epochs=1, progress=False)
    page = inspect.activations(model, "it is so", units=0).html()
    assert html.unescape(re.sub("<[^>]*>", "", page)).rstrip().endswith("it is so")


# Pictures


def test_pictures_show_the_numbers(model: seqrs.LanguageModel, tmp_path: Path) -> None:
    gradients = inspect.gradient_by_lag(model, [TEXT], lags=5)
    axes = gradients.plot(label="LSTM")
    assert [line.get_label() for line in axes.lines][:2] == ["LSTM layer 0 h", "LSTM layer 0 c"]
    assert np.array_equal(axes.lines[1].get_ydata(), gradients.norms["layer 0", "c"])
    assert gradients.plot(axes) is axes
    assert len(axes.lines) == 8
    both_ways = inspect.gradient_by_lag(nn.LSTM(2, 3, bidirectional=True, dtype="float64", seed=0), X)
    assert len(both_ways.plot().lines) == len(both_ways.norms) == 4
    gates = inspect.gate_statistics(model, [TEXT])
    above, below = gates.plot()
    assert np.array_equal(above.lines[1].get_ydata(), gates.mean["layer 0", "f"])
    assert np.array_equal(below.lines[1].get_ydata(), gates.shut["layer 0", "f"] + gates.open["layer 0", "f"])
    norms = inspect.hidden_norms(model, [TEXT])
    assert np.array_equal(norms.plot().lines[0].get_ydata(), norms.norms["layer 0", "h"])
    axes.figure.savefig(tmp_path / "gradients.png")
    assert (tmp_path / "gradients.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_the_first_nan_shows_what_is_around_it(tmp_path: Path) -> None:
    layer = nn.RNN(1, 2, nonlinearity="relu", bias=False)
    layer.load_state_dict({"weight_ih_l0": np.ones((2, 1)), "weight_hh_l0": 2 * np.eye(2)})
    found = inspect.first_nan(layer, np.ones((1, 200, 1), np.float32))
    assert found is not None
    assert found.around.shape == (200, 2)
    assert found.rows() == [
        {"quantity": "h", "layer": "layer 0", "step": 127, "row": 0, "unit": 0, "value": np.inf}
    ]
    axes = found.plot()
    (image,) = axes.images
    assert image.get_array().mask.sum() == 2 * 73  # steps from 127 on
    assert axes.get_title() == str(found)
    axes.figure.savefig(tmp_path / "nan.png")
    # Of the way back, from the step that has it to the last; of a weight all its numbers; of x its row.
    back = inspect.first_nan(layer, np.ones((1, 9, 1), np.float32), dy=np.full((1, 9, 2), np.inf, np.float32))
    assert back is not None
    assert (back.quantity, back.step, back.around.shape) == ("dh", 8, (1, 2))
    assert back.plot().images[0].get_extent()[0] == 7.5
    x = np.ones((1, 9, 1), np.float32)
    x[0, 4] = np.nan
    of_x = inspect.first_nan(layer, x)
    assert of_x is not None
    assert of_x.plot().images[0].get_array().mask.sum() == 1


def test_attention_map_shows_the_matrix() -> None:
    weights = RNG.dirichlet(np.ones(3), 2)
    axes = inspect.attention_map(weights, "abc", ["x", "y"])
    assert np.array_equal(axes.images[0].get_array(), weights)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]


def test_without_matplotlib_a_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "seqrs\[plot\]"'):
        inspect.attention_map(np.eye(2), "ab", "ab")


F32 = np.zeros((2, 3, 2), np.float32)
ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: inspect.hidden_norms(nn.Linear(2, 3), F32), TypeError, "layer: expected a recurrent layer"),
    (lambda: inspect.hidden_norms(nn.GRU(2, 3), F32[0]), ValueError, "x: expected a batch of sequences"),
    (lambda: inspect.hidden_norms(nn.GRU(2, 3), F32[:, :0]), ValueError, "x: expected at least one row and"),
    (lambda: inspect.hidden_norms(nn.GRU(2, 3), F32[0, 0]), ValueError, "x: expected shape (B, T, 2)"),
    (
        lambda: inspect.hidden_norms(nn.Sequential(nn.Linear(2, 3), nn.GRU(3, 4)), F32),
        ValueError,
        "layer: expected a recurrent block first, behind an embedding at most, got Linear(2, 3)",
    ),
    (
        lambda: inspect.hidden_norms(nn.Sequential(nn.Dropout(0.1), nn.GRU(2, 4)), F32, np.zeros((1, 2, 4))),
        ValueError,
        "state: expected None for a Sequential",
    ),
    (
        lambda: inspect.hidden_norms(nn.Sequential(nn.Dropout(0.1), nn.Linear(2, 4)), F32),
        ValueError,
        "layer: expected a recurrent block first",
    ),
    (lambda: inspect.gate_statistics(nn.RNN(2, 3), F32), ValueError, "layer: expected one with gates"),
    (
        lambda: inspect.gradient_by_lag(
            nn.GRU(2, 3, bidirectional=True), F32, dy=np.zeros((2, 6), np.float32)
        ),
        ValueError,
        "dy: expected None for a bidirectional layer",
    ),
    (lambda: inspect.gradient_by_lag(nn.GRU(2, 3), F32, lags=0), ValueError, "lags: expected an integer of"),
    (
        lambda: inspect.gradient_by_lag(nn.GRU(2, 3), F32, lengths=[3, 0]),
        ValueError,
        "lengths: expected at least one step in each row",
    ),
    (
        lambda: inspect.gradient_by_lag(nn.GRU(2, 3), F32, dy=np.zeros((2, 3, 3), np.float32)),
        ValueError,
        "dy: expected shape (2, 3)",
    ),
    (
        lambda: inspect.first_nan(nn.GRU(2, 3, bidirectional=True), F32, dy=np.zeros((2, 3, 6), np.float32)),
        ValueError,
        "dy: expected None for a bidirectional layer",
    ),
    (lambda: inspect.attention_map(np.zeros((0, 2)), "ab", ""), ValueError, "source, target: expected at"),
    (lambda: inspect.attention_map(np.eye(2), "ab", "abc"), ValueError, "weights: expected shape (3, 2)"),
    (
        lambda: inspect.attention_map([[2.0]], "a", "b"),
        ValueError,
        "weights: expected numbers from 0 to 1, got 2.0 at [0, 0]",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), ERRORS, ids=[message for *_, message in ERRORS])
def test_what_is_refused(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": ""}, "text: expected at least one token"),
        ({"units": 5}, "units: expected an integer from 0 to 4"),
        ({"units": []}, "units: expected at least one"),
        ({"layer": 2}, "layer: expected an integer from -2 to 1"),
        ({"part": "f"}, 'part: expected "h" or "c"'),
    ],
)
def test_activations_refuses(options: dict[str, Any], message: str, model: seqrs.LanguageModel) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        inspect.activations(model, **({"text": "tick"} | options))


def test_a_model_reads_texts_from_their_beginning(model: seqrs.LanguageModel) -> None:
    with pytest.raises(ValueError, match="state, lengths: expected None for a model"):
        inspect.hidden_norms(model, [TEXT], lengths=[3])
    gru: Any = nn.GRU(2, 3)
    with pytest.raises(TypeError, match="model: expected a LanguageModel, got GRU"):
        inspect.activations(gru, "tick")
    with pytest.raises(RuntimeError, match="knows no text yet"):
        inspect.hidden_norms(seqrs.LanguageModel(), "tick")
