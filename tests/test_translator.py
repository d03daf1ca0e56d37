"""Translator: its networks' gradient as one, the search against all there is, learning, files, refusals."""

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seqrs
from seqrs import losses
from seqrs.models.beam import Search, _likeliest
from seqrs.models.encoder_decoder import EncoderDecoder, Memory, Sizes
from seqrs.models.inputs import padded

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
@pytest.mark.parametrize(
    ("cell", "bidirectional", "layers"),
    [("gru", True, 1), ("lstm", False, 1), ("lstm", True, 3), ("gru", False, 2)],
)
def test_the_gradient_of_all_networks_is_central_differences(
    cell: str, bidirectional: bool, layers: int, looks: str
) -> None:
    sizes = Sizes(5, 6, cell, 3, 4, 2, layers, bidirectional, "general", looks, 0.3, tied=True)
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
    unseen: Any = np.zeros(2)
    memory = Memory(unseen, np.array([2, 2]), state)
    every = model.every(length_penalty, coverage_penalty)
    search = Search(len(every), length_penalty, coverage_penalty)
    ranked = sorted(every.items(), key=lambda item: -item[1])
    for found in search.run(model, memory, end=0):
        assert [tuple(one.tokens) for one in found] == [tokens for tokens, _ in ranked]
        np.testing.assert_allclose([one.score for one in found], [score for _, score in ranked])
        assert all(one.finished and one.attention.shape == (len(one.tokens), 2) for one in found)


@pytest.mark.parametrize("vocabulary", [1, 3, 63, 64, 65, 1000])
@pytest.mark.parametrize("most", [1, 2, 10])
@pytest.mark.parametrize("ties", [False, True])
def test_the_likeliest_are_those_of_a_whole_sort(vocabulary: int, most: int, ties: bool) -> None:
    rng = np.random.default_rng(vocabulary)
    logits = rng.normal(size=(7, vocabulary)).astype(np.float32) * (0 if ties else 3)
    logits[:, rng.integers(0, vocabulary, 4)] += 5
    tokens, log_probs = _likeliest(logits, most)
    z = logits.astype(np.float64)
    every = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    best = np.sort(every, axis=1)[:, ::-1][:, :most]
    np.testing.assert_allclose(log_probs, best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(every, tokens, 1), best, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in tokens.tolist())


def test_greedy_takes_the_likeliest_token_at_every_step() -> None:
    model: Any = Scripted()
    unseen: Any = np.zeros(1)
    memory = Memory(unseen, np.array([2]), np.zeros((1, 1, 1)))
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


def test_a_file_holds_how_the_model_searches_now(fitted: seqrs.Translator, tmp_path: Path) -> None:
    model = pickle.loads(pickle.dumps(fitted)).set_params(beam=2, length_penalty=0.0, cell="lstm")
    model.save(tmp_path / "model.seqrs")
    again = seqrs.load(tmp_path / "model.seqrs")
    assert (again.beam, again.length_penalty, again.cell) == (2, 0.0, "gru")
    assert again.predict(WORDS[:5]) == model.predict(WORDS[:5])


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
        {"cell": "lstm", "decoder_layers": 3, "dropout": 0.1},
        {"cell": "gru", "decoder_layers": 2, "bidirectional": True},
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


def test_a_deep_decoder_writes_what_it_wrote_in_training(tmp_path: Path) -> None:
    model = small(cell="lstm", decoder_layers=2, epochs=20, batch_size=16).fit(WORDS, TURNED)
    assert model.score(WORDS, TURNED) > 0.9
    # Step by step, with all layers' states carried along, as in one pass.
    (best,) = model.translate(["abca"], beam=1)[0]
    (target,) = model._targets.encode("y", [best.text])
    memory = model.network.read(*padded(model._read(["abca"])))
    given = np.concatenate([[-1], target[:-1]]).astype(np.int32)
    logits, _, _ = model.network.write(given[None], memory.state, memory)
    shifted = logits[0] - logits[0].max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    assert best.log_prob == pytest.approx(log_p[np.arange(len(target)), target].sum(), abs=1e-4)
    model.save(tmp_path / "deep.seqrs")
    assert seqrs.load(tmp_path / "deep.seqrs").translate(["abca"], beam=1)[0][0].text == best.text


