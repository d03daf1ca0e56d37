"""Directions, lengths and masks, states, and single sequences: what each means in any layer."""

from typing import Any

import numpy as np
import pytest
from helpers import (
    FORMS,
    assert_close,
    assert_gradients_close,
    assert_states_close,
    changed,
    like,
    make_layer,
    parts,
    picked,
    random_floats,
    random_like,
    random_state,
    single_options,
)

from seqrs import nn

every_form = pytest.mark.parametrize(("cell", "form"), FORMS)
OPTIONS = [
    pytest.param(cell, form, options, id=f"{cell}-{form}-{name}")
    for cell, form in FORMS
    for name, options in single_options(cell, form).items()
]
every_option = pytest.mark.parametrize(("cell", "form", "options"), OPTIONS)


def reversed_rows(x: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Each row reversed within its length; the padding stays."""
    result = x.copy()
    for row, length in zip(result, lengths, strict=True):
        row[:length] = row[:length][::-1]
    return result


def as_it_is(x: np.ndarray, lengths: list[int]) -> np.ndarray:  # noqa: ARG001 - in place of reversed_rows
    return x


def one_way(layer: Any, suffix: str, cell: str, form: str, **options: Any) -> Any:
    """A layer in one direction with the weights of one direction of a bidirectional one."""
    alone = make_layer(cell, form, layer.input_size, layer.hidden_size, **options)
    weights = layer.state_dict()
    alone.load_state_dict({name: weights[name + suffix] for name in alone.state_dict()})
    return alone


# Directions


@every_form
def test_both_directions_are_a_layer_and_one_over_the_reversed_rows(
    cell: str, form: str, device: str
) -> None:
    rng, lengths = np.random.default_rng(0), [6, 0, 3, 1]
    layer = make_layer(cell, form, 3, 5, bidirectional=True, dtype="float64", device=device)
    x = random_floats(rng, (4, 6, 3), "float64")
    state = random_state(layer, 4, rng)
    y, after, tape = layer.forward(x, state, lengths)
    dy, dafter = random_like(y, rng), random_like(after, rng)
    g = layer.backward(tape, dy, dafter)

    dx = np.zeros_like(x)
    for d, suffix in enumerate(["", "_reverse"]):
        alone = one_way(layer, suffix, cell, form, dtype="float64", device=device)
        turn = reversed_rows if suffix else as_it_is
        half = slice(5 * d, 5 * d + 5)
        y_d, after_d, tape = alone.forward(turn(x, lengths), picked(state, np.s_[d : d + 1]), lengths)
        assert_close(turn(y_d, lengths), y[..., half])
        assert_states_close(after_d, picked(after, np.s_[d : d + 1]))
        g_d = alone.backward(
            tape,
            np.ascontiguousarray(turn(dy[..., half], lengths)),
            picked(dafter, np.s_[d : d + 1]),
        )
        dx += turn(g_d.x, lengths)
        assert_states_close(g_d.state, picked(g.state, np.s_[d : d + 1]))
        for name, gradient in g_d.params.items():
            assert_close(gradient, g.params[name + suffix], name)
    assert_close(g.x, dx)


@every_form
def test_merged_directions_follow_from_those_side_by_side(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(1)
    x = random_floats(rng, (2, 4, 3), "float64")
    layers = {
        merge: make_layer(
            cell, form, 3, 5, bidirectional=True, merge=merge, dtype="float64", device=device, seed=1
        )
        for merge in ("concat", "sum", "mean", "separate")
    }
    outputs, tapes = {}, {}
    for merge, layer in layers.items():
        outputs[merge], _, tapes[merge] = layer.forward(x)
    forward, backward = outputs["concat"][..., :5], outputs["concat"][..., 5:]
    assert_close(outputs["sum"], forward + backward)
    assert_close(outputs["mean"], (forward + backward) / 2)
    assert isinstance(outputs["separate"], tuple)
    np.testing.assert_array_equal(outputs["separate"][0], forward)
    np.testing.assert_array_equal(outputs["separate"][1], backward)
    assert all(part.base is not None for part in outputs["separate"])  # views

    dy = random_floats(rng, (2, 4, 5), "float64")
    both = layers["concat"].backward(tapes["concat"], np.concatenate([dy, dy], axis=-1))
    assert_gradients_close(layers["separate"].backward(tapes["separate"], (dy, dy)), both)
    assert_gradients_close(layers["sum"].backward(tapes["sum"], dy), both)
    assert_gradients_close(layers["mean"].backward(tapes["mean"], 2 * dy), both)


def test_a_pair_of_outputs_takes_a_pair_of_gradients() -> None:
    layer = nn.GRU(3, 5, bidirectional=True, merge="separate")
    y, _, tape = layer.forward(np.ones((2, 4, 3), np.float32))
    with pytest.raises(TypeError, match=r"dy: expected a pair \(forward, backward\) of arrays, got ndarray"):
        layer.backward(tape, np.concatenate(y, axis=-1))
    with pytest.raises(
        ValueError, match=r"dy\[1\]: expected shape \(2, 4, 5\) as dy\[0\] has, got \(2, 3, 5\)"
    ):
        layer.backward(tape, (y[0], y[1][:, :3]))
    layer.backward(tape, y)


def test_lower_layers_are_merged_too() -> None:
    """The second layer sees 2H features of the first, or H of their sum."""
    shapes = {
        merge: nn.GRU(3, 5, 2, bidirectional=True, merge=merge).state_dict()["weight_ih_l1_reverse"].shape
        for merge in ("concat", "separate", "sum", "mean")
    }
    assert shapes == {"concat": (15, 10), "separate": (15, 10), "sum": (15, 5), "mean": (15, 5)}


# Lengths and masks


@every_option
def test_a_mask_is_what_is_left_of_a_sequence_without_its_steps(
    cell: str, form: str, options: dict[str, Any], device: str
) -> None:
    """Outside training, where no mask of dropout depends on the step."""
    rng = np.random.default_rng(2)
    layer = make_layer(cell, form, 3, 5, 2, dtype="float64", device=device, seed=1, **options)
    x, mask = random_floats(rng, (4, 7, 3), "float64"), rng.random((4, 7)) < 0.6
    mask[2] = False
    lengths = [7, 5, 7, 2]
    state = random_state(layer, 4, rng)
    y, after = layer(x, state, lengths, mask)
    counts = mask & (np.arange(7) < np.array(lengths)[:, None])
    for b in range(4):
        alone, after_b = layer(x[b : b + 1, counts[b]], picked(state, np.s_[:, b : b + 1]))
        for y_b, whole in zip(parts(alone), parts(y), strict=True):
            assert_close(whole[b : b + 1, counts[b]], y_b)
            assert not whole[b, ~counts[b]].any()
        assert_states_close(picked(after, np.s_[:, b : b + 1]), after_b)


@every_form
def test_a_mask_of_the_first_steps_is_lengths(cell: str, form: str, device: str) -> None:
    rng, lengths = np.random.default_rng(3), np.array([4, 0, 6])
    layer = make_layer(cell, form, 3, 5, 2, dropout=0.3, bidirectional=True, device=device, seed=1)
    x, mask = random_floats(rng, (3, 6, 3), "float32"), np.arange(6) < lengths[:, None]
    results = []
    for how in ({"lengths": lengths}, {"mask": mask}, {"lengths": lengths, "mask": mask}):
        y, state, tape = layer.forward(x, step=0, **how)
        g = layer.backward(tape, np.ones_like(y))
        results.append([y, *parts(state), g.x, *g.params.values()])
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@every_form
def test_what_a_masked_step_holds_has_no_influence(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(4)
    layer = make_layer(cell, form, 3, 5, 2, dropout=0.3, bidirectional=True, device=device, seed=1)
    x, dy = random_floats(rng, (3, 6, 3), "float32"), random_floats(rng, (3, 6, 10), "float32")
    mask = rng.random((3, 6)) < 0.5
    results = []
    for filling in (0.0, 1e6):
        x[~mask], dy[~mask] = filling, filling
        y, state, tape = layer.forward(x, mask=mask, step=0)
        g = layer.backward(tape, dy)
        assert not g.x[~mask].any()
        results.append([y, *parts(state), g.x, *g.params.values()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


# States


@every_form
def test_layers_of_different_width(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(5)
    layer = make_layer(cell, form, 3, [7, 4], bidirectional=True, dtype="float64", device=device)
    x = random_floats(rng, (2, 6, 3), "float64")
    y, state = layer(x)
    assert y.shape == (2, 6, 8)
    hs = state[0] if cell == "lstm" else state
    assert [array.shape for array in hs] == [(2, 2, 7), (2, 2, 4)]

    one = make_layer(cell, form, 3, 7, bidirectional=True, dtype="float64", device=device)
    two = make_layer(cell, form, 14, 4, bidirectional=True, dtype="float64", device=device)
    weights = layer.state_dict()
    for k, alone in enumerate([one, two]):
        alone.load_state_dict({name: weights[name.replace("_l0", f"_l{k}")] for name in alone.state_dict()})
    middle, state_one = one(x)
    expected, state_two = two(middle)
    assert_close(y, expected)
    for part, *alone in zip(
        *([state, state_one, state_two] if cell == "lstm" else [[state], [state_one], [state_two]]),
        strict=True,
    ):
        assert_states_close(part, alone)
    # The same state goes in again.
    layer(x, state)
    layer(x, random_state(layer, 2, rng))


def test_states_are_views_of_what_the_core_returned() -> None:
    x = np.ones((2, 6, 3), np.float32)
    for layer in (nn.GRU(3, 5, 2), nn.LSTM(3, [5, 4], bidirectional=True)):
        assert all(part.base is not None for part in parts(layer(x)[1]))
    h, _ = nn.LSTM(3, [5, 4])(x)[1]
    assert h[0].base is h[1].base


@every_form
def test_a_learned_initial_state_is_used_where_none_is_given(cell: str, form: str, device: str) -> None:
    rng = np.random.default_rng(6)
    layer = make_layer(
        cell, form, 3, 5, 2, learn_initial_state=True, bidirectional=True, dtype="float64", device=device
    )
    plain = make_layer(cell, form, 3, 5, 2, bidirectional=True, dtype="float64", device=device)
    weights = layer.state_dict()
    learned = {name for name in weights if name.startswith("initial_")}
    assert len(learned) == (8 if cell == "lstm" else 4)
    assert not any(weights[name].any() for name in learned)
    for name in learned:
        weights[name] = rng.standard_normal(5)
    layer.load_state_dict(weights)
    plain.load_state_dict({name: value for name, value in weights.items() if name not in learned})

    start = [
        np.stack([
            np.tile(weights[f"initial_{part}_l{k}{suffix}"], (2, 1)) for k in (0, 1) for suffix in ("", "_reverse")
        ])
        for part in ("hc" if cell == "lstm" else "h")
    ]  # fmt: skip
    x = random_floats(rng, (2, 6, 3), "float64")
    state = like(plain(x)[1], start)
    y, after, tape = layer.forward(x)
    y_plain, after_plain, tape_plain = plain.forward(x, state)
    assert_close(y, y_plain)
    assert_states_close(after, after_plain)
    dy, dafter = random_like(y, rng), random_like(after, rng)
    g, g_plain = layer.backward(tape, dy, dafter), plain.backward(tape_plain, dy, dafter)
    for part, gradient in zip("hc", parts(g_plain.state), strict=False):
        for i, name in enumerate(
            f"initial_{part}_l{k}{suffix}" for k in (0, 1) for suffix in ("", "_reverse")
        ):
            assert_close(g.params[name], gradient[i].sum(axis=0), name)
    # A given state takes its place, and it gets no gradient then.
    y, _, tape = layer.forward(x, changed(state, np.zeros_like))
    assert_close(y, plain(x)[0])
    g = layer.backward(tape, dy)
    assert not any(g.params[name].any() for name in learned)


@pytest.mark.parametrize(
    ("cell", "form", "options"), [case for case in OPTIONS if "bidirectional" not in case.values[2]]
)
def test_carrying_the_state_equals_one_long_pass(
    cell: str, form: str, options: dict[str, Any], device: str
) -> None:
    rng = np.random.default_rng(7)
    layer = make_layer(cell, form, 3, 5, 2, dtype="float64", device=device, **options)
    x = random_floats(rng, (2, 9, 3), "float64")
    y, after = layer(x)
    y1, middle = layer(x[:, :4])
    y2, end = layer(x[:, 4:], middle)
    assert_close(np.concatenate([y1, y2], axis=1), y)
    assert_states_close(end, after)
    state = None
    for t in range(9):
        y_t, state = layer.step(x[:, t], state)
        assert_close(y_t, y[:, t])
    assert_states_close(state, after)


# One sequence without a batch axis


@every_option
@pytest.mark.parametrize("tokens", [False, True])
def test_one_sequence_without_a_batch_axis(
    cell: str, form: str, options: dict[str, Any], tokens: bool, device: str
) -> None:
    rng = np.random.default_rng(15)
    layer = make_layer(cell, form, 3, 5, 2, dtype="float64", device=device, seed=0, **options)
    x = rng.integers(-1, 3, (1, 6)) if tokens else random_floats(rng, (1, 6, 3), "float64")
    state, mask = random_state(layer, 1, rng), rng.random((1, 6)) < 0.7
    y, after, tape = layer.forward(x, state, [5], mask=mask, step=0)
    dy, dafter = random_like(y, rng), random_like(after, rng)
    g = layer.backward(tape, dy, dafter)

    y_1, after_1, tape = layer.forward(x[0], picked(state, np.s_[:, 0]), 5, mask=mask[0], step=0)
    g_1 = layer.backward(tape, picked(dy, np.s_[0]), picked(dafter, np.s_[:, 0]))
    for one, all_of_it in [(y_1, picked(y, np.s_[0])), (after_1, picked(after, np.s_[:, 0]))]:
        for a, b in zip(parts(one), parts(all_of_it), strict=True):
            np.testing.assert_array_equal(a, b)
    assert_gradients_close(
        g_1, nn.Gradients(None if tokens else g.x[0], picked(g.state, np.s_[:, 0]), g.params)
    )
    if "bidirectional" not in options:
        y, after = layer.step(x[:, 0], state)
        y_1, after_1 = layer.step(x[0, 0], picked(state, np.s_[:, 0]))
        np.testing.assert_array_equal(y_1, y[0])
        assert_states_close(after_1, picked(after, np.s_[:, 0]))


def test_one_sequence_has_one_length() -> None:
    layer, x = nn.GRU(3, 5), np.ones((6, 3), np.float32)
    with pytest.raises(
        ValueError, match=r"lengths: expected one integer, as x is one sequence, got shape \(1,\)"
    ):
        layer(x, lengths=[6])
    with pytest.raises(ValueError, match=r"lengths: expected integers from 0 to 6, the steps of x, got 7"):
        layer(x, lengths=7)
    with pytest.raises(ValueError, match=r"state: expected shape \(1, 5\), got \(1, 1, 5\)"):
        layer(x, np.zeros((1, 1, 5), np.float32))
    with pytest.raises(ValueError, match=r"mask: expected shape \(6,\), that of x's steps, got \(1, 6\)"):
        layer(x, mask=np.ones((1, 6), bool))
    assert layer(x, lengths=6)[0].shape == (6, 5)


# Masks that are not masks


def test_a_mask_is_boolean_and_has_the_shape_of_the_steps() -> None:
    layer, x = nn.GRU(3, 5), np.ones((2, 6, 3), np.float32)
    with pytest.raises(TypeError, match="mask: expected booleans, got an array of int64"):
        layer(x, mask=np.ones((2, 6), np.int64))
    with pytest.raises(ValueError, match=r"mask: expected shape \(2, 6\), that of x's steps, got \(6,\)"):
        layer(x, mask=[True] * 6)
    y, _ = layer(x, mask=[[True] * 6, [False] * 6])
    assert y[0].any()
    assert not y[1].any()
