"""Translator: its networks' gradient as one, the search against all there is, learning, files, refusals."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs import losses
from seqrs.models.beam import Search
from seqrs.models.encoder_decoder import EncoderDecoder, Memory, Sizes

DRAW = np.random.default_rng(0)
WORDS = ["".join(DRAW.choice(list("abc"), DRAW.integers(1, 5))) for _ in range(300)]
TURNED = [word[::-1] for word in WORDS]


def small(**options: Any) -> seqrs.Translator:
    defaults: dict[str, Any] = {
        "cell": "gru",
        "hidden_size": 16,
        "embedding_size": 8,
        "level": "char",
        "metric": "exact",
    }
    return seqrs.Translator(**(defaults | {"epochs": 2, "lr": 0.01, "random_state": 0} | options))


@pytest.fixture(scope="module")
def fitted() -> seqrs.Translator:
    return small(epochs=30, bidirectional=True, batch_size=16).fit(WORDS, TURNED)


@pytest.mark.parametrize("looks", ["before", "after"])
@pytest.mark.parametrize(("cell", "bidirectional"), [("gru", True), ("lstm", False), ("lstm", True)])
def test_the_gradient_of_all_networks_is_central_differences(
    cell: str, bidirectional: bool, looks: str
) -> None:
    sizes = Sizes(5, 6, cell, 3, 4, 2, bidirectional, "general", looks, 0.3, tied=True)
    model = EncoderDecoder(sizes, dtype="float64", device="cpu", seed=1)
    rng = np.random.default_rng(2)
    sources, targets = rng.integers(0, 5, (3, 4), np.int32), rng.integers(0, 6, (3, 5), np.int32)
    given = np.concatenate([np.full((3, 1), -1, np.int32), targets[:, :-1]], axis=1)
    source_lengths, lengths = np.array([4, 1, 3]), np.array([5, 2, 4])

    def run() -> tuple[float, Any, Any]:
        logits, tape = model.forward(sources, source_lengths, given, lengths, step=3)
        return (*losses.softmax_cross_entropy(logits, targets, lengths=lengths), tape)

    _, dlogits, tape = run()
    gradient = model.backward(tape, dlogits)
    start = model.weights.copy()
    assert gradient.shape == start.shape
    for direction in rng.normal(size=(8, start.size)):
        values = []
        for by in (1e-5, -1e-5):
            model.weights[:] = start + by * direction
            model.put()
            values.append(run()[0])
        assert gradient @ direction == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6, abs=1e-9)


class Scripted:
    """A decoder of three tokens, of which 0 ends, whose logits are a function of the step and the last token."""

    STEPS = 4

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.logits = rng.normal(size=(self.STEPS, 4, 3))
        self.logits[-1, :, 0] = 1e9  # the end comes
        self.shares = rng.dirichlet(np.ones(2), (self.STEPS, 4))

    def write(self, tokens: Any, state: Any, _: Memory) -> tuple[Any, Any, Any]:
        step, last = int(state[0, 0, 0]), tokens[:, 0]
        return self.logits[step, last][:, None], state + 1, self.shares[step, last][:, None]

    def every(self, length_penalty: float, coverage_penalty: float) -> dict[tuple[int, ...], float]:
        """All that it can write, with the score of each."""
        scores = {}
        for count in range(self.STEPS):
            for tokens in itertools.product((1, 2), repeat=count):
                log_prob, seen = 0.0, np.zeros(2)
                for step, (last, token) in enumerate(zip((-1, *tokens), (*tokens, 0), strict=True)):
                    z = self.logits[step, last]
                    log_prob += z[token] - np.logaddexp.reduce(z)
                    seen += self.shares[step, last]
                score = log_prob / ((5 + count + 1) / 6) ** length_penalty
                scores[tokens] = score + coverage_penalty * np.log(np.minimum(seen, 1)).sum()
        return scores


@pytest.mark.parametrize(("length_penalty", "coverage_penalty"), [(0.0, 0.0), (1.0, 0.0), (0.6, 0.7)])
def test_a_wide_beam_finds_all_there_is_in_order(length_penalty: float, coverage_penalty: float) -> None:
    model: Any = Scripted()
    state = np.zeros((1, 2, 1))
    memory = Memory(np.zeros((2, 2, 1)), np.array([2, 2]), state)
    every = model.every(length_penalty, coverage_penalty)
    search = Search(len(every), length_penalty, coverage_penalty)
    ranked = sorted(every.items(), key=lambda item: -item[1])
    for found in search.run(model, memory, end=0):
        assert [tuple(one.tokens) for one in found] == [tokens for tokens, _ in ranked]
        np.testing.assert_allclose([one.score for one in found], [score for _, score in ranked])
        assert all(one.finished and one.attention.shape == (len(one.tokens), 2) for one in found)


def test_greedy_takes_the_likeliest_token_at_every_step() -> None:
    model: Any = Scripted()
    memory = Memory(np.zeros((1, 2, 1)), np.array([2]), np.zeros((1, 1, 1)))
    ((found,),) = Search(1).run(model, memory, end=0)
    tokens = [-1]
    while (token := int(model.logits[len(tokens) - 1, tokens[-1]].argmax())) != 0:
        tokens.append(token)
    assert found.tokens.tolist() == tokens[1:]


def test_it_learns_to_turn_words_round(fitted: seqrs.Translator) -> None:
    assert fitted.score(WORDS[:50], TURNED[:50]) >= 0.95
    assert fitted.history[-1]["loss"] < fitted.history[0]["loss"] / 3
    found = fitted.translate(["abc"], beam=4, n_best=3)[0]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert found[0].text == "cba"
    assert found[0].source_tokens == ["a", "b", "c"]
    np.testing.assert_allclose(found[0].attention.sum(1), 1, rtol=1e-5)


def test_what_is_translated_together_is_what_each_is_alone(fitted: seqrs.Translator) -> None:
    together = fitted.predict(WORDS[:20])
    assert together == [fitted.predict([word])[0] for word in WORDS[:20]]


def test_a_file_holds_all_of_it(fitted: seqrs.Translator, tmp_path: Path) -> None:
    fitted.save(tmp_path / "turn.seqrs")
    again = seqrs.load(tmp_path / "turn.seqrs")
    assert isinstance(again, seqrs.Translator)
    assert again.get_params() == fitted.get_params()
    assert again.predict(WORDS[:20]) == fitted.predict(WORDS[:20])


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "lstm", "num_layers": 2, "dropout": 0.2},
        {"attention": "dot", "looks": "after"},
        {"attention": "general", "tied": False, "label_smoothing": 0.1},
        {"teacher_forcing": 0.5},
        {"dtype": "float64", "cell": "rnn"},
    ],
)
def test_every_form_learns_and_is_the_same_again(options: dict[str, Any]) -> None:
    models = [small(epochs=3, **options).fit(WORDS, TURNED, validation=(WORDS, TURNED)) for _ in range(2)]
    history = models[0].history
    assert history == models[1].history
    assert history[-1]["validation_loss"] < history[0]["validation_loss"]


def test_tokens_in_tokens_out_and_unknown_words_by_attention() -> None:
    X = [["we", "see", name] for name in ("ann", "bob", "cy")] * 20 + [["see", "rex"]]
    y = [["wir", "sehen", name] for name in ("ann", "bob", "cy")] * 20 + [["sehen", "rex"]]
    model = small(min_count=2, epochs=60).fit(X, y)
    assert model.predict(X[:3]) == y[:3]
    assert "rex" not in model.target_vocabulary
    model.network.load_state_dict(  # a decoder that always writes the unknown word
        {
            name: value * 0 + (np.arange(len(value)) == 1) * 9.0 if name == "decoder.4.bias" else value * 0
            for name, value in model.state_dict().items()
        }
    )
    tokens = model.translate([["see", "rex"]], beam=1)[0][0].tokens
    assert set(tokens) == {"<UNK>"}
    assert set(model.translate([["see", "rex"]], beam=1, replace_unk=True)[0][0].tokens) == {"see"}


def test_what_does_not_fit_is_refused(fitted: seqrs.Translator) -> None:
    cases: list[tuple[Any, Any, str]] = [
        (ValueError, lambda: small(attention="cosine"), "attention: expected"),
        (ValueError, lambda: small(attention="dot", bidirectional=True), "attention: expected"),
        (ValueError, lambda: small(teacher_forcing=1.5), "teacher_forcing: expected a number from 0 to 1"),
        (ValueError, lambda: small(beam=0), "beam"),
        (ValueError, lambda: small(embedding_size=None), "embedding_size"),
        (ValueError, lambda: small(layer_options={"zoneout": 0.1}), "layer_options"),
        (RuntimeError, lambda: small().predict(["a"]), "has learned nothing yet"),
        (ValueError, lambda: small().fit(["a", "b"], ["a"]), "y: expected one for each of 2"),
        (TypeError, lambda: small().fit([[1.0, 2.0]], ["a"]), "X: expected strings"),
        (TypeError, lambda: small().fit(["ab"], [[1, 2]]), "y: expected strings"),
        (ValueError, lambda: fitted.predict([""]), "at least one step"),
        (ValueError, lambda: fitted.translate(["a"], beam=2, n_best=3), "n_best"),
        (ValueError, lambda: fitted.score(["a", "b"], ["a"]), "one reference for each of 2"),
    ]
    for error, call, message in cases:
        with pytest.raises(error, match=message):
            call()