def test_probabilities_are_those_of_the_translations_found(fitted: seqrs.Translator) -> None:
    X = [*WORDS[:5], "abcab"]
    found = [best[0] for best in fitted.translate(X, beam=1)]
    shares = fitted.predict_proba(X, [one.text for one in found])
    assert [share.shape for share in shares] == [(len(one.tokens) + 1, 5) for one in found]
    end = fitted.target_vocabulary.eos
    for one, share in zip(found, shares, strict=True):
        np.testing.assert_allclose(share.sum(1), 1, rtol=1e-5)
        tokens = [*fitted.target_vocabulary.encode(one.tokens), end]
        assert share.argmax(1).tolist() == tokens  # it was greedy
        assert np.log(share[np.arange(len(tokens)), tokens]).sum() == pytest.approx(one.log_prob, abs=1e-4)


def test_true_tokens_give_way_to_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[np.ndarray] = []
    forward = EncoderDecoder.forward

    def spy(self: EncoderDecoder, sources: Any, lengths: Any, given: Any, *rest: Any, **named: Any) -> Any:
        told.append(given)
        return forward(self, sources, lengths, given, *rest, **named)

    monkeypatch.setattr(EncoderDecoder, "forward", spy)
    small(teacher_forcing=0.25, epochs=20, lr=1e-9, batch_size=300).fit(WORDS, TURNED)
    # Two passes an update: with what is true, for what it would write, and with some of each.
    shares = [(mixed == true).mean() for true, mixed in zip(told[::2], told[1::2], strict=True)]
    assert len(shares) == 20
    assert shares[0] == 1
    by_chance = (shares[19] - 0.2875) / 0.7125  # of its own some are true, or padding
    for update, share in enumerate(shares):
        true = 1 - 0.75 * update / 20
        assert share == pytest.approx(true + (1 - true) * by_chance, abs=0.05)


class Pairs:
    """A tokenizer of one's own: two characters a token."""

    def tokenize(self, text: str) -> list[str]:
        return [text[i : i + 2] for i in range(0, len(text), 2)]

    def detokenize(self, tokens: list[str]) -> str:
        return "".join(tokens)


class Backwards(Pairs):
    """Another: characters from the last to the first."""

    def tokenize(self, text: str) -> list[str]:
        return list(text[::-1])

    def detokenize(self, tokens: list[str]) -> str:
        return "".join(tokens)[::-1]


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ({"level": Pairs()}, Pairs()),  # of both sides
        ({"target_level": Pairs()}, Pairs()),
        ({"level": Pairs(), "target_level": "char"}, Pairs()),
        ({"level": Pairs(), "target_level": Backwards()}, (Pairs(), Backwards())),
    ],
)
def test_tokenizers_of_ones_own_are_passed_again(options: dict[str, Any], given: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.seqrs"
    model = small(epochs=3, **options).fit(WORDS, TURNED, checkpoint=path)
    model.save(path)
    with pytest.raises(ValueError, match="tokenizer: the model was trained with a tokenizer of its own"):
        seqrs.load(path)
    again = seqrs.load(path, tokenizer=given)
    assert again.predict(WORDS[:9]) == model.predict(WORDS[:9])
    resumed = seqrs.Translator.resume(tmp_path / "own.last.seqrs", WORDS, TURNED, tokenizer=given)
    assert resumed.predict(WORDS[:9]) == model.predict(WORDS[:9])


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
        (ValueError, lambda: small(monitor="score"), 'monitor: expected "loss"'),
        (ValueError, lambda: fitted.predict_proba(["a", "b"], ["a"]), "y: expected one for each of 2"),
        (RuntimeError, lambda: small().predict_proba(["a"], ["a"]), "has learned nothing yet"),
        (ValueError, lambda: small(decoder_layers=0), "decoder_layers"),
        (ValueError, lambda: small(embedding_size=None), "embedding_size"),
        (ValueError, lambda: small(layer_options={"zoneout": 0.1}), "layer_options"),
        (RuntimeError, lambda: small().predict(["a"]), "has learned nothing yet"),
        (ValueError, lambda: small().fit(["a", "b"], ["a"]), "y: expected one for each of 2"),
        (TypeError, lambda: small().fit([[1.0, 2.0]], ["a"]), "X: expected strings"),
        (TypeError, lambda: small().fit(["ab"], [[1, 2]]), "y: expected strings"),
        (ValueError, lambda: small().fit(["ab", "b"], ["", ""]), "y: expected some tokens, got none"),
        (ValueError, lambda: fitted.predict([""]), "at least one step"),
        (ValueError, lambda: fitted.translate(["a"], beam=2, n_best=3), "n_best"),
        (ValueError, lambda: fitted.score(["a", "b"], ["a"]), "y: expected one for each of 2"),
    ]
    for error, call, message in cases:
        with pytest.raises(error, match=message):
            call()
